//! Names of hosts and domains as they are asked for and told.

use std::fmt;
use std::str::FromStr;

use crate::address::Domain;

/// A name: labels of letters, digits, hyphens and underscores, or of other scripts; lower-case, at most 255 octets,
/// without a dot at its end. The root is `.`.
///
/// Whatever else stands in a packet of the DNS is no name to us: it could forge a line of a log, or be an address.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Name(String);

/// A text is no name.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct BadName;

impl fmt::Display for BadName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("this is not a name that can be looked up")
    }
}

impl std::error::Error for BadName {}

impl Name {
    /// The name of everything.
    #[must_use]
    pub fn root() -> Self {
        Self(".".to_owned())
    }

    /// Whether it is the root: as a mail exchanger, none.
    #[must_use]
    pub fn is_root(&self) -> bool {
        self.0 == "."
    }

    /// Its text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl AsRef<str> for Name {
    fn as_ref(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for Name {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl FromStr for Name {
    type Err = BadName;

    /// In any case, with or without a dot at its end.
    fn from_str(text: &str) -> Result<Self, BadName> {
        if text == "." {
            return Ok(Self::root());
        }
        let text = text.strip_suffix('.').unwrap_or(text);
        let domain: Domain = text.parse().map_err(|_| BadName)?;
        domain.name().map(|name| Self(name.to_owned())).ok_or(BadName)
    }
}
