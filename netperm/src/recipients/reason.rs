//! Why somebody exists, or does not.

use std::fmt;
use std::sync::Arc;

use smap_common::address::Address;
use smap_common::status::{Class, Status};

use super::{Exists, Line, Question};
use crate::aliases;
use crate::place::{Located, Place};
use crate::reply::Reply;
use crate::tables::Damaged;
use crate::transport::Transport;
use crate::virtusertable;

/// What decided.
#[derive(Debug, Clone, PartialEq, Eq)]
#[must_use]
pub enum Reason<'a> {
    /// `postmaster` exists everywhere (RFC 5321 section 4.5.1).
    Postmaster,
    /// No line speaks of the domain.
    NoLine,
    /// This row makes him somebody of a domain that no line speaks of.
    Virtusertable(Located<virtusertable::Row>),
    /// This row says that he does not exist: always a [`Transport::Error`].
    Error(Located<virtusertable::Row>, Transport),
    /// What this row makes of him is no address.
    NoAddress(Located<virtusertable::Row>),
    /// This row and others make him himself again.
    Loop(Located<virtusertable::Row>),
    /// This line of a file names him.
    Named(Place),
    /// This alias is his.
    Alias(Located<Arc<aliases::Row>>),
    /// By this line everybody exists.
    Any(&'a Located<Line>),
    /// The question of this line has to be asked.
    Asked(&'a Located<Line>, Question),
    /// The question of this line was answered so.
    Answered(&'a Located<Line>, Question),
    /// The question of this line cannot be answered now, and why.
    Failed(&'a Located<Line>, Question, String),
    /// A row that may speak of him cannot be read any more.
    Damaged(Damaged),
    /// Nothing of what this line names knows this address.
    Unknown(&'a Located<Line>, Address),
}

impl Reason<'_> {
    /// What a row says that names an error.
    pub(super) fn error<'a>(row: Located<virtusertable::Row>, transport: Transport) -> Exists<'a> {
        let later =
            matches!(&transport, Transport::Error { status, .. } if status.class() == Class::Transient);
        let reason = Reason::Error(row, transport);
        if later { Exists::NotNow(reason) } else { Exists::No(reason) }
    }

    /// What the client is told, where it is no.
    #[must_use]
    pub fn reply(&self) -> Option<Reply> {
        let said = |code, status, text: &str| Some(Reply { code, status, text: text.to_owned() });
        match self {
            Self::Error(_, Transport::Error { status, code, text }) => said(*code, *status, text),
            Self::Unknown(..) | Self::NoAddress(_) | Self::Error(..) => {
                said(550, Status::permanent(1, 1), "User unknown")
            }
            Self::Loop(_) => said(550, Status::permanent(4, 6), "This address leads back to itself"),
            Self::Failed(..) => {
                said(451, Status::transient(4, 3), "This recipient cannot be looked up now, try again later")
            }
            Self::Damaged(_) => Some(Reply::later()),
            Self::Postmaster
            | Self::NoLine
            | Self::Virtusertable(_)
            | Self::Named(_)
            | Self::Alias(_)
            | Self::Any(_)
            | Self::Asked(..)
            | Self::Answered(..) => None,
        }
    }

    /// Where it stands, if it stands anywhere.
    #[must_use]
    pub fn place(&self) -> Option<&Place> {
        match self {
            Self::Postmaster | Self::NoLine => None,
            Self::Virtusertable(row) | Self::Error(row, _) | Self::NoAddress(row) | Self::Loop(row) => {
                Some(&row.place)
            }
            Self::Named(place) => Some(place),
            Self::Alias(row) => Some(&row.place),
            Self::Damaged(damaged) => Some(damaged.place()),
            Self::Any(line)
            | Self::Asked(line, _)
            | Self::Answered(line, _)
            | Self::Failed(line, ..)
            | Self::Unknown(line, _) => Some(&line.place),
        }
    }

    /// One word for the log.
    #[must_use]
    pub const fn id(&self) -> &'static str {
        match self {
            Self::Postmaster => "postmaster",
            Self::NoLine => "no-source",
            Self::Virtusertable(_) => "virtusertable",
            Self::Error(..) => "virtusertable-error",
            Self::NoAddress(_) => "no-address",
            Self::Loop(_) => "virtusertable-loop",
            Self::Named(_) => "named",
            Self::Alias(_) => "alias",
            Self::Any(_) => "any",
            Self::Asked(..) => "asked",
            Self::Answered(..) => "answered",
            Self::Failed(..) => "failed",
            Self::Damaged(_) => "damaged",
            Self::Unknown(..) => "unknown",
        }
    }
}

impl fmt::Display for Reason<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let row = |row: &Located<virtusertable::Row>| format!("{}: virtusertable {}", row.place, row.value);
        let line = |line: &Located<Line>| format!("{}: recipients {}", line.place, line.value);
        match self {
            Self::Postmaster => f.write_str("postmaster always exists"),
            Self::NoLine => f.write_str("no recipients line speaks of the domain"),
            Self::Virtusertable(by) | Self::Error(by, _) => f.write_str(&row(by)),
            Self::NoAddress(by) => write!(f, "{}, which makes no address of him", row(by)),
            Self::Loop(by) => write!(f, "{}, which leads back to him", row(by)),
            Self::Named(place) => write!(f, "{place}: this line names him"),
            Self::Alias(alias) => write!(f, "{}: aliases {}", alias.place, alias.name),
            Self::Any(by) => f.write_str(&line(by)),
            Self::Asked(by, question) => write!(f, "{}: {question}", line(by)),
            Self::Answered(by, question) => write!(f, "{}: {question} is known", line(by)),
            Self::Failed(by, question, why) => write!(f, "{}: {question}: {why}", line(by)),
            Self::Damaged(damaged) => damaged.fmt(f),
            Self::Unknown(by, address) => write!(f, "{}: nothing there knows <{address}>", line(by)),
        }
    }
}

impl fmt::Display for Question {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Passwd(name) => write!(f, "passwd {name}"),
            Self::CallOut(address) => write!(f, "callout <{address}>"),
        }
    }
}
