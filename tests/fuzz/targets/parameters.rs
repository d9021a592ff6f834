//! The parameters of MAIL and RCPT. The input is what follows `MAIL FROM:`, and after each LF what follows `RCPT
//! TO:`.
//!
//! Oracle: behind a good path, parameters are taken exactly where a second reading of the RFCs, written here, takes
//! them (RFC 1870, RFC 3461, RFC 6152, RFC 6531; no other keyword, none twice), with the values that it finds. What
//! was taken goes through an envelope and comes back the same.
#![no_main]

use libfuzzer_sys::fuzz_target;
use smap_common::address::{ReversePath, parse_path};
use smap_common::clock::Timestamp;
use smap_common::envelope::{Envelope, Origin};
use smap_common::smtp::command::{Mail, Recipient};
use smap_common::smtp::dsn::Xtext;
use smap_common::spool::QueueId;
use smap_fuzz::text::assert_harmless;

fuzz_target!(|input: &[u8]| {
    let mut lines = input.split(|&octet| octet == b'\n');
    let sender = lines.next().unwrap_or_default();
    let mail = Mail::parse(sender).ok();
    let path = ReversePath::parse_prefix(sender).ok();
    let wanted = path.as_ref().and_then(|(_, rest)| reading(rest, mail_parameter_or_flag));
    assert_eq!(mail.is_some(), wanted.is_some());
    if let (Some(mail), Some(wanted)) = (&mail, wanted) {
        assert_says(&mail.to_string(), &wanted);
        mail.parameters.envid.as_ref().inspect(|envid| assert_decodes(envid));
    }
    let mut recipients = Vec::new();
    for line in lines {
        let recipient = Recipient::parse(line).ok();
        let wanted = parse_path(line).ok().and_then(|(_, rest)| reading(rest, rcpt_parameter));
        assert_eq!(recipient.is_some(), wanted.is_some());
        if let (Some(recipient), Some(wanted)) = (recipient, wanted) {
            assert_says(&recipient.to_string(), &wanted);
            recipient.original.as_ref().inspect(|original| assert_decodes(original.address()));
            recipients.push(recipient);
        }
    }
    if let Some(mail) = mail.filter(|_| !recipients.is_empty()) {
        assert_envelope(mail, recipients);
    }
});

fn assert_envelope(mail: Mail, recipients: Vec<Recipient>) {
    let arrived = Timestamp::from_micros(1_795_247_311_123_456);
    let id = QueueId::new(arrived, 1);
    let envelope = Envelope { id, arrived, origin: Origin::default(), mail, recipients };
    let mut text = Vec::new();
    envelope.write(&mut text);
    let length = text.len();
    text.extend_from_slice(b"body\r\n\n");
    assert_eq!(Envelope::parse(&text), Ok((envelope, length)));
}

/// A keyword in capitals, and the value as it is to be kept.
type Reading = (String, String);

/// The parameters behind a path; `None` where they are not to be taken.
fn reading(rest: &[u8], judge: fn(&str, Option<&str>) -> Option<String>) -> Option<Vec<Reading>> {
    let text = str::from_utf8(rest).ok()?;
    if !text.is_empty() && !text.starts_with(|c: char| c.is_ascii_whitespace()) {
        return None;
    }
    let mut found: Vec<Reading> = Vec::new();
    for word in text.split_ascii_whitespace() {
        let (keyword, value) = word.split_once('=').map_or((word, None), |(word, value)| (word, Some(value)));
        let keyword = keyword.to_ascii_uppercase();
        let value = judge(&keyword, value)?;
        if found.iter().any(|(known, _)| *known == keyword) {
            return None;
        }
        found.push((keyword, value));
    }
    Some(found)
}

fn mail_parameter(keyword: &str, value: Option<&str>) -> Option<String> {
    match (keyword, value?) {
        ("SIZE", value) if (1..=20).contains(&value.len()) && value.bytes().all(|b| b.is_ascii_digit()) => {
            let size: u128 = value.parse().unwrap();
            Some(size.min(u64::MAX.into()).to_string())
        }
        ("BODY", value) => one_of(value, &["7BIT", "8BITMIME"]),
        ("RET", value) => one_of(value, &["FULL", "HDRS"]),
        ("ENVID", value) if value.len() <= 100 && is_xtext(value) => Some(value.to_owned()),
        _ => None,
    }
}

/// `SMTPUTF8` alone has no value.
fn mail_parameter_or_flag(keyword: &str, value: Option<&str>) -> Option<String> {
    if keyword == "SMTPUTF8" { value.is_none().then(String::new) } else { mail_parameter(keyword, value) }
}

fn rcpt_parameter(keyword: &str, value: Option<&str>) -> Option<String> {
    match (keyword, value?) {
        ("NOTIFY", value) => notify(&value.to_ascii_uppercase()),
        ("ORCPT", value) => {
            let (kind, address) = value.split_once(';')?;
            let atom = !kind.is_empty() && kind.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-');
            (atom && value.len() <= 500 && is_xtext(address)).then(|| value.to_owned())
        }
        _ => None,
    }
}

fn notify(value: &str) -> Option<String> {
    const EVENTS: [&str; 3] = ["SUCCESS", "FAILURE", "DELAY"];
    if value == "NEVER" {
        return Some(value.to_owned());
    }
    let words: Vec<&str> = value.split(',').collect();
    let once = |word: &&str| words.iter().filter(|other| *other == word).count() == 1;
    let good = words.iter().all(|word| EVENTS.contains(word) && once(word));
    good.then(|| EVENTS.into_iter().filter(|event| words.contains(event)).collect::<Vec<_>>().join(","))
}

fn one_of(value: &str, words: &[&str]) -> Option<String> {
    let value = value.to_ascii_uppercase();
    words.contains(&value.as_str()).then_some(value)
}

/// RFC 3461 section 4: printable ASCII but `+` and `=`, and `+` with two digits in capitals.
fn is_xtext(text: &str) -> bool {
    let mut parts = text.split('+');
    let plain = |part: &str| part.bytes().all(|b| (b'!'..=b'~').contains(&b) && b != b'=');
    let hexadecimal = |part: &str| {
        part.len() >= 2 && part.bytes().take(2).all(|b| b.is_ascii_digit() || (b'A'..=b'F').contains(&b))
    };
    !text.is_empty() && parts.next().is_some_and(plain) && parts.all(|part| hexadecimal(part) && plain(part))
}

fn assert_decodes(text: &Xtext) {
    let mut wanted = Vec::new();
    for (number, part) in text.as_str().split('+').enumerate() {
        let (digits, plain) = if number == 0 { ("", part) } else { part.split_at(2) };
        wanted.extend(u8::from_str_radix(digits, 16).ok());
        wanted.extend_from_slice(plain.as_bytes());
    }
    let printable = wanted.iter().all(|octet| (b' '..=b'~').contains(octet));
    assert_eq!(text.decoded().map(String::into_bytes), printable.then_some(wanted));
}

fn assert_says(printed: &str, wanted: &[Reading]) {
    assert_harmless(printed);
    for (keyword, value) in wanted {
        let word = if value.is_empty() { format!(" {keyword}") } else { format!(" {keyword}={value}") };
        assert!(format!("{printed} ").contains(&format!("{word} ")), "{word} is not in {printed}");
    }
}
