//! What senders are told: read by Python's own parser, and never twice, never in a circle.

use std::collections::BTreeMap;
use std::fs;
use std::path::PathBuf;
use std::process::{Command, Stdio};

use smap_tests::gateway::free_port;
use smap_tests::needs::Need::Program;
use smap_tests::post::{Post, Smapd};
use smap_tests::process::run;
use smap_tests::sink::{Act, Sink};
use smap_tests::{programs, tests};

tests! {
    a_sender_is_told_of_a_failure: [Program("python3")];
    a_notification_says_what_the_next_host_said: [Program("python3")];
    one_notification_speaks_of_all_who_failed: [Program("python3")];
    row_120_a_sender_gets_back_what_he_asked_for: [Program("python3")];
    row_120_a_large_message_goes_back_without_its_body: [Program("python3")];
    row_123_a_sender_who_wants_to_hear_nothing_hears_nothing;
    a_sender_who_wants_to_hear_only_of_delay_hears_of_no_failure;
    row_118_the_null_sender_is_never_told;
    row_118_a_double_bounce_goes_to_the_administrator: [Program("python3")];
    row_118_a_double_bounce_without_an_administrator_is_set_aside;
    row_118_an_administrator_who_cannot_be_told_is_not_told_of_it;
    the_administrator_is_told_of_what_is_set_aside;
    the_administrator_gets_one_letter_a_minute;
    a_message_that_expires_fails_with_5_4_7: [Program("python3")];
    a_sender_is_told_of_a_delay_once: [Program("python3")];
    a_sender_who_does_not_want_to_hear_of_a_delay_does_not;
    addresses_beyond_ascii_are_told_as_they_are: [Program("python3")];
    a_notification_is_made_once_over_a_kill;
}

const FROM: &str = "a@example.com";
const TEXT: &str = "Subject: greetings\r\nFrom: <a@example.com>\r\nTo: <b@no.example>\r\n\r\nthe body itself";

/// Senders have Maildirs; `no.example` refuses everyone.
pub(crate) fn post(lines: &str) -> Post {
    Post::with_maildirs(&format!(
        "smapd: retry 1s\n{lines}\nsmap, smapd: domain no.example error:5.1.1:550 No such user here"
    ))
}

/// The fields of the only notification in a Maildir.
pub(crate) fn notice(post: &Post, user: &str) -> BTreeMap<String, String> {
    let folder = post.path("mail").join(user).join("new");
    let files: Vec<PathBuf> = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()).collect();
    assert_eq!(files.len(), 1);
    let mut python = Command::new(programs::peer("python3"));
    let ended = run(python.arg(programs::script("dsn.py")).args(files), Stdio::null());
    assert_eq!(ended.code, 0, "{:#?}", ended.log);
    let output = String::from_utf8(ended.output).unwrap();
    let pair = |line: &str| line.split_once(": ").map(|(name, value)| (name.to_owned(), value.to_owned()));
    output.lines().filter_map(pair).collect()
}

pub(crate) fn assert_fields(fields: &BTreeMap<String, String>, wanted: &[(&str, &str)]) {
    for (name, value) in wanted {
        assert_eq!(fields.get(*name).map(String::as_str), Some(*value), "{name} in {fields:#?}");
    }
    assert_eq!(fields.get("defect"), None);
}

/// Waits until the notification about a message is delivered, too.
pub(crate) fn told(smapd: &Smapd, id: &str) -> String {
    let (notification, to) = smapd.notification(id);
    smapd.removed(&notification);
    to
}

fn a_sender_is_told_of_a_failure() {
    let post = post("");
    let smapd = post.smapd();
    let to = "<b@no.example> ORCPT=rfc822;B+2Bx@no.example";
    let id = post.send_as("<a@example.com> ENVID=my+2Bid", &[to], TEXT);
    assert_eq!(told(&smapd, &id), "<a@example.com>");
    smapd.removed(&id);
    let fields = notice(&post, "a");
    assert_fields(
        &fields,
        &[
            ("content-type", "multipart/report"),
            ("report-type", "delivery-status"),
            ("Return-Path", "<>"),
            ("To", "a@example.com"),
            ("Auto-Submitted", "auto-replied"),
            ("programs-type", "message/delivery-status"),
            ("message.Reporting-MTA", "dns; gw.example.com"),
            ("message.Original-Envelope-Id", "my+id"),
            ("recipient0.Original-Recipient", "rfc822; B+x@no.example"),
            ("recipient0.Final-Recipient", "rfc822; b@no.example"),
            ("recipient0.Action", "failed"),
            ("recipient0.Status", "5.1.1"),
            ("recipient0.Diagnostic-Code", "smtp; 550 5.1.1 No such user here"),
            ("returned.Subject", "greetings"),
        ],
    );
    assert!(fields["people"].contains("550 5.1.1 No such user here"), "{fields:#?}");
    assert!(fields["From"].contains("MAILER-DAEMON@gw.example.com"), "{fields:#?}");
    post.assert_spool_is_empty();
}

fn a_notification_says_what_the_next_host_said() {
    let sink = Sink::scripted(|_, line| {
        if line.starts_with("RCPT") {
            Act::say("550-5.7.1 We do not\r\n550 5.7.1 want this")
        } else {
            Act::Usual
        }
    });
    let post = post(&format!("smap, smapd: domain far.example smtp:[127.0.0.1]:{}", sink.port()));
    let smapd = post.smapd();
    let id = post.send(FROM, &["b@far.example"], TEXT);
    told(&smapd, &id);
    let fields = notice(&post, "a");
    assert_fields(&fields, &[("recipient0.Action", "failed"), ("recipient0.Status", "5.7.1")]);
    let words = &fields["recipient0.Diagnostic-Code"];
    assert!(
        words.starts_with("smtp; 550") && words.contains("We do not") && words.contains("want this"),
        "{words}"
    );
    assert!(fields["recipient0.Remote-MTA"].starts_with("dns; "), "{fields:#?}");
}

fn one_notification_speaks_of_all_who_failed() {
    let post = post("");
    let smapd = post.smapd();
    let id = post.send(FROM, &["b@no.example", "ok@example.com", "c@no.example"], TEXT);
    told(&smapd, &id);
    smapd.removed(&id);
    let fields = notice(&post, "a");
    assert_fields(
        &fields,
        &[
            ("recipient0.Final-Recipient", "rfc822; b@no.example"),
            ("recipient1.Final-Recipient", "rfc822; c@no.example"),
        ],
    );
    assert!(!fields["people"].contains("ok@example.com") && !fields.contains_key("recipient2.Status"));
    assert_eq!(post.maildir("ok").len(), 1);
}

fn row_120_a_sender_gets_back_what_he_asked_for() {
    let post = post("");
    let smapd = post.smapd();
    for (user, ret, kind, whole) in
        [("h", "HDRS", "text/rfc822-headers", false), ("f", "FULL", "message/rfc822", true)]
    {
        let id = post.send_as(&format!("<{user}@example.com> RET={ret}"), &["<b@no.example>"], TEXT);
        told(&smapd, &id);
        assert_fields(&notice(&post, user), &[("returned-type", kind), ("returned.Subject", "greetings")]);
        let text = String::from_utf8(post.maildir(user).remove(0)).unwrap();
        assert_eq!(text.contains("the body itself"), whole);
    }
}

fn row_120_a_large_message_goes_back_without_its_body() {
    let post = post("");
    let smapd = post.smapd();
    let id = post.send(FROM, &["b@no.example"], &format!("{TEXT}\r\n{}", "x\r\n".repeat(500_000)));
    told(&smapd, &id);
    assert_fields(
        &notice(&post, "a"),
        &[("returned-type", "text/rfc822-headers"), ("returned.Subject", "greetings")],
    );
    assert!(post.maildir("a")[0].len() < 10_000);
}

/// It fails, and nobody is told.
fn assert_silent(from: &str, parameter: &str) {
    let post = post("");
    let smapd = post.smapd();
    let id = post.send_as(from, &[format!("<b@no.example>{parameter}")], TEXT);
    let _line = smapd.outcome(&id, "b@no.example", "failed");
    smapd.removed(&id);
    assert_eq!(smapd.count(" notification="), 0);
    assert_eq!(fs::read_dir(post.path("mail")).unwrap().count(), 0);
    post.assert_spool_is_empty();
}

fn row_123_a_sender_who_wants_to_hear_nothing_hears_nothing() {
    assert_silent("<a@example.com>", " NOTIFY=NEVER");
}

fn a_sender_who_wants_to_hear_only_of_delay_hears_of_no_failure() {
    assert_silent("<a@example.com>", " NOTIFY=DELAY");
}

fn row_118_the_null_sender_is_never_told() {
    let post = post("smapd: badadmin admin@example.com");
    let smapd = post.smapd();
    let id = post.send("", &["b@no.example"], TEXT);
    assert_eq!(told(&smapd, &id), "<admin@example.com>");
    smapd.removed(&id);
    assert_eq!(smapd.count(" notification="), 1);
    let names = fs::read_dir(post.path("mail")).unwrap().map(|entry| entry.unwrap().file_name());
    assert_eq!(names.collect::<Vec<_>>(), ["admin"]);
    post.assert_spool_is_empty();
}

fn row_118_a_double_bounce_goes_to_the_administrator() {
    let post = post("smapd: badadmin admin@example.com");
    let smapd = post.smapd();
    let id = post.send("nobody@no.example", &["b@no.example"], TEXT);
    let (first, to) = smapd.notification(&id);
    assert_eq!(to, "<nobody@no.example>");
    assert_eq!(told(&smapd, &first), "<admin@example.com>");
    smapd.removed(&first);
    let fields = notice(&post, "admin");
    assert_fields(
        &fields,
        &[
            ("Return-Path", "<>"),
            ("recipient0.Final-Recipient", "rfc822; nobody@no.example"),
            ("recipient0.Action", "failed"),
        ],
    );
    post.assert_spool_is_empty();
}

/// Only this message lies in `bad/`, and why.
fn assert_set_aside(post: &Post, id: &str) {
    let reason = smap_tests::eventually("the reason is written", || {
        let text = fs::read_to_string(post.path("spool/bad").join(format!("{id}.reason"))).ok();
        text.filter(|text| text.ends_with('\n'))
    });
    assert_eq!(post.names("bad"), [id.to_owned(), format!("{id}.reason")]);
    assert!(reason.contains("no sender"), "{reason}");
    assert!(post.names("incoming").is_empty() && post.names("queue").is_empty());
}

fn row_118_a_double_bounce_without_an_administrator_is_set_aside() {
    let post = post("");
    let smapd = post.smapd();
    let id = post.send("nobody@no.example", &["b@no.example"], TEXT);
    let (first, _) = smapd.notification(&id);
    let _line = smapd.process().wait_for_log(|line| line.contains(&format!("bad file={first} ")));
    smapd.removed(&id);
    assert_set_aside(&post, &first);
    let kept = fs::read_to_string(post.path("spool/bad").join(&first)).unwrap();
    assert!(kept.contains("the body itself"), "{kept}");
}

fn row_118_an_administrator_who_cannot_be_told_is_not_told_of_it() {
    let post = post("smapd: badadmin admin@no.example");
    let smapd = post.smapd();
    let id = post.send("", &["b@no.example"], TEXT);
    let (first, to) = smapd.notification(&id);
    assert_eq!(to, "<admin@no.example>");
    let _line = smapd.process().wait_for_log(|line| line.contains(&format!("bad file={first} ")));
    smapd.removed(&id);
    // Whatever it would write now stands before these.
    for _ in 0..10 {
        let after = post.send("", &["b@example.com"], TEXT);
        smapd.removed(&after);
    }
    assert_set_aside(&post, &first);
    assert_eq!(smapd.count(" to=<admin@no.example> "), 1);
}

fn the_administrator_is_told_of_what_is_set_aside() {
    let post = post("smapd: badadmin admin@example.com");
    fs::write(post.path("spool/incoming/stranger"), "x").unwrap();
    let smapd = post.smapd();
    let line = smapd.outcome_for("admin@example.com", "sent");
    assert!(line.contains("transport=maildir "), "{line}");
    let letter = String::from_utf8(post.maildir("admin").remove(0)).unwrap();
    let path = post.path("spool/bad/stranger").display().to_string();
    assert!(letter.contains(&path) && letter.contains("not a queue id"), "{letter}");
}

fn the_administrator_gets_one_letter_a_minute() {
    let post = post("smapd: badadmin admin@example.com");
    let smapd = post.smapd();
    fs::write(post.path("spool/incoming/first"), "x").unwrap();
    let _line = smapd.outcome_for("admin@example.com", "sent");
    fs::write(post.path("spool/incoming/second"), "x").unwrap();
    let _line = smapd.process().wait_for_log(|line| line.contains("]: bad file=second "));
    // Whatever it would write now stands before these.
    for _ in 0..10 {
        let after = post.send("", &["b@example.com"], TEXT);
        smapd.removed(&after);
    }
    let letters = post.maildir("admin");
    assert_eq!(letters.len(), 1);
    assert!(String::from_utf8_lossy(&letters[0]).contains("/bad/first"));
}

fn a_message_that_expires_fails_with_5_4_7() {
    let post =
        post(&format!("smapd: expire 2s\nsmap, smapd: domain far.example smtp:[127.0.0.1]:{}", free_port()));
    let smapd = post.smapd();
    let id = post.send(FROM, &["b@far.example"], TEXT);
    let _tried = smapd.outcomes(2, &id, "b@far.example", "deferred");
    told(&smapd, &id);
    smapd.removed(&id);
    let fields = notice(&post, "a");
    assert_fields(&fields, &[("recipient0.Action", "failed"), ("recipient0.Status", "5.4.7")]);
    post.assert_spool_is_empty();
}

/// Nobody listens there; the sender is to be told after a second.
fn with_delay() -> (Post, u16) {
    let port = free_port();
    let lines = format!("smapd: warn 1s\nsmap, smapd: domain far.example smtp:[127.0.0.1]:{port}");
    (post(&lines), port)
}

fn a_sender_is_told_of_a_delay_once() {
    let (post, port) = with_delay();
    let smapd = post.smapd();
    let id = post.send(FROM, &["b@far.example"], TEXT);
    told(&smapd, &id);
    // Over a restart, too.
    assert_eq!(smapd.end(nix::sys::signal::Signal::SIGKILL).code, 137);
    let smapd = post.smapd();
    let _tried = smapd.outcomes(2, &id, "b@far.example", "deferred");
    let sink = Sink::on(port, |_, _| Act::Usual);
    smapd.removed(&id);
    assert_eq!((sink.received().len(), smapd.count(" notification=")), (1, 0));
    let fields = notice(&post, "a");
    assert_fields(
        &fields,
        &[
            ("recipient0.Action", "delayed"),
            ("recipient0.Final-Recipient", "rfc822; b@far.example"),
            ("returned-type", "text/rfc822-headers"),
        ],
    );
    assert!(
        fields["recipient0.Status"].starts_with("4.4.") && fields.contains_key("recipient0.Will-Retry-Until")
    );
    post.assert_spool_is_empty();
}

fn a_sender_who_does_not_want_to_hear_of_a_delay_does_not() {
    let (post, port) = with_delay();
    let smapd = post.smapd();
    let id = post.send_as("<a@example.com>", &["<b@far.example> NOTIFY=FAILURE"], TEXT);
    let _tried = smapd.outcomes(3, &id, "b@far.example", "deferred");
    let sink = Sink::on(port, |_, _| Act::Usual);
    smapd.removed(&id);
    assert_eq!((sink.received().len(), smapd.count(" notification=")), (1, 0));
    post.assert_spool_is_empty();
}

fn addresses_beyond_ascii_are_told_as_they_are() {
    let post = post("");
    let smapd = post.smapd();
    let id = post.send_as(
        "<jörg@example.com> SMTPUTF8",
        &["<пользователь@no.example>"],
        "Subject: grüße\r\n\r\nx",
    );
    assert_eq!(told(&smapd, &id), "<jörg@example.com>");
    let fields = notice(&post, "jörg");
    assert_fields(
        &fields,
        &[
            ("programs-type", "message/global-delivery-status"),
            ("recipient0.Final-Recipient", "utf-8; пользователь@no.example"),
            ("recipient0.Status", "5.1.1"),
            ("To", "jörg@example.com"),
            ("returned.Subject", "grüße"),
        ],
    );
}

fn a_notification_is_made_once_over_a_kill() {
    let sink = Sink::scripted(|_, line| if line.is_empty() { Act::Silence } else { Act::Usual });
    let post = post(&format!("smap, smapd: domain far.example smtp:[127.0.0.1]:{}", sink.port()));
    let smapd = post.smapd();
    // The sender is at the host that says nothing, so that the notification waits.
    let id = post.send("a@far.example", &["b@no.example"], TEXT);
    let (notification, _) = smapd.notification(&id);
    smapd.removed(&id);
    assert_eq!(smapd.end(nix::sys::signal::Signal::SIGKILL).code, 137);
    assert_eq!(post.names("queue"), [notification.as_str()]);
    drop(sink);
    let mail = post.path("mail");
    post.gateway.write_table(&format!("smap, smapd: domain far.example maildir:{}/%u/", mail.display()));
    let smapd = post.smapd();
    smapd.removed(&notification);
    assert_eq!(post.maildir("a").len(), 1);
    post.assert_spool_is_empty();
}
