//! Where the listener listens.

use std::fmt;
use std::net::{IpAddr, Ipv6Addr, SocketAddr};
use std::str::FromStr;

use serde::de::{Deserialize, Deserializer, Error as _};
use smap_common::envelope::Role;

use crate::nearest;
use crate::table::Words;
use crate::transport;

/// `listen ADDR:PORT [role=mx]`
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Listen {
    /// Where.
    pub address: SocketAddr,
    /// As what.
    pub role: Role,
}

/// Why a word is not where to listen.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ListenError {
    /// Not `ADDR:PORT`.
    Address(String),
    /// A role that is known, but not served.
    RoleLater(String),
    /// A role that is not known.
    Role(String),
    /// Neither the address nor a role.
    Argument(String),
}

impl fmt::Display for ListenError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Address(text) => {
                write!(f, "\"{text}\" is not of the form ADDR:PORT, such as 0.0.0.0:25, [::]:25 or :25")
            }
            Self::RoleLater(role) => write!(f, "role={role} is not available yet"),
            Self::Role(role) => {
                let hint = nearest::hint(role, ["mx", "submission", "smtps"]);
                write!(f, "role=: \"{role}\" is not known{hint}")
            }
            Self::Argument(word) => write!(f, "\"{word}\" is not an option of a listener, such as role=mx"),
        }
    }
}

impl std::error::Error for ListenError {}

impl FromStr for Listen {
    type Err = ListenError;

    /// `ADDR:PORT` alone, as the command line has it. `:25` and `*:25` are every address of either family.
    fn from_str(text: &str) -> Result<Self, ListenError> {
        let wrong = || ListenError::Address(text.to_owned());
        let address = match text.rsplit_once(':') {
            Some(("" | "*", digits)) => {
                let port = transport::port(digits).map_err(|_| wrong())?;
                SocketAddr::new(IpAddr::V6(Ipv6Addr::UNSPECIFIED), port)
            }
            Some(_) | None => text.parse().ok().filter(|at: &SocketAddr| at.port() != 0).ok_or_else(wrong)?,
        };
        Ok(Self { address, role: Role::Mx })
    }
}

impl Listen {
    fn from_words(words: &[String]) -> Result<Self, ListenError> {
        let (address, options) = words.split_first().ok_or_else(|| ListenError::Address(String::new()))?;
        let listen = address.parse()?;
        for option in options {
            match option.strip_prefix("role=") {
                Some("mx") => {}
                Some(role @ ("submission" | "smtps")) => return Err(ListenError::RoleLater(role.to_owned())),
                Some(role) => return Err(ListenError::Role(role.to_owned())),
                None => return Err(ListenError::Argument(option.clone())),
            }
        }
        Ok(listen)
    }
}

impl<'de> Deserialize<'de> for Listen {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        Self::from_words(&Words::deserialize(deserializer)?.0).map_err(D::Error::custom)
    }
}

impl fmt::Display for Listen {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.role {
            Role::Mx => write!(f, "{} role=mx", self.address),
        }
    }
}
