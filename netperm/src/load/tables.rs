//! The files that a netperm-table names: the text, or the `FILE.cdb` beside it.
//!
//! Decides which of them is used. Who may have written one is asked of the other too. A compiled table that is not the
//! text's any more is used, and said to be stale; one that cannot be used gives way to the text.

use std::fs::{File, Metadata};
use std::io::{self, Read};
use std::path::Path;

use super::{cannot_read, judge, mapped, open};
use crate::table::Found;
use crate::tables::{Kind, Map, Stamp, compiled_name, unused};

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
    pub notes: Vec<String>,
}

impl Source {
    /// Reads a text that may be believed.
    ///
    /// # Errors
    /// Why it can't be read or believed, or that it is being written.
    pub fn read(file: &Path) -> Result<Self, String> {
        let (opened, metadata, notes) = opened(file, MAX_TEXT)?;
        let (bytes, after) = read(opened, metadata.len()).map_err(|error| cannot_read(&error))?;
        if Stamp::of(&after) != Stamp::of(&metadata) {
            return Err("this was written while it was read: try again".to_owned());
        }
        Ok(Self { bytes, metadata, notes })
    }
}

fn read(mut opened: File, size: u64) -> io::Result<(Vec<u8>, Metadata)> {
    let mut bytes = Vec::with_capacity(usize::try_from(size).unwrap_or(0));
    opened.by_ref().take(MAX_TEXT).read_to_end(&mut bytes)?;
    Ok((bytes, opened.metadata()?))
}

/// What was compiled of a text, where that can be used. Nothing is said of a text that cannot be read: whoever reads it
/// hears of it.
pub(super) fn compiled(kind: Kind, file: &Path) -> Found {
    let name = compiled_name(file);
    if !name.exists() {
        return Found::default();
    }
    let Ok((_, text, mut notes)) = opened(file, MAX_TEXT) else { return Found::default() };
    match mapped_table(kind, file, &name) {
        Err(why) => Found { warning: Some(unused(file, &why)), ..Found::default() },
        Ok((map, more)) => {
            notes.extend(more);
            let (made, source) = (name.display(), file.display());
            let warning = map.is_stale(&Stamp::of(&text)).then(|| {
                format!(
                    "{made} was made from another state of it, and is used as it is: smapctl compile {source}"
                )
            });
            Found { map: Some(map), notes, warning }
        }
    }
}

fn mapped_table(kind: Kind, file: &Path, name: &Path) -> Result<(Map, Vec<String>), String> {
    let (opened, metadata, notes) = opened(name, u32::MAX.into())?;
    let octets = mapped::octets(opened, &metadata).map_err(|error| cannot_read(&error))?;
    let map = Map::compiled(kind, file, octets).map_err(|why| why.to_string())?;
    Ok((map, notes))
}

/// A file that may be believed, what it is, and what the operator should know of it.
fn opened(file: &Path, limit: u64) -> Result<(File, Metadata, Vec<String>), String> {
    let opened = open(file)?;
    let metadata = opened.metadata().map_err(|error| cannot_read(&error))?;
    let notes = judge(file, &metadata, limit)?;
    Ok((opened, metadata, notes))
}
