//! What a row of one of sendmail's tables has us answer: a code, a status and a text.
//!
//! Decides whether a text is a reply that may go over the wire: 4yz or 5yz, a status of the same class, one printable
//! line.
#![deny(clippy::disallowed_methods)]

use std::fmt;

use smap_common::status::{Class, Status};

/// Longest text, in octets: a line of a reply holds 512 (RFC 5321 section 4.5.3.1.5).
const MAX_TEXT: usize = 450;

/// What is said where nobody says anything, as sendmail has it.
const USUAL: (u16, u16) = (450, 553);

/// A refusal, for now or for good.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Reply {
    /// RFC 5321 section 4.2.
    pub code: u16,
    /// RFC 3463.
    pub status: Status,
    /// One line.
    pub text: String,
}

/// Why a text is no reply.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ReplyError {
    /// It begins with a number that refuses nothing.
    Code,
    /// The code is not of the class of its status.
    Class(u16, Status),
    /// A `%` and a digit that stand for nothing here.
    Percent(char),
    /// No text, or one that is not printable.
    Text,
    /// More than fits into a line.
    TooLong,
}

impl fmt::Display for ReplyError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Code => f.write_str("the code of an error is 4yz or 5yz"),
            Self::Class(code, status) => write!(f, "the code {code} does not go with the status {status}"),
            Self::Percent(digit) => write!(f, "%{digit} stands for nothing here"),
            Self::Text => f.write_str("the text of an error must be printable ASCII, and not empty"),
            Self::TooLong => write!(f, "the text of an error is longer than {MAX_TEXT} octets"),
        }
    }
}

impl std::error::Error for ReplyError {}

impl Reply {
    /// What is said where our own tables do not let us say more.
    pub(crate) fn later() -> Self {
        let text = "Local configuration error, try again later".to_owned();
        Self { code: 451, status: Status::transient(3, 5), text }
    }

    /// Reads `[code] [status] text`, perhaps in quotes; `said` is the status that stands before it, and its code.
    ///
    /// # Errors
    /// What is wrong with it.
    pub fn read(said: Option<(Status, Option<u16>)>, text: &str) -> Result<Self, ReplyError> {
        let rest = text.trim_ascii();
        let rest = rest.strip_prefix('"').and_then(|rest| rest.strip_suffix('"')).unwrap_or(rest);
        let (code, rest) = code(rest)?;
        let enhanced = code.and_then(|_| rest.split_once(' '));
        let enhanced = enhanced.and_then(|(status, rest)| Some((status.parse::<Status>().ok()?, rest)));
        let (status, text) = match enhanced {
            Some((status, text)) => (Some(status), text),
            None => (said.map(|(status, _)| status), rest),
        };
        let code = code.or(said.and_then(|(_, code)| code));
        let class = match (status, code) {
            (Some(status), _) => status.class(),
            (None, Some(code)) if code < 500 => Class::Transient,
            (None, _) => Class::Permanent,
        };
        let status = status.unwrap_or(Status::new(class, 0, 0));
        let code = code.unwrap_or(if class == Class::Transient { USUAL.0 } else { USUAL.1 });
        let goes_with = match class {
            Class::Success => false,
            Class::Transient => code < 500,
            Class::Permanent => code >= 500,
        };
        if !goes_with {
            return Err(ReplyError::Class(code, status));
        }
        one_line(text).map(|text| Self { code, status, text })
    }
}

impl fmt::Display for Reply {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {} {}", self.code, self.status, self.text)
    }
}

/// The code that a text begins with, if it does.
fn code(text: &str) -> Result<(Option<u16>, &str), ReplyError> {
    let (first, behind) = text.split_once(' ').unwrap_or((text, ""));
    match (begins_with_code(text), first.starts_with(['4', '5'])) {
        (true, true) => Ok((first.parse().ok(), behind.trim_ascii_start())),
        (true, false) => Err(ReplyError::Code),
        (false, _) => Ok((None, text)),
    }
}

/// Whether the first word is three digits.
pub(crate) fn begins_with_code(text: &str) -> bool {
    let first = text.split(' ').next().unwrap_or_default();
    first.len() == 3 && first.bytes().all(|byte| byte.is_ascii_digit())
}

/// A text with `%%` read as sendmail's maps do.
fn one_line(text: &str) -> Result<String, ReplyError> {
    let text = expand(text, None).map_err(ReplyError::Percent)?;
    if text.is_empty() || !text.bytes().all(|byte| byte == b' ' || byte.is_ascii_graphic()) {
        return Err(ReplyError::Text);
    }
    if text.len() > MAX_TEXT { Err(ReplyError::TooLong) } else { Ok(text) }
}

/// A text with `%1` and `%%` put in their places; any other `%` stays, as in sendmail's maps.
///
/// # Errors
/// The digit that stands for nothing.
pub(crate) fn expand(text: &str, wildcard: Option<&str>) -> Result<String, char> {
    let mut expanded = String::new();
    let mut chars = text.chars().peekable();
    while let Some(c) = chars.next() {
        let next = chars.next_if(|next| c == '%' && (*next == '%' || next.is_ascii_digit()));
        match (next, wildcard) {
            (None | Some('%'), _) => expanded.push(c),
            (Some('1'), Some(wildcard)) => expanded.push_str(wildcard),
            (Some(digit), _) => return Err(digit),
        }
    }
    Ok(expanded)
}
