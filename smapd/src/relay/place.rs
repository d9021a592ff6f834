//! One destination: who waits for it, which connections it has, where it is.

use std::collections::VecDeque;
use std::time::Instant;

use smap_common::smtp::client::Trouble;

use super::Errand;
use super::search::Search;
use super::socket::Target;
use crate::delivery::Report;

/// A destination and who waits for it.
#[derive(Debug, Default)]
pub(super) struct Place {
    pub(super) waiting: VecDeque<Errand>,
    pub(super) connections: usize,
    /// Connections that are being made, or have not been ready yet.
    pub(super) pending: usize,
    pub(super) idle: Vec<usize>,
    pub(super) targets: Vec<Target>,
    pub(super) known_until: Option<Instant>,
    /// How far it is known where the targets are now.
    pub(super) search: Option<Search>,
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
    None(Report),
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

    /// What befalls those who wait when the last target did not answer.
    pub(super) fn unreachable(&self, trouble: &Trouble) -> Report {
        let relay = self.targets.last().map(ToString::to_string).unwrap_or_default();
        Report::deferred(trouble.status(), trouble.to_string()).by(relay)
    }
}
