//! Real mail servers as next hosts: by SMTP here, by LMTP in `lmtp.rs`, by mail exchangers in `exchangers.rs`.
//!
//! Each test has a network of its own. The servers are in `src/peers/`, with what they are told to refuse.

/// One of these tests, with one server, in a network of its own.
macro_rules! test_with {
    ($server:literal, $kind:ident, $behaviour:ident) => {
        Test {
            name: concat!(module_path!(), $server, stringify!($behaviour)),
            needs: Kind::$kind.needs(),
            run: || network::alone(&[], || $behaviour(Kind::$kind)),
        }
    };
}

mod encryption;
mod exchangers;
mod lmtp;

use std::collections::BTreeSet;

use smap_tests::needs::Test;
use smap_tests::peers::{Kind, MAX_SIZE, Server};
use smap_tests::post::{Post, Smapd, send};
use smap_tests::{eventually, network};

use super::notifications::{assert_fields, notice, told};

/// Each of these tests, with each server.
macro_rules! with_each_server {
    ($($behaviour:ident;)*) => {
        fn with_each_server() -> Vec<Test> {
            vec![$(
                test_with!("::postfix::", Postfix, $behaviour),
                test_with!("::exim::", Exim, $behaviour),
                test_with!("::opensmtpd::", OpenSmtpd, $behaviour),
                test_with!("::sendmail::", Sendmail, $behaviour),
            )*]
        }
    };
}

with_each_server! {
    a_message_arrives_as_it_was;
    text_beyond_ascii_arrives_as_it_was;
    an_address_beyond_ascii_is_taken_or_returned;
    each_recipient_has_the_outcome_that_the_server_says;
    three_million_octets_and_their_dots_arrive_as_they_were;
    a_burst_goes_over_a_few_connections;
    a_server_that_is_back_gets_its_mail_by_an_order;
    a_recipient_who_is_to_come_later_waits;
    a_message_above_its_limit_is_returned_and_not_sent;
}

pub(crate) fn tests() -> Vec<Test> {
    [with_each_server(), lmtp::tests(), exchangers::tests(), encryption::tests()]
        .into_iter()
        .flatten()
        .collect()
}

const FROM: &str = "a@sender.example";
const HEAD: &str = "From: <a@sender.example>\r\nTo: <b@example.com>\r\nDate: Sat, 21 Nov 2026 14:10:00 +0000\r\n\
    Message-ID: <1@sender.example>\r\nSubject: greetings\r\n";

/// Mail for example.com goes there; senders have Maildirs.
fn post_to(hop: &str) -> Post {
    Post::with_maildirs_for_senders(&format!("smapd: retry 1h\nsmap, smapd: domain example.com {hop}"))
}

fn post() -> Post {
    post_to("smtp:[127.0.0.1]")
}

/// The server has delivered what was sent, below the fields of whoever had it on its way.
fn assert_arrived(delivered: &[u8], sent: &str) {
    let sent = format!("{sent}\r\n").replace("\r\n", "\n");
    let shown = || String::from_utf8_lossy(&delivered[..delivered.len().min(3000)]).into_owned();
    let trace = delivered.strip_suffix(sent.as_bytes()).unwrap_or_else(|| panic!("altered: {}", shown()));
    let known = ["Return-Path: ", "Delivered-To: ", "X-Original-To: ", "Received: ", " ", "\t"];
    let is_known = |line: &str| known.iter().any(|field| line.starts_with(field));
    assert!(String::from_utf8_lossy(trace).lines().all(is_known), "{}", shown());
}

/// Sends a text to `b`, with these parameters of `MAIL`, and compares what arrives.
fn assert_passes(kind: Kind, parameters: &str, text: &str) {
    let (server, post) = (Server::running(kind), post());
    let smapd = post.smapd();
    let id = post.send_as(&format!("<{FROM}>{parameters}"), &["<b@example.com>"], text);
    let line = smapd.outcome(&id, "b@example.com", "sent");
    assert!(line.contains(" relay=[127.0.0.1]:25 ") && line.contains("reply=\"250 "), "{line}");
    smapd.removed(&id);
    assert_arrived(&server.wait_for("b", 1)[0], text);
    post.assert_spool_is_empty();
}

fn a_message_arrives_as_it_was(kind: Kind) {
    let text = format!("{HEAD}\r\n..\r\n...\r\n..a\r\n\r\nFrom b\r\n  spaces \r\n\ttab\t\r\n");
    // What the client doubles stands for one dot.
    let (server, post) = (Server::running(kind), post());
    let smapd = post.smapd();
    let id = post.send(FROM, &["b@example.com"], &text);
    let line = smapd.outcome(&id, "b@example.com", "sent");
    assert!(line.contains(" relay=[127.0.0.1]:25 ") && line.contains("reply=\"250 "), "{line}");
    smapd.removed(&id);
    assert_arrived(&server.wait_for("b", 1)[0], &text.replace("\r\n..", "\r\n."));
    post.assert_spool_is_empty();
}

fn text_beyond_ascii_arrives_as_it_was(kind: Kind) {
    let text = format!(
        "{HEAD}MIME-Version: 1.0\r\nContent-Type: text/plain; charset=utf-8\r\n\
         Content-Transfer-Encoding: 8bit\r\n\r\nGr\u{fc}\u{df}e \u{1f980}"
    );
    assert_passes(kind, " BODY=8BITMIME", &text);
}

fn an_address_beyond_ascii_is_taken_or_returned(kind: Kind) {
    let (server, post) = (Server::running(kind), post());
    let smapd = post.smapd();
    let takes = matches!(kind, Kind::Postfix | Kind::Exim);
    let text = format!("{HEAD}Comments: {}\r\n\r\nhello", if takes { "gr\u{fc}n" } else { "green" });
    let id = post.send_as("<j\u{fc}rgen@sender.example> SMTPUTF8", &["<b@example.com>"], &text);
    if takes {
        let _line = smapd.outcome(&id, "b@example.com", "sent");
        let delivered = server.wait_for("b", 1).swap_remove(0);
        assert_arrived(&delivered, &text);
        assert!(String::from_utf8_lossy(&delivered).contains("j\u{fc}rgen@sender.example"));
    } else {
        let line = smapd.outcome(&id, "b@example.com", "failed");
        assert!(line.contains(" dsn=5.6.7 "), "{line}");
        assert_eq!(told(&smapd, &id), "<j\u{fc}rgen@sender.example>");
    }
}

fn each_recipient_has_the_outcome_that_the_server_says(kind: Kind) {
    let (server, post) = (Server::running(kind), post());
    let smapd = post.smapd();
    let text = format!("{HEAD}\r\nhello");
    let to = ["b", "y", "c", "z", "d"].map(|user| format!("{user}@example.com"));
    let id = post.send(FROM, &to.each_ref().map(String::as_str), &text);
    told(&smapd, &id);
    for user in ["b", "c", "d"] {
        let _line = smapd.outcome(&id, &format!("{user}@example.com"), "sent");
        assert_arrived(&server.wait_for(user, 1)[0], &text);
    }
    let fields = notice(&post, "a");
    for (number, user) in ["y", "z"].iter().enumerate() {
        let (address, of) = (format!("{user}@example.com"), |field| format!("recipient{number}.{field}"));
        let line = smapd.outcome(&id, &address, "failed");
        assert!(line.contains("reply=\"550 "), "{line}");
        let (whose, action) = (of("Final-Recipient"), of("Action"));
        assert_fields(&fields, &[(&whose, &format!("rfc822; {address}")), (&action, "failed")]);
        let (status, words) = (&fields[&of("Status")], &fields[&of("Diagnostic-Code")]);
        // OpenSMTPD has no status of its own for this.
        let wanted = if kind == Kind::OpenSmtpd { "5." } else { "5.1.1" };
        assert!(status.starts_with(wanted) && words.starts_with("smtp; 550"), "{fields:#?}");
    }
    assert_eq!(fields.get("recipient2.Final-Recipient"), None);
    smapd.removed(&id);
    post.assert_spool_is_empty();
}

fn three_million_octets_and_their_dots_arrive_as_they_were(kind: Kind) {
    let line = "..\r\n..dots at the beginning of a line, and a line of usual length behind them\r\n";
    let text = format!("{HEAD}\r\n{}", line.repeat(3_000_000 / line.len()));
    let (server, post) = (Server::running(kind), post());
    let smapd = post.smapd();
    let id = post.send(FROM, &["b@example.com"], &text);
    let _line = smapd.outcome(&id, "b@example.com", "sent");
    assert_arrived(&server.wait_for("b", 1)[0], &text.replace("\r\n..", "\r\n."));
}

fn a_burst_goes_over_a_few_connections(kind: Kind) {
    const MESSAGES: usize = 30;
    let server = Server::running(kind);
    let post = Post::with_maildirs_for_senders(
        "smapd: max-connections-per-destination 2\nsmap, smapd: domain example.com smtp:[127.0.0.1]",
    );
    let mut client = post.listener.extended_client();
    let texts: Vec<String> = (0..MESSAGES).map(|number| format!("{HEAD}X: {number}\r\n\r\nhello")).collect();
    for text in &texts {
        let _id = send(&mut client, &format!("<{FROM}>"), &["<b@example.com>"], text);
    }
    let before = network::connections();
    let smapd = post.smapd();
    let _all = smapd.process().wait_for_logs(MESSAGES, |line| line.ends_with(" removed"));
    assert_eq!(smapd.count(" status=sent "), MESSAGES);
    let made = network::connections() - before;
    assert!((1..=2).contains(&made), "{made} connections");
    let subject = |text: &[u8]| {
        let text = String::from_utf8_lossy(text).into_owned();
        text.lines().find(|line| line.starts_with("X: ")).map(str::to_owned).expect("it has one")
    };
    let came: BTreeSet<String> = server.wait_for("b", MESSAGES).iter().map(|text| subject(text)).collect();
    assert_eq!(came.len(), MESSAGES);
}

/// A message that waits in `queue/`.
fn deferred(post: &Post, smapd: &Smapd, to: &str, dsn: &str, text: &str) -> String {
    let id = post.send(FROM, &[to], text);
    let line = smapd.outcome(&id, to, "deferred");
    assert!(line.contains(&format!(" dsn={dsn}")), "{line}");
    eventually("it waits in queue/", || post.names("queue").contains(&id).then_some(()));
    id
}

fn a_server_that_is_back_gets_its_mail_by_an_order(kind: Kind) {
    let (mut server, post) = (Server::new(kind, &["127.0.0.1"]), post());
    let smapd = post.smapd();
    let text = format!("{HEAD}\r\nhello");
    let id = deferred(&post, &smapd, "b@example.com", "4.4.1 ", &text);
    server.start();
    let ended = post.smapctl(&["queue", "retry", "--domain", "example.com"]);
    assert_eq!((ended.code, ended.output.as_slice()), (0, b"1 message tried now\n".as_slice()), "{ended:?}");
    let _line = smapd.outcome(&id, "b@example.com", "sent");
    smapd.removed(&id);
    assert_arrived(&server.wait_for("b", 1)[0], &text);
    post.assert_spool_is_empty();
}

fn a_recipient_who_is_to_come_later_waits(kind: Kind) {
    let (server, post) = (Server::running(kind), post());
    let smapd = post.smapd();
    let id = post.send(FROM, &["later@example.com", "b@example.com"], HEAD);
    let line = smapd.outcome(&id, "later@example.com", "deferred");
    assert!(line.contains(" dsn=4.7.1 ") && line.contains("come again"), "{line}");
    let _line = smapd.outcome(&id, "b@example.com", "sent");
    eventually("it waits in queue/", || post.names("queue").contains(&id).then_some(()));
    assert_eq!(server.wait_for("b", 1).len(), 1);
    assert_eq!(smapd.count(" notification="), 0);
}

fn a_message_above_its_limit_is_returned_and_not_sent(kind: Kind) {
    let (server, post) = (Server::running(kind), post());
    let line = "a line of the usual length, of which there are too many in this message\r\n";
    let text = format!("{HEAD}\r\n{}", line.repeat(MAX_SIZE / line.len() + 1));
    let id = post.send(FROM, &["b@example.com"], &text);
    let before = network::octets();
    let smapd = post.smapd();
    let line = smapd.outcome(&id, "b@example.com", "failed");
    assert!(line.contains(" dsn=5.3.4 "), "{line}");
    let sent = network::octets() - before;
    assert!(sent < 100_000, "{sent} octets");
    assert_eq!(told(&smapd, &id), "<a@sender.example>");
    assert_eq!(server.maildir("b").len(), 0);
}
