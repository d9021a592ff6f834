//! What sendmail's text tables have in common: rows of a key and of what stands behind it.
//!
//! Decides what a row is. A key is looked up without regard to case, as makemap(8) folds it; what the text behind it
//! means is each table's own matter.
#![deny(clippy::disallowed_methods)]

use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use crate::fault::Fault;
use crate::place::{Located, Place};

mod lines;

pub(crate) use self::lines::meaning;

#[cfg(test)]
mod tests;

/// A table: keys, and the text behind each.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Map {
    file: PathBuf,
    rows: Arc<HashMap<String, Located<String>>>,
}

impl Map {
    /// Reads a table, and tells everything that is wrong with its rows.
    #[must_use]
    pub fn parse(file: &Path, bytes: &[u8]) -> (Self, Vec<Fault>) {
        let (mut rows, mut faults) = (HashMap::<String, Located<String>>::new(), Vec::new());
        for (place, row) in lines::rows(file, bytes) {
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
        (Self { file: file.to_owned(), rows: Arc::new(rows) }, faults)
    }

    /// The file.
    #[must_use]
    pub fn file(&self) -> &Path {
        &self.file
    }

    /// What stands behind a key, which is in lower case, and where.
    #[must_use]
    pub fn get(&self, key: &str) -> Option<Located<&str>> {
        let row = self.rows.get(key)?;
        Some(Located { place: row.place.clone(), value: row.value.as_str() })
    }

    /// Every row, in no order.
    pub fn iter(&self) -> impl Iterator<Item = (&str, &Place, &str)> {
        self.rows.iter().map(|(key, row)| (key.as_str(), &row.place, row.value.as_str()))
    }
}
