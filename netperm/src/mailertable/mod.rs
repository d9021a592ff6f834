//! sendmail's `mailertable`, in its own plain text: where mail for which domain goes.
//!
//! Decides what a line means and which line means a domain. Trusts the operator's intent, as a table does; what a
//! sender wrote comes in by `%1` alone. Guarantees that `%1` becomes a part of the name of a host or of a user and
//! nothing else: no port, no further host, no address.
#![deny(clippy::disallowed_methods)]

mod value;

use std::borrow::Cow;
use std::collections::HashMap;
use std::fmt;
use std::path::{Path, PathBuf};
use std::str::FromStr;
use std::sync::Arc;

use serde::de::{Deserialize, Deserializer};
use smap_common::address::{Address, Domain};

use self::value::Target;
pub(crate) use self::value::{ValueError, error as error_value};
use crate::domains::{DomainPattern, DomainPatternError};
use crate::fault::Fault;
use crate::paths;
use crate::place::{Located, Place};
use crate::table::word;
use crate::tables::meaning;
use crate::transport::Transport;

#[cfg(test)]
mod tests;

/// The domains of a line.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Key {
    /// `host.domain`, `.domain`
    Of(DomainPattern),
    /// `.`
    Every,
}

impl Key {
    /// Whether every domain of the pattern is one of them.
    #[must_use]
    pub fn covers(&self, pattern: &DomainPattern) -> bool {
        match self {
            Self::Of(own) => own.covers(pattern),
            Self::Every => true,
        }
    }
}

/// Why a word is no key.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum KeyError {
    /// Not a pattern of domains.
    Pattern(DomainPatternError),
    /// Mail for `[192.0.2.1]` goes to that address.
    Literal,
}

impl std::error::Error for KeyError {}

impl fmt::Display for KeyError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Pattern(fault) => fault.fmt(f),
            Self::Literal => f.write_str("an address literal is never looked up in a mailertable"),
        }
    }
}

impl FromStr for Key {
    type Err = KeyError;

    fn from_str(text: &str) -> Result<Self, KeyError> {
        if text == "." {
            return Ok(Self::Every);
        }
        match text.parse().map_err(KeyError::Pattern)? {
            DomainPattern::Exact(domain) if domain.literal().is_some() => Err(KeyError::Literal),
            pattern => Ok(Self::Of(pattern)),
        }
    }
}

impl fmt::Display for Key {
    /// As it is looked up.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Of(pattern) => pattern.fmt(f),
            Self::Every => f.write_str("."),
        }
    }
}

/// One line: a key, and where mail for its domains goes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Entry {
    /// Its domains.
    pub key: Key,
    /// What stands behind it.
    pub written: String,
    target: Target,
}

impl Entry {
    /// The way of a recipient; `wildcard` is what the key leaves of his domain.
    #[must_use]
    pub fn transport(&self, recipient: &Address, wildcard: &str) -> Cow<'_, Transport> {
        self.target.transport(recipient, wildcard)
    }

    fn read(line: &str) -> Result<Self, String> {
        let (key, value) = line
            .split_once([' ', '\t'])
            .ok_or_else(|| format!("\"{line}\": where its mail goes is missing, such as smtp:[10.0.0.5]"))?;
        let key: Key = key.parse().map_err(|fault| format!("\"{key}\": {fault}"))?;
        let value = value.trim_ascii();
        let target = Target::read(value).map_err(|fault| fault.to_string())?;
        if target.has_wildcard() && matches!(key, Key::Of(DomainPattern::Exact(_))) {
            return Err(format!("%1 stands for nothing behind \"{key}\", which does not begin with a dot"));
        }
        Ok(Self { key, written: value.to_owned(), target })
    }
}

impl fmt::Display for Entry {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}", self.key, self.written)
    }
}

/// `mailertable FILE`, and what the file says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Mailertable {
    file: PathBuf,
    content: Arc<Content>,
}

#[derive(Debug, Default, PartialEq, Eq)]
struct Content {
    entries: Vec<Located<Entry>>,
    /// Where in `entries` each key stands.
    index: HashMap<String, usize>,
}

impl Mailertable {
    fn unread(file: PathBuf) -> Self {
        Self { file, content: Arc::default() }
    }

    /// Reads a mailertable, and tells everything that is wrong with it.
    #[must_use]
    pub fn parse(file: &Path, bytes: &[u8]) -> (Self, Vec<Fault>) {
        let (mut content, mut faults) = (Content::default(), Vec::new());
        let shared: Arc<Path> = Arc::from(file);
        for (line, number) in bytes.split_inclusive(|byte| *byte == b'\n').zip(1..) {
            let place = Place::line(&shared, number);
            let read = meaning(line).and_then(|line| line.map(Entry::read).transpose());
            let added = read.and_then(|entry| match entry {
                Some(value) => content.add(Located { place: place.clone(), value }),
                None => Ok(()),
            });
            faults.extend(added.err().map(|what| Fault::new(&place, what)));
        }
        (Self { file: file.to_owned(), content: Arc::new(content) }, faults)
    }

    /// The file.
    #[must_use]
    pub fn file(&self) -> &Path {
        &self.file
    }

    /// Every line, in the order of the file.
    #[must_use]
    pub fn entries(&self) -> &[Located<Entry>] {
        &self.content.entries
    }

    /// The line that means a domain, the most specific of them, and what its key leaves of the domain.
    #[must_use]
    pub fn find<'a, 'd>(&'a self, domain: &'d Domain) -> Option<(&'a Located<Entry>, &'d str)> {
        let name = domain.name()?;
        let at = |key: &str| self.content.index.get(key).and_then(|at| self.content.entries.get(*at));
        let below = || {
            let parents = name.match_indices('.').map(|(dot, _)| name.split_at(dot));
            parents.filter_map(|(wildcard, parent)| Some((at(parent)?, wildcard))).next()
        };
        let exact = at(name).map(|entry| (entry, ""));
        exact.or_else(below).or_else(|| at(".").map(|entry| (entry, name)))
    }

    /// The TCP ports that its lines lead to.
    pub fn ports(&self) -> impl Iterator<Item = u16> {
        self.content.entries.iter().flat_map(|entry| entry.target.ports())
    }

    pub(crate) fn is_another_way(&self) -> bool {
        self.content.entries.iter().any(|entry| entry.target.is_another_way())
    }
}

impl Content {
    fn add(&mut self, entry: Located<Entry>) -> Result<(), String> {
        let key = entry.key.to_string();
        if let Some(first) = self.index.get(&key).and_then(|at| self.entries.get(*at)) {
            return Err(format!("\"{key}\" stands here already: {}", first.place));
        }
        self.index.insert(key, self.entries.len());
        self.entries.push(entry);
        Ok(())
    }
}

impl<'de> Deserialize<'de> for Mailertable {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        word(deserializer, |text| {
            paths::file(text).map(Self::unread).map_err(|fault| format!("\"{text}\" {fault}"))
        })
    }
}
