use crate::smtp::client::{Action, Dialect, Encryption, Input, Session, Trouble};
use crate::status::Status;

const OFFER: &str = "250-mx\r\n250-PIPELINING\r\n250-starttls\r\n250 DSN\r\n";

fn hear(session: &mut Session, reply: &str) -> Action {
    session.step(Input::Received(reply.as_bytes()))
}

fn said(session: &mut Session) -> String {
    String::from_utf8(std::mem::take(session.output())).unwrap()
}

/// A session that has said EHLO.
fn greeted(encryption: Encryption) -> Session {
    let mut session = Session::new(Dialect::Smtp, "gw.example", encryption);
    hear(&mut session, "220 hi\r\n");
    assert_eq!(said(&mut session), "EHLO gw.example\r\n");
    session
}

/// One that has said STARTTLS.
fn asking(encryption: Encryption) -> Session {
    let mut session = greeted(encryption);
    assert_eq!(hear(&mut session, OFFER), Action::Read);
    assert_eq!(said(&mut session), "STARTTLS\r\n");
    session
}

/// One that was encrypted.
fn secured(encryption: Encryption) -> Session {
    let mut session = asking(encryption);
    assert_eq!(hear(&mut session, "220 go ahead\r\n"), Action::Handshake);
    assert_eq!(session.step(Input::Secured), Action::Read);
    session
}

fn status(action: Action) -> String {
    let Action::Close(Some(trouble)) = action else { panic!("no trouble: {action:?}") };
    trouble.status().to_string()
}

const BOTH: [Encryption; 2] = [Encryption::IfOffered, Encryption::Required];

#[test]
fn what_is_offered_is_asked_for_before_anything_else_is_said() {
    for encryption in BOTH {
        let mut session = secured(encryption);
        assert_eq!(said(&mut session), "EHLO gw.example\r\n");
        assert_eq!(hear(&mut session, "250-mx\r\n250 8BITMIME\r\n"), Action::Ready);
    }
}

#[test]
fn what_was_offered_in_the_clear_is_forgotten() {
    let mut session = secured(Encryption::IfOffered);
    assert!(!session.offers().pipelining && !session.offers().dsn && !session.offers().starttls);
    hear(&mut session, "250-mx\r\n250 8BITMIME\r\n");
    let offers = session.offers();
    assert!(offers.eight_bit && !offers.pipelining && !offers.dsn);
}

#[test]
fn a_second_offer_is_ignored() {
    for encryption in BOTH {
        let mut session = secured(encryption);
        said(&mut session);
        assert_eq!(hear(&mut session, OFFER), Action::Ready);
        assert_eq!(said(&mut session), "");
    }
}

#[test]
fn who_is_not_to_encrypt_does_not_ask() {
    let mut session = greeted(Encryption::Unasked);
    assert_eq!(hear(&mut session, OFFER), Action::Ready);
    assert_eq!(said(&mut session), "");
}

#[test]
fn nothing_that_stands_behind_the_220_survives_the_handshake() {
    for injected in ["250 evil\r\n", "250-ev", "\r\n", "\u{16}\u{3}"] {
        for encryption in BOTH {
            let mut session = asking(encryption);
            let action = hear(&mut session, &format!("220 go ahead\r\n{injected}"));
            assert_eq!(action, Action::Close(Some(Trouble::OutOfStep)), "{injected:?}");
        }
    }
    let mut session = greeted(Encryption::IfOffered);
    let action = hear(&mut session, &format!("{OFFER}220 go ahead\r\n"));
    assert_eq!(action, Action::Close(Some(Trouble::OutOfStep)));
    let mut session = asking(Encryption::IfOffered);
    hear(&mut session, "220 go ahead\r\n");
    assert_eq!(hear(&mut session, "250 evil\r\n"), Action::Close(Some(Trouble::OutOfStep)));
}

#[test]
fn what_is_not_offered_is_done_without_unless_it_is_required() {
    let plain = "250-mx\r\n250 PIPELINING\r\n";
    assert_eq!(hear(&mut greeted(Encryption::IfOffered), plain), Action::Ready);
    assert_eq!(status(hear(&mut greeted(Encryption::Required), plain)), "4.7.4");
}

#[test]
fn a_server_that_knows_no_extensions_is_done_without_where_it_is_required() {
    for (encryption, goes_on) in [(Encryption::IfOffered, true), (Encryption::Required, false)] {
        let mut session = greeted(encryption);
        hear(&mut session, "500 what\r\n");
        assert_eq!(said(&mut session), "HELO gw.example\r\n");
        let action = hear(&mut session, "250 mx\r\n");
        assert_eq!(action == Action::Ready, goes_on, "{action:?}");
        assert!(goes_on || status(action) == "4.7.4");
    }
}

#[test]
fn a_refusal_is_put_up_with_unless_it_is_required() {
    for reply in ["454 4.7.0 not now\r\n", "502 5.5.1 what\r\n"] {
        let mut session = asking(Encryption::IfOffered);
        assert_eq!(hear(&mut session, reply), Action::Ready);
        assert!(session.offers().pipelining && said(&mut session).is_empty());
        assert_eq!(status(hear(&mut asking(Encryption::Required), reply)), "4.7.4");
    }
}

#[test]
fn a_reply_to_starttls_that_is_none_ends_the_session() {
    for encryption in BOTH {
        for reply in ["250 ok\r\n", "354 go on\r\n"] {
            let action = hear(&mut asking(encryption), reply);
            assert_eq!(action, Action::Close(Some(Trouble::OutOfStep)), "{reply}");
        }
        assert_eq!(status(hear(&mut asking(encryption), "421 4.3.2 busy\r\n")), "4.3.2");
    }
}

#[test]
fn a_handshake_that_fails_is_the_end() {
    for encryption in BOTH {
        let mut session = asking(encryption);
        hear(&mut session, "220 go ahead\r\n");
        let trouble = Trouble::Handshake("no common cipher".to_owned());
        assert_eq!(trouble.status(), Status::transient(7, 5));
        assert_eq!(session.step(Input::Lost(trouble.clone())), Action::Close(Some(trouble)));
        assert_eq!(said(&mut session), "");
    }
}

#[test]
fn only_a_handshake_that_was_wanted_changes_anything() {
    let mut session = greeted(Encryption::Required);
    assert_eq!(session.step(Input::Secured), Action::Read);
    assert_eq!(status(hear(&mut session, "250 mx\r\n")), "4.7.4");
}
