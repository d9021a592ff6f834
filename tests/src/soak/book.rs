//! What was sent, what was promised, and what has come: nothing else is believed.
//!
//! A message that was acknowledged has to come whole to each recipient, or its sender has to be told; one that was
//! refused may not come at all; of one whose client was cut off nobody knows, but it comes whole or not at all. A
//! second copy needs an excuse of its own: a server that could not say that it had taken the first, or a smapd that
//! ended before it had marked it.

use std::collections::HashMap;
use std::sync::Mutex;
use std::time::Instant;

use super::letter::{Letter, Print, is_nobody, whose, with_bare_ends};
use super::lives::{Life, key_of};

/// What the client was told.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Fate {
    /// Nothing yet.
    Sent,
    /// It is promised.
    Accepted,
    /// It is refused, or was never finished.
    Refused,
    /// Nobody knows.
    Cut,
}

#[derive(Debug)]
struct Entry {
    fate: Fate,
    wire: Print,
    local: Print,
    recipients: Vec<Person>,
}

#[derive(Debug, Clone)]
struct Person {
    address: String,
    first: Option<Instant>,
    copies: usize,
    /// Notifications, each counted once however often it came.
    told: usize,
}

impl Person {
    fn is_served(&self) -> bool {
        self.copies + self.told > 0
    }
}

/// Counts for the lines of progress.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Counts {
    pub(super) accepted: u64,
    pub(super) refused: u64,
    pub(super) cut: u64,
    pub(super) recipients: u64,
    pub(super) copies: u64,
    pub(super) octets: u64,
    pub(super) told: u64,
    pub(super) waiting: u64,
    pub(super) second_copies: u64,
    pub(super) told_twice: u64,
    pub(super) told_and_copied: u64,
}

#[derive(Debug, Default)]
pub(super) struct Book(Mutex<Pages>);

#[derive(Debug, Default)]
struct Pages {
    entries: HashMap<u64, Entry>,
    counts: Counts,
    /// Every smapd that has ended.
    lives: Vec<Life>,
    /// Copies of which the server could not say that it had them, by address.
    unheard: HashMap<String, usize>,
    /// Notifications, by their ids: when each first came, and how often.
    notices: HashMap<String, (Instant, usize)>,
    faults: Vec<String>,
}

impl Book {
    /// A letter is about to be sent.
    pub(super) fn sent(&self, letter: &Letter) {
        let person = |address: &String| Person { address: address.clone(), first: None, copies: 0, told: 0 };
        let entry = Entry {
            fate: Fate::Sent,
            wire: Print::of(&letter.text),
            local: Print::of(&with_bare_ends(&letter.text)),
            recipients: letter.recipients.iter().map(person).collect(),
        };
        self.0.lock().unwrap().entries.insert(letter.number, entry);
    }

    /// The client knows what became of it.
    pub(super) fn ended(&self, number: u64, fate: Fate) {
        let pages = &mut *self.0.lock().unwrap();
        let entry = pages.entries.get_mut(&number).expect("it was sent");
        entry.fate = fate;
        let recipients = u64::try_from(entry.recipients.len()).unwrap();
        match fate {
            Fate::Accepted => {
                pages.counts.accepted += 1;
                pages.counts.recipients += recipients;
                let waiting = entry.recipients.iter().filter(|one| !one.is_served()).count();
                pages.counts.waiting += u64::try_from(waiting).unwrap();
            }
            Fate::Refused => {
                pages.counts.refused += 1;
                if entry.recipients.iter().any(Person::is_served) {
                    pages.faults.push(format!("{number}: delivered, although it was refused"));
                }
            }
            Fate::Cut | Fate::Sent => pages.counts.cut += 1,
        }
    }

    /// Recipients of acknowledged messages that still wait.
    pub(super) fn waiting(&self) -> u64 {
        self.0.lock().unwrap().counts.waiting
    }

    pub(super) fn counts(&self) -> Counts {
        self.0.lock().unwrap().counts
    }

    pub(super) fn faults(&self) -> Vec<String> {
        self.0.lock().unwrap().faults.clone()
    }

    pub(super) fn fault(&self, text: String) {
        self.0.lock().unwrap().faults.push(text);
    }

    /// A smapd has ended.
    pub(super) fn over(&self, life: Life) {
        self.0.lock().unwrap().lives.push(life);
    }

    /// A server has taken a copy for this address, and could not say so.
    pub(super) fn unheard(&self, address: &str) {
        *self.0.lock().unwrap().unheard.entry(bare(address).to_owned()).or_default() += 1;
    }

    /// A copy came for this address.
    pub(super) fn came(&self, address: &str, text: &[u8]) {
        let pages = &mut *self.0.lock().unwrap();
        let found = whose(address).and_then(|(number, which)| {
            let entry = pages.entries.get_mut(&number)?;
            (which < entry.recipients.len()).then_some((number, which, entry))
        });
        let Some((number, which, entry)) = found else {
            pages.faults.push(format!("{address}: a copy of nothing that was sent"));
            return;
        };
        if !entry.wire.ends(text) && !entry.local.ends(text) {
            pages.faults.push(format!(
                "{number} to {address}: torn, {} octets, {:?}",
                text.len(),
                entry.wire
            ));
        }
        if entry.fate == Fate::Refused {
            pages.faults.push(format!("{number} to {address}: delivered, although it was refused"));
        }
        let person = &mut entry.recipients[which];
        if is_nobody(address) {
            pages.faults.push(format!("{number} to {address}: taken by nobody"));
        }
        pages.counts.copies += 1;
        pages.counts.octets += u64::try_from(text.len()).unwrap();
        if !person.is_served() && entry.fate == Fate::Accepted {
            pages.counts.waiting -= 1;
        }
        if person.told > 0 {
            pages.counts.told_and_copied += 1;
            pages.faults.push(format!("{number} to {address}: delivered, although its sender was told"));
        }
        let first = *person.first.get_or_insert_with(Instant::now);
        person.copies += 1;
        if person.copies > 1 {
            pages.counts.second_copies += 1;
            let key = key_of(address).unwrap_or_default();
            let unheard = pages.unheard.get(bare(address)).copied().unwrap_or_default();
            let unmarked = pages.lives.iter().filter(|life| life.may_have_sent(&key, first)).count();
            if person.copies > 1 + unheard + unmarked {
                pages.faults.push(format!(
                    "{number} to {address}: copy {}, with {unheard} unheard and {unmarked} unmarked",
                    person.copies
                ));
            }
        }
    }

    /// The sender was told by this notification that these have failed.
    pub(super) fn told(&self, id: &str, sender: &str, failed: &[String]) {
        let pages = &mut *self.0.lock().unwrap();
        if pages.is_a_copy(id, sender) {
            return;
        }
        for address in failed {
            let found = whose(address)
                .and_then(|(number, which)| Some((number, which, pages.entries.get_mut(&number)?)));
            let Some((number, which, entry)) = found else {
                pages.faults.push(format!("{address}: told of nothing that was sent"));
                continue;
            };
            if !bare(sender).starts_with(&format!("s{number}@")) {
                pages.faults.push(format!("{number}: {sender} was told"));
            }
            if entry.fate == Fate::Refused {
                pages.faults.push(format!("{number}: its sender was told of it, although it was refused"));
            }
            let person = &mut entry.recipients[which];
            if !person.is_served() && entry.fate == Fate::Accepted {
                pages.counts.waiting -= 1;
            }
            if person.copies > 0 {
                pages.counts.told_and_copied += 1;
                pages
                    .faults
                    .push(format!("{number} to {address}: its sender was told, although it has come"));
            }
            pages.counts.told += 1;
            person.told += 1;
            if person.told > 1 {
                pages.counts.told_twice += 1;
                let key = key_of(address).unwrap_or_default();
                let unmarked = pages.lives.iter().filter(|life| life.may_have_told(&key)).count();
                if person.told > 1 + unmarked {
                    pages.faults.push(format!(
                        "{number} to {address}: told of by notification {}, {id}, with {unmarked} unmarked",
                        person.told
                    ));
                }
            }
        }
    }

    /// Whoever was promised a message and has not got it, or heard of it.
    pub(super) fn missing(&self) -> Vec<String> {
        let pages = self.0.lock().unwrap();
        let promised = pages.entries.iter().filter(|(_, entry)| entry.fate == Fate::Accepted);
        let missing = promised.flat_map(|(number, entry)| {
            let waiting = entry.recipients.iter().filter(|person| !person.is_served());
            waiting.map(move |person| format!("{number} to {}: lost", person.address))
        });
        missing.collect()
    }
}

impl Pages {
    /// Whether this notification has come before; it needs the same excuses as any other copy.
    fn is_a_copy(&mut self, id: &str, sender: &str) -> bool {
        let (first, copies) = self.notices.entry(id.to_owned()).or_insert((Instant::now(), 0));
        *copies += 1;
        if *copies > 1 {
            self.counts.second_copies += 1;
            let unheard = self.unheard.get(bare(sender)).copied().unwrap_or_default();
            let unmarked = self.lives.iter().filter(|life| life.may_have_sent(id, *first)).count();
            if *copies > 1 + unheard + unmarked {
                self.faults.push(format!(
                    "notification {id} to {sender}: copy {copies}, with {unheard} unheard and {unmarked} unmarked"
                ));
            }
        }
        *copies > 1
    }
}

fn bare(path: &str) -> &str {
    path.trim_matches(['<', '>'])
}
