//! Names of messages to begin with, before any that waits in the schedule.
//!
//! A message for a destination that many others wait for already is put down again as a name, so that one slow or
//! dead host never holds all the room that messages have.

use std::collections::{HashMap, HashSet, VecDeque};

use smap_common::spool::QueueId;

use crate::plan::Destination;
use crate::queue::Place;

/// Messages that may wait for connections to one destination; the others wait as names.
pub(super) const CROWD: usize = 100;

/// Each name once.
#[derive(Debug, Default)]
pub(super) struct Fresh {
    queue: VecDeque<(QueueId, Place)>,
    parked: HashMap<Destination, VecDeque<(QueueId, Place)>>,
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

    /// This one waits until there is room at its destination.
    pub(super) fn park(&mut self, destination: Destination, id: QueueId, place: Place) {
        if self.known.insert(id) {
            self.parked.entry(destination).or_default().push_back((id, place));
        }
    }

    /// Brings back whoever has room by now; `waiting` says how many wait at a destination.
    pub(super) fn unpark(&mut self, waiting: impl Fn(&Destination) -> usize) {
        for (destination, names) in &mut self.parked {
            let there = waiting(destination);
            if there <= CROWD / 2 {
                let room = names.len().min(CROWD - there);
                names.drain(..room).rev().for_each(|name| self.queue.push_front(name));
            }
        }
        self.parked.retain(|_, names| !names.is_empty());
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
    use super::*;
    use crate::plan::Hop;
    use smap_common::clock::Timestamp;
    use smap_common::smtp::client::Dialect;

    fn id(number: u64) -> QueueId {
        QueueId::new(Timestamp::from_micros(1), number)
    }

    fn destination() -> Destination {
        Destination {
            dialect: Dialect::Smtp,
            hops: vec![Hop::Name("dead.example".to_owned(), 25)],
            timeout: None,
        }
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
    fn who_waits_for_a_crowded_place_comes_back_when_there_is_room() {
        let mut fresh = Fresh::default();
        (0..150).for_each(|number| fresh.park(destination(), id(number), Place::Incoming));
        fresh.unpark(|_| CROWD);
        assert_eq!(fresh.pop(), None);
        assert!(!fresh.is_empty());
        fresh.unpark(|_| 10);
        let first: Vec<QueueId> = std::iter::from_fn(|| fresh.pop()).map(|(id, _)| id).collect();
        assert_eq!((first.len(), first[0]), (90, id(0)));
        fresh.unpark(|_| 0);
        assert_eq!(std::iter::from_fn(|| fresh.pop()).count(), 60);
        assert!(fresh.is_empty());
    }
}
