//! What the session cannot decide alone: asked as an action, answered as an input.
//!
//! Policy is asked this way today; lookups, keys, passwords and filters will be.

use smap_common::clock::Timestamp;
use smap_common::envelope::Greeting;
use smap_common::smtp::command::{Mail, Recipient};
use smap_common::spool::QueueId;

/// Asked of whoever runs the session.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Question<'a> {
    /// May this client speak to us at all?
    Connect,
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
    },
}

/// The answer to the question that was asked last.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Answer {
    /// To [`Question::Connect`].
    Connect(Result<(), Refusal>),
    /// To [`Question::Sender`].
    Sender(Result<Ticket, Refusal>),
    /// To [`Question::Recipient`].
    Recipient(Result<(), Refusal>),
}

/// What a message needs from outside before it can begin.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Ticket {
    /// Its name from now on.
    pub id: QueueId,
    /// The time.
    pub at: Timestamp,
}

/// Why the answer is no.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Refusal {
    /// This host may not connect.
    HostDenied,
    /// We do not relay to that domain for this host.
    RelayDenied,
    /// It cannot be said now.
    Unavailable,
}
