//! What is known of a message in the spool.

use serde::{Serialize, Serializer};
use smap_common::clock::Timestamp;
use smap_common::spool::{Mark, Message, One, QueueId, QueueState};

/// Which folder holds a message.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Place {
    /// smapd has not tried it yet, or is about to.
    Incoming,
    /// It waits for its next try.
    Queue,
}

/// A file of the spool.
#[derive(Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase", tag = "state")]
pub enum Entry {
    /// A whole message.
    Message {
        /// Its id.
        #[serde(serialize_with = "as_text")]
        id: QueueId,
        /// Which folder it is in.
        folder: Place,
        /// Octets of its body.
        size: u64,
        /// Seconds since the epoch.
        #[serde(serialize_with = "as_seconds")]
        arrived: Timestamp,
        /// In angle brackets.
        sender: String,
        /// Those who do not have it yet.
        recipients: Vec<Pending>,
        /// How many recipients it had.
        of: usize,
        /// How often it was tried.
        attempts: u32,
        /// When it is tried next, in seconds since the epoch.
        #[serde(serialize_with = "as_some_seconds")]
        next: Option<Timestamp>,
        /// It is kept, and not tried, until it is released.
        held: bool,
    },
    /// A session is about to write it.
    Writing {
        /// Its id.
        #[serde(serialize_with = "as_text")]
        id: QueueId,
    },
    /// A session ended before it was whole; smapd removes it.
    Unfinished {
        /// Its id.
        #[serde(serialize_with = "as_text")]
        id: QueueId,
    },
    /// Not what belongs there; smapd sets it aside.
    Bad {
        /// Its name.
        #[serde(serialize_with = "as_text")]
        id: QueueId,
        /// What is wrong with it.
        why: String,
    },
}

/// A recipient who does not have the message yet.
#[derive(Debug, PartialEq, Eq, Serialize)]
pub struct Pending {
    /// His address, in angle brackets; a program behind a bar; a file.
    pub address: String,
    /// In whose place he stands.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub original: Option<String>,
    /// How the last attempt ended.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub last: Option<Attempt>,
}

/// How an attempt ended.
#[derive(Debug, PartialEq, Eq, Serialize)]
pub struct Attempt {
    /// Seconds since the epoch.
    #[serde(serialize_with = "as_seconds")]
    pub at: Timestamp,
    /// RFC 3463.
    pub status: String,
    /// What it was given to.
    pub relay: String,
    /// What that said.
    pub reply: String,
}

impl Entry {
    /// A message and what is known of it.
    #[must_use]
    pub fn of(folder: Place, message: &Message, state: &QueueState) -> Self {
        let envelope = &message.envelope;
        let everyone = state.everyone(envelope);
        let pending = state.pending(envelope).filter_map(|number| {
            let (one, last) = (everyone.get(number)?, state.marks.get(&number).map(Attempt::of));
            Some(Pending { address: one.to_string(), original: original(&one), last })
        });
        Self::Message {
            id: envelope.id,
            folder,
            size: message.body.length(),
            arrived: envelope.arrived,
            sender: envelope.mail.sender.to_string(),
            recipients: pending.collect(),
            of: everyone.numbers().count(),
            attempts: state.attempts,
            next: state.next,
            held: state.is_held(),
        }
    }
}

/// In whose place somebody stands, in angle brackets.
pub(super) fn original(one: &One<'_>) -> Option<String> {
    one.member.map(|_| format!("<{}>", one.original.address))
}

impl Attempt {
    pub(super) fn of(mark: &Mark) -> Self {
        Self {
            at: mark.at,
            status: mark.status.to_string(),
            relay: mark.relay.clone(),
            reply: mark.reply.clone(),
        }
    }
}

pub(super) fn as_text<S: Serializer>(id: &QueueId, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.collect_str(id)
}

pub(super) fn as_seconds<S: Serializer>(at: &Timestamp, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_u64(at.seconds())
}

pub(super) fn as_some_seconds<S: Serializer>(
    at: &Option<Timestamp>,
    serializer: S,
) -> Result<S::Ok, S::Error> {
    at.map(Timestamp::seconds).serialize(serializer)
}
