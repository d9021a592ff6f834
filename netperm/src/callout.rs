//! Call-outs: which recipients are asked for with the host that their mail goes to, and where that is.
//!
//! Decides for whom a next host may be asked, and by which transport. Trusts the table. Guarantees that nobody is
//! asked for but where a `recipients` line with `callout` speaks first of his domain, and only where his mail goes.
#![deny(clippy::disallowed_methods)]

use std::borrow::Cow;
use std::fmt;

use smap_common::address::{Address, Domain};

use crate::domains::DomainPattern;
use crate::fault::Fault;
use crate::place::Located;
use crate::policy::{MOST_LOCAL, Route, at_home, route};
use crate::recipients::{Line, Source};
use crate::schema::Smapd;
use crate::transport::{NextHop, Tls, Transport};

/// Where a recipient is asked for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Way<'a> {
    /// `smtp:` or `lmtp:`, without TLS being required.
    pub transport: Cow<'a, Transport>,
    /// The domain that his mail is routed by.
    pub domain: Domain,
}

impl Way<'_> {
    /// Whether the hosts are another domain's own for each domain.
    #[must_use]
    pub fn is_by_domain(&self) -> bool {
        match &*self.transport {
            Transport::Smtp { hops, .. } => hops.contains(&NextHop::RecipientDomain),
            _ => false,
        }
    }
}

/// Why there is nobody to ask.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Obstacle {
    /// The table does not say where his mail goes: the reason.
    Nowhere(String),
    /// `local:` leads to itself.
    Circle,
    /// It goes by this transport, where nobody listens.
    Transport(Transport),
    /// It goes only over TLS.
    Tls(Tls),
}

impl fmt::Display for Obstacle {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Nowhere(reason) => write!(f, "the table does not say where this mail goes: {reason}"),
            Self::Circle => f.write_str("local: leads to itself"),
            Self::Transport(transport) => {
                write!(f, "this mail goes by {transport}, and only a host of smtp: or lmtp: can be asked")
            }
            Self::Tls(tls) => write!(f, "this mail goes only over TLS (tls={tls}), and a call-out has none"),
        }
    }
}

/// The line by which recipients of a domain are asked for, if they are.
#[must_use]
pub fn line<'a>(lines: &'a [Located<Line>], domain: &Domain) -> Option<&'a Located<Line>> {
    lines.iter().find(|line| line.matches(domain)).filter(|line| asks(line))
}

/// Whether a line has its recipients asked for.
#[must_use]
pub fn asks(line: &Line) -> bool {
    line.sources.contains(&Source::CallOut)
}

/// Where a recipient is asked for: where smapd would send his mail.
///
/// # Errors
/// Nowhere.
pub fn way<'a>(smapd: &'a Smapd, hostname: &Domain, recipient: &Address) -> Result<Way<'a>, Obstacle> {
    let mut address = recipient.clone();
    for _ in 0..MOST_LOCAL {
        let transport = match route(smapd, hostname, &address) {
            Route::Through { transport, .. } => transport,
            Route::Nowhere { reason, .. } => return Err(Obstacle::Nowhere(reason.to_string())),
        };
        match &*transport {
            Transport::Local(user) => {
                address = at_home(&address, user, hostname).ok_or(Obstacle::Circle)?;
            }
            Transport::Smtp { tls: tls @ (Tls::Require | Tls::Verify), .. } => {
                return Err(Obstacle::Tls(*tls));
            }
            Transport::Smtp { .. } | Transport::Lmtp { .. } => {
                let domain = address.domain().unwrap_or(hostname).clone();
                return Ok(Way { transport, domain });
            }
            Transport::Maildir(_)
            | Transport::Mbox(_)
            | Transport::Pipe { .. }
            | Transport::Sendmail { .. }
            | Transport::Error { .. }
            | Transport::Discard => return Err(Obstacle::Transport(transport.into_owned())),
        }
    }
    Err(Obstacle::Circle)
}

/// The ways of all recipients who may be asked for, or what is in them: one for each line and domain that the table
/// tells from others.
fn ways<'a>(
    lines: &'a [Located<Line>],
    smapd: &'a Smapd,
    hostname: &Domain,
) -> Vec<(&'a Located<Line>, Domain, Result<Way<'a>, Obstacle>)> {
    let mut ways = Vec::new();
    for asking in lines.iter().filter(|line| asks(line)) {
        for domain in asking.patterns.iter().flat_map(|pattern| samples(pattern, smapd)) {
            // An earlier line may speak of it.
            let speaks = line(lines, &domain).is_some_and(|first| first.place == asking.place);
            if let Ok(anybody) = Address::new("postmaster", domain.clone())
                && speaks
            {
                ways.push((asking, domain, way(smapd, hostname, &anybody)));
            }
        }
    }
    ways
}

/// Domains that a pattern means: all that smapd's table tells from one another, but for the rows of a compiled
/// mailertable, which are never looked at together.
fn samples(pattern: &DomainPattern, smapd: &Smapd) -> Vec<Domain> {
    let named = smapd.domain.iter().flat_map(|line| &line.patterns);
    let of_mailertable: Vec<DomainPattern> =
        smapd.mailertable.iter().flat_map(|mailertable| mailertable.unjudged()).collect();
    let within = named.chain(&of_mailertable).filter(|named| pattern.covers(named));
    let mut samples: Vec<Domain> = std::iter::once(pattern).chain(within).filter_map(sample).collect();
    samples.sort_by_key(Domain::to_string);
    samples.dedup();
    samples
}

/// A domain that a pattern means.
fn sample(pattern: &DomainPattern) -> Option<Domain> {
    match pattern {
        DomainPattern::Exact(domain) => Some(domain.clone()),
        DomainPattern::Below(parent) => format!("_.{parent}").parse().ok(),
    }
}

/// The TCP ports that call-outs go to.
#[must_use]
pub fn ports(lines: &[Located<Line>], smapd: &Smapd, hostname: &Domain) -> Vec<u16> {
    let ways = ways(lines, smapd, hostname);
    let of_ways = ways.iter().filter_map(|(.., way)| way.as_ref().ok()).flat_map(|way| way.transport.ports());
    let compiled =
        smapd.mailertable.iter().filter(|table| table.is_compiled() && lines.iter().any(|line| asks(line)));
    of_ways.chain(compiled.flat_map(|table| table.ports())).collect()
}

/// Lines by which recipients would be asked for where nobody can be asked.
#[must_use]
pub fn faults(lines: &[Located<Line>], smapd: &Smapd, hostname: &Domain) -> Vec<Fault> {
    let ways = ways(lines, smapd, hostname);
    let wrong = ways.iter().filter_map(|(line, domain, way)| Some((line, domain, way.as_ref().err()?)));
    wrong
        .map(|(line, domain, obstacle)| Fault::new(&line.place, format!("callout for {domain}: {obstacle}")))
        .collect()
}
