//! What the table says of masquerading.

use std::fmt;

use serde::de::{Deserialize, Deserializer, Error as _};
use smap_common::address::Domain;

use super::values::named;
use crate::domains::DomainPattern;
use crate::table::{Words, Written, word};

/// The domain that is seen: ASCII, as any message can have it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Face(pub Domain);

impl<'de> Deserialize<'de> for Face {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        word(deserializer, |text| {
            let domain: Domain = text.parse().map_err(|fault| format!("\"{text}\": {fault}"))?;
            match domain.name() {
                Some(name) if name.is_ascii() => Ok(Self(domain)),
                _ => Err(named(text, "is not the name of a domain in ASCII, such as example.com")),
            }
        })
    }
}

impl fmt::Display for Face {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// `masquerade-domain DOMAIN...`
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Patterns(pub Vec<DomainPattern>);

impl<'de> Deserialize<'de> for Patterns {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let Words(words) = Words::deserialize(deserializer)?;
        if words.is_empty() {
            return Err(D::Error::custom("a domain is missing"));
        }
        let read = |word: &String| {
            word.parse().map_err(|fault| D::Error::custom(format_args!("\"{word}\": {fault}")))
        };
        words.iter().map(read).collect::<Result<_, _>>().map(Self)
    }
}

impl fmt::Display for Patterns {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let patterns: Vec<String> = self.0.iter().map(ToString::to_string).collect();
        f.write_str(&patterns.join(" "))
    }
}

/// `exposed-user NAME...`
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Users(pub Vec<String>);

impl<'de> Deserialize<'de> for Users {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let Words(words) = Words::deserialize(deserializer)?;
        if words.is_empty() {
            return Err(D::Error::custom("a user is missing"));
        }
        match words.iter().find(|word| word.contains('@') || word.is_empty()) {
            Some(word) => Err(D::Error::custom(named(word, "is not a user: what stands before the @ is"))),
            None => Ok(Self(words)),
        }
    }
}

impl fmt::Display for Users {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let users: Vec<String> = self.0.iter().map(|user| Written(user).to_string()).collect();
        f.write_str(&users.join(" "))
    }
}

/// An attribute without arguments: it stands there or not.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Said;

impl<'de> Deserialize<'de> for Said {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let Words(words) = Words::deserialize(deserializer)?;
        match words.first() {
            None => Ok(Self),
            Some(word) => Err(D::Error::custom(named(word, "stands behind it, which takes no argument"))),
        }
    }
}
