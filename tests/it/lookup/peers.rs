//! Real mail servers, asked for recipients: `b`, `c` and `d` exist there, `later` is to come later.

use smap_tests::dns::Dns;
use smap_tests::needs::Test;
use smap_tests::network::{self, add_foreign};
use smap_tests::peers::{Kind, Server};

use super::callout::Desk;
use super::table;

/// One test for each server, in a network of its own.
macro_rules! asked {
    ($($server:literal $kind:ident $behaviour:ident;)*) => {
        pub(crate) fn tests() -> Vec<Test> {
            vec![$(Test {
                name: concat!(module_path!(), "::", $server, "::", stringify!($behaviour)),
                needs: Kind::$kind.needs(),
                run: || network::alone(&[], || $behaviour(Kind::$kind)),
            }),*]
        }
    };
}

asked! {
    "postfix" Postfix it_tells_who_exists;
    "exim" Exim it_tells_who_exists;
    "opensmtpd" OpenSmtpd it_tells_who_exists;
    "sendmail" Sendmail it_tells_who_exists;
    "dovecot" Dovecot it_tells_who_exists;
    "exim" Exim mail_exchangers_are_asked_in_their_order_and_never_ourselves;
}

fn it_tells_who_exists(kind: Kind) {
    let server = Server::running(kind);
    let transport = if kind == Kind::Dovecot { "lmtp:127.0.0.1:25" } else { "smtp:[127.0.0.1]" };
    let desk = Desk::with(&format!(
        "smap, smapd: domain example.com {transport}\nsmap, smapd: recipients example.com callout"
    ));
    for user in ["b", "c"] {
        desk.assert_exists(&format!("{user}@example.com"));
    }
    desk.assert_unknown("z@example.com");
    if kind != Kind::Dovecot {
        desk.assert_untold("later@example.com");
    }
    assert_eq!(server.maildir("b").len(), 0);
}

fn mail_exchangers_are_asked_in_their_order_and_never_ourselves(kind: Kind) {
    const NEAR: &str = "192.0.2.10";
    add_foreign(NEAR);
    add_foreign("192.0.2.20");
    let mut server = Server::new(kind, &[NEAR]);
    server.start();
    let dns = Dns::start(&format!(
        "example.com MX 5 gone.example\nexample.com MX 10 deaf.example\nexample.com MX 20 near.example\n\
         example.com MX 30 gw.example.com\nexample.com MX 40 deaf.example\n\
         ours.example MX 10 gw.example.com\nours.example MX 20 near.example\n\
         here.example MX 10 here.example\nhere.example A 127.0.0.1\n\
         none.example MX 0 .\nnear.example A {NEAR}\ndeaf.example A 192.0.2.20"
    ));
    let desk = Desk::of(&format!(
        "{}\nsmap, smapd: domain example.com ours.example here.example none.example smtp:\n\
         smap, smapd: recipients example.com ours.example here.example none.example callout",
        table(&dns)
    ));
    desk.assert_exists("b@example.com");
    let line = desk.line("b@example.com", "failed");
    assert!(line.contains(" relay=deaf.example[192.0.2.20]:25 "), "{line}");
    let line = desk.line("b@example.com", "exists");
    assert!(line.contains(&format!(" relay=near.example[{NEAR}]:25 ")), "{line}");
    desk.assert_unknown("z@example.com");
    for domain in ["ours.example", "here.example"] {
        let why = desk.assert_untold(&format!("b@{domain}"));
        assert_eq!(why, format!("mail for {domain} loops back to this host"));
    }
    let why = desk.assert_untold("b@none.example");
    assert!(why.contains("does not accept mail"), "{why}");
}
