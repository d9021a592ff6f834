//! Processes that wait for a client, each confined already for the session that it will be, and the template that
//! makes them: the one process that confines itself in full. The listener asks it, and waits for neither.

use std::time::{Duration, Instant};

use nix::unistd::Pid;
use smap_common::link::Link;
use smap_common::log;

use crate::handover::{self, Answer, Caller};

/// How many wait, for clients that come together: who finds none gets a process that is yet to be confined in full.
const SPARES: usize = 8;
/// So few are too few for those who may come next: more are asked for at once.
const FEW: usize = 2;
/// When those that were given clients are replaced otherwise, several together: after their clients have been greeted.
/// To fork at once would keep the processor from it.
const GREETING: Duration = Duration::from_millis(5);
/// How long there are none after a process has ended by itself: there is a reason, and the log has it.
const PAUSE: Duration = Duration::from_secs(10);

/// Those that wait or will. To forget one is to end it: it sees the end of its link.
#[derive(Debug)]
pub(super) struct Spares {
    template: Option<(Pid, Link)>,
    /// The oldest first. Each says on its link when it waits; nobody listens before there is a client for it.
    asked: Vec<Link>,
    /// When there may be one more.
    next: Instant,
    /// Which log they have.
    log: u32,
}

impl Spares {
    pub(super) fn new() -> Self {
        Self { template: None, asked: Vec::new(), next: Instant::now(), log: log::reopened() }
    }

    /// When more are to be made, if there are too few.
    pub(super) fn next(&self) -> Option<Instant> {
        (self.asked.len() < SPARES).then_some(self.next)
    }

    /// Whether what they write to the log goes nowhere: they cannot open it anew.
    pub(super) fn have_old_log(&self) -> bool {
        self.log != log::reopened()
    }

    /// Whether more are to be made now; that waits until nobody comes, unless there are few.
    pub(super) fn are_due(&self, is_quiet: bool) -> bool {
        (is_quiet || self.asked.len() < FEW) && self.next().is_some_and(|next| next <= Instant::now())
    }

    pub(super) fn has_template(&self) -> bool {
        self.template.is_some()
    }

    pub(super) fn made_by(&mut self, template: Pid, link: Link) {
        self.template = Some((template, link));
    }

    /// Asks the template for as many as are too few.
    pub(super) fn ask(&mut self) {
        while let Some((_, template)) = &self.template
            && self.asked.len() < SPARES
        {
            match handover::ask(template) {
                Ok(link) => self.asked.push(link),
                Err(_) => self.pause(),
            }
        }
    }

    /// A process has ended; it may have been none of these. One that waited is missed when it gets a client.
    pub(super) fn remove(&mut self, pid: Pid) {
        if self.template.as_ref().is_some_and(|(template, _)| *template == pid) {
            self.pause();
        }
    }

    /// Has none for a while, and then by another template: this one may be the reason.
    pub(super) fn pause(&mut self) {
        *self = Self { next: Instant::now() + PAUSE, ..Self::new() };
    }

    /// Hands a client to one that waits, with so much patience for it: which one; none if nobody takes it.
    pub(super) fn hand_over(&mut self, caller: &Caller, patience: Duration) -> Option<Pid> {
        if self.asked.len() == SPARES {
            self.next = Instant::now() + GREETING;
        }
        let mut index = 0;
        while let Some(link) = self.asked.get(index) {
            match handover::answer(link) {
                Answer::NotYet => index += 1,
                Answer::Ended => self.pause(),
                Answer::Waits(pid) => {
                    let link = self.asked.remove(index);
                    if self.asked.len() < FEW {
                        self.next = Instant::now();
                    }
                    if handover::send(&link, caller, patience).is_ok() {
                        return Some(pid);
                    }
                }
            }
        }
        None
    }
}
