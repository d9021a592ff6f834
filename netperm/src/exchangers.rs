#![deny(clippy::disallowed_methods)]
//! Which hosts take the mail of a domain: RFC 5321 section 5.1, RFC 7505.
//!
//! Decides in which order mail exchangers are tried, when the domain itself stands in for them, and what becomes of
//! mail for a domain that has none. Trusts nothing of what was answered: anyone may put anything into the records
//! of a domain of his own. Guarantees that mail is never given to ourselves, that what one domain says keeps us
//! busy with so many hosts and no more, and that only what will not change is final.

use std::collections::HashMap;
use std::net::IpAddr;

use smap_common::address::Domain;
pub use smap_common::lookup::Failure;
use smap_common::status::Status;

use crate::domains::DomainPattern;
use crate::site::Site;
use crate::transport::SMTP_PORT;

/// Most records of an answer that are looked at.
pub const MAX_READ: usize = 64;
/// Most exchangers that are looked up.
pub const MAX_EXCHANGERS: usize = 20;
/// Most addresses of one exchanger that are tried, so that one that has many does not keep us from the others.
pub const MAX_ADDRESSES_EACH: usize = 5;
/// Most addresses that are tried.
pub const MAX_ADDRESSES: usize = 20;

const _: () = assert!(MAX_EXCHANGERS <= MAX_READ && MAX_ADDRESSES_EACH <= MAX_ADDRESSES);

/// What became of a question.
pub type Outcome<T> = Result<Vec<T>, Failure>;

/// A mail exchanger.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Exchanger {
    /// The lowest is tried first.
    pub preference: u16,
    /// Its name; in an answer, `.` says that there is none (RFC 7505).
    pub host: String,
}

/// What of the network is this gateway.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Ourselves {
    /// Our name.
    pub name: String,
    /// Those of our addresses that are known, beside those of the loopback.
    pub addresses: Vec<IpAddr>,
}

/// There is nowhere to connect to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Nowhere {
    /// Its class says whether that may change.
    pub status: Status,
    /// Why.
    pub text: String,
}

impl Nowhere {
    fn new(status: Status, text: String) -> Self {
        Self { status, text }
    }
}

impl Ourselves {
    /// What the table says of it, our name as the DNS has it, and the addresses of this machine.
    #[must_use]
    pub fn of(site: &Site, name: String, interfaces: &[IpAddr]) -> Self {
        let listen = site.smap.listen.iter().map(|listen| listen.address);
        let listen = listen.filter(|at| at.port() == SMTP_PORT).map(|at| at.ip());
        let patterns = site.smap.domain.iter().flat_map(|line| &line.patterns);
        let literals = patterns.filter_map(|pattern| match pattern {
            DomainPattern::Exact(domain) => domain.literal(),
            DomainPattern::Below(_) => None,
        });
        let said = site.smapd.our_address.iter().flat_map(|line| &line.value.0).chain(interfaces).copied();
        let addresses = listen.chain(literals).chain(site.hostname.literal()).chain(said);
        Self { name, addresses: addresses.map(|ip| ip.to_canonical()).collect() }
    }

    /// Whether who connects to this address talks to this machine. `0.0.0.0` and `::` lead there too.
    #[must_use]
    pub fn have(&self, address: IpAddr) -> bool {
        let address = address.to_canonical();
        address.is_loopback() || address.is_unspecified() || self.addresses.contains(&address)
    }
}

/// Mail for this domain comes back to us.
#[must_use]
pub fn loops_back(domain: &str) -> Nowhere {
    Nowhere::new(Status::permanent(4, 6), format!("mail for {domain} loops back to this host"))
}

/// The hosts to look up for a domain, in the order in which they are to be tried, by what is said of its exchangers.
///
/// # Errors
/// What becomes of its mail if there are none.
pub fn hosts(
    domain: &str,
    answer: &Outcome<Exchanger>,
    ours: &Ourselves,
    seed: u64,
) -> Result<Vec<Exchanger>, Nowhere> {
    let said = match answer {
        Ok(said) => said.get(..MAX_READ).unwrap_or(said),
        // RFC 5321 section 5.1: "If an empty list of MXs is returned, the address is treated as if it was associated
        // with an implicit MX RR with a preference of 0, pointing to that host."
        Err(Failure::NoRecords) => &[Exchanger { preference: 0, host: domain.to_owned() }],
        Err(Failure::NoSuchName) => {
            return Err(Nowhere::new(Status::permanent(1, 2), format!("there is no domain {domain}")));
        }
        Err(Failure::Temporary(why)) => return Err(unknown_now(domain, why)),
    };
    if let [Exchanger { host, .. }] = said
        && matches!(host.as_str(), "." | "")
    {
        let text = format!("556 5.1.10 {domain} does not accept mail (its MX is null)");
        return Err(Nowhere::new(Status::permanent(1, 10), text));
    }
    let mut list: Vec<Exchanger> = Vec::new();
    for Exchanger { preference, host } in said {
        let Some(host) = host_name(host) else { continue };
        match list.iter_mut().find(|known| known.host == host) {
            Some(known) => known.preference = known.preference.min(*preference),
            None => list.push(Exchanger { preference: *preference, host }),
        }
    }
    if list.is_empty() {
        return Err(unroutable(domain, "no mail exchanger of it is a host"));
    }
    without_us(&mut list, |exchanger| exchanger.host == ours.name);
    if list.is_empty() {
        return Err(loops_back(domain));
    }
    shuffle(&mut list, seed);
    list.sort_by_key(|exchanger| exchanger.preference);
    list.truncate(MAX_EXCHANGERS);
    Ok(list)
}

/// Where to connect to, in order, once everything is known of the addresses of the hosts. `found` has an answer for
/// each; a host without one is taken for one that has no address.
///
/// # Errors
/// What becomes of the mail if there is nowhere to connect to.
pub fn places(
    domain: &str,
    hosts: &[Exchanger],
    found: &HashMap<String, Outcome<IpAddr>>,
    ours: &Ourselves,
) -> Result<Vec<(String, IpAddr)>, Nowhere> {
    let addresses = |host: &str| match found.get(host) {
        Some(Ok(addresses)) => addresses.as_slice(),
        Some(Err(_)) | None => &[],
    };
    let mut list = hosts.to_vec();
    without_us(&mut list, |exchanger| addresses(&exchanger.host).iter().any(|address| ours.have(*address)));
    let places: Vec<(String, IpAddr)> = list
        .iter()
        .flat_map(|Exchanger { host, .. }| {
            let tried = addresses(host).iter().take(MAX_ADDRESSES_EACH);
            tried.map(|address| (host.clone(), address.to_canonical()))
        })
        .take(MAX_ADDRESSES)
        .collect();
    if !places.is_empty() {
        return Ok(places);
    }
    let why_not_now = list.iter().find_map(|exchanger| match found.get(&exchanger.host) {
        Some(Err(Failure::Temporary(why))) => Some((&exchanger.host, why)),
        Some(_) | None => None,
    });
    Err(match (why_not_now, hosts) {
        (Some((host, why)), _) => unknown_now(host, why),
        (None, hosts) if list.len() < hosts.len() => loops_back(domain),
        (None, [only]) if only.host == domain => {
            let text = format!("{domain} has neither a mail exchanger nor an address");
            Nowhere::new(Status::permanent(1, 2), text)
        }
        (None, _) => unroutable(domain, "no mail exchanger of it has an address"),
    })
}

/// It cannot be looked up now where it is.
#[must_use]
pub fn unknown_now(name: &str, why: &str) -> Nowhere {
    Nowhere::new(Status::transient(4, 3), format!("{name}: {why}"))
}

fn unroutable(domain: &str, why: &str) -> Nowhere {
    Nowhere::new(Status::permanent(4, 4), format!("no way to {domain}: {why}"))
}

/// The name of a host; nothing where it cannot be one, as where an address stands in its place.
fn host_name(said: &str) -> Option<String> {
    let domain: Domain = said.strip_suffix('.').unwrap_or(said).parse().ok()?;
    let is_number = |label: &str| label.bytes().all(|byte| byte.is_ascii_digit());
    let name = domain.name().filter(|name| name.is_ascii())?;
    (!name.rsplit('.').next().is_some_and(is_number)).then(|| name.to_owned())
}

/// Who is as good as we are, or worse, would give the mail back to us (RFC 5321 section 5.1).
fn without_us(list: &mut Vec<Exchanger>, is_us: impl Fn(&Exchanger) -> bool) {
    let best = list.iter().filter(|exchanger| is_us(exchanger)).map(|us| us.preference).min();
    list.retain(|exchanger| best.is_none_or(|best| exchanger.preference < best));
}

/// Those of one preference share the load (RFC 5321 section 5.1).
fn shuffle(list: &mut [Exchanger], mut seed: u64) {
    for left in (1..list.len()).rev() {
        // SplitMix64: enough to spread a load.
        seed = seed.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut bits = (seed ^ (seed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        bits = (bits ^ (bits >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        bits ^= bits >> 31;
        let places = u64::try_from(left).unwrap_or(u64::MAX).saturating_add(1);
        list.swap(left, usize::try_from(bits % places).unwrap_or(left));
    }
}
