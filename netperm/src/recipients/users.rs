//! A file that names recipients: an address, or the local part of several domains, on each line.

use std::path::Path;
use std::sync::Arc;

use smap_common::address::Address;

use crate::aliases::Target;
use crate::detail::Delimiter;
use crate::fault::Fault;
use crate::place::Place;
use crate::tables::{Builder, Damaged, Map, meaning};

/// `file:/PATH`, and what the file says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Users {
    names: Map,
}

impl Users {
    pub(super) fn unread(file: &Path) -> Self {
        Self { names: Builder::new(file).done() }
    }

    /// Reads such a file, and tells everything that is wrong with it.
    pub(crate) fn parse(file: &Path, bytes: &[u8]) -> (Self, Vec<Fault>) {
        let shared: Arc<Path> = Arc::from(file);
        let (mut names, mut faults) = (Builder::new(file), Vec::new());
        for (line, number) in bytes.split_inclusive(|byte| *byte == b'\n').zip(1..) {
            let place = Place::line(&shared, number);
            match meaning(line).and_then(|line| line.map(key).transpose()) {
                Ok(Some(key)) => names.add_name(key, &place),
                Ok(None) => {}
                Err(what) => faults.push(Fault::new(&place, what)),
            }
        }
        (Self { names: names.done() }, faults)
    }

    /// What was compiled of it.
    pub(crate) fn of(names: Map) -> Self {
        Self { names }
    }

    pub(crate) fn rows(&self) -> &Map {
        &self.names
    }

    /// The file.
    #[must_use]
    pub fn file(&self) -> &Path {
        self.names.file()
    }

    /// The line that names a recipient: as a whole, by his local part, and both again without his detail.
    ///
    /// # Errors
    /// The compiled table is damaged there.
    pub fn find(&self, address: &Address, delimiter: Delimiter) -> Result<Option<Place>, Damaged> {
        for name in delimiter.names(address.local_part()) {
            let whole = address.domain().and_then(|domain| Address::new(name, domain.clone()).ok());
            for key in whole.map(|whole| whole.to_string()).into_iter().chain([name.to_owned()]) {
                if let Some(row) = self.names.find(&key.to_lowercase())? {
                    return Ok(Some(row.place));
                }
            }
        }
        Ok(None)
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
