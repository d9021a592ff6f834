use super::*;
use crate::smtp::command::{Mail, Recipient};
use crate::status::Status;

fn transaction(recipients: &[&str]) -> Transaction {
    Transaction {
        mail: Mail::parse(b"<a@b> SIZE=9 BODY=8BITMIME RET=HDRS ENVID=x").unwrap(),
        recipients: recipients
            .iter()
            .map(|address| Recipient::parse(format!("<{address}> NOTIFY=NEVER").as_bytes()).unwrap())
            .collect(),
        octets: 1234,
    }
}

fn said(session: &mut Session) -> String {
    String::from_utf8(std::mem::take(session.output())).unwrap()
}

/// A session that has been greeted by a server with those extensions, `_` before a parameter.
fn ready(dialect: Dialect, offers: &str) -> Session {
    let mut session = Session::new(dialect, "gw.example", Encryption::Unasked);
    assert_eq!(session.proceed(), Action::Read);
    assert_eq!(session.step(Input::Received(b"220 hi\r\n")), Action::Read);
    assert!(said(&mut session).contains("HLO gw.example") || dialect == Dialect::Smtp);
    let lines: String =
        offers.split(' ').map(|offer| format!("250-{}\r\n", offer.replace('_', " "))).collect();
    assert_eq!(
        session.step(Input::Received(format!("250-mx\r\n{lines}250 OK\r\n").as_bytes())),
        Action::Ready
    );
    said(&mut session);
    session
}

fn classes(action: Action) -> Vec<Class> {
    let Action::Done(verdicts) = action else { panic!("not done: {action:?}") };
    verdicts.iter().map(|verdict| verdict.status.class()).collect()
}

#[test]
fn a_server_without_extensions_is_spoken_to_line_by_line() {
    let mut session = Session::new(Dialect::Smtp, "gw.example", Encryption::Unasked);
    session.step(Input::Received(b"220 hi\r\n"));
    assert_eq!(said(&mut session), "EHLO gw.example\r\n");
    assert_eq!(session.step(Input::Received(b"500 what\r\n")), Action::Read);
    assert_eq!(said(&mut session), "HELO gw.example\r\n");
    assert_eq!(session.step(Input::Received(b"250 mx\r\n")), Action::Ready);
    session.step(Input::Begin(transaction(&["c@d", "e@d"])));
    for (reply, line) in [("250 ok", "RCPT TO:<c@d>"), ("250 ok", "RCPT TO:<e@d>"), ("550 no", "DATA")] {
        assert!(said(&mut session).lines().count() == 1);
        assert_eq!(session.step(Input::Received(format!("{reply}\r\n").as_bytes())), Action::Read);
        assert_eq!(String::from_utf8_lossy(session.output()), format!("{line}\r\n"));
    }
    assert_eq!(session.step(Input::Received(b"354 go\r\n")), Action::SendText);
    said(&mut session);
    session.step(Input::Text(b"x\r\n.y"));
    assert_eq!(session.step(Input::TextEnd), Action::Read);
    assert_eq!(said(&mut session), "x\r\n..y\r\n.\r\n");
    let done = session.step(Input::Received(b"250 taken\r\n"));
    assert_eq!(classes(done), [Class::Success, Class::Permanent]);
    assert_eq!(session.proceed(), Action::Ready);
}

#[test]
fn with_pipelining_the_envelope_goes_in_one_packet() {
    let mut session = ready(Dialect::Smtp, "PIPELINING SIZE 8BITMIME DSN");
    session.step(Input::Begin(transaction(&["c@d", "e@d"])));
    assert_eq!(
        said(&mut session),
        "MAIL FROM:<a@b> SIZE=1234 BODY=8BITMIME RET=HDRS ENVID=x\r\nRCPT TO:<c@d> NOTIFY=NEVER\r\n\
         RCPT TO:<e@d> NOTIFY=NEVER\r\nDATA\r\n"
    );
    assert_eq!(
        session.step(Input::Received(b"250 ok\r\n550 5.1.1 no\r\n250 ok\r\n354 go\r\n")),
        Action::SendText
    );
    session.step(Input::TextEnd);
    let Action::Done(verdicts) = session.step(Input::Received(b"450 4.2.0 later\r\n")) else { panic!() };
    assert_eq!(verdicts[0].reply, "550 5.1.1 no");
    assert_eq!(verdicts[1].status, Status::transient(2, 0));
    assert!(!verdicts[1].elsewhere && !verdicts[0].elsewhere);
}

#[test]
fn a_server_that_wants_text_for_nobody_gets_none() {
    let mut session = ready(Dialect::Smtp, "PIPELINING");
    session.step(Input::Begin(transaction(&["c@d"])));
    said(&mut session);
    assert_eq!(session.step(Input::Received(b"250 ok\r\n550 no\r\n354 go\r\n")), Action::Read);
    assert_eq!(said(&mut session), ".\r\n");
    assert_eq!(classes(session.step(Input::Received(b"554 no\r\n"))), [Class::Permanent]);
    assert_eq!(session.proceed(), Action::Read);
    assert_eq!(said(&mut session), "RSET\r\n");
    assert_eq!(session.step(Input::Received(b"250 ok\r\n")), Action::Ready);
}

#[test]
fn lmtp_answers_for_each_recipient() {
    let mut session = ready(Dialect::Lmtp, "PIPELINING");
    session.step(Input::Begin(transaction(&["c@d", "e@d", "f@d"])));
    session.step(Input::Received(b"250 ok\r\n250 ok\r\n550 no\r\n250 ok\r\n354 go\r\n"));
    session.step(Input::TextEnd);
    assert_eq!(session.step(Input::Received(b"250 one\r\n")), Action::Read);
    let done = session.step(Input::Received(b"452 full\r\n"));
    assert_eq!(classes(done), [Class::Success, Class::Permanent, Class::Transient]);
}

#[test]
fn a_552_to_a_recipient_means_later() {
    let mut session = ready(Dialect::Smtp, "PIPELINING");
    session.step(Input::Begin(transaction(&["c@d"])));
    let action = session.step(Input::Received(b"250 ok\r\n552 too many\r\n503 no\r\n"));
    assert_eq!(classes(action), [Class::Transient]);
}

#[test]
fn replies_that_were_not_asked_for_end_the_session_without_text() {
    let lies: [&[u8]; 4] = [
        b"250 ok\r\n354 what\r\n",
        b"250 ok\r\n250 ok\r\n250 not 354\r\n",
        b"250 ok\r\n250 ok\r\n354 go\r\n250 already\r\n",
        b"nonsense\r\n",
    ];
    for lie in lies {
        let mut session = ready(Dialect::Smtp, "PIPELINING");
        session.step(Input::Begin(transaction(&["c@d"])));
        assert_eq!(classes(session.step(Input::Received(lie))), [Class::Transient], "{lie:?}");
        assert!(matches!(session.proceed(), Action::Close(Some(_))), "{lie:?}");
    }
    let mut session = Session::new(Dialect::Smtp, "gw", Encryption::Unasked);
    assert_eq!(
        session.step(Input::Received(b"220 hi\r\n250 evil\r\n")),
        Action::Close(Some(Trouble::OutOfStep))
    );
}

#[test]
fn a_reply_ahead_of_its_command_is_never_taken_for_the_next_one() {
    let mut session = ready(Dialect::Smtp, "SIZE");
    session.step(Input::Begin(transaction(&["c@d", "e@d"])));
    let done = session.step(Input::Received(b"250 ok\r\n250 nobody asked\r\n"));
    assert_eq!(classes(done), [Class::Transient, Class::Transient]);
    assert_eq!(session.proceed(), Action::Close(Some(Trouble::OutOfStep)));

    let mut session = ready(Dialect::Smtp, "SIZE");
    session.step(Input::Begin(transaction(&["c@d"])));
    let done = session.step(Input::Received(b"550 no\r\n250 reset already\r\n"));
    assert_eq!(classes(done), [Class::Permanent]);
    assert_eq!(session.proceed(), Action::Close(Some(Trouble::OutOfStep)));

    let mut session = Session::new(Dialect::Smtp, "gw", Encryption::Unasked);
    session.step(Input::Received(b"220 hi\r\n"));
    let action = session.step(Input::Received(b"500 what\r\n250 mx\r\n"));
    assert_eq!(action, Action::Close(Some(Trouble::OutOfStep)));
}

#[test]
fn an_unwilling_server_is_no_fault_of_the_message() {
    let mut session = Session::new(Dialect::Smtp, "gw", Encryption::Unasked);
    let Action::Close(Some(trouble)) = session.step(Input::Received(b"554 5.7.1 go away\r\n")) else {
        panic!()
    };
    assert_eq!(trouble.status(), Status::transient(7, 1));
}

#[test]
fn a_connection_lost_after_the_dot_may_have_delivered() {
    for (sent, elsewhere) in [("x\r\n.\r\n", false), ("x\r\n.\r", true), ("", true)] {
        let mut session = ready(Dialect::Smtp, "PIPELINING");
        session.step(Input::Begin(transaction(&["c@d"])));
        said(&mut session);
        session.step(Input::Received(b"250 ok\r\n250 ok\r\n354 go\r\n"));
        session.step(Input::Text(b"x\r\n"));
        session.step(Input::TextEnd);
        session.output().drain(..sent.len());
        let Action::Done(verdicts) = session.step(Input::Lost(Trouble::Closed)) else { panic!() };
        assert_eq!(
            (verdicts[0].status.class(), verdicts[0].elsewhere),
            (Class::Transient, elsewhere),
            "{sent:?}"
        );
        assert_eq!(said(&mut session), "");
    }
}

/// Whatever the server says or does now, it may have the message: only its 4yz and 5yz say that it has not.
#[test]
fn after_the_dot_no_other_host_is_asked() {
    for (dialect, reply) in [
        (Dialect::Smtp, "354 what\r\n"),
        (Dialect::Smtp, "what\r\n"),
        (Dialect::Lmtp, "354 what\r\n"),
        (Dialect::Lmtp, "250 one\r\n354 what\r\n"),
        (Dialect::Lmtp, "421 4.3.2 one\r\n"),
    ] {
        let mut session = ready(dialect, "PIPELINING");
        session.step(Input::Begin(transaction(&["c@d", "e@d"])));
        session.step(Input::Received(b"250 ok\r\n250 ok\r\n250 ok\r\n354 go\r\n"));
        session.step(Input::TextEnd);
        said(&mut session);
        let Action::Done(verdicts) = session.step(Input::Received(reply.as_bytes())) else {
            panic!("{reply}")
        };
        assert!(verdicts.iter().all(|verdict| !verdict.elsewhere), "{reply}");
        assert_eq!(verdicts[1].status.class(), Class::Transient, "{reply}");
    }
}

#[test]
fn a_421_defers_who_is_not_yet_refused() {
    let mut session = ready(Dialect::Smtp, "SIZE");
    session.step(Input::Begin(transaction(&["c@d", "e@d"])));
    session.step(Input::Received(b"250 ok\r\n"));
    session.step(Input::Received(b"550 no\r\n"));
    let done = session.step(Input::Received(b"421 bye\r\n"));
    assert_eq!(classes(done), [Class::Permanent, Class::Transient]);
}

fn statuses(action: Action) -> Vec<String> {
    let Action::Done(verdicts) = action else { panic!("not done: {action:?}") };
    assert!(verdicts.iter().all(|verdict| !verdict.elsewhere));
    verdicts.iter().map(|verdict| verdict.status.to_string()).collect()
}

#[test]
fn internationalized_addresses_need_smtputf8() {
    let mut session = ready(Dialect::Smtp, "PIPELINING");
    let done = session.step(Input::Begin(transaction(&["ü@d"])));
    assert_eq!(statuses(done), ["5.6.7"]);
    assert_eq!(session.proceed(), Action::Ready);
    let mut session = ready(Dialect::Smtp, "PIPELINING SMTPUTF8");
    assert_eq!(session.step(Input::Begin(transaction(&["ü@d"]))), Action::Read);
    assert!(said(&mut session).starts_with("MAIL FROM:<a@b> SMTPUTF8\r\n"));
}

#[test]
fn an_internationalized_address_keeps_no_other_recipient_from_his_mail() {
    let mut session = ready(Dialect::Smtp, "PIPELINING");
    session.step(Input::Begin(transaction(&["ü@d", "c@d"])));
    assert_eq!(said(&mut session), "MAIL FROM:<a@b>\r\nRCPT TO:<c@d>\r\nDATA\r\n");
    session.step(Input::Received(b"250 ok\r\n250 ok\r\n354 go\r\n"));
    session.step(Input::TextEnd);
    assert_eq!(statuses(session.step(Input::Received(b"250 2.6.0 taken\r\n"))), ["5.6.7", "2.6.0"]);
}

#[test]
fn an_internationalized_sender_needs_smtputf8_for_all() {
    let mut session = ready(Dialect::Smtp, "PIPELINING");
    let mail = Mail::parse("<ä@b> SMTPUTF8".as_bytes()).unwrap();
    let done = session.step(Input::Begin(Transaction { mail, ..transaction(&["c@d", "e@d"]) }));
    assert_eq!(statuses(done), ["5.6.7", "5.6.7"]);
    assert_eq!(said(&mut session), "");
}

#[test]
fn a_message_larger_than_the_server_takes_is_not_begun() {
    for (limit, begins) in [("SIZE_1233", false), ("SIZE_1234", true), ("SIZE_0", true), ("SIZE_x", true)] {
        let mut session = ready(Dialect::Smtp, limit);
        let action = session.step(Input::Begin(transaction(&["c@d", "e@d"])));
        if begins {
            assert!(said(&mut session).starts_with("MAIL FROM:<a@b> SIZE=1234"), "{limit}");
        } else {
            assert_eq!(statuses(action), ["5.3.4", "5.3.4"]);
            assert_eq!(said(&mut session), "");
            assert_eq!(session.proceed(), Action::Ready);
        }
    }
}

#[test]
fn an_offer_behind_many_others_is_seen() {
    let many = (0..100).map(|number| format!("X-EXTENSION-{number}")).collect::<Vec<_>>().join(" ");
    let session = ready(Dialect::Smtp, &format!("{many} 8bitmime"));
    assert!(session.offers().eight_bit);
}

/// RFC 2920 section 3.1: whoever does not read until he has written all may wait for ever.
#[test]
fn no_more_is_said_at_a_time_than_two_buffers_hold() {
    let mut session = ready(Dialect::Smtp, "PIPELINING");
    let recipients: Vec<String> = (0..1000).map(|number| format!("u{number}@d")).collect();
    let recipients: Vec<&str> = recipients.iter().map(String::as_str).collect();
    let mut action = session.step(Input::Begin(transaction(&recipients)));
    let mut commands = 0;
    while action == Action::Read {
        let now = said(&mut session);
        assert!(now.lines().count() <= 100, "{}", now.lines().count());
        commands += now.lines().count();
        let replies = if now.ends_with("DATA\r\n") {
            "250 ok\r\n".repeat(now.lines().count() - 1) + "354 go\r\n"
        } else {
            "250 ok\r\n".repeat(now.lines().count())
        };
        action = session.step(Input::Received(replies.as_bytes()));
    }
    assert_eq!((action, commands), (Action::SendText, 1002));
}
