//! What the session cannot decide alone: asked as an action, answered as an input.
//!
//! Policy and the client's name are asked for this way today; keys, passwords and filters will be.

use netperm::hosts::ClientName;
use smap_common::clock::Timestamp;
use smap_common::envelope::Greeting;
use smap_common::smtp::command::{HeloName, Mail, Recipient};
use smap_common::spool::QueueId;

/// Asked of whoever runs the session.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Question<'a> {
    /// What is the client's name? Asked at most once, and only after another question needed it.
    Name,
    /// May this client speak to us at all?
    Connect {
        /// What is known of its name.
        name: &'a ClientName,
    },
    /// May it send a message, from this sender? The answer brings the message's id.
    Sender {
        /// How it greeted.
        greeting: &'a Greeting,
        /// MAIL, with its parameters.
        mail: &'a Mail,
    },
    /// May it send to this recipient?
    Recipient {
        /// How it greeted.
        greeting: &'a Greeting,
        /// MAIL, with its parameters.
        mail: &'a Mail,
        /// RCPT, with its parameters.
        recipient: &'a Recipient,
        /// What is known of the client's name.
        name: &'a ClientName,
    },
}

/// The answer to the question that was asked last.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Answer {
    /// To [`Question::Name`].
    Name(ClientName),
    /// To a question with a name in it: not before [`Question::Name`] is answered.
    NeedsName,
    /// To [`Question::Connect`].
    Connect(Result<Consent, Refusal>),
    /// To [`Question::Sender`].
    Sender(Result<Ticket, Refusal>),
    /// To [`Question::Recipient`].
    Recipient(Result<Consent, Refusal>),
}

/// What a yes means.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Consent {
    /// What comes is kept.
    Keep,
    /// What comes is thrown away, as the table has it: the client is told nothing of that.
    Discard,
}

/// What a message needs from outside before it can begin.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Ticket {
    /// Its name from now on.
    pub id: QueueId,
    /// The time.
    pub at: Timestamp,
    /// What becomes of it.
    pub consent: Consent,
}

/// Why the answer is no.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Refusal {
    /// This host may not connect.
    HostDenied,
    /// We do not relay to that domain for this host.
    RelayDenied,
    /// That depends on the client's name, which cannot be looked up now.
    NameFailed,
    /// The table says what to say.
    Said(netperm::Reply),
    /// It cannot be said now.
    Unavailable,
}

/// The name that is shown of a client: one that was confirmed, and of several always the same.
#[must_use]
pub fn shown(name: &ClientName) -> Option<HeloName> {
    match name {
        ClientName::Known(names) => names.iter().min().and_then(|name| name.as_str().parse().ok()),
        ClientName::NotAsked | ClientName::Unknown | ClientName::Failed(_) => None,
    }
}
