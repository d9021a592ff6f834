//! What was sent, what was promised, and what has come: nothing else is believed.
//!
//! A message that was acknowledged has to come whole to each recipient, or its sender has to be told; one that was
//! refused may not come at all; of one whose client was cut off nobody knows, but it comes whole or not at all. A
//! second copy needs an excuse: a process was killed, or a connection cut, about when the first one came.

use std::collections::HashMap;
use std::sync::Mutex;
use std::time::{Duration, Instant};

use super::letter::{Letter, Print, is_nobody, whose, with_bare_ends};

/// How long after a first copy a kill excuses a second one: until smapd has heard that the first was taken, and has
/// written it down.
const WINDOW: Duration = Duration::from_secs(5);
/// How much earlier than it was seen a copy may have come.
const SEEN_LATE: Duration = Duration::from_secs(2);
/// How long a notification may have been on its way, since a kill that has another made.
const UNDER_WAY: Duration = Duration::from_mins(2);

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
    copies: u32,
    told: u32,
    told_first: Option<Instant>,
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
    /// Kills and cuts: when, and what of.
    excuses: Vec<(Instant, String)>,
    faults: Vec<String>,
}

impl Book {
    /// A letter is about to be sent.
    pub(super) fn sent(&self, letter: &Letter) {
        let person = |address: &String| Person {
            address: address.clone(),
            first: None,
            copies: 0,
            told: 0,
            told_first: None,
        };
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

    /// Something was done on purpose that may cost a second copy to those whose address or place has this in it.
    pub(super) fn excuse(&self, of: &str) {
        self.0.lock().unwrap().excuses.push((Instant::now(), of.to_owned()));
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
        let now = Instant::now();
        let person = &mut entry.recipients[which];
        if is_nobody(address) {
            pages.faults.push(format!("{number} to {address}: taken by nobody"));
        }
        pages.counts.copies += 1;
        pages.counts.octets += u64::try_from(text.len()).unwrap();
        if !person.is_served() && entry.fate == Fate::Accepted {
            pages.counts.waiting -= 1;
        }
        if let Some(first) = person.first.or(person.told_first) {
            pages.counts.second_copies += u64::from(person.copies > 0);
            pages.counts.told_and_copied += u64::from(person.told > 0);
            if !is_excused(&pages.excuses, first, SEEN_LATE, address) {
                pages.faults.push(format!("{number} to {address}: a second copy without excuse"));
            }
        }
        person.copies += 1;
        person.first.get_or_insert(now);
    }

    /// The sender was told that these have failed.
    pub(super) fn told(&self, sender: &str, failed: &[String]) {
        let pages = &mut *self.0.lock().unwrap();
        for address in failed {
            let found = whose(address)
                .and_then(|(number, which)| Some((number, which, pages.entries.get_mut(&number)?)));
            let Some((number, which, entry)) = found else {
                pages.faults.push(format!("{address}: told of nothing that was sent"));
                continue;
            };
            if !sender.trim_start_matches('<').starts_with(&format!("s{number}@")) {
                pages.faults.push(format!("{number}: {sender} was told"));
            }
            if entry.fate == Fate::Refused {
                pages.faults.push(format!("{number}: its sender was told of it, although it was refused"));
            }
            let person = &mut entry.recipients[which];
            if !person.is_served() && entry.fate == Fate::Accepted {
                pages.counts.waiting -= 1;
            }
            pages.counts.told += 1;
            let first = person.told_first.or(person.first);
            if let Some(first) = first {
                pages.counts.told_twice += u64::from(person.told > 0);
                pages.counts.told_and_copied += u64::from(person.copies > 0);
                // The notification may be copied itself, or the message be back, for the same reasons.
                let excused = |of| is_excused(&pages.excuses, first, UNDER_WAY, of);
                if !excused(address) && !excused("home") {
                    pages.faults.push(format!("{number} to {address}: told without need"));
                }
            }
            person.told += 1;
            person.told_first.get_or_insert_with(Instant::now);
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

fn is_excused(excuses: &[(Instant, String)], first: Instant, before: Duration, address: &str) -> bool {
    let from = first.checked_sub(before).unwrap_or(first);
    excuses.iter().rev().any(|(at, of)| *at >= from && *at <= first + WINDOW && address.contains(of.as_str()))
}
