//! Messages into packets and back. What is decoded encodes to the same octets.

use std::net::IpAddr;

use super::{
    Answer, Answered, Asked, Failure, Found, MAX_PACKET, MAX_RECORDS, MAX_WHY, Mx, Name, Outcome, Question,
    Tlsa,
};
use crate::address::Address;
use crate::packet::{Reader, Writer};

/// Of the page in this module's head.
const VERSION: u64 = 1;

const ADDRESSES: u64 = 1;
const MX: u64 = 2;
const NAMES: u64 = 3;
const TEXTS: u64 = 4;
const TLSA: u64 = 5;
const USER: u64 = 6;
const RECIPIENT: u64 = 7;

const FOUND: u64 = 0;
const NO_SUCH_NAME: u64 = 1;
const NO_RECORDS: u64 = 2;
const TEMPORARY: u64 = 3;

/// What stands before the records of an answer: seven numbers.
const HEAD: usize = 7 * 8;

const _: () = assert!(HEAD + MAX_RECORDS * 3 * 8 < MAX_PACKET && HEAD + MAX_WHY < MAX_PACKET);

impl Asked {
    /// The packet.
    #[must_use]
    pub fn encode(&self) -> Vec<u8> {
        let mut packet = Writer::default();
        match &self.question {
            Question::Addresses { host } => {
                self.begin(&mut packet, ADDRESSES).octets(host.as_str().as_bytes())
            }
            Question::Mx { domain } => self.begin(&mut packet, MX).octets(domain.as_str().as_bytes()),
            Question::Names { address } => write_address(self.begin(&mut packet, NAMES), *address),
            Question::Texts { name } => self.begin(&mut packet, TEXTS).octets(name.as_str().as_bytes()),
            Question::Tlsa { port, host } => {
                self.begin(&mut packet, TLSA).number((*port).into()).octets(host.as_str().as_bytes())
            }
            Question::User { name } => self.begin(&mut packet, USER).octets(name.as_bytes()),
            Question::Recipient { address } => {
                self.begin(&mut packet, RECIPIENT).octets(address.to_string().as_bytes())
            }
        };
        packet.finish()
    }

    fn begin<'a>(&self, packet: &'a mut Writer, kind: u64) -> &'a mut Writer {
        packet.number(VERSION).number(kind).number(self.id)
    }

    /// The question of a packet; `None` where it is none of this version.
    #[must_use]
    pub fn decode(packet: &[u8]) -> Option<Self> {
        let (mut reader, kind, id) = begin(packet)?;
        let question = match kind {
            ADDRESSES => Question::Addresses { host: name(&mut reader)? },
            MX => Question::Mx { domain: name(&mut reader)? },
            NAMES => Question::Names { address: address(&mut reader)? },
            TEXTS => Question::Texts { name: name(&mut reader)? },
            TLSA => Question::Tlsa { port: reader.small()?, host: name(&mut reader)? },
            USER => Question::User { name: line(&mut reader)? },
            RECIPIENT => Question::Recipient { address: mailbox(&mut reader)? },
            _ => return None,
        };
        reader.end()?;
        Some(Self { id, question })
    }
}

impl Answered {
    /// The packet; what it has no room for is left out.
    #[must_use]
    pub fn encode(&self) -> Vec<u8> {
        match &self.answer {
            Answer::Addresses(outcome) => self.packet(ADDRESSES, outcome, |packet, address| {
                write_address(packet, *address);
            }),
            Answer::Mx(outcome) => self.packet(MX, outcome, |packet, mx| {
                packet.number(mx.preference.into()).octets(mx.exchange.as_str().as_bytes());
            }),
            Answer::Names(outcome) => self.packet(NAMES, outcome, |packet, name| {
                packet.octets(name.as_str().as_bytes());
            }),
            Answer::Texts(outcome) => self.packet(TEXTS, outcome, |packet, text| {
                packet.octets(text);
            }),
            Answer::User(outcome) => self.packet(USER, outcome, |packet, name| {
                packet.octets(printable(name).as_bytes());
            }),
            Answer::Recipient(outcome) => self.packet(RECIPIENT, outcome, |packet, text| {
                packet.octets(printable(text).as_bytes());
            }),
            Answer::Tlsa(outcome) => self.packet(TLSA, outcome, |packet, tlsa| {
                packet.number(tlsa.usage.into()).number(tlsa.selector.into()).number(tlsa.matching.into());
                packet.octets(&tlsa.data);
            }),
        }
    }

    fn packet<T>(&self, kind: u64, outcome: &Outcome<T>, write: impl Fn(&mut Writer, &T)) -> Vec<u8> {
        let mut packet = Writer::default();
        packet.number(VERSION).number(kind).number(self.id);
        match outcome {
            Ok(found) => {
                let (count, records) = fitting(&found.records, write);
                packet.number(FOUND).number(found.secure.into()).number(found.ttl.into());
                packet.count(count).append(&records)
            }
            Err(Failure::NoSuchName) => packet.number(NO_SUCH_NAME),
            Err(Failure::NoRecords) => packet.number(NO_RECORDS),
            Err(Failure::Temporary(why)) => packet.number(TEMPORARY).octets(printable(why).as_bytes()),
        };
        packet.finish()
    }

    /// The answer of a packet; `None` where it is none of this version.
    #[must_use]
    pub fn decode(packet: &[u8]) -> Option<Self> {
        let (mut reader, kind, id) = begin(packet)?;
        let from = &mut reader;
        let answer = match kind {
            ADDRESSES => Answer::Addresses(outcome(from, address)?),
            MX => {
                let mx =
                    |from: &mut Reader<'_>| Some(Mx { preference: from.small()?, exchange: name(from)? });
                Answer::Mx(outcome(from, mx)?)
            }
            NAMES => Answer::Names(outcome(from, name)?),
            TEXTS => Answer::Texts(outcome(from, |from| from.octets().map(<[u8]>::to_vec))?),
            TLSA => Answer::Tlsa(outcome(from, tlsa)?),
            USER => Answer::User(outcome(from, line)?),
            RECIPIENT => Answer::Recipient(outcome(from, line)?),
            _ => return None,
        };
        reader.end()?;
        Some(Self { id, answer })
    }
}

fn begin(packet: &[u8]) -> Option<(Reader<'_>, u64, u64)> {
    let mut reader = Reader::new(packet);
    let is_ours = packet.len() <= MAX_PACKET && reader.number()? == VERSION;
    let (kind, id) = (reader.number()?, reader.number()?);
    is_ours.then_some((reader, kind, id))
}

/// As many records as there is room for, from the first on.
fn fitting<T>(records: &[T], write: impl Fn(&mut Writer, &T)) -> (usize, Writer) {
    let (mut count, mut all) = (0, Writer::default());
    for record in records.iter().take(MAX_RECORDS) {
        let mut one = Writer::default();
        write(&mut one, record);
        if HEAD + all.len() + one.len() > MAX_PACKET {
            break;
        }
        all.append(&one);
        count += 1;
    }
    (count, all)
}

fn outcome<T>(
    reader: &mut Reader<'_>,
    record: impl FnMut(&mut Reader<'_>) -> Option<T>,
) -> Option<Outcome<T>> {
    Some(match reader.number()? {
        FOUND => {
            let secure = match reader.number()? {
                0 => false,
                1 => true,
                _ => return None,
            };
            let (ttl, records) = (reader.small()?, reader.list(record)?);
            let fits = (1..=MAX_RECORDS).contains(&records.len());
            fits.then_some(Ok(Found { records, secure, ttl }))?
        }
        NO_SUCH_NAME => Err(Failure::NoSuchName),
        NO_RECORDS => Err(Failure::NoRecords),
        TEMPORARY => Err(Failure::Temporary(line(reader)?)),
        _ => return None,
    })
}

/// Without what would be another line, and not too long.
fn printable(why: &str) -> String {
    let mut text: String = why.chars().map(|c| if c.is_control() { ' ' } else { c }).collect();
    text.truncate(text.floor_char_boundary(MAX_WHY));
    text
}

/// A text that is no longer than one may be, and one line.
fn line(reader: &mut Reader<'_>) -> Option<String> {
    let text = reader.text()?;
    (printable(text) == text).then(|| text.to_owned())
}

/// An address, written in the one way in which addresses are written.
fn mailbox(reader: &mut Reader<'_>) -> Option<Address> {
    let text = reader.text()?;
    text.parse().ok().filter(|address: &Address| address.to_string() == text)
}

/// A name, written in the one way in which names are written.
fn name(reader: &mut Reader<'_>) -> Option<Name> {
    let text = reader.text()?;
    text.parse().ok().filter(|name: &Name| name.as_str() == text)
}

fn tlsa(reader: &mut Reader<'_>) -> Option<Tlsa> {
    let (usage, selector, matching) = (reader.small()?, reader.small()?, reader.small()?);
    Some(Tlsa { usage, selector, matching, data: reader.octets()?.to_vec() })
}

fn write_address(packet: &mut Writer, address: IpAddr) -> &mut Writer {
    match address {
        IpAddr::V4(address) => packet.octets(&address.octets()),
        IpAddr::V6(address) => packet.octets(&address.octets()),
    }
}

fn address(reader: &mut Reader<'_>) -> Option<IpAddr> {
    let octets = reader.octets()?;
    let v4 = || <[u8; 4]>::try_from(octets).map(IpAddr::from);
    let v6 = || <[u8; 16]>::try_from(octets).map(IpAddr::from);
    v4().or_else(|_| v6()).ok()
}
