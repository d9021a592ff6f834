//! One message that is being delivered: what is known, what is under way, and what follows from it.
//!
//! Pure but for the message that it holds: told the time, told the reports; the engine carries out what it says.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::sync::Arc;

use netperm::schema::Smapd;
use smap_common::address::{Address, ReversePath};
use smap_common::clock::Timestamp;
use smap_common::envelope::Envelope;
use smap_common::smtp::dsn::Notify;
use smap_common::spool::{
    Everyone, Expansion, ExpansionKind, Mark, Message, Order, Outcome, QueueState, StateFile,
};
use smap_common::status::Status;

use crate::content::{Edits, Known};
use crate::delivery::{Report, Teller};
use crate::notify::{self, Kind};
use crate::plan::Job;
use crate::queue::Place;
use crate::schedule::{Prospect, is_late, prospect};

#[cfg(test)]
mod tests;

/// A message and this attempt at it.
#[derive(Debug)]
pub(super) struct Active {
    pub(super) message: Arc<Message>,
    /// What the message needs of its next hosts.
    pub(super) needs: Known,
    /// What of its header everybody is given otherwise.
    pub(super) edits: Arc<Edits>,
    /// Its sender, where everybody sees him as another.
    pub(super) seen_sender: Option<ReversePath>,
    pub(super) place: Place,
    pub(super) state: QueueState,
    /// Open once anything was added to the state.
    pub(super) file: Option<StateFile>,
    /// Whether there is a state beside the message.
    pub(super) has_state: bool,
    /// Jobs that are not over.
    pub(super) outstanding: usize,
    /// Those of them that nobody has begun with.
    pub(super) waiting: VecDeque<Job>,
    /// Those that somebody has begun with.
    pub(super) in_hand: usize,
    /// So many expansions, the last ones, are not durable yet.
    pub(super) new_expansions: usize,
    /// Nothing is known of it but what is on the disk.
    pub(super) is_as_read: bool,
    /// Recipients that are not tried in this attempt.
    put_off: BTreeSet<u32>,
    /// Recipients that failed in this attempt: their marks are written when their sender is told.
    failed: BTreeSet<u32>,
    /// Recipients that need nothing more, with a mark that is not yet written.
    settled: BTreeSet<u32>,
    /// Other recipients with a mark that is not yet written.
    unwritten: BTreeSet<u32>,
    /// Recipients that have it, and whose sender we have to tell that.
    succeeded: BTreeMap<u32, Kind>,
}

/// What follows when no job is under way any more.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Conclusion {
    /// The sender is to be told that these have failed.
    pub(super) failed: Vec<u32>,
    /// The sender is to be told that these are delayed.
    pub(super) delayed: Vec<u32>,
    /// The sender is to be told that these have it.
    pub(super) delivered: Vec<u32>,
    /// The sender is to be told that it was passed on for these.
    pub(super) relayed: Vec<u32>,
    /// The sender is to be told that it was passed on to all for whom these stand.
    pub(super) expanded: Vec<u32>,
    /// These have waited too long.
    pub(super) expired: Vec<u32>,
    /// These were returned by an operator.
    pub(super) returned: Vec<u32>,
    /// When to try the rest; `None` if nothing is left to try.
    pub(super) next: Option<Timestamp>,
    /// When the rest is given up.
    pub(super) expires: Timestamp,
}

impl Conclusion {
    /// Of these somebody else is told.
    pub(super) fn put_back(&mut self, kind: Kind, numbers: Vec<u32>) {
        match kind {
            Kind::Failed => self.failed = numbers,
            Kind::Delivered => self.delivered = numbers,
            Kind::Relayed => self.relayed = numbers,
            Kind::Expanded => self.expanded = numbers,
            Kind::Delayed { .. } => self.delayed = numbers,
        }
    }
}

impl Active {
    pub(super) fn new(message: Message, place: Place, state: Option<QueueState>) -> Self {
        Self {
            message: Arc::new(message),
            needs: Known::default(),
            edits: Arc::default(),
            seen_sender: None,
            place,
            file: None,
            has_state: state.is_some(),
            state: state.unwrap_or_default(),
            outstanding: 0,
            waiting: VecDeque::new(),
            in_hand: 0,
            new_expansions: 0,
            is_as_read: true,
            put_off: BTreeSet::new(),
            failed: BTreeSet::new(),
            settled: BTreeSet::new(),
            unwritten: BTreeSet::new(),
            succeeded: BTreeMap::new(),
        }
    }

    pub(super) fn envelope(&self) -> &Envelope {
        &self.message.envelope
    }

    /// What an operator has ordered.
    pub(super) fn order(&self) -> Option<Order> {
        self.state.ordered.as_ref().map(|ordered| ordered.order)
    }

    /// Everybody whom it goes to.
    pub(super) fn everyone(&self) -> Everyone<'_> {
        let everyone = self.state.everyone(self.envelope());
        self.seen_sender.as_ref().map_or(everyone, |sender| everyone.seeing(sender))
    }

    /// Recipients that are neither delivered nor failed.
    pub(super) fn pending(&self) -> Vec<u32> {
        self.state.pending(self.envelope()).collect()
    }

    /// Those of them that are to be tried in this attempt.
    pub(super) fn to_try(&self) -> Vec<u32> {
        self.state.pending(self.envelope()).filter(|number| !self.put_off.contains(number)).collect()
    }

    /// The next attempt tries everybody.
    pub(super) fn begin_attempt(&mut self) {
        self.put_off.clear();
    }

    /// Takes what became of one recipient who is not tried.
    pub(super) fn put_off(&mut self, number: u32, report: Report, now: Timestamp) {
        self.put_off.insert(number);
        self.report(number, report, now);
    }

    /// The expansions that were made last are durable: whoever wants to hear of a recipient hears that it went on.
    pub(super) fn expansions_are_durable(&mut self, now: Timestamp) {
        self.new_expansions = 0;
        let told: Vec<(u32, Kind, String)> =
            self.state.expansions.iter().filter_map(|one| self.success_of(one)).collect();
        for (number, kind, reply) in told {
            self.report(number, Report::delivered(reply), now);
            self.succeeded.insert(number, kind);
        }
    }

    /// RFC 3461 sections 5.2.7.2 and 5.2.7.3, RFC 3464 section 2.3.3.
    fn success_of(&self, expansion: &Expansion) -> Option<(u32, Kind, String)> {
        let Expansion { of, rule, members, .. } = expansion;
        let kind = match expansion.kind() {
            ExpansionKind::Alias => return None,
            ExpansionKind::Several => Kind::Expanded,
            ExpansionKind::List => Kind::Delivered,
        };
        let wanted = kind.is_wanted(self.notify(*of)) && !self.state.is_settled(*of);
        wanted.then(|| (*of, kind, format!("passed on to {} by {rule}", members.len())))
    }

    /// The expansions that were made last could not be made durable, so they were not made.
    pub(super) fn forget_new_expansions(&mut self) {
        let kept = self.state.expansions.len().saturating_sub(self.new_expansions);
        self.state.expansions.truncate(kept);
        self.new_expansions = 0;
    }

    fn notify(&self, number: u32) -> Notify {
        self.everyone().get(number).map_or(Notify::Never, |one| one.notify())
    }

    /// Who answers for it in place of its sender, as far as this recipient is concerned.
    pub(super) fn owner(&self, number: u32) -> Option<&Arc<Address>> {
        self.everyone().get(number)?.owner
    }

    /// Takes what became of one recipient.
    pub(super) fn report(&mut self, number: u32, report: Report, now: Timestamp) {
        self.is_as_read = false;
        let Report { outcome, status, relay, reply, teller, security: _ } = report;
        let success = match (outcome, teller) {
            (Outcome::Delivered, Teller::Us) => Some(Kind::Delivered),
            (Outcome::Delivered, Teller::UsOfRelaying) => Some(Kind::Relayed),
            (Outcome::Delivered, Teller::NextHost) | (Outcome::Deferred | Outcome::Failed, _) => None,
        };
        if let Some(kind) = success {
            self.succeeded.insert(number, kind);
        }
        let marked = match outcome {
            Outcome::Delivered => &mut self.settled,
            Outcome::Failed => &mut self.failed,
            Outcome::Deferred => &mut self.unwritten,
        };
        marked.insert(number);
        self.state.marks.insert(number, Mark { recipient: number, at: now, outcome, status, relay, reply });
    }

    /// Marks of recipients that were delivered while others are still under way: to be written at once.
    pub(super) fn take_delivered(&mut self) -> Vec<Mark> {
        let numbers = std::mem::take(&mut self.settled);
        numbers.iter().filter_map(|number| self.state.marks.get(number).cloned()).collect()
    }

    /// What was taken to be written could not be: every mark is to be written once more.
    pub(super) fn write_again(&mut self) {
        self.is_as_read = false;
        for number in self.state.marks.keys().filter(|number| !self.failed.contains(number)) {
            let settled = self.state.is_settled(*number);
            (if settled { &mut self.settled } else { &mut self.unwritten }).insert(*number);
        }
    }

    /// All marks that are not yet written: the sender has been told of those that failed.
    pub(super) fn take_unwritten(&mut self) -> Vec<Mark> {
        let mut numbers = std::mem::take(&mut self.unwritten);
        numbers.append(&mut self.settled);
        numbers.append(&mut self.failed);
        numbers.iter().filter_map(|number| self.state.marks.get(number).cloned()).collect()
    }

    /// Decides what follows: with `expire` over, whoever is still pending has failed.
    pub(super) fn conclude(&mut self, smapd: &Smapd, now: Timestamp) -> Conclusion {
        // Of the time for which it was held nothing counts.
        let arrived = self.envelope().arrived.after(self.state.held_for);
        let expires = arrived.after(smapd.expire);
        let pending = self.pending();
        let held = self.state.is_held();
        let (mut next, mut expired, mut returned) = (None, Vec::new(), Vec::new());
        if self.order() == Some(Order::Bounce) {
            pending.iter().for_each(|number| self.give_back(*number, now));
            returned.clone_from(&pending);
        } else if !pending.is_empty() {
            self.state.attempts += 1;
            match prospect(smapd, self.envelope().id, arrived, self.state.attempts, now) {
                Prospect::Retry(at) => next = Some(at),
                Prospect::GiveUp if held => next = Some(now),
                Prospect::GiveUp => {
                    pending.iter().for_each(|number| self.expire(*number, now));
                    expired.clone_from(&pending);
                }
            }
        }
        let delayed = match next {
            Some(_) if !held && self.state.warned.is_none() && is_late(smapd, arrived, now) => {
                self.wanted(pending, Kind::Delayed { until: expires })
            }
            _ => Vec::new(),
        };
        let failed = self.wanted(self.failed.iter().copied().collect(), Kind::Failed);
        let of_kind = |kind| {
            let succeeded = self.succeeded.iter().filter(|(_, other)| **other == kind);
            let numbers = succeeded.map(|(number, _)| *number);
            self.wanted(numbers.collect(), kind)
        };
        let (delivered, relayed) = (of_kind(Kind::Delivered), of_kind(Kind::Relayed));
        let expanded = of_kind(Kind::Expanded);
        self.state.next = next;
        Conclusion { failed, delayed, delivered, relayed, expanded, expired, returned, next, expires }
    }

    /// RFC 3463: 4.4.7, delivery time expired, which by now is permanent.
    fn expire(&mut self, number: u32, now: Timestamp) {
        let last = self.state.marks.get(&number);
        let reply = last.map_or("it could not be delivered in time".to_owned(), |mark| mark.reply.clone());
        let relay = last.map(|mark| mark.relay.clone()).unwrap_or_default();
        self.unwritten.remove(&number);
        self.report(number, Report::failed(Status::permanent(4, 7), reply).by(relay), now);
    }

    /// RFC 3463: 5.7.0, an undefined status of policy: the operator's.
    fn give_back(&mut self, number: u32, now: Timestamp) {
        let text = self.state.ordered.as_ref().map(|ordered| ordered.text.as_str()).unwrap_or_default();
        let text = if text.is_empty() { "the administrator has returned it" } else { text };
        let report = Report::failed(Status::permanent(7, 0), text);
        self.unwritten.remove(&number);
        self.report(number, report, now);
    }

    fn wanted(&self, mut numbers: Vec<u32>, kind: Kind) -> Vec<u32> {
        numbers.retain(|number| {
            // Of a message without a sender the administrator hears, who asked for nothing.
            let nobody = notify::addressee(self.envelope()).is_none() && kind == Kind::Failed;
            nobody || kind.is_wanted(self.notify(*number))
        });
        numbers
    }

    /// Whether somebody failed and nobody was told: the message itself is then kept for the administrator.
    pub(super) fn is_double_bounce(&self) -> bool {
        let failed = self.state.marks.values().any(|mark| mark.outcome == Outcome::Failed);
        failed && notify::addressee(self.envelope()).is_none() && self.state.told.is_none()
    }

    /// Somebody has been told that these have it.
    pub(super) fn successes_are_told(&mut self, numbers: &[u32]) {
        for number in numbers {
            self.succeeded.remove(number);
        }
    }

    /// Somebody has been told of these that failed: they may be marked.
    pub(super) fn failures_are_told(&mut self, numbers: &[u32], now: Timestamp) {
        let told = numbers.iter().filter(|number| self.failed.remove(number));
        self.settled.extend(told);
        if notify::addressee(self.envelope()).is_none() {
            self.state.told = Some(now);
        }
    }
}
