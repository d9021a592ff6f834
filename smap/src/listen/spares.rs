//! Processes that wait for a client, each confined already for the session that it will be.

use std::net::{SocketAddr, TcpStream};
use std::time::{Duration, Instant};

use nix::unistd::Pid;
use smap_common::link::Link;

use crate::handover;

/// How many wait. More would help a burst of more clients, each for the time that a fork takes.
const SPARES: usize = 4;
/// How long none is made after one has ended by itself: there is a reason, and the log has it.
const PAUSE: Duration = Duration::from_secs(10);

/// Those that wait. To forget one is to end it: it sees the end of its link.
#[derive(Debug, Default)]
pub(super) struct Spares {
    waiting: Vec<(Pid, Link)>,
    paused_until: Option<Instant>,
}

impl Spares {
    /// Whether there should be one more.
    pub(super) fn is_short(&self) -> bool {
        self.waiting.len() < SPARES && self.paused_until.is_none_or(|until| until <= Instant::now())
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
        self.paused_until = Some(Instant::now() + PAUSE);
    }

    /// Hands a client to one that waits, with so much patience for it: which one; none if nobody takes it.
    pub(super) fn hand_over(
        &mut self,
        connection: &TcpStream,
        client: SocketAddr,
        patience: Duration,
    ) -> Option<Pid> {
        std::iter::from_fn(|| self.waiting.pop())
            .find(|(_, link)| handover::send(link, connection, client, patience).is_ok())
            .map(|(pid, _)| pid)
    }
}
