//! What stands in a notification, before what goes back: a part for people and one for programs.
//!
//! Guarantees that another host's word never begins a line, and that no line of ours is too long.

use smap_common::address::Domain;
use smap_common::envelope::Envelope;
use smap_common::smtp::command::Recipient;
use smap_common::spool::Mark;
use smap_common::status::Status;

use super::quote::Quote;
use super::{Kind, Notice, addressee};
use crate::content::date;

/// Where lines are folded (columns).
const COLUMNS: usize = 76;
/// Most octets of another host's words.
const MOST_WORDS: usize = 512;
/// Longest line of a message, without its end (RFC 5322 section 2.1.1).
pub(super) const LONGEST_LINE: usize = 998;

const _: () = assert!(COLUMNS + MOST_WORDS < LONGEST_LINE);

/// Everything that is said, each part behind its boundary.
pub(super) struct Text<'n, 'a> {
    pub(super) notice: &'n Notice<'a>,
    /// RFC 6533.
    pub(super) utf8: bool,
    /// What goes back is not ASCII.
    pub(super) eight_bit: bool,
}

impl Text<'_, '_> {
    /// The `=` keeps it apart from quoted-printable and base64 text too.
    pub(super) fn boundary(&self) -> String {
        format!("=_{}", self.notice.id)
    }

    pub(super) fn header(&self) -> String {
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

    pub(super) fn for_people(&self) -> String {
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

    pub(super) fn for_programs(&self) -> String {
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

    pub(super) fn before_quote(&self, quote: &Quote<'_>) -> String {
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
pub(super) fn host_of(relay: &str) -> Option<Domain> {
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
