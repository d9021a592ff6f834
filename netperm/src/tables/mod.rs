//! What sendmail's text tables have in common: rows of a key and of what stands behind it.
//!
//! Decides what a row is. A key is looked up without regard to case, as makemap(8) folds it; what the text behind it
//! means is each table's own matter. The rows come from the text itself, or from what `smapctl compile` made of it.
#![deny(clippy::disallowed_methods)]

use std::collections::HashMap;
use std::path::Path;
use std::sync::Arc;

use crate::fault::Fault;
use crate::place::{Located, Place};

mod cdb;
mod compiled;
mod lines;

pub use self::cdb::{Bytes, TooLarge};
use self::compiled::Compiled;
pub use self::compiled::{Stamp, Unusable};
pub(crate) use self::lines::meaning;

#[cfg(test)]
mod tests;

/// The attributes of a netperm-table whose first word is the file of a table of rows.
pub(crate) const ATTRIBUTES: [&str; 2] = ["access", "virtusertable"];

/// A table: keys, and the text behind each.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Map {
    file: Arc<Path>,
    rows: Rows,
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum Rows {
    Text(Arc<HashMap<String, Located<String>>>),
    Compiled(Arc<Compiled>),
}

/// What stands for a row that cannot be read any more: a text has no such value, so that no table takes it for one of
/// its own.
const DAMAGED: &str = "";

impl Map {
    /// Reads a table, and tells everything that is wrong with its rows.
    #[must_use]
    pub fn parse(file: &Path, bytes: &[u8]) -> (Self, Vec<Fault>) {
        Self::parse_watched(file, bytes, |_| ())
    }

    /// The same for someone who wants to know how far it is: he is told of every row.
    #[must_use]
    pub fn parse_watched(file: &Path, bytes: &[u8], mut watch: impl FnMut(&Place)) -> (Self, Vec<Fault>) {
        let (mut rows, mut faults) = (HashMap::<String, Located<String>>::new(), Vec::new());
        for (place, row) in lines::rows(file, bytes) {
            watch(&place);
            let (key, value) = match row {
                Ok(row) => row,
                Err(what) => {
                    faults.push(Fault::new(&place, what));
                    continue;
                }
            };
            let key = key.to_lowercase();
            if let Some(first) = rows.get(&key) {
                faults.push(Fault::new(&place, format!("\"{key}\" stands here already: {}", first.place)));
            } else {
                rows.insert(key, Located { place, value: value.to_owned() });
            }
        }
        (Self { file: Arc::from(file), rows: Rows::Text(Arc::new(rows)) }, faults)
    }

    /// The table of a text, by what was compiled of it.
    ///
    /// # Errors
    /// Nothing of the kind is in it.
    pub fn compiled(file: &Path, octets: Bytes) -> Result<Self, Unusable> {
        let compiled = Compiled::open(octets)?;
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

    /// What `FILE.cdb` is to be for a text in this state.
    ///
    /// # Errors
    /// It has too many rows.
    pub fn compile(&self, text: &Stamp) -> Result<Vec<u8>, TooLarge> {
        let mut rows: Vec<_> = self.iter().collect();
        rows.sort_unstable_by_key(|(_, place, _)| place.line_number());
        let numbered =
            rows.iter().map(|(key, place, value)| (*key, place.line_number().unwrap_or(0), *value));
        compiled::compile(text, numbered)
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
        match &self.rows {
            Rows::Text(rows) => {
                let row = rows.get(key)?;
                Some(Located { place: row.place.clone(), value: row.value.as_str() })
            }
            Rows::Compiled(compiled) => match compiled.get(key) {
                Ok(row) => row.map(|(line, value)| Located { place: Place::line(&self.file, line), value }),
                Err(_) => Some(Located { place: Place::whole(&self.file), value: DAMAGED }),
            },
        }
    }

    /// Every row, in no order. A compiled table ends with an empty value where it is damaged.
    pub fn iter(&self) -> impl Iterator<Item = (&str, Place, &str)> {
        let (text, compiled) = match &self.rows {
            Rows::Text(rows) => (Some(rows), None),
            Rows::Compiled(compiled) => (None, Some(compiled)),
        };
        let text = text.into_iter().flat_map(|rows| rows.iter());
        let text = text.map(|(key, row)| (key.as_str(), row.place.clone(), row.value.as_str()));
        let compiled = compiled.into_iter().flat_map(|compiled| compiled.rows());
        text.chain(compiled.map(|row| match row {
            Ok((key, line, value)) => (key, Place::line(&self.file, line), value),
            Err(_) => ("", Place::whole(&self.file), DAMAGED),
        }))
    }
}
