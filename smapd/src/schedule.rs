#![deny(clippy::disallowed_methods)]
//! When deferred messages are tried again: pure, and told the time.
//!
//! Holds nothing of a message but its id and the time it is due: 200,000 of them are a few megabytes.

use std::collections::{BTreeSet, HashMap};
use std::hash::{DefaultHasher, Hash, Hasher};
use std::time::Duration;

use netperm::schema::Smapd;
use smap_common::clock::Timestamp;
use smap_common::spool::QueueId;

#[cfg(test)]
mod tests;

/// The part of a wait that may be added to it: an eighth.
const SPREAD: u32 = 8;

/// Messages and the times they are due.
#[derive(Debug, Default)]
pub struct Schedule {
    by_time: BTreeSet<(Timestamp, QueueId)>,
    by_id: HashMap<QueueId, Timestamp>,
}

impl Schedule {
    /// A message is due at that time, and at no other.
    pub fn set(&mut self, id: QueueId, at: Timestamp) {
        self.remove(id);
        self.by_id.insert(id, at);
        self.by_time.insert((at, id));
    }

    /// A message is not waiting any more.
    pub fn remove(&mut self, id: QueueId) {
        if let Some(at) = self.by_id.remove(&id) {
            self.by_time.remove(&(at, id));
        }
    }

    /// Whether the message waits.
    #[must_use]
    pub fn contains(&self, id: QueueId) -> bool {
        self.by_id.contains_key(&id)
    }

    /// Takes the message that has been due for longest.
    pub fn take_due(&mut self, now: Timestamp) -> Option<QueueId> {
        let (at, id) = self.by_time.first().copied()?;
        (at <= now).then(|| {
            self.remove(id);
            id
        })
    }

    /// Nothing waits for longer than until then.
    pub fn none_after(&mut self, limit: Timestamp) {
        let beyond: Vec<QueueId> =
            self.by_time.iter().rev().take_while(|(at, _)| *at > limit).map(|(_, id)| *id).collect();
        beyond.into_iter().for_each(|id| self.set(id, limit));
    }

    /// When the next message is due.
    #[must_use]
    pub fn next(&self) -> Option<Timestamp> {
        self.by_time.first().map(|(at, _)| *at)
    }
}

/// What to do with a message that could not be delivered to everyone.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Prospect {
    /// Try again then.
    Retry(Timestamp),
    /// It has waited for longer than `expire`.
    GiveUp,
}

/// Decides whether and when a message that arrived then, and has been tried so often, is tried again. The last
/// attempt is made when it expires, not later.
#[must_use]
pub fn prospect(smapd: &Smapd, id: QueueId, arrived: Timestamp, attempts: u32, now: Timestamp) -> Prospect {
    let expires = arrived.after(smapd.expire);
    if now >= expires {
        return Prospect::GiveUp;
    }
    let wait = smapd.retry.after(attempts);
    Prospect::Retry(now.after(wait + spread(wait, id, attempts)).min(expires))
}

/// What is added to a wait, up to [`SPREAD`] of it: messages that were deferred together do not come together again.
/// Of the same message and attempt it is the same, so that a decision can be told again.
fn spread(wait: Duration, id: QueueId, attempts: u32) -> Duration {
    let mut hasher = DefaultHasher::new();
    (id, attempts).hash(&mut hasher);
    let share = u32::try_from(hasher.finish() % 1024).unwrap_or_default();
    longest_spread(wait) * share / 1024
}

fn longest_spread(wait: Duration) -> Duration {
    wait / SPREAD
}

/// No message waits longer for its next attempt.
#[must_use]
pub fn longest_wait(smapd: &Smapd) -> Duration {
    let longest = smapd.retry.iter().max().unwrap_or(Duration::ZERO);
    longest + longest_spread(longest)
}

/// When a message with a recorded next attempt is due, after a restart. A clock that was set back must not make
/// it wait for longer than the longest step of the schedule.
#[must_use]
pub fn due(smapd: &Smapd, recorded: Option<Timestamp>, now: Timestamp) -> Timestamp {
    let longest = longest_wait(smapd);
    recorded.unwrap_or(now).min(now.after(longest))
}

/// Whether the sender is to be told of the delay now.
#[must_use]
pub fn is_late(smapd: &Smapd, arrived: Timestamp, now: Timestamp) -> bool {
    now.since(arrived) >= smapd.warn
}
