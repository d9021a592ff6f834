//! What the relay is asked to do, and what it says of it.

use smap_common::smtp::client::{Transaction, Verdict};
use smap_common::status::Class;

use crate::content::Content;
use crate::delivery::{Report, Teller};

/// One message for some recipients at one destination.
#[derive(Debug)]
pub struct Errand {
    /// Who asked for it.
    pub ticket: u64,
    /// The recipients' numbers, in the order of the transaction.
    pub numbers: Vec<u32>,
    /// The envelope, as the server is told of it.
    pub transaction: Transaction,
    /// The text.
    pub content: Content,
    /// How often it was tried.
    pub(super) attempts: usize,
}

impl Errand {
    /// A message that has not been tried.
    #[must_use]
    pub fn new(ticket: u64, numbers: Vec<u32>, transaction: Transaction, content: Content) -> Self {
        Self { ticket, numbers, transaction, content, attempts: 0 }
    }
}

/// An errand that is over.
#[derive(Debug)]
pub struct Finished {
    /// Who asked for it.
    pub ticket: u64,
    /// What became of each recipient.
    pub reports: Vec<(u32, Report)>,
}

impl Errand {
    /// The same for some of its recipients, to be tried once more.
    pub(super) fn only(self, indexes: &[usize]) -> Self {
        let pick = |index: &usize| {
            Some((*self.numbers.get(*index)?, self.transaction.recipients.get(*index)?.clone()))
        };
        let (numbers, recipients) = indexes.iter().filter_map(pick).unzip();
        let transaction = Transaction { recipients, ..self.transaction };
        Self { numbers, transaction, attempts: self.attempts + 1, ..self }
    }
}

/// What a verdict means for the queue; `teller` tells of a success.
pub(super) fn report(verdict: Verdict, teller: Teller) -> Report {
    match verdict.status.class() {
        Class::Success => {
            Report { status: verdict.status, ..Report::delivered(verdict.reply) }.told_by(teller)
        }
        Class::Transient => Report::deferred(verdict.status, verdict.reply),
        Class::Permanent => Report::failed(verdict.status, verdict.reply),
    }
}
