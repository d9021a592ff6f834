//! Questions that were asked for destinations, and have no answer yet.

use std::collections::HashMap;
use std::time::{Duration, Instant};

use super::search::{Answer, Asked};
use crate::plan::Destination;

/// How long a name may take to be looked up.
const PATIENCE: Duration = Duration::from_secs(30);

/// What has to be looked up; the number comes back with the answer.
#[derive(Debug, PartialEq, Eq)]
pub struct Lookup {
    /// The number.
    pub number: u64,
    /// The question.
    pub question: Asked,
}

/// What is being looked up.
#[derive(Debug)]
pub(super) struct Underway {
    pub(super) destination: Destination,
    pub(super) question: Asked,
    since: Instant,
}

/// All that is being looked up.
#[derive(Debug, Default)]
pub(super) struct Lookups {
    underway: HashMap<u64, Underway>,
    unasked: Vec<Lookup>,
    last: u64,
}

impl Lookups {
    pub(super) fn ask(&mut self, destination: &Destination, question: Asked) {
        self.last += 1;
        let asked =
            Underway { destination: destination.clone(), question: question.clone(), since: Instant::now() };
        self.underway.insert(self.last, asked);
        self.unasked.push(Lookup { number: self.last, question });
    }

    /// What nobody was asked yet.
    pub(super) fn take_unasked(&mut self) -> Vec<Lookup> {
        std::mem::take(&mut self.unasked)
    }

    /// What an answer belongs to.
    pub(super) fn answered(&mut self, number: u64) -> Option<Underway> {
        self.underway.remove(&number)
    }

    /// The answers to what nobody has answered in time.
    pub(super) fn unanswered(&self, now: Instant) -> Vec<(u64, Answer)> {
        let late = self.underway.iter().filter(|(_, underway)| underway.since + PATIENCE <= now);
        late.map(|(number, late)| (*number, late.question.unanswered("nobody has answered"))).collect()
    }

    pub(super) fn next_deadline(&self) -> Option<Instant> {
        self.underway.values().map(|asked| asked.since + PATIENCE).min()
    }
}
