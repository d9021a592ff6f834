//! smapd delivers mail: it takes messages from the spool and puts them where they belong.
//!
//! [`engine`] is the loop. What it carries out is decided by pure parts: [`plan`] (which way each recipient goes),
//! [`exchangers`] (which hosts take the mail of a domain), [`schedule`] (when to try again), [`notify`] (what the
//! sender is told). What it hands work to: [`relay`] (connections to other hosts), [`delivery`] (mailboxes), and
//! two other processes, the [`runner`] (programs) and `smap-lookup` (names; [`lookup`] is our side of it). What an
//! operator orders comes by [`control`]. What it may touch at all is its [`reach`]; what it was told, and by
//! which files, are its [`settings`].

pub mod aside;
pub mod content;
pub mod control;
pub mod delivery;
pub mod engine;
pub mod exchangers;
pub mod expansion;
pub mod lookup;
pub mod notify;
pub mod plan;
pub mod privileges;
pub mod queue;
pub mod reach;
pub mod relay;
pub mod runner;
#[cfg(test)]
mod samples;
pub mod schedule;
pub mod settings;
pub mod tls;
pub mod turns;
pub mod workers;
