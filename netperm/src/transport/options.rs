//! The `key=value` options that stand between the first word of a transport and its arguments.

use std::fmt;
use std::time::Duration;

use super::TransportError;
use crate::units;

/// Whether TLS is asked for on the way out.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub enum Tls {
    /// Never.
    Off,
    /// Where it is offered; whoever answers is believed.
    #[default]
    Opportunistic,
    /// Always; whoever answers is believed.
    Require,
    /// Always, and only with a server whose certificate proves who it is.
    Verify,
}

impl Tls {
    /// Every word of `tls=`, with its meaning.
    pub(super) const WORDS: [(&'static str, Self); 4] = [
        ("off", Self::Off),
        ("opportunistic", Self::Opportunistic),
        ("require", Self::Require),
        ("verify", Self::Verify),
    ];
}

impl fmt::Display for Tls {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Off => "off",
            Self::Opportunistic => "opportunistic",
            Self::Require => "require",
            Self::Verify => "verify",
        })
    }
}

/// The options that were given.
#[derive(Debug, Default)]
pub(super) struct Options {
    pub(super) tls: Option<Tls>,
    pub(super) timeout: Option<Duration>,
}

impl Options {
    /// The options before the arguments, and the arguments.
    pub(super) fn before<'a>(
        words: &'a [String],
        known: &'static [&'static str],
    ) -> Result<(Self, &'a [String]), TransportError> {
        let mut options = Self::default();
        let mut rest = words;
        while let Some((word, after)) = rest.split_first() {
            if word == "--" {
                return Ok((options, after));
            }
            let Some((key, value)) = option(word) else { break };
            options.set(key, value, known)?;
            rest = after;
        }
        Ok((options, rest))
    }

    /// The options of a transport that takes no arguments.
    pub(super) fn alone(words: &[String], known: &'static [&'static str]) -> Result<Self, TransportError> {
        match Self::before(words, known)? {
            (options, []) => Ok(options),
            (_, [argument, ..]) => Err(TransportError::Argument(argument.clone())),
        }
    }

    fn set(&mut self, key: &str, value: &str, known: &'static [&'static str]) -> Result<(), TransportError> {
        if !known.contains(&key) {
            return Err(TransportError::UnknownOption(key.to_owned(), known));
        }
        let again = match key {
            "tls" => self.tls.replace(tls(value)?).is_some(),
            _ => self.timeout.replace(timeout(value)?).is_some(),
        };
        if again { Err(TransportError::RepeatedOption(key.to_owned())) } else { Ok(()) }
    }
}

/// The key and value of a word that is an option. A word that begins with a hyphen is an argument.
fn option(word: &str) -> Option<(&str, &str)> {
    let (key, value) = word.split_once('=')?;
    let of_key = |c: char| c.is_ascii_lowercase() || c == '-';
    let is_key = key.starts_with(|c: char| c.is_ascii_lowercase()) && key.chars().all(of_key);
    is_key.then_some((key, value))
}

/// Whether a first argument would be taken for an option, or for their end.
pub(super) fn ends_or_is_option(word: &str) -> bool {
    word == "--" || option(word).is_some()
}

fn tls(value: &str) -> Result<Tls, TransportError> {
    let known = Tls::WORDS.into_iter().find(|(word, _)| *word == value);
    known.map(|(_, tls)| tls).ok_or_else(|| TransportError::Tls(value.to_owned()))
}

fn timeout(value: &str) -> Result<Duration, TransportError> {
    units::duration(value).map_err(|fault| TransportError::Timeout(value.to_owned(), fault))
}
