//! What next hosts have said of recipients.
//!
//! Pure: decides how long that counts. Guarantees that it takes no more memory than [`MOST`] recipients do, and that
//! whoever asks for people who do not exist never has those forgotten who do.
#![deny(clippy::disallowed_methods)]

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;
use std::time::{Duration, Instant};

/// Recipients that are remembered, of those who exist and of those who do not.
const MOST: usize = 50_000;

/// How long an answer counts.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Lifetimes {
    /// Of one who exists.
    pub(crate) positive: Duration,
    /// Of one who does not.
    pub(crate) negative: Duration,
    /// Of one who exists, while nobody can be asked.
    pub(crate) stale: Duration,
}

/// What is known of a recipient.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Known {
    /// He exists: what was said of him, and how long that counts.
    Exists(String, Duration),
    /// He does not.
    Unknown,
    /// He did exist: that counts while nobody can be asked.
    Stale(String),
    /// Nothing that counts.
    Nothing,
}

#[derive(Debug)]
pub(crate) struct Cache {
    lifetimes: Lifetimes,
    takes: Aged<String>,
    lacks: Aged<()>,
}

impl Cache {
    pub(crate) fn new(lifetimes: Lifetimes) -> Self {
        Self { lifetimes, takes: Aged::new(MOST), lacks: Aged::new(MOST) }
    }

    pub(crate) fn look(&mut self, recipient: &str, now: Instant) -> Known {
        let Lifetimes { positive, negative, stale } = self.lifetimes;
        let lacks = self.lacks.get(recipient).map(|(_, since)| now.saturating_duration_since(since));
        match lacks {
            Some(age) if age < negative => return Known::Unknown,
            Some(_) => self.lacks.forget(recipient),
            None => {}
        }
        let Some((said, since)) = self.takes.get(recipient) else { return Known::Nothing };
        let age = now.saturating_duration_since(since);
        if age < positive {
            Known::Exists(said.clone(), positive - age)
        } else if age < stale {
            Known::Stale(said.clone())
        } else {
            self.takes.forget(recipient);
            Known::Nothing
        }
    }

    /// He exists, and this was said of him.
    pub(crate) fn exists(&mut self, recipient: &str, said: String, now: Instant) {
        self.lacks.forget(recipient);
        self.takes.put(recipient, said, now);
    }

    /// He does not.
    pub(crate) fn unknown(&mut self, recipient: &str, now: Instant) {
        self.takes.forget(recipient);
        self.lacks.put(recipient, (), now);
    }
}

/// So many of them, of which the oldest goes first.
#[derive(Debug)]
struct Aged<T> {
    most: usize,
    entries: HashMap<Arc<str>, (u64, Instant, T)>,
    order: BTreeMap<u64, Arc<str>>,
    next: u64,
}

impl<T> Aged<T> {
    fn new(most: usize) -> Self {
        Self { most, entries: HashMap::new(), order: BTreeMap::new(), next: 0 }
    }

    fn get(&self, key: &str) -> Option<(&T, Instant)> {
        self.entries.get(key).map(|(_, since, value)| (value, *since))
    }

    fn put(&mut self, key: &str, value: T, now: Instant) {
        self.forget(key);
        while self.entries.len() >= self.most {
            match self.order.pop_first() {
                Some((_, oldest)) => drop(self.entries.remove(&oldest)),
                None => break,
            }
        }
        let key: Arc<str> = Arc::from(key);
        self.order.insert(self.next, Arc::clone(&key));
        self.entries.insert(key, (self.next, now, value));
        self.next += 1;
    }

    fn forget(&mut self, key: &str) {
        if let Some((number, ..)) = self.entries.remove(key) {
            self.order.remove(&number);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const fn seconds(count: u64) -> Duration {
        Duration::from_secs(count)
    }

    const LIFETIMES: Lifetimes =
        Lifetimes { positive: seconds(100), negative: seconds(10), stale: seconds(1000) };

    /// A cache, and the time at its beginning.
    fn cache() -> (Cache, Instant) {
        #[expect(clippy::disallowed_methods, reason = "any time will do")]
        let now = Instant::now();
        (Cache::new(LIFETIMES), now)
    }

    #[test]
    fn who_exists_counts_longer_while_nobody_can_be_asked() {
        let (mut cache, now) = cache();
        cache.exists("a@b", "250 ok".to_owned(), now);
        let ok = || "250 ok".to_owned();
        assert_eq!(cache.look("a@b", now + seconds(99)), Known::Exists(ok(), seconds(1)));
        assert_eq!(cache.look("a@b", now + seconds(100)), Known::Stale(ok()));
        assert_eq!(cache.look("a@b", now + seconds(999)), Known::Stale(ok()));
        assert_eq!(cache.look("a@b", now + seconds(1000)), Known::Nothing);
        assert!(cache.takes.entries.is_empty() && cache.takes.order.is_empty());
    }

    #[test]
    fn who_does_not_exist_is_asked_for_again_soon() {
        let (mut cache, now) = cache();
        cache.unknown("a@b", now);
        assert_eq!(cache.look("a@b", now + seconds(9)), Known::Unknown);
        assert_eq!(cache.look("a@b", now + seconds(10)), Known::Nothing);
    }

    #[test]
    fn what_was_said_last_counts() {
        let (mut cache, now) = cache();
        cache.exists("a@b", String::new(), now);
        cache.unknown("a@b", now);
        assert_eq!(cache.look("a@b", now), Known::Unknown);
        assert_eq!(cache.look("a@b", now + seconds(50)), Known::Nothing);
        cache.unknown("a@b", now);
        cache.exists("a@b", String::new(), now);
        assert_eq!(cache.look("a@b", now), Known::Exists(String::new(), seconds(100)));
    }

    #[test]
    fn the_oldest_goes_where_there_is_no_room() {
        let (_, now) = cache();
        let mut aged = Aged::new(3);
        for key in ["a", "b", "a", "c", "d"] {
            aged.put(key, key, now);
        }
        let known = ["a", "b", "c", "d"].map(|key| aged.get(key).is_some());
        assert_eq!((known, aged.order.len()), ([true, false, true, true], 3));
    }

    #[test]
    fn strangers_have_nobody_forgotten() {
        let (mut cache, now) = cache();
        cache.exists("a@b", String::new(), now);
        (0..=MOST).for_each(|number| cache.unknown(&format!("{number}@b"), now));
        assert_eq!(cache.lacks.entries.len(), MOST);
        assert_eq!(cache.look("a@b", now), Known::Exists(String::new(), seconds(100)));
    }
}
