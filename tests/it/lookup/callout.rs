//! Call-outs: smap-lookup asks the next host whether a recipient exists.

use std::sync::Mutex;
use std::sync::mpsc::{Sender, channel};

use smap_common::lookup::{Answer, Failure, Question};
use smap_tests::asker::Asker;
use smap_tests::clock::Clock;
use smap_tests::gateway::{Gateway, free_port};
use smap_tests::process::Process;
use smap_tests::sink::{Act, Script, Sink};
use smap_tests::{eventually, tests};

use super::{addresses, no_servers, socket, start};

tests! {
    who_is_taken_exists_and_who_is_unknown_does_not;
    what_was_said_is_not_asked_for_again;
    come_again_is_no_answer;
    only_what_is_said_of_him_makes_a_recipient_unknown;
    nobody_is_asked_for_but_where_the_table_wants_it;
    nobody_is_asked_for_without_the_encryption_that_his_mail_needs;
    two_who_ask_for_one_recipient_make_one_call;
    a_host_is_asked_over_two_connections_and_no_more;
    where_one_host_is_down_the_next_is_asked;
    a_mail_store_is_asked_by_lmtp;
    an_address_is_asked_for_as_it_is_written;
}

/// A running smap-lookup whose recipients in example.com are asked for.
pub(super) struct Desk {
    gateway: Gateway,
    pub(super) process: Process,
}

impl Desk {
    /// Their mail goes there.
    fn to(transport: &str) -> Self {
        Self::with(&format!("smap, smapd: domain example.com {transport}\n{CALLOUT}"))
    }

    /// With these lines.
    pub(super) fn with(lines: &str) -> Self {
        Self::of(&format!("{}\n{lines}", no_servers()))
    }

    /// With these lines, and what they say of name servers.
    pub(super) fn of(lines: &str) -> Self {
        let gateway = Gateway::new(lines);
        let process = start(&gateway);
        Self { gateway, process }
    }

    /// By a clock that can be moved.
    pub(super) fn by_clock(transport: &str) -> (Self, Clock) {
        let lines = format!("{}\nsmap, smapd: domain example.com {transport}\n{CALLOUT}", no_servers());
        let gateway = Gateway::new(&lines);
        let clock = Clock::new(gateway.folder());
        let mut command = clock.for_program(gateway.program("smap-lookup"));
        let process = Process::start(command.arg("--foreground"));
        let _there = process.wait_for_log(|line| line.contains("started; the socket is"));
        (Self { gateway, process }, clock)
    }

    pub(super) fn asker(&self) -> Asker {
        Asker::connect(&socket(&self.gateway)).expect("it listens")
    }

    pub(super) fn ask(&self, address: &str) -> Answer {
        self.asker().ask(recipient(address))
    }

    pub(super) fn assert_exists(&self, address: &str) {
        let answer = self.ask(address);
        assert!(matches!(answer, Answer::Recipient(Ok(_))), "{address}: {answer:?}");
    }

    pub(super) fn assert_unknown(&self, address: &str) {
        assert_eq!(self.ask(address), Answer::Recipient(Err(Failure::NoSuchName)), "{address}");
    }

    /// It cannot be told now: why.
    pub(super) fn assert_untold(&self, address: &str) -> String {
        match self.ask(address) {
            Answer::Recipient(Err(Failure::Temporary(why))) => why,
            answer => panic!("{address}: {answer:?}"),
        }
    }

    /// The line of a call-out.
    pub(super) fn line(&self, address: &str, status: &str) -> String {
        let (head, status) = (format!("callout to=<{address}> "), format!(" status={status} "));
        self.process.wait_for_log(|line| line.contains(&head) && line.contains(&status))
    }

    pub(super) fn count(&self, what: &str) -> usize {
        self.process.log().iter().filter(|line| line.contains(what)).count()
    }
}

const CALLOUT: &str = "smap, smapd: recipients example.com callout";

pub(super) fn recipient(address: &str) -> Question {
    Question::Recipient { address: address.parse().unwrap() }
}

pub(super) fn to(sink: &Sink) -> String {
    format!("smtp:[127.0.0.1]:{}", sink.port())
}

/// A host where only users whose names begin with `a` exist.
pub(super) fn knowing() -> Sink {
    Sink::scripted(|_, line| match line.strip_prefix("RCPT TO:<") {
        Some(user) if !user.starts_with('a') => Act::say("550 5.1.1 nobody of that name"),
        _ => Act::Usual,
    })
}

/// How often a host was asked for a recipient.
pub(super) fn asked(sink: &Sink, address: &str) -> usize {
    sink.lines().iter().filter(|(_, line)| line.starts_with(&format!("RCPT TO:<{address}>"))).count()
}

fn who_is_taken_exists_and_who_is_unknown_does_not() {
    let sink = knowing();
    let desk = Desk::to(&to(&sink));
    let Answer::Recipient(Ok(found)) = desk.ask("a@example.com") else { panic!("he exists") };
    assert_eq!(found.records, ["250 2.1.5 recipient"]);
    assert!((86_000..=86_400).contains(&found.ttl), "{} seconds", found.ttl);
    desk.assert_unknown("b@example.com");
    let relay = format!("relay=[127.0.0.1]:{}", sink.port());
    let line = desk.line("a@example.com", "exists");
    assert!(line.contains(&relay) && line.contains("reply=\"250 2.1.5 recipient\""), "{line}");
    let line = desk.line("b@example.com", "unknown");
    assert!(line.contains(&relay) && line.contains("reply=\"550 5.1.1 nobody of that name\""), "{line}");
    // It does not take whoever one may think of.
    let said = eventually("both calls are over", || {
        let said: Vec<String> = sink.lines().into_iter().map(|(_, line)| line).collect();
        (said.iter().filter(|line| *line == "QUIT").count() == 2).then_some(said)
    });
    assert!(said.iter().any(|line| line.starts_with("RCPT TO:<no-such-user-")), "{said:#?}");
    assert!(said.iter().all(|line| line != "DATA"), "{said:#?}");
    assert!(said.iter().filter(|line| line.starts_with("MAIL ")).all(|line| line == "MAIL FROM:<>"));
    assert_eq!((desk.count("accepts every recipient"), sink.received().len()), (0, 0));
}

fn what_was_said_is_not_asked_for_again() {
    let sink = knowing();
    let desk = Desk::to(&to(&sink));
    for _ in 0..3 {
        desk.assert_exists("a@example.com");
        desk.assert_unknown("b@example.com");
    }
    assert_eq!((asked(&sink, "a@example.com"), asked(&sink, "b@example.com")), (1, 1));
}

fn come_again_is_no_answer() {
    let again = Mutex::new(false);
    let sink = Sink::scripted(move |_, line| {
        let is_first =
            line.starts_with("RCPT TO:<a@") && !std::mem::replace(&mut *again.lock().unwrap(), true);
        if is_first { Act::say("450 4.7.1 greylisted") } else { Act::Usual }
    });
    let desk = Desk::to(&to(&sink));
    assert_eq!(desk.assert_untold("a@example.com"), "450 4.7.1 greylisted");
    let _line = desk.line("a@example.com", "failed");
    desk.assert_exists("a@example.com");
}

/// The greeting, EHLO, MAIL, and RCPT itself where the reply is about us.
fn only_what_is_said_of_him_makes_a_recipient_unknown() {
    let cases: [(&str, &'static str); 7] = [
        ("", "554 5.7.1 go away"),
        ("EHLO", "550 5.7.1 go away"),
        ("MAIL", "550 5.1.8 no such sender"),
        ("RCPT", "550 5.7.1 you may not"),
        ("RCPT", "530 5.7.0 who are you?"),
        ("RCPT", "552 too many"),
        ("RCPT", "nonsense"),
    ];
    for (at, reply) in cases {
        let sink = Sink::scripted(move |_, line| match line.get(..4).unwrap_or_default() {
            // Nor does an old greeting help.
            "HELO" if at == "EHLO" => Act::say(reply),
            verb if verb == at => Act::say(reply),
            _ => Act::Usual,
        });
        let desk = Desk::to(&to(&sink));
        desk.assert_untold("a@example.com");
        let line = desk.line("a@example.com", "failed");
        assert!(reply == "nonsense" || line.contains(reply), "{at}: {line}");
    }
}

/// Whoever asks has no say in it.
fn nobody_is_asked_for_but_where_the_table_wants_it() {
    let sink = Sink::start();
    let desk = Desk::with(&format!(
        "smap, smapd: domain example.com .example.com example.net {}\n\
         smap, smapd: recipients b.example.com any\n\
         smap, smapd: recipients example.com .example.com callout\n\
         smap, smapd: recipients example.net any",
        to(&sink)
    ));
    for address in ["a@example.net", "a@example.org", "a@b.example.com", "a@[127.0.0.1]"] {
        let why = desk.assert_untold(address);
        assert!(why.starts_with("no recipients line wants "), "{why}");
    }
    assert_eq!(sink.connections(), 0);
    desk.assert_exists("a@c.example.com");
    let Answer::User(Err(Failure::Temporary(why))) = desk.asker().ask(Question::User { name: "root".into() })
    else {
        panic!("no line wants users")
    };
    assert_eq!(why, "no recipients line has passwd");
}

fn nobody_is_asked_for_without_the_encryption_that_his_mail_needs() {
    let sink = Sink::start();
    for tls in ["require", "verify"] {
        let desk = Desk::to(&format!("{} tls={tls}", to(&sink)));
        let why = desk.assert_untold("a@example.com");
        assert!(why.contains("only over TLS"), "{why}");
        assert_eq!(desk.count("error: ") + sink.connections(), 1);
    }
}

/// A script that holds whoever says RCPT until it is let go on.
fn holding() -> (impl Script, Sender<()>) {
    let (go, wait) = channel();
    let wait = Mutex::new(wait);
    let script = move |_, line: &str| {
        if line.starts_with("RCPT TO:<a") {
            // Where nobody holds it any more, it goes on as well.
            let _gone = wait.lock().unwrap().recv();
        }
        Act::Usual
    };
    (script, go)
}

fn two_who_ask_for_one_recipient_make_one_call() {
    let (script, go) = holding();
    let sink = Sink::scripted(script);
    let desk = Desk::to(&to(&sink));
    let askers = [desk.asker(), desk.asker()];
    for asker in &askers {
        asker.send(1, recipient("a@example.com")).unwrap();
        // What was asked before is under way when this is answered.
        asker.send(2, addresses("192.0.2.1")).unwrap();
        assert_eq!(asker.next().unwrap().id, 2);
    }
    drop(go);
    for asker in &askers {
        let answered = asker.next().unwrap();
        assert!(matches!(answered.answer, Answer::Recipient(Ok(_))), "{answered:?}");
    }
    let _line = desk.line("a@example.com", "exists");
    assert_eq!((asked(&sink, "a@example.com"), desk.count("callout to=<a@example.com>")), (1, 1));
}

fn a_host_is_asked_over_two_connections_and_no_more() {
    let (script, go) = holding();
    let sink = Sink::scripted(script);
    let desk = Desk::to(&to(&sink));
    let asker = desk.asker();
    (0..6).for_each(|id| asker.send(id, recipient(&format!("a{id}@example.com"))).unwrap());
    // Whoever holds the first keeps the second waiting as well: both have connected.
    eventually("two are there", || (sink.connections() == 2).then_some(()));
    asker.send(9, addresses("192.0.2.1")).unwrap();
    assert_eq!(asker.next().unwrap().id, 9);
    assert_eq!(sink.connections(), 2);
    drop(go);
    let answers: Vec<Answer> = (0..6).map(|_| asker.next().unwrap().answer).collect();
    assert!(answers.iter().all(|answer| matches!(answer, Answer::Recipient(Ok(_)))), "{answers:?}");
    assert_eq!(sink.connections(), 6);
}

fn where_one_host_is_down_the_next_is_asked() {
    let (sink, down) = (knowing(), free_port());
    let desk = Desk::to(&format!("smtp:[127.0.0.1]:{down},{}", to(&sink)));
    desk.assert_exists("a@example.com");
    let line = desk.line("a@example.com", "failed");
    assert!(line.contains(&format!("relay=[127.0.0.1]:{down} ")), "{line}");
    desk.assert_unknown("b@example.com");
}

fn a_mail_store_is_asked_by_lmtp() {
    let script = |_: usize, line: &str| match line {
        "RCPT TO:<b@example.com>" => Act::say("550 5.1.1 no mailbox"),
        _ => Act::Usual,
    };
    let gateway = Gateway::new("");
    let path = gateway.folder().join("lmtp");
    let (by_port, at_path) = (Sink::lmtp(script), Sink::lmtp_at(&path, script));
    for (sink, transport) in [
        (&by_port, format!("lmtp:127.0.0.1:{}", by_port.port())),
        (&at_path, format!("lmtp:unix:{}", path.display())),
    ] {
        let desk = Desk::to(&transport);
        desk.assert_exists("a@example.com");
        desk.assert_unknown("b@example.com");
        assert!(sink.lines().iter().any(|(_, line)| line == "LHLO gw.example.com"), "{:#?}", sink.lines());
    }
}

fn an_address_is_asked_for_as_it_is_written() {
    let sink = Sink::start();
    let desk = Desk::to(&to(&sink));
    desk.assert_exists("\"a b\"@EXAMPLE.com");
    desk.assert_exists("J\u{fc}rgen@example.com");
    assert_eq!(asked(&sink, "\"a b\"@example.com"), 1, "{:#?}", sink.lines());
    assert_eq!(asked(&sink, "J\u{fc}rgen@example.com"), 1);
    assert!(sink.lines().iter().any(|(_, line)| line == "MAIL FROM:<> SMTPUTF8"));
}
