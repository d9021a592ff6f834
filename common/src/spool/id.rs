//! Queue ids: the one name of a message, in the reply, the log, its `Received:` field and the spool.

use std::fmt;
use std::str::FromStr;

use crate::clock::Timestamp;

/// Crockford's base 32: no letter that reads like a digit; in the order of ASCII.
const ALPHABET: &[u8; 32] = b"0123456789ABCDEFGHJKMNPQRSTVWXYZ";
/// Digits for 45 bits of milliseconds: until the year 3084.
const TIME_DIGITS: usize = 9;
/// Digits for 64 random bits.
const RANDOM_DIGITS: usize = 13;
const LENGTH: usize = TIME_DIGITS + RANDOM_DIGITS;

/// Unguessable, unique, sorted by the time of its making. Letters and digits only: safe in a path, a header,
/// a log line and a shell.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct QueueId([u8; LENGTH]);

/// Not a queue id.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct BadQueueId;

impl fmt::Display for BadQueueId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("not a queue id")
    }
}

impl std::error::Error for BadQueueId {}

impl QueueId {
    /// An id of that time and those random bits.
    #[must_use]
    pub fn new(at: Timestamp, random: u64) -> Self {
        let mut digits = [b'0'; LENGTH];
        let (time, chance) = digits.split_at_mut(TIME_DIGITS);
        write_base32(at.micros() / 1000, time);
        write_base32(random, chance);
        Self(digits)
    }

    /// A new id, from the clock and the kernel's random source.
    ///
    /// # Errors
    /// The random source cannot be read.
    pub fn generate() -> std::io::Result<Self> {
        let mut random = [0; 8];
        getrandom::fill(&mut random)?;
        Ok(Self::new(Timestamp::now(), u64::from_ne_bytes(random)))
    }

    /// The id as text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        std::str::from_utf8(&self.0).unwrap_or_default()
    }
}

fn write_base32(mut number: u64, digits: &mut [u8]) {
    for digit in digits.iter_mut().rev() {
        *digit = usize::try_from(number % 32).ok().and_then(|n| ALPHABET.get(n)).copied().unwrap_or(b'0');
        number /= 32;
    }
}

impl FromStr for QueueId {
    type Err = BadQueueId;

    fn from_str(text: &str) -> Result<Self, BadQueueId> {
        let digits: [u8; LENGTH] = text.as_bytes().try_into().map_err(|_| BadQueueId)?;
        if digits.iter().all(|digit| ALPHABET.contains(digit)) { Ok(Self(digits)) } else { Err(BadQueueId) }
    }
}

impl fmt::Display for QueueId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl fmt::Debug for QueueId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_are_sorted_by_time() {
        let early = QueueId::new(Timestamp::from_micros(1_795_247_311_000_000), u64::MAX);
        let late = QueueId::new(Timestamp::from_micros(1_795_247_311_001_000), 0);
        assert!(early < late);
        assert!(early.as_str() < late.as_str());
    }

    #[test]
    fn an_id_reads_back_and_nothing_else_is_one() {
        let id = QueueId::generate().unwrap();
        assert_eq!(id.as_str().parse(), Ok(id));
        for text in ["", "x", "../../../../etc/passwd", "1k3n5q0zb7r2m4d8xj9wtv", "1K3N5Q0ZB7R2M4D8XJ9WT\n"] {
            assert_eq!(text.parse::<QueueId>(), Err(BadQueueId), "{text:?}");
        }
    }

    #[test]
    fn ids_of_one_moment_differ() {
        assert_ne!(QueueId::generate().unwrap(), QueueId::generate().unwrap());
    }

    #[test]
    fn an_id_is_nine_digits_of_time_and_thirteen_of_chance() {
        let id = QueueId::new(Timestamp::from_micros(33_000), 32 * 32 + 31);
        assert_eq!(id.as_str(), "000000011000000000010Z");
        assert_eq!(id.to_string(), id.as_str());
        assert_eq!(format!("{id:?}"), id.as_str());
    }

    #[test]
    fn what_is_no_id_is_called_so() {
        assert_eq!("x".parse::<QueueId>().unwrap_err().to_string(), "not a queue id");
    }
}
