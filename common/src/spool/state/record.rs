//! The lines of a state file.

use std::fmt;

use super::{Mark, Outcome};
use crate::clock::Timestamp;
use crate::spool::{Member, Ordered};

/// Most octets of a reply that are kept.
const MAX_REPLY: usize = 512;

/// One line of the file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Record {
    /// How an attempt for one recipient ended.
    Mark(Mark),
    /// The message was tried, and waits.
    Next {
        /// How often it was tried.
        attempts: u32,
        /// When it is tried next.
        at: Timestamp,
    },
    /// The sender was told of the delay.
    Warned(Timestamp),
    /// For want of a sender, somebody else was told of those that failed.
    Told(Timestamp),
    /// An operator gave an order.
    Ordered(Ordered),
    /// A member of an expansion that is not complete yet, and his number.
    Result(u32, Member),
    /// With the results of these numbers an expansion is complete.
    Expanded {
        /// Of which recipient.
        of: u32,
        /// The number of its first member.
        first: u32,
        /// How many they are.
        count: u32,
        /// The row that says so.
        rule: String,
    },
    /// What must be understood, and is not.
    Newer,
}

impl fmt::Display for Record {
    /// The whole line, its end included.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let text = match self {
            Self::Mark(mark) => format!(
                "mark {} {} {} {} relay={} reply={}",
                mark.recipient,
                mark.at,
                mark.outcome.as_str(),
                mark.status,
                one_word(&mark.relay),
                one_line(&mark.reply)
            ),
            Self::Next { attempts, at } => format!("next {attempts} {at}"),
            Self::Warned(at) => format!("warned {at}"),
            Self::Told(at) => format!("told {at}"),
            Self::Ordered(ordered) => format!("order {ordered}"),
            Self::Result(number, member) => format!("RESULT {number} {member}"),
            Self::Expanded { of, first, count, rule } => {
                format!("EXPANDED {of} {first} {count} {}", one_line(rule))
            }
            // Nobody writes what he does not know.
            Self::Newer => String::new(),
        };
        writeln!(f, "{:08x} {text}", crc32fast::hash(text.as_bytes()))
    }
}

fn one_word(text: &str) -> String {
    text.chars().map(|c| if c.is_control() || c == ' ' { '_' } else { c }).collect()
}

fn one_line(text: &str) -> String {
    text.chars().take(MAX_REPLY).map(|c| if c.is_control() { '?' } else { c }).collect()
}

impl Record {
    pub(in crate::spool) fn parse(line: &str) -> Option<Self> {
        let (checksum, text) = line.split_once(' ')?;
        if u32::from_str_radix(checksum, 16).ok()? != crc32fast::hash(text.as_bytes()) {
            return None;
        }
        let (kind, rest) = text.split_once(' ')?;
        match kind {
            "mark" => Self::parse_mark(rest).map(Self::Mark),
            "next" => {
                let (attempts, at) = rest.split_once(' ')?;
                Some(Self::Next { attempts: attempts.parse().ok()?, at: at.parse().ok()? })
            }
            "warned" => rest.parse().ok().map(Self::Warned),
            "told" => rest.parse().ok().map(Self::Told),
            "order" => rest.parse().ok().map(Self::Ordered),
            "RESULT" => {
                let (number, member) = rest.split_once(' ')?;
                Some(Self::Result(number.parse().ok()?, Member::parse(member)?))
            }
            "EXPANDED" => {
                let mut words = rest.splitn(4, ' ');
                let mut number = || words.next()?.parse().ok();
                let (of, first, count) = (number()?, number()?, number()?);
                Some(Self::Expanded { of, first, count, rule: words.next()?.to_owned() })
            }
            kind if kind.starts_with(|c: char| c.is_ascii_uppercase()) => Some(Self::Newer),
            _ => None,
        }
    }

    fn parse_mark(text: &str) -> Option<Mark> {
        let mut words = text.splitn(6, ' ');
        let recipient = words.next()?.parse().ok()?;
        let at = words.next()?.parse().ok()?;
        let outcome = words.next()?;
        let (outcome, _) = Outcome::ALL.into_iter().find(|(_, word)| *word == outcome)?;
        let status = words.next()?.parse().ok()?;
        let relay = words.next()?.strip_prefix("relay=")?.to_owned();
        let reply = words.next()?.strip_prefix("reply=")?.to_owned();
        Some(Mark { recipient, at, outcome, status, relay, reply })
    }
}
