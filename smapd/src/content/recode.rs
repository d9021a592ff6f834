#![deny(clippy::disallowed_methods)]
//! A message made into one of 7-bit lines (RFC 6152 section 3), as it streams.
//!
//! Follows the plan that a [`super::needs::Survey`] of the same message made; what the plan keeps is not touched.
//! Memory does not grow with the message.

use super::encoder::Encoder;
use super::lines::{Lines, Piece};
use super::needs::{Plan, Treatment};
use super::parts::{Field, Part, Role, Walker};

/// Changes a message.
#[derive(Debug)]
pub struct Recoder {
    lines: Lines,
    work: Work,
}

#[derive(Debug)]
struct Work {
    walker: Walker,
    plan: Plan,
    /// Of the part that is being encoded.
    encoder: Option<Encoder>,
    /// A line has ended; whether that belongs to the part is known when the next one is.
    held_end: bool,
}

impl Recoder {
    /// At the head of a message. Header fields may be put before it.
    #[must_use]
    pub fn new(plan: Plan) -> Self {
        let work = Work { walker: Walker::default(), plan, encoder: None, held_end: false };
        Self { lines: Lines::default(), work }
    }

    /// Takes the next octets of the message; appends what becomes of them.
    pub fn take(&mut self, octets: &[u8], output: &mut Vec<u8>) {
        self.lines.take(octets, |piece| self.work.take(piece, output));
    }

    /// The message is over.
    pub fn finish(&mut self, output: &mut Vec<u8>) {
        self.lines.finish(|piece| self.work.take(piece, output));
        if let Some(mut encoder) = self.work.encoder.take() {
            if self.work.held_end {
                encoder.end_line(output);
            }
            encoder.end_message(output);
        }
    }
}

impl Work {
    fn take(&mut self, piece: Piece<'_>, output: &mut Vec<u8>) {
        match self.walker.role(&piece) {
            Role::Header { part, field: Field::Encoding, is_first } => match self.plan.of(part) {
                Treatment::Keep => put(piece, output),
                treatment if is_first => put_encoding(treatment, output),
                _ => {}
            },
            Role::Blank(part) => {
                self.end_header(&part, output);
                put(piece, output);
            }
            Role::Body(_) => self.body(piece, output),
            Role::Boundary => {
                if let Some(mut encoder) = self.encoder.take()
                    && std::mem::take(&mut self.held_end)
                {
                    encoder.end_part(output);
                }
                put(piece, output);
            }
            Role::Aside { is_guarded: false } if !piece.text.is_ascii() => {
                output.extend(piece.text.iter().map(|octet| if octet.is_ascii() { *octet } else { b'?' }));
                put(Piece { text: b"", ..piece }, output);
            }
            Role::Header { .. } | Role::Aside { .. } => put(piece, output),
        }
    }

    /// Adds the fields that are missing, and begins to encode.
    fn end_header(&mut self, part: &Part, output: &mut Vec<u8>) {
        let treatment = self.plan.of(part.number);
        self.encoder = match treatment {
            Treatment::Keep | Treatment::Relabel => None,
            Treatment::Quote { .. } => Some(Encoder::quoted()),
            Treatment::Base64 => Some(Encoder::base64()),
        };
        if self.encoder.is_none() {
            return;
        }
        self.held_end = false;
        if part.is_message && !part.has.version {
            output.extend_from_slice(b"MIME-Version: 1.0\r\n");
        }
        // RFC 1428 section 3: whoever did not say what the octets mean is not known to have meant anything.
        if part.is_message && !part.has.kind && treatment == (Treatment::Quote { is_ascii: false }) {
            output.extend_from_slice(b"Content-Type: text/plain; charset=unknown-8bit\r\n");
        }
        if !part.has.encoding {
            put_encoding(treatment, output);
        }
    }

    fn body(&mut self, piece: Piece<'_>, output: &mut Vec<u8>) {
        let Some(encoder) = &mut self.encoder else { return put(piece, output) };
        if piece.starts && std::mem::take(&mut self.held_end) {
            encoder.end_line(output);
        }
        encoder.take(piece.text, output);
        self.held_end = piece.ends;
    }
}

fn put(piece: Piece<'_>, output: &mut Vec<u8>) {
    output.extend_from_slice(piece.text);
    if piece.ends {
        output.extend_from_slice(b"\r\n");
    }
}

fn put_encoding(treatment: Treatment, output: &mut Vec<u8>) {
    let encoding: &[u8] = match treatment {
        Treatment::Keep | Treatment::Relabel => b"7bit",
        Treatment::Quote { .. } => b"quoted-printable",
        Treatment::Base64 => b"base64",
    };
    output.extend_from_slice(&[b"Content-Transfer-Encoding: ", encoding, b"\r\n"].concat());
}
