//! The files of a table by what is compiled of them: nobody reads their texts again.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use netperm::tables::{Kind, Map, Stamp};
use netperm::{Content, Found, Reader, Table};

/// What was compiled.
pub(crate) struct Compiled(pub(crate) BTreeMap<(Kind, PathBuf), Vec<u8>>);

impl Compiled {
    /// Every file that a table names, as it was read there.
    pub(crate) fn of(table: &Table) -> Self {
        let text = Stamp::of(&std::fs::metadata("/").unwrap());
        let compiled = |(file, kind): (PathBuf, Kind)| {
            let (bytes, _) = table.compile(kind, &file, &text).unwrap().unwrap();
            ((kind, file), bytes)
        };
        Self(table.named().into_iter().map(compiled).collect())
    }
}

impl Reader for Compiled {
    fn content(&self, _: &Path) -> Result<Content, String> {
        Err("its text is read".to_owned())
    }

    fn compiled(&self, kind: Kind, file: &Path) -> Found {
        let bytes = self.0[&(kind, file.to_owned())].clone();
        Found { map: Some(Map::compiled(kind, file, Box::new(bytes)).unwrap()), ..Found::default() }
    }
}
