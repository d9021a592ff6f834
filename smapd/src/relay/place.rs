//! One destination: who waits for it, which connections it has, where it is.

use std::collections::HashSet;
use std::time::Instant;

use smap_common::smtp::client::Trouble;

use super::Errand;
use super::search::Search;
use super::socket::Target;
use super::window::{Count, Window};
use crate::delivery::Report;
use crate::turns::{Sender, Turns};

/// A destination and who waits for it.
#[derive(Debug, Default)]
pub(super) struct Place {
    pub(super) waiting: Turns<Sender, Errand>,
    pub(super) connections: usize,
    /// Connections that are being made, or have not been ready yet.
    pub(super) pending: usize,
    pub(super) idle: Vec<usize>,
    pub(super) targets: Vec<Target>,
    /// Those with which no TLS came about, as long as the others are known.
    pub(super) without_tls: HashSet<Target>,
    pub(super) known_until: Option<Instant>,
    /// How far it is known where the targets are now.
    pub(super) search: Option<Search>,
    /// Which target is connected to next.
    pub(super) preferred: usize,
    /// Targets that did not answer, since one did.
    pub(super) failed: usize,
    pub(super) window: Window,
}

/// What is known of where a destination is.
pub(super) enum Targets {
    Known,
    Asked,
    None(Report),
}

impl Place {
    /// What keeps this destination from being asked now.
    pub(super) fn is_down(&self, now: Instant) -> Option<Trouble> {
        self.window.trouble(now).filter(|_| self.connections == 0).cloned()
    }

    /// Connections over which the server has agreed to talk.
    pub(super) fn working(&self) -> usize {
        self.connections - self.pending
    }

    pub(super) fn count(&self) -> Count {
        Count { all: self.connections, pending: self.pending }
    }

    /// Whether a further connection is wanted now.
    pub(super) fn wants_one_more(&self, now: Instant) -> bool {
        self.window.has_room(self.count(), self.waiting.len(), now)
    }

    /// Whether it is kept.
    pub(super) fn is_of_use(&self, now: Instant) -> bool {
        !self.waiting.is_empty() || self.connections > 0 || self.is_fresh() || self.window.matters(now)
    }

    pub(super) fn is_fresh(&self) -> bool {
        self.known_until.is_some_and(|until| until > Instant::now())
    }

    pub(super) fn prefer_the_next(&mut self) {
        self.preferred = (self.preferred + 1) % self.targets.len().max(1);
    }

    /// What befalls those who wait when the last target did not answer.
    pub(super) fn unreachable(&self, trouble: &Trouble) -> Report {
        let relay = self.targets.last().map(ToString::to_string).unwrap_or_default();
        Report::deferred(trouble.status(), trouble.to_string()).by(relay)
    }
}
