//! Notifications, and the trace above every message. The first octet says what happened, the next eight when the
//! message came; then, with NULs between them: our name, what follows `MAIL FROM:`, the message, and for each
//! recipient what follows `RCPT TO:`, who was asked and what it said.
//!
//! Oracle: a reader of RFC 5322, RFC 2046 and RFC 3464, written here, finds in a notification exactly three parts,
//! the fields that belong there, each once, in their order and not one more, and in them what was put in: the
//! recipients, statuses, the envelope id and the original recipients. What we say are CRLF lines of at most 998
//! octets, 8-bit only where that is declared, and what goes back is the message, or the head of it, octet by octet.
//! The trace is its fields and nothing else; a message with it is the same read in any pieces, and in lines of this
//! system.
#![no_main]

use std::sync::Arc;

use libfuzzer_sys::fuzz_target;
use smap_common::address::Domain;
use smap_common::clock::Timestamp;
use smap_common::envelope::{Envelope, Greeting, Origin};
use smap_common::smtp::command::{BodyType, HeloName, Mail, Recipient};
use smap_common::spool::{Mark, Message, Outcome, QueueId};
use smap_common::status::{Class, Status};
use smap_fuzz::scratch::{Scratch, text};
use smap_fuzz::text::{assert_harmless, has_clean_line_ends, in_lines};
use smapd::content::Content;
use smapd::notify::{Kind, Notice, addressee};

const NOW: Timestamp = Timestamp::from_micros(1_795_247_500_000_000);
const UNTIL: Timestamp = Timestamp::from_micros(1_795_679_311_000_000);

std::thread_local! {
    static SCRATCH: Scratch = Scratch::default();
}

fuzz_target!(|input: &[u8]| {
    let Some((&what, rest)) = input.split_first() else { return };
    let Some((arrived, rest)) = rest.split_first_chunk::<8>() else { return };
    let arrived = Timestamp::from_micros(u64::from_be_bytes(*arrived));
    let mut fields = rest.split(|&octet| octet == 0);
    let mut field = || fields.next().unwrap_or_default();
    let hostname: Domain = words(field()).parse().unwrap_or_else(|_| "gw.example".parse().unwrap());
    let Ok(mail) = Mail::parse(field()) else { return };
    let body = field();
    let (mut recipients, mut marks) = (Vec::new(), Vec::new());
    while let Ok(recipient) = Recipient::parse(field()) {
        recipients.push(recipient);
        marks.push(mark(what, marks.len(), words(field()), words(field())));
    }
    let Some(first) = recipients.first() else { return };
    let greeting = words(body).split(' ').next().and_then(|name| name.parse::<HeloName>().ok());
    let origin = Origin {
        client: (what & 4 != 0).then(|| "[2001:db8::7]:40112".parse().unwrap()),
        greeting: greeting.map(|name| Greeting { name, extended: what & 8 != 0 }),
        ..Origin::default()
    };
    let first = first.address.clone();
    let envelope = Envelope { id: QueueId::new(arrived, 1), arrived, origin, mail, recipients };
    // Lines of a message end as they should; what came from a smap that was taken over may be anything.
    let body = if what & 2 == 0 { in_lines(body) } else { body.to_vec() };
    let message = SCRATCH.with(|scratch| scratch.message(&envelope, &body));
    let kind = match (what & 1, what >> 6) {
        (0, _) => Kind::Failed,
        (_, 0) => Kind::Delivered,
        (_, 1) => Kind::Relayed,
        _ => Kind::Delayed { until: UNTIL },
    };
    assert_notification(kind, &message, &hostname, &marks, &body);
    let message = Arc::new(message);
    assert_trace(&Content::relayed(&message, &hostname), &["Received"], &body);
    let names = ["Return-Path", "Delivered-To", "Received"];
    let sender = message.envelope.mail.sender.clone();
    assert_trace(&Content::delivered(&message, &hostname, sender, &first), &names, &body);
});

fn words(field: &[u8]) -> String {
    String::from_utf8_lossy(field).into_owned()
}

fn mark(what: u8, number: usize, relay: String, reply: String) -> Mark {
    let status = Status::new(Class::Permanent, u16::from(what >> 4), u16::try_from(number).unwrap_or(999));
    Mark {
        recipient: u32::try_from(number).unwrap(),
        at: NOW,
        outcome: Outcome::Failed,
        status,
        relay,
        reply,
    }
}

fn assert_notification(kind: Kind, original: &Message, hostname: &Domain, marks: &[Mark], body: &[u8]) {
    let Some(to) = addressee(&original.envelope) else { return };
    let id: QueueId = "1K3N5Q0ZC0000000000000".parse().unwrap();
    if body.windows(id.as_str().len()).any(|octets| octets == id.as_str().as_bytes()) {
        return; // An id that nobody can know before it is made.
    }
    let recipients = original.envelope.recipients.iter().zip(marks).collect();
    let notice = Notice { kind, original, to, for_owner: false, recipients, id, hostname, now: NOW };
    let report = notice.report().unwrap();
    let mut whole = Vec::new();
    report
        .write_to(|piece| {
            whole.extend_from_slice(piece);
            Ok(())
        })
        .unwrap();

    let top = Entity::read(&whole);
    let mut wanted =
        vec!["From", "To", "Date", "Message-ID", "Subject", "Auto-Submitted", "MIME-Version", "Content-Type"];
    let eight_bit = report.envelope().mail.parameters.body == Some(BodyType::EightBitMime);
    wanted.extend(eight_bit.then_some("Content-Transfer-Encoding"));
    assert_eq!(top.names(), wanted);
    assert_eq!(top.value("To"), format!("<{to}>"));
    assert!(eight_bit || whole.is_ascii());
    assert_eq!(report.envelope().mail.sender.to_string(), "<>");
    let [people, programs, quote] = top.parts(&format!("=_{id}"));
    let end = format!("\r\n--=_{id}--\r\n");
    let before_end = whole.strip_suffix(end.as_bytes()).unwrap();
    assert_ours(before_end.strip_suffix(quote.content).unwrap(), people.content);
    assert_groups(&programs, kind, original, hostname, marks);
    assert_quote(&quote, body);
}

/// What is not of the message itself.
fn assert_ours(ours: &[u8], for_people: &[u8]) {
    assert!(has_clean_line_ends(ours));
    let lines = ours.split(|&octet| octet == b'\n');
    assert!(lines.into_iter().all(|line| line.len() <= 999), "a long line");
    for line in str::from_utf8(for_people).unwrap().split("\r\n") {
        assert_harmless(line);
    }
}

fn assert_quote(quote: &Entity<'_>, body: &[u8]) {
    match quote.value("Content-Type").as_str() {
        "message/rfc822" | "message/global" => assert_eq!(quote.content, body),
        "text/rfc822-headers" | "message/global-headers" => {
            assert!(body.starts_with(quote.content));
            assert!(quote.content.is_empty() || quote.content.ends_with(b"\r\n"));
            assert!(!quote.content.windows(4).any(|octets| octets == b"\r\n\r\n"));
        }
        other => panic!("a part of type {other}"),
    }
}

fn assert_groups(part: &Entity<'_>, kind: Kind, original: &Message, hostname: &Domain, marks: &[Mark]) {
    let global = part.value("Content-Type") == "message/global-delivery-status";
    assert!(global || part.content.is_ascii());
    let text = str::from_utf8(part.content).unwrap();
    let groups: Vec<Vec<Field>> = text.split("\r\n\r\n").map(fields).collect();
    let (of_message, of_recipients) = groups.split_first().unwrap();
    let envid = original.envelope.mail.parameters.envid.as_ref().and_then(|envid| envid.decoded());
    let mut wanted = vec![("Reporting-MTA", Some(format!("dns; {hostname}")))];
    wanted.extend(envid.map(|envid| ("Original-Envelope-Id", Some(envid))));
    wanted.push(("Arrival-Date", None));
    assert_fields(of_message, &wanted);
    assert_eq!(of_recipients.len(), marks.len());
    for ((group, recipient), mark) in of_recipients.iter().zip(&original.envelope.recipients).zip(marks) {
        assert_recipient(group, recipient, mark, kind);
    }
}

fn assert_recipient(group: &[Field], recipient: &Recipient, mark: &Mark, kind: Kind) {
    let has = |name: &str| group.iter().any(|(known, _)| known == name);
    let original = recipient
        .original
        .as_ref()
        .and_then(|original| Some(format!("{}; {}", original.kind(), original.address().decoded()?)));
    let is_reply = mark.reply.get(..3).is_some_and(|code| code.bytes().all(|octet| octet.is_ascii_digit()))
        && matches!(mark.reply.as_bytes().get(3), None | Some(b' ' | b'-'));
    let (action, until) = match kind {
        Kind::Failed => ("failed", false),
        Kind::Delivered => ("delivered", false),
        Kind::Relayed => ("relayed", false),
        Kind::Expanded => ("expanded", false),
        Kind::Delayed { .. } => ("delayed", true),
    };
    let address_type = if recipient.address.is_ascii() { "rfc822" } else { "utf-8" };
    let mut wanted = Vec::new();
    wanted.extend(original.map(|original| ("Original-Recipient", Some(original))));
    wanted.push(("Final-Recipient", Some(format!("{address_type}; {}", recipient.address))));
    wanted.push(("Action", Some(action.to_owned())));
    wanted.push(("Status", Some(mark.status.to_string())));
    wanted.extend(has("Remote-MTA").then_some(("Remote-MTA", None)));
    wanted.extend(is_reply.then(|| ("Diagnostic-Code", said(&mark.reply))));
    wanted.push(("Last-Attempt-Date", None));
    wanted.extend(until.then_some(("Will-Retry-Until", None)));
    assert_fields(group, &wanted);
}

/// What a reply becomes, where it is short and plain.
fn said(reply: &str) -> Option<String> {
    let plain = reply.len() < 256 && reply.bytes().all(|octet| (b' '..=b'~').contains(&octet));
    plain.then(|| format!("smtp; {}", reply.split_whitespace().collect::<Vec<_>>().join(" ")))
}

fn assert_fields(fields: &[Field], wanted: &[(&str, Option<String>)]) {
    let names: Vec<&str> = fields.iter().map(|(name, _)| name.as_str()).collect();
    assert_eq!(names, wanted.iter().map(|(name, _)| *name).collect::<Vec<_>>());
    for ((name, value), (_, wanted)) in fields.iter().zip(wanted) {
        assert_harmless(value);
        assert!(wanted.as_ref().is_none_or(|wanted| wanted == value), "{name}: {value:?} is not {wanted:?}");
        assert!(!value.is_empty() || wanted.is_some(), "{name} is empty");
    }
}

fn assert_trace(content: &Content, names: &[&str], body: &[u8]) {
    let trace = content.trace();
    let header = trace.strip_suffix("\r\n").unwrap();
    assert_eq!(fields(header).iter().map(|(name, _)| name.as_str()).collect::<Vec<_>>(), names);
    assert!(has_clean_line_ends(trace.as_bytes()) && trace.split("\r\n").all(|line| line.len() <= 998));
    let whole = [trace.as_bytes(), body].concat();
    assert_eq!(usize::try_from(content.length()).unwrap(), whole.len());
    assert_eq!(text(&content.message().body), body);
    for length in [7, 1000] {
        let (mut read, mut buffer) = (Vec::new(), vec![0; length]);
        loop {
            match content.read_at(u64::try_from(read.len()).unwrap(), &mut buffer).unwrap() {
                0 => break,
                octets => read.extend_from_slice(&buffer[..octets]),
            }
        }
        assert_eq!(read, whole);
    }
    let mut local = Vec::new();
    content.write_local(&mut local).unwrap();
    assert_eq!(local, in_lines_of_this_system(&whole));
}

/// Each CRLF is a LF; nothing else is changed.
fn in_lines_of_this_system(text: &[u8]) -> Vec<u8> {
    let followed_by_lf = |at: usize| text.get(at + 1) == Some(&b'\n');
    let kept = text.iter().enumerate().filter(|(at, octet)| **octet != b'\r' || !followed_by_lf(*at));
    kept.map(|(_, octet)| *octet).collect()
}

type Field = (String, String);

/// The fields of a header, unfolded (RFC 5322 section 2.2.3).
fn fields(header: &str) -> Vec<Field> {
    let mut fields: Vec<Field> = Vec::new();
    for line in header.split("\r\n").filter(|line| !line.is_empty()) {
        if let Some((_, value)) = fields.last_mut().filter(|_| line.starts_with([' ', '\t'])) {
            *value += " ";
            *value += line.trim_start_matches([' ', '\t']);
            continue;
        }
        let (name, value) = line.split_once(':').unwrap();
        assert!(!name.is_empty() && name.bytes().all(|octet| octet.is_ascii_graphic()), "{line}");
        fields.push((name.to_owned(), value.strip_prefix(' ').unwrap_or(value).to_owned()));
    }
    fields
}

/// A message, or a part of one.
struct Entity<'a> {
    fields: Vec<Field>,
    content: &'a [u8],
}

impl<'a> Entity<'a> {
    fn read(octets: &'a [u8]) -> Self {
        let end = octets.windows(4).position(|octets| octets == b"\r\n\r\n").unwrap();
        let header = str::from_utf8(&octets[..end]).unwrap();
        Self { fields: fields(header), content: &octets[end + 4..] }
    }

    fn names(&self) -> Vec<&str> {
        self.fields.iter().map(|(name, _)| name.as_str()).collect()
    }

    fn value(&self, name: &str) -> String {
        let mut found = self.fields.iter().filter(|(known, _)| known.eq_ignore_ascii_case(name));
        let (_, value) = found.next().unwrap_or_else(|| panic!("there is no {name}"));
        assert!(found.next().is_none(), "{name} twice");
        value.clone()
    }

    /// RFC 2046 section 5.1.1: each behind its delimiter, which begins with the end of the line before.
    fn parts(&self, boundary: &str) -> [Entity<'a>; 3] {
        assert!(self.value("Content-Type").ends_with(&format!("boundary=\"{boundary}\"")));
        let delimiter = format!("\r\n--{boundary}");
        let at: Vec<usize> = (0..self.content.len())
            .filter(|at| self.content[*at..].starts_with(delimiter.as_bytes()))
            .collect();
        let [first, second, third, last] = at[..] else { panic!("{} delimiters", at.len()) };
        assert_eq!(&self.content[last + delimiter.len()..], b"--\r\n");
        [(first, second), (second, third), (third, last)].map(|(from, to)| {
            let part = self.content[from + delimiter.len()..to].strip_prefix(b"\r\n").unwrap();
            Entity::read_part(part)
        })
    }

    fn read_part(part: &'a [u8]) -> Self {
        let entity = Self::read(part);
        let allowed = ["Content-Description", "Content-Type", "Content-Transfer-Encoding"];
        assert!(allowed.starts_with(&entity.names()) && entity.fields.len() >= 2);
        assert!(entity.fields.len() == 3 || entity.content.is_ascii(), "8-bit octets are not declared");
        entity
    }
}
