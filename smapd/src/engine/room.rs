//! Where mail crowds, and how many messages may stand there; the others wait as names.
//!
//! So what is slow or dead does not hold all the room that messages have.

use std::path::PathBuf;

use super::Engine;
use crate::plan::{Destination, SafeFile, Way};
use crate::turns::Sender;

/// Messages that may wait at one place.
const CROWD: usize = 100;
/// Messages that may wait for a host that has not answered yet: there may be many such hosts.
const FEW: usize = 5;

/// A place that only so many can pass at a time.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(super) enum Narrow {
    /// Its connections.
    Destination(Destination),
    /// A program of this path.
    Program(String),
    /// An mbox, that one writes at a time.
    Mbox(PathBuf),
}

impl Narrow {
    /// The one on this way, if there is any.
    pub(super) fn on(way: &Way) -> Option<Self> {
        match way {
            Way::Relay(destination) => Some(Self::Destination(destination.clone())),
            Way::Program(program) => program.argv.first().cloned().map(Self::Program),
            Way::Mbox(file) | Way::File(SafeFile { file, .. }) => Some(Self::Mbox(file.clone())),
            Way::Maildir(_) | Way::Settled(_) => None,
        }
    }
}

/// A crowd and its limit.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Crowd {
    pub(super) waiting: usize,
    pub(super) most: usize,
}

impl Crowd {
    /// Whether nobody else fits in who has so many messages there already. Who has none is let in where others
    /// crowd.
    pub(super) fn is_full_for(self, own: usize) -> bool {
        self.waiting >= if own == 0 { 2 * self.most } else { self.most }
    }

    /// How many are let in again: a good part of them at a time, because each is opened anew.
    pub(super) fn lets_in(self) -> usize {
        if self.waiting <= self.most / 2 { self.most - self.waiting } else { 0 }
    }
}

impl Engine {
    /// How many messages there are before those of this sender: where senders take turns, only his own.
    pub(super) fn waiting_before(&self, place: &Narrow, sender: &Sender) -> usize {
        match place {
            Narrow::Destination(destination) => self.relay.waiting_of(destination, sender),
            Narrow::Program(_) | Narrow::Mbox(_) => self.crowd(place).waiting,
        }
    }

    pub(super) fn crowd(&self, place: &Narrow) -> Crowd {
        match place {
            Narrow::Destination(destination) => Crowd {
                waiting: self.relay.waiting(destination),
                most: if self.relay.is_working(destination) { CROWD } else { FEW },
            },
            Narrow::Program(path) => Crowd { waiting: self.programs.waiting.len_of(path), most: CROWD },
            Narrow::Mbox(file) => Crowd {
                waiting: self.mboxes.get(file).map_or(0, std::collections::VecDeque::len),
                most: CROWD,
            },
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_has_no_message_there_is_let_in_where_others_crowd() {
        let crowd = Crowd { waiting: 100, most: CROWD };
        assert!(crowd.is_full_for(1) && !crowd.is_full_for(0));
        assert!(Crowd { waiting: 200, most: CROWD }.is_full_for(0));
    }

    #[test]
    fn many_are_let_in_at_a_time() {
        let crowd = |waiting| Crowd { waiting, most: CROWD };
        assert!(crowd(100).is_full_for(1) && !crowd(99).is_full_for(1));
        assert_eq!((crowd(99).lets_in(), crowd(51).lets_in()), (0, 0));
        assert_eq!((crowd(50).lets_in(), crowd(0).lets_in()), (50, 100));
    }
}
