//! sendmail's `local-host-names` and `relay-domains`, in their own plain text: one name a line.
//!
//! Decides which domains are ours and which we are a relay for. Trusts the operator. Guarantees that a line that is not
//! understood in full is a fault.
//!
//! As in sendmail's class `w` a name of `local-host-names` means itself alone; as in its class `R`, without
//! `FEATURE(relay_hosts_only)`, a name of `relay-domains` means every name below too, of recipients' domains and of
//! clients, and an address means clients.
#![deny(clippy::disallowed_methods)]

use std::fmt;
use std::net::IpAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use serde::de::{Deserialize, Deserializer};
use smap_common::address::{AddressError, Domain};

use crate::access::order::{self, Lengths};
use crate::access::{Key, KeyError, Subject, Tag};
use crate::fault::Fault;
use crate::paths;
use crate::place::Place;
use crate::table::word;
use crate::tables::{Builder, Damaged, Kind, Map, Unusable, listed, meaning, read_list};

#[cfg(test)]
mod tests;

/// `local-host-names FILE` or `relay-domains FILE`, and what the file says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Names {
    map: Map,
    shape: Shape,
}

/// What the names are taken together.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
struct Shape {
    lengths: Lengths,
    has_domains: bool,
}

/// A line that was found: what it says, and where it stands.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NameLine {
    /// The name, or the address.
    pub name: String,
    /// Where.
    pub place: Place,
}

/// A line, if there is one, as far as that can be told.
pub type Found = Result<Option<NameLine>, Damaged>;

impl Names {
    /// Reads a file of names, and tells everything that is wrong with it.
    pub(crate) fn parse(kind: Kind, file: &Path, bytes: &[u8]) -> (Self, Vec<Fault>) {
        let (mut names, mut shape, mut faults) = (Builder::new(file), Shape::default(), Vec::new());
        let shared: Arc<Path> = Arc::from(file);
        for (line, number) in bytes.split_inclusive(|byte| *byte == b'\n').zip(1..) {
            let place = Place::line(&shared, number);
            match meaning(line).and_then(|line| line.map(|line| read(kind, line)).transpose()) {
                Ok(None) => {}
                Ok(Some((name, subject))) => {
                    shape.add(&name, &subject);
                    names.add_name(name, &place);
                }
                Err(what) => faults.push(Fault::new(&place, what)),
            }
        }
        (Self { map: names.done(), shape }, faults)
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

    /// Every line, in no order.
    pub fn lines(&self) -> impl Iterator<Item = (&str, Place)> {
        self.map.iter().map(|(name, place, _)| (name, place))
    }

    /// The domains among them, in no order.
    pub fn domains(&self) -> impl Iterator<Item = Domain> {
        self.lines().filter_map(|(name, _)| name.parse().ok())
    }

    /// Where the lines of `relay-domains` stand that let clients send to anyone, or everyone send to recipients; in
    /// no order.
    pub fn relaying(&self, tag: Tag) -> impl Iterator<Item = Place> {
        let key = |name: &str| Subject::read(name).map(|subject| Key { tag: None, subject });
        self.lines()
            .filter(move |(name, _)| key(name).is_ok_and(|key| key.relays(tag)))
            .map(|(_, place)| place)
    }

    /// Whether domains are among them.
    #[must_use]
    pub fn has_domains(&self) -> bool {
        self.shape.has_domains
    }

    /// Whether this domain stands there.
    ///
    /// # Errors
    /// The compiled table is damaged there.
    pub fn has(&self, domain: &Domain) -> Found {
        let exact = |key: &String| key.parse().as_ref() == Ok(domain);
        match domain.name() {
            Some(name) => self.first(&[name.to_lowercase()]),
            None => self.first(&order::of_domain(domain).into_iter().filter(exact).collect::<Vec<_>>()),
        }
    }

    /// Whether this domain, or one above it, stands there.
    ///
    /// # Errors
    /// The compiled table is damaged there.
    pub fn covers(&self, domain: &Domain) -> Found {
        self.first(&order::of_domain(domain))
    }

    /// The same of a client's name.
    ///
    /// # Errors
    /// The compiled table is damaged there.
    pub fn covers_name(&self, name: &str) -> Found {
        self.first(&order::of_name(name))
    }

    /// Whether this address, or a network with it, stands there.
    ///
    /// # Errors
    /// The compiled table is damaged there.
    pub fn covers_address(&self, address: IpAddr) -> Found {
        self.first(&order::of_address(address, &self.shape.lengths))
    }

    fn first(&self, keys: &[String]) -> Found {
        for key in keys {
            if let Some(row) = self.map.find(key)? {
                return Ok(Some(NameLine { name: key.clone(), place: row.place }));
            }
        }
        Ok(None)
    }
}

const DOMAINS: &str = "domains";

impl Shape {
    fn add(&mut self, name: &str, subject: &Subject) {
        match subject {
            Subject::Network(network) => self.lengths.add(network, name),
            _ => self.has_domains = true,
        }
    }

    /// As a compiled table has it.
    fn read(text: &str) -> Option<Self> {
        let (lengths, kinds) = text.rsplit_once(' ')?;
        let kinds = read_list::<String>(kinds)?;
        Some(Self { lengths: Lengths::read(lengths)?, has_domains: kinds.contains(DOMAINS) })
    }
}

impl fmt::Display for Shape {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}", self.lengths, listed(self.has_domains.then_some(DOMAINS)))
    }
}

fn read(kind: Kind, line: &str) -> Result<(String, Subject), String> {
    if line.contains([' ', '\t']) {
        return Err(format!("\"{line}\": one name a line (a comment stands on a line of its own)"));
    }
    let name = line.to_lowercase();
    let subject = Subject::read(&name).and_then(|subject| fits(kind, subject));
    subject.map(|subject| (name, subject)).map_err(|fault| format!("\"{line}\": {fault}"))
}

fn fits(kind: Kind, subject: Subject) -> Result<Subject, KeyError> {
    match (&subject, kind) {
        (Subject::Literal(network), _) if network.prefix_len() == network.max_prefix_len() => Ok(subject),
        (Subject::Name(_), _) | (Subject::Below(_) | Subject::Network(_), Kind::RelayDomains) => Ok(subject),
        _ => Err(KeyError::Address(AddressError::Domain)),
    }
}

impl<'de> Deserialize<'de> for Names {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        word(deserializer, |text| {
            let unread = |file: PathBuf| Self { map: Builder::new(&file).done(), shape: Shape::default() };
            paths::file(text).map(unread).map_err(|fault| format!("\"{text}\" {fault}"))
        })
    }
}
