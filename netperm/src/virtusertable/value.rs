//! What stands behind a key: an address, in which `%1`, `%2` and `%3` may stand, or `error:`.

use std::fmt;

use smap_common::address::{Address, AddressError, Domain};

use crate::mailertable::{ValueError, error_value};
use crate::transport::Transport;

/// What a row says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Value {
    /// Another address.
    Address(Template),
    /// Nobody, and what the sender is told.
    Error(Transport),
}

/// An address with `%1`, `%2` and `%3`, whose local part is without quotes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Template {
    local: String,
    /// None: a user at home.
    domain: Option<String>,
}

/// What `%1`, `%2` and `%3` stand for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Arguments<'a>(pub(super) [&'a str; 3]);

/// Stands for anyone while a row is judged.
const SAMPLE: Arguments<'_> = Arguments(["x", "y", "+y"]);

/// Why a value says nothing.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum BadValue {
    /// A list.
    Several,
    /// A program, a file or a list, which aliases may name.
    Delivery,
    /// Not an address.
    Address(String, AddressError),
    /// A route of one of the old kinds without a domain.
    Route(String),
    /// `%0`, `%4`, ...
    Percent(char),
    /// The sender would choose where his mail goes.
    OpenDomain(String),
    /// Not an error.
    Error(ValueError),
}

impl fmt::Display for BadValue {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Several => f.write_str(
                "one address may stand here: name an alias, which may have several (a comment stands on a line \
                 of its own)",
            ),
            Self::Delivery => {
                f.write_str("no program, file or list may stand here: name an alias that leads there")
            }
            Self::Address(text, fault) => write!(f, "\"{text}\": {fault}"),
            Self::Route(text) => write!(f, "\"{text}\" is a route: write it as user@domain"),
            Self::Percent(digit) => write!(f, "%{digit} stands for nothing here"),
            Self::OpenDomain(domain) => write!(
                f,
                "\"{domain}\": whoever writes to this address would choose the domain: end it with one of yours"
            ),
            Self::Error(fault) => fault.fmt(f),
        }
    }
}

impl Value {
    pub(super) fn read(text: &str) -> Result<Self, BadValue> {
        match text.split_once(':') {
            Some((word, rest)) if word.eq_ignore_ascii_case("error") => {
                error_value(rest).map(Self::Error).map_err(BadValue::Error)
            }
            _ => Template::read(text).map(Self::Address),
        }
    }
}

impl Template {
    fn read(text: &str) -> Result<Self, BadValue> {
        if text.starts_with(['|', '/', ':', '\\']) || text.starts_with("\"|") || text.starts_with("\"/") {
            return Err(BadValue::Delivery);
        }
        let quoted = text.starts_with('"');
        if !quoted && text.contains([' ', '\t', ',']) {
            return Err(BadValue::Several);
        }
        let (local, domain) = match text.rsplit_once('@') {
            Some((local, domain)) if !domain.contains('"') => (local, Some(domain)),
            Some(_) | None => (text, None),
        };
        if domain.is_none() && has_route(local) {
            return Err(BadValue::Route(text.to_owned()));
        }
        if let Some(domain) = domain.filter(|domain| is_open(domain)) {
            return Err(BadValue::OpenDomain(domain.to_owned()));
        }
        let local = match quoted {
            true => unquoted(local).map_err(|fault| BadValue::Address(text.to_owned(), fault))?,
            false => local.to_owned(),
        };
        let template = Self { local, domain: domain.map(str::to_owned) };
        template.judged(text, quoted)
    }

    /// Whether it makes an address for someone.
    fn judged(self, text: &str, quoted: bool) -> Result<Self, BadValue> {
        let local = fill(&self.local, &SAMPLE)?;
        let domain = self.domain.as_deref().map_or(Ok("x".to_owned()), |domain| fill(domain, &SAMPLE))?;
        let address = match quoted {
            true => domain.parse().and_then(|domain| Address::new(&local, domain)),
            // What is not quoted must need no quotes.
            false => format!("{local}@{domain}").parse(),
        };
        address.map(|_| self).map_err(|fault| BadValue::Address(text.to_owned(), fault))
    }

    /// The address for these arguments, which become parts of a local part or labels of a name and nothing else.
    pub(super) fn address(&self, arguments: &Arguments<'_>, home: &Domain) -> Option<Address> {
        let local = fill(&self.local, arguments).ok()?;
        let domain = match &self.domain {
            Some(domain) => fill(domain, arguments).ok()?.parse().ok()?,
            None => home.clone(),
        };
        Address::new(&local, domain).ok()
    }

    /// The address, if it is the same one for everybody.
    pub(super) fn fixed(&self, home: &Domain) -> Option<Address> {
        let is_fixed = |text: &str| !text.replace("%%", "").contains('%');
        let fixed = is_fixed(&self.local) && self.domain.as_deref().is_none_or(is_fixed);
        fixed.then(|| self.address(&SAMPLE, home)).flatten()
    }
}

/// `user%host` and `host!user`, where `%1` is none.
fn has_route(local: &str) -> bool {
    let mut chars = local.chars().peekable();
    while let Some(c) = chars.next() {
        match c {
            '!' => return true,
            '%' if chars.next_if(char::is_ascii_digit).is_none() => return true,
            _ => {}
        }
    }
    false
}

/// Whether an argument stands in the last two labels, so that a sender could name any domain.
fn is_open(domain: &str) -> bool {
    let mut labels = domain.rsplit('.');
    domain.contains('%') && (labels.by_ref().take(2).any(|label| label.contains('%')))
}

fn unquoted(local: &str) -> Result<String, AddressError> {
    format!("{local}@x").parse().map(|address: Address| address.local_part().to_owned())
}

/// A text with its arguments put in their places and `%%` for a `%`; any other `%` stays, as in sendmail's maps.
fn fill(text: &str, Arguments([first, second, third]): &Arguments<'_>) -> Result<String, BadValue> {
    let mut filled = String::new();
    let mut chars = text.chars().peekable();
    while let Some(c) = chars.next() {
        let next = chars.next_if(|next| c == '%' && (*next == '%' || next.is_ascii_digit()));
        match next {
            None | Some('%') => filled.push(c),
            Some('1') => filled.push_str(first),
            Some('2') => filled.push_str(second),
            Some('3') => filled.push_str(third),
            Some(digit) => return Err(BadValue::Percent(digit)),
        }
    }
    Ok(filled)
}
