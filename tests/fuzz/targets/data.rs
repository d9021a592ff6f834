//! What follows DATA and BDAT, and what is sent after DATA. Eight octets say how the rest is cut.
//!
//! Oracle: over the whole input, and without a state machine, it is said where a message ends, what its first fault
//! is and what it is made of; the machines say the same, in whatever pieces they get it. What comes out of one has
//! no bare CR, no bare LF and no NUL; what is sent reads back as the same lines.
#![no_main]

use libfuzzer_sys::fuzz_target;
use smap_common::smtp::data::{Checker, Decoded, Decoder, LineFault, ReceivedCounter, Stuffer};
use smap_fuzz::cuts::Cuts;
use smap_fuzz::text::{Fault, first_line_fault, has_clean_line_ends, in_lines};

fuzz_target!(|input: &[u8]| {
    let Some((cuts, text)) = Cuts::split_off(input) else { return };
    assert_decodes(text, cuts);
    assert_checks(text, cuts);
    assert_stuffs(text, cuts);
    assert_counts(&in_lines(text), cuts);
});

fn blamed(fault: Fault) -> LineFault {
    match fault {
        Fault::Cr => LineFault::BareCr,
        Fault::Lf => LineFault::BareLf,
        Fault::Nul => LineFault::Nul,
    }
}

/// The octets up to the first `<CRLF>.<CRLF>`, where a CRLF stands before the first of them.
fn body(text: &[u8]) -> Option<&[u8]> {
    let framed = [b"\r\n", text].concat();
    let at = framed.windows(5).position(|octets| octets == b"\r\n.\r\n")?;
    text.get(..at + 3)
}

/// Lines without the dots that SMTP adds.
fn unstuffed(body: &[u8]) -> Vec<u8> {
    let mut lines: Vec<&[u8]> = Vec::new();
    let mut rest = body.strip_suffix(b".\r\n").unwrap();
    while let Some(end) = rest.windows(2).position(|octets| octets == b"\r\n") {
        let (line, after) = rest.split_at(end + 2);
        lines.push(line.strip_prefix(b".").unwrap_or(line));
        rest = after;
    }
    lines.concat()
}

fn decoded(text: &[u8], cuts: Cuts) -> (Decoded, Option<LineFault>, Vec<u8>) {
    let (mut decoder, mut message, mut consumed) = (Decoder::default(), Vec::new(), 0);
    for piece in cuts.pieces(text) {
        let decoded = decoder.decode(piece, &mut message);
        consumed += decoded.consumed;
        assert!(decoded.ended || decoded.consumed == piece.len());
        if decoded.ended {
            return (Decoded { consumed, ended: true }, decoder.fault(), message);
        }
    }
    (Decoded { consumed, ended: false }, decoder.fault(), message)
}

fn assert_decodes(text: &[u8], cuts: Cuts) {
    let whole = decoded(text, Cuts::WHOLE);
    assert_eq!(decoded(text, cuts), whole);
    assert_eq!(decoded(text, Cuts::SINGLE), whole);
    let (decoded, fault, message) = whole;
    let body = body(text);
    assert_eq!(decoded.ended, body.is_some());
    let taken = body.unwrap_or(text);
    assert_eq!(decoded.consumed, taken.len());
    assert_eq!(fault, first_line_fault(taken).map(blamed));
    assert!(first_line_fault(&message).is_none());
    if body.is_some() && fault.is_none() {
        assert_eq!(message, unstuffed(taken));
        assert!(has_clean_line_ends(&message));
    }
}

fn assert_checks(text: &[u8], cuts: Cuts) {
    let mut checker = Checker::default();
    cuts.pieces(text).for_each(|piece| checker.check(piece));
    let at_end = text.ends_with(b"\r").then_some(Fault::Cr);
    assert_eq!(checker.fault_at_end(), first_line_fault(text).or(at_end).map(blamed));
    assert_eq!(checker.ends_line(), text.is_empty() || text.ends_with(b"\r\n"));
}

fn stuffed(text: &[u8], cuts: Cuts) -> Vec<u8> {
    let (mut stuffer, mut wire) = (Stuffer::default(), Vec::new());
    cuts.pieces(text).for_each(|piece| stuffer.stuff(piece, &mut wire));
    stuffer.finish(&mut wire);
    wire
}

fn assert_stuffs(text: &[u8], cuts: Cuts) {
    let wire = stuffed(text, cuts);
    assert_eq!(stuffed(text, Cuts::WHOLE), wire);
    assert!(has_clean_line_ends(&wire));
    assert_eq!(body(&wire), Some(wire.as_slice()), "it ends where it ends");
    assert_eq!(unstuffed(&wire), in_lines(text));
    assert_eq!(decoded(&wire, cuts).2, in_lines(text));
}

/// RFC 5322 section 2.2: a field begins a line, and an empty line ends the header. Section 4.5.8: before the colon
/// may be spaces and tabs.
fn assert_counts(text: &[u8], cuts: Cuts) {
    let mut counter = ReceivedCounter::new();
    cuts.pieces(text).for_each(|piece| counter.read(piece));
    let lines = text.split(|&octet| octet == b'\n').map(|line| line.strip_suffix(b"\r").unwrap_or(line));
    let is_received = |line: &&[u8]| {
        let name = line.split(|&octet| octet == b':').next().filter(|name| name.len() < line.len());
        name.and_then(|name| str::from_utf8(name).ok())
            .is_some_and(|name| name.trim_end_matches([' ', '\t']).eq_ignore_ascii_case("received"))
    };
    let wanted = lines.take_while(|line| !line.is_empty()).filter(is_received).count();
    assert_eq!(usize::try_from(counter.count()).unwrap(), wanted);
}
