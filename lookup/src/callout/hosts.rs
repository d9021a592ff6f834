//! Where the next hosts of a domain are: as smapd finds them.

use std::collections::HashMap;
use std::collections::hash_map::RandomState;
use std::fmt;
use std::hash::BuildHasher;
use std::net::{IpAddr, SocketAddr};
use std::path::PathBuf;

use netperm::callout::Way;
use netperm::exchangers::{self, Exchanger, Ourselves};
use netperm::transport::{Host, LmtpTarget, NextHop, SMTP_PORT, Transport};
use smap_common::lookup::Name;
use smap_common::smtp::client::Dialect;

use crate::dns::{Dns, to_ascii};

/// Mail exchangers whose addresses are looked up: there is less time than for a delivery.
const MAX_EXCHANGERS: usize = 5;

/// One place to connect to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Target {
    Tcp(Option<String>, SocketAddr),
    Unix(PathBuf),
}

impl fmt::Display for Target {
    /// As the log has it: `HOST[ADDRESS]:PORT`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Tcp(host, address) => {
                write!(f, "{}[{}]:{}", host.as_deref().unwrap_or_default(), address.ip(), address.port())
            }
            Self::Unix(path) => write!(f, "{}", path.display()),
        }
    }
}

/// What is spoken there.
pub(super) fn dialect(transport: &Transport) -> Dialect {
    match transport {
        Transport::Lmtp { .. } => Dialect::Lmtp,
        _ => Dialect::Smtp,
    }
}

/// The places to ask, in their order, or why there is none.
pub(super) async fn targets(dns: &Dns, ours: &Ourselves, way: &Way<'_>) -> Result<Vec<Target>, String> {
    let (mut targets, mut trouble) = (Vec::new(), None);
    for hop in hops(way) {
        match of_hop(dns, ours, hop, way).await {
            Ok(found) => targets.extend(found),
            Err(why) => trouble = trouble.or(Some(why)),
        }
    }
    match trouble {
        _ if !targets.is_empty() => Ok(targets),
        Some(why) => Err(why),
        None => Err("no next host is named".to_owned()),
    }
}

/// Something that the table names.
enum Hop<'a> {
    Unix(&'a PathBuf),
    Next(NextHop),
}

fn hops<'a>(way: &'a Way<'_>) -> Vec<Hop<'a>> {
    match &*way.transport {
        Transport::Smtp { hops, .. } => hops.iter().cloned().map(Hop::Next).collect(),
        Transport::Lmtp { to: LmtpTarget::Unix(path), .. } => vec![Hop::Unix(path)],
        Transport::Lmtp { to: LmtpTarget::Tcp { host, port }, .. } => {
            vec![Hop::Next(NextHop::Direct { host: host.clone(), port: *port })]
        }
        _ => Vec::new(),
    }
}

async fn of_hop(dns: &Dns, ours: &Ourselves, hop: Hop<'_>, way: &Way<'_>) -> Result<Vec<Target>, String> {
    let at = |address: IpAddr, port| vec![Target::Tcp(None, SocketAddr::new(address.to_canonical(), port))];
    match hop {
        Hop::Unix(path) => Ok(vec![Target::Unix(path.clone())]),
        Hop::Next(NextHop::Direct { host: Host::Address(address), port }) => Ok(at(address, port)),
        Hop::Next(NextHop::Direct { host: Host::Name(host), port }) => {
            let found = addresses(dns, &host).await.map_err(|failure| format!("{host}: {failure}"))?;
            let target = |address| Target::Tcp(Some(host.clone()), SocketAddr::new(address, port));
            Ok(found.into_iter().map(target).collect())
        }
        Hop::Next(NextHop::ByMx { host, port }) => by_mx(dns, ours, &host, port).await,
        Hop::Next(NextHop::RecipientDomain) => match (way.domain.name(), way.domain.literal()) {
            (Some(name), _) => by_mx(dns, ours, name, SMTP_PORT).await,
            (None, Some(address)) if !ours.have(address) => Ok(at(address, SMTP_PORT)),
            (None, _) => Err(exchangers::loops_back(&way.domain.to_string()).text),
        },
    }
}

async fn addresses(dns: &Dns, host: &str) -> exchangers::Outcome<IpAddr> {
    let host: Name = host.parse().map_err(|_| exchangers::Failure::NoSuchName)?;
    dns.addresses_of(&host).await.map(|found| found.records)
}

async fn by_mx(dns: &Dns, ours: &Ourselves, domain: &str, port: u16) -> Result<Vec<Target>, String> {
    let domain = to_ascii(domain).ok_or_else(|| format!("{domain} cannot be looked up"))?;
    // Who names another port means another server, which may be on this machine.
    let elsewhere = Ourselves::default();
    let ours = if port == SMTP_PORT { ours } else { &elsewhere };
    let name: Name = domain.parse().map_err(|_| format!("{domain} cannot be looked up"))?;
    let exchanger = |mx: smap_common::lookup::Mx| Exchanger {
        preference: mx.preference,
        host: mx.exchange.as_str().to_owned(),
    };
    let answer = dns.mx(&name).await.map(|found| found.records.into_iter().map(exchanger).collect());
    let seed = RandomState::new().hash_one(());
    let mut hosts = exchangers::hosts(&domain, &answer, ours, seed).map_err(|nowhere| nowhere.text)?;
    hosts.truncate(MAX_EXCHANGERS);
    let mut found = HashMap::new();
    for Exchanger { host, .. } in &hosts {
        found.insert(host.clone(), addresses(dns, host).await);
    }
    let places = exchangers::places(&domain, &hosts, &found, ours).map_err(|nowhere| nowhere.text)?;
    let target = |(host, address)| Target::Tcp(Some(host), SocketAddr::new(address, port));
    Ok(places.into_iter().map(target).collect())
}
