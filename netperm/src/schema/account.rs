//! A user or a group.

use std::fmt;

use serde::de::{Deserialize, Deserializer};

use crate::table::word;

/// A user or a group, by number or by a name that is not resolved here.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Account {
    /// A number.
    Id(u32),
    /// A name.
    Name(String),
}

impl Account {
    fn read(text: &str) -> Result<Self, String> {
        let of_name = |c: char| c.is_ascii_alphanumeric() || matches!(c, '_' | '-' | '.');
        if !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit()) {
            // The largest number means "leave as it is" to setresuid(2).
            let id = text.parse().ok().filter(|id| *id != u32::MAX);
            return id.map(Self::Id).ok_or_else(|| format!("\"{text}\" is too large"));
        }
        if text.starts_with(|c: char| c.is_ascii_alphabetic() || c == '_') && text.chars().all(of_name) {
            return Ok(Self::Name(text.to_owned()));
        }
        Err(format!("\"{text}\" is neither a number nor a name"))
    }
}

impl<'de> Deserialize<'de> for Account {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        word(deserializer, Self::read)
    }
}

impl fmt::Display for Account {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Id(id) => id.fmt(f),
            Self::Name(name) => name.fmt(f),
        }
    }
}
