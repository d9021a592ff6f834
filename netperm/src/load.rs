//! Finds the table and reads it, and the files that it names.
//!
//! Decides whether a file may be believed. Trusts root, the user who runs the program, and their groups.
//! Guarantees that what was judged is what is read: the mode is that of the opened file.

use std::fs::{self, File, Metadata};
use std::io::{self, Read};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use nix::unistd::{getegid, geteuid};

use crate::fault::{Fault, Faults, Note};
use crate::place::Place;
use crate::table::{Content, Found, Reader, Syntax, Table, Unread};
use crate::tables::Kind;

mod mapped;
mod tables;

pub use self::tables::Source;

/// Where the table is looked for when the command line names none.
pub const DEFAULT_TABLES: [&str; 2] = ["/etc/smap/netperm-table", "/usr/local/etc/netperm-table"];

/// More than any table needs.
const MAX_BYTES: u64 = 64 * 1024 * 1024;

const WRITABLE_BY_GROUP: u32 = 0o020;
const WRITABLE_BY_OTHERS: u32 = 0o002;
const READABLE_BY_OTHERS: u32 = 0o004;

/// The table to read: the one of the command line, or the first default that exists.
#[must_use]
pub fn find(config: Option<&Path>) -> PathBuf {
    let [first, ..] = DEFAULT_TABLES;
    let defaults = DEFAULT_TABLES.into_iter().find(|file| Path::new(file).exists());
    config.map_or_else(|| PathBuf::from(defaults.unwrap_or(first)), Path::to_owned)
}

impl Table {
    /// Reads a table from its file; a name that ends in `.toml` is TOML.
    ///
    /// # Errors
    /// When the file can't be read or believed, and everything that is wrong in it.
    pub fn load(file: &Path) -> Result<Self, Faults> {
        Self::load_with(file, Disk)
    }

    /// The same without the files that it names: they are taken to be empty, whether they are there or not.
    ///
    /// # Errors
    /// When the table can't be read or believed, and everything that is wrong in it.
    pub fn load_alone(file: &Path) -> Result<Self, Faults> {
        Self::load_with(file, Unread)
    }

    /// The same with the files that it names as someone else reads them.
    ///
    /// # Errors
    /// When one of them can't be read or believed, and everything that is wrong in them.
    pub fn load_with(file: &Path, read: impl Reader) -> Result<Self, Faults> {
        let place = Place::whole(file);
        let fault = |what: String| Faults::from(Fault::new(&place, what));
        let (bytes, mut notes, mode) = believed(file).map_err(fault)?;
        if mode & READABLE_BY_OTHERS != 0 {
            notes.push(format!(
                "everyone can read this table, which must not hold secrets then: chmod o-r {}",
                file.display()
            ));
        }
        let notes = notes.into_iter().map(|text| Note::new(&place, text)).collect();
        Self::parse_with(file, &bytes, Syntax::of(file), read).map(|table| table.with_notes(notes))
    }
}

/// The files of this machine.
struct Disk;

impl Reader for Disk {
    fn content(&self, file: &Path) -> Result<Content, String> {
        Source::read(file).map(|source| (source.bytes, source.notes))
    }

    fn compiled(&self, kind: Kind, file: &Path) -> Found {
        tables::compiled(kind, file)
    }

    fn is_program(&self, file: &Path) -> bool {
        is_program(file)
    }
}

/// Whether it is a file that someone may run.
#[must_use]
pub fn is_program(file: &Path) -> bool {
    fs::metadata(file).is_ok_and(|metadata| metadata.is_file() && metadata.mode() & 0o111 != 0)
}

/// What an included file says, if it may be believed.
///
/// # Errors
/// Why it cannot be read or believed.
pub fn included(file: &Path) -> Result<Vec<u8>, String> {
    believed(file).map(|(bytes, ..)| bytes)
}

/// What is in a file that may be believed, what the operator should know of it, and its mode.
fn believed(file: &Path) -> Result<(Vec<u8>, Vec<String>, u32), String> {
    let mut bytes = Vec::new();
    let opened = open(file)?;
    let metadata = opened.metadata().map_err(|error| cannot_read(&error))?;
    let notes = judge(file, &metadata, MAX_BYTES)?;
    opened.take(MAX_BYTES).read_to_end(&mut bytes).map_err(|error| cannot_read(&error))?;
    Ok((bytes, notes, metadata.mode()))
}

/// A FIFO would wait for its writer: the kind is asked before, and again of what was opened.
fn open(file: &Path) -> Result<File, String> {
    let metadata = fs::metadata(file).map_err(|error| cannot_read(&error))?;
    if !metadata.is_file() {
        return Err("this is not a regular file".to_owned());
    }
    File::open(file).map_err(|error| cannot_read(&error))
}

fn cannot_read(error: &io::Error) -> String {
    format!("the table can't be read: {error}")
}

/// Whether the file may be believed, and what the operator should know of it.
fn judge(file: &Path, metadata: &Metadata, limit: u64) -> Result<Vec<String>, String> {
    if !metadata.is_file() {
        return Err("this is not a regular file".to_owned());
    }
    if metadata.len() > limit {
        return Err(format!("the table is larger than {limit} bytes"));
    }
    let (mode, file) = (metadata.mode(), file.display());
    if mode & WRITABLE_BY_OTHERS != 0 {
        return Err(format!("everyone can write this table: chmod go-w {file}"));
    }
    let trusted_group = [0, getegid().as_raw()].contains(&metadata.gid());
    if mode & WRITABLE_BY_GROUP != 0 && !trusted_group {
        return Err(format!("the group {} can write this table: chmod g-w {file}", metadata.gid()));
    }
    let mut notes = Vec::new();
    if ![0, geteuid().as_raw()].contains(&metadata.uid()) {
        notes
            .push(format!("the user {} owns this table and can write it: chown root {file}", metadata.uid()));
    }
    Ok(notes)
}
