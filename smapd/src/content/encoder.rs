#![deny(clippy::disallowed_methods)]
//! The two encodings of RFC 2045, made as the octets come.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

/// Longest line of quoted-printable without the `=` that breaks it (RFC 2045 section 6.7).
const MAX_QUOTED: usize = 75;
/// Octets in a line of base64 (RFC 2045 section 6.8).
const BASE64_LINE: usize = 57;

const _: () = assert!(BASE64_LINE / 3 * 4 == 76);

/// Encodes what a part holds. No line of it could be a boundary.
#[derive(Debug)]
pub(super) enum Encoder {
    Quoted(Quoted),
    Base64(Vec<u8>),
}

/// A line of quoted-printable that is being written.
#[derive(Debug, Default)]
pub(super) struct Quoted {
    column: usize,
    /// White space is not written before it is known that the line goes on.
    space: Option<u8>,
}

impl Encoder {
    pub(super) fn quoted() -> Self {
        Self::Quoted(Quoted::default())
    }

    pub(super) fn base64() -> Self {
        Self::Base64(Vec::with_capacity(BASE64_LINE))
    }

    /// Octets of a line.
    pub(super) fn take(&mut self, text: &[u8], output: &mut Vec<u8>) {
        match self {
            Self::Quoted(quoted) => text.iter().for_each(|octet| quoted.put(*octet, output)),
            Self::Base64(held) => {
                let mut rest = text;
                while !rest.is_empty() {
                    let room = (BASE64_LINE - held.len()).min(rest.len());
                    let (now, after) = rest.split_at_checked(room).unwrap_or((rest, b""));
                    held.extend_from_slice(now);
                    rest = after;
                    if held.len() == BASE64_LINE {
                        put_base64(held, output);
                    }
                }
            }
        }
    }

    /// A line ends.
    pub(super) fn end_line(&mut self, output: &mut Vec<u8>) {
        match self {
            Self::Quoted(quoted) => quoted.end_line(output),
            Self::Base64(_) => self.take(b"\r\n", output),
        }
    }

    /// The part is over, and a boundary follows, whose line end goes before it (RFC 2046 section 5.1.1).
    pub(super) fn end_part(&mut self, output: &mut Vec<u8>) {
        match self {
            Self::Quoted(quoted) => quoted.end_line(output),
            Self::Base64(held) => put_base64(held, output),
        }
    }

    /// The message is over.
    pub(super) fn end_message(&mut self, output: &mut Vec<u8>) {
        match self {
            Self::Quoted(_) => {}
            Self::Base64(held) => put_base64(held, output),
        }
    }
}

fn put_base64(held: &mut Vec<u8>, output: &mut Vec<u8>) {
    if !held.is_empty() {
        output.extend_from_slice(STANDARD.encode(&held).as_bytes());
        output.extend_from_slice(b"\r\n");
        held.clear();
    }
}

impl Quoted {
    fn put(&mut self, octet: u8, output: &mut Vec<u8>) {
        if let Some(space) = self.space.take() {
            self.literal(space, output);
        }
        match octet {
            b' ' | b'\t' => self.space = Some(octet),
            b'=' => self.escape(octet, output),
            b'!'..=b'~' => self.literal(octet, output),
            _ => self.escape(octet, output),
        }
    }

    fn literal(&mut self, octet: u8, output: &mut Vec<u8>) {
        self.make_room(1, output);
        // A line that begins where we have broken it could become a boundary.
        if octet == b'-' && self.column == 0 {
            return self.escape(octet, output);
        }
        output.push(octet);
        self.column += 1;
    }

    fn escape(&mut self, octet: u8, output: &mut Vec<u8>) {
        self.make_room(3, output);
        let digit = |nibble: u8| if nibble < 10 { b'0' + nibble } else { b'A' + nibble - 10 };
        output.extend_from_slice(&[b'=', digit(octet >> 4), digit(octet & 15)]);
        self.column += 3;
    }

    fn make_room(&mut self, width: usize, output: &mut Vec<u8>) {
        if self.column + width > MAX_QUOTED {
            output.extend_from_slice(b"=\r\n");
            self.column = 0;
        }
    }

    /// RFC 2045 section 6.7 (3): white space at the end of a line is not to be trusted.
    fn end_line(&mut self, output: &mut Vec<u8>) {
        if let Some(space) = self.space.take() {
            self.escape(space, output);
        }
        output.extend_from_slice(b"\r\n");
        self.column = 0;
    }
}
