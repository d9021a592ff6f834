//! Which domains are meant, and what becomes of their mail: the `domain` lines.

use std::fmt;
use std::str::FromStr;

use serde::de::{Deserialize, Deserializer, Error as _};
use smap_common::address::{AddressError, Domain};

use crate::nearest;
use crate::place::Located;
use crate::table::Words;
use crate::transport::{self, Transport};

/// Domains that a line means.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum DomainPattern {
    /// `example.com`, `[192.0.2.1]`: this one.
    Exact(Domain),
    /// `.example.com`: every name below, not the name itself.
    Below(Domain),
}

impl DomainPattern {
    /// Whether the domain is meant.
    #[must_use]
    pub fn matches(&self, domain: &Domain) -> bool {
        match self {
            Self::Exact(exact) => exact == domain,
            Self::Below(parent) => match (parent.name(), domain.name()) {
                (Some(parent), Some(name)) => {
                    name.strip_suffix(parent).is_some_and(|below| below.len() > 1 && below.ends_with('.'))
                }
                _ => false,
            },
        }
    }
}

impl DomainPattern {
    /// Whether every domain that the other means is meant.
    #[must_use]
    pub fn covers(&self, other: &Self) -> bool {
        match (self, other) {
            (_, Self::Exact(domain)) => self.matches(domain),
            (Self::Below(parent), Self::Below(below)) => parent == below || self.matches(below),
            (Self::Exact(_), Self::Below(_)) => false,
        }
    }
}

/// Why a word is no domain pattern.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum DomainPatternError {
    /// A `*`: here a leading dot says it.
    Star,
    /// Not a domain.
    Domain(AddressError),
}

impl fmt::Display for DomainPatternError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Star => f.write_str("no * here: .example.com means every name below example.com"),
            Self::Domain(fault) => fault.fmt(f),
        }
    }
}

impl std::error::Error for DomainPatternError {}

impl FromStr for DomainPattern {
    type Err = DomainPatternError;

    fn from_str(text: &str) -> Result<Self, DomainPatternError> {
        if text.contains('*') {
            return Err(DomainPatternError::Star);
        }
        let (below, domain) = match text.strip_prefix('.') {
            Some(parent) => (true, parent),
            None => (false, text),
        };
        let domain: Domain = domain.parse().map_err(DomainPatternError::Domain)?;
        match (below, domain.literal()) {
            (true, Some(_)) => Err(DomainPatternError::Domain(AddressError::Domain)),
            (true, None) => Ok(Self::Below(domain)),
            (false, _) => Ok(Self::Exact(domain)),
        }
    }
}

impl fmt::Display for DomainPattern {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Exact(domain) => domain.fmt(f),
            Self::Below(parent) => write!(f, ".{parent}"),
        }
    }
}

/// `domain PATTERN... TRANSPORT`
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DomainLine {
    /// The domains that the gateway answers for. Never empty.
    pub patterns: Vec<DomainPattern>,
    /// Where their mail goes.
    pub transport: Transport,
}

/// The first line that means the domain.
#[must_use]
pub fn first_line<'a>(lines: &'a [Located<DomainLine>], domain: &Domain) -> Option<&'a Located<DomainLine>> {
    lines.iter().find(|line| line.patterns.iter().any(|pattern| pattern.matches(domain)))
}

impl DomainLine {
    fn from_words(words: &[String]) -> Result<Self, String> {
        let Some(at) = words.iter().position(|word| transport::begins(word)) else {
            return Err(no_transport(words));
        };
        let (patterns, transport) = words.split_at(at);
        if patterns.is_empty() {
            return Err("a domain must stand before the transport".to_owned());
        }
        let read = |word: &String| word.parse().map_err(|fault| format!("\"{word}\": {fault}"));
        Ok(Self {
            patterns: patterns.iter().map(read).collect::<Result<_, _>>()?,
            transport: Transport::from_words(transport).map_err(|fault| fault.to_string())?,
        })
    }
}

fn no_transport(words: &[String]) -> String {
    match words.last() {
        None => "a domain and a transport are missing".to_owned(),
        Some(last) => {
            let hint = nearest::hint(last, transport::WORDS);
            format!("no transport follows, such as smtp:[10.0.0.5] or sendmail{hint}")
        }
    }
}

impl<'de> Deserialize<'de> for DomainLine {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        Self::from_words(&Words::deserialize(deserializer)?.0).map_err(D::Error::custom)
    }
}

impl fmt::Display for DomainLine {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for pattern in &self.patterns {
            write!(f, "{pattern} ")?;
        }
        write!(f, "{}", self.transport)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn meant(pattern: &str, domain: &str) -> bool {
        pattern.parse::<DomainPattern>().unwrap().matches(&domain.parse().unwrap())
    }

    #[test]
    fn a_name_means_itself_in_any_case() {
        assert!(meant("Example.COM", "example.com"));
        assert!(!meant("example.com", "mail.example.com"));
        assert!(!meant("example.com", "notexample.com"));
        assert!(meant("[192.0.2.1]", "[192.0.2.1]"));
        assert!(meant("[IPv6:2001:DB8::1]", "[IPv6:2001:db8:0::1]"));
    }

    #[test]
    fn a_leading_dot_means_every_name_below_and_not_the_name_itself() {
        assert!(meant(".example.com", "mail.example.com"));
        assert!(meant(".example.com", "a.b.EXAMPLE.com"));
        assert!(!meant(".example.com", "example.com"));
        assert!(!meant(".example.com", "notexample.com"));
        assert!(!meant(".1", "[192.0.2.1]"));
    }

    #[test]
    fn what_is_no_domain_is_an_error() {
        for text in
            ["", ".", "..com", "*", "*.example.com", ".[192.0.2.1]", "exa mple", "-a", "[1.2.3]", "a@b"]
        {
            assert!(text.parse::<DomainPattern>().is_err(), "{text}");
        }
    }
}
