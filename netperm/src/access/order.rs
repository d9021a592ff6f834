//! The keys by which something is looked up, the most specific first: sendmail's order.
//!
//! Of `LookUpDomain`, `LookUpAddress`, `LookUpFull` and `LookUpUser` in sendmail's cf/m4/proto.m4, with
//! `lookupdotdomain`; networks with their bits are ours, and stand behind sendmail's own key of the same length.

use std::collections::BTreeSet;
use std::fmt;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use ipnet::{IpNet, Ipv4Net, Ipv6Net};
use smap_common::address::{Address, Domain};

use super::key::Tag;
use crate::tables::{listed, read_list};

/// The lengths of the networks that are written with their bits.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Lengths {
    v4: BTreeSet<u8>,
    v6: BTreeSet<u8>,
}

impl Lengths {
    /// Takes a key into account, which is written so.
    pub(crate) fn add(&mut self, network: &IpNet, written: &str) {
        if !written.contains('/') {
            return;
        }
        match network {
            IpNet::V4(network) => self.v4.insert(network.prefix_len()),
            IpNet::V6(network) => self.v6.insert(network.prefix_len()),
        };
    }

    /// As a compiled table has them.
    pub(crate) fn read(text: &str) -> Option<Self> {
        let (v4, v6) = text.split_once(' ')?;
        Some(Self { v4: read_list(v4)?, v6: read_list(v6)? })
    }
}

impl fmt::Display for Lengths {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}", listed(&self.v4), listed(&self.v6))
    }
}

/// Each key with the tag, and without.
pub(crate) fn tagged(tag: Tag, keys: &[String]) -> Vec<String> {
    keys.iter().flat_map(|key| [format!("{}:{key}", tag.word()), key.clone()]).collect()
}

/// A name: itself, everything below its parent, its parent, and so on.
pub(crate) fn of_name(name: &str) -> Vec<String> {
    let name = name.to_lowercase();
    // The last label of a name is no number; of an address it is.
    if name.rsplit('.').next().is_some_and(|label| label.bytes().all(|byte| byte.is_ascii_digit())) {
        return Vec::new();
    }
    let parents = name.match_indices('.').map(|(dot, _)| name.split_at(dot).1);
    let both = parents.flat_map(|parent| [parent, parent.trim_start_matches('.')]);
    std::iter::once(name.as_str()).chain(both).map(str::to_owned).collect()
}

/// A domain as it stands in a mail address.
pub(crate) fn of_domain(domain: &Domain) -> Vec<String> {
    match (domain.name(), domain.literal()) {
        (Some(name), _) => of_name(name),
        (None, Some(address)) => of_literal(address),
        (None, None) => Vec::new(),
    }
}

/// An address in brackets: in a mail address, or of a client that has no name.
pub(crate) fn of_literal(address: IpAddr) -> Vec<String> {
    let bracketed = |key: String| format!("[{key}]");
    match address.to_canonical() {
        IpAddr::V4(address) => (1..=4).rev().map(|octets| bracketed(dotted(address, octets))).collect(),
        IpAddr::V6(address) => {
            let whole = [format!("ipv6:{}", groups(address, 8)), format!("ipv6:{address}")];
            let parts = (1..8).rev().map(|count| format!("ipv6:{}", groups(address, count)));
            unique(whole.into_iter().chain(parts).map(bracketed))
        }
    }
}

/// A client's address: itself, and the networks around it.
pub(crate) fn of_address(address: IpAddr, lengths: &Lengths) -> Vec<String> {
    let address = address.to_canonical();
    let longest = if address.is_ipv4() { 32 } else { 128 };
    let by_bits = if address.is_ipv4() { &lengths.v4 } else { &lengths.v6 };
    let networks = (0..=longest).rev().filter_map(|bits| IpNet::new(address, bits).ok());
    networks
        .flat_map(|network| {
            let mut keys = sendmails(&network.trunc());
            if by_bits.contains(&network.prefix_len()) {
                keys.extend(with_bits(&network.trunc()));
            }
            keys
        })
        .collect()
}

/// Every way to write a network that is looked up.
pub(super) fn spellings(network: &IpNet) -> Vec<String> {
    let mut all = sendmails(network);
    all.extend(with_bits(network));
    all
}

/// Every way to write an address literal, or a part of one, that is looked up.
pub(super) fn literal_spellings(network: &IpNet) -> Vec<String> {
    let own = sendmails(network).into_iter().filter(|key| !key.contains(':') || key.starts_with("ipv6:"));
    own.filter(|key| key != "ipv6").map(|key| format!("[{key}]")).collect()
}

/// Parts that end with an octet or a group; those of IPv6 also without sendmail's `IPv6:`.
fn sendmails(network: &IpNet) -> Vec<String> {
    match network {
        IpNet::V4(network) => whole(network.prefix_len(), 8)
            .filter(|octets| *octets > 0)
            .map(|octets| dotted(network.addr(), octets))
            .into_iter()
            .collect(),
        IpNet::V6(network) => {
            let address = network.addr();
            match whole(network.prefix_len(), 16) {
                None => Vec::new(),
                Some(0) => vec!["ipv6".to_owned()],
                Some(1) => vec![format!("ipv6:{}", groups(address, 1))],
                Some(8) => unique([
                    format!("ipv6:{}", groups(address, 8)),
                    format!("ipv6:{address}"),
                    groups(address, 8),
                    address.to_string(),
                ]),
                Some(count) => vec![format!("ipv6:{}", groups(address, count)), groups(address, count)],
            }
        }
    }
}

/// `10.0.0.0/8`, `2001:db8::/32`
fn with_bits(network: &IpNet) -> Vec<String> {
    match network {
        IpNet::V4(network) => vec![network.to_string()],
        IpNet::V6(network) => vec![network.to_string(), format!("ipv6:{network}")],
    }
}

/// How many parts a prefix has, where it ends with one.
fn whole(bits: u8, part: u8) -> Option<usize> {
    bits.is_multiple_of(part).then(|| usize::from(bits / part))
}

fn dotted(address: Ipv4Addr, octets: usize) -> String {
    let parts: Vec<String> = address.octets().iter().take(octets).map(u8::to_string).collect();
    parts.join(".")
}

fn groups(address: Ipv6Addr, count: usize) -> String {
    let parts: Vec<String> =
        address.segments().iter().take(count).map(|group| format!("{group:x}")).collect();
    parts.join(":")
}

fn unique(keys: impl IntoIterator<Item = String>) -> Vec<String> {
    let mut seen = Vec::new();
    for key in keys {
        if !seen.contains(&key) {
            seen.push(key);
        }
    }
    seen
}

/// The network of the parts of an IPv4 address.
pub(super) fn v4_prefix(text: &str) -> Option<IpNet> {
    let mut octets = [0; 4];
    let parts: Vec<&str> = text.split('.').collect();
    if parts.len() > octets.len() {
        return None;
    }
    for (octet, part) in octets.iter_mut().zip(&parts) {
        *octet = part.parse().ok()?;
    }
    let bits = u8::try_from(parts.len() * 8).ok()?;
    Ipv4Net::new(octets.into(), bits).ok().map(IpNet::from)
}

/// The network of the groups of an IPv6 address, or the address.
pub(super) fn v6_prefix(text: &str) -> Option<IpNet> {
    if let Ok(address) = text.parse::<Ipv6Addr>() {
        return Ipv6Net::new(address, 128).ok().map(IpNet::from);
    }
    let mut segments = [0; 8];
    let parts: Vec<&str> = text.split(':').collect();
    if parts.len() > segments.len() {
        return None;
    }
    for (segment, part) in segments.iter_mut().zip(&parts) {
        let digits = (1..=4).contains(&part.len()) && part.bytes().all(|byte| byte.is_ascii_hexdigit());
        *segment = u16::from_str_radix(part, 16).ok().filter(|_| digits)?;
    }
    let bits = u8::try_from(parts.len() * 16).ok()?;
    Ipv6Net::new(segments.into(), bits).ok().map(IpNet::from)
}

/// A mailbox: with its detail, with any, and without.
pub(crate) fn of_mailbox(address: &Address) -> Vec<String> {
    let Some(domain) = address.domain() else { return Vec::new() };
    let domain = domain.to_string().to_lowercase();
    users(address).into_iter().map(|user| format!("{user}@{domain}")).collect()
}

/// A user, wherever: the same, with a trailing `@`.
pub(crate) fn of_user(address: &Address) -> Vec<String> {
    users(address).into_iter().map(|user| format!("{user}@")).collect()
}

/// No row can name a local part that needs quotes, and what looks like a tag or a domain in one must name no other row.
fn users(address: &Address) -> Vec<String> {
    let local = address.local_part().to_lowercase();
    if needs_quotes(address) {
        return Vec::new();
    }
    let detail = local.char_indices().skip(1).find(|(_, c)| *c == '+');
    let user = detail.and_then(|(at, _)| local.get(..at)).map(str::to_owned);
    match user {
        Some(user) => unique([local, format!("{user}+*"), user]),
        None => vec![local],
    }
}

fn needs_quotes(address: &Address) -> bool {
    address.to_string().starts_with('"')
}
