//! A file that names recipients: an address, or the local part of several domains, on each line.

use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use smap_common::address::Address;

use crate::aliases::Target;
use crate::detail::Delimiter;
use crate::fault::Fault;
use crate::place::Place;
use crate::tables::meaning;

/// `file:/PATH`, and what the file says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Users {
    file: PathBuf,
    names: Arc<HashMap<String, Place>>,
}

impl Users {
    pub(super) fn unread(file: PathBuf) -> Self {
        Self { file, names: Arc::default() }
    }

    /// Reads such a file, and tells everything that is wrong with it.
    pub(crate) fn parse(file: &Path, bytes: &[u8]) -> (Self, Vec<Fault>) {
        let shared: Arc<Path> = Arc::from(file);
        let (mut names, mut faults) = (HashMap::new(), Vec::new());
        for (line, number) in bytes.split_inclusive(|byte| *byte == b'\n').zip(1..) {
            let place = Place::line(&shared, number);
            match meaning(line).and_then(|line| line.map(key).transpose()) {
                Ok(Some(key)) => drop(names.entry(key).or_insert(place)),
                Ok(None) => {}
                Err(what) => faults.push(Fault::new(&place, what)),
            }
        }
        (Self { file: file.to_owned(), names: Arc::new(names) }, faults)
    }

    /// The file.
    #[must_use]
    pub fn file(&self) -> &Path {
        &self.file
    }

    /// The line that names a recipient: as a whole, by his local part, and both again without his detail.
    #[must_use]
    pub fn find(&self, address: &Address, delimiter: Delimiter) -> Option<&Place> {
        delimiter.names(address.local_part()).find_map(|name| {
            let whole = address.domain().and_then(|domain| Address::new(name, domain.clone()).ok());
            let whole = whole.and_then(|whole| self.names.get(&whole.to_string().to_lowercase()));
            whole.or_else(|| self.names.get(&name.to_lowercase()))
        })
    }
}

/// As it is looked up: an address with its quotes, a local part without them.
fn key(line: &str) -> Result<String, String> {
    match Target::read(line) {
        Ok(Target::Address(address)) => Ok(address.to_string().to_lowercase()),
        Ok(Target::Name(name)) => Ok(name.to_lowercase()),
        Ok(_) => Err(format!("\"{line}\" is neither an address nor a local part")),
        Err(fault) => Err(fault.to_string()),
    }
}
