//! The quoting of mboxrd: a line of `>`s and `From ` gets one `>` more.
//!
//! Guarantees that no line of a message begins a message, and that taking one `>` from every line that matches
//! `^>+From ` gives the message back, however its octets were cut into writes. Holds no more than the five
//! octets of `From `: where in a run of `>`s the new one stands makes no difference.

use std::io::{self, Write};

/// What begins a message.
const FROM: &[u8] = b"From ";

/// Quotes what is written through it.
#[derive(Debug)]
pub(super) struct FromQuoter<W> {
    output: W,
    line: Line,
}

/// What has been seen of the line.
#[derive(Debug, Clone, Copy)]
enum Line {
    /// Nothing.
    New,
    /// `>`s, already written.
    Quotes,
    /// So many octets of `From ` after them, not yet written.
    Held(usize),
    /// Something that needs no quoting, or has it.
    Inside,
}

impl<W: Write> FromQuoter<W> {
    pub(super) fn new(output: W) -> Self {
        Self { output, line: Line::New }
    }

    /// Ends the message: its last line, and an empty one.
    pub(super) fn finish(mut self) -> io::Result<()> {
        self.let_go()?;
        self.output.write_all(if matches!(self.line, Line::New) { b"\n" } else { b"\n\n" })
    }

    /// Writes what was held back.
    fn let_go(&mut self) -> io::Result<()> {
        match self.line {
            Line::Held(count) => self.output.write_all(FROM.get(..count).unwrap_or_default()),
            Line::New | Line::Quotes | Line::Inside => Ok(()),
        }
    }

    /// Takes one octet of which it is not yet known whether it stands inside the line.
    fn begin(&mut self, octet: u8) -> io::Result<()> {
        let held = match self.line {
            Line::Held(count) => count,
            Line::New | Line::Quotes | Line::Inside => 0,
        };
        if FROM.get(held) == Some(&octet) {
            self.line = Line::Held(held + 1);
            if held + 1 == FROM.len() {
                self.output.write_all(b">")?;
                self.let_go()?;
                self.line = Line::Inside;
            }
            return Ok(());
        }
        self.let_go()?;
        self.line = match octet {
            b'\n' => Line::New,
            b'>' if held == 0 => Line::Quotes,
            _ => Line::Inside,
        };
        self.output.write_all(&[octet])
    }
}

impl<W: Write> Write for FromQuoter<W> {
    fn write(&mut self, text: &[u8]) -> io::Result<usize> {
        let mut rest = text;
        while let Some((&first, after)) = rest.split_first() {
            if !matches!(self.line, Line::Inside) {
                self.begin(first)?;
                rest = after;
                continue;
            }
            let end = memchr::memchr(b'\n', rest).map_or(rest.len(), |at| at + 1);
            let (line, after) = rest.split_at_checked(end).unwrap_or((rest, b""));
            self.output.write_all(line)?;
            if line.ends_with(b"\n") {
                self.line = Line::New;
            }
            rest = after;
        }
        Ok(text.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        self.output.flush()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn quoted(text: &[u8], cut: usize) -> Vec<u8> {
        let mut output = Vec::new();
        let mut quoter = FromQuoter::new(&mut output);
        for piece in text.chunks(cut) {
            quoter.write_all(piece).unwrap();
        }
        quoter.finish().unwrap();
        output
    }

    /// What a reader of mboxrd does.
    fn unquoted(text: &[u8]) -> Vec<u8> {
        let mut message = Vec::new();
        for line in text.split_inclusive(|&b| b == b'\n') {
            let from = line.iter().position(|&b| b != b'>').unwrap_or(line.len());
            let quoted = from > 0 && line[from..].starts_with(FROM);
            message.extend_from_slice(if quoted { &line[1..] } else { line });
        }
        message
    }

    const NASTY: &[u8] =
        b"From a\n>From b\n>>From c\nFrom\nFro\n>\n>>\n\nFFrom d\n From e\n>F>From f\nFrom\tg\n\
From From h\n>>>From i\nFrom";

    #[test]
    fn every_line_that_looks_like_a_beginning_gets_one_more() {
        let text = quoted(NASTY, NASTY.len());
        assert!(!text.split(|&b| b == b'\n').any(|line| line.starts_with(FROM)));
        assert!(text.starts_with(b">From a\n>>From b\n>>>From c\nFrom\nFro\n>\n>>\n\nFFrom d\n"));
    }

    #[test]
    fn quoting_can_be_undone_wherever_the_writes_are_cut() {
        for cut in 1..=NASTY.len() {
            assert_eq!(unquoted(&quoted(NASTY, cut)), [NASTY, b"\n\n"].concat(), "cut every {cut}");
        }
    }

    #[test]
    fn a_message_ends_in_one_empty_line() {
        assert_eq!(quoted(b"a\n", 9), b"a\n\n");
        assert_eq!(quoted(b"a", 9), b"a\n\n");
        assert_eq!(quoted(b">", 9), b">\n\n");
        assert_eq!(quoted(b"From", 9), b"From\n\n");
        assert_eq!(quoted(b"", 9), b"\n");
    }
}
