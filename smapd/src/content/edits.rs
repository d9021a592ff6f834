//! What of a header everybody is given otherwise than it came: the addresses that a masquerade changes.
//!
//! Decides nothing about an address: `netperm` does. Trusts nothing of the message. Guarantees bounded memory, however
//! long a header is, and that every octet that no field's new value takes the place of stays as it is.

use std::io;

use netperm::masquerade::Masquerade;
use smap_common::spool::{Body, Header};

/// Octets of a header that are looked at; what follows stays as it is.
const MOST_HEADER: usize = 1 << 20;
/// Octets of new values, at most: an address alone may become many times as long.
const MOST_NEW: usize = 2 << 20;
/// How much is read at a time.
const CHUNK: usize = 64 * 1024;

/// New values, in the order in which they stand.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Edits(Vec<Edit>);

#[derive(Debug, PartialEq, Eq)]
struct Edit {
    /// Where the old value stands.
    start: u64,
    end: u64,
    text: Vec<u8>,
}

impl Edits {
    /// What a masquerade makes of the header of a message.
    ///
    /// # Errors
    /// The spool cannot be read, or its file became shorter.
    pub fn of(body: &Body, masquerade: &Masquerade) -> io::Result<Self> {
        Ok(Self::of_header(&header(body)?, masquerade))
    }

    fn of_header(header: &[u8], masquerade: &Masquerade) -> Self {
        let (mut edits, mut new, mut at) = (Vec::new(), 0, 0);
        for field in fields(header) {
            let start = at;
            at += field.len();
            let Some(colon) = memchr::memchr(b':', field) else { break };
            let (name, value) = field.split_at_checked(colon + 1).unwrap_or((field, b""));
            let value = value.strip_suffix(b"\r\n").unwrap_or(value);
            let name = name.strip_suffix(b":").unwrap_or(name);
            let Some(text) = masquerade.field(name, value) else { continue };
            new += text.len();
            if new > MOST_NEW {
                break;
            }
            let start = octets(start + colon + 1);
            edits.push(Edit { start, end: start + octets(value.len()), text });
        }
        Self(edits)
    }

    /// Whether everything stays as it is.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Length of a text of this length.
    #[must_use]
    pub fn length(&self, body: u64) -> u64 {
        let added: u64 = self.0.iter().map(|edit| octets(edit.text.len())).sum();
        let removed: u64 = self.0.iter().map(|edit| edit.end - edit.start).sum();
        (body + added).saturating_sub(removed)
    }

    /// Reads the text as it is given, from `offset` into `buffer`; 0 at its end.
    ///
    /// # Errors
    /// The spool cannot be read.
    pub fn read_at(&self, body: &Body, offset: u64, buffer: &mut [u8]) -> io::Result<usize> {
        let (mut from, mut skip) = (0, offset);
        for Edit { start, end, text } in &self.0 {
            let before = start - from;
            if skip < before {
                let room = usize::try_from(before - skip).unwrap_or(usize::MAX).min(buffer.len());
                return body.read_at(from + skip, buffer.get_mut(..room).unwrap_or_default());
            }
            skip -= before;
            let length = octets(text.len());
            if skip < length {
                let mut rest = text.get(usize::try_from(skip).unwrap_or(usize::MAX)..).unwrap_or_default();
                return io::Read::read(&mut rest, buffer);
            }
            skip -= length;
            from = *end;
        }
        body.read_at(from + skip, buffer)
    }

    /// Gives the text as it is given to `each`, in pieces.
    ///
    /// # Errors
    /// The spool cannot be read, its file became shorter, or `each` fails.
    pub fn for_each(&self, body: &Body, mut each: impl FnMut(&[u8]) -> io::Result<()>) -> io::Result<()> {
        if self.is_empty() {
            return body.for_each(each);
        }
        let length = self.length(body.length());
        let mut buffer = vec![0; CHUNK.min(usize::try_from(length).unwrap_or(CHUNK))];
        let mut offset = 0;
        while offset < length {
            let read = self.read_at(body, offset, &mut buffer)?;
            if read == 0 {
                return Err(io::ErrorKind::UnexpectedEof.into());
            }
            each(buffer.get(..read).unwrap_or_default())?;
            offset += octets(read);
        }
        Ok(())
    }
}

fn octets(length: usize) -> u64 {
    u64::try_from(length).unwrap_or(u64::MAX)
}

/// The header: whole fields of it, where it is too long.
fn header(body: &Body) -> io::Result<Vec<u8>> {
    let Header { mut text, is_whole } = body.header(MOST_HEADER)?;
    if !is_whole {
        // The last field may go on.
        let last = fields(&text).last().map_or(0, <[u8]>::len);
        text.truncate(text.len() - last);
    }
    Ok(text)
}

/// Each field with its end, and with its lines (RFC 5322 section 2.2.3).
fn fields(header: &[u8]) -> impl Iterator<Item = &[u8]> {
    let mut rest = header;
    std::iter::from_fn(move || {
        let mut end = 0;
        loop {
            let line = rest.get(end..)?;
            match memchr::memmem::find(line, b"\r\n") {
                None => end = rest.len(),
                Some(at) => end += at + b"\r\n".len(),
            }
            if !matches!(rest.get(end), Some(b' ' | b'\t')) {
                break;
            }
        }
        let (field, after) = rest.split_at_checked(end)?;
        rest = after;
        (!field.is_empty()).then_some(field)
    })
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use netperm::{Syntax, Table};

    use super::*;
    use crate::samples;

    const ENVELOPE: &str = samples::ENVELOPE;

    fn masquerade() -> Masquerade {
        let lines = b"smapd: masquerade-as example.com\nsmapd: exposed-user root\n";
        let table = Table::parse(Path::new("netperm-table"), lines, Syntax::Netperm).unwrap();
        Masquerade::new(&table.smapd().unwrap().0, &"gw.example.com".parse().unwrap(), [])
    }

    /// The text as it is given, read in pieces of every size.
    fn given(text: &str) -> String {
        let message = samples::message(ENVELOPE, text.as_bytes());
        let edits = Edits::of(&message.body, &masquerade()).unwrap();
        let mut whole = Vec::new();
        edits
            .for_each(&message.body, |piece| {
                whole.extend_from_slice(piece);
                Ok(())
            })
            .unwrap();
        assert_eq!(edits.length(message.body.length()), octets(whole.len()));
        for size in [1, 2, 3, 7, 100] {
            let (mut read, mut buffer) = (Vec::new(), vec![0; size]);
            loop {
                match edits.read_at(&message.body, octets(read.len()), &mut buffer).unwrap() {
                    0 => break,
                    more => read.extend_from_slice(&buffer[..more]),
                }
            }
            assert_eq!(read, whole, "{size}");
        }
        String::from_utf8(whole).unwrap()
    }

    #[test]
    fn fields_of_addresses_get_their_new_values_and_all_else_stays() {
        let before = "Received: from joe@gw.example.com\r\nFrom: Joe\r\n <joe@gw.example.com>\r\n\
            Subject: joe@gw.example.com\r\nTo: x@elsewhere.example\r\nSender: root@gw.example.com\r\n\
            Reply-To: Us: joe@gw.example.com, ann@gw.example.com;\r\n\r\nFrom: joe@gw.example.com\r\n";
        let after = "Received: from joe@gw.example.com\r\nFrom: Joe\r\n <joe@example.com>\r\n\
            Subject: joe@gw.example.com\r\nTo: x@elsewhere.example\r\nSender: root@gw.example.com\r\n\
            Reply-To: Us: joe@example.com, ann@example.com;\r\n\r\nFrom: joe@gw.example.com\r\n";
        assert_eq!(given(before), after);
    }

    #[test]
    fn what_is_no_header_stays() {
        for text in [
            "",
            "\r\n",
            "\r\nFrom: joe@gw.example.com\r\n",
            "hello\r\nFrom: joe@gw.example.com\r\n",
            "From joe@gw.example.com\r\n\r\n",
            "Subject: x\r\n From: joe@gw.example.com\r\n\r\n",
        ] {
            assert_eq!(given(text), text);
        }
    }

    #[test]
    fn a_header_without_a_body_is_one() {
        assert_eq!(given("From: joe@gw.example.com\r\n"), "From: joe@example.com\r\n");
        assert_eq!(given("From: joe@gw.example.com"), "From: joe@example.com");
    }

    #[test]
    fn a_long_header_takes_bounded_memory() {
        let one = "Reply-To: a,b,c,d,e,f,g,h,i,j,k,l,m,n,o,p,q,r,s,t,u,v,w,x,y,z\r\n";
        let text = one.repeat(2 * MOST_HEADER / one.len());
        let message = samples::message(ENVELOPE, text.as_bytes());
        let edits = Edits::of(&message.body, &masquerade()).unwrap();
        let new: usize = edits.0.iter().map(|edit| edit.text.len()).sum();
        assert!(new > MOST_NEW / 2 && new <= MOST_NEW, "{new}");
    }
}
