//! What an operator orders and what smapd answers, as packets. Pure, and trusts neither side: a packet that is cut,
//! has anything left over, or names what this version does not know is not read.
#![deny(clippy::disallowed_methods)]

use smap_common::link::MAX_PACKET;
use smap_common::packet::{Reader, Writer};
use smap_common::spool::{Order, QueueId};

#[cfg(test)]
mod tests;

/// Of the protocol.
const VERSION: u64 = 1;
/// Messages that one request names at most.
pub const MAX_IDS: usize = 1000;
/// Effects that one reply tells at most.
pub(crate) const MAX_EFFECTS: usize = 150;
/// Octets of what a sender is told, or of a fault.
pub const MAX_TEXT: usize = 500;
/// Octets of a domain (RFC 1035).
const MAX_DOMAIN: usize = 255;

const _: () = assert!(MAX_IDS * 40 < MAX_PACKET && MAX_EFFECTS * (MAX_TEXT + 60) < MAX_PACKET);

/// What is to be done with messages.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Verb {
    /// Keep them, and do not try them.
    Hold,
    /// Try them again as usual.
    Release,
    /// Try them now.
    Retry,
    /// Remove them; nobody is told.
    Delete,
    /// Return them to their senders, with these words; without any, with ours.
    Bounce(String),
}

impl Verb {
    /// As it stands in the log and on the command line.
    #[must_use]
    pub fn as_str(&self) -> &'static str {
        self.order().map_or("retry", Order::as_str)
    }

    /// What is recorded of it; of a retry, which is done at once, nothing.
    #[must_use]
    pub fn order(&self) -> Option<Order> {
        match self {
            Self::Hold => Some(Order::Hold),
            Self::Release => Some(Order::Release),
            Self::Retry => None,
            Self::Delete => Some(Order::Delete),
            Self::Bounce(_) => Some(Order::Bounce),
        }
    }

    /// What the sender is told.
    #[must_use]
    pub fn text(&self) -> &str {
        match self {
            Self::Bounce(text) => text,
            Self::Hold | Self::Release | Self::Retry | Self::Delete => "",
        }
    }
}

/// Which messages.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Whom {
    /// All.
    All,
    /// Those that still have a recipient in this domain.
    Domain(String),
    /// These, [`MAX_IDS`] at most.
    Ids(Vec<QueueId>),
}

/// An order.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Request {
    /// What.
    pub verb: Verb,
    /// To which messages.
    pub whom: Whom,
}

/// What became of an order for one message.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Effect {
    /// It is done, or under way by now.
    Done,
    /// It takes effect when the attempt is over that is under way, if the message is then still there.
    AfterAttempt,
    /// It is being tried at this moment.
    UnderWay,
    /// It is held, and only a release changes that.
    Held,
    /// It is not held.
    NotHeld,
    /// There is no such message.
    Unknown,
    /// The disk refused.
    Failed(String),
}

/// Why an order is not taken at all.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Refusal {
    /// It is not one, in this version.
    NotUnderstood,
    /// This user may give none.
    NotPermitted,
    /// Too many operators are there already.
    Busy,
}

/// What smapd answers.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Reply {
    /// What became of some messages; of none, where a search goes on.
    Effects(Vec<(QueueId, Effect)>),
    /// The order is carried out.
    Done,
    /// It is not taken.
    Refused(Refusal),
}

impl Request {
    /// As a packet.
    #[must_use]
    pub fn encode(&self) -> Vec<u8> {
        let mut packet = Writer::default();
        let verb = match &self.verb {
            Verb::Hold => 1,
            Verb::Release => 2,
            Verb::Retry => 3,
            Verb::Delete => 4,
            Verb::Bounce(_) => 5,
        };
        packet.number(VERSION).number(verb).octets(self.verb.text().as_bytes());
        match &self.whom {
            Whom::All => packet.number(0),
            Whom::Domain(domain) => packet.number(1).octets(domain.as_bytes()),
            Whom::Ids(ids) => {
                packet.number(2).number(count(ids));
                ids.iter().fold(&mut packet, |packet, id| packet.octets(id.as_str().as_bytes()))
            }
        };
        packet.finish()
    }

    /// Reads a packet.
    #[must_use]
    pub fn decode(packet: &[u8]) -> Option<Self> {
        let mut reader = begin(packet)?;
        let verb = reader.number()?;
        let text = text(&mut reader)?;
        let verb = match (verb, text.is_empty()) {
            (1, true) => Verb::Hold,
            (2, true) => Verb::Release,
            (3, true) => Verb::Retry,
            (4, true) => Verb::Delete,
            (5, _) => Verb::Bounce(text),
            _ => return None,
        };
        let whom = match reader.number()? {
            0 => Whom::All,
            1 => Whom::Domain(reader.text().filter(|domain| domain.len() <= MAX_DOMAIN)?.to_owned()),
            2 => Whom::Ids(reader.list(id).filter(|ids| ids.len() <= MAX_IDS)?),
            _ => return None,
        };
        reader.end()?;
        Some(Self { verb, whom })
    }
}

impl Reply {
    /// As a packet.
    #[must_use]
    pub fn encode(&self) -> Vec<u8> {
        let mut packet = Writer::default();
        packet.number(VERSION);
        match self {
            Self::Effects(effects) => {
                packet.number(1).number(count(effects));
                for (id, effect) in effects {
                    packet.octets(id.as_str().as_bytes());
                    effect.write(&mut packet);
                }
            }
            Self::Done => drop(packet.number(2)),
            Self::Refused(why) => {
                packet.number(3).number(match why {
                    Refusal::NotUnderstood => 0,
                    Refusal::NotPermitted => 1,
                    Refusal::Busy => 2,
                });
            }
        }
        packet.finish()
    }

    /// Reads a packet.
    #[must_use]
    pub fn decode(packet: &[u8]) -> Option<Self> {
        let mut reader = begin(packet)?;
        let reply = match reader.number()? {
            1 => Self::Effects(reader.list(|reader| Some((id(reader)?, Effect::read(reader)?)))?),
            2 => Self::Done,
            3 => Self::Refused(match reader.number()? {
                0 => Refusal::NotUnderstood,
                1 => Refusal::NotPermitted,
                2 => Refusal::Busy,
                _ => return None,
            }),
            _ => return None,
        };
        reader.end()?;
        Some(reply)
    }
}

impl Effect {
    fn write(&self, packet: &mut Writer) {
        match self {
            Self::Done => drop(packet.number(0)),
            Self::AfterAttempt => drop(packet.number(1)),
            Self::UnderWay => drop(packet.number(2)),
            Self::Held => drop(packet.number(3)),
            Self::NotHeld => drop(packet.number(4)),
            Self::Unknown => drop(packet.number(5)),
            Self::Failed(why) => {
                let end = why.floor_char_boundary(MAX_TEXT);
                packet.number(6).octets(why.get(..end).unwrap_or_default().as_bytes());
            }
        }
    }

    fn read(reader: &mut Reader<'_>) -> Option<Self> {
        Some(match reader.number()? {
            0 => Self::Done,
            1 => Self::AfterAttempt,
            2 => Self::UnderWay,
            3 => Self::Held,
            4 => Self::NotHeld,
            5 => Self::Unknown,
            6 => Self::Failed(text(reader)?),
            _ => return None,
        })
    }
}

fn begin(packet: &[u8]) -> Option<Reader<'_>> {
    let mut reader = Reader::new(packet);
    (reader.number()? == VERSION).then_some(reader)
}

fn id(reader: &mut Reader<'_>) -> Option<QueueId> {
    reader.text()?.parse().ok()
}

fn text(reader: &mut Reader<'_>) -> Option<String> {
    reader.text().filter(|text| text.len() <= MAX_TEXT).map(str::to_owned)
}

fn count<T>(all: &[T]) -> u64 {
    u64::try_from(all.len()).unwrap_or(u64::MAX)
}
