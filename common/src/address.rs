//! Mail addresses: RFC 5321 section 4.1.2, with the UTF-8 of RFC 6531 section 3.3.
//!
//! Decides what is an address. Trusts nothing. Guarantees that no value of these types holds a control
//! character, a line separator or an unbalanced quote, so that each may stand in an argv, a header or a
//! log line; and that [`Display`](fmt::Display) of a value parses back to the same value.

use std::fmt;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::str::FromStr;

use serde::{Deserialize, Deserializer, Serialize, Serializer};

#[cfg(test)]
mod tests;

/// Longest local part, in octets (RFC 5321 section 4.5.3.1.1).
pub const MAX_LOCAL_PART: usize = 64;
/// Longest domain, in octets (RFC 5321 section 4.5.3.1.2).
pub const MAX_DOMAIN: usize = 255;
/// Longest label of a domain name, in octets (RFC 1035 section 2.3.4).
pub const MAX_LABEL: usize = 63;
/// Longest path, in octets, with its angle brackets (RFC 5321 section 4.5.3.1.3).
pub const MAX_PATH: usize = 256;

const _: () = assert!(MAX_LABEL < MAX_DOMAIN && MAX_LOCAL_PART < MAX_PATH);

/// What is wrong with an address.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum AddressError {
    /// The path does not stand between `<` and `>`.
    Brackets,
    /// Nothing between the brackets where an address is needed.
    Empty,
    /// The local part is not a dot-string or a quoted string.
    LocalPart,
    /// There is no `@` and domain.
    NoDomain,
    /// The domain is neither a name nor an address literal.
    Domain,
    /// A part is longer than RFC 5321 section 4.5.3.1 allows.
    TooLong,
    /// Something that is not UTF-8.
    Encoding,
}

impl fmt::Display for AddressError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Brackets => "the address must stand between < and >",
            Self::Empty => "the address is empty",
            Self::LocalPart => "bad local part",
            Self::NoDomain => "the domain is missing",
            Self::Domain => "bad domain",
            Self::TooLong => "the address is too long",
            Self::Encoding => "the address is not UTF-8",
        })
    }
}

impl std::error::Error for AddressError {}

/// The part right of the `@`, ASCII letters in lower case.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Domain(DomainKind);

#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
enum DomainKind {
    Name(String),
    Literal(IpAddr),
}

impl Domain {
    /// The name, unless this is an address literal.
    #[must_use]
    pub fn name(&self) -> Option<&str> {
        match &self.0 {
            DomainKind::Name(name) => Some(name),
            DomainKind::Literal(_) => None,
        }
    }

    /// The address of an address literal (`[192.0.2.1]`, `[IPv6:2001:db8::1]`).
    #[must_use]
    pub fn literal(&self) -> Option<IpAddr> {
        match &self.0 {
            DomainKind::Name(_) => None,
            DomainKind::Literal(address) => Some(*address),
        }
    }

    /// An address literal.
    #[must_use]
    pub fn from_ip(address: IpAddr) -> Self {
        Self(DomainKind::Literal(address))
    }

    fn parse_literal(inside: &str) -> Result<Self, AddressError> {
        let address = match inside.get(..5) {
            Some(tag) if tag.eq_ignore_ascii_case("IPv6:") => {
                inside.get(5..).and_then(|rest| rest.parse::<Ipv6Addr>().ok()).map(IpAddr::V6)
            }
            _ => inside.parse::<Ipv4Addr>().ok().map(IpAddr::V4),
        };
        address.map(Self::from_ip).ok_or(AddressError::Domain)
    }
}

impl FromStr for Domain {
    type Err = AddressError;

    /// Labels of letters, digits and hyphens (and the underscore that real hosts have), or a literal.
    fn from_str(text: &str) -> Result<Self, AddressError> {
        if let Some(rest) = text.strip_prefix('[') {
            return Self::parse_literal(rest.strip_suffix(']').ok_or(AddressError::Domain)?);
        }
        if text.len() > MAX_DOMAIN {
            return Err(AddressError::TooLong);
        }
        for label in text.split('.') {
            if label.len() > MAX_LABEL {
                return Err(AddressError::TooLong);
            }
            if !is_label(label) {
                return Err(AddressError::Domain);
            }
        }
        Ok(Self(DomainKind::Name(text.to_ascii_lowercase())))
    }
}

/// `sub-domain` of RFC 5321 section 4.1.2, `U-label` of RFC 6531 section 3.3.
fn is_label(label: &str) -> bool {
    let inner = |c: char| c.is_ascii_alphanumeric() || c == '-' || c == '_' || is_utf8_text(c);
    !label.is_empty() && !label.starts_with('-') && !label.ends_with('-') && label.chars().all(inner)
}

/// Characters outside ASCII that may stand in an address: none that controls, separates lines or turns
/// the direction of the text around it.
fn is_utf8_text(c: char) -> bool {
    let turns =
        matches!(c, '\u{61c}' | '\u{200e}' | '\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2066}'..='\u{2069}');
    !c.is_ascii() && !c.is_control() && !turns && c != '\u{feff}'
}

impl fmt::Display for Domain {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.0 {
            DomainKind::Name(name) => f.write_str(name),
            DomainKind::Literal(IpAddr::V4(address)) => write!(f, "[{address}]"),
            DomainKind::Literal(IpAddr::V6(address)) => write!(f, "[IPv6:{address}]"),
        }
    }
}

/// A mailbox: `local-part@domain`. Only `<postmaster>` may lack a domain (RFC 5321 section 4.1.1.3).
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Address {
    local: String,
    domain: Option<Domain>,
}

impl Address {
    /// The address of these parts; the local part is without quotes.
    ///
    /// # Errors
    /// What is wrong with it.
    pub fn new(local: &str, domain: Domain) -> Result<Self, AddressError> {
        Self { local: local.to_owned(), domain: Some(domain) }.to_string().parse()
    }

    /// The local part without its quotes.
    #[must_use]
    pub fn local_part(&self) -> &str {
        &self.local
    }

    /// The domain; `None` only for the bare `postmaster`.
    #[must_use]
    pub fn domain(&self) -> Option<&Domain> {
        self.domain.as_ref()
    }

    /// Whether this is `postmaster`, at whatever domain, in any case (RFC 5321 section 4.5.1).
    #[must_use]
    pub fn is_postmaster(&self) -> bool {
        self.local.eq_ignore_ascii_case("postmaster")
    }

    /// The same local part at another domain.
    #[must_use]
    pub fn at(&self, domain: Domain) -> Self {
        Self { local: self.local.clone(), domain: Some(domain) }
    }

    /// Whether it can be written without SMTPUTF8 (RFC 6531).
    #[must_use]
    pub fn is_ascii(&self) -> bool {
        self.local.is_ascii() && self.domain.as_ref().and_then(Domain::name).is_none_or(str::is_ascii)
    }

    /// Reads `user@domain`, without angle brackets, where a path has room for it.
    ///
    /// # Errors
    /// What is wrong with it.
    pub fn parse(bytes: &[u8]) -> Result<Self, AddressError> {
        if bytes.len() + "<>".len() > MAX_PATH {
            return Err(AddressError::TooLong);
        }
        let mut scanner = Scanner::new(bytes)?;
        let address = scanner.mailbox()?;
        if scanner.rest.is_empty() { Ok(address) } else { Err(AddressError::LocalPart) }
    }
}

impl FromStr for Address {
    type Err = AddressError;

    fn from_str(text: &str) -> Result<Self, AddressError> {
        Self::parse(text.as_bytes())
    }
}

impl fmt::Display for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if is_dot_string(&self.local) {
            f.write_str(&self.local)?;
        } else {
            f.write_str("\"")?;
            for c in self.local.chars() {
                if matches!(c, '"' | '\\') {
                    f.write_str("\\")?;
                }
                write!(f, "{c}")?;
            }
            f.write_str("\"")?;
        }
        match &self.domain {
            Some(domain) => write!(f, "@{domain}"),
            None => Ok(()),
        }
    }
}

/// The sender of a message: an address, or the null path `<>` of notifications.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum ReversePath {
    /// `<>` (RFC 5321 section 4.5.5).
    Null,
    /// An ordinary sender.
    Mailbox(Address),
}

impl ReversePath {
    /// Reads a path in angle brackets; returns what follows it.
    ///
    /// # Errors
    /// What is wrong with it.
    pub fn parse_prefix(bytes: &[u8]) -> Result<(Self, &[u8]), AddressError> {
        // A bare MAILER-DAEMON is what some old systems say for it; nobody can be answered there either.
        const DAEMON: &[u8] = b"<MAILER-DAEMON>";
        let null = [2, DAEMON.len()].into_iter().find_map(|length| {
            let (path, rest) = bytes.split_at_checked(length)?;
            (path == b"<>" || path.eq_ignore_ascii_case(DAEMON)).then_some(rest)
        });
        match null {
            Some(rest) => Ok((Self::Null, rest)),
            None => parse_path(bytes).map(|(address, rest)| (Self::Mailbox(address), rest)),
        }
    }

    /// The address, unless the path is null.
    #[must_use]
    pub fn address(&self) -> Option<&Address> {
        match self {
            Self::Null => None,
            Self::Mailbox(address) => Some(address),
        }
    }

    /// Whether it can be written without SMTPUTF8.
    #[must_use]
    pub fn is_ascii(&self) -> bool {
        self.address().is_none_or(Address::is_ascii)
    }
}

impl fmt::Display for ReversePath {
    /// Always in angle brackets.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Null => f.write_str("<>"),
            Self::Mailbox(address) => write!(f, "<{address}>"),
        }
    }
}

/// Reads a forward path in angle brackets, its source route read over as RFC 5321 section 4.1.1.3
/// (appendix C) allows; returns what follows it. `<postmaster>` alone needs no domain.
///
/// # Errors
/// What is wrong with it.
pub fn parse_path(bytes: &[u8]) -> Result<(Address, &[u8]), AddressError> {
    let inside = bytes.strip_prefix(b"<").ok_or(AddressError::Brackets)?;
    if inside.first() == Some(&b'>') {
        return Err(AddressError::Empty);
    }
    let mut scanner = Scanner::new(inside)?;
    scanner.source_route()?;
    let address = scanner.mailbox()?;
    let after = scanner.rest.strip_prefix('>').ok_or(AddressError::Brackets)?;
    let path = bytes.len() - after.len();
    if path > MAX_PATH {
        return Err(AddressError::TooLong);
    }
    Ok((address, after.as_bytes()))
}

/// A reader over what is left of the text.
struct Scanner<'a> {
    rest: &'a str,
}

impl<'a> Scanner<'a> {
    fn new(bytes: &'a [u8]) -> Result<Self, AddressError> {
        std::str::from_utf8(bytes).map(|rest| Self { rest }).map_err(|_| AddressError::Encoding)
    }

    /// Takes the longest run of characters that `wanted` accepts.
    fn take_while(&mut self, wanted: impl Fn(char) -> bool) -> &'a str {
        let end = self.rest.find(|c| !wanted(c)).unwrap_or(self.rest.len());
        let (taken, rest) = self.rest.split_at(end);
        self.rest = rest;
        taken
    }

    fn skip(&mut self, wanted: char) -> bool {
        self.rest.strip_prefix(wanted).map(|rest| self.rest = rest).is_some()
    }

    /// `A-d-l ":"`: read and forgotten.
    fn source_route(&mut self) -> Result<(), AddressError> {
        if !self.rest.starts_with('@') {
            return Ok(());
        }
        loop {
            if !self.skip('@') {
                return Err(AddressError::Domain);
            }
            self.domain()?;
            if self.skip(':') {
                return Ok(());
            }
            if !self.skip(',') {
                return Err(AddressError::Domain);
            }
        }
    }

    fn mailbox(&mut self) -> Result<Address, AddressError> {
        let local = if self.rest.starts_with('"') { self.quoted_string()? } else { self.dot_string()? };
        if local.len() > MAX_LOCAL_PART {
            return Err(AddressError::TooLong);
        }
        if self.skip('@') {
            return Ok(Address { local, domain: Some(self.domain()?) });
        }
        if local.eq_ignore_ascii_case("postmaster") {
            return Ok(Address { local, domain: None });
        }
        Err(AddressError::NoDomain)
    }

    fn dot_string(&mut self) -> Result<String, AddressError> {
        let text = self.take_while(|c| is_atext(c) || c == '.');
        if is_dot_string(text) { Ok(text.to_owned()) } else { Err(AddressError::LocalPart) }
    }

    fn quoted_string(&mut self) -> Result<String, AddressError> {
        let mut text = String::new();
        let mut chars = self.rest.char_indices().skip(1);
        while let Some((at, c)) = chars.next() {
            match c {
                '"' if text.is_empty() => return Err(AddressError::LocalPart),
                '"' => {
                    self.rest = self.rest.get(at + 1..).unwrap_or_default();
                    return Ok(text);
                }
                '\\' => match chars.next() {
                    Some((_, quoted @ ' '..='~')) => text.push(quoted),
                    _ => return Err(AddressError::LocalPart),
                },
                ' '..='~' => text.push(c),
                _ if is_utf8_text(c) => text.push(c),
                _ => return Err(AddressError::LocalPart),
            }
        }
        Err(AddressError::LocalPart)
    }

    fn domain(&mut self) -> Result<Domain, AddressError> {
        if self.rest.starts_with('[') {
            let end = self.rest.find(']').ok_or(AddressError::Domain)?;
            let (literal, rest) = self.rest.split_at(end + 1);
            self.rest = rest;
            return literal.parse();
        }
        self.take_while(|c| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.') || is_utf8_text(c))
            .parse()
    }
}

/// `Dot-string` of RFC 5321 section 4.1.2: atoms with single dots between them.
fn is_dot_string(text: &str) -> bool {
    text.split('.').all(|atom| !atom.is_empty() && atom.chars().all(is_atext))
}

/// `atext` of RFC 5322 section 3.2.3, extended by RFC 6531 section 3.3.
fn is_atext(c: char) -> bool {
    c.is_ascii_alphanumeric() || "!#$%&'*+-/=?^_`{|}~".contains(c) || is_utf8_text(c)
}

impl Serialize for Address {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Address {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        text.parse().map_err(|fault| serde::de::Error::custom(format_args!("\"{text}\": {fault}")))
    }
}
