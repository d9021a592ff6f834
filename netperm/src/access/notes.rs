//! Rows that let more through than was meant.

use std::net::IpAddr;

use ipnet::IpNet;

use super::Access;
use super::key::{Key, Subject, Tag};
use super::value::Value;
use crate::fault::Note;
use crate::names::Names;
use crate::place::Place;

/// A network of this many bits or fewer that is not private is more than one site's.
const WIDE_V4: u8 = 8;
/// Registries hand out longer ones.
const WIDE_V6: u8 = 19;

/// What is dangerous about a row that says RELAY.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Danger {
    Everyone,
    Ourselves,
    TopLevel,
    ByName,
}

impl Danger {
    const ALL: [Self; 4] = [Self::Everyone, Self::Ourselves, Self::TopLevel, Self::ByName];

    const fn text(self) -> &'static str {
        match self {
            Self::Everyone => "so large a network may send to any domain through us: this is an open relay",
            Self::Ourselves => {
                "this is our own address: behind a NAT or a proxy every client has it, which is an open relay then"
            }
            Self::TopLevel => {
                "everyone may send to every domain below this one through us: name the domains that are yours"
            }
            Self::ByName => {
                "hosts whose confirmed name is this, or below, may send to any domain: where only mail for it is \
                 meant, write To: before it, and where a host is meant, its address"
            }
        }
    }
}

/// What the operator should know of its rows: one note for each danger, at the first row that has it. `ours` are our
/// own addresses.
pub(crate) fn notes(access: &Access, ours: &[IpAddr]) -> Vec<Note> {
    let relaying = access.rows().filter(|(.., value)| *value == Value::Relay);
    of_keys(relaying.map(|(place, key, _)| (place, key)), ours)
}

/// The same of `relay-domains`; that its names mean clients too is said of the file.
pub(crate) fn notes_of_names(names: &Names, ours: &[IpAddr]) -> Vec<Note> {
    let keys = names.lines().filter_map(|(name, place)| {
        let subject = Subject::read(name).ok()?;
        let tag = matches!(subject, Subject::Name(_) | Subject::Below(_)).then_some(Tag::To);
        Some((place, Key { tag, subject }))
    });
    of_keys(keys, ours)
}

fn of_keys(keys: impl Iterator<Item = (Place, Key)>, ours: &[IpAddr]) -> Vec<Note> {
    let mut found: Vec<(Danger, Place)> = Vec::new();
    for (place, key) in keys {
        found.extend(dangers(&key, ours).into_iter().map(|danger| (danger, place.clone())));
    }
    Danger::ALL.into_iter().filter_map(|danger| note(danger, &found)).collect()
}

fn note(danger: Danger, found: &[(Danger, Place)]) -> Option<Note> {
    let places = || found.iter().filter(|(other, _)| *other == danger).map(|(_, place)| place);
    let first = places().min()?;
    let more = places().count() - 1;
    Some(match more {
        0 => Note::new(first, danger.text()),
        more => Note::new(first, format_args!("{} (and {more} more such rows)", danger.text())),
    })
}

fn dangers(key: &Key, ours: &[IpAddr]) -> Vec<Danger> {
    let (of_clients, of_mail) = (key.tag != Some(Tag::To), matches!(key.tag, None | Some(Tag::To)));
    let mut dangers = Vec::new();
    match &key.subject {
        Subject::Network(network) if is_wide(network) => dangers.push(Danger::Everyone),
        Subject::Network(network) if is_ours(network, ours) => dangers.push(Danger::Ourselves),
        Subject::Name(name) | Subject::Below(name) => {
            let is_localhost = name == "localhost" || name.starts_with("localhost.");
            if of_clients {
                dangers.push(if is_localhost { Danger::Ourselves } else { Danger::ByName });
            }
            if of_mail && !name.contains('.') && !is_localhost {
                dangers.push(Danger::TopLevel);
            }
        }
        Subject::Network(_) | Subject::Literal(_) | Subject::Mailbox | Subject::User => {}
    }
    dangers
}

fn is_wide(network: &IpNet) -> bool {
    match network {
        IpNet::V4(network) => {
            let own = network.addr().is_private() || network.addr().is_loopback();
            network.prefix_len() < WIDE_V4 || (network.prefix_len() == WIDE_V4 && !own)
        }
        IpNet::V6(network) => {
            let own = network.addr().is_unique_local() || network.addr().is_unicast_link_local();
            network.prefix_len() <= WIDE_V6 && !(own && network.prefix_len() >= 7)
        }
    }
}

fn is_ours(network: &IpNet, ours: &[IpAddr]) -> bool {
    let exactly =
        |address: &IpAddr| network.prefix_len() == network.max_prefix_len() && network.addr() == *address;
    network.addr().is_loopback() || ours.iter().any(exactly)
}
