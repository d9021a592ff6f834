//! When to try again.

use std::time::Duration;

use serde::de::{Deserialize, Deserializer, Error as _};

use super::values::{HOUR, MINUTE, named};
use crate::table::Words;
use crate::units;

/// How long to wait before each further try; the last one repeats. Never empty.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Retry(Vec<Duration>);

impl Default for Retry {
    fn default() -> Self {
        Self([5, 10, 20, 40, 60, 120, 240].map(|minutes| Duration::from_secs(minutes * MINUTE)).to_vec())
    }
}

impl Retry {
    /// The wait after that many failed tries, of which there has been at least one.
    #[must_use]
    pub fn after(&self, tries: u32) -> Duration {
        let index = usize::try_from(tries.saturating_sub(1)).unwrap_or(usize::MAX);
        self.0.get(index).or(self.0.last()).copied().unwrap_or(Duration::from_secs(HOUR))
    }

    /// Each of them.
    pub fn iter(&self) -> impl Iterator<Item = Duration> {
        self.0.iter().copied()
    }
}

impl<'de> Deserialize<'de> for Retry {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let Words(words) = Words::deserialize(deserializer)?;
        if words.is_empty() {
            return Err(D::Error::custom("a duration is missing"));
        }
        let read =
            |word: &String| units::duration(word).map_err(|fault| D::Error::custom(named(word, fault)));
        words.iter().map(read).collect::<Result<_, _>>().map(Self)
    }
}
