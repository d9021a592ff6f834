//! sendmail's `mailertable`, in its own plain text: where mail for which domain goes.
//!
//! Decides what a line means and which line means a domain. Trusts the operator's intent, as a table does; what a
//! sender wrote comes in by `%1` alone. Guarantees that `%1` becomes a part of the name of a host or of a user and
//! nothing else: no port, no further host, no address.
#![deny(clippy::disallowed_methods)]

mod value;

use std::borrow::Cow;
use std::collections::BTreeSet;
use std::fmt;
use std::path::Path;
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
use crate::tables::{Builder, Damaged, Map, Unusable, listed, meaning, read_list};
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
    /// It cannot be read any more: nobody knows yet where mail for its domains goes.
    pub(crate) damaged: Option<Damaged>,
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
        Self::of(key, value.trim_ascii())
    }

    fn of(key: &str, value: &str) -> Result<Self, String> {
        let key: Key = key.parse().map_err(|fault| format!("\"{key}\": {fault}"))?;
        let target = Target::read(value).map_err(|fault| fault.to_string())?;
        if target.has_wildcard() && matches!(key, Key::Of(DomainPattern::Exact(_))) {
            return Err(format!("%1 stands for nothing behind \"{key}\", which does not begin with a dot"));
        }
        Ok(Self { key, written: value.to_owned(), damaged: None, target })
    }

    fn damaged(key: &str, damaged: Damaged) -> Self {
        let (key, target) = (key.parse().unwrap_or(Key::Every), Target::Fixed(Transport::later()));
        Self { key, written: format!("({damaged})"), damaged: Some(damaged), target }
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
    map: Map,
    shape: Shape,
}

/// What the lines are taken together.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
struct Shape {
    ports: BTreeSet<u16>,
    is_another_way: bool,
}

impl Mailertable {
    fn unread(file: &Path) -> Self {
        Self { map: Builder::new(file).done(), shape: Shape::default() }
    }

    /// Reads a mailertable, and tells everything that is wrong with it.
    #[must_use]
    pub fn parse(file: &Path, bytes: &[u8]) -> (Self, Vec<Fault>) {
        let (mut rows, mut shape, mut faults) = (Builder::new(file), Shape::default(), Vec::new());
        let shared: Arc<Path> = Arc::from(file);
        for (line, number) in bytes.split_inclusive(|byte| *byte == b'\n').zip(1..) {
            let place = Place::line(&shared, number);
            let read = meaning(line).and_then(|line| line.map(Entry::read).transpose());
            let added = read.and_then(|entry| match entry {
                Some(entry) => {
                    shape.add(&entry.target);
                    rows.add(entry.key.to_string(), &place, entry.written)
                }
                None => Ok(()),
            });
            faults.extend(added.err().map(|what| Fault::new(&place, what)));
        }
        (Self { map: rows.done(), shape }, faults)
    }

    /// What was compiled of it.
    pub(crate) fn of(map: Map) -> Result<Self, Unusable> {
        let shape = map.shape().and_then(Shape::read).ok_or(Unusable::Broken)?;
        Ok(Self { map, shape })
    }

    pub(crate) fn rows_and_shape(&self) -> (&Map, String) {
        (&self.map, self.shape.to_string())
    }

    /// The file.
    #[must_use]
    pub fn file(&self) -> &Path {
        self.map.file()
    }

    /// Every line, in the order of the file.
    #[must_use]
    pub fn entries(&self) -> Vec<Located<Entry>> {
        let entry = |(key, place, value)| Located { place, value: self.entry(key, value) };
        let mut entries: Vec<Located<Entry>> = self.map.iter().map(entry).collect();
        entries.sort_by(|one, other| one.place.cmp(&other.place));
        entries
    }

    /// Whether it was compiled.
    pub(crate) fn is_compiled(&self) -> bool {
        self.map.is_compiled()
    }

    /// The domains of the lines of a text, in no order.
    pub(crate) fn unjudged(&self) -> impl Iterator<Item = DomainPattern> {
        self.map.unjudged().filter_map(|(key, ..)| match key.parse() {
            Ok(Key::Of(pattern)) => Some(pattern),
            Ok(Key::Every) | Err(_) => None,
        })
    }

    /// The line that means a domain, the most specific of them, and what its key leaves of the domain.
    #[must_use]
    pub fn find<'d>(&self, domain: &'d Domain) -> Option<(Located<Entry>, &'d str)> {
        let name = domain.name()?;
        let below = || {
            let parents = name.match_indices('.').map(|(dot, _)| name.split_at(dot));
            parents.filter_map(|(wildcard, parent)| Some((self.at(parent)?, wildcard))).next()
        };
        let exact = self.at(name).map(|entry| (entry, ""));
        exact.or_else(below).or_else(|| self.at(".").map(|entry| (entry, name)))
    }

    fn at(&self, key: &str) -> Option<Located<Entry>> {
        let row = self.map.get(key)?;
        Some(Located { value: self.entry(key, row.value), place: row.place })
    }

    /// What a row says that was judged when its text was read.
    fn entry(&self, key: &str, value: &str) -> Entry {
        Entry::of(key, value).unwrap_or_else(|_| Entry::damaged(key, self.map.damaged()))
    }

    /// The TCP ports that its lines lead to.
    pub fn ports(&self) -> impl Iterator<Item = u16> {
        self.shape.ports.iter().copied()
    }

    pub(crate) fn is_another_way(&self) -> bool {
        self.shape.is_another_way
    }
}

const ANOTHER_WAY: &str = "another-way";

impl Shape {
    fn add(&mut self, target: &Target) {
        self.ports.extend(target.ports());
        self.is_another_way |= target.is_another_way();
    }

    /// As a compiled table has it.
    fn read(text: &str) -> Option<Self> {
        let (ports, ways) = text.split_once(' ')?;
        let is_another_way = read_list::<String>(ways)?.contains(ANOTHER_WAY);
        Some(Self { ports: read_list(ports)?, is_another_way })
    }
}

impl fmt::Display for Shape {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}", listed(&self.ports), listed(self.is_another_way.then_some(ANOTHER_WAY)))
    }
}

impl<'de> Deserialize<'de> for Mailertable {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        word(deserializer, |text| {
            paths::file(text).map(|file| Self::unread(&file)).map_err(|fault| format!("\"{text}\" {fault}"))
        })
    }
}
