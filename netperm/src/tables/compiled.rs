//! A table that `smapctl compile` made of a text: a constant database with the number of the line before each value.
//!
//! Decides whether a file is of this format and of which text it was made. Trusts nothing in it. Guarantees that a
//! damaged row is never as if there were none.
//!
//! The first record has the empty key, which no text can have, and is the stamp. The key of the second one is the end of
//! a line, which no text can have either: it has the kind of the table, and what its rows are taken together.

use std::fmt;
use std::fs::Metadata;
use std::os::unix::fs::MetadataExt;

use super::cdb::{Broken, Bytes, Cdb, TooLarge, Writer};
use super::kind::Kind;

#[cfg(test)]
mod tests;

/// What every stamp of this format begins with.
const FORMAT: &str = "smap-table 1 ";

/// The key of the stamp.
const STAMP: &[u8] = b"";

/// The key of the kind and the shape.
const SHAPE: &[u8] = b"\n";

/// The records before the rows.
const RESERVED: [&[u8]; 2] = [STAMP, SHAPE];

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
    /// It was made for another attribute than this.
    Kind(Kind),
}

impl fmt::Display for Unusable {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Broken => f.write_str("it is damaged"),
            Self::Version => f.write_str("it was not made by this version of smapctl"),
            Self::Kind(kind) => write!(f, "it was not made for {kind}"),
        }
    }
}

impl std::error::Error for Unusable {}

/// A compiled table.
pub(super) struct Compiled(Cdb);

impl Compiled {
    pub(super) fn open(kind: Kind, bytes: Bytes) -> Result<Self, Unusable> {
        let compiled = Self(Cdb::new(bytes).map_err(|Broken| Unusable::Broken)?);
        if !compiled.stamp()?.starts_with(FORMAT.as_bytes()) {
            return Err(Unusable::Version);
        }
        match compiled.head()?.0 == kind.attribute() {
            true => Ok(compiled),
            false => Err(Unusable::Kind(kind)),
        }
    }

    /// Whether it was made of the text in this state.
    pub(super) fn is_of(&self, text: &Stamp) -> bool {
        self.stamp().is_ok_and(|stamp| stamp == text.to_string().as_bytes())
    }

    fn stamp(&self) -> Result<&[u8], Unusable> {
        self.reserved(STAMP)
    }

    /// What its rows are taken together.
    pub(super) fn shape(&self) -> Result<&str, Unusable> {
        self.head().map(|(_, shape)| shape)
    }

    /// `KIND SHAPE`
    fn head(&self) -> Result<(&str, &str), Unusable> {
        let head = str::from_utf8(self.reserved(SHAPE)?).map_err(|_| Unusable::Broken)?;
        head.split_once(' ').ok_or(Unusable::Broken)
    }

    /// One of the records before the rows.
    fn reserved(&self, key: &[u8]) -> Result<&[u8], Unusable> {
        for (record, expected) in self.0.records().zip(RESERVED) {
            match record {
                Ok((found, value)) if found == expected && found == key => return Ok(value),
                Ok((found, _)) if found == expected => {}
                Ok(_) => return Err(Unusable::Version),
                Err(Broken) => return Err(Unusable::Broken),
            }
        }
        Err(Unusable::Version)
    }

    /// What stands behind a key, and in which line of the text.
    pub(super) fn get(&self, key: &str) -> Result<Option<(u32, &str)>, Broken> {
        if RESERVED.contains(&key.as_bytes()) {
            return Ok(None);
        }
        self.0.get(key.as_bytes())?.map(row).transpose()
    }

    /// The key, the line and the value of every row, in the order of the text.
    pub(super) fn rows(&self) -> impl Iterator<Item = Result<(&str, u32, &str), Broken>> {
        self.0.records().skip(RESERVED.len()).map(|record| {
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

/// Makes a file of rows: the line, the key and the value of each.
pub(super) fn compile<'a>(
    kind: Kind,
    shape: &str,
    stamp: &Stamp,
    rows: impl IntoIterator<Item = (u32, &'a str, &'a str)>,
) -> Result<Vec<u8>, TooLarge> {
    let mut writer = Writer::new();
    writer.add(STAMP, stamp.to_string().as_bytes())?;
    writer.add(SHAPE, format!("{kind} {shape}").as_bytes())?;
    for (line, key, value) in rows {
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
