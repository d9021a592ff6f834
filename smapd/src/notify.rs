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
use smap_common::status::Status;

use self::quote::{Quote, header};
use crate::content::date;

mod quote;
#[cfg(test)]
mod tests;

/// A whole message goes back up to this size, where the sender did not say (octets).
const SMALL: u64 = 64 * 1024;
/// A whole message goes back up to this size, where the sender asked for it (octets).
const MOST: u64 = 1024 * 1024;
/// Where lines are folded (columns).
const COLUMNS: usize = 76;
/// Most octets of another host's words.
const MOST_WORDS: usize = 512;
/// Longest line of a message, without its end (RFC 5322 section 2.1.1).
const LONGEST_LINE: usize = 998;

const _: () = assert!(SMALL <= MOST && COLUMNS + MOST_WORDS < LONGEST_LINE);

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
        let header = header(body)?;
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

/// Everything that is said, each part behind its boundary.
struct Text<'n, 'a> {
    notice: &'n Notice<'a>,
    /// RFC 6533.
    utf8: bool,
    /// What goes back is not ASCII.
    eight_bit: bool,
}

impl Text<'_, '_> {
    /// The `=` keeps it apart from quoted-printable and base64 text too.
    fn boundary(&self) -> String {
        format!("=_{}", self.notice.id)
    }

    fn header(&self) -> String {
        let Notice { kind, to, id, hostname, now, for_owner, .. } = self.notice;
        let subject = match kind {
            Kind::Failed if *for_owner => "A message to your list could not be delivered",
            Kind::Delayed { .. } if *for_owner => "A message to your list is delayed",
            Kind::Failed if self.is_for_administrator() => "A notification could not be delivered",
            Kind::Failed => "Your message could not be delivered",
            Kind::Delivered => "Your message was delivered",
            Kind::Relayed => "Your message was relayed",
            Kind::Expanded => "Your message was passed on to several recipients",
            Kind::Delayed { .. } => "Your message is delayed",
        };
        format!(
            "From: Mail Delivery Subsystem <MAILER-DAEMON@{hostname}>\r\n\
             To: <{to}>\r\n\
             Date: {}\r\n\
             Message-ID: <{id}@{hostname}>\r\n\
             Subject: {subject}\r\n\
             Auto-Submitted: auto-replied\r\n\
             MIME-Version: 1.0\r\n\
             Content-Type: multipart/report; report-type=delivery-status;\r\n\
             \tboundary=\"{}\"\r\n\
             {}\r\n\
             This is a delivery status notification in MIME format (RFC 3464).\r\n",
            date(*now),
            self.boundary(),
            encoding(self.utf8 || self.eight_bit),
        )
    }

    fn part(&self, description: &str, content_type: &str, eight_bit: bool) -> String {
        format!(
            "\r\n--{}\r\nContent-Description: {description}\r\nContent-Type: {content_type}\r\n{}\r\n",
            self.boundary(),
            encoding(eight_bit)
        )
    }

    fn for_people(&self) -> String {
        let charset = if self.utf8 { "text/plain; charset=utf-8" } else { "text/plain; charset=us-ascii" };
        let mut text = self.part("Notification", charset, self.utf8);
        let paragraph = |words: &str| folded("", "", words) + "\r\n";
        text += &paragraph(&self.greeting());
        text += &paragraph(&self.what_happened());
        for (recipient, mark) in &self.notice.recipients {
            text += &format!("<{}>\r\n", recipient.address);
            text += &paragraph_of_reply(&self.what_was_said(mark));
        }
        text + &paragraph(&self.what_is_next())
    }

    fn greeting(&self) -> String {
        let Envelope { id, arrived, .. } = &self.notice.original.envelope;
        let hostname = self.notice.hostname;
        let which = match self.notice.for_owner {
            _ if self.is_for_administrator() => "a message without a sender",
            true => "a message to a list of yours",
            false => "your message",
        };
        format!(
            "This is the mail system at {hostname}. It writes about {which} of {}, which is known here as {id}.",
            date(*arrived)
        )
    }

    /// Whether it is told what nobody else can be told.
    fn is_for_administrator(&self) -> bool {
        addressee(&self.notice.original.envelope).is_none()
    }

    fn what_happened(&self) -> String {
        let whom = if self.notice.recipients.len() == 1 { "this address" } else { "these addresses" };
        match self.notice.kind {
            Kind::Failed => format!("It could not be delivered to {whom}:"),
            Kind::Delivered => format!("It was delivered to {whom}:"),
            Kind::Relayed => format!("It was passed on for {whom}:"),
            Kind::Expanded => format!("It was passed on to all for whom {whom} stands:"),
            Kind::Delayed { .. } => format!("It could not be delivered to {whom} yet:"),
        }
    }

    fn what_was_said(&self, mark: &Mark) -> String {
        let relay = self.words(&mark.relay);
        let reply = self.words(&mark.reply);
        // RFC 3463: the delivery time has expired.
        let expired = self.notice.kind == Kind::Failed && mark.status == Status::permanent(4, 7);
        let why = match (relay.as_str(), reply.as_str()) {
            ("", "") => format!("status {}", mark.status),
            ("", reply) => reply.to_owned(),
            (relay, "") => format!("{relay} gave no reason"),
            (relay, reply) => format!("{relay} said: {reply}"),
        };
        if expired { format!("It was tried for too long. The last time: {why}") } else { why }
    }

    fn what_is_next(&self) -> String {
        match self.notice.kind {
            Kind::Failed => "It will not be tried again. What you sent, or its header, is attached. If you do \
                             not know what to do about this, ask the postmaster of the address above, and show \
                             this message."
                .to_owned(),
            Kind::Delivered => "You asked to be told.".to_owned(),
            Kind::Relayed => "You asked to be told. Whoever has it now may not tell you what becomes of it.".to_owned(),
            Kind::Expanded => "You asked to be told. You will hear of those who cannot be reached.".to_owned(),
            Kind::Delayed { until } => format!(
                "There is no need to send it again: it will be tried until {}. You will hear of it if it could \
                 not be delivered by then.",
                date(until)
            ),
        }
    }

    fn for_programs(&self) -> String {
        let Notice { hostname, original, recipients, for_owner, .. } = self.notice;
        let content_type =
            if self.utf8 { "message/global-delivery-status" } else { "message/delivery-status" };
        let mut text = self.part("Delivery report", content_type, self.utf8);
        text += &format!("Reporting-MTA: dns; {hostname}\r\n");
        let envid = original.envelope.mail.parameters.envid.as_ref().filter(|_| !for_owner);
        if let Some(envid) = envid.and_then(|id| id.decoded()) {
            text += &format!("Original-Envelope-Id: {envid}\r\n");
        }
        text += &format!("Arrival-Date: {}\r\n", date(original.envelope.arrived));
        recipients.iter().fold(text, |text, (recipient, mark)| text + &self.fields(recipient, mark))
    }

    /// RFC 3464 section 2.3.
    fn fields(&self, recipient: &Recipient, mark: &Mark) -> String {
        let mut text = String::from("\r\n");
        let original = recipient.original.as_ref();
        if let Some((kind, address)) =
            original.and_then(|original| Some((original.kind(), original.address().decoded()?)))
        {
            text += &format!("Original-Recipient: {kind}; {address}\r\n");
        }
        // RFC 6533 section 3.
        let kind = if recipient.address.is_ascii() { "rfc822" } else { "utf-8" };
        let action = match self.notice.kind {
            Kind::Failed => "failed",
            Kind::Delivered => "delivered",
            Kind::Relayed => "relayed",
            Kind::Expanded => "expanded",
            Kind::Delayed { .. } => "delayed",
        };
        text += &format!(
            "Final-Recipient: {kind}; {}\r\nAction: {action}\r\nStatus: {}\r\n",
            recipient.address, mark.status
        );
        if let Some(relay) = host_of(&mark.relay).filter(|host| self.utf8 || host.to_string().is_ascii()) {
            text += &format!("Remote-MTA: dns; {relay}\r\n");
        }
        if is_smtp_reply(&mark.reply) {
            text += &folded("Diagnostic-Code: smtp; ", " ", &self.words(&mark.reply));
        }
        text += &format!("Last-Attempt-Date: {}\r\n", date(mark.at));
        match self.notice.kind {
            Kind::Failed | Kind::Delivered | Kind::Relayed | Kind::Expanded => text,
            Kind::Delayed { until } => text + &format!("Will-Retry-Until: {}\r\n", date(until)),
        }
    }

    fn before_quote(&self, quote: &Quote<'_>) -> String {
        let (description, content_type) = match (quote, self.utf8) {
            (Quote::Full(_), false) => ("Undelivered message", "message/rfc822"),
            (Quote::Full(_), true) => ("Undelivered message", "message/global"),
            (Quote::Header(_), false) => ("Header of the message", "text/rfc822-headers"),
            (Quote::Header(_), true) => ("Header of the message", "message/global-headers"),
        };
        self.part(description, content_type, self.eight_bit)
    }

    /// What another host said, on one line, with nothing in it that a terminal or a reader would obey.
    fn words(&self, text: &str) -> String {
        let mut clean = String::new();
        for c in text.chars() {
            clean.push(match c {
                ' '..='~' => c,
                _ if c.is_whitespace() || c.is_control() => ' ',
                _ if self.utf8 && c.is_alphanumeric() => c,
                _ => '?',
            });
            if clean.len() >= MOST_WORDS {
                break;
            }
        }
        clean.split_whitespace().collect::<Vec<_>>().join(" ")
    }
}

fn encoding(eight_bit: bool) -> &'static str {
    if eight_bit { "Content-Transfer-Encoding: 8bit\r\n" } else { "" }
}

fn paragraph_of_reply(words: &str) -> String {
    folded("    ", "    ", words) + "\r\n"
}

/// Words in lines: the first behind `first`, the others behind `indent`.
fn folded(first: &str, indent: &str, words: &str) -> String {
    let mut text = String::new();
    let mut line = String::from(first);
    let mut has_words = false;
    for word in words.split_whitespace() {
        if has_words && line.len() + 1 + word.len() > COLUMNS {
            text += &line;
            text += "\r\n";
            line = String::from(indent);
            has_words = false;
        }
        if has_words {
            line.push(' ');
        }
        line += word;
        has_words = true;
    }
    text + &line + "\r\n"
}

/// The host in `HOST[ADDRESS]:PORT`; its address where it has no name.
fn host_of(relay: &str) -> Option<Domain> {
    if relay.contains('/') {
        return None;
    }
    let (name, rest) = relay.split_once('[').unwrap_or((relay, ""));
    let name = name.split(':').next().unwrap_or_default();
    let address = || rest.split(']').next().and_then(|address| address.parse().ok()).map(Domain::from_ip);
    name.parse().ok().or_else(address)
}

/// Whether it begins as a reply of RFC 5321 section 4.2 does.
fn is_smtp_reply(text: &str) -> bool {
    let (code, rest) = text.as_bytes().split_at_checked(3).unwrap_or_default();
    code.iter().all(u8::is_ascii_digit) && code.len() == 3 && matches!(rest.first(), None | Some(b' ' | b'-'))
}
