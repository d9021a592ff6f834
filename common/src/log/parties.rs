//! Who is at the other end, and how the line to him is encrypted.

use std::fmt::{self, Display};
use std::net::SocketAddr;

use super::escape::Escaped;
use crate::smtp::command::HeloName;

/// What a connection was encrypted with.
#[derive(Clone, Copy)]
pub struct Tls<'a> {
    /// As `TLSv1.3`.
    pub version: &'a str,
    /// The cipher suite.
    pub cipher: &'a str,
    /// `OK`, `FAIL` or `NO`, of the certificate.
    pub verify: &'a dyn Display,
}

impl Display for Tls<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { version, cipher, verify } = self;
        write!(f, "tls={} cipher={} verify={}", Escaped(version), Escaped(cipher), Escaped(verify))
    }
}

/// What is known of a client's name.
#[derive(Debug, Clone, Copy)]
pub enum HostName<'a> {
    /// Nobody has asked.
    NotAsked,
    /// It has none that is confirmed.
    None,
    /// It could not be looked up.
    Failed,
    /// It is confirmed.
    Known(&'a HeloName),
}

/// A client's name and address: `NAME/ADDRESS`, the name `unknown` unless it was confirmed.
#[derive(Debug, Clone, Copy)]
pub struct Host<'a> {
    /// The name.
    pub name: HostName<'a>,
    /// The socket; none where the session has none.
    pub client: Option<SocketAddr>,
}

impl Display for Host<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.name {
            HostName::Known(name) => write!(f, "{}/", Escaped(name))?,
            HostName::NotAsked | HostName::None | HostName::Failed => f.write_str("unknown/")?,
        }
        match self.client {
            Some(client) => write!(f, "{}", client.ip()),
            None => f.write_str("local"),
        }
    }
}

impl Host<'_> {
    /// Why it has no name, where one was asked for: a field of its own.
    pub(super) fn without_name(&self) -> &'static str {
        match self.name {
            HostName::NotAsked | HostName::Known(_) => "",
            HostName::None => " name=none",
            HostName::Failed => " name=failed",
        }
    }
}
