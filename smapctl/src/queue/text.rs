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
        Entry::Message { id, size, arrived, sender, recipients, attempts, next, .. } => {
            let next = next.map_or_else(
                || "now".to_owned(),
                |next| {
                    if next > now { format!("in {}", duration(next.since(now))) } else { "now".to_owned() }
                },
            );
            let age = duration(now.since(*arrived));
            let first = row(id.as_str(), &octets(*size), &age, &attempts.to_string(), &next, sender);
            recipients.iter().fold(first, |text, recipient| text + &pending(recipient))
        }
    }
}

fn pending(recipient: &Pending) -> String {
    let indent = " ".repeat(4);
    let Pending { address, last } = recipient;
    match last {
        None => format!("{indent}{address}\n"),
        Some(Attempt { status, relay, reply, .. }) if relay.is_empty() => {
            format!("{indent}{address}: {status} {}\n", printable(reply))
        }
        Some(Attempt { status, relay, reply, .. }) => {
            format!("{indent}{address}: {status} {}: {}\n", printable(relay), printable(reply))
        }
    }
}

/// What all of it comes to.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Summary {
    /// Whole messages.
    pub messages: u64,
    /// Octets of their bodies.
    pub octets: u64,
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
            Entry::Message { size, .. } => {
                self.messages += 1;
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
            0 => f.write_str("the queue is empty")?,
            count => write!(f, "{}, {}", counted(count, "message", "messages"), octets(self.octets))?,
        }
        let rest = [
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
