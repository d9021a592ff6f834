//! What stands behind a key: sendmail's words, and errors with what the client is told.

use std::fmt;

use smap_common::status::Status;

use crate::nearest;
use crate::reply::{Reply, ReplyError, begins_with_code};

const WORDS: [&str; 6] = ["RELAY", "REJECT", "DISCARD", "OK", "SKIP", "ERROR:"];

/// Words that sendmail knows here and that say nothing to us.
const SENDMAILS: [&str; 6] = ["QUARANTINE", "FRIEND", "HATER", "SPAMFRIEND", "SPAMHATER", "SUBJECT"];

/// What a row says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Value {
    /// Mail from this client, or for this domain, may pass through us.
    Relay,
    /// Refused, in our words.
    Reject,
    /// Accepted and thrown away.
    Discard,
    /// Accepted, whatever a less specific row says.
    Ok,
    /// No further key is looked up, as if there were no row.
    Skip,
    /// Refused, in the row's words.
    Error(Reply),
}

/// Why a value says nothing.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ValueError {
    /// One of sendmail's that has no meaning here.
    Sendmails(String),
    /// Not known.
    Unknown(String),
    /// Something behind a word that stands alone.
    Behind(&'static str),
    /// What the client would be told is no reply.
    Reply(ReplyError),
}

impl fmt::Display for ValueError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Sendmails(word) => write!(f, "{word} is sendmail's, and nothing that smap does"),
            Self::Unknown(word) => {
                let words = WORDS.map(str::to_ascii_lowercase);
                let near = nearest::nearest(word, words.iter().map(String::as_str));
                let hint =
                    near.map(|near| nearest::did_you_mean(near.to_ascii_uppercase())).unwrap_or_default();
                write!(f, "\"{word}\" is neither one of {} nor a code and a text{hint}", WORDS.join(", "))
            }
            Self::Behind(word) => {
                write!(f, "nothing may stand behind {word} (a comment stands on a line of its own)")
            }
            Self::Reply(fault) => fault.fmt(f),
        }
    }
}

impl std::error::Error for ValueError {}

impl Value {
    /// Reads what stands behind a key.
    ///
    /// # Errors
    /// What is wrong with it.
    pub fn read(text: &str) -> Result<Self, ValueError> {
        if let Some(rest) = text.get(..6).filter(|tag| tag.eq_ignore_ascii_case("ERROR:")).and(text.get(6..))
        {
            return error(rest);
        }
        if begins_with_code(text) {
            return Reply::read(None, text).map(Self::Error).map_err(ValueError::Reply);
        }
        let (word, behind) = text.split_once([' ', '\t']).unwrap_or((text, ""));
        let (name, value) = match word.to_ascii_uppercase().as_str() {
            "RELAY" => ("RELAY", Self::Relay),
            "REJECT" => ("REJECT", Self::Reject),
            "DISCARD" => ("DISCARD", Self::Discard),
            "OK" => ("OK", Self::Ok),
            "SKIP" => ("SKIP", Self::Skip),
            other => return Err(not_ours(word, other)),
        };
        if behind.is_empty() { Ok(value) } else { Err(ValueError::Behind(name)) }
    }

    /// Whether it turns away those whom it means.
    #[must_use]
    pub fn refuses(&self) -> bool {
        matches!(self, Self::Reject | Self::Discard | Self::Error(_))
    }
}

fn not_ours(word: &str, upper: &str) -> ValueError {
    let first = upper.split(':').next().unwrap_or_default();
    if SENDMAILS.contains(&first) {
        return ValueError::Sendmails(first.to_owned());
    }
    ValueError::Unknown(word.to_owned())
}

/// `[D.S.N:][code ]text`
fn error(text: &str) -> Result<Value, ValueError> {
    let said = text.split_once(':').and_then(|(word, rest)| Some((word.parse::<Status>().ok()?, rest)));
    let (said, rest) = said.map_or((None, text), |(status, rest)| (Some((status, None)), rest));
    Reply::read(said, rest).map(Value::Error).map_err(ValueError::Reply)
}

impl fmt::Display for Value {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Relay => f.write_str("RELAY"),
            Self::Reject => f.write_str("REJECT"),
            Self::Discard => f.write_str("DISCARD"),
            Self::Ok => f.write_str("OK"),
            Self::Skip => f.write_str("SKIP"),
            Self::Error(reply) => write!(f, "ERROR:{}:{} {}", reply.status, reply.code, reply.text),
        }
    }
}
