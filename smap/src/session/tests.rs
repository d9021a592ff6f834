//! What no dialogue can show: disks that fail, time-outs, answers that are missing, and what the log is told.

use super::*;
use smap_common::clock::Timestamp;
use smap_common::spool::{Draft, Folder, QueueId, SpoolFile, Void};
use std::cell::RefCell;
use std::io;
use std::rc::Rc;

const ENOSPC: i32 = 28;
const EMFILE: i32 = 24;
const EIO: i32 = 5;

/// A spool in memory that fails on demand.
#[derive(Debug, Default, Clone)]
struct Disk {
    file: Rc<RefCell<Vec<u8>>>,
    create: Option<i32>,
    sync: Option<i32>,
}

fn result(fault: Option<i32>) -> io::Result<()> {
    fault.map_or(Ok(()), |errno| Err(io::Error::from_raw_os_error(errno)))
}

impl Folder for Disk {
    type File = Self;
    fn create(&self, _: &str) -> io::Result<Self> {
        self.file.borrow_mut().clear();
        result(self.create).map(|()| self.clone())
    }
}

impl SpoolFile for Disk {
    fn append(&mut self, octets: &[u8]) -> io::Result<()> {
        self.file.borrow_mut().extend_from_slice(octets);
        Ok(())
    }
    fn overwrite(&mut self, _: u64, _: &[u8]) -> io::Result<()> {
        Ok(())
    }
    fn sync(&mut self) -> io::Result<()> {
        result(self.sync)
    }
}

/// A session, its actions carried out in memory.
struct Server {
    session: Session,
    disk: Disk,
    draft: Option<Draft<Disk>>,
    refusal: Option<Refusal>,
    /// What is answered when the client's name is asked for; where it is none, no rule needs one.
    name: ClientName,
    /// How often it was.
    names_asked: u32,
    abandoned: u32,
    closed: bool,
}

impl Server {
    /// A session whose client has not said anything.
    fn silent(limits: Limits) -> Self {
        let mut server = Self {
            session: Session::new("gw.example", limits, Origin::default()),
            disk: Disk::default(),
            draft: None,
            refusal: None,
            name: ClientName::NotAsked,
            names_asked: 0,
            abandoned: 0,
            closed: false,
        };
        assert_eq!(server.take(Input::Begin), ["220 gw.example ESMTP/smap Ready."]);
        server
    }

    /// A session that has been greeted with EHLO.
    fn new(limits: Limits) -> Self {
        let mut server = Self::silent(limits);
        assert!(server.say("EHLO client.example\r\n")[0].starts_with("250"));
        server
    }

    fn greeted() -> Self {
        Self::new(limits())
    }

    /// Says it; gives the last line of each reply.
    fn say(&mut self, octets: &str) -> Vec<String> {
        self.take(Input::Received(octets.as_bytes()))
    }

    fn codes(&mut self, octets: &str) -> Vec<String> {
        self.say(octets).iter().map(|line| line.chars().take(3).collect()).collect()
    }

    fn take(&mut self, mut input: Input<'_>) -> Vec<String> {
        loop {
            input = match self.session.step(input) {
                Action::Read => break,
                Action::Close => {
                    self.closed = true;
                    break;
                }
                Action::Ask(Question::Name) => {
                    self.names_asked += 1;
                    Input::Answer(Answer::Name(self.name.clone()))
                }
                Action::Ask(Question::Connect { name } | Question::Recipient { name, .. })
                    if *name == ClientName::NotAsked && self.name != ClientName::NotAsked =>
                {
                    Input::Answer(Answer::NeedsName)
                }
                Action::Ask(question) => Input::Answer(answer(question, self.refusal.clone())),
                Action::Open(envelope) => {
                    Input::Opened(Draft::begin(&self.disk, envelope).map(|draft| self.draft = Some(draft)))
                }
                Action::Write(text) => {
                    self.draft.as_mut().unwrap().write(text).unwrap();
                    Input::Done
                }
                Action::Commit => {
                    let committed = self.draft.take().unwrap().commit();
                    Input::Committed(committed.map_err(|Void(cause)| cause))
                }
                Action::Abandon => {
                    self.draft = None;
                    self.abandoned += 1;
                    Input::Done
                }
            };
        }
        let output = String::from_utf8(self.session.take_output()).unwrap();
        output.lines().filter(|line| line.as_bytes()[3] == b' ').map(str::to_owned).collect()
    }
}

fn answer(question: Question<'_>, refusal: Option<Refusal>) -> Answer {
    let (id, at) = (QueueId::new(Timestamp::from_micros(1), 1), Timestamp::from_micros(1));
    let ticket = Ticket { id, at, consent: Consent::Keep };
    match question {
        Question::Name => Answer::Name(ClientName::NotAsked),
        Question::Connect { .. } => Answer::Connect(refusal.map_or(Ok(Consent::Keep), Err)),
        Question::Sender { .. } => Answer::Sender(refusal.map_or(Ok(ticket), Err)),
        Question::Recipient { .. } => Answer::Recipient(refusal.map_or(Ok(Consent::Keep), Err)),
    }
}

fn limits() -> Limits {
    Limits { max_octets: 1000, max_recipients: 10, max_messages: 10, max_errors: 10 }
}

const MAIL: &str = "MAIL FROM:<a@b>\r\nRCPT TO:<c@d>\r\n";

#[test]
fn the_log_is_told_how_many_messages_were_accepted_and_how_long_they_were() {
    let mut server = Server::greeted();
    assert_eq!(server.session.totals(), Totals { messages: 0, octets: 0 });
    server.say(MAIL);
    assert_eq!(server.codes("DATA\r\n..\r\n.\r\n"), ["354", "250"]);
    server.say(MAIL);
    assert_eq!(server.codes("BDAT 5\r\nab\r\ncBDAT 0 LAST\r\n"), ["250", "250"]);
    assert_eq!(server.session.totals(), Totals { messages: 2, octets: 3 + 7 });
    server.say(MAIL);
    assert_eq!(server.codes("DATA\r\na\nb\r\n.\r\n"), ["354", "550"]);
    assert_eq!(server.session.totals(), Totals { messages: 2, octets: 3 + 7 });
}

#[test]
fn a_client_is_told_what_it_forgot() {
    let mut server = Server::silent(limits());
    assert_eq!(server.say("MAIL FROM:<a@b>\r\n"), ["503 5.5.1 Say HELO first"]);
    server.say("EHLO client.example\r\n");
    assert_eq!(server.say("RCPT TO:<c@d>\r\n"), ["503 5.5.1 Give the sender first"]);
    assert_eq!(server.codes("MAIL FROM:<a@b>\r\n"), ["250"]);
    assert_eq!(server.say("MAIL FROM:<a@b>\r\n"), ["503 5.5.1 Sender already given"]);
    assert_eq!(server.say("DATA\r\n"), ["503 5.5.1 Give a recipient first"]);
}

#[test]
fn a_client_that_falls_silent_is_told_so() {
    let mut server = Server::greeted();
    assert_eq!(server.take(Input::IdleTimeout), ["421 4.4.2 gw.example Timeout, closing connection"]);
    assert_eq!((server.closed, server.session.why_closed()), (true, "time-out"));
}

#[test]
fn a_client_that_stays_too_long_is_told_so() {
    let mut server = Server::greeted();
    let said = server.take(Input::SessionTimeout);
    assert_eq!(said, ["421 4.4.2 gw.example Session too long, closing connection"]);
    assert_eq!((server.closed, server.session.why_closed()), (true, "session time-out"));
}

#[test]
fn the_log_is_told_why_a_session_was_closed() {
    let long_line = "x".repeat(70_000);
    let flood = format!("{MAIL}DATA\r\n{}", "x\r\n".repeat(30_000));
    let cases = [
        ("QUIT\r\n", ""),
        ("GET / HTTP/1.1\r\n", "refused to go on"),
        (&"BAD\r\n".repeat(10), "too many errors"),
        (&long_line, "endless line"),
        (&flood, "message far too big"),
    ];
    for (said, why) in cases {
        let mut server = Server::greeted();
        server.say(said);
        assert_eq!((server.session.why_closed(), server.closed), (why, true));
    }
}

#[test]
fn nothing_is_understood_behind_the_end_of_a_session() {
    let mut server = Server::greeted();
    assert_eq!(server.codes("QUIT\r\nNOOP\r\n"), ["221"]);
    assert_eq!(server.codes("NOOP\r\n"), Vec::<String>::new());
    assert!(server.closed);
}

#[test]
fn a_full_disk_refuses_the_message_and_not_the_session() {
    let mut server = Server::greeted();
    server.disk.create = Some(ENOSPC);
    server.say(MAIL);
    assert_eq!(server.codes("DATA\r\nNOOP\r\n"), ["452", "250"]);
    server.say(MAIL);
    assert_eq!(server.codes("BDAT 6\r\nQUIT\r\nNOOP\r\n"), ["452", "250"]);
    server.disk.create = None;
    server.say(MAIL);
    assert_eq!(server.codes("DATA\r\n.\r\n"), ["354", "250"]);
}

#[test]
fn without_descriptors_the_session_ends() {
    let mut server = Server::greeted();
    server.disk.create = Some(EMFILE);
    server.say(MAIL);
    assert_eq!(server.codes("BDAT 6\r\nQUIT\r\nNOOP\r\n"), ["421"]);
    assert!(server.closed);
}

#[test]
fn a_message_that_was_not_synced_is_not_accepted() {
    let mut server = Server::greeted();
    server.disk.sync = Some(EIO);
    server.say(MAIL);
    assert_eq!(server.codes("DATA\r\nx\r\n.\r\nRCPT TO:<c@d>\r\n"), ["354", "451", "503"]);
    assert_eq!(server.session.totals(), Totals::default());
}

#[test]
fn a_sender_that_cannot_be_judged_may_try_again() {
    let mut server = Server::greeted();
    server.refusal = Some(Refusal::Unavailable);
    assert_eq!(server.codes("MAIL FROM:<a@b>\r\nRCPT TO:<c@d>\r\n"), ["451", "503"]);
    server.refusal = None;
    assert_eq!(server.codes("MAIL FROM:<a@b>\r\n"), ["250"]);
    server.refusal = Some(Refusal::Unavailable);
    assert_eq!(server.codes("RCPT TO:<c@d>\r\nDATA\r\n"), ["451", "554"]);
    server.refusal = None;
    assert_eq!(server.codes("RCPT TO:<c@d>\r\nDATA\r\n.\r\n"), ["250", "354", "250"]);
}

#[test]
fn what_was_written_of_a_refused_message_is_abandoned() {
    for end in ["BDAT 1 LAST\r\n\n", "RSET\r\n", "EHLO client.example\r\n"] {
        let mut server = Server::greeted();
        server.say(MAIL);
        server.say("BDAT 3\r\na\r\n");
        assert!(server.draft.is_some());
        server.say(end);
        assert_eq!((server.abandoned, server.draft.is_none()), (1, true), "{end:?}");
        assert_eq!(server.codes(MAIL), ["250", "250"], "{end:?}");
    }
}

#[test]
fn one_421_ends_a_session() {
    let mut server = Server::new(Limits { max_errors: 1, ..limits() });
    assert_eq!(server.codes("BDAT 100000\r\n"), ["503", "421"]);
    let mut server = Server::greeted();
    server.disk.create = Some(EMFILE);
    assert_eq!(server.codes(&format!("{MAIL}BDAT 100000\r\n")), ["250", "250", "421"]);
}

#[test]
fn a_recipient_that_needs_smtputf8_was_refused() {
    let mut server = Server::greeted();
    assert_eq!(server.codes("MAIL FROM:<a@b>\r\nRCPT TO:<ä@d>\r\nDATA\r\n"), ["250", "553", "554"]);
    server.say("RSET\r\n");
    assert_eq!(server.codes("MAIL FROM:<a@b>\r\nDATA\r\n"), ["250", "503"]);
}

#[test]
fn a_chunk_may_be_as_large_as_a_message() {
    let mut server = Server::greeted();
    let chunk = |size: usize| format!("BDAT {size} LAST\r\n{}", "x".repeat(size));
    assert_eq!(server.codes(&(chunk(1000) + "NOOP\r\n")), ["503", "250"]);
    assert_eq!(server.codes(&chunk(1001)), ["503", "421"]);
}

#[test]
fn surplus_recipients_are_refused_a_thousand_times() {
    let mut server = Server::new(Limits { max_recipients: 1, ..limits() });
    server.say(MAIL);
    for number in 0..1000 {
        assert_eq!(server.codes(&format!("RCPT TO:<u{number}@d>\r\n")), ["452"]);
    }
    assert_eq!(server.codes("RCPT TO:<one@more>\r\n"), ["421"]);
}

#[test]
fn commands_that_move_nothing_may_be_said_a_hundred_times_between_messages() {
    let mut server = Server::greeted();
    // EHLO was one.
    assert_eq!(server.codes(&"NOOP\r\n".repeat(99)), vec!["250"; 99]);
    server.say(MAIL);
    assert_eq!(server.codes("RSET\r\n"), ["250"]);
    assert_eq!(server.codes(&"NOOP\r\n".repeat(99)), vec!["250"; 99]);
    assert_eq!(server.codes("NOOP\r\n"), ["250", "421"]);
}

#[test]
fn a_message_ends_with_its_refused_chunk() {
    for chunk in ["BDAT 0 LAST\r\n", "BDAT 6 LAST\r\nQUIT\r\n"] {
        let mut server = Server::greeted();
        server.say("MAIL FROM:<a@b>\r\n");
        assert_eq!(server.codes(&format!("{chunk}RCPT TO:<c@d>\r\n")), ["503", "503"], "{chunk:?}");
    }
}

fn known(names: &[&str]) -> ClientName {
    ClientName::Known(names.iter().map(|name| name.parse().unwrap()).collect())
}

#[test]
fn a_name_is_asked_for_once_and_stands_in_the_envelope() {
    let mut server = Server::greeted();
    server.name = known(&["b.example", "a.example"]);
    assert_eq!(
        server.codes(&format!("{MAIL}RCPT TO:<e@f>\r\nDATA\r\n.\r\n")),
        ["250", "250", "250", "354", "250"]
    );
    assert_eq!(server.names_asked, 1);
    // Of several always the same one.
    assert_eq!(server.session.client_name().unwrap().as_str(), "a.example");
    let text = String::from_utf8(server.disk.file.borrow().clone()).unwrap();
    assert!(text.contains("\nNAME a.example\nEHLO client.example\n"), "{text}");
    assert_eq!(server.codes(&format!("{MAIL}DATA\r\n.\r\n")), ["250", "250", "354", "250"]);
    assert_eq!(server.names_asked, 1);
}

#[test]
fn a_name_that_was_not_found_is_shown_to_nobody() {
    for name in [ClientName::Unknown, ClientName::Failed("no answer".to_owned())] {
        let mut server = Server::greeted();
        server.name = name;
        assert_eq!(server.codes(&format!("{MAIL}DATA\r\n.\r\n")), ["250", "250", "354", "250"]);
        assert_eq!((server.names_asked, server.session.client_name()), (1, None));
        assert!(!String::from_utf8_lossy(&server.disk.file.borrow()).contains("NAME"));
    }
}

#[test]
fn without_its_name_a_client_may_come_back() {
    let mut session = Session::new("gw.example", limits(), Origin::default());
    let asked = session.step(Input::Begin);
    assert_eq!(asked, Action::Ask(Question::Connect { name: &ClientName::NotAsked }));
    assert_eq!(session.step(Input::Answer(Answer::NeedsName)), Action::Ask(Question::Name));
    let failed = ClientName::Failed("no answer".to_owned());
    let asked = session.step(Input::Answer(Answer::Name(failed.clone())));
    assert_eq!(asked, Action::Ask(Question::Connect { name: &failed }));
    let closed = session.step(Input::Answer(Answer::Connect(Err(Refusal::NameFailed))));
    assert_eq!(closed, Action::Close);
    let said = String::from_utf8(session.take_output()).unwrap();
    assert_eq!(said, "421 4.4.3 gw.example Your name cannot be looked up now, try again later\r\n");
}

#[test]
fn a_recipient_that_depends_on_a_missing_name_may_be_tried_again_and_others_need_none() {
    let mut server = Server::greeted();
    server.say("MAIL FROM:<a@b>\r\n");
    server.refusal = Some(Refusal::NameFailed);
    assert_eq!(
        server.say("RCPT TO:<c@d>\r\n"),
        ["451 4.4.3 Your name cannot be looked up now, try again later"]
    );
    server.refusal = None;
    assert_eq!(server.codes("RCPT TO:<e@f>\r\nDATA\r\n.\r\n"), ["250", "354", "250"]);
}

/// Whoever runs the session must not be able to make it ask for ever.
#[test]
fn a_question_that_needs_the_name_for_ever_is_answered_for_it() {
    for name in [ClientName::NotAsked, ClientName::Unknown] {
        let mut session = Session::new("gw.example", limits(), Origin::default());
        session.step(Input::Begin);
        assert_eq!(session.step(Input::Answer(Answer::NeedsName)), Action::Ask(Question::Name));
        assert!(matches!(
            session.step(Input::Answer(Answer::Name(name))),
            Action::Ask(Question::Connect { .. })
        ));
        assert_eq!(session.step(Input::Answer(Answer::NeedsName)), Action::Close);
        assert!(session.take_output().starts_with(b"421 4.4.3 "));
    }
}

#[test]
fn whoever_has_the_greeting_is_not_greeted_again() {
    for (mut session, greeting) in [
        (Session::new("gw.example", limits(), Origin::default()), "220 gw.example ESMTP/smap Ready.\r\n"),
        (Session::new("gw.example", limits(), Origin::default()).greeted(), ""),
    ] {
        let _asked = session.step(Input::Begin);
        assert_eq!(session.step(Input::Answer(Answer::Connect(Ok(Consent::Keep)))), Action::Read);
        assert_eq!(String::from_utf8(session.take_output()).unwrap(), greeting);
        let _reading = session.step(Input::Received(b"HELO a\r\n"));
        assert!(session.take_output().starts_with(b"250 "));
    }
}
