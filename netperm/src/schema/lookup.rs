//! What the table says to `smap-lookup`.

use std::fmt;
use std::net::{IpAddr, SocketAddr};
use std::path::PathBuf;
use std::time::Duration;

use serde::de::{Deserialize, Deserializer, Error as _};
use smap_common::lookup::DEFAULT_SOCKET;

use super::Account;
use super::values::{DAY, HOUR, duration, folder, named};
use crate::place::Located;
use crate::table::Words;

/// Where a name server listens.
pub const DNS_PORT: u16 = 53;

/// What the table says to `smap-lookup`.
#[derive(Debug, Clone, PartialEq, serde::Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields, default)]
pub struct Lookup {
    /// The user to become; needed when started as root.
    pub userid: Option<Located<Account>>,
    /// The group to become; without it, that of the user.
    pub groupid: Option<Located<Account>>,
    /// Where it listens, and is asked.
    #[serde(deserialize_with = "folder")]
    pub socket: PathBuf,
    /// The name servers that it asks; without them, those of `/etc/resolv.conf`.
    pub nameserver: Vec<Located<Nameservers>>,
    /// How long a recipient whom the next host took counts as one that it takes.
    #[serde(deserialize_with = "duration")]
    pub callout_positive: Duration,
    /// How long one whom it did not know counts as unknown.
    #[serde(deserialize_with = "duration")]
    pub callout_negative: Duration,
    /// How long one whom it took counts while it cannot be asked.
    #[serde(deserialize_with = "duration")]
    pub callout_stale: Duration,
}

impl Default for Lookup {
    fn default() -> Self {
        Self {
            userid: None,
            groupid: None,
            socket: PathBuf::from(DEFAULT_SOCKET),
            nameserver: Vec::new(),
            callout_positive: Duration::from_secs(DAY),
            callout_negative: Duration::from_secs(HOUR),
            callout_stale: Duration::from_secs(7 * DAY),
        }
    }
}

impl Lookup {
    /// The name servers that the table names.
    pub fn nameservers(&self) -> impl Iterator<Item = SocketAddr> {
        self.nameserver.iter().flat_map(|line| &line.value.0).copied()
    }

    /// TCP ports of name servers: those of the table and the usual one.
    #[must_use]
    pub fn ports(&self) -> Vec<u16> {
        let mut ports: Vec<u16> = self.nameservers().map(|server| server.port()).chain([DNS_PORT]).collect();
        ports.sort_unstable();
        ports.dedup();
        ports
    }
}

/// `nameserver ADDRESS[:PORT]...`; an IPv6 address with a port stands in brackets.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Nameservers(pub Vec<SocketAddr>);

impl<'de> Deserialize<'de> for Nameservers {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let Words(words) = Words::deserialize(deserializer)?;
        if words.is_empty() {
            return Err(D::Error::custom("an address is missing"));
        }
        words
            .iter()
            .map(|word| nameserver(word).map_err(D::Error::custom))
            .collect::<Result<_, _>>()
            .map(Self)
    }
}

fn nameserver(text: &str) -> Result<SocketAddr, String> {
    let with_usual_port = || text.parse::<IpAddr>().ok().map(|address| SocketAddr::new(address, DNS_PORT));
    let server = with_usual_port().or_else(|| text.parse().ok());
    let usable = server.filter(|server| server.port() != 0 && !server.ip().is_unspecified());
    usable.ok_or_else(|| named(text, "is not the address of a name server, such as 127.0.0.1 or [::1]:53"))
}

impl fmt::Display for Nameservers {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let servers: Vec<String> = self.0.iter().map(ToString::to_string).collect();
        f.write_str(&servers.join(" "))
    }
}
