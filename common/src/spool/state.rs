//! What smapd remembers of a message that was not delivered at once: `queue/ID.state`.
//!
//! A text file that only grows: one record a line, each behind a checksum of its own. A line that was torn by a
//! crash is read over: at worst a recipient whose delivery was not yet durable is delivered to again.
//!
//! ```text
//! 5d41402a mark 0 1795247311.123456 deferred 4.4.1 relay=mail.inside[10.0.0.5]:25 reply=connection refused
//! 7ab3f201 next 1 1795247611.000000
//! 0c5e9d11 warned 1795261711.000000
//! 91d3a07e order 1795262000.000000 hold by=0 text=
//! ```
//!
//! A kind in small letters that a reader does not know is read over too. One in capitals must be understood: whoever
//! does not know it leaves the message alone. Those of an expansion are ([`super::expansion`]): its results first, each
//! under a number of its own, then the line that makes them one. Without that line they are nothing.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{self, Read, Write};
use std::os::fd::BorrowedFd;
use std::os::unix::fs::FileExt;
use std::time::Duration;

use nix::fcntl::{OFlag, openat};
use nix::sys::stat::Mode;

use crate::clock::Timestamp;
use crate::envelope::Envelope;
use crate::spool::{Everyone, Expansion, Member, Order, Ordered, QueueId, READ};
use crate::status::Status;

mod record;
#[cfg(test)]
mod tests;

pub use self::record::Record;

/// How an attempt for one recipient ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Outcome {
    /// It is where it belongs.
    Delivered,
    /// It never will be.
    Failed,
    /// Not yet.
    Deferred,
}

impl Outcome {
    const ALL: [(Self, &'static str); 3] =
        [(Self::Delivered, "delivered"), (Self::Failed, "failed"), (Self::Deferred, "deferred")];

    /// The word in the state file.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        Self::ALL.iter().find(|(outcome, _)| *outcome == self).map_or("", |(_, word)| word)
    }

    /// Whether nothing more is to be tried.
    #[must_use]
    pub fn is_final(self) -> bool {
        self != Self::Deferred
    }
}

/// The last thing that happened to one recipient.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Mark {
    /// Which one, counted from 0 in the order of the envelope.
    pub recipient: u32,
    /// When.
    pub at: Timestamp,
    /// How it ended.
    pub outcome: Outcome,
    /// RFC 3463.
    pub status: Status,
    /// What it was given to; empty where it was nothing.
    pub relay: String,
    /// What that said, or what we say of it.
    pub reply: String,
}

/// All that is known of a message in the queue.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct QueueState {
    /// How often it was tried.
    pub attempts: u32,
    /// When to try next.
    pub next: Option<Timestamp>,
    /// When the sender was told of the delay.
    pub warned: Option<Timestamp>,
    /// When, for want of a sender, somebody else was told of those that failed.
    pub told: Option<Timestamp>,
    /// The last mark of each recipient that has one.
    pub marks: BTreeMap<u32, Mark>,
    /// What an operator has ordered and is not done yet; a release leaves nothing.
    pub ordered: Option<Ordered>,
    /// How long it was held, until it was released: that time does not count.
    pub held_for: Duration,
    /// Whom recipients stand for, in the order of the members' numbers.
    pub expansions: Vec<Expansion>,
    /// There is something that must be understood, and is not.
    pub is_newer: bool,
}

impl QueueState {
    /// Reads a state file.
    #[must_use]
    pub fn parse(text: &[u8]) -> Self {
        let (mut state, mut results) = (Self::default(), BTreeMap::new());
        Self::records(text).for_each(|record| state.apply(record, &mut results));
        state
    }

    /// All that a state file says, in the order in which it happened.
    pub fn records(text: &[u8]) -> impl Iterator<Item = Record> {
        let lines = text.split(|&b| b == b'\n').filter_map(|line| std::str::from_utf8(line).ok());
        lines.filter_map(Record::parse)
    }

    /// Reads the state of `id`, if there is one.
    ///
    /// # Errors
    /// The disk fails, or a newer smapd has written what this one does not understand.
    pub fn load(queue: BorrowedFd<'_>, id: QueueId) -> io::Result<Option<Self>> {
        let state = Self::load_text(queue, id)?.map(|text| Self::parse(&text));
        match state {
            Some(Self { is_newer: true, .. }) => {
                let what = format!("{} has a record of an unknown kind", state_name(id));
                Err(io::Error::new(io::ErrorKind::InvalidData, what))
            }
            state => Ok(state),
        }
    }

    /// Reads the text of the state of `id`, if there is one.
    ///
    /// # Errors
    /// The disk fails.
    pub fn load_text(queue: BorrowedFd<'_>, id: QueueId) -> io::Result<Option<Vec<u8>>> {
        match openat(queue, state_name(id).as_str(), READ, Mode::empty()) {
            Ok(file) => {
                let mut text = Vec::new();
                File::from(file).read_to_end(&mut text)?;
                Ok(Some(text))
            }
            Err(nix::errno::Errno::ENOENT) => Ok(None),
            Err(errno) => Err(errno.into()),
        }
    }

    fn apply(&mut self, record: Record, results: &mut BTreeMap<u32, Member>) {
        match record {
            Record::Mark(mark) => {
                self.marks.insert(mark.recipient, mark);
            }
            Record::Next { attempts, at } => (self.attempts, self.next) = (attempts, Some(at)),
            Record::Warned(at) => self.warned = Some(at),
            Record::Told(at) => self.told = Some(at),
            Record::Ordered(ordered) => self.order(ordered),
            Record::Result(number, member) => drop(results.insert(number, member)),
            Record::Expanded { of, first, count, rule } => {
                let range = first..first.saturating_add(count);
                let members: Vec<Member> = range.map_while(|number| results.remove(&number)).collect();
                // One that lacks somebody was not made: it is made anew.
                if u32::try_from(members.len()) == Ok(count) {
                    self.expand(Expansion { of, first, members, rule });
                }
            }
            Record::Newer => self.is_newer = true,
        }
    }

    /// Takes an expansion, in place of one whose delivery never began.
    pub fn expand(&mut self, expansion: Expansion) {
        self.expansions.retain(|other| other.of != expansion.of && other.end() <= expansion.first);
        self.expansions.push(expansion);
    }

    /// Everybody whom the message of this envelope goes to.
    #[must_use]
    pub fn everyone<'a>(&'a self, envelope: &'a Envelope) -> Everyone<'a> {
        Everyone::of(envelope, &self.expansions)
    }

    /// The numbers of all who are not delivered to yet and have not failed.
    pub fn pending<'a>(&'a self, envelope: &'a Envelope) -> impl Iterator<Item = u32> + 'a {
        self.everyone(envelope).numbers().filter(|number| !self.is_settled(*number))
    }

    /// The last order counts; the time of a message that is held stands still from the first one to hold it on.
    pub fn order(&mut self, ordered: Ordered) {
        let held = self.ordered.take_if(|before| before.order == Order::Hold);
        if let Some(before) = &held {
            self.held_for = self.held_for.saturating_add(ordered.at.since(before.at));
        }
        self.ordered = match ordered.order {
            Order::Release => None,
            Order::Hold | Order::Delete | Order::Bounce => Some(ordered),
        };
    }

    /// Whether it is kept, and not tried.
    #[must_use]
    pub fn is_held(&self) -> bool {
        self.ordered.as_ref().is_some_and(|ordered| ordered.order == Order::Hold)
    }

    /// Whether this recipient needs nothing more.
    #[must_use]
    pub fn is_settled(&self, recipient: u32) -> bool {
        self.marks.get(&recipient).is_some_and(|mark| mark.outcome.is_final())
    }
}

/// The name of the state beside a message.
#[must_use]
pub fn state_name(id: QueueId) -> String {
    format!("{id}.state")
}

/// A state file that is being added to. What is appended is durable once its [`handle`](StateFile::handle) is synced.
#[derive(Debug)]
pub struct StateFile {
    file: File,
    /// Its last line has no end: a write of ours failed, or a crash came.
    torn: bool,
}

impl StateFile {
    /// Opens the state of `id`, made if there is none.
    ///
    /// # Errors
    /// The disk is full or failing.
    pub fn open(queue: BorrowedFd<'_>, id: QueueId) -> io::Result<Self> {
        let flags = OFlag::O_RDWR | OFlag::O_CREAT | OFlag::O_APPEND | OFlag::O_CLOEXEC | OFlag::O_NOFOLLOW;
        let file = File::from(openat(queue, state_name(id).as_str(), flags, Mode::S_IRUSR | Mode::S_IWUSR)?);
        let torn = match file.metadata()?.len().checked_sub(1) {
            None => false,
            Some(last) => {
                let mut octet = [0];
                file.read_exact_at(&mut octet, last)?;
                octet != *b"\n"
            }
        };
        Ok(Self { file, torn })
    }

    /// Adds whole lines; a line that was torn before them costs only itself.
    fn append(&mut self, lines: &str) -> io::Result<()> {
        let separator = if self.torn { "\n" } else { "" };
        let result = self.file.write_all(format!("{separator}{lines}").as_bytes());
        self.torn = result.is_err();
        result
    }

    /// Adds how an attempt ended.
    ///
    /// # Errors
    /// The disk is full or failing.
    pub fn mark(&mut self, marks: &[Mark]) -> io::Result<()> {
        let lines: String = marks.iter().map(|mark| Record::Mark(mark.clone()).to_string()).collect();
        self.append(&lines)
    }

    /// Adds when to try next, after so many attempts.
    ///
    /// # Errors
    /// The disk is full or failing.
    pub fn next(&mut self, attempts: u32, at: Timestamp) -> io::Result<()> {
        self.append(&Record::Next { attempts, at }.to_string())
    }

    /// Adds that the sender was told of the delay.
    ///
    /// # Errors
    /// The disk is full or failing.
    pub fn warned(&mut self, at: Timestamp) -> io::Result<()> {
        self.append(&Record::Warned(at).to_string())
    }

    /// Adds that somebody was told of those that failed, of a message that has no sender to tell.
    ///
    /// # Errors
    /// The disk is full or failing.
    pub fn told(&mut self, at: Timestamp) -> io::Result<()> {
        self.append(&Record::Told(at).to_string())
    }

    /// Adds what an operator has ordered.
    ///
    /// # Errors
    /// The disk is full or failing.
    pub fn ordered(&mut self, ordered: &Ordered) -> io::Result<()> {
        self.append(&Record::Ordered(ordered.clone()).to_string())
    }

    /// Adds whom recipients stand for. Nobody of them is delivered to before that is synced.
    ///
    /// # Errors
    /// The disk is full or failing.
    pub fn expanded(&mut self, expansions: &[Expansion]) -> io::Result<()> {
        let mut lines = String::new();
        for Expansion { of, first, members, rule } in expansions {
            let results = (*first..).zip(members);
            lines.extend(results.map(|(number, member)| Record::Result(number, member.clone()).to_string()));
            let (count, rule) = (u32::try_from(members.len()).unwrap_or(u32::MAX), rule.clone());
            lines += &Record::Expanded { of: *of, first: *first, count, rule }.to_string();
        }
        self.append(&lines)
    }

    /// The same file, to be synced by somebody else: what was added is durable then.
    ///
    /// # Errors
    /// No descriptors.
    pub fn handle(&self) -> io::Result<File> {
        self.file.try_clone()
    }
}
