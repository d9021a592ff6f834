//! `smapctl check`: what the table says, and whether this machine is as it needs.

use std::fmt;
use std::io::Write;
use std::path::Path;

use netperm::Table;
use netperm::site::Site;
use smap_common::exit::Exit;

use crate::error::Error;

mod lookup;
mod machine;
mod paths;
mod view;

pub use view::show;

/// How much something matters.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Level {
    /// As it should be.
    Ok,
    /// Worth a word.
    Note,
    /// It works, less well or less safely than it could.
    Warning,
    /// It keeps mail from flowing.
    Error,
}

/// Something that was looked at.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Finding {
    /// How much it matters.
    pub level: Level,
    /// What was found, and what mends it.
    pub text: String,
}

impl Finding {
    fn new(level: Level, text: impl Into<String>) -> Self {
        Self { level, text: text.into() }
    }
}

impl fmt::Display for Finding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let word = match self.level {
            Level::Ok => "ok",
            Level::Note => "note",
            Level::Warning => "warning",
            Level::Error => "error",
        };
        write!(f, "{word:<9}{}", self.text)
    }
}

/// Reads the table, looks at the machine, and shows both on `out`.
///
/// # Errors
/// Everything that is wrong with the table, or `out` fails.
pub fn run(file: &Path, out: &mut impl Write) -> Result<Exit, Error> {
    let notes = Table::load(file)?.check()?;
    let site = Site::load(file)?;
    let noted = notes.iter().map(|note| Finding::new(Level::Note, format!("{}: {}", note.place, note.text)));
    let findings: Vec<Finding> = noted.chain(machine::findings(&site)).collect();
    out.write_all(show(file, &site, &findings).as_bytes())?;
    let broken = findings.iter().any(|finding| finding.level == Level::Error);
    Ok(if broken { Exit::Config } else { Exit::Ok })
}
