#![deny(clippy::disallowed_methods)]
//! The body of a message on the wire: how DATA ends, and what its lines are made of (RFC 5321 section 4.1.1.4
//! and 4.5.2).
//!
//! [`Decoder`] takes what a client sends after DATA. Only `<CRLF>.<CRLF>` ends it; a bare CR, a bare LF or a
//! NUL never begins a line, so nothing that another system might take for an end is one here, and a message
//! that holds one is refused whole. Its transitions, with what goes into the message:
//!
//! | state       | CR            | LF             | `.`         | other          | NUL            |
//! |-------------|---------------|----------------|-------------|----------------|----------------|
//! | `LineStart` | `Cr`          | fault, `Text`  | `Dot`       | octet, `Text`  | fault, `Text`  |
//! | `Text`      | `Cr`          | fault, `Text`  | octet       | octet          | fault          |
//! | `Cr`        | fault, `Cr`   | CRLF, `LineStart` | fault, `Text` | fault, `Text` | fault, `Text` |
//! | `Dot`       | `DotCr`       | fault, `Text`  | octet, `Text` | octet, `Text` | fault, `Text`  |
//! | `DotCr`     | fault, `Cr`   | end            | fault, `Text` | fault, `Text` | fault, `Text` |
//!
//! [`Checker`] holds a BDAT message (RFC 3030), whose frame is a count, to the same rule for its lines.
//! [`Stuffer`] is the other direction: whatever it is given, what it sends has no bare CR or LF and no NUL, and
//! ends only where the message ends.

use memchr::memchr3;

#[cfg(test)]
mod tests;

/// Why a message is refused for its lines.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LineFault {
    /// A CR without LF.
    BareCr,
    /// A LF without CR.
    BareLf,
    /// A NUL (RFC 5321 section 4.1.1.4 wants ASCII text; nothing behind us takes it).
    Nul,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum State {
    LineStart,
    Text,
    Cr,
    Dot,
    DotCr,
}

/// Reads a body up to its end, dot-unstuffed. Once a fault is found nothing more comes out of it.
#[derive(Debug)]
pub struct Decoder {
    state: State,
    fault: Option<LineFault>,
}

impl Default for Decoder {
    fn default() -> Self {
        Self { state: State::LineStart, fault: None }
    }
}

/// What a call of [`Decoder::decode`] found.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Decoded {
    /// How many octets of the input belong to the body, the end included.
    pub consumed: usize,
    /// Whether the end was among them.
    pub ended: bool,
}

impl Decoder {
    /// The first fault, if there was one.
    #[must_use]
    pub fn fault(&self) -> Option<LineFault> {
        self.fault
    }

    /// Takes the next octets; appends those of the message to `message`.
    pub fn decode(&mut self, input: &[u8], message: &mut Vec<u8>) -> Decoded {
        let mut rest = input;
        while let Some((&octet, after)) = rest.split_first() {
            if self.state == State::Text {
                let run = memchr3(b'\r', b'\n', 0, rest).unwrap_or(rest.len());
                if let Some((text, after)) = rest.split_at_checked(run).filter(|_| run > 0) {
                    self.emit(text, message);
                    rest = after;
                    continue;
                }
            }
            rest = after;
            if self.step(octet, message) {
                return Decoded { consumed: input.len() - rest.len(), ended: true };
            }
        }
        Decoded { consumed: input.len(), ended: false }
    }

    fn step(&mut self, octet: u8, message: &mut Vec<u8>) -> bool {
        use State::{Cr, Dot, DotCr, LineStart, Text};
        self.state = match (self.state, octet) {
            (_, 0) => self.blame(LineFault::Nul),
            (DotCr, b'\n') => return true,
            (Cr, b'\n') => {
                self.emit(b"\r\n", message);
                LineStart
            }
            (Cr | DotCr, b'\r') => {
                self.blame(LineFault::BareCr);
                Cr
            }
            (Cr | DotCr, _) => self.blame(LineFault::BareCr),
            (LineStart | Text, b'\r') => Cr,
            (Dot, b'\r') => DotCr,
            (LineStart | Text | Dot, b'\n') => self.blame(LineFault::BareLf),
            (LineStart, b'.') => Dot,
            (LineStart | Text | Dot, _) => {
                self.emit(&[octet], message);
                Text
            }
        };
        false
    }

    fn emit(&self, text: &[u8], message: &mut Vec<u8>) {
        if self.fault.is_none() {
            message.extend_from_slice(text);
        }
    }

    fn blame(&mut self, fault: LineFault) -> State {
        self.fault.get_or_insert(fault);
        State::Text
    }
}

/// Looks for bare CR, bare LF and NUL in octets that are framed by a count.
#[derive(Debug)]
pub struct Checker {
    after_cr: bool,
    ends_line: bool,
    fault: Option<LineFault>,
}

impl Default for Checker {
    fn default() -> Self {
        Self { after_cr: false, ends_line: true, fault: None }
    }
}

impl Checker {
    /// Takes the next octets.
    pub fn check(&mut self, input: &[u8]) {
        let mut rest = input;
        while let Some((&octet, after)) = rest.split_first() {
            let run = if self.after_cr { 0 } else { memchr3(b'\r', b'\n', 0, rest).unwrap_or(rest.len()) };
            if run > 0 {
                self.ends_line = false;
                rest = rest.get(run..).unwrap_or_default();
                continue;
            }
            let fault = match (self.after_cr, octet) {
                (_, 0) => Some(LineFault::Nul),
                (false, b'\n') => Some(LineFault::BareLf),
                (true, b'\n') | (false, _) => None,
                (true, _) => Some(LineFault::BareCr),
            };
            self.ends_line = self.after_cr && octet == b'\n';
            self.after_cr = octet == b'\r';
            self.fault = self.fault.or(fault);
            rest = after;
        }
    }

    /// The first fault of a message that ends here; a CR at the very end is one.
    #[must_use]
    pub fn fault_at_end(&self) -> Option<LineFault> {
        self.fault.or(self.after_cr.then_some(LineFault::BareCr))
    }

    /// Whether what was read is made of whole lines.
    #[must_use]
    pub fn ends_line(&self) -> bool {
        self.ends_line
    }
}

/// Writes a body for DATA: dot-stuffed, every line end CRLF, whatever it is given.
#[derive(Debug)]
pub struct Stuffer {
    line_start: bool,
    after_cr: bool,
}

impl Default for Stuffer {
    fn default() -> Self {
        Self { line_start: true, after_cr: false }
    }
}

impl Stuffer {
    /// Appends `text` as it goes over the wire. A bare CR or LF becomes a line end, and a NUL, which some leave out
    /// of what they read, a `?`: neither is in what smap takes, only in what somebody else put into the spool.
    pub fn stuff(&mut self, text: &[u8], wire: &mut Vec<u8>) {
        let mut rest = text;
        while let Some((&octet, after)) = rest.split_first() {
            match octet {
                b'\n' if self.after_cr => self.after_cr = false,
                b'\r' | b'\n' => {
                    wire.extend_from_slice(b"\r\n");
                    self.line_start = true;
                    self.after_cr = octet == b'\r';
                }
                0 => {
                    wire.push(b'?');
                    (self.line_start, self.after_cr) = (false, false);
                }
                _ => {
                    if self.line_start && octet == b'.' {
                        wire.push(b'.');
                    }
                    let run = memchr3(b'\r', b'\n', 0, rest).unwrap_or(rest.len());
                    let (line, after) = rest.split_at_checked(run).unwrap_or((rest, b""));
                    wire.extend_from_slice(line);
                    self.line_start = false;
                    self.after_cr = false;
                    rest = after;
                    continue;
                }
            }
            rest = after;
        }
    }

    /// Appends the end of the body.
    pub fn finish(&self, wire: &mut Vec<u8>) {
        if !self.line_start {
            wire.extend_from_slice(b"\r\n");
        }
        wire.extend_from_slice(b".\r\n");
    }
}

/// Counts the `Received:` fields of a message's header (RFC 5321 section 6.3), the only thing of its content
/// that smap looks at.
#[derive(Debug, Default)]
pub struct ReceivedCounter {
    count: u32,
    place: Place,
}

/// Where in the header the next octet stands.
#[derive(Debug, Default, Clone, Copy)]
enum Place {
    /// So many octets of the field name have been seen, and all of them match.
    Name(usize),
    /// Somewhere in a field that does not matter.
    #[default]
    Line,
    Start,
    Body,
}

impl ReceivedCounter {
    /// A counter that stands at the head of a message.
    #[must_use]
    pub fn new() -> Self {
        Self { count: 0, place: Place::Start }
    }

    /// Takes the next octets of the message, as CRLF lines.
    pub fn read(&mut self, text: &[u8]) {
        const NAME: &[u8] = b"received:";
        if matches!(self.place, Place::Body) {
            return;
        }
        for &octet in text {
            self.place = match (self.place, octet) {
                (Place::Body, _) => return,
                (Place::Start, b'\r') => Place::Body,
                (_, b'\n') => Place::Start,
                (Place::Start | Place::Name(_), _) => {
                    let seen = if let Place::Name(seen) = self.place { seen } else { 0 };
                    match NAME.get(seen) {
                        Some(b':') if octet == b' ' || octet == b'\t' => Place::Name(seen),
                        Some(&wanted) if octet.to_ascii_lowercase() == wanted => Place::Name(seen + 1),
                        _ => Place::Line,
                    }
                }
                (Place::Line, _) => Place::Line,
            };
            if matches!(self.place, Place::Name(seen) if seen == NAME.len()) {
                self.count = self.count.saturating_add(1);
                self.place = Place::Line;
            }
        }
    }

    /// How many there were.
    #[must_use]
    pub fn count(&self) -> u32 {
        self.count
    }
}
