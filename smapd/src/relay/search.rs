#![deny(clippy::disallowed_methods)]
//! Where a destination is: what has to be looked up for it, and what follows from the answers.
//!
//! Pure: questions come out, answers go in. Guarantees that each question is asked once, that the targets are in the
//! order of the hops, and that mail is given up only when every hop says that it has to be.

use std::collections::{HashMap, HashSet};
use std::net::{IpAddr, SocketAddr};

use netperm::transport::SMTP_PORT;
use smap_common::spool::Outcome as Ending;
use smap_common::status::Status;

use super::socket::Target;
use crate::delivery::Report;
use crate::exchangers::{self, Exchanger, Failure, Ourselves, Outcome};
use crate::plan::{Hop, NamedBy};
use crate::tls::Peer;

#[cfg(test)]
mod tests;

/// Something to look up.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum Asked {
    /// The mail exchangers of a domain.
    Mx(String),
    /// The addresses of a host.
    Addresses(String),
}

/// What was found.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Answer {
    /// To [`Asked::Mx`], and whether DNSSEC authenticates it.
    Mx(Outcome<Exchanger>, bool),
    /// To [`Asked::Addresses`].
    Addresses(Outcome<IpAddr>),
}

impl Asked {
    /// The answer where there is none.
    #[must_use]
    pub fn unanswered(&self, why: &str) -> Answer {
        let failure = Failure::Temporary(why.to_owned());
        match self {
            Self::Mx(_) => Answer::Mx(Err(failure), false),
            Self::Addresses(_) => Answer::Addresses(Err(failure)),
        }
    }
}

/// What is known so far.
#[derive(Debug)]
pub(super) struct Search {
    seed: u64,
    asked: HashSet<Asked>,
    /// With whether DNSSEC authenticates them.
    exchangers: HashMap<String, (Outcome<Exchanger>, bool)>,
    addresses: HashMap<String, Outcome<IpAddr>>,
}

/// What follows from it.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Step {
    /// Answers are missing; these were not asked for yet.
    Ask(Vec<Asked>),
    /// There. Never empty.
    Found(Vec<Target>),
    /// Nowhere.
    Nowhere(Report),
}

/// What is known of one hop.
enum Known {
    Targets(Vec<Target>),
    Nothing(Report),
    Lacks(Vec<Asked>),
}

impl Search {
    /// Nothing is known yet. Equal exchangers are tried in an order that comes from the seed.
    pub(super) fn new(seed: u64) -> Self {
        Self { seed, asked: HashSet::new(), exchangers: HashMap::new(), addresses: HashMap::new() }
    }

    /// Takes an answer.
    pub(super) fn heard(&mut self, question: Asked, answer: Answer) {
        match (question, answer) {
            (Asked::Mx(domain), Answer::Mx(outcome, secure)) => {
                drop(self.exchangers.insert(domain, (outcome, secure)));
            }
            (Asked::Addresses(host), Answer::Addresses(outcome)) => {
                drop(self.addresses.insert(host, outcome));
            }
            (question, _) => {
                let answer = question.unanswered("something else was answered");
                self.heard(question, answer);
            }
        }
    }

    /// Goes on as far as the answers lead.
    pub(super) fn step(&mut self, hops: &[Hop], ours: &Ourselves) -> Step {
        let (mut targets, mut lacks) = (Vec::new(), Vec::new());
        let mut verdict: Option<Report> = None;
        for hop in hops {
            match self.known_of(hop, ours) {
                Known::Targets(found) => targets.extend(found),
                Known::Lacks(questions) => lacks.extend(questions),
                Known::Nothing(report) => {
                    // One that may be there later outweighs all that never will be.
                    let waits = |verdict: &Report| verdict.outcome == Ending::Deferred;
                    verdict = verdict.filter(waits).or(Some(report));
                }
            }
        }
        match verdict {
            _ if !lacks.is_empty() => {
                lacks.retain(|question| self.asked.insert(question.clone()));
                Step::Ask(lacks)
            }
            Some(report) if targets.is_empty() => Step::Nowhere(report),
            None if targets.is_empty() => {
                Step::Nowhere(Report::deferred(Status::transient(3, 5), "no next host is named"))
            }
            Some(_) | None => Step::Found(targets),
        }
    }

    fn known_of(&self, hop: &Hop, ours: &Ourselves) -> Known {
        match hop {
            Hop::Address(address, port) => {
                let address = SocketAddr::new(*address, *port);
                Known::Targets(vec![Target::Tcp(Peer { host: None, address, unproven_mx_of: None })])
            }
            Hop::Unix(path) => Known::Targets(vec![Target::Unix(path.clone())]),
            Hop::Name(host, port) => match self.addresses.get(host) {
                None => Known::Lacks(vec![Asked::Addresses(host.clone())]),
                Some(Ok(found)) => {
                    let places = found.iter().map(|address| (host.clone(), *address));
                    Known::Targets(targets(places, *port, None))
                }
                Some(Err(failure)) => {
                    Known::Nothing(Report::deferred(Status::transient(4, 1), format!("{host}: {failure}")))
                }
            },
            Hop::Mx(domain, port, named_by) => match (self.by_mx(domain, *port, ours), named_by) {
                (Known::Nothing(report), NamedBy::Table) => Known::Nothing(exchangers::to_be_mended(report)),
                (known, _) => known,
            },
        }
    }

    fn by_mx(&self, domain: &str, port: u16, ours: &Ourselves) -> Known {
        // Who names another port means another server, which may be on this machine.
        let elsewhere = Ourselves::default();
        let ours = if port == SMTP_PORT { ours } else { &elsewhere };
        let Some((answer, secure)) = self.exchangers.get(domain) else {
            return Known::Lacks(vec![Asked::Mx(domain.to_owned())]);
        };
        let hosts = match exchangers::hosts(domain, answer, ours, self.seed) {
            Ok(hosts) => hosts,
            Err(report) => return Known::Nothing(report),
        };
        let unknown = hosts.iter().filter(|exchanger| !self.addresses.contains_key(&exchanger.host));
        let lacks: Vec<Asked> = unknown.map(|exchanger| Asked::Addresses(exchanger.host.clone())).collect();
        if !lacks.is_empty() {
            return Known::Lacks(lacks);
        }
        match exchangers::places(domain, &hosts, &self.addresses, ours) {
            Ok(places) => Known::Targets(targets(places, port, Some(domain).filter(|_| !secure))),
            Err(report) => Known::Nothing(report),
        }
    }
}

/// Where to connect to; `unproven` is the domain of which nothing but an MX record that anybody could have forged
/// says that these are its hosts.
fn targets(
    places: impl IntoIterator<Item = (String, IpAddr)>,
    port: u16,
    unproven: Option<&str>,
) -> Vec<Target> {
    let target = |(host, address)| {
        let unproven_mx_of = unproven.filter(|domain| *domain != host).map(str::to_owned);
        Target::Tcp(Peer { host: Some(host), address: SocketAddr::new(address, port), unproven_mx_of })
    };
    places.into_iter().map(target).collect()
}
