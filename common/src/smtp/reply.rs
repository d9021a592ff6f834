#![deny(clippy::disallowed_methods)]
//! A server's reply, read by the client (RFC 5321 section 4.2).
//!
//! Trusts nothing. Guarantees that memory is bounded whatever the server sends, and that the text holds no
//! octet that could forge a log line or a header of a report.

use std::fmt;

use crate::status::{Class, Status};

#[cfg(test)]
mod tests;

/// Longest reply line with its CRLF: RFC 5321 section 4.5.3.1.5 says 512, some servers say more.
pub const MAX_LINE: usize = 2048;
/// Most octets of one reply, over all its lines.
pub const MAX_REPLY: usize = 16 * 1024;
/// Most octets of text that are shown.
pub const MAX_TEXT: usize = 1024;

const _: () = assert!(MAX_LINE < MAX_REPLY);

/// A whole reply, its text made safe.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Reply {
    /// 200 to 599.
    pub code: u16,
    /// The enhanced code at the head of its text, if its class agrees with `code` (RFC 2034 section 4).
    pub status: Option<Status>,
    /// The text of its lines. Printable ASCII, `?` for what was not; without codes.
    pub lines: Vec<String>,
}

impl Reply {
    /// Whether it is 2yz.
    #[must_use]
    pub fn is_success(&self) -> bool {
        self.code / 100 == 2
    }

    /// What it says of the command, by its first digit: 3yz is an intermediate success.
    #[must_use]
    pub fn class(&self) -> Class {
        match self.code / 100 {
            2 | 3 => Class::Success,
            4 => Class::Transient,
            _ => Class::Permanent,
        }
    }

    /// The enhanced status, or the general one of its class.
    #[must_use]
    pub fn status_or_general(&self) -> Status {
        self.status.unwrap_or(Status::new(self.class(), 0, 0))
    }
}

impl fmt::Display for Reply {
    /// On one line, up to [`MAX_TEXT`]: `550 5.1.1 first line second line`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.code)?;
        if let Some(status) = self.status {
            write!(f, " {status}")?;
        }
        let mut shown = 0;
        for line in self.lines.iter().filter(|line| !line.is_empty()) {
            if shown >= MAX_TEXT {
                break;
            }
            shown += line.len() + 1;
            write!(f, " {line}")?;
        }
        Ok(())
    }
}

/// What the server sent is not SMTP.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ReplyError {
    /// A line does not begin with a code, or the code changes from line to line.
    Malformed,
    /// A line or the whole reply is longer than we read.
    TooLong,
}

impl fmt::Display for ReplyError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Malformed => "the server's reply is malformed",
            Self::TooLong => "the server's reply is too long",
        })
    }
}

impl std::error::Error for ReplyError {}

/// Puts replies together from what arrives.
#[derive(Debug, Default)]
pub struct ReplyReader {
    buffer: Vec<u8>,
    reply: Option<Reply>,
    octets: usize,
}

impl ReplyReader {
    /// Takes what arrived.
    pub fn receive(&mut self, octets: &[u8]) {
        self.buffer.extend_from_slice(octets);
    }

    /// Whether anything is there that was not asked for yet.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.buffer.is_empty() && self.reply.is_none()
    }

    /// The next whole reply, if it is there. Lines may end in a bare LF: servers are not what we defend.
    ///
    /// # Errors
    /// The server does not speak SMTP.
    pub fn next_reply(&mut self) -> Result<Option<Reply>, ReplyError> {
        while let Some(end) = memchr::memchr(b'\n', &self.buffer) {
            if end >= MAX_LINE {
                return Err(ReplyError::TooLong);
            }
            let line: Vec<u8> = self.buffer.drain(..=end).collect();
            self.octets += line.len();
            if self.octets > MAX_REPLY {
                return Err(ReplyError::TooLong);
            }
            if let Some(reply) = self.line(line.trim_ascii_end())? {
                return Ok(Some(reply));
            }
        }
        if self.buffer.len() >= MAX_LINE { Err(ReplyError::TooLong) } else { Ok(None) }
    }

    fn line(&mut self, line: &[u8]) -> Result<Option<Reply>, ReplyError> {
        let (code, rest) = line.split_at_checked(3).ok_or(ReplyError::Malformed)?;
        let code = match code {
            [b'2'..=b'5', b'0'..=b'9', b'0'..=b'9'] => {
                code.iter().fold(0, |number, digit| number * 10 + u16::from(digit - b'0'))
            }
            _ => return Err(ReplyError::Malformed),
        };
        let (goes_on, text) = match rest.split_first() {
            None => (false, rest),
            Some((b' ', text)) => (false, text),
            Some((b'-', text)) => (true, text),
            Some(_) => return Err(ReplyError::Malformed),
        };
        let reply = self.reply.get_or_insert_with(|| Reply { code, status: None, lines: Vec::new() });
        if reply.code != code {
            return Err(ReplyError::Malformed);
        }
        let (status, text) = split_status(&printable(text), reply.class());
        reply.status = reply.status.or(status);
        reply.lines.push(text);
        if goes_on {
            return Ok(None);
        }
        self.octets = 0;
        Ok(self.reply.take())
    }
}

/// The text with everything but printable ASCII replaced.
fn printable(text: &[u8]) -> String {
    text.iter().take(MAX_TEXT).map(|&b| if matches!(b, b' '..=b'~') { char::from(b) } else { '?' }).collect()
}

fn split_status(text: &str, class: Class) -> (Option<Status>, String) {
    let (word, rest) = text.split_once(' ').unwrap_or((text, ""));
    match word.parse::<Status>() {
        Ok(status) if status.class() == class => (Some(status), rest.trim_start().to_owned()),
        _ => (None, text.to_owned()),
    }
}
