#![deny(clippy::disallowed_methods)]
//! One command line of a client, parsed (RFC 5321 section 4.1.1).
//!
//! Decides what a line means, not whether it may be said now. Trusts nothing: the line may hold any octet.
//! Guarantees that what comes out is typed, and that every fault has one name.

use std::fmt;

use crate::address::{self, Address, AddressError, ReversePath};
use crate::smtp::dsn::{BadValue, MAX_ENVID, Notify, OriginalRecipient, Return, Xtext};

#[cfg(test)]
mod tests;

/// Longest command line with its CRLF (RFC 5321 section 4.5.3.1.4).
pub const MAX_LINE: usize = 512;
/// Longest MAIL or RCPT line with its CRLF: the extensions add to 512 (RFC 1870: 26, RFC 6152: 17, RFC 6531:
/// 10, RFC 3461: 500 for RCPT).
pub const MAX_PATH_LINE: usize = 1024;
/// Longest name that a client may give itself (RFC 5321 section 4.5.3.1.2).
pub const MAX_HELO: usize = address::MAX_DOMAIN;

const _: () = assert!(MAX_LINE + 500 <= MAX_PATH_LINE && address::MAX_PATH + MAX_ENVID + 64 < MAX_LINE);

/// What the client wants.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Command {
    /// `HELO name`
    Helo(HeloName),
    /// `EHLO name`
    Ehlo(HeloName),
    /// `MAIL FROM:<path> parameters`
    Mail(Mail),
    /// `RCPT TO:<path> parameters`
    Rcpt(Recipient),
    /// `DATA`
    Data,
    /// `BDAT size [LAST]` (RFC 3030)
    Bdat(Chunk),
    /// `RSET`
    Rset,
    /// `NOOP`, with or without words
    Noop,
    /// `QUIT`
    Quit,
    /// `VRFY` or `EXPN`: both tell nothing (RFC 5321 section 7.3)
    Vrfy,
    /// `HELP`
    Help,
}

/// A message that begins.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Mail {
    /// Who sends it.
    pub sender: ReversePath,
    /// Its parameters.
    pub parameters: MailParameters,
}

/// The parameters of MAIL.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct MailParameters {
    /// `SIZE=`, in octets (RFC 1870). A number too large to hold is the largest that can be held.
    pub size: Option<u64>,
    /// `BODY=` (RFC 6152).
    pub body: Option<BodyType>,
    /// `SMTPUTF8` (RFC 6531).
    pub smtputf8: bool,
    /// `RET=` (RFC 3461).
    pub ret: Option<Return>,
    /// `ENVID=` (RFC 3461).
    pub envid: Option<Xtext>,
}

/// One recipient with its parameters (RFC 3461).
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Recipient {
    /// Where the message goes.
    pub address: Address,
    /// `NOTIFY=`
    pub notify: Notify,
    /// `ORCPT=`
    pub original: Option<OriginalRecipient>,
}

impl Mail {
    /// Reads `<path> parameters`, as MAIL and the spool have it.
    ///
    /// # Errors
    /// What is wrong with it.
    pub fn parse(text: &[u8]) -> Result<Self, CommandError> {
        let (sender, rest) =
            ReversePath::parse_prefix(text).map_err(|fault| CommandError::Path(PathKind::Sender, fault))?;
        let mut parameters = MailParameters::default();
        for (keyword, value) in split_parameters(rest, PathKind::Sender)? {
            parameters.set(keyword, value)?;
        }
        Ok(Self { sender, parameters })
    }
}

impl fmt::Display for Mail {
    /// As [`Mail::parse`] reads it.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let MailParameters { size, body, smtputf8, ret, envid } = &self.parameters;
        write!(f, "{}", self.sender)?;
        if let Some(size) = size {
            write!(f, " SIZE={size}")?;
        }
        if let Some(body) = body {
            write!(f, " BODY={}", body.as_str())?;
        }
        if *smtputf8 {
            f.write_str(" SMTPUTF8")?;
        }
        if let Some(ret) = ret {
            write!(f, " RET={ret}")?;
        }
        envid.iter().try_for_each(|envid| write!(f, " ENVID={envid}"))
    }
}

impl MailParameters {
    fn set(&mut self, keyword: &str, value: Option<&str>) -> Result<(), CommandError> {
        match (keyword.to_ascii_uppercase().as_str(), value) {
            ("SIZE", Some(value)) => set(&mut self.size, size(value)?),
            ("BODY", Some(value)) => set(&mut self.body, body(value)?),
            ("SMTPUTF8", None) if !self.smtputf8 => {
                self.smtputf8 = true;
                Ok(())
            }
            ("RET", Some(value)) => set(&mut self.ret, value.parse()?),
            ("ENVID", Some(value)) if value.len() <= MAX_ENVID => set(&mut self.envid, value.parse()?),
            ("SIZE" | "BODY" | "SMTPUTF8" | "RET" | "ENVID", _) => Err(CommandError::BadParameter),
            _ => Err(CommandError::UnknownParameter),
        }
    }
}

impl Recipient {
    /// Reads `<path> parameters`, as RCPT and the spool have it.
    ///
    /// # Errors
    /// What is wrong with it.
    pub fn parse(text: &[u8]) -> Result<Self, CommandError> {
        let (address, rest) =
            address::parse_path(text).map_err(|fault| CommandError::Path(PathKind::Recipient, fault))?;
        let (mut notify, mut original) = (None, None);
        for (keyword, value) in split_parameters(rest, PathKind::Recipient)? {
            match (keyword.to_ascii_uppercase().as_str(), value) {
                ("NOTIFY", Some(value)) => set(&mut notify, value.parse()?)?,
                ("ORCPT", Some(value)) => set(&mut original, value.parse()?)?,
                ("NOTIFY" | "ORCPT", None) => return Err(CommandError::BadParameter),
                _ => return Err(CommandError::UnknownParameter),
            }
        }
        Ok(Self { address, notify: notify.unwrap_or_default(), original })
    }
}

impl fmt::Display for Recipient {
    /// As [`Recipient::parse`] reads it.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "<{}>", self.address)?;
        if self.notify != Notify::Unsaid {
            write!(f, " NOTIFY={}", self.notify)?;
        }
        self.original.iter().try_for_each(|original| write!(f, " ORCPT={original}"))
    }
}

/// `BODY=` (RFC 6152).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum BodyType {
    /// `7BIT`
    SevenBit,
    /// `8BITMIME`
    EightBitMime,
}

impl BodyType {
    /// The parameter's value.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::SevenBit => "7BIT",
            Self::EightBitMime => "8BITMIME",
        }
    }
}

/// One chunk of a message (RFC 3030 section 2).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Chunk {
    /// Octets that follow the line.
    pub size: u64,
    /// Whether it ends the message.
    pub last: bool,
}

/// What a client calls itself: a name or a literal, never anything that could forge a header or a log line.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct HeloName(String);

impl HeloName {
    /// The name as it was given.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for HeloName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::str::FromStr for HeloName {
    type Err = BadValue;

    /// Letters, digits, `-`, `_`, `.`, `:` and brackets, and UTF-8 letters (RFC 6531 section 3.3): forgiving
    /// about form, because clients misname themselves, and strict about what it may do.
    fn from_str(text: &str) -> Result<Self, BadValue> {
        let good = |c: char| {
            c.is_ascii_alphanumeric() || "-_.:[]".contains(c) || (!c.is_ascii() && c.is_alphanumeric())
        };
        if text.is_empty() || text.len() > MAX_HELO || !text.chars().all(good) {
            return Err(BadValue);
        }
        Ok(Self(text.to_owned()))
    }
}

/// Which path of a transaction a fault is in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum PathKind {
    /// MAIL FROM
    Sender,
    /// RCPT TO
    Recipient,
}

/// What is wrong with a command line.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum CommandError {
    /// A NUL, or another octet that no command holds.
    BadOctet,
    /// A verb that no RFC knows, or none.
    Unknown,
    /// A verb that is known and not served: TURN, SEND, SOML, SAML, ETRN, ATRN, STARTTLS, AUTH...
    NotImplemented,
    /// The client speaks HTTP, or another protocol that was tricked into coming here.
    WrongProtocol,
    /// The verb is right and its arguments are not.
    Syntax(&'static str),
    /// The path is not an address.
    Path(PathKind, AddressError),
    /// A parameter that was not announced.
    UnknownParameter,
    /// A parameter twice, or its value is wrong.
    BadParameter,
}

impl From<BadValue> for CommandError {
    fn from(_: BadValue) -> Self {
        Self::BadParameter
    }
}

/// Parses one line, without its CRLF.
///
/// # Errors
/// What is wrong with it.
pub fn parse(line: &[u8]) -> Result<Command, CommandError> {
    if line.iter().any(|&b| b < b' ' && b != b'\t' || b == 0x7f) {
        return Err(CommandError::BadOctet);
    }
    let end = line.iter().position(|&b| b == b' ' || b == b'\t').unwrap_or(line.len());
    let (verb, rest) = line.split_at_checked(end).unwrap_or((line, b""));
    let arguments = rest.trim_ascii();
    match verb.to_ascii_uppercase().as_slice() {
        b"HELO" => helo(arguments, "HELO name").map(Command::Helo),
        b"EHLO" => helo(arguments, "EHLO name").map(Command::Ehlo),
        b"MAIL" => mail(arguments).map(Command::Mail),
        b"RCPT" => rcpt(arguments).map(Command::Rcpt),
        b"DATA" => bare(arguments, Command::Data, "DATA"),
        b"BDAT" => bdat(arguments).map(Command::Bdat),
        b"RSET" => bare(arguments, Command::Rset, "RSET"),
        b"QUIT" => bare(arguments, Command::Quit, "QUIT"),
        b"NOOP" => Ok(Command::Noop),
        b"VRFY" | b"EXPN" if arguments.is_empty() => Err(CommandError::Syntax("VRFY name")),
        b"VRFY" | b"EXPN" => Ok(Command::Vrfy),
        b"HELP" => Ok(Command::Help),
        b"TURN" | b"SEND" | b"SOML" | b"SAML" | b"ETRN" | b"ATRN" | b"STARTTLS" | b"AUTH" | b"BURL" => {
            Err(CommandError::NotImplemented)
        }
        b"GET" | b"POST" | b"PUT" | b"HEAD" | b"OPTIONS" | b"CONNECT" | b"DELETE" | b"PATCH" => {
            Err(CommandError::WrongProtocol)
        }
        _ => Err(CommandError::Unknown),
    }
}

fn bare(arguments: &[u8], command: Command, syntax: &'static str) -> Result<Command, CommandError> {
    if arguments.is_empty() { Ok(command) } else { Err(CommandError::Syntax(syntax)) }
}

fn helo(arguments: &[u8], syntax: &'static str) -> Result<HeloName, CommandError> {
    std::str::from_utf8(arguments).ok().and_then(|name| name.parse().ok()).ok_or(CommandError::Syntax(syntax))
}

/// `"FROM:" Reverse-path [SP Mail-parameters]` (RFC 5321 section 4.1.1.2): no space around the colon.
fn mail(arguments: &[u8]) -> Result<Mail, CommandError> {
    let path = strip_keyword(arguments, b"FROM:").ok_or(CommandError::Syntax("MAIL FROM:<address>"))?;
    Mail::parse(path)
}

/// `"TO:" Forward-path [SP Rcpt-parameters]` (RFC 5321 section 4.1.1.3).
fn rcpt(arguments: &[u8]) -> Result<Recipient, CommandError> {
    let path = strip_keyword(arguments, b"TO:").ok_or(CommandError::Syntax("RCPT TO:<address>"))?;
    Recipient::parse(path)
}

/// `chunk-size [SP "LAST"]` (RFC 3030 section 2).
fn bdat(arguments: &[u8]) -> Result<Chunk, CommandError> {
    const SYNTAX: CommandError = CommandError::Syntax("BDAT size [LAST]");
    let text = std::str::from_utf8(arguments).map_err(|_| SYNTAX)?;
    let mut words = text.split_ascii_whitespace();
    let size = words.next().and_then(digits).ok_or(SYNTAX)?.parse().map_err(|_| SYNTAX)?;
    let last = match words.next() {
        None => false,
        Some(word) if word.eq_ignore_ascii_case("LAST") => true,
        Some(_) => return Err(SYNTAX),
    };
    if words.next().is_some() { Err(SYNTAX) } else { Ok(Chunk { size, last }) }
}

fn strip_keyword<'a>(text: &'a [u8], keyword: &[u8]) -> Option<&'a [u8]> {
    let (head, rest) = text.split_at_checked(keyword.len())?;
    head.eq_ignore_ascii_case(keyword).then_some(rest)
}

type Parameter<'a> = (&'a str, Option<&'a str>);

/// `esmtp-keyword ["=" esmtp-value]`, each after a space (RFC 5321 section 4.1.2).
fn split_parameters(rest: &[u8], path: PathKind) -> Result<Vec<Parameter<'_>>, CommandError> {
    if rest.first().is_some_and(|b| !b.is_ascii_whitespace()) {
        return Err(CommandError::Path(path, AddressError::Brackets));
    }
    let text = std::str::from_utf8(rest).map_err(|_| CommandError::BadParameter)?;
    text.split_ascii_whitespace().map(parameter).collect()
}

fn parameter(word: &str) -> Result<Parameter<'_>, CommandError> {
    let (keyword, value) = match word.split_once('=') {
        Some((keyword, value)) => (keyword, Some(value)),
        None => (word, None),
    };
    let good_keyword = keyword.starts_with(|c: char| c.is_ascii_alphanumeric())
        && keyword.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-');
    if !good_keyword || value.is_some_and(str::is_empty) {
        return Err(CommandError::BadParameter);
    }
    Ok((keyword, value))
}

fn set<T>(slot: &mut Option<T>, value: T) -> Result<(), CommandError> {
    if slot.replace(value).is_some() { Err(CommandError::BadParameter) } else { Ok(()) }
}

/// `size-value ::= 1*20DIGIT` (RFC 1870 section 3).
fn size(value: &str) -> Result<u64, CommandError> {
    let value = digits(value).filter(|d| d.len() <= 20).ok_or(CommandError::BadParameter)?;
    Ok(value.parse().unwrap_or(u64::MAX))
}

fn digits(text: &str) -> Option<&str> {
    (!text.is_empty() && text.bytes().all(|b| b.is_ascii_digit())).then_some(text)
}

fn body(value: &str) -> Result<BodyType, CommandError> {
    match value.to_ascii_uppercase().as_str() {
        "7BIT" => Ok(BodyType::SevenBit),
        "8BITMIME" => Ok(BodyType::EightBitMime),
        _ => Err(CommandError::BadParameter),
    }
}
