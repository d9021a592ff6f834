use super::*;
use crate::smtp::client::{Dialect, Encryption, Input};

fn recipient(address: &str) -> Recipient {
    Recipient::parse(format!("<{address}>").as_bytes()).unwrap()
}

fn said(session: &mut Session) -> String {
    String::from_utf8(std::mem::take(session.output())).unwrap()
}

/// A session that was asked for `c@d`, up to its RCPT.
fn asking() -> Session {
    let mut session = Session::new(Dialect::Smtp, "gw", Encryption::Unasked);
    session.step(Input::Received(b"220 hi\r\n"));
    assert_eq!(session.step(Input::Received(b"250-mx\r\n250-SIZE\r\n250 PIPELINING\r\n")), Action::Ready);
    said(&mut session);
    assert_eq!(session.step(Input::Probe(recipient("c@d"))), Action::Read);
    assert_eq!(said(&mut session), "MAIL FROM:<>\r\n");
    assert_eq!(session.step(Input::Received(b"250 ok\r\n")), Action::Read);
    assert_eq!(said(&mut session), "RCPT TO:<c@d>\r\n");
    session
}

/// What such a reply to RCPT says: yes, no, or nothing.
fn judged(reply: &str) -> &'static str {
    match asking().step(Input::Received(format!("{reply}\r\n").as_bytes())) {
        Action::Probed(Probed::Taken(_)) => "yes",
        Action::Probed(Probed::Unknown(_)) => "no",
        Action::Probed(Probed::Untold { elsewhere: false, .. }) => "untold",
        action => panic!("{reply}: {action:?}"),
    }
}

#[test]
fn only_a_5yz_that_speaks_of_the_recipient_is_a_no() {
    for reply in ["250 ok", "250 2.1.5 ok", "251 will forward", "252 cannot tell, try"] {
        assert_eq!(judged(reply), "yes", "{reply}");
    }
    for reply in [
        "550 5.1.1 no such user",
        "550 no",
        "551 not here",
        "553 bad name",
        "554 5.1.1 no",
        "550 5.1.10 no",
        "550 5.4.1 no",
        "501 5.1.3 no",
        "550 5.2.1 disabled",
    ] {
        assert_eq!(judged(reply), "no", "{reply}");
    }
    for reply in [
        "450 4.7.1 greylisted",
        "452 full",
        "253 what",
        "354 what",
        "550 5.7.1 you may not relay",
        "554 5.7.1 blocked",
        "530 5.7.0 authenticate first",
        "530 authenticate first",
        "535 who?",
        "550 5.3.2 closed",
        "552 5.2.2 mailbox full",
        "550 5.2.2 mailbox full",
        "552 too many recipients",
        "503 bad sequence",
        "500 what?",
        "521 no mail here",
    ] {
        assert_eq!(judged(reply), "untold", "{reply}");
    }
}

#[test]
fn a_refused_sender_says_nothing_of_the_recipient() {
    for reply in ["550 5.1.1 no\r\n", "450 later\r\n", "354 what\r\n"] {
        let mut session = asking_for_nobody();
        let action = session.step(Input::Received(reply.as_bytes()));
        assert!(matches!(action, Action::Probed(Probed::Untold { elsewhere: false, .. })), "{action:?}");
        assert_eq!(said(&mut session), "");
    }
}

fn asking_for_nobody() -> Session {
    let mut session = Session::new(Dialect::Lmtp, "gw", Encryption::Unasked);
    session.step(Input::Received(b"220 hi\r\n"));
    session.step(Input::Received(b"250 mx\r\n"));
    said(&mut session);
    session.step(Input::Probe(recipient("c@d")));
    said(&mut session);
    session
}

#[test]
fn another_recipient_may_be_asked_for_on_the_same_connection() {
    let mut session = asking();
    session.step(Input::Received(b"550 no\r\n"));
    assert_eq!(session.proceed(), Action::Read);
    assert_eq!(said(&mut session), "RSET\r\n");
    assert_eq!(session.step(Input::Received(b"250 ok\r\n")), Action::Ready);
    session.step(Input::Probe(recipient("e@d")));
    assert_eq!(said(&mut session), "MAIL FROM:<>\r\n");
}

#[test]
fn what_was_not_asked_for_or_ends_the_connection_tells_nothing() {
    for reply in [&b"421 bye\r\n"[..], b"nonsense\r\n"] {
        let action = asking().step(Input::Received(reply));
        assert!(matches!(action, Action::Probed(Probed::Untold { elsewhere: true, .. })), "{action:?}");
    }
    let action = asking_for_nobody().step(Input::Received(b"250 ok\r\n550 ahead of its time\r\n"));
    assert!(matches!(action, Action::Probed(Probed::Untold { elsewhere: true, .. })), "{action:?}");
    let mut session = asking();
    let action = session.step(Input::Lost(Trouble::Closed));
    assert!(matches!(action, Action::Probed(Probed::Untold { elsewhere: true, .. })), "{action:?}");
    assert_eq!(session.proceed(), Action::Close(Some(Trouble::Closed)));
}

#[test]
fn an_internationalized_address_needs_smtputf8() {
    let mut session = Session::new(Dialect::Smtp, "gw", Encryption::Unasked);
    session.step(Input::Received(b"220 hi\r\n"));
    session.step(Input::Received(b"250 mx\r\n"));
    said(&mut session);
    let action = session.step(Input::Probe(recipient("\u{fc}@d")));
    assert!(matches!(action, Action::Probed(Probed::Untold { elsewhere: false, .. })), "{action:?}");
    assert_eq!((said(&mut session).as_str(), session.proceed()), ("", Action::Ready));
}
