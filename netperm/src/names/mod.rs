//! sendmail's `local-host-names` and `relay-domains`, in their own plain text: one name a line.
//!
//! Decides which domains are ours and which we are a relay for. Trusts the operator. Guarantees that a line that is not
//! understood in full is a fault.
//!
//! As in sendmail's class `w` a name of `local-host-names` means itself alone; as in its class `R`, without
//! `FEATURE(relay_hosts_only)`, a name of `relay-domains` means every name below too, of recipients' domains and of
//! clients, and an address means clients.
#![deny(clippy::disallowed_methods)]

use std::collections::HashMap;
use std::net::IpAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use serde::de::{Deserialize, Deserializer};
use smap_common::address::{AddressError, Domain};

use crate::access::order::{self, Lengths};
use crate::access::{KeyError, Subject};
use crate::fault::Fault;
use crate::paths;
use crate::place::Place;
use crate::table::word;
use crate::tables::meaning;

#[cfg(test)]
mod tests;

/// What a file of names is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    /// `local-host-names`
    Local,
    /// `relay-domains`
    Relay,
}

/// `local-host-names FILE` or `relay-domains FILE`, and what the file says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Names {
    file: PathBuf,
    content: Arc<Content>,
}

#[derive(Debug, Default, PartialEq, Eq)]
struct Content {
    lines: HashMap<String, Place>,
    lengths: Lengths,
    has_domains: bool,
}

/// A line that was found: what it says, and where it stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct NameLine<'a> {
    /// The name, or the address.
    pub name: &'a str,
    /// Where.
    pub place: &'a Place,
}

impl Names {
    /// Reads a file of names, and tells everything that is wrong with it.
    pub(crate) fn parse(kind: Kind, file: &Path, bytes: &[u8]) -> (Self, Vec<Fault>) {
        let (mut content, mut faults) = (Content::default(), Vec::new());
        let shared: Arc<Path> = Arc::from(file);
        for (line, number) in bytes.split_inclusive(|byte| *byte == b'\n').zip(1..) {
            let place = Place::line(&shared, number);
            match meaning(line).and_then(|line| line.map(|line| read(kind, line)).transpose()) {
                Ok(None) => {}
                Ok(Some((name, subject))) => content.add(name, subject, place),
                Err(what) => faults.push(Fault::new(&place, what)),
            }
        }
        (Self { file: file.to_owned(), content: Arc::new(content) }, faults)
    }

    /// The file.
    #[must_use]
    pub fn file(&self) -> &Path {
        &self.file
    }

    /// Every line, in no order.
    pub fn lines(&self) -> impl Iterator<Item = (&str, &Place)> {
        self.content.lines.iter().map(|(name, place)| (name.as_str(), place))
    }

    /// The domains among them, in no order.
    pub fn domains(&self) -> impl Iterator<Item = Domain> {
        self.lines().filter_map(|(name, _)| name.parse().ok())
    }

    /// Whether domains are among them.
    #[must_use]
    pub fn has_domains(&self) -> bool {
        self.content.has_domains
    }

    /// Whether this domain stands there.
    #[must_use]
    pub fn has(&self, domain: &Domain) -> Option<NameLine<'_>> {
        let exact = |key: &String| key.parse().as_ref() == Ok(domain);
        match domain.name() {
            Some(name) => self.first(&[name.to_lowercase()]),
            None => self.first(&order::of_domain(domain).into_iter().filter(exact).collect::<Vec<_>>()),
        }
    }

    /// Whether this domain, or one above it, stands there.
    #[must_use]
    pub fn covers(&self, domain: &Domain) -> Option<NameLine<'_>> {
        self.first(&order::of_domain(domain))
    }

    /// The same of a client's name.
    #[must_use]
    pub fn covers_name(&self, name: &str) -> Option<NameLine<'_>> {
        self.first(&order::of_name(name))
    }

    /// Whether this address, or a network with it, stands there.
    #[must_use]
    pub fn covers_address(&self, address: IpAddr) -> Option<NameLine<'_>> {
        self.first(&order::of_address(address, &self.content.lengths))
    }

    fn first(&self, keys: &[String]) -> Option<NameLine<'_>> {
        let found = keys.iter().find_map(|key| self.content.lines.get_key_value(key));
        found.map(|(name, place)| NameLine { name, place })
    }
}

impl Content {
    /// The same name twice does no harm.
    fn add(&mut self, name: String, subject: Subject, place: Place) {
        match &subject {
            Subject::Network(network) => self.lengths.add(network, &name),
            _ => self.has_domains = true,
        }
        self.lines.entry(name).or_insert(place);
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
        (Subject::Name(_), _) | (Subject::Below(_) | Subject::Network(_), Kind::Relay) => Ok(subject),
        _ => Err(KeyError::Address(AddressError::Domain)),
    }
}

impl<'de> Deserialize<'de> for Names {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        word(deserializer, |text| {
            let unread = |file| Self { file, content: Arc::default() };
            paths::file(text).map(unread).map_err(|fault| format!("\"{text}\" {fault}"))
        })
    }
}
