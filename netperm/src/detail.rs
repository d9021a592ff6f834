//! `user+detail`: what a user writes behind his name, and the character that begins it.

use std::fmt;

use serde::de::{Deserialize, Deserializer};

use crate::table::{Written, word};

/// The characters that may begin a detail: none that a local part, a table or a host gives another meaning.
const DELIMITERS: &str = "+-_=#~^";

/// `recipient-delimiter CHARACTER`, or `none`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Delimiter(Option<char>);

impl Default for Delimiter {
    fn default() -> Self {
        Self(Some('+'))
    }
}

impl Delimiter {
    /// The user and his detail, which may be empty; nothing where there is no delimiter behind a name.
    #[must_use]
    pub fn split(self, local_part: &str) -> Option<Split<'_>> {
        let delimiter = self.0?;
        let (at, _) = local_part.char_indices().skip(1).find(|(_, c)| *c == delimiter)?;
        let (user, with_delimiter) = local_part.split_at_checked(at)?;
        let detail = with_delimiter.strip_prefix(delimiter)?;
        Some(Split { user, delimiter, detail, with_delimiter })
    }

    /// A local part and what is left of it without its detail, in the order in which they are looked up.
    pub(crate) fn names(self, local_part: &str) -> impl Iterator<Item = &str> {
        std::iter::once(local_part).chain(self.split(local_part).map(|split| split.user))
    }

    fn read(text: &str) -> Result<Self, String> {
        let mut chars = text.chars();
        match (text, chars.next(), chars.next()) {
            ("none", ..) => Ok(Self(None)),
            (_, Some(c), None) if DELIMITERS.contains(c) => Ok(Self(Some(c))),
            _ => Err(format!("\"{text}\" is neither \"none\" nor one of the characters {DELIMITERS}")),
        }
    }
}

impl fmt::Display for Delimiter {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let written = self.0.map_or("none".to_owned(), String::from);
        Written(&written).fmt(f)
    }
}

impl<'de> Deserialize<'de> for Delimiter {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        word(deserializer, Self::read)
    }
}

/// A local part with a detail.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Split<'a> {
    /// What stands before the delimiter. Never empty.
    pub user: &'a str,
    /// The character between them.
    pub delimiter: char,
    /// What stands behind it.
    pub detail: &'a str,
    /// The same with the delimiter.
    pub with_delimiter: &'a str,
}

#[cfg(test)]
mod tests {
    use super::*;

    fn split(delimiter: &str, local_part: &str) -> Option<(String, String)> {
        let split = Delimiter::read(delimiter).unwrap();
        split.split(local_part).map(|split| (split.user.to_owned(), split.detail.to_owned()))
    }

    #[test]
    fn the_first_delimiter_behind_a_name_begins_the_detail() {
        let parts = |user: &str, detail: &str| Some((user.to_owned(), detail.to_owned()));
        assert_eq!(split("+", "joe+a+b"), parts("joe", "a+b"));
        assert_eq!(split("+", "joe+"), parts("joe", ""));
        assert_eq!(split("+", "++x"), parts("+", "x"));
        assert_eq!(split("+", "+x"), None);
        assert_eq!(split("-", "joe+a"), None);
        assert_eq!(split("-", "jo\u{e9}-a"), parts("jo\u{e9}", "a"));
        assert_eq!(split("none", "joe+a"), None);
    }

    #[test]
    fn a_character_with_another_meaning_is_no_delimiter() {
        for text in ["", "++", "%", "!", "@", ".", "*", "/", "|", "a", "\u{e9}"] {
            assert!(Delimiter::read(text).is_err(), "{text}");
        }
    }
}
