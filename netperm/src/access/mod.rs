//! sendmail's `access`, in its own plain text: who may connect, who may send, to whom, and who may relay.
//!
//! Decides what a row means and which row means a client, a sender or a recipient. Trusts the operator, and that the
//! names of a client were confirmed; what a client says of itself is only ever compared. Guarantees that a row that is
//! not understood in full is a fault, and never a yes; and that no sender is a reason to relay, because a sender can be
//! forged.
//!
//! The meaning is that of sendmail's `FEATURE(access_db)` with `skip`, `lookupdotdomain`, `relaytofulladdress` and
//! `FEATURE(blacklist_recipients)`, without `FEATURE(relay_hosts_only)`.
#![deny(clippy::disallowed_methods)]

mod key;
mod notes;
pub(crate) mod order;
mod shape;
mod value;

use std::fmt;
use std::net::IpAddr;
use std::path::{Path, PathBuf};

use serde::de::{Deserialize, Deserializer};
use smap_common::address::Address;
use smap_common::lookup::Name;

pub use self::key::{Key, KeyError, Subject, Tag};
pub(crate) use self::notes::{notes, notes_of_names};
use self::order::tagged;
use self::shape::{ADDRESSES_REFUSE, NAMES_ACCEPT, NAMES_REFUSE, NAMES_RELAY, Shape};
pub use self::value::{Value, ValueError};
use crate::fault::Fault;
use crate::hosts::{Client, ClientName};
use crate::paths;
use crate::place::Place;
use crate::reply::Reply;
use crate::table::word;
use crate::tables::{Damaged, Map, Unusable};

#[cfg(test)]
mod tests;

/// `access FILE`, and what the file says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Access {
    map: Map,
    shape: Shape,
}

/// A row that was found.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Row {
    /// Where it stands.
    pub place: Place,
    /// The key that found it.
    pub key: String,
    /// What it says.
    pub value: Value,
}

impl fmt::Display for Row {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: access {} {}", self.place, self.key, self.value)
    }
}

/// What came of looking something up.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
#[must_use]
pub struct Search {
    /// The row that decides, if there is one; never one that says SKIP.
    pub row: Option<Row>,
    /// The keys that were looked up, in that order.
    pub tried: Vec<String>,
    /// The row that ended the search cannot be read any more.
    pub damaged: Option<Damaged>,
}

impl Search {
    /// Goes on with another one, if this one found nothing.
    fn or(mut self, next: impl FnOnce() -> Self) -> Self {
        if self.row.is_none() && self.damaged.is_none() {
            let next = next();
            self.tried.extend(next.tried);
            (self.row, self.damaged) = (next.row, next.damaged);
        }
        self
    }

    /// Only a row that says RELAY counts.
    fn relay(self) -> Self {
        Self { row: self.row.filter(|row| row.value == Value::Relay), ..self }
    }
}

impl Access {
    /// Reads a table, and tells everything that is wrong with it.
    pub(crate) fn parse(file: &Path, bytes: &[u8]) -> (Self, Vec<Fault>) {
        let (map, mut faults) = Map::parse(file, bytes);
        let mut shape = Shape::default();
        for (key, place, value) in map.iter() {
            match row(key, value) {
                Ok((read, value)) => shape.add(key, &read, &value),
                Err(what) => faults.push(Fault::new(&place, what)),
            }
        }
        (Self { map, shape }, faults)
    }

    /// What was compiled of it.
    pub(crate) fn of(map: Map) -> Result<Self, Unusable> {
        let shape = map.shape().and_then(Shape::read).ok_or(Unusable::Broken)?;
        Ok(Self { map, shape })
    }

    pub(crate) fn rows_and_shape(&self) -> (&Map, String) {
        (&self.map, self.shape.to_string())
    }

    fn unread(file: PathBuf) -> Self {
        Self::parse(&file, b"").0
    }

    /// The file.
    #[must_use]
    pub fn file(&self) -> &Path {
        self.map.file()
    }

    /// Every row, in no order.
    pub(crate) fn rows(&self) -> impl Iterator<Item = (Place, Key, Value)> {
        self.map.iter().filter_map(|(key, place, value)| row(key, value).ok().map(|(k, v)| (place, k, v)))
    }

    /// Where the rows stand that let clients send to anyone, or everyone send to recipients; in no order.
    pub fn relaying(&self, tag: Tag) -> impl Iterator<Item = Place> {
        let relaying = self.rows().filter(|(.., value)| *value == Value::Relay);
        relaying.filter(move |(_, key, _)| key.relays(tag)).map(|(place, ..)| place)
    }

    /// Whether a client's name may decide that it may not connect.
    #[must_use]
    pub fn connect_needs_name(&self) -> bool {
        self.shape.has(NAMES_REFUSE) || (self.shape.has(NAMES_ACCEPT) && self.shape.has(ADDRESSES_REFUSE))
    }

    /// Whether a client's name may let it relay.
    #[must_use]
    pub fn relay_needs_name(&self) -> bool {
        self.shape.has(NAMES_RELAY)
    }

    /// The row for a client that connects: by its name, or that it has none, then by its address. Of several names
    /// one that is refused decides.
    pub fn connect(&self, client: &Client) -> Search {
        let Some(address) = client.address else { return Search::default() };
        let by_name = match &client.name {
            ClientName::Known(names) => self.by_names(names),
            ClientName::Unknown | ClientName::Failed(_) => {
                self.search(Tag::Connect, &order::of_literal(address))
            }
            ClientName::NotAsked => Search::default(),
        };
        by_name.or(|| self.search(Tag::Connect, &order::of_address(address, &self.shape.lengths)))
    }

    /// The row for a sender.
    pub fn sender(&self, sender: &Address) -> Search {
        self.search(Tag::From, &order::of_mailbox(sender))
            .or(|| self.search(Tag::From, &order::of_user(sender)))
            .or(|| self.of_domain(Tag::From, sender))
    }

    /// The row for a recipient; `ours` says that we answer for his domain, where a user alone may be named.
    pub fn recipient(&self, recipient: &Address, ours: bool) -> Search {
        let user = || if ours { self.search(Tag::To, &order::of_user(recipient)) } else { Search::default() };
        self.search(Tag::To, &order::of_mailbox(recipient)).or(user).or(|| self.of_domain(Tag::To, recipient))
    }

    /// The row that lets everyone send to this recipient.
    pub fn relay_to(&self, recipient: &Address) -> Search {
        let mailbox = self.search(Tag::To, &order::of_mailbox(recipient)).relay();
        mailbox.or(|| self.of_domain(Tag::To, recipient).relay())
    }

    /// The row that lets a client send to anyone, because of its address.
    pub fn relay_from(&self, address: IpAddr) -> Search {
        self.search(Tag::Connect, &order::of_address(address, &self.shape.lengths)).relay()
    }

    /// The row that lets this address alone, and not a network around it, send to anyone.
    #[must_use]
    pub fn relays_alone(&self, address: IpAddr) -> Option<Row> {
        let alone = |row: &Row| match Key::read(&row.key).map(|key| key.subject) {
            Ok(Subject::Network(network)) => network.prefix_len() == network.max_prefix_len(),
            Ok(_) | Err(_) => false,
        };
        self.relay_from(address).row.filter(alone)
    }

    /// The row that lets a client send to anyone, because of one of its names.
    pub fn relay_from_names(&self, names: &[Name]) -> Search {
        names.iter().fold(Search::default(), |found, name| {
            found.or(|| self.search(Tag::Connect, &order::of_name(name.as_str())).relay())
        })
    }

    fn by_names(&self, names: &[Name]) -> Search {
        let mut whole = Search::default();
        for name in names {
            let found = self.search(Tag::Connect, &order::of_name(name.as_str()));
            whole.tried.extend(found.tried);
            let decides = |row: &Row| whole.row.is_none() || row.value.refuses();
            if found.row.as_ref().is_some_and(decides) {
                whole.row = found.row;
            }
        }
        whole
    }

    fn of_domain(&self, tag: Tag, address: &Address) -> Search {
        address.domain().map(|domain| self.search(tag, &order::of_domain(domain))).unwrap_or_default()
    }

    /// The first of these keys that there is.
    fn search(&self, tag: Tag, keys: &[String]) -> Search {
        let mut search = Search::default();
        for key in tagged(tag, keys) {
            let row = self.map.get(&key).map(|row| (row.place, Value::read(row.value)));
            search.tried.push(key.clone());
            if let Some((place, value)) = row {
                search.damaged = value.is_err().then(|| self.map.damaged());
                // Such a row is never a yes.
                let value = value.unwrap_or_else(|_| Value::Error(Reply::later()));
                search.row = Some(Row { place, key, value }).filter(|row| row.value != Value::Skip);
                break;
            }
        }
        search
    }
}

/// A row on its own.
fn row(key: &str, value: &str) -> Result<(Key, Value), String> {
    let read = Key::read(key).map_err(|fault| format!("\"{key}\": {fault}"))?;
    let value = Value::read(value).map_err(|fault| fault.to_string())?;
    match (&value, read.tag, &read.subject) {
        (Value::Relay, Some(Tag::From), _) => Err(format!(
            "\"{key}\": a sender is no reason to relay, because everyone can forge it; \
             name the client with Connect: or the recipient's domain with To:"
        )),
        (Value::Skip, _, Subject::Mailbox | Subject::User) => {
            Err(format!("\"{key}\": SKIP ends the search among domains and networks, and this is neither"))
        }
        _ => Ok((read, value)),
    }
}

impl<'de> Deserialize<'de> for Access {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        word(deserializer, |text| {
            paths::file(text).map(Self::unread).map_err(|fault| format!("\"{text}\" {fault}"))
        })
    }
}
