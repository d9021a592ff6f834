#![deny(clippy::disallowed_methods)]
//! A text in whole lines, wherever it was cut when it was read.
//!
//! A line ends where it ends on the wire (`smap_common::smtp::data::Stuffer`): at a CRLF, and at a CR or LF that
//! somebody else put into the spool. Guarantees bounded memory: what is longer than a line may be comes in pieces.

use memchr::memchr2;

/// Longest line without its CRLF (RFC 5321 section 4.5.3.1.6, RFC 5322 section 2.1.1).
pub(super) const MAX_LINE: usize = 998;

/// A line without its end, or a piece of a line that is longer than [`MAX_LINE`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Piece<'a> {
    pub(super) text: &'a [u8],
    /// Whether the line begins with it.
    pub(super) starts: bool,
    /// Whether the line ends behind it.
    pub(super) ends: bool,
}

impl<'a> Piece<'a> {
    /// The line, if this is all of one that is no longer than a line may be.
    pub(super) fn line(&self) -> Option<&'a [u8]> {
        (self.starts && self.ends && self.text.len() <= MAX_LINE).then_some(self.text)
    }
}

/// Finds the lines.
#[derive(Debug)]
pub(super) struct Lines {
    /// The beginning of a line that did not end yet.
    held: Vec<u8>,
    starts: bool,
    after_cr: bool,
}

impl Default for Lines {
    fn default() -> Self {
        Self { held: Vec::new(), starts: true, after_cr: false }
    }
}

impl Lines {
    /// Takes the next octets; gives the lines that end in them to `each`.
    pub(super) fn take(&mut self, octets: &[u8], mut each: impl FnMut(Piece<'_>)) {
        let mut rest = octets;
        if std::mem::take(&mut self.after_cr) {
            rest = rest.strip_prefix(b"\n").unwrap_or(rest);
            self.after_cr = octets.is_empty();
        }
        while let Some(at) = memchr2(b'\r', b'\n', rest) {
            let (text, end) = rest.split_at_checked(at).unwrap_or((rest, b""));
            self.end(text, &mut each);
            rest = match end {
                [b'\r', b'\n', after @ ..] => after,
                [b'\r'] => {
                    self.after_cr = true;
                    b""
                }
                [_, after @ ..] => after,
                [] => b"",
            };
        }
        self.hold(rest, &mut each);
    }

    /// The text is over: what it ends with is a line, whether it has an end or not.
    pub(super) fn finish(&mut self, mut each: impl FnMut(Piece<'_>)) {
        if !self.starts || !self.held.is_empty() {
            self.end(b"", &mut each);
        }
    }

    fn end(&mut self, text: &[u8], each: &mut impl FnMut(Piece<'_>)) {
        let starts = std::mem::replace(&mut self.starts, true);
        if self.held.is_empty() {
            return each(Piece { text, starts, ends: true });
        }
        self.held.extend_from_slice(text);
        each(Piece { text: &self.held, starts, ends: true });
        self.held.clear();
    }

    /// Keeps the beginning of a line. Of a long one so much comes in its first piece that its beginning is known.
    fn hold(&mut self, text: &[u8], each: &mut impl FnMut(Piece<'_>)) {
        let mut rest = text;
        if self.starts {
            let room = (MAX_LINE + 1).saturating_sub(self.held.len()).min(rest.len());
            let (head, tail) = rest.split_at_checked(room).unwrap_or((rest, b""));
            self.held.extend_from_slice(head);
            if self.held.len() <= MAX_LINE {
                return;
            }
            each(Piece { text: &self.held, starts: true, ends: false });
            self.held.clear();
            self.starts = false;
            rest = tail;
        }
        if !rest.is_empty() {
            each(Piece { text: rest, starts: false, ends: false });
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The lines, put together.
    fn lines(pieces: &[&[u8]]) -> Vec<String> {
        let (mut lines, mut found) = (Lines::default(), Vec::new());
        let mut each = |piece: Piece<'_>| {
            let text = String::from_utf8_lossy(piece.text).into_owned();
            if piece.starts {
                found.push(text);
            } else {
                found.last_mut().unwrap().push_str(&text);
            }
            assert!(piece.ends || piece.line().is_none());
            assert!(piece.ends || !piece.starts || piece.text.len() > MAX_LINE);
        };
        pieces.iter().for_each(|piece| lines.take(piece, &mut each));
        lines.finish(&mut each);
        found
    }

    #[test]
    fn lines_are_whole_wherever_they_are_cut() {
        let long = "x".repeat(5000);
        let text = format!("a\r\n\r\nb\r\n.\r\n{long}\r\n{}\r\nlast", "y".repeat(MAX_LINE));
        let wanted: Vec<&str> = text.split("\r\n").collect();
        for size in [1, 2, 3, 7, 997, 998, 999, 1000, 1001, 4096, 100_000] {
            let pieces: Vec<&[u8]> = text.as_bytes().chunks(size).collect();
            assert_eq!(lines(&pieces), wanted, "{size}");
        }
    }

    #[test]
    fn a_line_ends_where_it_will_on_the_wire() {
        for pieces in
            [vec![b"a\rb\n\nc\r\r\nd".as_slice()], vec![b"a\r", b"b", b"\n\nc\r", b"\r", b"", b"\nd"]]
        {
            assert_eq!(lines(&pieces), ["a", "b", "", "c", "", "d"]);
        }
        assert!(lines(&[b""]).is_empty());
        assert_eq!(lines(&[b"\r\n"]), [""]);
    }
}
