//! `smapctl queue`: the messages in the spool, and orders about them for the smapd that runs.
//!
//! Holds the names of all messages, and one message at a time.

use std::io::Write;
use std::path::Path;

use netperm::site::Site;
use smap_common::clock::Timestamp;
use smap_common::exit::Exit;

use crate::arguments::Filter;
use crate::error::Error;
use crate::spool::Spool;

mod details;
mod entry;
mod filter;
mod order;
mod text;

pub use details::{Details, Happening, RecipientState, StandingOrder, details, show};
pub use entry::{Attempt, Entry, Pending, Place};
pub use order::{line, order, total};
pub use text::{Summary, header, lines};

/// Lists the messages that are wanted on `out`, in the order in which they came.
///
/// # Errors
/// The table is wrong, the spool cannot be read, or `out` fails.
pub fn list(table: &Path, filter: &Filter, json: bool, out: &mut impl Write) -> Result<Exit, Error> {
    let site = Site::load(table)?;
    let spool = Spool::open(&site)?;
    let format = if json { Format::Json } else { Format::Text };
    let mut summary = Summary::default();
    let (names, strangers) = spool.names()?;
    if filter.wants_all() {
        (summary.bad, summary.set_aside) = (strangers, count_of_bad(&site.smapd.bad_directory()));
    } else {
        summary.filtered = true;
    }
    let mut opening = format.opening();
    for (id, place) in names {
        let Some(entry) = spool.entry(id, place)? else { continue };
        if !filter.wants(&entry, &site.hostname, Timestamp::now()) {
            continue;
        }
        summary.add(&entry);
        out.write_all(std::mem::replace(&mut opening, format.between()).as_bytes())?;
        format.entry(&entry, out)?;
    }
    match format {
        Format::Text => writeln!(out, "{summary}")?,
        Format::Json if opening == format.opening() => out.write_all(b"[]\n")?,
        Format::Json => out.write_all(b"\n]\n")?,
    }
    Ok(Exit::Ok)
}

/// How the list is shown.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Format {
    /// For people.
    Text,
    /// One array, for programs.
    Json,
}

impl Format {
    /// What stands before the first entry.
    fn opening(self) -> String {
        match self {
            Self::Text => header(),
            Self::Json => "[\n".to_owned(),
        }
    }

    /// What stands before each other.
    fn between(self) -> String {
        match self {
            Self::Text => String::new(),
            Self::Json => ",\n".to_owned(),
        }
    }

    fn entry(self, entry: &Entry, out: &mut impl Write) -> Result<(), Error> {
        match self {
            Self::Text => out.write_all(lines(entry, Timestamp::now()).as_bytes())?,
            Self::Json => serde_json::to_writer(out, entry)?,
        }
        Ok(())
    }
}

/// What smapd has set aside; a folder that is not there holds nothing.
fn count_of_bad(folder: &Path) -> u64 {
    let Ok(names) = std::fs::read_dir(folder) else { return 0 };
    let bad = names.flatten().filter(|entry| !entry.file_name().to_string_lossy().ends_with(".reason"));
    u64::try_from(bad.count()).unwrap_or(u64::MAX)
}
