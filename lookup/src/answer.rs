//! Questions, answered.
//!
//! Decides what of an answer of the DNS is an answer to the question: records of that kind at the end of the chain
//! of aliases that begins at the name, and nothing else that stood in the packet.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, UdpSocket};
use std::time::Instant;

use futures_util::future::join;
use hickory_resolver::lookup::Lookup;
use hickory_resolver::proto::op::Query;
use hickory_resolver::proto::rr::{Name as DnsName, RData, Record, RecordType};
use smap_common::lookup::{Answer, Failure, Found, MAX_RECORDS, Mx, Name, Outcome, Question, Tlsa};

use crate::dns::Dns;
use crate::judge::{endless, is_doubtful, judge, unusable};

/// Aliases from a name to its records.
const MAX_CHAIN: usize = 16;
/// Names of one address that are confirmed: an address of thousands of names costs no more.
const MAX_CONFIRMED: usize = 16;
/// Seconds for which anything may be used.
const MAX_TTL: u64 = 24 * 60 * 60;

impl Dns {
    /// The answer, however long it takes.
    pub(crate) async fn answer(&self, question: &Question) -> Answer {
        match question {
            Question::Addresses { host } => Answer::Addresses(self.addresses_of(host).await),
            Question::Mx { domain } => Answer::Mx(self.mx(domain).await),
            Question::Names { address } => Answer::Names(self.names(*address).await),
            Question::Texts { name } => Answer::Texts(self.texts(name).await),
            Question::Tlsa { port, host } => Answer::Tlsa(self.tlsa(*port, host).await),
            Question::User { .. } | Question::Recipient { .. } => {
                question.failed(Failure::Temporary("the DNS knows nothing of them".to_owned()))
            }
        }
    }

    pub(crate) async fn addresses_of(&self, host: &Name) -> Outcome<IpAddr> {
        if let Ok(address) = host.as_str().parse() {
            return Ok(Found { records: vec![address], secure: false, ttl: 0 });
        }
        let name = full(host)?;
        let searched: Vec<DnsName> = match name.num_labels() {
            1 => self.search.iter().filter_map(|domain| name.clone().append_domain(domain).ok()).collect(),
            _ => Vec::new(),
        };
        if let Some(listed) = self.listed(&name) {
            return Ok(listed);
        }
        let mut last = Err(Failure::NoSuchName);
        for name in searched.into_iter().chain([name]) {
            match self.addresses(name).await {
                Err(failure @ (Failure::NoSuchName | Failure::NoRecords)) => last = Err(failure),
                found_or_temporary => return found_or_temporary,
            }
        }
        last
    }

    /// What the hosts file says.
    fn listed(&self, name: &DnsName) -> Option<Found<IpAddr>> {
        let of = |kind| {
            let lookup = self.hosts.lookup_static_host(&Query::query(name.clone(), kind));
            lookup.map(|lookup| lookup.answers().iter().filter_map(|record| address(&record.data)).collect())
        };
        let records: Vec<IpAddr> = [RecordType::AAAA, RecordType::A]
            .into_iter()
            .filter_map(of)
            .flat_map(|found: Vec<_>| found)
            .collect();
        (!records.is_empty()).then(|| Found { records: in_order(records), secure: false, ttl: 0 })
    }

    async fn addresses(&self, name: DnsName) -> Outcome<IpAddr> {
        let of = |kind| self.records(name.clone(), kind, address);
        match join(of(RecordType::AAAA), of(RecordType::A)).await {
            (Ok(six), Ok(four)) => Ok(Found {
                records: in_order(six.records.into_iter().chain(four.records).collect()),
                secure: six.secure && four.secure,
                ttl: six.ttl.min(four.ttl),
            }),
            (Ok(found), Err(_)) | (Err(_), Ok(found)) => {
                Ok(Found { records: in_order(found.records), ..found })
            }
            (Err(why @ Failure::Temporary(_)), Err(_)) | (Err(_), Err(why @ Failure::Temporary(_))) => {
                Err(why)
            }
            (Err(Failure::NoSuchName), Err(Failure::NoSuchName)) => Err(Failure::NoSuchName),
            (Err(_), Err(_)) => Err(Failure::NoRecords),
        }
    }

    pub(crate) async fn mx(&self, domain: &Name) -> Outcome<Mx> {
        let exchange = |data: &RData| match data {
            RData::MX(mx) => Some(Mx { preference: mx.preference, exchange: known(&mx.exchange)? }),
            _ => None,
        };
        let mut found = self.records(full(domain)?, RecordType::MX, exchange).await?;
        found.records.sort();
        found.records.truncate(MAX_RECORDS);
        Ok(found)
    }

    /// The names that say they have this address, and have it.
    async fn names(&self, address: IpAddr) -> Outcome<Name> {
        let address = address.to_canonical();
        let said = self.names_said(address).await?;
        let mut confirmed = Found { records: Vec::new(), ..said };
        let mut trouble = None;
        for name in said.records.into_iter().take(MAX_CONFIRMED) {
            match self.addresses_like(address, &name).await {
                Ok(found) if found.records.contains(&address) => {
                    confirmed.secure &= found.secure;
                    confirmed.ttl = confirmed.ttl.min(found.ttl);
                    confirmed.records.push(name);
                }
                Err(why @ Failure::Temporary(_)) => trouble = Some(why),
                Ok(_) | Err(Failure::NoSuchName | Failure::NoRecords) => {}
            }
        }
        match trouble {
            // The name that is missing may be the one that a rule denies.
            Some(why) => Err(why),
            None if confirmed.records.is_empty() => Err(Failure::NoRecords),
            None => Ok(confirmed),
        }
    }

    /// The addresses of a name that are of the same family: what cannot be said of the other one does not matter
    /// here. A name that looks like an address is none.
    async fn addresses_like(&self, like: IpAddr, name: &Name) -> Outcome<IpAddr> {
        if name.as_str().parse::<IpAddr>().is_ok() {
            return Err(Failure::NoRecords);
        }
        let name = full(name)?;
        if let Some(listed) = self.listed(&name) {
            return Ok(listed);
        }
        let kind = if like.is_ipv4() { RecordType::A } else { RecordType::AAAA };
        self.records(name, kind, address).await
    }

    async fn names_said(&self, address: IpAddr) -> Outcome<Name> {
        let name = DnsName::from(address);
        // A name that is none of a host's is no name, for good.
        let pick = |data: &RData| match data {
            RData::PTR(name) => Some(known(name).filter(|name| !name.is_root())),
            _ => None,
        };
        if let Some(lookup) = self.hosts.lookup_static_host(&Query::query(name.clone(), RecordType::PTR)) {
            let mut records: Vec<Name> =
                lookup.answers().iter().filter_map(|record| pick(&record.data).flatten()).collect();
            records.sort();
            return Ok(Found { records, secure: false, ttl: 0 });
        }
        let found = self.records(name, RecordType::PTR, pick).await?;
        Ok(Found {
            records: found.records.into_iter().flatten().collect(),
            secure: found.secure,
            ttl: found.ttl,
        })
    }

    async fn texts(&self, name: &Name) -> Outcome<Vec<u8>> {
        let text = |data: &RData| match data {
            RData::TXT(text) => Some(text.txt_data.concat()),
            _ => None,
        };
        self.records(full(name)?, RecordType::TXT, text).await
    }

    async fn tlsa(&self, port: u16, host: &Name) -> Outcome<Tlsa> {
        let tlsa = |data: &RData| match data {
            RData::TLSA(tlsa) => Some(Tlsa {
                usage: tlsa.cert_usage.into(),
                selector: tlsa.selector.into(),
                matching: tlsa.matching.into(),
                data: tlsa.cert_data.clone(),
            }),
            _ => None,
        };
        let name = format!("_{port}._tcp.{host}").parse().map_err(|_| Failure::NoSuchName)?;
        self.records(full(&name)?, RecordType::TLSA, tlsa).await
    }

    /// The records of a kind that a name has.
    async fn records<T>(
        &self,
        name: DnsName,
        kind: RecordType,
        pick: impl Fn(&RData) -> Option<T>,
    ) -> Outcome<T> {
        let lookup = match self.resolver.lookup(name.clone(), kind).await {
            Ok(lookup) => lookup,
            Err(error) if is_doubtful(&error) && self.is_alias(&name).await => return Err(endless()),
            Err(error) => return Err(judge(&error)),
        };
        let end = end_of_chain(&name, lookup.answers());
        let is_ours = |record: &&Record| record.name == *end && record.record_type() == kind;
        let picked = lookup.answers().iter().filter(is_ours).filter_map(|record| pick(&record.data));
        let records: Vec<T> = picked.collect();
        if records.is_empty() {
            return Err(unusable());
        }
        Ok(Found { records, secure: is_secure(&lookup, &name), ttl: ttl(&lookup) })
    }

    async fn is_alias(&self, name: &DnsName) -> bool {
        self.resolver.lookup(name.clone(), RecordType::CNAME).await.is_ok()
    }
}

/// Where an alias led through several packets, only the last of them would be spoken for.
fn is_secure(lookup: &Lookup, asked: &DnsName) -> bool {
    lookup.query().name() == asked && lookup.message().metadata.authentic_data
}

fn ttl(lookup: &Lookup) -> u32 {
    let left = lookup.valid_until().saturating_duration_since(Instant::now()).as_secs();
    u32::try_from(left.min(MAX_TTL)).unwrap_or_default()
}

fn end_of_chain<'a>(name: &'a DnsName, answers: &'a [Record]) -> &'a DnsName {
    let mut end = name;
    for _ in 0..MAX_CHAIN {
        let next = answers.iter().find_map(|record| match &record.data {
            RData::CNAME(alias) if record.name == *end => Some(&alias.0),
            _ => None,
        });
        match next {
            Some(next) => end = next,
            None => break,
        }
    }
    end
}

/// The name as the DNS has it; one that the DNS cannot have is not there.
fn full(name: &Name) -> Result<DnsName, Failure> {
    let mut full = DnsName::from_str_relaxed(name.as_str()).map_err(|_| Failure::NoSuchName)?;
    full.set_fqdn(true);
    Ok(full)
}

fn known(name: &DnsName) -> Option<Name> {
    name.to_ascii().parse().ok()
}

fn address(data: &RData) -> Option<IpAddr> {
    data.ip_addr()
}

/// Those that this machine has a way to before the others, IPv6 first: what matters of RFC 6724 to a mail gateway.
/// No packet is sent for it.
fn in_order(addresses: Vec<IpAddr>) -> Vec<IpAddr> {
    let mut addresses: Vec<IpAddr> = addresses.into_iter().take(MAX_RECORDS).collect();
    addresses.sort_by_cached_key(|address| (!has_way(*address), address.is_ipv4()));
    let mut seen = Vec::new();
    addresses.retain(|address| {
        !seen.contains(address) && {
            seen.push(*address);
            true
        }
    });
    addresses
}

fn has_way(address: IpAddr) -> bool {
    let any: IpAddr = match address {
        IpAddr::V4(_) => Ipv4Addr::UNSPECIFIED.into(),
        IpAddr::V6(_) => Ipv6Addr::UNSPECIFIED.into(),
    };
    let connected = UdpSocket::bind(SocketAddr::new(any, 0)).and_then(|socket| socket.connect((address, 25)));
    connected.is_ok()
}
