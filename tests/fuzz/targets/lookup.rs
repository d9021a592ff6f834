//! A packet of smap-lookup: a question, or an answer.
//!
//! Oracle: what is decoded encodes to the same octets, so there is one way to say a thing. A packet that is cut
//! short, or goes on, is none. No name holds what could forge a line of a log.
#![no_main]

use libfuzzer_sys::fuzz_target;
use smap_common::lookup::{Answer, Answered, Asked, Failure, MAX_RECORDS, Name, Question};
use smap_fuzz::text::assert_harmless;

fn assert_whole(packet: &[u8], decodes: impl Fn(&[u8]) -> bool) {
    for cut in (0..packet.len()).rev().take(64).chain(0..packet.len().min(64)) {
        assert!(!decodes(&packet[..cut]), "cut to {cut} octets");
    }
    assert!(!decodes(&[packet, &[0]].concat()));
}

fn asked_name(question: &Question) -> Option<&Name> {
    match question {
        Question::Addresses { host: name }
        | Question::Mx { domain: name }
        | Question::Texts { name }
        | Question::Tlsa { host: name, .. } => Some(name),
        Question::Names { .. } | Question::User { .. } | Question::Recipient { .. } => None,
    }
}

fn check<T>(outcome: &Result<smap_common::lookup::Found<T>, Failure>, name: impl Fn(&T) -> Option<&Name>) {
    match outcome {
        Ok(found) => {
            assert!((1..=MAX_RECORDS).contains(&found.records.len()));
            found.records.iter().filter_map(name).for_each(|name| assert_harmless(name.as_str()));
        }
        Err(Failure::Temporary(why)) => assert!(!why.chars().any(char::is_control)),
        Err(Failure::NoSuchName | Failure::NoRecords) => {}
    }
}

fuzz_target!(|packet: &[u8]| {
    if let Some(asked) = Asked::decode(packet) {
        assert_eq!(asked.encode(), packet);
        assert_whole(packet, |packet| Asked::decode(packet).is_some());
        asked_name(&asked.question).into_iter().for_each(|name| assert_harmless(name.as_str()));
    }
    if let Some(answered) = Answered::decode(packet) {
        assert_eq!(answered.encode(), packet);
        assert_whole(packet, |packet| Answered::decode(packet).is_some());
        match &answered.answer {
            Answer::Addresses(outcome) => check(outcome, |_| None),
            Answer::Mx(outcome) => check(outcome, |mx| Some(&mx.exchange)),
            Answer::Names(outcome) => check(outcome, |name: &Name| Some(name)),
            Answer::Texts(outcome) => check(outcome, |_| None),
            Answer::Tlsa(outcome) => check(outcome, |_| None),
            Answer::User(outcome) | Answer::Recipient(outcome) => {
                check(outcome, |_| None);
                let texts = outcome.iter().flat_map(|found| &found.records);
                assert!(texts.flat_map(|text| text.chars()).all(|c| !c.is_control()));
            }
        }
    }
});
