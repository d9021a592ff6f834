//! What goes back, and what goes round: notifications that hold what others sent, and mail in circles.

use std::collections::BTreeSet;
use std::path::Path;

use smap_tests::gateway::{Gateway, free_port};
use smap_tests::needs::Need::Program;
use smap_tests::post::{Post, folder_of_smapd, maildir, send};
use smap_tests::process::peak_of;
use smap_tests::{eventually, tests};

use crate::delivery::notifications::{assert_fields, notice, post, told};

tests! {
    row_049_an_expansion_is_told_as_it_is: [Program("python3")];
    row_050_what_xtext_hides_stays_hidden: [Program("python3")];
    row_119_mail_in_a_circle_ends_with_one_notification;
    row_120_fifty_megabytes_go_back_as_a_header: [Program("python3")];
    row_120_a_header_without_end_goes_back_in_part: [Program("python3")];
    row_121_no_field_of_a_message_becomes_one_of_the_notification: [Program("python3")];
    row_122_a_recipient_with_a_line_end_is_none;
    row_122_no_message_holds_the_boundary_of_its_notification: [Program("python3")];
    row_123_nothing_answers_mail_of_lists_and_machines;
    row_123_only_the_sender_of_the_envelope_is_told;
}

const FROM: &str = "a@example.com";
const TEXT: &str = "Subject: greetings\r\n\r\nhello";
/// The fields that stand at the head of a notification in a Maildir, in their order.
const FIELDS: [&str; 12] = [
    "Return-Path",
    "Delivered-To",
    "Received",
    "From",
    "To",
    "Date",
    "Message-ID",
    "Subject",
    "Auto-Submitted",
    "MIME-Version",
    "Content-Type",
    "Content-Transfer-Encoding",
];

/// The names of the fields at the head of a message.
fn fields_of(text: &str) -> Vec<&str> {
    let (head, _) = text.split_once("\n\n").expect("a header has an end");
    let lines = head.lines().filter(|line| !line.starts_with([' ', '\t']));
    lines.map(|line| line.split_once(": ").expect("a field has a name").0).collect()
}

/// The only notification that was made for this message, as text; its head is as ever.
fn notification(post: &Post, from: &str, to: &str, body: &str) -> String {
    let smapd = post.smapd();
    let id = post.send_as(from, &[to], body);
    told(&smapd, &id);
    smapd.removed(&id);
    post.assert_spool_is_empty();
    let text = String::from_utf8(post.maildir("a").remove(0)).unwrap();
    let wanted = if text.is_ascii() { &FIELDS[..11] } else { &FIELDS[..] };
    assert_eq!(fields_of(&text), wanted, "{text}");
    assert!(!text.contains(['\r', '\0', '\u{1b}']), "{text:?}");
    text
}

fn row_049_an_expansion_is_told_as_it_is() {
    let post = post("");
    let to = "${run{/bin/touch$IFS/tmp/x}}@no.example";
    let text = notification(&post, "<a@example.com>", &format!("<{to}>"), TEXT);
    assert!(text.contains("${run{/bin/touch$IFS/tmp/x}}"), "{text}");
    assert_fields(
        &notice(&post, "a"),
        &[("recipient0.Final-Recipient", &format!("rfc822; {to}")), ("recipient0.Status", "5.1.1")],
    );
}

fn row_050_what_xtext_hides_stays_hidden() {
    let post = post("");
    let from = "<a@example.com> ENVID=a+0D+0AX-Evil:+20yes";
    let to = "<b@no.example> ORCPT=rfc822;a+0D+0AX-Evil:+20yes";
    let text = notification(&post, from, to, TEXT);
    assert!(!text.contains("X-Evil"), "{text}");
    let fields = notice(&post, "a");
    assert!(!fields.contains_key("recipient0.Original-Recipient"), "{fields:#?}");
    assert_fields(&fields, &[("recipient0.Final-Recipient", "rfc822; b@no.example")]);
}

/// A table that sends mail for `round.example` to that port, and keeps mail for senders.
fn half_a_circle(to: u16, mail: &Path) -> String {
    format!(
        "smap, smapd: domain round.example smtp:[127.0.0.1]:{to}\n\
         smap, smapd: domain sender.example maildir:{}/%u/",
        mail.display()
    )
}

fn row_119_mail_in_a_circle_ends_with_one_notification() {
    let shared = Gateway::without_spool("");
    let mail = shared.folder().join("shared");
    folder_of_smapd(&mail);
    // Where the other is, is known when it listens: before the smapd of the first reads its table.
    let one = Post::new(|_| half_a_circle(free_port(), &mail));
    let other = Post::new(|_| half_a_circle(one.address().port(), &mail));
    one.gateway.write_table(&half_a_circle(other.address().port(), &mail));
    let smapds = [one.smapd(), other.smapd()];
    one.send("a@sender.example", &["b@round.example"], "Subject: x\r\n\r\nhello");
    let told = eventually("the sender is told", || maildir(&mail.join("a")).pop());
    let text = String::from_utf8(told).unwrap();
    assert!(text.contains("554 5.4.6 ") && text.contains("Action: failed"), "{text}");
    // What is left is the beginning of the message that was refused.
    eventually("nothing goes round any more", || {
        let empty = |post: &Post| post.gateway.incoming().is_empty() && post.names("queue").is_empty();
        (empty(&one) && empty(&other)).then_some(())
    });
    let sent: usize = smapds.iter().map(|smapd| smapd.count(" to=<b@round.example> ")).sum();
    let notified: usize = smapds.iter().map(|smapd| smapd.count(" notification=")).sum();
    assert_eq!((sent, notified, maildir(&mail.join("a")).len()), (101, 1, 1));
    // The one hundred and first hop is refused (RFC 5321 section 6.3).
    assert_eq!(text.matches("\nReceived: ").count() - 1, 100);
}

fn row_120_fifty_megabytes_go_back_as_a_header() {
    let post = post("smap: maxbytes 60M");
    let smapd = post.smapd();
    let mut client = post.listener.extended_client();
    let line = "x".repeat(98) + "\r\n";
    let body = format!("Subject: greetings\r\n\r\n{}", line.repeat(500_000));
    let id = send(&mut client, "<a@example.com> RET=FULL", &["<b@no.example>"], body.trim_end());
    told(&smapd, &id);
    assert_fields(
        &notice(&post, "a"),
        &[("returned-type", "text/rfc822-headers"), ("returned.Subject", "greetings")],
    );
    assert!(post.maildir("a")[0].len() < 10_000);
    let peak = peak_of(smapd.process().pid()).unwrap();
    assert!(peak < 40 << 10, "{peak} KiB");
}

fn row_120_a_header_without_end_goes_back_in_part() {
    let post = post("");
    let body = format!("Subject: greetings\r\n{}", "X-A: bbbbbbbbbbbbbbbbbbbbbbbbbb\r\n".repeat(100_000));
    let text = notification(&post, "<a@example.com>", "<b@no.example>", body.trim_end());
    assert!(text.len() < 100_000, "{}", text.len());
    assert_fields(&notice(&post, "a"), &[("returned.Subject", "greetings")]);
}

const SUBJECT: &str = "Your message could not be delivered";

fn row_121_no_field_of_a_message_becomes_one_of_the_notification() {
    let bodies = [
        "Subject: =?utf-8?q?x=0D=0ABcc:_evil=40example.com?=\r\nFrom: =?utf-8?b?eA0KQmNjOiBldmls?= <x@y>\r\n\r\nhello",
        "Subject: x\r\n Bcc: evil@example.com\r\nFrom: \"x\r\n\tBcc: evil\" <x@y>\r\n\r\nhello",
        "Subject: gr\u{fc}\u{df}e \u{202e}Bcc: evil\r\nFrom: \u{85}\u{2028}Bcc: evil <x@y>\r\n\r\nhello",
        "no field at all\r\nBcc: evil@example.com\r\n\r\nhello",
    ];
    for body in bodies {
        let post = post("");
        let text = notification(&post, "<a@example.com>", "<b@no.example>", body);
        let (head, _) = text.split_once("\n\n").unwrap();
        assert!(!head.contains("Bcc") && !head.contains("evil"), "{head}");
        let fields = notice(&post, "a");
        assert_eq!((fields["Subject"].as_str(), fields["To"].as_str()), (SUBJECT, FROM));
    }
}

fn row_122_a_recipient_with_a_line_end_is_none() {
    let listener = Gateway::new("").listen();
    let mut client = listener.extended_client();
    client.say("MAIL FROM:<a@sender.example>", "250 ");
    client.say("RCPT TO:<\"b\\\rX: y\"@example.com>", "500 5.5.2 ");
    client.say("RCPT TO:<\"b\\\nX: y\"@example.com>", "50");
    client.expect("500 5.5.2 ");
    client.say("RCPT TO:<\"b\r\nX: y\"@example.com>", "501 5.1.3 ");
    client.expect("500 5.5.2 ");
    client.say("DATA", "503 5.5.1 ");
}

/// What stands behind `boundary=`.
fn boundary_of(text: &str) -> String {
    let rest = text.split("boundary=\"").nth(1).expect("it has a boundary");
    rest.split('"').next().unwrap().to_owned()
}

fn row_122_no_message_holds_the_boundary_of_its_notification() {
    let mut boundaries = BTreeSet::new();
    let mut body = TEXT.to_owned();
    for _ in 0..5 {
        let post = post("");
        let text = notification(&post, "<a@example.com>", "<b@no.example>", &body);
        let boundary = boundary_of(&text);
        assert_eq!(text.matches(&format!("\n--{boundary}")).count(), 4, "{text}");
        assert_fields(&notice(&post, "a"), &[("returned.Subject", "greetings")]);
        // The next one is given this one's, and its beginning.
        body = format!(
            "{body}\r\n--{boundary}--\r\n--{boundary}\r\nX-Evil: yes\r\n--{}\r\n",
            boundary.split_at(10).0
        );
        boundaries.insert(boundary);
    }
    assert_eq!(boundaries.len(), 5);
    // 64 random bits are the last 13 digits of them: not one of five is like another.
    let tails: BTreeSet<&str> =
        boundaries.iter().map(|boundary| boundary.split_at(boundary.len() - 13).1).collect();
    assert_eq!(tails.len(), 5);
}

const OF_A_LIST: &str = "Auto-Submitted: auto-generated\r\nPrecedence: bulk\r\nList-Id: <list.example.com>\r\n\
    List-Unsubscribe: <mailto:u@example.com>\r\nFrom: <f@example.com>\r\nSender: <s@example.com>\r\n\
    Reply-To: <r@example.com>\r\nReturn-Receipt-To: <t@example.com>\r\nDisposition-Notification-To: <d@example.com>\r\n\
    Errors-To: <e@example.com>\r\n\r\nhello";

fn users(post: &Post) -> Vec<String> {
    let entries = std::fs::read_dir(post.path("mail")).unwrap();
    let mut names: Vec<String> =
        entries.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
    names.sort();
    names
}

fn row_123_nothing_answers_mail_of_lists_and_machines() {
    let post = post("");
    let smapd = post.smapd();
    let delivered = post.send(FROM, &["b@example.com"], OF_A_LIST);
    smapd.removed(&delivered);
    let never = post.send_as("<a@example.com>", &["<b@no.example> NOTIFY=NEVER"], OF_A_LIST);
    smapd.removed(&never);
    let success = post.send_as("<>", &["<b@no.example> NOTIFY=SUCCESS,FAILURE,DELAY"], OF_A_LIST);
    let _line = smapd.process().wait_for_log(|line| {
        line.contains(&format!("bad file={success} ")) || line.ends_with(&format!("id={success} removed"))
    });
    assert_eq!((smapd.count(" notification="), users(&post)), (0, vec!["b".to_owned()]));
}

fn row_123_only_the_sender_of_the_envelope_is_told() {
    let post = post("");
    let text = notification(&post, "<a@example.com>", "<b@no.example>", OF_A_LIST);
    assert!(text.contains("\nAuto-Submitted: auto-replied\n"), "{text}");
    assert_eq!(users(&post), ["a"]);
}
