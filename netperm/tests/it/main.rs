//! The table as its users see it: files in, configuration or messages out.

#[cfg(test)]
mod arbitrary;
#[cfg(test)]
mod compiled;
#[cfg(test)]
mod damaged;
#[cfg(test)]
mod decisions;
#[cfg(test)]
mod golden;
#[cfg(test)]
mod loading;
#[cfg(test)]
mod people;
#[cfg(test)]
mod samples;
