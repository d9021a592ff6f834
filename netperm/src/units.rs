//! Durations, sizes and counts, read strictly: what `atoi` would have guessed is an error here.

use std::fmt;
use std::num::NonZeroU32;
use std::time::Duration;

const MINUTE: u64 = 60;
const HOUR: u64 = 60 * MINUTE;
const DAY: u64 = 24 * HOUR;

const KIB: u64 = 1024;
const MIB: u64 = 1024 * KIB;
const GIB: u64 = 1024 * MIB;

/// Longest duration that a table may name: nothing that waits is meant to wait for longer.
const LONGEST: Duration = Duration::from_secs(365 * DAY);

/// Why a word is no duration, size or count.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum UnitError {
    /// Not of the shape of a duration.
    Duration,
    /// Not of the shape of a size.
    Size,
    /// Not of the shape of a count.
    Count,
    /// Zero, where that would mean that nothing can work.
    Zero,
    /// More than fits.
    TooLarge,
}

impl fmt::Display for UnitError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Duration => "is not a duration (such as 90, 30s, 15m, 1h30m or 5d)",
            Self::Size => "is not a size (such as 4096, 512K, 15M or 1G)",
            Self::Count => "is not a number",
            Self::Zero => "must be more than 0",
            Self::TooLarge => "is too large",
        })
    }
}

impl std::error::Error for UnitError {}

/// A duration of more than zero: `90` (seconds), `30s`, `15m`, `1h30m`, `5d`; the larger unit comes first.
///
/// # Errors
/// What is wrong with it.
pub fn duration(text: &str) -> Result<Duration, UnitError> {
    let seconds = if text.ends_with(|c: char| c.is_ascii_digit()) {
        digits(text, UnitError::Duration)?
    } else {
        sum_of_units(text)?
    };
    let duration = Duration::from_secs(seconds);
    match seconds {
        0 => Err(UnitError::Zero),
        _ if duration > LONGEST => Err(UnitError::TooLarge),
        _ => Ok(duration),
    }
}

fn sum_of_units(text: &str) -> Result<u64, UnitError> {
    if text.is_empty() {
        return Err(UnitError::Duration);
    }
    let mut rest = text;
    let mut sum = 0_u64;
    for (letter, unit) in [('d', DAY), ('h', HOUR), ('m', MINUTE), ('s', 1)] {
        let Some((number, after)) = rest.split_once(letter) else { continue };
        let part = digits(number, UnitError::Duration)?.checked_mul(unit).ok_or(UnitError::TooLarge)?;
        sum = sum.checked_add(part).ok_or(UnitError::TooLarge)?;
        rest = after;
    }
    if rest.is_empty() { Ok(sum) } else { Err(UnitError::Duration) }
}

/// A size in bytes of more than zero: `4096`, `512K`, `15M`, `1G` (powers of 1024).
///
/// # Errors
/// What is wrong with it.
pub fn size(text: &str) -> Result<u64, UnitError> {
    let units = [(['K', 'k'], KIB), (['M', 'm'], MIB), (['G', 'g'], GIB)];
    let (number, unit) = units
        .into_iter()
        .find_map(|(letters, unit)| text.strip_suffix(letters).map(|number| (number, unit)))
        .unwrap_or((text, 1));
    match digits(number, UnitError::Size)?.checked_mul(unit) {
        Some(0) => Err(UnitError::Zero),
        Some(bytes) => Ok(bytes),
        None => Err(UnitError::TooLarge),
    }
}

/// A number of more than zero.
///
/// # Errors
/// What is wrong with it.
pub fn count(text: &str) -> Result<NonZeroU32, UnitError> {
    let number = u32::try_from(digits(text, UnitError::Count)?).map_err(|_| UnitError::TooLarge)?;
    NonZeroU32::new(number).ok_or(UnitError::Zero)
}

/// Digits and nothing else: no sign, no blank.
fn digits(text: &str, otherwise: UnitError) -> Result<u64, UnitError> {
    if text.is_empty() || !text.bytes().all(|b| b.is_ascii_digit()) {
        return Err(otherwise);
    }
    text.parse().map_err(|_| UnitError::TooLarge)
}

/// A duration as a table would have it: `1h30m`.
#[derive(Debug, Clone, Copy)]
pub struct ShowDuration(pub Duration);

impl fmt::Display for ShowDuration {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut rest = self.0.as_secs();
        if rest == 0 {
            return f.write_str("0");
        }
        for (letter, unit) in [('d', DAY), ('h', HOUR), ('m', MINUTE), ('s', 1)] {
            if rest >= unit {
                write!(f, "{}{letter}", rest / unit)?;
                rest %= unit;
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_take_units_and_bare_numbers_are_seconds() {
        let cases = [
            ("3600", 3600),
            ("90s", 90),
            ("15m", 900),
            ("4h", 14_400),
            ("5d", 432_000),
            ("1h30m", 5400),
            ("1d2h3m4s", 93_784),
            ("007", 7),
        ];
        for (text, seconds) in cases {
            assert_eq!(duration(text), Ok(Duration::from_secs(seconds)), "{text}");
        }
    }

    #[test]
    fn what_is_no_duration_is_an_error() {
        let wrong =
            ["", "s", "-5", "+5", "5 ", "1.5h", "5w", "5M", "30m1h", "1h30", "1h1h", "m5", "0x10", "٣"];
        for text in wrong {
            assert_eq!(duration(text), Err(UnitError::Duration), "{text}");
        }
        for text in ["0", "0s", "0h0m"] {
            assert_eq!(duration(text), Err(UnitError::Zero), "{text}");
        }
        for text in ["366d", "99999999999999999999", "213503982334601d"] {
            assert_eq!(duration(text), Err(UnitError::TooLarge), "{text}");
        }
    }

    #[test]
    fn a_duration_is_shown_as_it_may_be_written() {
        for text in ["1s", "1m", "1h30m", "5d", "1d2h3m4s"] {
            assert_eq!(ShowDuration(duration(text).unwrap()).to_string(), text);
        }
    }

    #[test]
    fn sizes_are_powers_of_1024_and_bare_numbers_are_bytes() {
        let cases = [("1", 1), ("4096", 4096), ("512K", 524_288), ("15m", 15_728_640), ("2G", 2_147_483_648)];
        for (text, bytes) in cases {
            assert_eq!(size(text), Ok(bytes), "{text}");
        }
    }

    #[test]
    fn what_is_no_size_is_an_error() {
        for text in ["", "K", "-1", "1T", "1KB", "1 K", "1.5M", "K1"] {
            assert_eq!(size(text), Err(UnitError::Size), "{text}");
        }
        assert_eq!(size("0"), Err(UnitError::Zero));
        assert_eq!(size("0G"), Err(UnitError::Zero));
        assert_eq!(size("17179869184G"), Err(UnitError::TooLarge));
        assert_eq!(size("18446744073709551616"), Err(UnitError::TooLarge));
    }

    #[test]
    fn counts_are_digits_only() {
        assert_eq!(count("100"), Ok(NonZeroU32::new(100).unwrap()));
        assert_eq!(count("0"), Err(UnitError::Zero));
        assert_eq!(count("4294967296"), Err(UnitError::TooLarge));
        for text in ["", "ten", "1e3", "+1", "-1", "1 "] {
            assert_eq!(count(text), Err(UnitError::Count), "{text}");
        }
    }
}
