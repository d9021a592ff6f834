//! What smapd asks of its resolver, and what that answers: the words of both, and how they stand in a packet.
//!
//! Pure. Trusts neither side: what is not one of these words in this version is not read. An answer is told from
//! others by the number that its question had; answers come in any order. Written so that another program can
//! speak it over a socket of its own: every packet begins with the version, and a kind that is not known is
//! refused as a whole.
//!
//! ```text
//! question:  version=1  kind=1 (addresses)  id  host
//! answer:    version=1  kind=1 (addresses)  id  0 (found) count (4|6 octets)...
//!                                               1 (there is no such host)
//!                                               2 (not known now)
//! ```
//!
//! A number is 8 octets, the lowest first; octets stand behind their length.
#![deny(clippy::disallowed_methods)]

use std::net::IpAddr;

use smap_common::address::MAX_DOMAIN;
use smap_common::packet::{Reader, Writer};

/// Of this page.
const VERSION: u64 = 1;
const ADDRESSES: u64 = 1;

const FOUND: u64 = 0;
const NO_SUCH_HOST: u64 = 1;
const TEMPORARY: u64 = 2;

/// Most addresses of one host that are told.
pub const MAX_ADDRESSES: usize = 64;

/// What may be asked.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Question {
    /// The addresses of a host.
    Addresses {
        /// Chosen by the asker.
        id: u64,
        /// Its name, at most 255 octets.
        host: String,
    },
}

/// What is answered.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Answer {
    /// The addresses of a host.
    Addresses {
        /// That of the question.
        id: u64,
        /// In the order in which they are to be tried; at least one.
        result: Result<Vec<IpAddr>, LookupError>,
    },
}

/// Why there are no addresses.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LookupError {
    /// The name is not there, or has no address.
    NoSuchHost,
    /// Nobody knows now.
    Temporary,
}

impl std::fmt::Display for LookupError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::NoSuchHost => "there is no such host",
            Self::Temporary => "its name cannot be looked up now",
        })
    }
}

impl std::error::Error for LookupError {}

impl Question {
    pub(crate) fn encode(&self) -> Vec<u8> {
        let Self::Addresses { id, host } = self;
        Writer::default().number(VERSION).number(ADDRESSES).number(*id).octets(host.as_bytes()).finish()
    }

    pub(crate) fn decode(packet: &[u8]) -> Option<Self> {
        let mut reader = begin(packet)?;
        let id = reader.number()?;
        let host = reader.text().filter(|host| host.len() <= MAX_DOMAIN)?.to_owned();
        reader.end()?;
        Some(Self::Addresses { id, host })
    }
}

impl Answer {
    pub(crate) fn encode(&self) -> Vec<u8> {
        let Self::Addresses { id, result } = self;
        let mut packet = Writer::default();
        packet.number(VERSION).number(ADDRESSES).number(*id);
        match result {
            Ok(addresses) => {
                let told = addresses.iter().take(MAX_ADDRESSES);
                packet.number(FOUND).number(u64::try_from(told.len()).unwrap_or(u64::MAX));
                for address in told {
                    match address {
                        IpAddr::V4(address) => packet.octets(&address.octets()),
                        IpAddr::V6(address) => packet.octets(&address.octets()),
                    };
                }
            }
            Err(LookupError::NoSuchHost) => drop(packet.number(NO_SUCH_HOST)),
            Err(LookupError::Temporary) => drop(packet.number(TEMPORARY)),
        }
        packet.finish()
    }

    pub(crate) fn decode(packet: &[u8]) -> Option<Self> {
        let mut reader = begin(packet)?;
        let id = reader.number()?;
        let result = match reader.number()? {
            FOUND => Ok(reader.list(address)?),
            NO_SUCH_HOST => Err(LookupError::NoSuchHost),
            TEMPORARY => Err(LookupError::Temporary),
            _ => return None,
        };
        reader.end()?;
        let fits = |addresses: &Vec<_>| (1..=MAX_ADDRESSES).contains(&addresses.len());
        result.as_ref().map_or(true, fits).then_some(Self::Addresses { id, result })
    }
}

fn begin(packet: &[u8]) -> Option<Reader<'_>> {
    let mut reader = Reader::new(packet);
    (reader.number()? == VERSION && reader.number()? == ADDRESSES).then_some(reader)
}

fn address(reader: &mut Reader<'_>) -> Option<IpAddr> {
    let octets = reader.octets()?;
    let v4 = || <[u8; 4]>::try_from(octets).map(IpAddr::from);
    let v6 = || <[u8; 16]>::try_from(octets).map(IpAddr::from);
    v4().or_else(|_| v6()).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn answers() -> [Answer; 3] {
        let found = vec!["192.0.2.1".parse().unwrap(), "2001:db8::1".parse().unwrap()];
        [Ok(found), Err(LookupError::NoSuchHost), Err(LookupError::Temporary)]
            .map(|result| Answer::Addresses { id: 7, result })
    }

    #[test]
    fn every_word_reads_back_as_it_was_written() {
        let question = Question::Addresses { id: u64::MAX, host: "mail.example.com".to_owned() };
        assert_eq!(Question::decode(&question.encode()), Some(question));
        for answer in answers() {
            assert_eq!(Answer::decode(&answer.encode()), Some(answer));
        }
    }

    #[test]
    fn a_packet_that_is_cut_or_goes_on_is_not_read() {
        for packet in answers().map(|answer| answer.encode()) {
            for cut in 0..packet.len() {
                assert_eq!(Answer::decode(&packet[..cut]), None);
            }
            assert_eq!(Answer::decode(&[packet.as_slice(), b"x"].concat()), None);
        }
    }

    #[test]
    fn another_version_or_kind_is_not_read() {
        for head in [[2, 1], [1, 2]] {
            let packet = Writer::default().number(head[0]).number(head[1]).number(7).octets(b"h").finish();
            assert_eq!(Question::decode(&packet), None);
        }
    }

    #[test]
    fn a_host_with_no_address_is_not_an_answer() {
        let none = Answer::Addresses { id: 7, result: Ok(Vec::new()) };
        assert_eq!(Answer::decode(&none.encode()), None);
    }
}
