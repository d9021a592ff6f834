//! The files of the spool. The first octet says which kind follows.
//!
//! Oracle of a message file, to which a right END record is added where the input asks for it, and which is then
//! changed in one octet where it asks for that: what is read as a message has the checksum of a CRC-32 that is
//! computed here, and is covered by its END record to the last octet; written again by `Draft` it reads the same;
//! cut short or with another octet it is never a message.
//! Oracle of a state file: whatever stands before them, the marks that are added read back, on one line each;
//! written again they are the same file.
#![no_main]

use std::fs::File;
use std::io::Write;
use std::os::fd::AsFd;

use libfuzzer_sys::fuzz_target;
use smap_common::clock::Timestamp;
use smap_common::spool::{Mark, Message, Opened, Outcome, QueueId, QueueState, StateFile, state_name};
use smap_common::status::{Class, Status};
use smap_fuzz::scratch::{Scratch, text};

/// Length of the END record.
const END: usize = 64;

std::thread_local! {
    static SCRATCH: Scratch = Scratch::default();
}

fuzz_target!(|input: &[u8]| {
    let Some((kind, input)) = input.split_first() else { return };
    SCRATCH.with(|scratch| match kind {
        b's' => assert_state(scratch, input),
        _ => assert_message(scratch, *kind, input),
    });
});

fn id() -> QueueId {
    "1K3N5Q0ZB7R2M4D8XJ9WTV".parse().unwrap()
}

/// CRC-32 of ISO 3309, bit by bit.
fn crc32(octets: &[u8]) -> u32 {
    let mut register = u32::MAX;
    for octet in octets {
        register ^= u32::from(*octet);
        for _ in 0..8 {
            let carry = register & 1;
            register = (register >> 1) ^ (0xedb8_8320 * carry);
        }
    }
    !register
}

/// `e` adds an END record, `r` too and takes what follows the body as records; `x` adds one and changes an octet. Six
/// octets say how long the body is, how long the records, and which octet is changed.
fn assert_message(scratch: &Scratch, kind: u8, input: &[u8]) {
    let Some((head, covered)) = input.split_first_chunk::<6>() else { return };
    let [body, records, at] =
        [0, 2, 4].map(|part| usize::from(head[part]) << 8 | usize::from(head[part + 1]));
    let body = body.min(covered.len());
    let records = if kind == b'r' { records.min(covered.len() - body) } else { 0 };
    let mut file = covered.to_vec();
    if matches!(kind, b'e' | b'r' | b'x') {
        let checksum = crc32(covered);
        file.extend(format!("END body={body:020} records={records:010} crc32={checksum:08x}\n").bytes());
    }
    let Opened::Message(message) = scratch.open(id(), &file) else { return };
    assert_whole(&file, &message);
    assert_eq!(message.envelope.id, id());
    let body = text(&message.body);
    let again = scratch.message(&message.envelope, &body);
    assert_eq!((&again.envelope, text(&again.body)), (&message.envelope, body));

    let cut = &file[..at % file.len()];
    assert!(!matches!(scratch.open(id(), cut), Opened::Message(_)), "cut at {}", cut.len());
    if kind == b'x' {
        let at = at % file.len();
        file[at] ^= 1 << (at % 8);
        assert!(!matches!(scratch.open(id(), &file), Opened::Message(_)), "octet {at}");
    }
}

fn assert_whole(file: &[u8], message: &Message) {
    let (covered, end) = file.split_at(file.len() - END);
    let end = str::from_utf8(end).unwrap();
    let number = |name: &str, digits: usize, radix: u32| {
        let at = end.find(name).unwrap() + name.len();
        u64::from_str_radix(&end[at..at + digits], radix).unwrap()
    };
    assert_eq!(number("crc32=", 8, 16), u64::from(crc32(covered)));
    assert_eq!(number("body=", 20, 10), message.body.length());
    let records = usize::try_from(number("records=", 10, 10)).unwrap();
    let body = text(&message.body);
    let before_records = &covered[..covered.len() - records];
    assert!(before_records.ends_with(&body));
    let head = &before_records[..before_records.len() - body.len()];
    assert!(head.starts_with(b"smap 1\n") && head.ends_with(b"\n\n"));
}

/// What stands in the file before, after the first NUL the mark: its recipient, outcome, status, relay and reply.
fn assert_state(scratch: &Scratch, input: &[u8]) {
    let mut parts = input.splitn(3, |&octet| octet == 0);
    let before = parts.next().unwrap_or_default();
    let Some((&[recipient, outcome, subject, detail], relay)) =
        parts.next().and_then(|rest| rest.split_first_chunk::<4>())
    else {
        return;
    };
    let at = Timestamp::from_micros(1_795_247_311_123_456);
    let mark = Mark {
        recipient: u32::from(recipient) * 0x0101_0101,
        at,
        outcome: [Outcome::Delivered, Outcome::Failed, Outcome::Deferred][usize::from(outcome % 3)],
        status: Status::new(Class::Transient, u16::from(subject) * 4, u16::from(detail) * 4),
        relay: String::from_utf8_lossy(relay).into_owned(),
        reply: String::from_utf8_lossy(parts.next().unwrap_or_default()).into_owned(),
    };
    let path = scratch.path(&state_name(id()));
    File::create(&path).unwrap().write_all(before).unwrap();
    let known = QueueState::parse(before);
    let state = added(scratch, &mark);
    let read = state.marks[&mark.recipient].clone();
    assert_eq!(
        (read.recipient, read.at, read.outcome, read.status),
        (mark.recipient, mark.at, mark.outcome, mark.status)
    );
    assert!(
        !read.reply.contains(char::is_control) && !read.relay.contains(|c: char| c.is_control() || c == ' ')
    );
    let clean = |text: &str| !text.contains(|c: char| c.is_control()) && text.len() <= 512;
    assert!(!clean(&mark.reply) || read.reply == mark.reply);
    assert!(!clean(&mark.relay) || mark.relay.contains(' ') || read.relay == mark.relay);
    assert_eq!((state.attempts, state.next), (known.attempts, known.next), "what was known is known still");
    for (recipient, mark) in known.marks.iter().filter(|(recipient, _)| **recipient != read.recipient) {
        assert_eq!(state.marks.get(recipient), Some(mark));
    }

    assert_eq!(added(scratch, &read), state);
    let mut file = StateFile::open(scratch.handle().as_fd(), id()).unwrap();
    file.next(7, at).unwrap();
    file.warned(at).unwrap();
    file.told(at).unwrap();
    let last = load(scratch);
    assert_eq!((last.attempts, last.next, last.warned, last.told), (7, Some(at), Some(at), Some(at)));
    assert_eq!(last.marks, state.marks);
    std::fs::remove_file(path).unwrap();
}

fn added(scratch: &Scratch, mark: &Mark) -> QueueState {
    let mut file = StateFile::open(scratch.handle().as_fd(), id()).unwrap();
    file.mark(std::slice::from_ref(mark)).unwrap();
    load(scratch)
}

fn load(scratch: &Scratch) -> QueueState {
    QueueState::load(scratch.handle().as_fd(), id()).unwrap().unwrap()
}
