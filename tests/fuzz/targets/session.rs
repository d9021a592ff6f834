//! A whole session of smap: arbitrary octets, arbitrary answers to what it asks, a disk that fails. Eight octets
//! say how the rest is cut, four set the limits and eight the answers; `0xff N OCTET` stands for N times 1024
//! octets.
//!
//! Oracle: whatever the pieces, the transcript is the same: what is said, asked and stored. Every reply is well
//! formed (RFC 5321 section 4.2) and at most 512 octets. Nothing positive is said after a text without the proof
//! that the message is stored; what is stored is within the limits, has clean lines, and the sender and recipients
//! to which yes was said. Memory is bounded, and the session always comes to its next read, or to its end.
#![no_main]

use std::alloc::System;

use cap::Cap;
use libfuzzer_sys::fuzz_target;
use netperm::ClientName;
use smap::session::{Action, Answer, Consent, Input, Limits, Question, Refusal, Session, Ticket};
use smap_common::clock::Timestamp;
use smap_common::envelope::{Envelope, Origin};
use smap_common::smtp::command::Recipient;
use smap_common::spool::{Committed, Draft, QueueId, StoreError, Void};
use smap_common::status::{Class, Status};
use smap_fuzz::cuts::{Cuts, unrolled};
use smap_fuzz::memory::{Disk, Memory, MemoryFile};
use smap_fuzz::text::{assert_harmless, has_clean_line_ends};

#[global_allocator]
static HEAP: Cap<System> = Cap::new(System, usize::MAX);

/// As much as the program reads at a time.
const READ: usize = 32 * 1024;
/// Most memory that a session may hold between two reads: what it got last, a buffer for a body, its envelope.
const MOST_MEMORY: usize = 512 * 1024;
/// ENOSPC, EMFILE and EIO, each with another reply.
const ERRORS: [i32; 3] = [28, 24, 5];

fuzz_target!(|input: &[u8]| {
    let Some((cuts, rest)) = Cuts::split_off(input) else { return };
    let Some((limits, rest)) = rest.split_first_chunk::<4>() else { return };
    let Some((answers, rest)) = rest.split_first_chunk::<8>() else { return };
    let stream = unrolled(rest);
    let run = |cuts: Cuts| Run::new(*limits, *answers).life(&stream, cuts);
    let whole = run(Cuts::WHOLE);
    assert_eq!(run(cuts), whole);
    if stream.len() < 2048 {
        assert_eq!(run(Cuts::SINGLE), whole);
    }
});

/// What is the same for all ways to cut the stream.
#[derive(Debug, Default, PartialEq, Eq)]
struct Transcript {
    said: String,
    asked: Vec<String>,
    stored: Vec<Vec<u8>>,
    closed: bool,
}

struct Run {
    session: Session,
    limits: Limits,
    answers: std::iter::Cycle<std::array::IntoIter<u8, 8>>,
    folder: Memory,
    draft: Option<Draft<MemoryFile>>,
    /// A write failed: the end of the message tells.
    failed: Option<StoreError>,
    written: Vec<u8>,
    /// Those of the transaction to whom yes was said.
    recipients: Vec<Recipient>,
    /// Something was to be thrown away.
    discarded: bool,
    tickets: u64,
    names_asked: u32,
    /// 354 was said, and nothing about the text yet.
    in_text: bool,
    errors: u32,
    transcript: Transcript,
}

/// What a step was told, as far as its replies depend on it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Told {
    Stored(QueueId),
    Other,
}

impl Run {
    fn new([octets, recipients, messages, errors]: [u8; 4], answers: [u8; 8]) -> Self {
        let limits = Limits {
            max_octets: u64::from(octets) * 64 + 1,
            max_recipients: u32::from(recipients % 32) + 1,
            max_messages: u32::from(messages % 32) + 1,
            max_errors: u32::from(errors % 32) + 1,
        };
        Self {
            session: Session::new("gw.example", limits.clone(), Origin::default()),
            limits,
            answers: answers.into_iter().cycle(),
            folder: Memory::default(),
            draft: None,
            failed: None,
            written: Vec::new(),
            recipients: Vec::new(),
            discarded: false,
            tickets: 0,
            names_asked: 0,
            in_text: false,
            errors: 0,
            transcript: Transcript::default(),
        }
    }

    fn life(mut self, stream: &[u8], cuts: Cuts) -> Transcript {
        let before = HEAP.allocated();
        self.proceed(Input::Begin, 0);
        for piece in cuts.pieces(stream).flat_map(|piece| piece.chunks(READ)) {
            if self.transcript.closed {
                break;
            }
            self.proceed(Input::Received(piece), piece.len());
            let used = HEAP.allocated().saturating_sub(before);
            let own = self.own_memory();
            assert!(used < MOST_MEMORY + own, "{used} octets in use, {own} of them ours");
        }
        if !self.transcript.closed {
            self.proceed(Input::IdleTimeout, 0);
            assert!(self.transcript.closed, "a time-out ends every session");
        }
        assert_eq!(usize::try_from(self.session.totals().messages).unwrap(), self.transcript.stored.len());
        self.transcript
    }

    /// What is kept here, generously: it is not the session's.
    fn own_memory(&self) -> usize {
        let asked = self.transcript.asked.iter().map(|asked| asked.capacity() + 64).sum::<usize>();
        let stored = self.transcript.stored.iter().map(|stored| stored.capacity() + 64).sum::<usize>();
        2 * (self.transcript.said.capacity() + asked + stored + self.written.capacity())
    }

    /// Steps the session until it reads, or is at its end.
    fn proceed(&mut self, input: Input<'_>, octets: usize) {
        let (mut input, mut told) = (input, Told::Other);
        for step in 0.. {
            assert!(step <= 16 + 4 * octets, "it neither reads nor ends");
            let next = match self.session.step(input) {
                Action::Read => None,
                Action::Close => {
                    self.transcript.closed = true;
                    None
                }
                Action::Ask(question) => {
                    self.names_asked += u32::from(question == Question::Name);
                    self.transcript.asked.push(format!("{question:?}"));
                    let octet = self.answers.next().unwrap();
                    Some(answer(question, octet, &mut self.tickets, &mut self.recipients))
                }
                Action::Open(envelope) => {
                    assert_envelope(envelope, &self.recipients, &self.limits);
                    self.folder.disk.set(disk(self.answers.next().unwrap()));
                    self.written.clear();
                    let draft = Draft::begin(&self.folder, envelope);
                    Some(Input::Opened(draft.map(|draft| self.draft = Some(draft))))
                }
                Action::Write(text) => {
                    self.written.extend_from_slice(text);
                    if let Err(error) = self.draft.as_mut().unwrap().write(text) {
                        self.failed.get_or_insert(error);
                    }
                    Some(Input::Done)
                }
                Action::Commit => {
                    let draft = self.draft.take().unwrap();
                    Some(Input::Committed(commit(draft, self.failed.take())))
                }
                Action::Abandon => {
                    (self.draft, self.failed) = (None, None);
                    Some(Input::Done)
                }
            };
            self.listen(told);
            let Some(next) = next else { return };
            self.discarded |= discards(&next);
            told = match &next {
                Input::Committed(Ok(proof)) => {
                    self.stored(proof.octets());
                    Told::Stored(proof.id())
                }
                _ => Told::Other,
            };
            input = next;
        }
    }

    fn stored(&mut self, octets: u64) {
        let file = self.folder.synced.borrow_mut().pop().unwrap();
        let (_, head) = Envelope::parse(&file).unwrap();
        let body = file[head..].get(..self.written.len()).unwrap();
        assert_eq!((body, octets), (self.written.as_slice(), u64::try_from(body.len()).unwrap()));
        assert!(octets <= self.limits.max_octets);
        assert!(has_clean_line_ends(body) && (body.is_empty() || body.ends_with(b"\r\n")));
        self.transcript.stored.push(file);
    }

    /// Looks at what was said in a step.
    fn listen(&mut self, told: Told) {
        assert!(self.names_asked < 2, "a name is asked for twice");
        let output = String::from_utf8(self.session.take_output()).unwrap();
        assert!(output.is_empty() || output.ends_with("\r\n"));
        let mut first_of_reply = true;
        let mut expected = match told {
            Told::Stored(id) => Some(format!("Mail accepted {id}")),
            Told::Other => None,
        };
        for line in output.split_terminator("\r\n") {
            let (code, goes_on) = assert_reply_line(line);
            if first_of_reply {
                self.judge(code, line, expected.take());
            }
            first_of_reply = !goes_on;
        }
        assert!(first_of_reply && expected.is_none());
        self.transcript.said += &output;
    }

    fn judge(&mut self, code: u16, line: &str, accepted: Option<String>) {
        let may_be_dropped = self.discarded && self.recipients.is_empty();
        if std::mem::take(&mut self.in_text) {
            assert!(accepted.is_some() == (code / 100 == 2) || may_be_dropped, "{line}");
        }
        match accepted {
            Some(text) => assert!(code == 250 && line.ends_with(&text), "{line}"),
            None if may_be_dropped => {}
            None => assert!(!line.contains("Mail accepted"), "{line}"),
        }
        self.in_text = code == 354;
        if code >= 500 {
            assert!(self.errors < self.limits.max_errors, "one error too many is answered");
            self.errors += 1;
        }
    }
}

fn answer<'a>(
    question: Question<'_>,
    octet: u8,
    tickets: &mut u64,
    recipients: &mut Vec<Recipient>,
) -> Input<'a> {
    let refusal = match octet {
        0xe0..=0xef => Some(Refusal::RelayDenied),
        0xf0..=0xf7 => Some(Refusal::Unavailable),
        0xf8..=0xfb => Some(Refusal::HostDenied),
        0xfc..=0xff => Some(Refusal::NameFailed),
        _ => None,
    };
    let consent = consent(octet);
    let judged = refusal.map_or(Ok(consent), Err);
    let needs_name = (0xd0..=0xdf).contains(&octet);
    Input::Answer(match question {
        Question::Name => Answer::Name(name(octet)),
        Question::Connect { .. } | Question::Recipient { .. } if needs_name => Answer::NeedsName,
        Question::Connect { .. } => Answer::Connect(judged),
        Question::Sender { .. } => {
            *tickets += 1;
            recipients.clear();
            let at = Timestamp::from_micros(1_795_247_311_000_000 + *tickets);
            Answer::Sender(judged.map(|consent| Ticket { id: QueueId::new(at, *tickets), at, consent }))
        }
        Question::Recipient { recipient, .. } => {
            if judged == Ok(Consent::Keep) {
                recipients.push(recipient.clone());
            }
            Answer::Recipient(judged)
        }
    })
}

fn discards(input: &Input<'_>) -> bool {
    let Input::Answer(answer) = input else { return false };
    match answer {
        Answer::Connect(said) | Answer::Recipient(said) => *said == Ok(Consent::Discard),
        Answer::Sender(said) => said.as_ref().is_ok_and(|ticket| ticket.consent == Consent::Discard),
        Answer::Name(_) | Answer::NeedsName => false,
    }
}

fn consent(octet: u8) -> Consent {
    if (0xc8..=0xcf).contains(&octet) { Consent::Discard } else { Consent::Keep }
}

fn name(octet: u8) -> ClientName {
    match octet % 4 {
        0 => ClientName::NotAsked,
        1 => ClientName::Unknown,
        2 => ClientName::Failed("no answer".to_owned()),
        _ => ClientName::Known(vec!["b.example".parse().unwrap(), "a.example".parse().unwrap()]),
    }
}

fn disk(octet: u8) -> Disk {
    match octet {
        0xe0..=0xef => {
            ERRORS.get(usize::from(octet % 4)).map_or(Disk::Works, |error| Disk::CreatesNot(*error))
        }
        0xf0..=0xf7 => Disk::WritesNot,
        0xf8..=0xff => Disk::SyncsNot,
        _ => Disk::Works,
    }
}

fn commit(draft: Draft<MemoryFile>, failed: Option<StoreError>) -> Result<Committed, StoreError> {
    match failed {
        Some(error) => Err(error),
        None => draft.commit().map_err(|Void(error)| error),
    }
}

fn assert_envelope(envelope: &Envelope, recipients: &[Recipient], limits: &Limits) {
    assert_eq!(envelope.recipients, recipients);
    assert!(!recipients.is_empty());
    assert!(recipients.len() <= usize::try_from(limits.max_recipients).unwrap());
    let mut text = Vec::new();
    envelope.write(&mut text);
    assert_eq!(Envelope::parse(&text), Ok((envelope.clone(), text.len())));
    let utf8 = envelope.mail.parameters.smtputf8;
    let ascii = envelope.mail.sender.is_ascii() && recipients.iter().all(|known| known.address.is_ascii());
    assert!(utf8 || ascii);
}

/// The code, and whether the reply goes on with the next line.
fn assert_reply_line(line: &str) -> (u16, bool) {
    assert!(line.len() + 2 <= 512, "{line}");
    assert_harmless(line);
    let (code, rest) = line.split_at_checked(3).unwrap();
    assert!(code.bytes().all(|octet| octet.is_ascii_digit()), "{line}");
    let goes_on = rest.starts_with('-');
    assert!(goes_on || rest.starts_with(' '), "{line}");
    let code: u16 = code.parse().unwrap();
    assert!([214, 220, 221, 250, 252, 354, 421, 450, 451, 452].contains(&code) || (500..560).contains(&code));
    let word = rest[1..].split(' ').next().unwrap_or_default();
    if let Ok(status) = word.parse::<Status>() {
        let class = match code / 100 {
            2 => Class::Success,
            4 => Class::Transient,
            _ => Class::Permanent,
        };
        assert_eq!(status.class(), class, "{line}");
    }
    (code, goes_on)
}
