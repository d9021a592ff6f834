//! What senders hear of deliveries, where they asked for it (RFC 3461).

use smap_tests::needs::Need::Program;
use smap_tests::post::Post;
use smap_tests::sink::{Act, Sink};
use smap_tests::tests;

use crate::delivery::notifications::{assert_fields, notice, post, told};

tests! {
    a_sender_who_asks_hears_of_a_delivery: [Program("python3")];
    a_sender_who_does_not_ask_hears_nothing;
    who_passes_nothing_on_is_said_to_have_relayed: [Program("python3")];
    who_passes_it_on_is_left_to_tell;
    a_mail_store_is_the_end: [Program("python3")];
    one_of_two_is_told_of: [Program("python3")];
    a_notification_asks_for_none;
}

const TEXT: &str = "Subject: greetings\r\n\r\nthe body itself";
const ASKING: &str = "<b@example.com> NOTIFY=SUCCESS,FAILURE";

/// Mail for `far.example` goes there; senders at example.com have Maildirs.
fn beside(transport: &str) -> Post {
    post(&format!("smap, smapd: domain far.example {transport}"))
}

fn a_sender_who_asks_hears_of_a_delivery() {
    let post = post("");
    let smapd = post.smapd();
    let id = post.send_as("<a@example.com> ENVID=mine RET=FULL", &[ASKING], TEXT);
    assert_eq!(told(&smapd, &id), "<a@example.com>");
    smapd.removed(&id);
    assert_fields(
        &notice(&post, "a"),
        &[
            ("Return-Path", "<>"),
            ("message.Original-Envelope-Id", "mine"),
            ("recipient0.Final-Recipient", "rfc822; b@example.com"),
            ("recipient0.Action", "delivered"),
            ("recipient0.Status", "2.0.0"),
            ("returned.Subject", "greetings"),
        ],
    );
    assert!(!post.maildir("a")[0].ends_with(b"the body itself\n"), "only the header goes back");
    assert_eq!(post.maildir("b").len(), 1);
    post.assert_spool_is_empty();
}

/// Nobody is told of this delivery.
fn assert_silent(post: &Post, from: &str, to: &str) {
    let smapd = post.smapd();
    let id = post.send_as(from, &[to], TEXT);
    smapd.removed(&id);
    assert_eq!(smapd.count(" notification="), 0);
    post.assert_spool_is_empty();
}

fn a_sender_who_does_not_ask_hears_nothing() {
    for parameter in ["", " NOTIFY=NEVER", " NOTIFY=FAILURE,DELAY"] {
        assert_silent(&post(""), "<a@example.com>", &format!("<b@example.com>{parameter}"));
    }
}

fn a_notification_asks_for_none() {
    assert_silent(&post(""), "<>", ASKING);
}

/// A server that offers this and nothing else.
fn offering(extensions: &'static str) -> Sink {
    Sink::scripted(move |_, line| if line.starts_with("EHLO") { Act::say(extensions) } else { Act::Usual })
}

fn who_passes_nothing_on_is_said_to_have_relayed() {
    let sink = offering("250-sink.example\r\n250 PIPELINING");
    let post = beside(&format!("smtp:[127.0.0.1]:{}", sink.port()));
    let smapd = post.smapd();
    let id = post.send_as("<a@example.com>", &["<b@far.example> NOTIFY=SUCCESS"], TEXT);
    assert_eq!(told(&smapd, &id), "<a@example.com>");
    let fields = notice(&post, "a");
    assert_fields(&fields, &[("recipient0.Action", "relayed"), ("recipient0.Status", "2.0.0")]);
    assert!(sink.lines().iter().all(|(_, line)| !line.contains("NOTIFY")), "{:?}", sink.lines());
}

fn who_passes_it_on_is_left_to_tell() {
    let sink = offering("250-sink.example\r\n250 DSN");
    let post = beside(&format!("smtp:[127.0.0.1]:{}", sink.port()));
    assert_silent(&post, "<a@example.com>", "<b@far.example> NOTIFY=SUCCESS");
    assert!(sink.lines().iter().any(|(_, line)| line == "RCPT TO:<b@far.example> NOTIFY=SUCCESS"));
}

fn a_mail_store_is_the_end() {
    let sink = Sink::lmtp(|_: usize, line: &str| {
        if line.starts_with("LHLO") { Act::say("250-sink.example\r\n250 PIPELINING") } else { Act::Usual }
    });
    let post = beside(&format!("lmtp:127.0.0.1:{}", sink.port()));
    let smapd = post.smapd();
    let id = post.send_as("<a@example.com>", &["<b@far.example> NOTIFY=SUCCESS"], TEXT);
    assert_eq!(told(&smapd, &id), "<a@example.com>");
    assert_fields(&notice(&post, "a"), &[("recipient0.Action", "delivered")]);
}

fn one_of_two_is_told_of() {
    let post = post("");
    let smapd = post.smapd();
    let id = post.send_as("<a@example.com>", &[ASKING, "<c@example.com>"], TEXT);
    assert_eq!(told(&smapd, &id), "<a@example.com>");
    smapd.removed(&id);
    let fields = notice(&post, "a");
    assert_fields(&fields, &[("recipient0.Final-Recipient", "rfc822; b@example.com")]);
    assert_eq!(fields.get("recipient1.Final-Recipient"), None);
}
