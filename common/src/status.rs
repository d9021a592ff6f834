//! Enhanced mail system status codes (RFC 3463).

use std::fmt;
use std::str::FromStr;

/// What a status says about the message: the first digit of both kinds of code.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Class {
    /// `2`: done.
    Success,
    /// `4`: not now; try again.
    Transient,
    /// `5`: never as it is.
    Permanent,
}

impl Class {
    const fn digit(self) -> u8 {
        match self {
            Self::Success => 2,
            Self::Transient => 4,
            Self::Permanent => 5,
        }
    }
}

/// `class.subject.detail` (RFC 3463 section 2).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Status {
    class: Class,
    subject: u16,
    detail: u16,
}

impl Status {
    /// A status of the given numbers, each at most three digits.
    #[must_use]
    pub const fn new(class: Class, subject: u16, detail: u16) -> Self {
        Self { class, subject: subject % 1000, detail: detail % 1000 }
    }

    /// `2.subject.detail`
    #[must_use]
    pub const fn success(subject: u16, detail: u16) -> Self {
        Self::new(Class::Success, subject, detail)
    }

    /// `4.subject.detail`
    #[must_use]
    pub const fn transient(subject: u16, detail: u16) -> Self {
        Self::new(Class::Transient, subject, detail)
    }

    /// `5.subject.detail`
    #[must_use]
    pub const fn permanent(subject: u16, detail: u16) -> Self {
        Self::new(Class::Permanent, subject, detail)
    }

    /// The first digit.
    #[must_use]
    pub const fn class(self) -> Class {
        self.class
    }

    /// The second number.
    #[must_use]
    pub const fn subject(self) -> u16 {
        self.subject
    }

    /// The third.
    #[must_use]
    pub const fn detail(self) -> u16 {
        self.detail
    }

    /// The same subject and detail in another class.
    #[must_use]
    pub const fn in_class(self, class: Class) -> Self {
        Self { class, ..self }
    }
}

impl fmt::Display for Status {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{}.{}", self.class.digit(), self.subject, self.detail)
    }
}

/// Not a status code.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct BadStatus;

impl fmt::Display for BadStatus {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("not a status code of the form D.S.N")
    }
}

impl std::error::Error for BadStatus {}

impl FromStr for Status {
    type Err = BadStatus;

    fn from_str(text: &str) -> Result<Self, BadStatus> {
        let mut numbers = text.split('.');
        let class = match numbers.next() {
            Some("2") => Class::Success,
            Some("4") => Class::Transient,
            Some("5") => Class::Permanent,
            _ => return Err(BadStatus),
        };
        let mut number = || {
            let digits = numbers.next().filter(|d| (1..=3).contains(&d.len())).ok_or(BadStatus)?;
            if digits.bytes().all(|b| b.is_ascii_digit()) {
                digits.parse().map_err(|_| BadStatus)
            } else {
                Err(BadStatus)
            }
        };
        let (subject, detail) = (number()?, number()?);
        if numbers.next().is_some() { Err(BadStatus) } else { Ok(Self { class, subject, detail }) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_status_reads_back_as_it_was_written() {
        for text in ["2.0.0", "4.4.2", "5.7.1", "5.999.999"] {
            assert_eq!(text.parse::<Status>().unwrap().to_string(), text);
        }
    }

    #[test]
    fn what_is_not_a_status_is_refused() {
        for text in ["", "3.0.0", "2.0", "2.0.0.0", "2..0", "5.7.1000", "5.+1.0", "5.7.x"] {
            assert_eq!(text.parse::<Status>(), Err(BadStatus), "{text}");
        }
    }
}
