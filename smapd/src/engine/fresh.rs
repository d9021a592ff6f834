//! Names of messages to begin with, before any that waits in the schedule.
//!
//! A message that could only join a crowd is put down again as a name, until there is room; of those that wait so
//! their senders take turns.

use std::collections::{HashMap, HashSet, VecDeque};

use smap_common::spool::QueueId;

use super::room::Narrow;
use crate::queue::Place;
use crate::turns::{Sender, Turns};

/// Each name once.
#[derive(Debug, Default)]
pub(super) struct Fresh {
    queue: VecDeque<(QueueId, Place)>,
    parked: HashMap<Narrow, Turns<Sender, (QueueId, Place)>>,
    known: HashSet<QueueId>,
}

impl Fresh {
    pub(super) fn push(&mut self, id: QueueId, place: Place) {
        if self.known.insert(id) {
            self.queue.push_back((id, place));
        }
    }

    pub(super) fn pop(&mut self) -> Option<(QueueId, Place)> {
        let (id, place) = self.queue.pop_front()?;
        self.known.remove(&id);
        Some((id, place))
    }

    /// This one waits until there is room.
    pub(super) fn park(&mut self, at: Narrow, sender: Sender, id: QueueId, place: Place) {
        if self.known.insert(id) {
            self.parked.entry(at).or_default().push(sender, (id, place));
        }
    }

    /// Brings back whoever has room by now, and says whether that is anybody; `lets_in` says how many are let in at a
    /// place.
    pub(super) fn unpark(&mut self, lets_in: impl Fn(&Narrow) -> usize) -> bool {
        let before = self.queue.len();
        for (at, names) in &mut self.parked {
            let first: Vec<(QueueId, Place)> = std::iter::from_fn(|| names.pop()).take(lets_in(at)).collect();
            first.into_iter().rev().for_each(|name| self.queue.push_front(name));
        }
        self.parked.retain(|_, names| !names.is_empty());
        self.queue.len() > before
    }

    pub(super) fn is_empty(&self) -> bool {
        self.known.is_empty()
    }

    pub(super) fn clear(&mut self) {
        *self = Self::default();
    }
}

#[cfg(test)]
mod tests {
    use smap_common::clock::Timestamp;
    use smap_common::smtp::command::Mail;

    use super::*;

    fn id(number: u64) -> QueueId {
        QueueId::new(Timestamp::from_micros(1), number)
    }

    fn narrow() -> Narrow {
        Narrow::Program("/usr/bin/slow".to_owned())
    }

    fn sender(path: &str) -> Sender {
        Sender::of(&Mail::parse(path.as_bytes()).unwrap())
    }

    fn rest(fresh: &mut Fresh) -> Vec<QueueId> {
        std::iter::from_fn(|| fresh.pop()).map(|(id, _)| id).collect()
    }

    #[test]
    fn a_name_is_there_once() {
        let mut fresh = Fresh::default();
        fresh.push(id(1), Place::Incoming);
        fresh.push(id(1), Place::Incoming);
        assert_eq!(fresh.pop(), Some((id(1), Place::Incoming)));
        assert_eq!(fresh.pop(), None);
        assert!(fresh.is_empty());
    }

    #[test]
    fn who_waits_in_a_crowd_comes_back_before_the_others_when_there_is_room() {
        let mut fresh = Fresh::default();
        (0..3).for_each(|number| {
            fresh.park(narrow(), sender("<a@x.example>"), id(number), Place::Incoming);
        });
        fresh.push(id(9), Place::Incoming);
        assert!(fresh.unpark(|_| 2));
        assert_eq!(rest(&mut fresh), [id(0), id(1), id(9)]);
        assert!(!fresh.is_empty());
        assert!(fresh.unpark(|_| 2));
        assert_eq!(rest(&mut fresh), [id(2)]);
        assert!(!fresh.unpark(|_| 2));
        assert!(fresh.is_empty());
    }

    #[test]
    fn senders_take_turns() {
        let mut fresh = Fresh::default();
        (0..3).for_each(|number| {
            fresh.park(narrow(), sender("<a@x.example>"), id(number), Place::Incoming);
        });
        fresh.park(narrow(), sender("<b@x.example>"), id(9), Place::Incoming);
        assert!(fresh.unpark(|_| 10));
        assert_eq!(rest(&mut fresh), [id(0), id(9), id(1), id(2)]);
    }
}
