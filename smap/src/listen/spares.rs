//! Processes that wait for a client, each confined already for the session that it will be.

use std::time::{Duration, Instant};

use nix::unistd::Pid;
use smap_common::link::Link;

use crate::handover::{self, Caller};

/// How many wait. More would help a burst of more clients, each for the time that a fork takes.
const SPARES: usize = 4;
/// When one that was given a client is replaced: after its client has been greeted. To fork at once would keep the
/// processor from it.
const GREETING: Duration = Duration::from_millis(1);
/// How long none is made after one has ended by itself: there is a reason, and the log has it.
const PAUSE: Duration = Duration::from_secs(10);

/// Those that wait. To forget one is to end it: it sees the end of its link.
#[derive(Debug)]
pub(super) struct Spares {
    waiting: Vec<(Pid, Link)>,
    /// When there may be one more.
    next: Instant,
}

impl Spares {
    pub(super) fn new() -> Self {
        Self { waiting: Vec::new(), next: Instant::now() }
    }

    /// When one is to be made, if there are too few.
    pub(super) fn next(&self) -> Option<Instant> {
        (self.waiting.len() < SPARES).then_some(self.next)
    }

    pub(super) fn add(&mut self, pid: Pid, link: Link) {
        self.waiting.push((pid, link));
    }

    /// A process has ended; it may have been none of these.
    pub(super) fn remove(&mut self, pid: Pid) {
        let before = self.waiting.len();
        self.waiting.retain(|(waiting, _)| *waiting != pid);
        if self.waiting.len() < before {
            self.pause();
        }
    }

    /// Makes none for a while.
    pub(super) fn pause(&mut self) {
        self.next = Instant::now() + PAUSE;
    }

    /// Hands a client to one that waits, with so much patience for it: which one; none if nobody takes it.
    pub(super) fn hand_over(&mut self, caller: &Caller, patience: Duration) -> Option<Pid> {
        if self.waiting.len() == SPARES {
            self.next = Instant::now() + GREETING;
        }
        std::iter::from_fn(|| self.waiting.pop())
            .find(|(_, link)| handover::send(link, caller, patience).is_ok())
            .map(|(pid, _)| pid)
    }
}
