//! A packet between smapctl and smapd: an order, or what became of it.
//!
//! Oracle: what is decoded encodes to the same octets, so there is one way to say a thing, and what is made of any
//! words decodes to itself. A packet that is cut short, or goes on, is none. What is read of one takes no more memory
//! than a few times its length, whatever it says of its own.
#![no_main]

use std::alloc::System;

use cap::Cap;
use libfuzzer_sys::fuzz_target;
use smap_common::clock::Timestamp;
use smap_common::spool::QueueId;
use smapd::control::{Effect, MAX_IDS, MAX_TEXT, Refusal, Reply, Request, Verb, Whom};

#[global_allocator]
static HEAP: Cap<System> = Cap::new(System, usize::MAX);

/// Octets of a domain.
const MAX_DOMAIN: usize = 255;

/// Decodes, and looks what that costs. Lists grow by doubling; what they hold is little longer than its octets.
fn decoded<T>(packet: &[u8], decode: impl Fn(&[u8]) -> Option<T>) -> Option<T> {
    let before = HEAP.allocated();
    let decoded = decode(packet);
    let used = HEAP.allocated().saturating_sub(before);
    assert!(used <= 4 * packet.len() + 256, "{used} octets for {}", packet.len());
    decoded
}

fn assert_whole(packet: &[u8], decodes: impl Fn(&[u8]) -> bool) {
    for cut in (0..packet.len()).rev().take(64).chain(0..packet.len().min(64)) {
        assert!(!decodes(&packet[..cut]), "cut to {cut} octets");
    }
    assert!(!decodes(&[packet, &[0]].concat()));
}

fn assert_bounded(request: &Request) {
    assert!(request.verb.text().len() <= MAX_TEXT);
    match &request.whom {
        Whom::All => {}
        Whom::Domain(domain) => assert!(domain.len() <= MAX_DOMAIN),
        Whom::Ids(ids) => assert!(ids.len() <= MAX_IDS),
    }
}

/// The beginning of a text that is no longer than this.
fn cut(text: &str, most: usize) -> String {
    text[..text.floor_char_boundary(most)].to_owned()
}

fn ids(octets: &[u8]) -> impl Iterator<Item = QueueId> {
    octets.iter().zip(0..).map(|(octet, at)| QueueId::new(Timestamp::from_micros(at), u64::from(*octet)))
}

/// Something that may be ordered, made of these words.
fn request(kind: u8, words: &str, rest: &[u8]) -> Request {
    let verb = match kind % 5 {
        0 => Verb::Hold,
        1 => Verb::Release,
        2 => Verb::Retry,
        3 => Verb::Delete,
        _ => Verb::Bounce(cut(words, MAX_TEXT)),
    };
    let whom = match kind / 5 % 3 {
        0 => Whom::All,
        1 => Whom::Domain(cut(words, MAX_DOMAIN)),
        _ => Whom::Ids(ids(rest).take(MAX_IDS).collect()),
    };
    Request { verb, whom }
}

/// Something that may be answered.
fn reply(kind: u8, words: &str, rest: &[u8]) -> Reply {
    let effect = |octet: &u8| match octet % 7 {
        0 => Effect::Done,
        1 => Effect::AfterAttempt,
        2 => Effect::UnderWay,
        3 => Effect::Held,
        4 => Effect::NotHeld,
        5 => Effect::Unknown,
        _ => Effect::Failed(cut(words, MAX_TEXT)),
    };
    match kind % 5 {
        0 => Reply::Done,
        1 => Reply::Refused(Refusal::NotUnderstood),
        2 => Reply::Refused(Refusal::NotPermitted),
        3 => Reply::Refused(Refusal::Busy),
        _ => Reply::Effects(ids(rest).zip(rest.iter().map(effect)).collect()),
    }
}

fuzz_target!(|packet: &[u8]| {
    if let Some(request) = decoded(packet, Request::decode) {
        assert_eq!(request.encode(), packet);
        assert_bounded(&request);
        assert_whole(packet, |packet| Request::decode(packet).is_some());
    }
    if let Some(reply) = decoded(packet, Reply::decode) {
        assert_eq!(reply.encode(), packet);
        assert_whole(packet, |packet| Reply::decode(packet).is_some());
    }
    if let [kind, at, rest @ ..] = packet {
        let (words, rest) = rest.split_at(rest.len().min(usize::from(*at) * 4));
        let words = String::from_utf8_lossy(words);
        let (request, reply) = (request(*kind, &words, rest), reply(*kind, &words, rest));
        assert_eq!(Request::decode(&request.encode()), Some(request));
        assert_eq!(Reply::decode(&reply.encode()), Some(reply));
    }
});
