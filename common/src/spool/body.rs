//! The body of a message as it is read: in pieces, from any place, its header alone.
//!
//! Trusts nothing that stands in it. Guarantees that nothing beyond its end is read, and no more memory than is asked
//! for.

use std::fs::File;
use std::io::{self, Read};
use std::os::unix::fs::FileExt;

use memchr::memmem;

/// How much is read at a time.
const CHUNK: usize = 64 * 1024;

const CRLF: &[u8] = b"\r\n";

/// The body of a message: CRLF lines.
#[derive(Debug)]
pub struct Body {
    pub(super) store: Store,
    pub(super) start: u64,
    pub(super) length: u64,
}

/// The header of a message (RFC 5322 section 2.2), without the empty line behind it; whole lines of one that is longer
/// than was asked for.
#[derive(Debug, PartialEq, Eq)]
pub struct Header {
    /// Its lines, with the end of the last one.
    pub text: Vec<u8>,
    /// Whether it is not longer than was asked for.
    pub is_whole: bool,
}

impl Header {
    /// The same without a last line that has no end: whoever was taken over may store one.
    #[must_use]
    pub fn in_whole_lines(mut self) -> Self {
        self.text.truncate(memmem::rfind(&self.text, CRLF).map_or(0, |at| at + CRLF.len()));
        self
    }
}

#[derive(Debug)]
pub(super) enum Store {
    Memory(Vec<u8>),
    File(File),
}

impl Body {
    /// Its length in octets.
    #[must_use]
    pub fn length(&self) -> u64 {
        self.length
    }

    /// Reads from `offset` of the body into `buffer`; 0 at its end.
    ///
    /// # Errors
    /// The disk fails.
    pub fn read_at(&self, offset: u64, buffer: &mut [u8]) -> io::Result<usize> {
        let left = usize::try_from(self.length.saturating_sub(offset)).unwrap_or(usize::MAX);
        let wanted = left.min(buffer.len());
        let buffer = buffer.get_mut(..wanted).unwrap_or_default();
        match &self.store {
            Store::File(file) => file.read_at(buffer, self.start + offset),
            Store::Memory(text) => {
                let from = usize::try_from(self.start + offset).unwrap_or(usize::MAX);
                text.get(from..).unwrap_or_default().read(buffer)
            }
        }
    }

    /// Gives the body to `each`, in pieces.
    ///
    /// # Errors
    /// The disk fails, the file became shorter than its END record says, or `each` fails.
    pub fn for_each(&self, mut each: impl FnMut(&[u8]) -> io::Result<()>) -> io::Result<()> {
        let mut buffer = vec![0; CHUNK.min(usize::try_from(self.length).unwrap_or(CHUNK))];
        let mut offset = 0;
        while offset < self.length {
            let read = self.read_at(offset, &mut buffer)?;
            if read == 0 {
                return Err(io::ErrorKind::UnexpectedEof.into());
            }
            each(buffer.get(..read).unwrap_or_default())?;
            offset += u64::try_from(read).unwrap_or(u64::MAX);
        }
        Ok(())
    }

    /// Its header, or as much of it as `most` octets hold.
    ///
    /// # Errors
    /// The disk fails, or the file became shorter than its END record says.
    pub fn header(&self, most: usize) -> io::Result<Header> {
        let most = usize::try_from(self.length).map_or(most, |length| length.min(most));
        let mut text = Vec::new();
        while text.len() < most {
            let known = text.len();
            text.resize((known + CHUNK).min(most), 0);
            let room = text.get_mut(known..).unwrap_or_default();
            match self.read_at(u64::try_from(known).unwrap_or(u64::MAX), room)? {
                0 => return Err(io::ErrorKind::UnexpectedEof.into()),
                read => text.truncate(known + read),
            }
            if let Some(end) = end_of_header(&text, known) {
                text.truncate(end);
                return Ok(Header { text, is_whole: true });
            }
        }
        let is_whole = u64::try_from(text.len()) == Ok(self.length);
        let header = Header { text, is_whole };
        Ok(if is_whole { header } else { header.in_whole_lines() })
    }
}

/// Where the empty line stands, if it does; what stands before `known` was looked at.
fn end_of_header(text: &[u8], known: usize) -> Option<usize> {
    if text.starts_with(CRLF) {
        return Some(0);
    }
    let from = known.saturating_sub(b"\r\n\r".len());
    memmem::find(text.get(from..)?, b"\r\n\r\n").map(|at| from + at + CRLF.len())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn header(text: &str, most: usize) -> (String, bool) {
        let length = u64::try_from(text.len()).unwrap();
        let body = Body { store: Store::Memory(text.into()), start: 0, length };
        let Header { text, is_whole } = body.header(most).unwrap();
        (String::from_utf8(text).unwrap(), is_whole)
    }

    #[test]
    fn a_header_ends_before_the_first_empty_line() {
        for (text, expected) in [
            ("A: b\r\nC: d\r\n\r\nE: f\r\n\r\n", "A: b\r\nC: d\r\n"),
            ("A: b\r\n\r\n", "A: b\r\n"),
            ("A: b\r\n", "A: b\r\n"),
            ("A: b", "A: b"),
            ("\r\nA: b\r\n\r\n", ""),
            ("\r\n", ""),
            ("", ""),
        ] {
            assert_eq!(header(text, 1000), (expected.to_owned(), true), "{text:?}");
        }
    }

    #[test]
    fn a_header_ends_wherever_it_is_cut_to_be_read() {
        for more in 1..6 {
            let lines = "A: b\r\n".repeat(CHUNK / 6) + &"x".repeat(more) + "\r\n";
            let text = format!("{lines}\r\nE: f\r\n");
            assert_eq!(header(&text, usize::MAX), (lines, true), "{more}");
        }
    }

    #[test]
    fn of_a_header_that_is_too_long_there_are_whole_lines() {
        let text = "A: b\r\nC: d\r\n\r\nE\r\n";
        for (most, expected) in
            [(0, ""), (5, ""), (6, "A: b\r\n"), (11, "A: b\r\n"), (13, "A: b\r\nC: d\r\n")]
        {
            assert_eq!(header(text, most), (expected.to_owned(), false), "{most}");
        }
        assert!(header(text, 14).1);
    }
}
