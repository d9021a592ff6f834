//! Mail that comes back to where it was delivered: `Delivered-To:` fields of ours, and those that are none.

use std::fs;

use smap_tests::gateway::chmod;
use smap_tests::needs::Need::Program;
use smap_tests::post::{MAILBOX_TRACE, Post, Smapd, without_trace};
use smap_tests::sink::Sink;
use smap_tests::{programs, tests};

use super::notifications::{assert_fields, notice, told};

tests! {
    row_077_a_program_that_sends_mail_back_gets_it_once: [Program(PYTHON), Program("python3")];
    row_077_mail_that_comes_back_to_a_maildir_is_returned: [Program("python3")];
    row_077_mail_that_comes_back_to_an_mbox_is_returned;
    row_077_a_field_of_ours_is_known_however_it_is_written;
    mail_that_was_delivered_elsewhere_is_delivered;
    a_field_in_the_body_is_text;
    one_recipient_who_had_it_keeps_it_from_no_other;
    a_host_is_given_what_was_delivered_before;
}

const FROM: &str = "a@example.com";
/// One that every user may start.
const PYTHON: &str = "/usr/bin/python3";

/// Mail for `round.example` goes to a program that sends it back by SMTP.
fn round(post: &Post) -> String {
    let script = post.path("send.py");
    fs::copy(programs::script("send.py"), &script).unwrap();
    chmod(&script, 0o644);
    format!(
        "smap, smapd: domain round.example pipe:{PYTHON} {} --to=%u@ROUND.example {} {} /dev/stdin\n\
         smap, smapd: domain sender.example maildir:{}/%u/",
        script.display(),
        post.address().ip(),
        post.address().port(),
        post.path("mail").display()
    )
}

fn row_077_a_program_that_sends_mail_back_gets_it_once() {
    let post = Post::new(|_| "smap, smapd: domain round.example discard".to_owned());
    // Where it listens is known now; what is accepted stays the same.
    post.gateway.write_table(&round(&post));
    let smapd = post.smapd();
    let id = post.send("x@sender.example", &["b@round.example"], "Subject: greetings\r\n\r\nhello");
    let _line = smapd.outcome(&id, "b@round.example", "sent");
    let line = smapd.outcome_for("b@round.example", "failed");
    assert!(line.contains("dsn=5.4.6") && line.contains("Delivered-To: "), "{line}");
    // The program sends as send.py does.
    let back = line.split("]: id=").nth(1).and_then(|rest| rest.split(' ').next()).unwrap();
    assert_eq!(told(&smapd, back), "<a@sender.example>");
    smapd.removed(back);
    assert_eq!(smapd.count(" to=<b@round.example> "), 2);
    let fields = notice(&post, "a");
    assert_fields(&fields, &[("recipient0.Status", "5.4.6"), ("returned.Subject", "greetings")]);
    post.assert_spool_is_empty();
}

/// Senders and recipients have a mailbox each, `b@mbox.example` an mbox.
fn post() -> Post {
    Post::new(|folder| {
        let mail = folder.join("mail").display().to_string();
        format!(
            "smap, smapd: domain example.com maildir:{mail}/%u/\n\
             smap, smapd: domain mbox.example mbox:{mail}/%u.mbox"
        )
    })
}

/// Sends this to one, who has had it already.
fn assert_returned(post: &Post, smapd: &Smapd, to: &str, body: &str) {
    let id = post.send(FROM, &[to], body);
    let line = smapd.outcome(&id, to, "failed");
    assert!(line.contains("dsn=5.4.6") && line.contains("Delivered-To: "), "{line}");
    assert_eq!(told(smapd, &id), format!("<{FROM}>"));
    smapd.removed(&id);
}

fn row_077_mail_that_comes_back_to_a_maildir_is_returned() {
    let post = post();
    let smapd = post.smapd();
    let id = post.send("", &["b@example.com"], "Subject: greetings\r\n\r\nhello");
    smapd.removed(&id);
    let delivered = String::from_utf8(post.maildir("b").remove(0)).unwrap();
    assert_returned(&post, &smapd, "b@example.com", delivered.trim_end().replace('\n', "\r\n").as_str());
    assert_eq!(post.maildir("b").len(), 1);
    let fields = notice(&post, "a");
    assert_fields(
        &fields,
        &[("recipient0.Action", "failed"), ("recipient0.Status", "5.4.6"), ("returned.Subject", "greetings")],
    );
    assert!(fields["people"].contains("mail loop"), "{fields:#?}");
}

fn row_077_mail_that_comes_back_to_an_mbox_is_returned() {
    let post = post();
    let smapd = post.smapd();
    assert_returned(&post, &smapd, "b@mbox.example", "Delivered-To: b@mbox.example\r\n\r\nhello");
    assert!(!post.path("mail/b.mbox").exists());
}

fn row_077_a_field_of_ours_is_known_however_it_is_written() {
    let post = post();
    let smapd = post.smapd();
    let others: String = (0..500).map(|n| format!("Delivered-To: b{n}@example.com\r\n")).collect();
    for head in [
        "DELIVERED-TO:\r\n\tb@example.com \r\n",
        "Subject: x\r\ndelivered-to : b@Example.COM\r\nSubject: y\r\n",
        "Delivered-To: \"b\"@example.com\r\n",
        &format!("{others}Delivered-To: b@example.com\r\n{others}"),
        &format!("X: {}\r\nDelivered-To: b@example.com\r\n", "x \r\n ".repeat(20_000)),
    ] {
        assert_returned(&post, &smapd, "b@example.com", &format!("{head}\r\nhello"));
    }
    assert_eq!(post.maildir("b").len(), 0);
}

/// All of these are delivered as they are.
fn assert_delivered(bodies: &[&str]) {
    let post = post();
    let smapd = post.smapd();
    for body in bodies {
        let id = post.send(FROM, &["b@example.com"], body);
        let _line = smapd.outcome(&id, "b@example.com", "sent");
        smapd.removed(&id);
    }
    let mut arrived: Vec<Vec<u8>> =
        post.maildir("b").iter().map(|message| without_trace(message, &MAILBOX_TRACE).1).collect();
    let mut wanted: Vec<Vec<u8>> =
        bodies.iter().map(|body| format!("{body}\r\n").replace("\r\n", "\n").into_bytes()).collect();
    arrived.sort();
    wanted.sort();
    assert_eq!(arrived, wanted);
}

fn mail_that_was_delivered_elsewhere_is_delivered() {
    let others: String = (0..500).map(|n| format!("Delivered-To: b{n}@example.com\r\n")).collect();
    assert_delivered(&[
        "Delivered-To: b@elsewhere.example\r\n\r\nhello",
        "Delivered-To: B@example.com\r\n\r\nhello",
        "X-Delivered-To: b@example.com\r\nSubject: Delivered-To:\r\n b@example.com\r\n\r\nhello",
        &format!("{others}\r\nhello"),
    ]);
}

fn a_field_in_the_body_is_text() {
    assert_delivered(&[
        "Subject: x\r\n\r\nDelivered-To: b@example.com",
        "\r\nDelivered-To: b@example.com\r\n\r\nhello",
    ]);
}

fn one_recipient_who_had_it_keeps_it_from_no_other() {
    let post = post();
    let smapd = post.smapd();
    let to = ["b@example.com", "c@example.com"];
    let id = post.send("", &to, "Delivered-To: c@example.com\r\n\r\nhello");
    let _line = smapd.outcome(&id, "b@example.com", "sent");
    assert!(smapd.outcome(&id, "c@example.com", "failed").contains("dsn=5.4.6"));
}

/// It puts no such field there: what goes round there is counted.
fn a_host_is_given_what_was_delivered_before() {
    let sink = Sink::start();
    let post = Post::new(|_| format!("smap, smapd: domain example.com smtp:[127.0.0.1]:{}", sink.port()));
    let smapd = post.smapd();
    let id = post.send(FROM, &["b@example.com"], "Delivered-To: b@example.com\r\n\r\nhello");
    smapd.removed(&id);
    assert_eq!(sink.received().len(), 1);
}
