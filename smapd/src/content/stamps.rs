#![deny(clippy::disallowed_methods)]
//! Whether a message was delivered to an address before: the `Delivered-To:` fields of its header say so.
//!
//! Trusts nothing: anybody may write such a field, and keeps his own message from being delivered by it, no other.
//! Guarantees bounded memory, whatever the header is made of.

use smap_common::address::Address;

use super::lines::{Lines, MAX_LINE, Piece};

/// Looks for an address in these fields.
#[derive(Debug)]
pub(super) struct Stamps<'a> {
    to: &'a Address,
    lines: Lines,
    place: Place,
}

/// Where in the message the next line stands.
#[derive(Debug)]
enum Place {
    /// In the header; nothing of the field before it matters.
    Header,
    /// Behind such a field, or a part of it: its value so far, unfolded (RFC 5322 section 2.2.3).
    Stamp(Vec<u8>),
    /// It does not matter any more.
    Over { found: bool },
}

impl<'a> Stamps<'a> {
    pub(super) fn of(to: &'a Address) -> Self {
        Self { to, lines: Lines::default(), place: Place::Header }
    }

    /// Takes the next octets of the message; says whether more of them are wanted.
    pub(super) fn take(&mut self, octets: &[u8]) -> bool {
        let Self { to, lines, place } = self;
        lines.take(octets, |piece| place.take(&piece, to));
        !matches!(place, Place::Over { .. })
    }

    /// Whether one of them names the address.
    pub(super) fn finish(self) -> bool {
        let Self { to, mut lines, mut place } = self;
        lines.finish(|piece| place.take(&piece, to));
        place.end_field(to);
        matches!(place, Place::Over { found: true })
    }
}

impl Place {
    fn take(&mut self, piece: &Piece<'_>, to: &Address) {
        let continues = !piece.starts || piece.text.starts_with(b" ") || piece.text.starts_with(b"\t");
        match self {
            Self::Over { .. } => {}
            Self::Header if continues => {}
            Self::Stamp(value) if continues => {
                value.extend_from_slice(piece.text);
                self.forget_long_value();
            }
            Self::Header | Self::Stamp(_) => self.begin_field(piece, to),
        }
    }

    fn begin_field(&mut self, piece: &Piece<'_>, to: &Address) {
        self.end_field(to);
        if matches!(self, Self::Over { .. }) {
            return;
        }
        if piece.ends && piece.text.is_empty() {
            *self = Self::Over { found: false };
        } else if let Some(value) = stamp(piece.text) {
            *self = Self::Stamp(value.to_vec());
            self.forget_long_value();
        }
    }

    fn end_field(&mut self, to: &Address) {
        if let Self::Stamp(value) = self {
            let found = Address::parse(value.trim_ascii()).is_ok_and(|address| address == *to);
            *self = if found { Self::Over { found } } else { Self::Header };
        }
    }

    /// No field of ours is as long as this.
    fn forget_long_value(&mut self) {
        if matches!(self, Self::Stamp(value) if value.len() > MAX_LINE) {
            *self = Self::Header;
        }
    }
}

/// The value that follows the name. White space before the colon is RFC 5322 section 4.5's.
fn stamp(line: &[u8]) -> Option<&[u8]> {
    let colon = memchr::memchr(b':', line)?;
    let (name, value) = line.split_at_checked(colon)?;
    name.trim_ascii_end().eq_ignore_ascii_case(b"delivered-to").then(|| value.get(1..).unwrap_or_default())
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Whether a message was delivered to `c@example.com` before, however it is cut.
    fn is_found(text: &str) -> bool {
        let to = "c@example.com".parse().unwrap();
        let whole = search(&to, text.as_bytes(), usize::MAX);
        for size in [1, 2, 7, 1000] {
            assert_eq!(search(&to, text.as_bytes(), size), whole, "{size}: {text}");
        }
        whole
    }

    fn search(to: &Address, text: &[u8], size: usize) -> bool {
        let mut stamps = Stamps::of(to);
        let _more = text.chunks(size).all(|octets| stamps.take(octets));
        stamps.finish()
    }

    #[test]
    fn a_field_is_found_however_it_is_written() {
        for text in [
            "Delivered-To: c@example.com\r\n\r\nhello",
            "Received: x\r\n y\r\ndelivered-TO \t:c@EXAMPLE.com  \r\nSubject: x\r\n\r\nhello",
            "Delivered-To:\r\n\t \r\n c@example.com\r\n\r\n",
            "Delivered-To: a@example.com\r\nDelivered-To: c@example.com",
            "Delivered-To:c@example.com\r\n",
            "Delivered-To: \"c\"@example.com\r\n\r\n",
        ] {
            assert!(is_found(text), "{text}");
        }
    }

    #[test]
    fn another_address_and_another_field_are_none() {
        for text in [
            "",
            "\r\n",
            "Delivered-To: C@example.com\r\n\r\n",
            "Delivered-To: c@example.com.\r\n\r\n",
            "Delivered-To: c@example.com, d@example.com\r\n\r\n",
            "Delivered-To: \r\n\r\n",
            "X-Delivered-To: c@example.com\r\n\r\n",
            "Delivered-To\r\n: c@example.com\r\n\r\n",
            "Subject: x\r\n Delivered-To: c@example.com\r\n\r\n",
        ] {
            assert!(!is_found(text), "{text}");
        }
    }

    #[test]
    fn the_body_is_not_looked_at() {
        assert!(!is_found("\r\nDelivered-To: c@example.com\r\n\r\n"));
        assert!(!is_found("Subject: x\r\n\r\nDelivered-To: c@example.com\r\n\r\n"));
        let to = "c@example.com".parse().unwrap();
        assert!(!Stamps::of(&to).take(b"Subject: x\r\n\r\n"));
    }

    #[test]
    fn long_lines_and_values_keep_nothing_from_being_found_behind_them() {
        let long = "x".repeat(5000);
        assert!(!is_found(&format!("Delivered-To: {long}c@example.com\r\n\r\n")));
        assert!(!is_found(&format!("{long}: x\r\n {long}\r\n\r\n")));
        let folds = "\r\n ".repeat(5000);
        let behind = "Delivered-To: c@example.com\r\n\r\n";
        assert!(is_found(&format!("Delivered-To: {long}\r\n{behind}")));
        assert!(is_found(&format!("Delivered-To:{folds}x\r\n{long}: x\r\n{behind}")));
    }

    #[test]
    fn a_value_takes_bounded_memory() {
        let to = "c@example.com".parse().unwrap();
        let mut stamps = Stamps::of(&to);
        assert!(stamps.take(b"Delivered-To:"));
        for _ in 0..10_000 {
            assert!(stamps.take(b"\r\n x"));
            assert!(!matches!(&stamps.place, Place::Stamp(value) if value.len() > MAX_LINE));
        }
    }
}
