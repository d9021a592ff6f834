#![deny(clippy::disallowed_methods)]
//! What a message needs of those whom it goes to, and what could be changed so that it needs less.

use super::fields::Encoding;
use super::lines::{Lines, MAX_LINE, Piece};
use super::parts::{Body, MAX_PARTS, Obstacle, Part, Role, Walker};

/// What a message needs, computed once.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Needs {
    /// A header field, of the message or of a part, is not ASCII.
    pub header: bool,
    /// Something else is not ASCII.
    pub body: bool,
    /// How it becomes ASCII in lines of good length, as far as it can; `None` where nothing has to be done.
    pub plan: Result<Option<Plan>, Obstacle>,
}

/// What is done with each part, by its number.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Plan(Vec<Treatment>);

#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(super) enum Treatment {
    /// It stays as it is.
    #[default]
    Keep,
    /// It says that there are octets above 127 in it, and there are none now.
    Relabel,
    /// RFC 2045 section 6.7
    Quote { is_ascii: bool },
    /// RFC 2045 section 6.8
    Base64,
}

impl Plan {
    pub(super) fn of(&self, part: usize) -> Treatment {
        self.0.get(part).copied().unwrap_or_default()
    }
}

/// Reads a message for what it needs.
#[derive(Debug, Default)]
pub struct Survey {
    lines: Lines,
    judge: Judge,
}

impl Survey {
    /// Takes the next octets of the message.
    pub fn take(&mut self, octets: &[u8]) {
        self.lines.take(octets, |piece| self.judge.take(piece));
    }

    /// The message is over.
    #[must_use]
    pub fn finish(mut self) -> Needs {
        self.lines.finish(|piece| self.judge.take(piece));
        let Judge { walker, header, body, changes, plan, obstacle, .. } = self.judge;
        let obstacle = walker.obstacle().or(obstacle).or(header.then_some(Obstacle::Header));
        let plan = match obstacle {
            Some(obstacle) if header || body || changes => Err(obstacle),
            _ => Ok(changes.then_some(Plan(plan))),
        };
        Needs { header, body, plan }
    }
}

#[derive(Debug, Default)]
struct Judge {
    walker: Walker,
    /// Octets of this line so far.
    length: usize,
    header: bool,
    body: bool,
    /// Whether something would be changed.
    changes: bool,
    plan: Vec<Treatment>,
    obstacle: Option<Obstacle>,
}

impl Judge {
    fn take(&mut self, piece: Piece<'_>) {
        let role = self.walker.role(&piece);
        if piece.starts {
            self.length = 0;
        }
        self.length += piece.text.len();
        // It is another octet on the wire, and could make a boundary there.
        if memchr::memchr(0, piece.text).is_some() {
            self.obstacle = Some(Obstacle::Unclear);
        }
        let (is_ascii, is_long) = (piece.text.is_ascii(), self.length > MAX_LINE);
        match role {
            Role::Header { .. } => self.header |= !is_ascii,
            Role::Blank(part) => self.label(&part),
            Role::Body(part) if !is_ascii || is_long => self.encode(&part, is_ascii),
            Role::Aside { is_guarded } if !is_ascii => {
                (self.body, self.changes) = (true, true);
                self.obstacle = self.obstacle.or(is_guarded.then_some(Obstacle::Guarded));
            }
            Role::Body(_) | Role::Aside { .. } | Role::Boundary => {}
        }
    }

    /// RFC 2045 section 6.4: what holds others may not say less than they do.
    fn label(&mut self, part: &Part) {
        if part.encoding == Encoding::Plain && !part.is_guarded {
            self.set(part, Treatment::Relabel);
        }
    }

    fn encode(&mut self, part: &Part, is_ascii: bool) {
        self.body |= !is_ascii;
        let obstacle = match part.body {
            _ if part.is_guarded => Obstacle::Guarded,
            _ if part.encoding == Encoding::Encoded => Obstacle::Fixed,
            Body::Text => {
                let is_ascii = is_ascii && self.get(part) != Treatment::Quote { is_ascii: false };
                return self.change(part, Treatment::Quote { is_ascii });
            }
            Body::Octets => return self.change(part, Treatment::Base64),
            Body::Parts | Body::Fixed => Obstacle::Fixed,
        };
        // A line that is too long goes as it is where it cannot be helped: most take it.
        if !is_ascii {
            self.obstacle = self.obstacle.or(Some(obstacle));
        }
    }

    fn change(&mut self, part: &Part, treatment: Treatment) {
        self.changes = true;
        self.set(part, treatment);
    }

    fn get(&self, part: &Part) -> Treatment {
        self.plan.get(part.number).copied().unwrap_or_default()
    }

    fn set(&mut self, part: &Part, treatment: Treatment) {
        if part.number < MAX_PARTS {
            let length = self.plan.len().max(part.number + 1);
            self.plan.resize(length, Treatment::Keep);
            if let Some(slot) = self.plan.get_mut(part.number) {
                *slot = treatment;
            }
        }
    }
}
