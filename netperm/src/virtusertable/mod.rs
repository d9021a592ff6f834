//! sendmail's `virtusertable`, in its own plain text: who somebody in a domain is.
//!
//! Decides which keys an address is looked up by, in which order, and what the row behind one makes of it
//! (`FEATURE(virtusertable)` and the rules below "handle virtual users" in sendmail's proto.m4). Trusts the operator's
//! intent, as a table does; what a sender wrote comes in by `%1`, `%2` and `%3` alone. Guarantees that these become
//! parts of a local part, or of a name whose last labels the operator wrote: no other domain, no program, no list.
//!
//! sendmail takes whom no row means for whom he was: so do we.
#![deny(clippy::disallowed_methods)]

mod value;

use std::collections::HashMap;
use std::fmt;
use std::path::{Path, PathBuf};

use serde::de::{Deserialize, Deserializer};
use smap_common::address::{Address, AddressError, Domain};

use self::value::{Arguments, Value};
use crate::detail::Delimiter;
use crate::fault::Fault;
use crate::paths;
use crate::place::{Located, Place};
use crate::table::word;
use crate::tables::Map;
use crate::transport::Transport;

#[cfg(test)]
mod tests;

/// `virtusertable FILE`, and what the file says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Virtusertable {
    map: Map,
}

/// A row that means an address.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Row {
    /// Its key.
    pub key: String,
    /// What stands behind it.
    pub written: String,
}

impl fmt::Display for Row {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}", self.key, self.written)
    }
}

/// What a row makes of an address.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Meaning {
    /// Another address.
    Address(Address),
    /// Nobody: always a [`Transport::Error`].
    Error(Transport),
    /// What the address leaves for `%1`, `%2` and `%3` makes no address.
    NoAddress,
}

/// A key, and what its row may use of the address.
struct Key<'a> {
    text: String,
    arguments: Arguments<'a>,
}

/// The keys of an address, in the order in which they are looked up; none for an address literal.
fn keys(address: &Address, delimiter: Delimiter) -> Vec<Key<'_>> {
    let Some(domain) = address.domain().and_then(Domain::name) else { return Vec::new() };
    let local = address.local_part();
    let key = |text: String, arguments| Key { text: text.to_lowercase(), arguments };
    let mut keys = vec![key(address.to_string(), Arguments([local, "", ""]))];
    let Some(split) = delimiter.split(local) else {
        keys.push(key(format!("@{domain}"), Arguments([local, "", ""])));
        return keys;
    };
    let (user, between) = (split.user, split.delimiter);
    let arguments = Arguments([user, split.detail, split.with_delimiter]);
    for user in [user, ""] {
        if !split.detail.is_empty() {
            keys.push(key(format!("{user}{between}{between}@{domain}"), arguments));
        }
        keys.push(key(format!("{user}{between}*@{domain}"), arguments));
        keys.push(key(format!("{user}@{domain}"), arguments));
    }
    keys
}

impl Virtusertable {
    fn unread(file: &Path) -> Self {
        Self { map: Map::parse(file, b"").0 }
    }

    /// Reads a virtusertable, and tells everything that is wrong with it.
    pub(crate) fn parse(file: &Path, bytes: &[u8]) -> (Self, Vec<Fault>) {
        let (map, mut faults) = Map::parse(file, bytes);
        for (key, place, value) in map.iter() {
            let judged = judge_key(key).and_then(|()| Value::read(value).map_err(|fault| fault.to_string()));
            faults.extend(judged.err().map(|what| Fault::new(&place, what)));
        }
        (Self { map }, faults)
    }

    /// What was compiled of it.
    pub(crate) fn of(map: Map) -> Self {
        Self { map }
    }

    pub(crate) fn rows(&self) -> &Map {
        &self.map
    }

    /// The file.
    #[must_use]
    pub fn file(&self) -> &Path {
        self.map.file()
    }

    /// Where the rows stand that lead to somebody, and not to an error; in no order.
    pub fn leading(&self) -> impl Iterator<Item = Place> {
        let leads = |value: &str| matches!(Value::read(value), Ok(Value::Address(_)));
        self.map.iter().filter(move |(.., value)| leads(value)).map(|(_, place, _)| place)
    }

    /// The row that means an address, if any, and what it makes of it. `home` is the domain of a bare user.
    #[must_use]
    pub fn find(
        &self,
        address: &Address,
        delimiter: Delimiter,
        home: &Domain,
    ) -> Option<(Located<Row>, Meaning)> {
        let (key, row) = self.row(address, delimiter)?;
        let meaning = match Value::read(row.value) {
            Ok(Value::Error(transport)) => Meaning::Error(transport),
            Ok(Value::Address(template)) => {
                template.address(&key.arguments, home).map_or(Meaning::NoAddress, Meaning::Address)
            }
            // A row that cannot be read any more says nothing of him: nobody is turned away for good.
            Err(_) => Meaning::Error(Transport::later()),
        };
        let value = Row { key: key.text, written: row.value.to_owned() };
        Some((Located { place: row.place, value }, meaning))
    }

    fn row<'a>(&'a self, address: &'a Address, delimiter: Delimiter) -> Option<(Key<'a>, Located<&'a str>)> {
        let keys = keys(address, delimiter).into_iter();
        keys.filter_map(|key| self.map.get(&key.text).map(|row| (key, row))).next()
    }

    /// Rows of the text that lead back to themselves, whatever the address.
    pub(crate) fn loops(&self, delimiter: Delimiter, home: &Domain) -> Vec<Fault> {
        let next = |value: &str| match Value::read(value) {
            Ok(Value::Address(template)) => {
                let address = template.fixed(home)?;
                self.row(&address, delimiter).map(|(key, row)| (key.text, row.place))
            }
            Ok(Value::Error(_)) | Err(_) => None,
        };
        let edges: HashMap<&str, (String, Place)> =
            self.map.unjudged().filter_map(|(key, _, value)| Some((key, next(value)?))).collect();
        let mut rows: Vec<(Place, &str)> = self.map.unjudged().map(|(key, place, _)| (place, key)).collect();
        rows.sort();
        let mut done: HashMap<&str, usize> = HashMap::new();
        let mut faults = Vec::new();
        for (walk, (_, start)) in rows.into_iter().enumerate() {
            let mut at = start;
            let circle = loop {
                match done.get(at) {
                    // A row of this same walk again.
                    Some(before) => break *before == walk,
                    None => done.insert(at, walk),
                };
                let Some((next, _)) = edges.get(at) else { break false };
                at = next;
            };
            faults.extend(edges.get(at).filter(|_| circle).and_then(|(_, next)| self.circle(at, next)));
        }
        faults
    }

    /// A row that comes back to itself by way of the row at `next`.
    fn circle(&self, key: &str, next: &Place) -> Option<Fault> {
        let place = self.map.get(key)?.place;
        let what = match place == *next {
            true => format!("\"{key}\" leads to itself"),
            false => format!("\"{key}\" leads back to itself, by way of {next}"),
        };
        Some(Fault::new(&place, what))
    }
}

/// `user@domain`, `user+detail@domain`, `user+*@domain`, `@domain`, ...
fn judge_key(key: &str) -> Result<(), String> {
    let about = |fault: &dyn fmt::Display| format!("\"{key}\": {fault}");
    let (local, domain) =
        key.rsplit_once('@').ok_or_else(|| about(&"a key is of the form user@domain or @domain"))?;
    let domain: Domain = domain.parse().map_err(|fault: AddressError| about(&fault))?;
    if domain.literal().is_some() {
        return Err(about(&"an address literal is never looked up in a virtusertable"));
    }
    match local {
        "" => Ok(()),
        _ => key.parse::<Address>().map(drop).map_err(|fault| about(&fault)),
    }
}

impl<'de> Deserialize<'de> for Virtusertable {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        word(deserializer, |text| {
            let file: PathBuf = paths::file(text).map_err(|fault| format!("\"{text}\" {fault}"))?;
            Ok(Self::unread(&file))
        })
    }
}
