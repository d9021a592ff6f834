//! A table that `smapctl compile` made of a text: a constant database with the number of the line before each value.
//!
//! Decides whether a file is of this format and of which text it was made. Trusts nothing in it. Guarantees that a
//! damaged row is never as if there were none.
//!
//! The first record has the empty key, which no text can have, and is the stamp.

use std::fmt;
use std::fs::Metadata;
use std::os::unix::fs::MetadataExt;

use super::cdb::{Broken, Bytes, Cdb, TooLarge, Writer};

#[cfg(test)]
mod tests;

/// What every stamp of this format begins with.
const FORMAT: &str = "smap-table 1 ";

/// The key of the stamp.
const STAMP: &[u8] = b"";

/// Which text it was, and in which state.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Stamp {
    inode: u64,
    size: u64,
    seconds: i64,
    nanoseconds: i64,
}

impl Stamp {
    /// That of an opened file.
    #[must_use]
    pub fn of(text: &Metadata) -> Self {
        Self { inode: text.ino(), size: text.size(), seconds: text.mtime(), nanoseconds: text.mtime_nsec() }
    }
}

impl fmt::Display for Stamp {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { inode, size, seconds, nanoseconds } = self;
        write!(f, "{FORMAT}inode={inode} size={size} mtime={seconds}.{nanoseconds:09}")
    }
}

/// Why a file is not used.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Unusable {
    /// It is not as it was written.
    Broken,
    /// It has no stamp of this format.
    Version,
}

impl fmt::Display for Unusable {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Broken => "it is damaged",
            Self::Version => "it was not made by this version of smapctl",
        })
    }
}

impl std::error::Error for Unusable {}

/// A compiled table.
pub(super) struct Compiled(Cdb);

impl Compiled {
    pub(super) fn open(bytes: Bytes) -> Result<Self, Unusable> {
        let compiled = Self(Cdb::new(bytes).map_err(|Broken| Unusable::Broken)?);
        let is_ours = compiled.stamp()?.starts_with(FORMAT.as_bytes());
        if is_ours { Ok(compiled) } else { Err(Unusable::Version) }
    }

    /// Whether it was made of the text in this state.
    pub(super) fn is_of(&self, text: &Stamp) -> bool {
        self.stamp().is_ok_and(|stamp| stamp == text.to_string().as_bytes())
    }

    fn stamp(&self) -> Result<&[u8], Unusable> {
        match self.0.records().next() {
            Some(Ok((STAMP, stamp))) => Ok(stamp),
            Some(Ok(_)) | None => Err(Unusable::Version),
            Some(Err(Broken)) => Err(Unusable::Broken),
        }
    }

    /// What stands behind a key, and in which line of the text.
    pub(super) fn get(&self, key: &str) -> Result<Option<(u32, &str)>, Broken> {
        if key.as_bytes() == STAMP {
            return Ok(None);
        }
        self.0.get(key.as_bytes())?.map(row).transpose()
    }

    /// The key, the line and the value of every row, in the order of the text.
    pub(super) fn rows(&self) -> impl Iterator<Item = Result<(&str, u32, &str), Broken>> {
        self.0.records().skip(1).map(|record| {
            let (key, value) = record?;
            let (line, value) = row(value)?;
            Ok((str::from_utf8(key).map_err(|_| Broken)?, line, value))
        })
    }
}

/// `LINE VALUE`
fn row(value: &[u8]) -> Result<(u32, &str), Broken> {
    let text = str::from_utf8(value).map_err(|_| Broken)?;
    let (line, value) = text.split_once(' ').ok_or(Broken)?;
    Ok((line.parse().map_err(|_| Broken)?, value))
}

/// Makes a file of rows: the key, the line and the value of each.
pub(super) fn compile<'a>(
    stamp: &Stamp,
    rows: impl IntoIterator<Item = (&'a str, u32, &'a str)>,
) -> Result<Vec<u8>, TooLarge> {
    let mut writer = Writer::new();
    writer.add(STAMP, stamp.to_string().as_bytes())?;
    for (key, line, value) in rows {
        writer.add(key.as_bytes(), format!("{line} {value}").as_bytes())?;
    }
    writer.finish()
}

impl fmt::Debug for Compiled {
    /// Not its rows, which may be a million.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Compiled").finish_non_exhaustive()
    }
}

impl PartialEq for Compiled {
    fn eq(&self, other: &Self) -> bool {
        self.rows().eq(other.rows())
    }
}

impl Eq for Compiled {}
