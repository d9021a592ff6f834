//! `smapctl import`: what a sendmail.mc or a main.cf says, as a netperm-table.
//!
//! Trusts nothing of the file; runs nothing, and looks at the files that it names only to read them.

use std::fmt;
use std::fs::{self, File};
use std::io::{self, Read, Write};
use std::path::Path;

use clap::ValueEnum;
use smap_common::exit::Exit;

use crate::error::Error;

mod mc;
mod meaning;
mod postfix;
mod table;

pub use table::Draft;

/// Octets of a file that are read.
const MOST_OCTETS: u64 = 4 << 20;

/// Whose configuration a file is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Kind {
    /// A `.mc`, which m4 turns into a sendmail.cf.
    Sendmail,
    /// A main.cf.
    Postfix,
}

/// Why a file cannot be imported.
#[derive(Debug)]
pub enum ImportError {
    /// Its name does not tell what it is.
    Kind,
    /// It is what m4 made of another.
    Made,
    /// It is no regular file.
    NoFile,
    /// It is larger than any configuration.
    TooLarge,
    /// It cannot be read.
    Unreadable(io::Error),
}

impl fmt::Display for ImportError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Kind => {
                f.write_str("the name does not tell whose file it is: say --kind sendmail or --kind postfix")
            }
            Self::Made => f.write_str("this is what m4 made of a .mc file: import that one"),
            Self::NoFile => f.write_str("this is not a regular file"),
            Self::TooLarge => write!(f, "the file is larger than {MOST_OCTETS} bytes"),
            Self::Unreadable(cause) => cause.fmt(f),
        }
    }
}

impl ImportError {
    pub(crate) fn exit(&self) -> Exit {
        match self {
            Self::Kind => Exit::Usage,
            Self::Unreadable(cause) if cause.kind() == io::ErrorKind::PermissionDenied => Exit::NoPerm,
            Self::Made | Self::NoFile | Self::TooLarge | Self::Unreadable(_) => Exit::NoInput,
        }
    }
}

impl Kind {
    /// By the name of the file.
    ///
    /// # Errors
    /// It does not tell.
    pub fn of(file: &Path) -> Result<Self, ImportError> {
        let name = file.file_name().map(|name| name.to_string_lossy().to_lowercase()).unwrap_or_default();
        match name.as_str() {
            "sendmail.cf" | "submit.cf" => Err(ImportError::Made),
            name if name.ends_with(".mc") || name.ends_with(".mc.in") => Ok(Self::Sendmail),
            name if name.starts_with("main.cf") => Ok(Self::Postfix),
            _ => Err(ImportError::Kind),
        }
    }
}

/// Writes the netperm-table that `file` comes to on `out`.
///
/// # Errors
/// It cannot be read, or `out` fails.
pub fn run(file: &Path, kind: Option<Kind>, out: &mut impl Write) -> Result<Exit, Error> {
    let failed = |error| Error::Import(file.to_owned(), error);
    let kind = kind.map_or_else(|| Kind::of(file), Ok).map_err(failed)?;
    let source = read(file).map_err(failed)?;
    write!(out, "{}", imported(file, kind, &source, &|path| read(path).ok()))?;
    Ok(Exit::Ok)
}

/// The table that a source comes to; `files` gives the text of the files that it names.
#[must_use]
pub fn imported(file: &Path, kind: Kind, source: &str, files: &dyn Fn(&Path) -> Option<String>) -> Draft {
    let mut draft = Draft::new(file);
    match kind {
        Kind::Sendmail => mc::import(source, &|path| files(path).is_some(), &mut draft),
        Kind::Postfix => postfix::import(source, files, &mut draft),
    }
    draft
}

/// A FIFO would wait for its writer: the kind is asked before.
fn read(file: &Path) -> Result<String, ImportError> {
    let metadata = fs::metadata(file).map_err(ImportError::Unreadable)?;
    if !metadata.is_file() {
        return Err(ImportError::NoFile);
    }
    let mut octets = Vec::new();
    let opened = File::open(file).map_err(ImportError::Unreadable)?;
    opened.take(MOST_OCTETS + 1).read_to_end(&mut octets).map_err(ImportError::Unreadable)?;
    if u64::try_from(octets.len()).unwrap_or(u64::MAX) > MOST_OCTETS {
        return Err(ImportError::TooLarge);
    }
    Ok(String::from_utf8_lossy(&octets).into_owned())
}
