//! Tables of rows: the text, or the `FILE.cdb` beside it.
//!
//! Decides which of them is used. Who may have written one is asked of the other too. A compiled table that is not the
//! text's any more is used, and said to be stale; one that cannot be used gives way to the text.

use std::fs::{File, Metadata};
use std::io::{self, Read};
use std::path::{Path, PathBuf};

use super::{cannot_read, judge, mapped, open};
use crate::fault::{Fault, Faults, Note};
use crate::place::Place;
use crate::tables::{Map, Stamp};

#[cfg(test)]
mod tests;

/// Room for millions of rows.
const MAX_TEXT: u64 = 1 << 30;

/// A text as it was read.
#[derive(Debug)]
pub struct Source {
    /// What is in it.
    pub bytes: Vec<u8>,
    /// What it was then.
    pub metadata: Metadata,
    /// What the operator should know of the file.
    pub notes: Vec<Note>,
}

impl Source {
    /// Reads a text that may be believed.
    ///
    /// # Errors
    /// When the file can't be read or believed, or is being written.
    pub fn read(file: &Path) -> Result<Self, Fault> {
        let place = Place::whole(file);
        let fault = |what: String| Fault::new(&place, what);
        let (opened, metadata, notes) = opened(file, MAX_TEXT).map_err(fault)?;
        let (bytes, after) = read(opened).map_err(|error| fault(cannot_read(&error)))?;
        if Stamp::of(&after) != Stamp::of(&metadata) {
            return Err(fault("this was written while it was read: try again".to_owned()));
        }
        Ok(Self { bytes, metadata, notes: placed(&place, notes) })
    }
}

fn read(mut opened: File) -> io::Result<(Vec<u8>, Metadata)> {
    let mut bytes = Vec::new();
    opened.by_ref().take(MAX_TEXT).read_to_end(&mut bytes)?;
    Ok((bytes, opened.metadata()?))
}

fn placed(place: &Place, notes: Vec<String>) -> Vec<Note> {
    notes.into_iter().map(|text| Note::new(place, text)).collect()
}

/// Where the compiled table of a text is.
#[must_use]
pub fn compiled_name(file: &Path) -> PathBuf {
    let mut name = file.as_os_str().to_owned();
    name.push(".cdb");
    name.into()
}

impl Map {
    /// Reads a table: what was compiled, where that can be used, or the text; and what the operator should know.
    ///
    /// # Errors
    /// When the text can't be read or believed, and everything that is wrong in it.
    pub fn load(file: &Path) -> Result<(Self, Vec<Note>), Faults> {
        let place = Place::whole(file);
        let fault = |what: String| Faults::from(Fault::new(&place, what));
        let (_, text, mut notes) = opened(file, MAX_TEXT).map_err(fault)?;
        match compiled(file, &Stamp::of(&text)) {
            Ok((map, more)) => {
                notes.extend(more);
                return Ok((map, placed(&place, notes)));
            }
            Err(None) => {}
            Err(Some(why)) => notes.push(why),
        }
        let source = Source::read(file)?;
        let (map, faults) = Self::parse(file, &source.bytes);
        Faults::none_of(faults)?;
        Ok((map, placed(&place, notes)))
    }
}

/// What was compiled, and what to know of it; or why it is not used, if it is there.
fn compiled(file: &Path, text: &Stamp) -> Result<(Map, Vec<String>), Option<String>> {
    let name = compiled_name(file);
    if !name.exists() {
        return Err(None);
    }
    let (shown, source) = (name.display(), file.display());
    let unused = |why: String| Some(format!("{shown} is not used: {why}: smapctl compile {source}"));
    let (opened, metadata, mut notes) = opened(&name, u32::MAX.into()).map_err(unused)?;
    let octets = mapped::octets(opened, &metadata).map_err(|error| unused(cannot_read(&error)))?;
    let map = Map::compiled(file, octets).map_err(|why| unused(why.to_string()))?;
    if map.is_stale(text) {
        notes.push(format!(
            "{shown} was made from another state of this file, and is used as it is: smapctl compile {source}"
        ));
    }
    Ok((map, notes))
}

/// A file that may be believed, what it is, and what the operator should know of it.
fn opened(file: &Path, limit: u64) -> Result<(File, Metadata, Vec<String>), String> {
    let opened = open(file)?;
    let metadata = opened.metadata().map_err(|error| cannot_read(&error))?;
    let notes = judge(file, &metadata, limit)?;
    Ok((opened, metadata, notes))
}
