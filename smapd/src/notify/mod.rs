//! Delivery status notifications: what a sender is told of mail that is late or lost.
//!
//! Decides who is told, of what, and how much of the message goes back (RFC 3461, RFC 3464; RFC 6533 where
//! there is UTF-8 in it). Trusts the envelope, whose parts only their parsers make; neither the message nor a
//! word of another host. Guarantees that such a word never begins a line, that no line of ours is longer than
//! RFC 5322 section 2.1.1 allows, and that what goes back is bounded.
#![deny(clippy::disallowed_methods)]

use std::io;

use smap_common::address::{Address, Domain, ReversePath};
use smap_common::clock::Timestamp;
use smap_common::envelope::{Envelope, Origin};
use smap_common::smtp::command::{BodyType, Mail, MailParameters, Recipient};
use smap_common::smtp::dsn::{Notify, Return};
use smap_common::spool::{Mark, Message, QueueId};

use self::quote::{MOST_HEADER, Quote};
use self::text::Text;

mod quote;
#[cfg(test)]
mod tests;
mod text;

/// A whole message goes back up to this size, where the sender did not say (octets).
const SMALL: u64 = 64 * 1024;
/// A whole message goes back up to this size, where the sender asked for it (octets).
const MOST: u64 = 1024 * 1024;

const _: () = assert!(SMALL <= MOST);

/// What happened.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// It was not delivered, and will not be.
    Failed,
    /// It is where it belongs.
    Delivered,
    /// It went on to somebody who tells nothing.
    Relayed,
    /// It went on to all whom its recipient stands for.
    Expanded,
    /// It was not delivered yet.
    Delayed {
        /// When it is given up.
        until: Timestamp,
    },
}

impl Kind {
    /// Whether the sender wants to hear of this kind about a recipient (RFC 3461 section 4.1).
    #[must_use]
    pub fn is_wanted(self, notify: Notify) -> bool {
        match self {
            Self::Failed => notify.on_failure(),
            Self::Delivered | Self::Relayed | Self::Expanded => notify.on_success(),
            Self::Delayed { .. } => notify.on_delay(),
        }
    }
}

/// Who is told. A notification has no sender, so none is ever answered by another (RFC 5321 section 6.1).
#[must_use]
pub fn addressee(original: &Envelope) -> Option<&Address> {
    original.mail.sender.address()
}

/// How much of the message goes back.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Returned {
    /// Its header.
    Headers,
    /// All of it.
    Full,
}

impl Returned {
    /// RFC 3461 section 6.2: as the sender said; as is usual where he did not. `length` is that of the message.
    #[must_use]
    pub fn decide(kind: Kind, said: Option<Return>, length: u64) -> Self {
        match (kind, said) {
            (Kind::Failed, None) if length <= SMALL => Self::Full,
            (Kind::Failed, Some(Return::Full)) if length <= MOST => Self::Full,
            (Kind::Failed | Kind::Delivered | Kind::Relayed | Kind::Expanded | Kind::Delayed { .. }, _) => {
                Self::Headers
            }
        }
    }
}

/// What a notification is made from.
#[derive(Debug)]
pub struct Notice<'a> {
    /// What happened.
    pub kind: Kind,
    /// To what.
    pub original: &'a Message,
    /// Who is told: the [`addressee`], or the owner of a list.
    pub to: &'a Address,
    /// It is the owner of a list: what the sender has wished for is nothing to him (RFC 3461 section 5.2.7.3).
    pub for_owner: bool,
    /// For whom it happened, each with its last mark; those whose [`Notify`] wants it.
    pub recipients: Vec<(&'a Recipient, &'a Mark)>,
    /// The id of the notification. Made after the message came in, so that nothing in that can hold the
    /// boundary, which is made from it.
    pub id: QueueId,
    /// Our name.
    pub hostname: &'a Domain,
    /// The time.
    pub now: Timestamp,
}

/// A notification, to be stored under its envelope.
#[derive(Debug)]
pub struct Report<'a> {
    envelope: Envelope,
    head: String,
    quote: Quote<'a>,
    tail: String,
}

impl Report<'_> {
    /// From nobody, to the sender, with the extensions that its content needs. Nobody is to be told of it
    /// (RFC 3461 section 5.2.1).
    #[must_use]
    pub fn envelope(&self) -> &Envelope {
        &self.envelope
    }

    /// Gives the whole message, CRLF lines, to `sink` in pieces.
    ///
    /// # Errors
    /// The original cannot be read, or `sink` fails.
    pub fn write_to(&self, mut sink: impl FnMut(&[u8]) -> io::Result<()>) -> io::Result<()> {
        sink(self.head.as_bytes())?;
        match &self.quote {
            Quote::Header(header) => sink(header)?,
            Quote::Full(body) => body.for_each(&mut sink)?,
        }
        sink(self.tail.as_bytes())
    }
}

impl<'a> Notice<'a> {
    /// The notification.
    ///
    /// # Errors
    /// The original cannot be read.
    pub fn report(&self) -> io::Result<Report<'a>> {
        let Message { envelope: original, body } = self.original;
        let header = body.header(MOST_HEADER)?.in_whole_lines().text;
        let utf8 = self.has_utf8_address() || (original.mail.parameters.smtputf8 && !header.is_ascii());
        let wished = original.mail.parameters.ret.filter(|_| !self.for_owner);
        let quote = match Returned::decide(self.kind, wished, body.length()) {
            Returned::Full => Quote::Full(body),
            Returned::Headers => Quote::Header(header),
        };
        let text = Text { notice: self, utf8, eight_bit: !quote.is_ascii()? };
        let needs_eight_bit = utf8 || text.eight_bit;
        let parameters = MailParameters {
            body: needs_eight_bit.then_some(BodyType::EightBitMime),
            smtputf8: utf8,
            ..MailParameters::default()
        };
        let recipient = Recipient { address: self.to.clone(), notify: Notify::Never, original: None };
        let head = [text.header(), text.for_people(), text.for_programs(), text.before_quote(&quote)];
        Ok(Report {
            envelope: Envelope {
                id: self.id,
                arrived: self.now,
                origin: Origin::default(),
                mail: Mail { sender: ReversePath::Null, parameters },
                recipients: vec![recipient],
            },
            head: head.concat(),
            quote,
            tail: format!("\r\n--{}--\r\n", text.boundary()),
        })
    }

    /// Whether an address stands in it that is not ASCII.
    fn has_utf8_address(&self) -> bool {
        let ascii_name = self.hostname.name().is_none_or(str::is_ascii);
        let ascii = ascii_name && self.to.is_ascii();
        !ascii || self.recipients.iter().any(|(recipient, _)| !recipient.address.is_ascii())
    }
}
