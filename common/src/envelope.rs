#![deny(clippy::disallowed_methods)]
//! The envelope of a message (RFC 5321 section 2.3.1) and its text form at the head of a spool file.
//!
//! ```text
//! smap 1
//! ID 1K3N5Q0ZB7R2M4D8XJ9WTV
//! TIME 1795247311.123456
//! CLIENT 192.0.2.7:40112
//! NAME mail.example.org
//! EHLO mail.example.org
//! ROLE mx
//! FROM <a@example.org> SIZE=5120 BODY=8BITMIME
//! RCPT <c@example.com> NOTIFY=FAILURE
//!
//! ```
//!
//! Lines end in LF, an empty line ends it. `CLIENT -` is a message of our own making. Parsing trusts
//! nothing; what it gives is made of types that only their parsers make.

use std::fmt;
use std::io::Write;
use std::net::SocketAddr;

use crate::clock::Timestamp;
use crate::smtp::command::{HeloName, Mail, Recipient};
use crate::spool::QueueId;

#[cfg(test)]
mod tests;

/// The first line of every spool file: its format and version.
const MAGIC: &str = "smap 1";

/// Longest envelope in octets: more than `maxrecip` allows to grow in any sane table.
pub const MAX_ENVELOPE: usize = 16 << 20;

/// Who greeted us, and how.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Greeting {
    /// The name it gave.
    pub name: HeloName,
    /// EHLO, not HELO.
    pub extended: bool,
}

/// Where a message came from.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Origin {
    /// The client's socket; `None` where there was none (a pipe, or a message of our own).
    pub client: Option<SocketAddr>,
    /// Its name, where forward and reverse agree.
    pub name: Option<HeloName>,
    /// How it greeted us.
    pub greeting: Option<Greeting>,
    /// Which listener took it.
    pub role: Role,
}

/// What a listener is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Role {
    /// Mail from other hosts, port 25.
    #[default]
    Mx,
}

/// All that is known of a message before its body.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Envelope {
    /// Its name everywhere.
    pub id: QueueId,
    /// When MAIL was said.
    pub arrived: Timestamp,
    /// Where it came from.
    pub origin: Origin,
    /// Sender and parameters.
    pub mail: Mail,
    /// Recipients, each once, in their order.
    pub recipients: Vec<Recipient>,
}

/// The head of the file is not an envelope.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BadEnvelope {
    /// The line, counted from 1.
    pub line: usize,
    /// What is wrong with it.
    pub what: &'static str,
}

impl fmt::Display for BadEnvelope {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "envelope line {}: {}", self.line, self.what)
    }
}

impl std::error::Error for BadEnvelope {}

impl Envelope {
    /// The recipient of that number, counted from 0.
    #[must_use]
    pub fn recipient(&self, number: u32) -> Option<&Recipient> {
        self.recipients.get(usize::try_from(number).ok()?)
    }

    /// Appends the text form, the empty line included.
    pub fn write(&self, text: &mut Vec<u8>) {
        // Writing to memory cannot fail.
        let _infallible = self.try_write(text);
    }

    fn try_write(&self, text: &mut Vec<u8>) -> std::io::Result<()> {
        writeln!(text, "{MAGIC}\nID {}\nTIME {}", self.id, self.arrived)?;
        match self.origin.client {
            Some(client) => writeln!(text, "CLIENT {client}")?,
            None => writeln!(text, "CLIENT -")?,
        }
        if let Some(name) = &self.origin.name {
            writeln!(text, "NAME {name}")?;
        }
        if let Some(greeting) = &self.origin.greeting {
            writeln!(text, "{} {}", if greeting.extended { "EHLO" } else { "HELO" }, greeting.name)?;
        }
        match self.origin.role {
            Role::Mx => writeln!(text, "ROLE mx")?,
        }
        writeln!(text, "FROM {}", self.mail)?;
        for recipient in &self.recipients {
            writeln!(text, "RCPT {recipient}")?;
        }
        writeln!(text)
    }

    /// Reads an envelope from the head of `file`; returns it and its length in octets.
    ///
    /// # Errors
    /// The first line that is not what it should be.
    pub fn parse(file: &[u8]) -> Result<(Self, usize), BadEnvelope> {
        let mut parser = Parser::default();
        let mut length = 0;
        for (number, line) in file.split_inclusive(|&b| b == b'\n').enumerate() {
            let at = |what| BadEnvelope { line: number + 1, what };
            length += line.len();
            let line = line.strip_suffix(b"\n").ok_or_else(|| at("the file ends inside the envelope"))?;
            if line.is_empty() {
                return parser.finish().map(|envelope| (envelope, length)).map_err(at);
            }
            match number {
                0 if line == MAGIC.as_bytes() => {}
                0 => return Err(at("not a spool file of a known version")),
                _ => parser.line(line).map_err(at)?,
            }
        }
        Err(BadEnvelope { line: 1, what: "the file ends inside the envelope" })
    }
}

#[derive(Default)]
struct Parser {
    id: Option<QueueId>,
    arrived: Option<Timestamp>,
    origin: Origin,
    mail: Option<Mail>,
    recipients: Vec<Recipient>,
}

impl Parser {
    fn line(&mut self, line: &[u8]) -> Result<(), &'static str> {
        let text = std::str::from_utf8(line).map_err(|_| "not UTF-8")?;
        let (word, value) = text.split_once(' ').ok_or("no value")?;
        match word {
            "ID" => self.id = Some(value.parse().map_err(|_| "bad queue id")?),
            "TIME" => self.arrived = Some(value.parse().map_err(|_| "bad time")?),
            "CLIENT" if value == "-" => self.origin.client = None,
            "CLIENT" => self.origin.client = Some(value.parse().map_err(|_| "bad client address")?),
            "NAME" => self.origin.name = Some(value.parse().map_err(|_| "bad client name")?),
            "HELO" | "EHLO" => {
                let name = value.parse().map_err(|_| "bad greeting")?;
                self.origin.greeting = Some(Greeting { name, extended: word == "EHLO" });
            }
            "ROLE" if value == "mx" => self.origin.role = Role::Mx,
            "FROM" => self.mail = Some(Mail::parse(value.as_bytes()).map_err(|_| "bad sender")?),
            "RCPT" => {
                self.recipients.push(Recipient::parse(value.as_bytes()).map_err(|_| "bad recipient")?);
            }
            _ => return Err("unknown line"),
        }
        Ok(())
    }

    fn finish(self) -> Result<Envelope, &'static str> {
        if self.recipients.is_empty() {
            return Err("no recipient");
        }
        Ok(Envelope {
            id: self.id.ok_or("no queue id")?,
            arrived: self.arrived.ok_or("no time")?,
            origin: self.origin,
            mail: self.mail.ok_or("no sender")?,
            recipients: self.recipients,
        })
    }
}
