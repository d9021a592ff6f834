#![deny(clippy::disallowed_methods)]
//! One transaction under way: what is said, what is answered, and what is known of each recipient.

use std::collections::VecDeque;

use super::{Offers, Transaction, Trouble, Verdict};
use crate::smtp::reply::Reply;
use crate::status::{Class, Status};

/// A command that is answered by one reply.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Stage {
    Mail,
    Rcpt(usize),
    Data,
}

/// A transaction that is under way.
#[derive(Debug)]
pub(super) struct Run {
    pub(super) transaction: Transaction,
    pub(super) unsaid: VecDeque<Stage>,
    pub(super) unanswered: VecDeque<Stage>,
    pub(super) verdicts: Vec<Option<Verdict>>,
}

impl Run {
    pub(super) fn new(transaction: Transaction) -> Self {
        let recipients = transaction.recipients.len();
        let mut unsaid = VecDeque::from([Stage::Mail]);
        unsaid.extend((0..recipients).map(Stage::Rcpt));
        unsaid.push_back(Stage::Data);
        Self { transaction, unsaid, unanswered: VecDeque::new(), verdicts: vec![None; recipients] }
    }

    /// Settles what this server cannot take before it is told of it.
    pub(super) fn refuse(&mut self, offers: &Offers) {
        if let Some(refusal) = offers.refusal(&self.transaction) {
            self.settle_rest(&refusal);
        }
        for (recipient, slot) in self.transaction.recipients.iter().zip(&mut self.verdicts) {
            if slot.is_none() {
                *slot = offers.refusal_of(recipient);
            }
        }
        let verdicts = &self.verdicts;
        let is_open = |index: usize| verdicts.get(index).is_some_and(Option::is_none);
        self.unsaid.retain(|stage| !matches!(stage, Stage::Rcpt(index) if !is_open(*index)));
    }

    /// Recipients that were accepted, and that the end of the text decides about.
    pub(super) fn is_open(&self) -> bool {
        self.verdicts.iter().any(Option::is_none)
    }

    pub(super) fn settle(&mut self, recipient: usize, verdict: Verdict) {
        if let Some(slot) = self.verdicts.get_mut(recipient) {
            slot.get_or_insert(verdict);
        }
    }

    pub(super) fn settle_rest(&mut self, verdict: &Verdict) {
        for slot in &mut self.verdicts {
            slot.get_or_insert_with(|| verdict.clone());
        }
    }

    pub(super) fn settle_next(&mut self, verdict: Verdict) {
        if let Some(slot) = self.verdicts.iter_mut().find(|slot| slot.is_none()) {
            *slot = Some(verdict);
        }
    }

    pub(super) fn into_verdicts(self) -> Vec<Verdict> {
        self.verdicts.into_iter().flatten().collect()
    }
}

impl Verdict {
    /// What follows from what we know ourselves of a message and its next host; no other host is asked.
    #[must_use]
    pub fn ours(status: Status, reply: String) -> Self {
        Self { status, reply, elsewhere: false }
    }

    pub(super) fn replied(reply: &Reply) -> Self {
        Self { status: reply.status_or_general(), reply: reply.to_string(), elsewhere: false }
    }

    /// RFC 5321 section 4.5.3.1.10: 552 after RCPT means too many recipients, now.
    pub(super) fn of_recipient(reply: &Reply) -> Self {
        let verdict = Self::replied(reply);
        match reply.code {
            552 => Self { status: verdict.status.in_class(Class::Transient), ..verdict },
            _ => verdict,
        }
    }

    pub(super) fn troubled(trouble: &Trouble) -> Self {
        Self { status: trouble.status(), reply: trouble.to_string(), elsewhere: true }
    }
}
