//! The parameters of delivery status notifications (RFC 3461) and what they are made of.

use std::fmt;
use std::str::FromStr;

use crate::address::Address;

/// A parameter's value is not what RFC 3461 says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct BadValue;

impl fmt::Display for BadValue {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("bad parameter value")
    }
}

impl std::error::Error for BadValue {}

/// Text encoded as xtext (RFC 3461 section 4): only printable ASCII, whatever it stands for. It is kept and
/// passed on encoded, so that what it hides never reaches a header, a log line or the spool.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Xtext(String);

impl Xtext {
    /// The encoded form.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Encodes printable ASCII.
    fn encoded(text: &str) -> Option<Self> {
        let encode = |byte: u8| match byte {
            b'!'..=b'~' if !matches!(byte, b'+' | b'=') => char::from(byte).to_string(),
            _ => format!("+{byte:02X}"),
        };
        text.bytes().map(encode).collect::<String>().parse().ok()
    }

    /// Decoded for a report: `None` where the hidden octets are not printable ASCII.
    #[must_use]
    pub fn decoded(&self) -> Option<String> {
        let mut text = String::with_capacity(self.0.len());
        let mut rest = self.0.as_str();
        while let Some(c) = rest.chars().next() {
            rest = rest.get(1..)?;
            if c == '+' {
                let byte = u8::from_str_radix(rest.get(..2)?, 16).ok()?;
                rest = rest.get(2..)?;
                if !(b' '..=b'~').contains(&byte) {
                    return None;
                }
                text.push(char::from(byte));
            } else {
                text.push(c);
            }
        }
        Some(text)
    }
}

impl FromStr for Xtext {
    type Err = BadValue;

    fn from_str(text: &str) -> Result<Self, BadValue> {
        let mut bytes = text.bytes();
        while let Some(byte) = bytes.next() {
            let good = match byte {
                b'+' => [bytes.next(), bytes.next()]
                    .iter()
                    .all(|digit| matches!(digit, Some(b'0'..=b'9' | b'A'..=b'F'))),
                b'=' => false,
                _ => byte.is_ascii_graphic(),
            };
            if !good {
                return Err(BadValue);
            }
        }
        if text.is_empty() { Err(BadValue) } else { Ok(Self(text.to_owned())) }
    }
}

impl fmt::Display for Xtext {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// Longest ENVID, before decoding (RFC 3461 section 4.4).
pub const MAX_ENVID: usize = 100;
/// Longest ORCPT, with its address type (RFC 3461 section 4.2).
pub const MAX_ORCPT: usize = 500;

/// `ORCPT=addr-type;xtext` (RFC 3461 section 4.2; `utf-8` of RFC 6533 included).
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct OriginalRecipient {
    kind: String,
    address: Xtext,
}

impl OriginalRecipient {
    /// That of a recipient who was given without one; nothing where it has no place in this form.
    #[must_use]
    pub fn of(address: &Address) -> Option<Self> {
        if !address.is_ascii() {
            return None;
        }
        format!("rfc822;{}", Xtext::encoded(&address.to_string())?).parse().ok()
    }

    /// The address type, such as `rfc822`.
    #[must_use]
    pub fn kind(&self) -> &str {
        &self.kind
    }

    /// The address, encoded.
    #[must_use]
    pub fn address(&self) -> &Xtext {
        &self.address
    }
}

impl FromStr for OriginalRecipient {
    type Err = BadValue;

    fn from_str(text: &str) -> Result<Self, BadValue> {
        let (kind, address) = text.split_once(';').ok_or(BadValue)?;
        let atom = !kind.is_empty() && kind.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-');
        if !atom || text.len() > MAX_ORCPT {
            return Err(BadValue);
        }
        Ok(Self { kind: kind.to_owned(), address: address.parse()? })
    }
}

impl fmt::Display for OriginalRecipient {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{};{}", self.kind, self.address)
    }
}

/// `NOTIFY=`: when the sender wants to hear of a recipient (RFC 3461 section 4.1).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub enum Notify {
    /// Not said: failure and, if we like, delay.
    #[default]
    Unsaid,
    /// `NEVER`
    Never,
    /// Any of `SUCCESS`, `FAILURE`, `DELAY`.
    When {
        /// It was delivered.
        success: bool,
        /// It never will be.
        failure: bool,
        /// It takes longer than `warn`.
        delay: bool,
    },
}

impl Notify {
    /// Whether a success is reported: only where it was asked for.
    #[must_use]
    pub fn on_success(self) -> bool {
        match self {
            Self::Unsaid | Self::Never => false,
            Self::When { success, .. } => success,
        }
    }

    /// The same, of one of several who got what was sent to another: of him no success is reported.
    #[must_use]
    pub fn without_success(self) -> Self {
        match self {
            Self::Unsaid => Self::Unsaid,
            Self::Never | Self::When { failure: false, delay: false, .. } => Self::Never,
            Self::When { failure, delay, .. } => Self::When { success: false, failure, delay },
        }
    }

    /// Whether a failure is reported.
    #[must_use]
    pub fn on_failure(self) -> bool {
        match self {
            Self::Unsaid => true,
            Self::Never => false,
            Self::When { failure, .. } => failure,
        }
    }

    /// Whether a delay is reported.
    #[must_use]
    pub fn on_delay(self) -> bool {
        match self {
            Self::Unsaid => true,
            Self::Never => false,
            Self::When { delay, .. } => delay,
        }
    }
}

impl FromStr for Notify {
    type Err = BadValue;

    fn from_str(text: &str) -> Result<Self, BadValue> {
        if text.eq_ignore_ascii_case("NEVER") {
            return Ok(Self::Never);
        }
        let (mut success, mut failure, mut delay) = (false, false, false);
        for word in text.split(',') {
            let seen = match word.to_ascii_uppercase().as_str() {
                "SUCCESS" => &mut success,
                "FAILURE" => &mut failure,
                "DELAY" => &mut delay,
                _ => return Err(BadValue),
            };
            if std::mem::replace(seen, true) {
                return Err(BadValue);
            }
        }
        Ok(Self::When { success, failure, delay })
    }
}

impl fmt::Display for Notify {
    /// The parameter's value; nothing where it was not said.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match *self {
            Self::Unsaid => Ok(()),
            Self::Never => f.write_str("NEVER"),
            Self::When { success, failure, delay } => {
                let words = [(success, "SUCCESS"), (failure, "FAILURE"), (delay, "DELAY")];
                let said: Vec<&str> = words.into_iter().filter(|(on, _)| *on).map(|(_, word)| word).collect();
                f.write_str(&said.join(","))
            }
        }
    }
}

/// `RET=`: how much of the message a failure report gives back (RFC 3461 section 4.3).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Return {
    /// `FULL`
    Full,
    /// `HDRS`
    Headers,
}

impl FromStr for Return {
    type Err = BadValue;

    fn from_str(text: &str) -> Result<Self, BadValue> {
        match text.to_ascii_uppercase().as_str() {
            "FULL" => Ok(Self::Full),
            "HDRS" => Ok(Self::Headers),
            _ => Err(BadValue),
        }
    }
}

impl fmt::Display for Return {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Full => "FULL",
            Self::Headers => "HDRS",
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn xtext_hides_only_what_is_encoded() {
        let text: Xtext = "a+0AX-spam".parse().unwrap();
        assert_eq!(text.as_str(), "a+0AX-spam");
        assert_eq!(text.decoded(), None, "a hidden line end is never shown");
        assert_eq!("u+2Btag@x".parse::<Xtext>().unwrap().decoded().as_deref(), Some("u+tag@x"));
    }

    #[test]
    fn bad_xtext_is_refused() {
        for text in ["", "a=b", "a b", "a+", "a+4", "a+4g", "a+4a", "é", "a\r\nb"] {
            assert_eq!(text.parse::<Xtext>(), Err(BadValue), "{text:?}");
        }
    }

    #[test]
    fn notify_reads_back_as_it_was_written() {
        for text in ["NEVER", "SUCCESS", "SUCCESS,FAILURE,DELAY", "DELAY"] {
            assert_eq!(text.parse::<Notify>().unwrap().to_string(), text);
        }
        for text in ["", "NEVER,SUCCESS", "SUCCESS,SUCCESS", "FAIL", "SUCCESS,"] {
            assert_eq!(text.parse::<Notify>(), Err(BadValue), "{text:?}");
        }
    }

    #[test]
    fn an_original_recipient_needs_its_type() {
        assert_eq!("rfc822;a+40b".parse::<OriginalRecipient>().unwrap().to_string(), "rfc822;a+40b");
        for text in ["a@b", ";a@b", "rfc822;", "rf c;a", &format!("rfc822;{}", "a".repeat(500))] {
            assert_eq!(text.parse::<OriginalRecipient>(), Err(BadValue), "{text:?}");
        }
    }
}
