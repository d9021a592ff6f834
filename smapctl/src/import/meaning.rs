//! What single options of sendmail and Postfix mean here.
#![deny(clippy::disallowed_methods)]

use std::time::Duration;

use netperm::units::ShowDuration;

use super::table::Draft;

/// What becomes of an option.
#[derive(Debug, Clone, Copy)]
pub(super) enum Meaning {
    /// A duration; a bare number counts this many seconds.
    Time(&'static str, u64),
    /// A number or a size in bytes, of which 0 means that there is no limit.
    Limit(&'static str),
    /// One word.
    Word(&'static str),
    /// A file.
    File(&'static str),
    /// It cannot be carried over, and why.
    Left(&'static str),
    /// There is nothing to carry over: it is so here anyway.
    Silent,
}

pub(super) const MINUTE: u64 = 60;
pub(super) const HOUR: u64 = 60 * MINUTE;
pub(super) const DAY: u64 = 24 * HOUR;

const ZERO: &str = "0 is no limit there; smap and smapd always have one: without a line it is the default";

/// Does what an option means; `what` is how the source has it.
pub(super) fn carry(draft: &mut Draft, from: u32, what: &str, meaning: Meaning, value: &str) {
    match meaning {
        Meaning::Silent => {}
        Meaning::Left(why) => draft.leave(from, what, why),
        Meaning::Word(attribute) | Meaning::File(attribute) if value.is_empty() => {
            draft.leave(from, what, &format!("it is empty: without a line, {attribute} is the default"));
        }
        Meaning::Word(attribute) => draft.say(from, attribute, &[value]),
        Meaning::File(_) if !value.starts_with('/') => {
            draft.leave(from, what, "only the absolute path of a file can be carried over");
        }
        Meaning::File(attribute) => draft.say(from, attribute, &[value]),
        Meaning::Limit(attribute) => match value.parse::<u64>() {
            Ok(0) => draft.leave(from, what, ZERO),
            Ok(limit) => draft.say(from, attribute, &[limit.to_string()]),
            Err(_) => draft.leave(from, what, "this is no number"),
        },
        Meaning::Time(attribute, unit) => match seconds(value, unit) {
            Some(0) => draft.leave(from, what, ZERO),
            Some(time) => draft.say(from, attribute, &[ShowDuration(Duration::from_secs(time)).to_string()]),
            None => draft.leave(from, what, "this is no duration"),
        },
    }
}

/// A duration of sendmail's or Postfix's: `5d`, `1h30m`, `2w`, or a bare number of units.
pub(super) fn seconds(text: &str, unit: u64) -> Option<u64> {
    if let Ok(number) = text.parse::<u64>() {
        return number.checked_mul(unit);
    }
    let mut sum = 0_u64;
    let mut rest = text;
    while !rest.is_empty() {
        let (number, after) = rest.split_at_checked(rest.find(|c: char| !c.is_ascii_digit())?)?;
        let mut after = after.chars();
        let unit = match after.next()?.to_ascii_lowercase() {
            's' => 1,
            'm' => MINUTE,
            'h' => HOUR,
            'd' => DAY,
            'w' => 7 * DAY,
            _ => return None,
        };
        sum = sum.checked_add(number.parse::<u64>().ok()?.checked_mul(unit)?)?;
        rest = after.as_str();
    }
    (!text.is_empty()).then_some(sum)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_of_others_are_read() {
        let cases = [
            ("5d", Some(5 * DAY)),
            ("5", Some(5 * HOUR)),
            ("1h30M", Some(90 * MINUTE)),
            ("2w", Some(14 * DAY)),
            ("0", Some(0)),
            ("", None),
            ("h", None),
            ("5x", None),
            ("5h3", None),
            ("99999999999999999999d", None),
        ];
        for (text, found) in cases {
            assert_eq!(seconds(text, HOUR), found, "{text}");
        }
    }
}
