//! What an operator sees: golden texts, and real spools.

#[cfg(test)]
mod golden;
#[cfg(test)]
mod import;
#[cfg(test)]
mod real;
#[cfg(test)]
mod replay;
