#![deny(clippy::disallowed_methods)]
//! What ends a session before its time, none of it the fault of a message.

use std::fmt;

use crate::smtp::reply::{Reply, ReplyError};
use crate::status::{Class, Status};

/// Why a session cannot go on.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Trouble {
    /// There is no connection.
    Unreachable(String),
    /// The server closed the connection.
    Closed,
    /// The server took too long.
    TimedOut,
    /// The server does not speak SMTP.
    Malformed(ReplyError),
    /// The server answered something that was not asked.
    OutOfStep,
    /// The server does not want to talk to us: its greeting, or its reply to EHLO and HELO.
    Unwilling(Reply),
    /// The connection is to be encrypted, and the server does not offer it, or refuses it so.
    NoTls(Option<Reply>),
    /// The connection could not be encrypted.
    Handshake(String),
}

impl Trouble {
    /// The status of a recipient that it befalls: always transient.
    #[must_use]
    pub fn status(&self) -> Status {
        match self {
            Self::Unreachable(_) => Status::transient(4, 1),
            Self::Closed | Self::TimedOut => Status::transient(4, 2),
            Self::Malformed(_) | Self::OutOfStep => Status::transient(5, 0),
            Self::Unwilling(reply) => reply.status_or_general().in_class(Class::Transient),
            // RFC 3463: X.7.4 security features not supported, X.7.5 cryptographic failure.
            Self::NoTls(_) => Status::transient(7, 4),
            Self::Handshake(_) => Status::transient(7, 5),
        }
    }
}

impl fmt::Display for Trouble {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Unreachable(why) => f.write_str(why),
            Self::Closed => f.write_str("the server closed the connection"),
            Self::TimedOut => f.write_str("the server took too long to answer"),
            Self::Malformed(error) => error.fmt(f),
            Self::OutOfStep => f.write_str("the server answered what was not asked"),
            Self::Unwilling(reply) => reply.fmt(f),
            Self::NoTls(None) => f.write_str("TLS is required, and the server does not offer it"),
            Self::NoTls(Some(reply)) => write!(f, "TLS is required, and the server refuses it: {reply}"),
            Self::Handshake(why) => write!(f, "no TLS with the server: {why}"),
        }
    }
}
