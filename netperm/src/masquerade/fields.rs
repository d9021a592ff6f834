//! The header fields that hold addresses, and a value with other domains in it.
#![deny(clippy::disallowed_methods)]

use smap_common::address::Domain;

use super::list::{self, Found};

/// Whose addresses a field holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Direction {
    /// Of who sent it, or is to be answered.
    Sender,
    /// Of who gets it.
    Recipient,
}

/// RFC 5322 sections 3.6.2, 3.6.3 and 3.6.6, and the others that sendmail takes for addresses. `Return-Path:` is not
/// among them: whoever delivers writes it, from the envelope.
const FIELDS: [(&str, Direction); 15] = [
    ("From", Direction::Sender),
    ("Sender", Direction::Sender),
    ("Reply-To", Direction::Sender),
    ("Errors-To", Direction::Sender),
    ("Disposition-Notification-To", Direction::Sender),
    ("Resent-From", Direction::Sender),
    ("Resent-Sender", Direction::Sender),
    ("Resent-Reply-To", Direction::Sender),
    ("To", Direction::Recipient),
    ("Cc", Direction::Recipient),
    ("Bcc", Direction::Recipient),
    ("Apparently-To", Direction::Recipient),
    ("Resent-To", Direction::Recipient),
    ("Resent-Cc", Direction::Recipient),
    ("Resent-Bcc", Direction::Recipient),
];

/// Whose addresses a field of this name holds; nothing where it holds none.
#[must_use]
pub fn direction(name: &[u8]) -> Option<Direction> {
    let name = name.trim_ascii_end();
    let known = FIELDS.iter().find(|(known, _)| known.as_bytes().eq_ignore_ascii_case(name));
    known.map(|(_, direction)| *direction)
}

/// The value with the domains that `domain_of` gives for a local part and its domain; nothing where it stays as it is.
pub(super) fn rewrite<'d>(
    value: &[u8],
    domain_of: impl Fn(&str, Option<&Domain>) -> Option<&'d Domain>,
) -> Option<Vec<u8>> {
    let mut rewritten = Vec::new();
    let mut kept = 0;
    for Found { local, domain, octets } in list::addresses(value)? {
        let Some(other) = domain_of(&local, domain.as_ref()) else { continue };
        rewritten.extend_from_slice(value.get(kept..octets.start)?);
        let at = if domain.is_none() { "@" } else { "" };
        rewritten.extend_from_slice(format!("{at}{other}").as_bytes());
        kept = octets.end;
    }
    if kept == 0 {
        return None;
    }
    rewritten.extend_from_slice(value.get(kept..)?);
    Some(rewritten)
}
