//! One destination: who waits for it, which connections it has, where it is.

use std::collections::{HashMap, VecDeque};
use std::net::{IpAddr, SocketAddr};
use std::time::Instant;

use smap_common::smtp::client::Trouble;

use super::Errand;
use super::socket::Target;
use crate::plan::{Destination, Hop};

/// A destination and who waits for it.
#[derive(Debug, Default)]
pub(super) struct Place {
    pub(super) waiting: VecDeque<Errand>,
    pub(super) connections: usize,
    /// Connections that are being made, or have not been ready yet.
    pub(super) pending: usize,
    pub(super) idle: Vec<usize>,
    pub(super) answers: HashMap<String, Result<Vec<IpAddr>, String>>,
    pub(super) targets: Vec<Target>,
    pub(super) known_until: Option<Instant>,
    pub(super) asked: bool,
    /// Which target is connected to next.
    pub(super) preferred: usize,
    /// Until when no more connections are tried beside those that work.
    pub(super) full_until: Option<Instant>,
    /// Until when nobody is asked, and what was the trouble.
    pub(super) down: Option<(Instant, Trouble)>,
}

/// What is known of where a destination is.
pub(super) enum Targets {
    Known,
    Asked,
    None(String),
}

impl Place {
    /// What keeps this destination from being asked now.
    pub(super) fn is_down(&self, now: Instant) -> Option<Trouble> {
        let (until, trouble) = self.down.as_ref()?;
        (*until > now && self.connections == 0).then(|| trouble.clone())
    }

    /// Connections over which the server has agreed to talk.
    pub(super) fn working(&self) -> usize {
        self.connections - self.pending
    }

    /// Whether no further connection is wanted now. A host that has not answered gets one at a time, one that
    /// answers gets as many more as it already has.
    pub(super) fn has_enough(&self, now: Instant) -> bool {
        let full = self.working() > 0 && self.full_until.is_some_and(|until| until > now);
        full || self.pending >= self.waiting.len().min(self.working().max(1))
    }

    pub(super) fn is_fresh(&self) -> bool {
        self.known_until.is_some_and(|until| until > Instant::now())
    }

    /// The targets of all hops in their order, once every name is answered.
    pub(super) fn collect(&self, destination: &Destination) -> Option<Result<Vec<Target>, String>> {
        let mut targets = Vec::new();
        let mut why = String::new();
        for hop in &destination.hops {
            match hop {
                Hop::Address(address, port) => {
                    targets.push(Target::Tcp(None, SocketAddr::new(*address, *port)))
                }
                Hop::Unix(path) => targets.push(Target::Unix(path.clone())),
                Hop::Name(host, port) => match self.answers.get(host)? {
                    Ok(addresses) => targets.extend(
                        addresses
                            .iter()
                            .map(|ip| Target::Tcp(Some(host.clone()), SocketAddr::new(*ip, *port))),
                    ),
                    Err(error) => why = format!("{host}: {error}"),
                },
            }
        }
        Some(if targets.is_empty() { Err(why) } else { Ok(targets) })
    }
}
