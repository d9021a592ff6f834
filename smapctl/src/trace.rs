//! `smapctl trace`: what the log and the spool know of one message.
//!
//! Trusts the log no further than that its lines are lines: what others have written into it is shown escaped.

use std::io::Write;
use std::path::{Path, PathBuf};

use netperm::site::Site;
use serde::Serialize;
use smap_common::clock::Timestamp;
use smap_common::exit::Exit;
use smap_common::spool::QueueId;

use crate::error::Error;
use crate::log;
use crate::queue::{self, Entry, Place};
use crate::show::printable;
use crate::spool::Spool;

mod follow;

pub use follow::Follower;

/// All that is known.
#[derive(Debug, Serialize)]
pub struct Trace {
    /// Of which message.
    pub id: String,
    /// Lines of the log, in their order.
    pub lines: Vec<String>,
    /// What is in the spool; nothing, where it has left it.
    pub spool: Option<Entry>,
}

/// Shows what is known of a message on `out`.
///
/// # Errors
/// The table is wrong, nothing is known of it, a log or the spool cannot be read, or `out` fails.
pub fn run(
    table: &Path,
    id: QueueId,
    logs: &[PathBuf],
    json: bool,
    out: &mut impl Write,
) -> Result<Exit, Error> {
    let site = Site::load(table)?;
    let mut follower = Follower::new(id.as_str());
    let mut lines = Vec::new();
    log::read(logs, |line| lines.append(&mut follower.lines(line)))?;
    let spool = Spool::open(&site)?.entry(id, Place::Incoming)?;
    let trace = Trace { id: id.to_string(), lines, spool };
    if json {
        serde_json::to_writer_pretty(&mut *out, &trace)?;
        writeln!(out)?;
    } else {
        out.write_all(show(&trace, Timestamp::now()).as_bytes())?;
    }
    Ok(if trace.lines.is_empty() && trace.spool.is_none() { Exit::NoInput } else { Exit::Ok })
}

/// What is known, for people.
#[must_use]
pub fn show(trace: &Trace, now: Timestamp) -> String {
    let mut text: String = trace.lines.iter().map(|line| printable(line) + "\n").collect();
    if trace.lines.is_empty() {
        text += "the log says nothing of it\n";
    }
    match &trace.spool {
        Some(entry) => text + &queue::header() + &queue::lines(entry, now),
        None => text + "it is not in the spool\n",
    }
}
