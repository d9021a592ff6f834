#![deny(clippy::disallowed_methods)]
//! What goes into a session, and what comes out of it.

use super::{Probed, Trouble};
use crate::smtp::command::{Mail, Recipient};
use crate::status::Status;

/// Which protocol is spoken.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Dialect {
    /// RFC 5321
    Smtp,
    /// RFC 2033: LHLO, and a reply for each recipient after the text.
    Lmtp,
}

/// One message for some recipients, as a server is told of it.
#[derive(Debug, Clone)]
pub struct Transaction {
    /// Sender and parameters.
    pub mail: Mail,
    /// Recipients, at least one.
    pub recipients: Vec<Recipient>,
    /// Length of the text in octets, for `SIZE=`; one that the server said is too long is not begun with.
    pub octets: u64,
}

impl Transaction {
    pub(super) fn is_ascii(&self) -> bool {
        self.mail.sender.is_ascii() && self.recipients.iter().all(|recipient| recipient.address.is_ascii())
    }
}

/// What happened.
#[derive(Debug)]
pub enum Input<'a> {
    /// The server sent this.
    Received(&'a [u8]),
    /// Send this message; only after [`Action::Ready`].
    Begin(Transaction),
    /// Ask for this recipient, and give no message; only after [`Action::Ready`].
    Probe(Recipient),
    /// A piece of the text; only after [`Action::SendText`].
    Text(&'a [u8]),
    /// The text is complete.
    TextEnd,
    /// The connection is encrypted; only after [`Action::Handshake`].
    Secured,
    /// Say goodbye; only after [`Action::Ready`].
    Quit,
    /// The connection is lost, or was never made.
    Lost(Trouble),
}

/// What is to be done next. Before each of them the output is to be sent.
#[derive(Debug, PartialEq, Eq)]
pub enum Action {
    /// Wait for the server.
    Read,
    /// The server waits for us: begin a transaction, or quit.
    Ready,
    /// Give the text, in pieces, and its end.
    SendText,
    /// Encrypt the connection.
    Handshake,
    /// The transaction is over: a verdict for each recipient in its order. Then [`Session::proceed`](super::Session::proceed) says how it
    /// goes on.
    Done(Vec<Verdict>),
    /// What the server says of the recipient. [`Session::proceed`](super::Session::proceed) says how it goes on.
    Probed(Probed),
    /// Close the connection. With a trouble, it is no fault of a message.
    Close(Option<Trouble>),
}

/// What became of one recipient.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Verdict {
    /// Its class says what is to be done.
    pub status: Status,
    /// What the server said, or we say of it.
    pub reply: String,
    /// Whether another host may be asked at once: the connection failed before anything was handed over.
    pub elsewhere: bool,
}
