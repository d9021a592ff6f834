//! The list for people. Columns have fixed widths: a list of any length is written as it is read.
#![deny(clippy::disallowed_methods)]

use std::fmt;

use smap_common::clock::Timestamp;

use super::entry::{Attempt, Entry, Pending};
use crate::show::{counted, duration, octets, printable};

/// What stands above the first message.
#[must_use]
pub fn header() -> String {
    row("ID", "SIZE", "AGE", "TRIES", "NEXT", "FROM, TO")
}

fn row(id: &str, size: &str, age: &str, tries: &str, next: &str, sender: &str) -> String {
    format!("{id:<22} {size:>7} {age:>7} {tries:>5}  {next:<9} {sender}\n")
}

/// A message, and a line for each recipient who does not have it yet.
#[must_use]
pub fn lines(entry: &Entry, now: Timestamp) -> String {
    match entry {
        Entry::Writing { id } => format!("{id} being written\n"),
        Entry::Unfinished { id } => format!("{id} never finished; smapd removes it\n"),
        Entry::Bad { id, why } => format!("{id} bad: {}; smapd sets it aside\n", printable(why)),
        Entry::Message { id, size, arrived, sender, recipients, attempts, next, held, .. } => {
            let next = if *held { "held".to_owned() } else { next_try(*next, now) };
            let age = duration(now.since(*arrived));
            let first = row(id.as_str(), &octets(*size), &age, &attempts.to_string(), &next, sender);
            recipients.iter().fold(first, |text, recipient| text + &pending(recipient))
        }
    }
}

/// When it is tried.
pub(super) fn next_try(next: Option<Timestamp>, now: Timestamp) -> String {
    match next.filter(|next| *next > now) {
        Some(next) => format!("in {}", duration(next.since(now))),
        None => "now".to_owned(),
    }
}

fn pending(recipient: &Pending) -> String {
    let indent = " ".repeat(4);
    let Pending { address, original, last } = recipient;
    let who = named(address, original.as_deref());
    match last {
        None => format!("{indent}{who}\n"),
        Some(last) => format!("{indent}{who}: {}\n", said(last)),
    }
}

/// Somebody, and in whose place he stands.
pub(super) fn named(address: &str, original: Option<&str>) -> String {
    match original {
        None => address.to_owned(),
        Some(original) => format!("{} for {original}", printable(address)),
    }
}

/// What was said at an attempt, and by whom.
pub(super) fn said(Attempt { status, relay, reply, .. }: &Attempt) -> String {
    match relay.as_str() {
        "" => format!("{status} {}", printable(reply)),
        relay => format!("{status} {}: {}", printable(relay), printable(reply)),
    }
}

/// What all of it comes to.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Summary {
    /// Whole messages.
    pub messages: u64,
    /// Octets of their bodies.
    pub octets: u64,
    /// Those of them that are held.
    pub held: u64,
    /// Not all were asked for.
    pub filtered: bool,
    /// Files that are being written.
    pub writing: u64,
    /// Files that never became a message.
    pub unfinished: u64,
    /// Files that do not belong there.
    pub bad: u64,
    /// Files that smapd set aside.
    pub set_aside: u64,
}

impl Summary {
    /// Counts one more.
    pub fn add(&mut self, entry: &Entry) {
        match entry {
            Entry::Message { size, held, .. } => {
                self.messages += 1;
                self.held += u64::from(*held);
                self.octets = self.octets.saturating_add(*size);
            }
            Entry::Writing { .. } => self.writing += 1,
            Entry::Unfinished { .. } => self.unfinished += 1,
            Entry::Bad { .. } => self.bad += 1,
        }
    }
}

impl fmt::Display for Summary {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.messages {
            0 if self.filtered => f.write_str("no such message")?,
            0 => f.write_str("the queue is empty")?,
            count => write!(f, "{}, {}", counted(count, "message", "messages"), octets(self.octets))?,
        }
        let rest = [
            (self.held, "held"),
            (self.writing, "being written"),
            (self.unfinished, "never finished"),
            (self.bad, "bad"),
            (self.set_aside, "set aside in bad/"),
        ];
        rest.into_iter()
            .filter(|(count, _)| *count > 0)
            .try_for_each(|(count, what)| write!(f, "; {count} {what}"))
    }
}
