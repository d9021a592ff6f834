//! What may be asked of `smap-lookup`, and what it answers: the words of both, and how they stand in a packet.
//!
//! Pure. Trusts neither side: what is not one of these words in this version is not read. One packet over a Unix
//! socket of the kind `SOCK_SEQPACKET` is one message. The asker numbers its questions; answers come in any order,
//! each with the number of its question.
//!
//! ```text
//! question:  version=1  kind  id  subject
//! answer:    version=1  kind  id  outcome=0 (found)  secure=0|1  ttl  count  record...
//!                                 outcome=1 (there is no such name)
//!                                 outcome=2 (the name has no such record)
//!                                 outcome=3 (not known now)  text
//!
//! kind           subject        record
//! 1 addresses    host           4 or 16 octets
//! 2 mx           domain         preference  exchange
//! 3 names        4|16 octets    name
//! 4 texts        name           octets
//! 5 tlsa         port  host     usage  selector  matching  octets
//! 6 user         local part     name
//! 7 recipient    address        text
//! ```
//!
//! A number is 8 octets, the lowest first; octets and names stand behind their length. A name has no dot at its
//! end and no capital letter; the root alone is `.`. A local part and an address are those of RFC 5321, the text is
//! what the next host said. A packet has at most [`MAX_PACKET`] octets, an answer at most
//! [`MAX_RECORDS`] records and, where something was found, at least one.
//!
//! # Later kinds
//!
//! A kind that is to come (keys, passwords, lists of hosts) takes the next number, and says in this
//! table what its subject and its records are; version and the kinds that there are stay as they are. Whoever is
//! sent a packet of a kind or a version that it does not know reads none of it and closes the connection: to an
//! asker that is newer than its `smap-lookup` every such question is [`Failure::Temporary`], never an answer. A
//! kind whose answers are secret gets a socket of its own: who may connect is decided before anything is asked.
#![deny(clippy::disallowed_methods)]

mod codec;
mod name;
#[cfg(test)]
mod tests;

use std::fmt;
use std::net::IpAddr;

pub use self::name::{BadName, Name};
use crate::address::Address;

/// Octets of the largest packet.
pub const MAX_PACKET: usize = 64 * 1024;
/// Most records of an answer.
pub const MAX_RECORDS: usize = 64;
/// Octets of the longest text of a failure.
pub const MAX_WHY: usize = 255;
/// Where `smap-lookup` listens, where the table says nothing.
pub const DEFAULT_SOCKET: &str = "/run/smap/lookup";

/// A question, with the number that its answer will have.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Asked {
    /// Chosen by the asker.
    pub id: u64,
    /// What it asks.
    pub question: Question,
}

/// What may be asked.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum Question {
    /// The addresses of a host, of both families.
    Addresses {
        /// Its name.
        host: Name,
    },
    /// The mail exchangers of a domain; those of its own that it names, not the domain itself in their place.
    Mx {
        /// Its name.
        domain: Name,
    },
    /// The names of an address that have this address.
    Names {
        /// The address.
        address: IpAddr,
    },
    /// The texts of a name.
    Texts {
        /// The name.
        name: Name,
    },
    /// What a host says of the key of its server at a TCP port (RFC 6698).
    Tlsa {
        /// The port.
        port: u16,
        /// The host.
        host: Name,
    },
    /// Whether this machine has a user.
    User {
        /// His name, as a local part.
        name: String,
    },
    /// Whether the host that his mail goes to takes a recipient: a call-out.
    Recipient {
        /// He.
        address: Address,
    },
}

/// An answer, with the number of its question.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Answered {
    /// That of the question.
    pub id: u64,
    /// What is answered.
    pub answer: Answer,
}

/// What is answered, each to the question of the same name.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Answer {
    /// Addresses, in the order in which they are to be tried.
    Addresses(Outcome<IpAddr>),
    /// Mail exchangers, the most preferred first.
    Mx(Outcome<Mx>),
    /// Names, each of which has the address.
    Names(Outcome<Name>),
    /// Texts, each whole.
    Texts(Outcome<Vec<u8>>),
    /// What is said of a key.
    Tlsa(Outcome<Tlsa>),
    /// The user, as the machine names him.
    User(Outcome<String>),
    /// What the next host said of a recipient.
    Recipient(Outcome<String>),
}

/// What became of a question.
pub type Outcome<T> = Result<Found<T>, Failure>;

/// What was found.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Found<T> {
    /// At least one. Those that a packet has no room for are left out, from the end.
    pub records: Vec<T>,
    /// Whether all of it is authenticated by DNSSEC.
    pub secure: bool,
    /// Seconds for which it may be used.
    pub ttl: u32,
}

/// A mail exchanger.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Mx {
    /// The lowest is tried first.
    pub preference: u16,
    /// The host; the root says that there is none, and mail is not accepted (RFC 7505).
    pub exchange: Name,
}

/// What is said of a key (RFC 6698 section 2.1).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Tlsa {
    /// Whose it is.
    pub usage: u8,
    /// What of the certificate is meant.
    pub selector: u8,
    /// How it is compared.
    pub matching: u8,
    /// With what.
    pub data: Vec<u8>,
}

/// Why there is nothing, by culprit.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Failure {
    /// The name is not there.
    NoSuchName,
    /// The name is there and has no such record.
    NoRecords,
    /// Nobody knows now, and why: no answer, one that is broken or forged, or no room for the question.
    Temporary(String),
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NoSuchName => f.write_str("there is no such name"),
            Self::NoRecords => f.write_str("the name has no such record"),
            Self::Temporary(why) => write!(f, "it cannot be looked up now: {why}"),
        }
    }
}

impl std::error::Error for Failure {}

impl Question {
    /// The answer that says why there is nothing.
    #[must_use]
    pub fn failed(&self, failure: Failure) -> Answer {
        match self {
            Self::Addresses { .. } => Answer::Addresses(Err(failure)),
            Self::Mx { .. } => Answer::Mx(Err(failure)),
            Self::Names { .. } => Answer::Names(Err(failure)),
            Self::Texts { .. } => Answer::Texts(Err(failure)),
            Self::Tlsa { .. } => Answer::Tlsa(Err(failure)),
            Self::User { .. } => Answer::User(Err(failure)),
            Self::Recipient { .. } => Answer::Recipient(Err(failure)),
        }
    }
}
