//! A branch that ends with nobody: why, and what that means for a message.

use std::fmt;

use smap_common::status::{Class, Status};

use super::{Chain, MOST_STEPS, MOST_TARGETS};
use crate::transport::Transport;

/// Why a branch ends with nobody.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Why {
    /// The virtusertable says so: always a [`Transport::Error`].
    Error(Transport),
    /// What is made of the address is no address.
    NoAddress,
    /// It leads back to this one.
    Loop(String),
    /// More than [`MOST_STEPS`].
    TooDeep,
    /// More than [`MOST_TARGETS`]: nobody at all is named then.
    TooMany,
    /// An included file, or the row of an alias, cannot be read now, and why.
    Unreadable(String),
    /// What is wrong with a line of an included file, or with what it names.
    Bad(String),
    /// Every row was followed, and none names anybody.
    Nobody,
}

impl fmt::Display for Why {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Error(transport) => transport.fmt(f),
            Self::NoAddress => f.write_str("what the row makes of this recipient is no address"),
            Self::Loop(key) => write!(f, "this leads back to {key}"),
            Self::TooDeep => write!(f, "more than {MOST_STEPS} rows lead here"),
            Self::TooMany => write!(f, "this stands for more than {MOST_TARGETS} recipients"),
            Self::Unreadable(what) | Self::Bad(what) => f.write_str(what),
            Self::Nobody => f.write_str("nobody stands for this recipient"),
        }
    }
}

/// A branch that ends with nobody.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Refused {
    /// What led to it.
    pub chain: Chain,
    /// Why.
    pub why: Why,
}

impl Refused {
    /// What a delivery to nobody comes to (RFC 3463).
    #[must_use]
    pub fn status(&self) -> Status {
        match &self.why {
            Why::Error(Transport::Error { status, .. }) => *status,
            Why::Unreadable(_) => Status::transient(3, 0),
            Why::Error(_) | Why::Bad(_) => Status::permanent(3, 5),
            Why::NoAddress => Status::permanent(1, 3),
            Why::Loop(_) | Why::TooDeep => Status::permanent(4, 6),
            Why::TooMany => Status::permanent(5, 3),
            Why::Nobody => Status::permanent(1, 1),
        }
    }

    /// Whether the same rows may lead to somebody later.
    #[must_use]
    pub fn is_for_now(&self) -> bool {
        self.status().class() == Class::Transient
    }

    /// What is said of it, and by which row.
    #[must_use]
    pub fn reply(&self) -> String {
        if let Why::Error(Transport::Error { status, code, text }) = &self.why {
            return format!("{code} {status} {text}");
        }
        match self.chain.steps().last() {
            Some(step) => format!("{}: {}", step.place, self.why),
            None => self.why.to_string(),
        }
    }
}
