//! Mail from inside is seen outside with one domain; all other mail goes as it came.

use smap_tests::post::{MAILBOX_TRACE, Post, RELAY_TRACE, without_trace};
use smap_tests::sink::Sink;
use smap_tests::tests;

tests! {
    the_header_of_mail_from_inside_has_one_domain;
    mail_from_outside_is_not_changed_by_one_octet;
    a_mailbox_here_gets_the_same_as_a_host;
    the_envelope_has_that_domain_where_the_table_says_so;
    an_address_without_a_domain_gets_one;
    a_message_of_any_length_keeps_what_stands_behind_its_header;
    who_sent_it_is_told_by_the_name_that_he_gave;
}

const FROM: &str = "joe@pc.inside.example";
const INSIDE: &str = "smap: permit-relay 127.0.0.1\nsmapd: masquerade-as example.org\n\
    smapd: masquerade-domain .inside.example lab.example\nsmapd: exposed-user root";

fn post(lines: &str, sink: &Sink) -> Post {
    Post::with_maildirs(&format!(
        "{lines}\nsmap, smapd: domain far.example smtp:[127.0.0.1]:{}\n\
         smap, smapd: domain no.example error:5.1.1:550 No such user here",
        sink.port()
    ))
}

/// What the sink is given of this, below our own trace.
fn relayed(lines: &str, text: &str) -> String {
    let sink = Sink::start();
    let post = post(lines, &sink);
    let smapd = post.smapd();
    let id = post.send(FROM, &["b@far.example"], text);
    smapd.removed(&id);
    let received = sink.received().remove(0);
    assert_eq!(received.sender, format!("<{FROM}>"));
    String::from_utf8(without_trace(&received.text, &RELAY_TRACE).1).unwrap()
}

const HEADER: &str = "Received: from pc.inside.example by joe@pc.inside.example;\r\n\
    \tMon, 1 Jan 2024 00:00:00 +0000\r\n\
    From: \"Joe @pc.inside.example\"\r\n\t<joe@pc.inside.example> (at gw.example.com)\r\n\
    Sender: root@pc.inside.example\r\n\
    Reply-To: Us: joe@lab.example, ann@gw.example.com,\r\n kim@elsewhere.example;\r\n\
    To: b@far.example, joe@pc.inside.example\r\n\
    Subject: joe@pc.inside.example\r\n\
    Message-ID: <1@pc.inside.example>\r\n\
    DKIM-Signature: v=1; d=pc.inside.example; h=From; b=x\r\n\
    Resent-From: joe@sub.lab.example\r\n";
const BODY: &str = "\r\nFrom: joe@pc.inside.example\r\n..\r\n";

fn the_header_of_mail_from_inside_has_one_domain() {
    let seen = HEADER
        .replace("<joe@pc.inside.example>", "<joe@example.org>")
        .replace("Us: joe@lab.example, ann@gw.example.com,", "Us: joe@example.org, ann@example.org,");
    let text = format!("{HEADER}{BODY}");
    assert_eq!(relayed(INSIDE, text.trim_end()), format!("{seen}{}", BODY.replace("..", ".")));
    let with_recipients = format!("{INSIDE}\nsmapd: masquerade-recipients");
    let seen = seen.replace("far.example, joe@pc.inside.example", "far.example, joe@example.org");
    assert_eq!(relayed(&with_recipients, text.trim_end()), format!("{seen}{}", BODY.replace("..", ".")));
}

fn mail_from_outside_is_not_changed_by_one_octet() {
    let outside = INSIDE.replace("permit-relay 127.0.0.1", "permit-relay 192.0.2.1");
    let lines = format!("{outside}\nsmapd: masquerade-envelope\nsmapd: always-add-domain example.org");
    let text = format!("{HEADER}{BODY}");
    assert_eq!(relayed(&lines, text.trim_end()), format!("{HEADER}{}", BODY.replace("..", ".")));
}

fn a_mailbox_here_gets_the_same_as_a_host() {
    let sink = Sink::start();
    let post = post(INSIDE, &sink);
    let smapd = post.smapd();
    let id = post.send(FROM, &["b@example.com"], "From: joe@lab.example\r\n\r\nhello");
    smapd.removed(&id);
    let (fields, text) = without_trace(&post.maildir("b")[0], &MAILBOX_TRACE);
    assert_eq!(fields[0], "Return-Path: <joe@pc.inside.example>");
    assert_eq!(text, b"From: joe@example.org\n\nhello\n");
}

fn the_envelope_has_that_domain_where_the_table_says_so() {
    let sink = Sink::start();
    let post = post(&format!("{INSIDE}\nsmapd: masquerade-envelope"), &sink);
    let smapd = post.smapd();
    for from in [FROM, "root@pc.inside.example", ""] {
        let id = post.send(from, &["b@far.example", "b@example.com"], "Subject: x\r\n\r\nhello");
        smapd.removed(&id);
    }
    let senders: Vec<String> = sink.received().into_iter().map(|one| one.sender).collect();
    assert_eq!(senders, ["<joe@example.org>", "<root@pc.inside.example>", "<>"]);
    let paths =
        post.maildir("b").iter().filter(|one| one.starts_with(b"Return-Path: <joe@example.org>\n")).count();
    assert_eq!(paths, 1);
}

fn an_address_without_a_domain_gets_one() {
    let lines = "smap: permit-relay 127.0.0.1\nsmapd: always-add-domain example.org";
    let text = "From: joe (Joe)\r\nTo: b@far.example, <ann>\r\n\r\nhello";
    let seen = "From: joe@example.org (Joe)\r\nTo: b@far.example, <ann@example.org>\r\n\r\nhello\r\n";
    assert_eq!(relayed(lines, text), seen);
}

fn a_message_of_any_length_keeps_what_stands_behind_its_header() {
    let line = "0123456789 joe@pc.inside.example 0123456789\r\n";
    let text = format!("From: joe@pc.inside.example\r\n\r\n{}", line.repeat(10_000));
    let seen = text.replacen("From: joe@pc.inside.example", "From: joe@example.org", 1);
    assert!(relayed(INSIDE, text.trim_end()) == seen);
}

fn who_sent_it_is_told_by_the_name_that_he_gave() {
    let sink = Sink::start();
    let lines = format!("{INSIDE}\nsmapd: masquerade-envelope\nsmapd: masquerade-domain example.com");
    let post = post(&lines, &sink);
    let smapd = post.smapd();
    let id = post.send("joe@example.com", &["b@no.example"], "From: joe@example.com\r\n\r\nhello");
    assert_eq!(super::notifications::told(&smapd, &id), "<joe@example.com>");
    let notice = String::from_utf8(post.maildir("joe").remove(0)).unwrap();
    assert!(notice.contains("\nFrom: joe@example.com\n"), "{notice}");
}
