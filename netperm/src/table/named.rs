//! The tables of rows that a netperm-table names.

use std::collections::BTreeSet;
use std::path::PathBuf;

use super::Table;
use crate::tables::ATTRIBUTES;

impl Table {
    /// Each of them once, whichever program it is for: what `smapctl compile` compiles.
    #[must_use]
    pub fn named_tables(&self) -> BTreeSet<PathBuf> {
        let named = self.entries.iter().filter(|entry| ATTRIBUTES.contains(&entry.attribute.as_str()));
        named.filter_map(|entry| entry.words.first()).map(PathBuf::from).collect()
    }
}
