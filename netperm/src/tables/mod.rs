//! What the tables that a netperm-table names have in common: rows of a key and of what stands behind it.
//!
//! Decides what a row is. A key is looked up without regard to case, as makemap(8) folds it; what the text behind it
//! means is each table's own matter. The rows come from the text itself, or from what `smapctl compile` made of it.
//! Guarantees that a row of a compiled table that was damaged is never as if there were none.
#![deny(clippy::disallowed_methods)]

use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::fmt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use crate::fault::Fault;
use crate::place::{Located, Place};

mod cdb;
mod compiled;
mod kind;
mod lines;
mod lists;

pub use self::cdb::{Bytes, TooLarge};
use self::compiled::Compiled;
pub use self::compiled::{Stamp, Unusable};
pub use self::kind::Kind;
pub(crate) use self::lines::meaning;
pub(crate) use self::lists::{listed, read_list};

#[cfg(test)]
mod tests;

/// A table: keys, and the text behind each.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Map {
    file: Arc<Path>,
    rows: Rows,
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum Rows {
    Text(Arc<HashMap<String, Row>>),
    Compiled(Arc<Compiled>),
}

/// The number of a line, and what it says.
type Row = (u32, String);

/// What stands for a row that cannot be read any more: a text has no such value, so that no table takes it for one of
/// its own.
const DAMAGED: &str = "";

/// What a row says whose key is all that it says.
const NAMED: &str = "-";

/// A row of a compiled table cannot be read any more.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Damaged(Place);

impl Damaged {
    /// The text, which mends it.
    #[must_use]
    pub fn place(&self) -> &Place {
        &self.0
    }
}

impl fmt::Display for Damaged {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (compiled, text) = (compiled_name(self.0.file()), self.0.file().display());
        write!(f, "{text}: {} is damaged: smapctl compile {text}", compiled.display())
    }
}

impl std::error::Error for Damaged {}

/// Where the compiled table of a text is.
#[must_use]
pub fn compiled_name(file: &Path) -> PathBuf {
    let mut name = file.as_os_str().to_owned();
    name.push(".cdb");
    name.into()
}

/// That what was compiled of a text gives way to it, and why.
pub(crate) fn unused(file: &Path, why: &impl fmt::Display) -> String {
    format!("{} is not used: {why}: smapctl compile {}", compiled_name(file).display(), file.display())
}

/// The rows of a text, as they are found.
pub(crate) struct Builder {
    file: Arc<Path>,
    rows: HashMap<String, Row>,
}

impl Builder {
    pub(crate) fn new(file: &Path) -> Self {
        Self { file: Arc::from(file), rows: HashMap::new() }
    }

    /// Adds a row, if its key does not stand there already.
    pub(crate) fn add(&mut self, key: String, place: &Place, value: impl Into<String>) -> Result<(), String> {
        match self.rows.entry(key) {
            Entry::Vacant(row) => {
                row.insert((place.line_number().unwrap_or(0), value.into()));
                Ok(())
            }
            Entry::Occupied(row) => {
                let first = Place::line(&self.file, row.get().0);
                Err(format!("\"{}\" stands here already: {first}", row.key()))
            }
        }
    }

    /// Adds a key that says everything itself; the same one twice does no harm.
    pub(crate) fn add_name(&mut self, key: String, place: &Place) {
        self.rows.entry(key).or_insert_with(|| (place.line_number().unwrap_or(0), NAMED.to_owned()));
    }

    pub(crate) fn done(self) -> Map {
        Map { file: self.file, rows: Rows::Text(Arc::new(self.rows)) }
    }
}

impl Map {
    /// Reads a table, and tells everything that is wrong with its rows.
    #[must_use]
    pub fn parse(file: &Path, bytes: &[u8]) -> (Self, Vec<Fault>) {
        let (mut rows, mut faults) = (Builder::new(file), Vec::new());
        for (place, row) in lines::rows(file, bytes) {
            let added = row.and_then(|(key, value)| rows.add(key.to_lowercase(), &place, value));
            faults.extend(added.err().map(|what| Fault::new(&place, what)));
        }
        (rows.done(), faults)
    }

    /// The table of a text, by what was compiled of it.
    ///
    /// # Errors
    /// Nothing of this kind is in it.
    pub fn compiled(kind: Kind, file: &Path, octets: Bytes) -> Result<Self, Unusable> {
        let compiled = Compiled::open(kind, octets)?;
        Ok(Self { file: Arc::from(file), rows: Rows::Compiled(Arc::new(compiled)) })
    }

    /// Whether it was compiled of another text than this, or in another state of it.
    #[must_use]
    pub fn is_stale(&self, text: &Stamp) -> bool {
        match &self.rows {
            Rows::Text(_) => false,
            Rows::Compiled(compiled) => !compiled.is_of(text),
        }
    }

    /// What `FILE.cdb` is to be for a text in this state. `shape` is what the rows are taken together, so that whoever
    /// opens it need not look at them all.
    ///
    /// # Errors
    /// It has too many rows.
    pub fn compile(&self, kind: Kind, shape: &str, text: &Stamp) -> Result<Vec<u8>, TooLarge> {
        let rows = self.iter().map(|(key, place, value)| (place.line_number().unwrap_or(0), key, value));
        let mut rows: Vec<_> = rows.collect();
        rows.sort_unstable();
        compiled::compile(kind, shape, text, rows)
    }

    /// What the rows of a compiled table are taken together.
    pub(crate) fn shape(&self) -> Option<&str> {
        match &self.rows {
            Rows::Text(_) => None,
            Rows::Compiled(compiled) => compiled.shape().ok(),
        }
    }

    /// The file, which is always the text.
    #[must_use]
    pub fn file(&self) -> &Path {
        &self.file
    }

    /// Whether it was compiled: its values were judged then.
    #[must_use]
    pub fn is_compiled(&self) -> bool {
        matches!(self.rows, Rows::Compiled(_))
    }

    /// What stands behind a key, which is in lower case, and where. A compiled table that was damaged gives an empty
    /// value, and is never as if the key did not stand in it.
    #[must_use]
    pub fn get(&self, key: &str) -> Option<Located<&str>> {
        let (line, value) = match &self.rows {
            Rows::Text(rows) => rows.get(key).map(|(line, value)| (*line, value.as_str()))?,
            Rows::Compiled(compiled) => match compiled.get(key) {
                Ok(row) => row?,
                Err(_) => return Some(Located { place: Place::whole(&self.file), value: DAMAGED }),
            },
        };
        Some(Located { place: Place::line(&self.file, line), value })
    }

    /// The same for a table whose values cannot say that somebody is to come back later.
    pub(crate) fn find(&self, key: &str) -> Result<Option<Located<&str>>, Damaged> {
        match self.get(key) {
            Some(row) if row.value == DAMAGED => Err(self.damaged()),
            row => Ok(row),
        }
    }

    pub(crate) fn damaged(&self) -> Damaged {
        Damaged(Place::whole(&self.file))
    }

    /// Every row, in no order. A compiled table ends with an empty value where it is damaged.
    pub fn iter(&self) -> impl Iterator<Item = (&str, Place, &str)> {
        let (text, compiled) = match &self.rows {
            Rows::Text(rows) => (Some(rows), None),
            Rows::Compiled(compiled) => (None, Some(compiled)),
        };
        let text = text.into_iter().flat_map(|rows| rows.iter());
        let text = text.map(|(key, (line, value))| Ok((key.as_str(), *line, value.as_str())));
        let compiled = compiled.into_iter().flat_map(|compiled| compiled.rows());
        text.chain(compiled).map(|row| match row {
            Ok((key, line, value)) => (key, Place::line(&self.file, line), value),
            Err(_) => ("", Place::whole(&self.file), DAMAGED),
        })
    }

    /// Every row of a text; none of a compiled table, whose rows were judged when it was made.
    pub(crate) fn unjudged(&self) -> impl Iterator<Item = (&str, Place, &str)> {
        let text = Some(self).filter(|map| !map.is_compiled());
        text.into_iter().flat_map(Self::iter)
    }
}
