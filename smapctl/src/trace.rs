//! `smapctl trace`: what the log and the spool know of one message.
//!
//! Trusts the log no further than that its lines are lines: what others have written into it is shown escaped.

use std::fs::File;
use std::io::{self, BufRead, BufReader, Read, Write};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use netperm::site::Site;
use serde::Serialize;
use smap_common::clock::Timestamp;
use smap_common::exit::Exit;
use smap_common::spool::QueueId;

use crate::error::Error;
use crate::queue::{self, Entry, Place};
use crate::show::printable;
use crate::spool::Spool;

mod follow;

pub use follow::Follower;

/// Where syslogd writes mail's lines, the older file first.
const LOGS: [&str; 2] = ["/var/log/mail.log.1", "/var/log/mail.log"];
/// Octets of a line that are read: ours have 2000 at most, and a head.
const MAX_LINE: u64 = 8192;

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
    read_logs(logs, |line| lines.append(&mut follower.lines(line)))?;
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

/// Gives every line to `each`: of these logs, or of what this machine has.
fn read_logs(logs: &[PathBuf], mut each: impl FnMut(&str)) -> Result<(), Error> {
    for log in logs {
        let failed = |cause| Error::Log(log.clone(), cause);
        read_lines(File::open(log).map_err(failed)?, &mut each).map_err(failed)?;
    }
    if !logs.is_empty() {
        return Ok(());
    }
    if Path::new(LOGS[1]).exists() {
        for log in LOGS {
            let failed = |cause| Error::Log(log.into(), cause);
            match File::open(log) {
                Ok(file) => read_lines(file, &mut each).map_err(failed)?,
                // There may be no older one.
                Err(error) if error.kind() == io::ErrorKind::NotFound => {}
                Err(error) => return Err(failed(error)),
            }
        }
        return Ok(());
    }
    let Ok(mut journal) = journal() else { return Ok(()) };
    let read = journal.stdout.take().map_or(Ok(()), |lines| read_lines(lines, &mut each));
    let ended = journal.wait();
    read.and_then(|()| ended.map(drop)).map_err(|cause| Error::Log("journalctl".into(), cause))
}

/// The journal in the form of syslogd's files: the process stands in each line.
fn journal() -> io::Result<Child> {
    let arguments = ["--no-pager", "--quiet", "-o", "short-iso", "-t", "smap", "-t", "smapd"];
    Command::new("journalctl").args(arguments).stdin(Stdio::null()).stdout(Stdio::piped()).spawn()
}

/// A line that is too long is not ours: it is given in pieces.
fn read_lines(log: impl Read, each: &mut impl FnMut(&str)) -> io::Result<()> {
    let mut log = BufReader::new(log);
    let mut line = Vec::new();
    while log.by_ref().take(MAX_LINE).read_until(b'\n', &mut line)? > 0 {
        each(String::from_utf8_lossy(&line).trim_end());
        line.clear();
    }
    Ok(())
}
