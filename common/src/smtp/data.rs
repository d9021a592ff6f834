#![deny(clippy::disallowed_methods)]
//! The body of a message on the wire: how DATA ends, and what its lines are made of (RFC 5321 section 4.1.1.4
//! and 4.5.2).
//!
//! [`Decoder`] takes what a client sends after DATA. Only `<CRLF>.<CRLF>` ends it; a bare CR, a bare LF or a
//! NUL never begins a line, so nothing that another system might take for an end is one here, and a message
//! that holds one is refused whole. What follows each octet in each state, and what it adds to the message
//! (`octet` is itself) or what is wrong with it:
//!
//! | state       | CR             | LF                | `.`              | other            | NUL              |
//! |-------------|----------------|-------------------|------------------|------------------|------------------|
//! | `LineStart` | `Cr`           | `Text`, `BareLf`  | `Dot`            | `Text`, octet    | `Text`, `Nul`    |
//! | `Text`      | `Cr`           | `Text`, `BareLf`  | `Text`, octet    | `Text`, octet    | `Text`, `Nul`    |
//! | `Cr`        | `Cr`, `BareCr` | `LineStart`, CRLF | `Text`, `BareCr` | `Text`, `BareCr` | `Text`, `BareCr` |
//! | `Dot`       | `DotCr`        | `Text`, `BareLf`  | `Text`, octet    | `Text`, octet    | `Text`, `Nul`    |
//! | `DotCr`     | `Cr`, `BareCr` | `End`             | `Text`, `BareCr` | `Text`, `BareCr` | `Text`, `BareCr` |
//!
//! It begins at `LineStart` and takes nothing more at `End`.
//!
//! [`Checker`] holds a BDAT message (RFC 3030), whose frame is a count, to the same rule for its lines: for it
//! the dot is one of the others.
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

/// What has been read of the line.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum State {
    LineStart,
    Text,
    Cr,
    Dot,
    DotCr,
    End,
}

/// What an octet adds to the message.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Output {
    Nothing,
    Octet,
    Crlf,
    Fault(LineFault),
}

impl State {
    /// The table in the head of this module.
    fn step(self, octet: u8) -> (Self, Output) {
        use LineFault::{BareCr, BareLf, Nul};
        use State::{Cr, Dot, DotCr, End, LineStart, Text};
        match (self, octet) {
            (LineStart | Text, b'\r') => (Cr, Output::Nothing),
            (LineStart, b'.') => (Dot, Output::Nothing),
            (Dot, b'\r') => (DotCr, Output::Nothing),
            (DotCr, b'\n') | (End, _) => (End, Output::Nothing),
            (Cr, b'\n') => (LineStart, Output::Crlf),
            (Cr | DotCr, b'\r') => (Cr, Output::Fault(BareCr)),
            (Cr | DotCr, _) => (Text, Output::Fault(BareCr)),
            (LineStart | Text | Dot, b'\n') => (Text, Output::Fault(BareLf)),
            (LineStart | Text | Dot, 0) => (Text, Output::Fault(Nul)),
            (LineStart | Text | Dot, _) => (Text, Output::Octet),
        }
    }

    /// How many of the next octets are text that changes nothing here, as most of a message is.
    fn run(self, input: &[u8]) -> usize {
        if self == Self::Text { memchr3(b'\r', b'\n', 0, input).unwrap_or(input.len()) } else { 0 }
    }
}

/// Reads a body up to its end, dot-unstuffed. Once a fault is found nothing more comes out of it.
#[derive(Debug, Clone)]
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
    /// Whether the end has come.
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
        while self.state != State::End {
            let (text, after) = rest.split_at(self.state.run(rest));
            self.emit(text, message);
            rest = after;
            let Some((&octet, after)) = rest.split_first() else { break };
            self.take(octet, message);
            rest = after;
        }
        Decoded { consumed: input.len() - rest.len(), ended: self.state == State::End }
    }

    fn take(&mut self, octet: u8, message: &mut Vec<u8>) {
        let (state, output) = self.state.step(octet);
        self.state = state;
        match output {
            Output::Nothing => {}
            Output::Octet => self.emit(&[octet], message),
            Output::Crlf => self.emit(b"\r\n", message),
            Output::Fault(fault) => self.fault = self.fault.or(Some(fault)),
        }
    }

    fn emit(&self, text: &[u8], message: &mut Vec<u8>) {
        if self.fault.is_none() {
            message.extend_from_slice(text);
        }
    }
}

/// Looks for bare CR, bare LF and NUL in octets that are framed by a count.
#[derive(Debug, Clone)]
pub struct Checker {
    state: State,
    fault: Option<LineFault>,
}

impl Default for Checker {
    fn default() -> Self {
        Self { state: State::LineStart, fault: None }
    }
}

impl Checker {
    /// Takes the next octets.
    pub fn check(&mut self, input: &[u8]) {
        let mut rest = input;
        while let (_, [octet, after @ ..]) = rest.split_at(self.state.run(rest)) {
            let (state, output) = self.state.step(*octet);
            self.state = if state == State::Dot { State::Text } else { state };
            if let Output::Fault(fault) = output {
                self.fault = self.fault.or(Some(fault));
            }
            rest = after;
        }
    }

    /// The first fault so far, whatever follows; what a CR at the end is, is not known.
    #[must_use]
    pub fn fault(&self) -> Option<LineFault> {
        self.fault
    }

    /// The first fault of a message that ends here; a CR at the very end is one.
    #[must_use]
    pub fn fault_at_end(&self) -> Option<LineFault> {
        self.fault.or((self.state == State::Cr).then_some(LineFault::BareCr))
    }

    /// Whether what was read is made of whole lines.
    #[must_use]
    pub fn ends_line(&self) -> bool {
        self.state == State::LineStart
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
