//! What has to hold of a disk that a crash has left: nothing that was promised is lost, nothing is torn, nothing that
//! was refused is there. Messages and states are read as smapd reads them.

use std::cell::RefCell;
use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::fs::{self, File};
use std::os::fd::AsFd;
use std::os::unix::fs::MetadataExt;
use std::rc::Rc;

use smap_common::envelope::Envelope;
use smap_common::spool::{Expected, Message, Opened, QueueState};
use tempfile::TempDir;

use super::disk::Tree;

/// What happens beside the disk.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Event {
    /// The client is about to read that this message is accepted.
    Accepted(String),
    /// The client is about to read that it is not.
    Refused(String),
    /// A server has taken a copy for this recipient.
    Relayed(String),
    /// The operator was told that it is gone.
    Deleted(String),
}

impl Event {
    /// What is said to a client at the end of its data.
    pub(super) fn said(octets: &[u8]) -> Option<Self> {
        let text = std::str::from_utf8(octets).ok()?;
        let id = text.lines().find_map(|line| line.strip_prefix("250 2.0.0 Mail accepted "))?;
        Some(Self::Accepted(id.to_owned()))
    }
}

/// A message that was sent.
#[derive(Debug, Clone)]
pub struct Letter {
    /// Whose notifications come to a Maildir.
    pub sender: String,
    /// To whom.
    pub recipients: Vec<String>,
    /// CRLF lines.
    pub text: String,
}

/// What is known by all but the disk.
#[derive(Debug, Clone, Default)]
pub struct Known {
    /// All that was sent, by the ids that smap gave.
    pub letters: BTreeMap<String, Letter>,
    accepted: BTreeSet<String>,
    refused: BTreeSet<String>,
    relayed: BTreeMap<String, usize>,
    deleted: BTreeSet<String>,
}

impl Known {
    /// Nothing but what was sent.
    #[must_use]
    pub fn of(letters: impl IntoIterator<Item = (String, Letter)>) -> Self {
        Self { letters: letters.into_iter().collect(), ..Self::default() }
    }

    /// Takes an event.
    pub fn learn(&mut self, event: &Event) {
        match event {
            Event::Accepted(id) => drop(self.accepted.insert(id.clone())),
            Event::Refused(id) => drop(self.refused.insert(id.clone())),
            Event::Relayed(recipient) => *self.relayed.entry(recipient.clone()).or_default() += 1,
            Event::Deleted(id) => drop(self.deleted.insert(id.clone())),
        }
    }
}

/// A file of the spool, as smapd reads it.
#[derive(Debug)]
enum Read {
    Message(Box<Envelope>, BTreeSet<String>),
    Unfinished,
    Poison(String),
}

/// What a mailbox file says.
#[derive(Debug)]
struct Mailbox {
    user: String,
    /// Messages that it has, and how often.
    letters: BTreeMap<String, usize>,
    /// Recipients of whom it says that they failed.
    failed: BTreeSet<String>,
    is_torn: bool,
}

/// A path and what is in it.
type Key = (String, Vec<u8>);

/// Reads and judges; remembers what it has read.
#[derive(Debug)]
pub struct Judge {
    scratch: TempDir,
    messages: RefCell<HashMap<Key, Rc<Read>>>,
    states: RefCell<HashMap<Key, Rc<QueueState>>>,
    mailboxes: RefCell<HashMap<Key, Rc<Mailbox>>>,
}

impl Default for Judge {
    fn default() -> Self {
        Self {
            scratch: tempfile::tempdir().expect("a temporary folder"),
            messages: RefCell::default(),
            states: RefCell::default(),
            mailboxes: RefCell::default(),
        }
    }
}

/// A whole message in the spool, and its state.
struct Found {
    id: String,
    message: Rc<Read>,
    state: Rc<QueueState>,
}

impl Found {
    /// Whether it is a notification on its way to this sender, of this recipient.
    fn tells(&self, sender: &str, recipient: &str) -> bool {
        let Read::Message(envelope, failed) = &*self.message else { return false };
        envelope.mail.sender.address().is_none()
            && failed.contains(recipient)
            && envelope.recipients.iter().any(|one| one.address.to_string() == sender)
            && !self.state.is_settled(0)
    }
}

impl Judge {
    /// What does not hold; nothing, if all is well. With `at_rest` nothing may be left to do either.
    #[must_use]
    pub fn judge(&self, tree: &Tree, known: &Known, at_rest: bool) -> Vec<String> {
        let mut wrong = Vec::new();
        let found = self.spool(tree, known, &mut wrong);
        let mailboxes = self.mailboxes(tree, known, &mut wrong);
        for (id, letter) in &known.letters {
            let waits: Vec<&Found> = found.iter().filter(|found| found.id == *id).collect();
            if known.refused.contains(id) && !waits.is_empty() {
                wrong.push(format!("I4: {id} is a message, although it was refused"));
            }
            if known.deleted.contains(id) {
                continue;
            }
            let sender = user_of(&letter.sender);
            for (number, recipient) in (0..).zip(&letter.recipients) {
                let user = user_of(recipient);
                let waiting = waits.iter().any(|found| !found.state.is_settled(number));
                let copied = known.relayed.contains_key(recipient)
                    || mailboxes
                        .iter()
                        .any(|mailbox| mailbox.user == user && mailbox.letters.contains_key(id));
                let told = found.iter().any(|found| found.tells(&letter.sender, recipient))
                    || mailboxes
                        .iter()
                        .any(|mailbox| mailbox.user == sender && mailbox.failed.contains(recipient));
                if known.accepted.contains(id) && !copied && !told && !waiting {
                    wrong.push(format!("I1: {recipient} of {id} is lost"));
                }
                if at_rest && waiting && (copied || told) {
                    wrong.push(format!("I3: {recipient} of {id} will have it, or hear of it, again"));
                }
            }
        }
        wrong
    }

    fn spool(&self, tree: &Tree, known: &Known, wrong: &mut Vec<String>) -> Vec<Found> {
        let mut found = Vec::new();
        for (path, octets) in tree.files("spool/queue").chain(tree.files("spool/incoming")) {
            let id = path.rsplit('/').next().unwrap_or_default().to_owned();
            if id.ends_with(".state") {
                continue;
            }
            let message = remembered(&self.messages, &id, octets, || self.read(&id, octets));
            match &*message {
                Read::Message(..) => {
                    let path = format!("spool/queue/{id}.state");
                    let text = tree.file(&path).unwrap_or_default();
                    let state = remembered(&self.states, &path, text, || QueueState::parse(text));
                    found.push(Found { id, message, state });
                }
                Read::Poison(reason) if known.accepted.contains(&id) => {
                    wrong.push(format!("I2: {path}: {reason}"))
                }
                Read::Unfinished | Read::Poison(_) => {}
            }
        }
        found
    }

    fn read(&self, name: &str, octets: &[u8]) -> Read {
        let path = self.scratch.path().join(name);
        fs::write(&path, octets).expect("there is room");
        let folder = File::open(self.scratch.path()).unwrap();
        let owner = folder.metadata().unwrap().uid();
        let opened = Message::open(folder.as_fd(), name, &Expected { owners: [owner; 2], maxbytes: 1 << 20 });
        let read = match opened.expect("it can be read") {
            Opened::Message(message) => {
                let mut text = Vec::new();
                let collect = |part: &[u8]| {
                    text.extend_from_slice(part);
                    Ok(())
                };
                message.body.for_each(collect).unwrap();
                Read::Message(Box::new(message.envelope), failed(&String::from_utf8_lossy(&text)))
            }
            Opened::Poison(poison) => Read::Poison(poison.to_string()),
            Opened::Unfinished | Opened::Busy | Opened::Gone => Read::Unfinished,
        };
        fs::remove_file(&path).unwrap();
        read
    }

    /// Maildirs are `mail/USER/`, mboxes `mail/USER`. What is in a Maildir is whole.
    fn mailboxes(&self, tree: &Tree, known: &Known, wrong: &mut Vec<String>) -> Vec<Rc<Mailbox>> {
        let files =
            tree.files("mail").filter(|(path, _)| !path.ends_with(".lock") && !path.contains("/tmp/"));
        let read = files.map(|(path, octets)| {
            let mailbox = remembered(&self.mailboxes, path, octets, || mailbox(path, octets, known));
            if mailbox.is_torn {
                wrong.push(format!("I2: {path} is torn"));
            }
            mailbox
        });
        read.collect()
    }
}

fn remembered<T>(
    memory: &RefCell<HashMap<Key, Rc<T>>>,
    path: &str,
    octets: &[u8],
    read: impl FnOnce() -> T,
) -> Rc<T> {
    let key = (path.to_owned(), octets.to_vec());
    if let Some(known) = memory.borrow().get(&key) {
        return Rc::clone(known);
    }
    let value = Rc::new(read());
    memory.borrow_mut().insert(key, Rc::clone(&value));
    value
}

fn mailbox(path: &str, octets: &[u8], known: &Known) -> Mailbox {
    let text = String::from_utf8_lossy(octets);
    let local = |letter: &Letter| letter.text.replace("\r\n", "\n");
    let count = |(id, letter): (&String, &Letter)| (id.clone(), text.matches(&local(letter)).count());
    let is_whole =
        text.ends_with("--\n") || known.letters.values().any(|letter| text.ends_with(&local(letter)));
    Mailbox {
        user: path.split('/').nth(1).unwrap_or_default().to_owned(),
        letters: known.letters.iter().map(count).filter(|(_, count)| *count > 0).collect(),
        failed: failed(&text),
        is_torn: path.contains("/new/") && !is_whole,
    }
}

fn user_of(address: &str) -> &str {
    address.split('@').next().unwrap_or_default()
}

/// Those of whom a notification says that they failed (RFC 3464 section 2.3).
pub(crate) fn failed(text: &str) -> BTreeSet<String> {
    let mut last = "";
    let mut failed = BTreeSet::new();
    for line in text.lines() {
        if let Some(address) = line.strip_prefix("Final-Recipient: ") {
            last = address.split_once(';').map_or(address, |(_, address)| address).trim();
        } else if line == "Action: failed" {
            failed.insert(last.to_owned());
        }
    }
    failed
}
