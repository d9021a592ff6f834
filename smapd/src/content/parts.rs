#![deny(clippy::disallowed_methods)]
//! The parts of a message, found line by line (RFC 2046), without recursion and in bounded memory.
//!
//! Decides what each line is. Trusts nothing: where readers could differ about what the parts are there is an
//! [`Obstacle`], and nobody is to change anything.

use std::fmt;

use super::fields::{Encoding, Kind};
use super::lines::{MAX_LINE, Piece};

/// Most levels of parts in parts.
const MAX_DEPTH: usize = 100;
/// Most parts.
pub(super) const MAX_PARTS: usize = 10_000;
/// Longest field of those that are read.
const MAX_FIELD: usize = 8 * 1024;

/// Why a message cannot be changed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Obstacle {
    /// It would break a signature, or what is encrypted.
    Guarded,
    /// A part of this kind or encoding may not be encoded.
    Fixed,
    /// Octets above 127 in a header field.
    Header,
    /// It is not clear what its parts are.
    Unclear,
    /// Too many parts, or too deep in each other.
    TooMany,
}

impl fmt::Display for Obstacle {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Guarded => "it is signed or encrypted",
            Self::Fixed => "a part of it may not be encoded",
            Self::Header => "its header is not ASCII",
            Self::Unclear => "it is not well-formed",
            Self::TooMany => "it has too many parts",
        })
    }
}

/// A part, once its header is read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Part {
    /// Parts are numbered as they begin.
    pub(super) number: usize,
    /// Whether it is a message, and not only a part of one.
    pub(super) is_message: bool,
    /// Whether it stands in something signed or encrypted.
    pub(super) is_guarded: bool,
    pub(super) body: Body,
    pub(super) encoding: Encoding,
    pub(super) has: Has,
}

/// What stands under a header.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Body {
    Text,
    Octets,
    /// Other parts.
    Parts,
    /// What may not be encoded.
    Fixed,
}

/// Which fields a header has.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(super) struct Has {
    pub(super) version: bool,
    pub(super) kind: bool,
    pub(super) encoding: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Field {
    /// `MIME-Version`
    Version,
    /// `Content-Type`
    Kind,
    /// `Content-Transfer-Encoding`
    Encoding,
    Other,
}

/// What a line is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Role {
    /// Of a header field.
    Header { part: usize, field: Field, is_first: bool },
    /// The empty one that ends a header.
    Blank(Part),
    /// Of what a part holds.
    Body(Part),
    /// Before the first and behind the last of the parts of a part: nobody reads it.
    Aside { is_guarded: bool },
    /// Between parts.
    Boundary,
}

/// A multipart that did not end yet.
#[derive(Debug)]
struct Open {
    boundary: Vec<u8>,
    is_guarded: bool,
    is_digest: bool,
    /// How many parts it stands in.
    depth: usize,
}

/// A header that is being read.
#[derive(Debug)]
struct Header {
    number: usize,
    is_message: bool,
    is_guarded: bool,
    depth: usize,
    /// What it is if it does not say (RFC 2046 section 5.1.5).
    default: Kind,
    kind: Option<Kind>,
    encoding: Option<Encoding>,
    has: Has,
    /// The field of the last line, and what was read of its value.
    field: Option<Field>,
    value: Vec<u8>,
}

#[derive(Debug)]
enum State {
    Header(Header),
    Body(Part),
    Aside { is_guarded: bool },
}

/// Goes through a message.
#[derive(Debug)]
pub(super) struct Walker {
    open: Vec<Open>,
    parts: usize,
    state: State,
    obstacle: Option<Obstacle>,
}

impl Default for Walker {
    fn default() -> Self {
        let header = Header::new(0, 0, false, Kind::Text).of_message();
        Self { open: Vec::new(), parts: 1, state: State::Header(header), obstacle: None }
    }
}

impl Walker {
    /// Why nobody can be sure of what was found.
    pub(super) fn obstacle(&self) -> Option<Obstacle> {
        self.obstacle
    }

    /// What this line is, or the line that this is a piece of.
    pub(super) fn role(&mut self, piece: &Piece<'_>) -> Role {
        if let Some((level, closes)) = piece.line().and_then(|line| self.boundary(line)) {
            self.separate(level, closes);
            return Role::Boundary;
        }
        match &mut self.state {
            State::Header(_) if piece.line() == Some(b"") => Role::Blank(self.end_header()),
            State::Header(header) => {
                let (field, is_first) = header.line(piece, &mut self.obstacle);
                Role::Header { part: header.number, field, is_first }
            }
            State::Body(part) => Role::Body(*part),
            State::Aside { is_guarded } => Role::Aside { is_guarded: *is_guarded },
        }
    }

    /// Which of the open boundaries this is, and whether it is the last of them (RFC 2046 section 5.1.1).
    fn boundary(&self, line: &[u8]) -> Option<(usize, bool)> {
        let mut line = line.strip_prefix(b"--")?;
        while let [before @ .., b' ' | b'\t'] = line {
            line = before;
        }
        let found = |open: &Open| match line.strip_prefix(open.boundary.as_slice())? {
            b"" => Some(false),
            b"--" => Some(true),
            _ => None,
        };
        self.open.iter().enumerate().rev().find_map(|(level, open)| Some((level, found(open)?)))
    }

    fn separate(&mut self, level: usize, closes: bool) {
        let Some(Open { is_guarded, is_digest, depth, .. }) = self.open.get(level) else { return };
        let (is_guarded, depth) = (*is_guarded, *depth);
        if closes {
            self.open.truncate(level);
            self.state = State::Aside { is_guarded };
        } else {
            let default = if *is_digest { Kind::Message } else { Kind::Text };
            self.open.truncate(level + 1);
            let number = self.next_number();
            self.state = State::Header(Header::new(number, depth + 1, is_guarded, default));
        }
    }

    fn next_number(&mut self) -> usize {
        self.parts += 1;
        if self.parts > MAX_PARTS {
            self.obstacle = Some(Obstacle::TooMany);
        }
        self.parts - 1
    }

    fn end_header(&mut self) -> Part {
        let obstacle = &mut self.obstacle;
        let State::Header(header) = &mut self.state else {
            return Header::new(0, 0, true, Kind::Text).part();
        };
        header.end_field(obstacle);
        let mut part = header.part();
        let depth = header.depth;
        let kind = header.kind.take().unwrap_or_else(|| header.default.clone());
        let is_container = matches!(kind, Kind::Message | Kind::Multipart { .. });
        if is_container && depth >= MAX_DEPTH {
            *obstacle = Some(Obstacle::TooMany);
        }
        part.body = match kind {
            Kind::Text => Body::Text,
            Kind::Octets => Body::Octets,
            // RFC 2045 section 6.4: what holds parts is not encoded itself.
            _ if depth >= MAX_DEPTH || part.encoding == Encoding::Encoded => Body::Fixed,
            Kind::Fixed | Kind::Unclear => Body::Fixed,
            Kind::Message => {
                let number = self.next_number();
                let inner = Header::new(number, depth + 1, part.is_guarded, Kind::Text).of_message();
                self.state = State::Header(inner);
                Body::Parts
            }
            Kind::Multipart { boundary, is_guarded, is_digest } => {
                let is_guarded = is_guarded || part.is_guarded;
                self.open_multipart(Open { boundary, is_guarded, is_digest, depth });
                Body::Parts
            }
        };
        if part.body != Body::Parts {
            self.state = State::Body(part);
        }
        part
    }

    fn open_multipart(&mut self, multipart: Open) {
        // A line could be the boundary of one and the end of another.
        let clashes = |open: &Open| {
            let (one, other) = (open.boundary.as_slice(), multipart.boundary.as_slice());
            one == other || one.strip_suffix(b"--") == Some(other) || other.strip_suffix(b"--") == Some(one)
        };
        if self.open.iter().any(clashes) {
            self.obstacle = Some(Obstacle::Unclear);
        }
        self.state = State::Aside { is_guarded: multipart.is_guarded };
        self.open.push(multipart);
    }
}

impl Header {
    fn new(number: usize, depth: usize, is_guarded: bool, default: Kind) -> Self {
        Self {
            number,
            is_message: false,
            is_guarded,
            depth,
            default,
            kind: None,
            encoding: None,
            has: Has::default(),
            field: None,
            value: Vec::new(),
        }
    }

    fn of_message(self) -> Self {
        Self { is_message: true, ..self }
    }

    fn part(&self) -> Part {
        Part {
            number: self.number,
            is_message: self.is_message,
            is_guarded: self.is_guarded,
            body: Body::Fixed,
            encoding: self.encoding.unwrap_or_default(),
            has: self.has,
        }
    }

    /// Takes a line, or a piece of one; says of which field it is, and whether it is the first of it.
    fn line(&mut self, piece: &Piece<'_>, obstacle: &mut Option<Obstacle>) -> (Field, bool) {
        let goes_on = !piece.starts || piece.text.starts_with(b" ") || piece.text.starts_with(b"\t");
        let value = if goes_on {
            piece.text
        } else {
            self.end_field(obstacle);
            let (field, value) = split_field(piece.text).unwrap_or_else(|| {
                *obstacle = Some(Obstacle::Unclear);
                (Field::Other, b"")
            });
            self.field = Some(field);
            value
        };
        let field = self.field.unwrap_or_else(|| {
            *obstacle = Some(Obstacle::Unclear);
            Field::Other
        });
        if field != Field::Other {
            self.value.extend_from_slice(value.get(..MAX_FIELD + 1).unwrap_or(value));
            self.value.truncate(MAX_FIELD + 1);
        }
        (field, !goes_on)
    }

    /// A field is over. None of those that count may be there twice, nor be too long to be read.
    fn end_field(&mut self, obstacle: &mut Option<Obstacle>) {
        let value = std::mem::take(&mut self.value);
        let was_there = match self.field.take() {
            Some(Field::Version) => std::mem::replace(&mut self.has.version, true),
            Some(Field::Kind) => {
                self.kind = Some(Kind::parse(&value));
                std::mem::replace(&mut self.has.kind, true)
            }
            Some(Field::Encoding) => {
                self.encoding = Some(Encoding::parse(&value));
                std::mem::replace(&mut self.has.encoding, true)
            }
            Some(Field::Other) | None => false,
        };
        if was_there || value.len() > MAX_FIELD {
            *obstacle = Some(Obstacle::Unclear);
        }
    }
}

/// The field that a line begins, and its value (RFC 5322 section 2.2).
fn split_field(line: &[u8]) -> Option<(Field, &[u8])> {
    let head = line.get(..MAX_LINE).unwrap_or(line);
    let colon = memchr::memchr(b':', head)?;
    let (name, rest) = line.split_at_checked(colon)?;
    let is_name = !name.is_empty() && name.iter().all(u8::is_ascii_graphic);
    let field = match name.to_ascii_lowercase().as_slice() {
        b"mime-version" => Field::Version,
        b"content-type" => Field::Kind,
        b"content-transfer-encoding" => Field::Encoding,
        _ => Field::Other,
    };
    is_name.then_some((field, rest.strip_prefix(b":")?))
}
