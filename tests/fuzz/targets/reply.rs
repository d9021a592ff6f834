//! What a server says to the client session. Eight octets say how the rest is cut, one which dialect is spoken and
//! whether the connection is to be encrypted, one how many recipients there are; then what the server says, a NUL wherever it waits for the client.
//!
//! Oracle: the reader of replies finds the same, in whatever pieces, as a reading of the whole, in bounded memory
//! and printable ASCII. Of a session, each reply is held here against the command that it answers: a recipient is
//! delivered exactly by a 2yz to the end of the text that was said to be his, after a 354 and a 2yz to MAIL and to
//! his RCPT; once something comes that was not asked for, or a 3yz or 421 instead of such a reply, no further
//! recipient is, and after the end of the text no other host is asked; what the server did not offer is not said, and
//! no message begun that is longer than it takes; a connection that is to be encrypted is so before anything of a
//! message is said, or, where nobody insists, was not offered to be, and nothing that was said before counts then; the text goes over the wire with clean lines and one end. Where
//! everything was asked for, the pieces change nothing.
#![no_main]

use std::collections::VecDeque;

use libfuzzer_sys::fuzz_target;
use smap_common::smtp::client::{
    Action, Dialect, Encryption, Input, Offers, Session, Transaction, Trouble, Verdict,
};
use smap_common::smtp::command::{Mail, Recipient};
use smap_common::smtp::reply::{MAX_LINE, MAX_REPLY, MAX_TEXT, Reply, ReplyError, ReplyReader};
use smap_common::status::Class;
use smap_fuzz::cuts::Cuts;
use smap_fuzz::text::has_clean_line_ends;

const OCTETS: u64 = 1234;
const TEXT: &[u8] = b"Subject: x\r\n\r\n.a dot\r\nbare\rCR\nLF\r\n.\r\nend";

fuzz_target!(|input: &[u8]| {
    let Some((cuts, rest)) = Cuts::split_off(input) else { return };
    let Some((&[dialect, recipients], script)) = rest.split_first_chunk::<2>() else { return };
    assert_replies(script, cuts);
    let encryption = match dialect / 2 % 3 {
        0 => Encryption::Unasked,
        1 => Encryption::IfOffered,
        _ => Encryption::Required,
    };
    let dialect = if dialect % 2 == 0 { Dialect::Smtp } else { Dialect::Lmtp };
    let recipients = usize::from(recipients % 8) + 1;
    let whole = Run::new(dialect, encryption, recipients).life(script, Cuts::WHOLE);
    let cut = Run::new(dialect, encryption, recipients).life(script, cuts);
    if !whole.lied {
        assert_eq!(cut, whole);
    }
});

fn read(wire: &[u8], cuts: Cuts) -> (Vec<Reply>, Option<ReplyError>) {
    let (mut reader, mut replies) = (ReplyReader::default(), Vec::new());
    for piece in cuts.pieces(wire) {
        reader.receive(piece);
        loop {
            match reader.next_reply() {
                Ok(Some(reply)) => replies.push(reply),
                Ok(None) => break,
                Err(error) => return (replies, Some(error)),
            }
        }
    }
    (replies, None)
}

/// The codes of the whole replies at the head of `wire`, up to the first line that is none of a reply.
fn codes(wire: &[u8]) -> Vec<u16> {
    let mut codes = Vec::new();
    let (mut open, mut octets) = (None, 0);
    for line in wire.split_inclusive(|&octet| octet == b'\n').filter(|line| line.ends_with(b"\n")) {
        octets += line.len();
        let text = line.trim_ascii_end();
        let code =
            text.get(..3).and_then(|code| str::from_utf8(code).ok()).and_then(|code| code.parse().ok());
        let Some(code) = code.filter(|code| (200..600).contains(code) && !text.starts_with(b"+")) else {
            break;
        };
        if line.len() > MAX_LINE || octets > MAX_REPLY || open.is_some_and(|open| open != code) {
            break;
        }
        match text.get(3) {
            None | Some(b' ') => {
                codes.push(code);
                (open, octets) = (None, 0);
            }
            Some(b'-') => open = Some(code),
            Some(_) => break,
        }
    }
    codes
}

fn assert_replies(wire: &[u8], cuts: Cuts) {
    let whole = read(wire, Cuts::WHOLE);
    assert_eq!(read(wire, cuts), whole);
    assert_eq!(whole.0.iter().map(|reply| reply.code).collect::<Vec<_>>(), codes(wire));
    for reply in &whole.0 {
        let text = reply.to_string();
        assert!(text.bytes().all(|octet| (b' '..=b'~').contains(&octet)), "{text}");
        assert!(
            text.len() <= 2 * MAX_TEXT + 16 && reply.lines.len() <= MAX_REPLY / 4,
            "{} octets",
            text.len()
        );
        assert_eq!(reply.status_or_general().class(), reply.class());
        assert_eq!(reply.is_success(), reply.code / 100 == 2);
    }
}

/// What a reply answers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Asked {
    Tls,
    Mail,
    Rcpt(usize),
    Data,
    End(Option<usize>),
    Other,
}

/// What is the same for all ways to cut what the server says.
#[derive(Debug, PartialEq, Eq)]
struct Outcome {
    said: Vec<u8>,
    verdicts: Vec<Verdict>,
    closed: Option<Trouble>,
    lied: bool,
}

struct Run {
    session: Session,
    dialect: Dialect,
    encryption: Encryption,
    /// STARTTLS was said.
    asked_for_tls: bool,
    /// It was answered by 220.
    may_encrypt: bool,
    encrypted: bool,
    /// Reads what the session reads.
    replies: ReplyReader,
    asked: VecDeque<Asked>,
    /// MAIL was taken.
    sender: bool,
    accepted: Vec<bool>,
    may_send: bool,
    delivered: Vec<bool>,
    begun: bool,
    /// The end of the text was said.
    ended: bool,
    over: bool,
    outcome: Outcome,
}

impl Run {
    fn new(dialect: Dialect, encryption: Encryption, recipients: usize) -> Self {
        Self {
            session: Session::new(dialect, "gw.example", encryption),
            dialect,
            encryption,
            asked_for_tls: false,
            may_encrypt: false,
            encrypted: false,
            replies: ReplyReader::default(),
            asked: VecDeque::from([Asked::Other]),
            sender: false,
            accepted: vec![false; recipients],
            may_send: false,
            delivered: vec![false; recipients],
            begun: false,
            ended: false,
            over: false,
            outcome: Outcome { said: Vec::new(), verdicts: Vec::new(), closed: None, lied: false },
        }
    }

    fn life(mut self, script: &[u8], cuts: Cuts) -> Outcome {
        let action = self.session.proceed();
        self.follow(action);
        for turn in script.split(|&octet| octet == 0) {
            for piece in cuts.pieces(turn) {
                if self.over {
                    return self.outcome;
                }
                self.hear(piece);
                let action = self.session.step(Input::Received(piece));
                self.follow(action);
            }
        }
        if !self.over {
            let action = self.session.step(Input::Lost(Trouble::Closed));
            self.follow(action);
            assert!(self.over, "a lost connection ends it");
        }
        self.outcome
    }

    /// Holds the replies that have come against what was asked.
    fn hear(&mut self, piece: &[u8]) {
        self.replies.receive(piece);
        while !self.asked.is_empty() && !self.outcome.lied {
            match self.replies.next_reply() {
                Ok(Some(reply)) => self.answered(&reply),
                Ok(None) => return,
                Err(_) => self.outcome.lied = true,
            }
        }
        self.outcome.lied |= !self.replies.is_empty();
    }

    fn answered(&mut self, reply: &Reply) {
        let success = reply.is_success();
        match self.asked.pop_front() {
            Some(Asked::Tls) => self.may_encrypt = reply.code == 220,
            Some(Asked::Mail) => self.sender = success,
            Some(Asked::Rcpt(number)) => self.accepted[number] = self.sender && success,
            Some(Asked::Data) => self.may_send = reply.code == 354,
            Some(Asked::End(None)) => {
                self.delivered = self.accepted.iter().map(|is| *is && success).collect()
            }
            Some(Asked::End(Some(number))) => self.delivered[number] = self.accepted[number] && success,
            Some(Asked::Other) | None => {}
        }
        if self.ended && (reply.code == 421 || reply.code / 100 == 3) {
            self.asked.clear();
        }
    }

    /// Does what the session wants until it reads, or is at its end.
    fn follow(&mut self, action: Action) {
        let mut action = action;
        for _ in 0..16 {
            self.commands();
            action = match action {
                Action::Read => return,
                Action::Ready if self.begun => self.session.step(Input::Quit),
                Action::Ready => {
                    self.begun = true;
                    let transaction = self.transaction();
                    self.session.step(Input::Begin(transaction))
                }
                Action::SendText => self.send(),
                Action::Handshake => {
                    assert!(self.may_encrypt && !self.encrypted && !self.outcome.lied);
                    assert!(self.replies.is_empty(), "it was said in the clear");
                    self.encrypted = true;
                    let action = self.session.step(Input::Secured);
                    assert_eq!(self.session.offers(), Offers::default());
                    action
                }
                Action::Done(verdicts) => {
                    self.judge(&verdicts);
                    self.session.proceed()
                }
                Action::Probed(_) => panic!("nobody was asked for"),
                Action::Close(trouble) => {
                    self.over = true;
                    self.outcome.closed = trouble;
                    return;
                }
            };
        }
        panic!("it neither reads nor ends");
    }

    fn transaction(&self) -> Transaction {
        let recipient = |number| {
            let kind = if number % 2 == 0 { "NOTIFY=NEVER" } else { "ORCPT=rfc822;x" };
            let domain = if number % 4 == 3 { "b\u{fc}cher.example" } else { "example.com" };
            Recipient::parse(format!("<u{number}@{domain}> {kind}").as_bytes()).unwrap()
        };
        Transaction {
            mail: Mail::parse(b"<a@b> SIZE=9 BODY=8BITMIME RET=HDRS ENVID=x").unwrap(),
            recipients: (0..self.accepted.len()).map(recipient).collect(),
            octets: OCTETS,
        }
    }

    /// Reads the commands that were said since.
    fn commands(&mut self) {
        let said = std::mem::take(self.session.output());
        assert!(has_clean_line_ends(&said) && (said.is_empty() || said.ends_with(b"\r\n")));
        for line in str::from_utf8(&said).unwrap().split_terminator("\r\n") {
            let verb = line.split(' ').next().unwrap();
            self.asked.push_back(match verb {
                "RCPT" => {
                    assert!(line.is_ascii() || self.session.offers().smtputf8);
                    let number = line.strip_prefix("RCPT TO:<u").and_then(|rest| rest.split('@').next());
                    Asked::Rcpt(number.unwrap().parse().unwrap())
                }
                "STARTTLS" => {
                    assert!(self.encryption != Encryption::Unasked && self.session.offers().starttls);
                    assert!(!std::mem::replace(&mut self.asked_for_tls, true), "once");
                    Asked::Tls
                }
                "MAIL" => {
                    assert!(self.encrypted || self.encryption != Encryption::Required);
                    let limit = self.session.offers().size.unwrap_or(0);
                    assert!(limit == 0 || limit >= OCTETS);
                    Asked::Mail
                }
                "DATA" => Asked::Data,
                // The end of a text that nobody is to get.
                "." => {
                    assert!(self.may_send && !self.accepted.contains(&true));
                    Asked::Other
                }
                "EHLO" | "HELO" | "LHLO" | "RSET" | "QUIT" => Asked::Other,
                _ => panic!("not a command: {line}"),
            });
        }
        self.outcome.said.extend(said);
    }

    fn send(&mut self) -> Action {
        assert!(self.may_send && self.accepted.contains(&true) && !self.outcome.lied);
        assert_eq!(self.session.step(Input::Text(TEXT)), Action::SendText);
        let action = self.session.step(Input::TextEnd);
        let wire = std::mem::take(self.session.output());
        let end = wire.windows(5).position(|octets| octets == b"\r\n.\r\n").unwrap();
        assert!(has_clean_line_ends(&wire) && end + 5 == wire.len());
        self.outcome.said.extend(wire);
        self.ended = true;
        match self.dialect {
            Dialect::Smtp => self.asked.push_back(Asked::End(None)),
            Dialect::Lmtp => {
                let accepted = self.accepted.iter().enumerate().filter(|(_, accepted)| **accepted);
                self.asked.extend(accepted.map(|(number, _)| Asked::End(Some(number))));
            }
        }
        action
    }

    fn judge(&mut self, verdicts: &[Verdict]) {
        assert!(self.outcome.verdicts.is_empty(), "one verdict each");
        let success: Vec<bool> =
            verdicts.iter().map(|verdict| verdict.status.class() == Class::Success).collect();
        assert_eq!(success, self.delivered);
        assert!(
            !verdicts.iter().any(|verdict| verdict.elsewhere && verdict.status.class() == Class::Success)
        );
        assert!(!self.ended || !verdicts.iter().any(|verdict| verdict.elsewhere));
        self.outcome.verdicts = verdicts.to_vec();
    }
}
