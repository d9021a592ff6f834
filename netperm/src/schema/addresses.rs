//! Addresses in a line of the table.

use std::fmt;
use std::net::IpAddr;

use serde::de::{Deserialize, Deserializer, Error as _};

use super::values::named;
use crate::table::Words;

/// `our-address ADDRESS...`
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Addresses(pub Vec<IpAddr>);

impl<'de> Deserialize<'de> for Addresses {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let Words(words) = Words::deserialize(deserializer)?;
        if words.is_empty() {
            return Err(D::Error::custom("an address is missing"));
        }
        let read = |word: &String| {
            let fault = |_| D::Error::custom(named(word, "is not an address, such as 192.0.2.1"));
            word.parse::<IpAddr>().map(|address| address.to_canonical()).map_err(fault)
        };
        words.iter().map(read).collect::<Result<_, _>>().map(Self)
    }
}

impl fmt::Display for Addresses {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let addresses: Vec<String> = self.0.iter().map(ToString::to_string).collect();
        f.write_str(&addresses.join(" "))
    }
}
