use super::*;
use crate::samples::{self, ENVELOPE};

fn message(envelope: &str, body: &[u8]) -> Arc<Message> {
    Arc::new(samples::message(envelope, body))
}

fn host() -> Domain {
    "gw.example".parse().unwrap()
}

#[test]
fn the_trace_says_who_brought_the_message_and_when() {
    let content = Content::relayed(&message(ENVELOPE, b"x\r\n"), &host());
    let (head, date) = content.trace().split_once(";\r\n\t").unwrap();
    assert_eq!(
        head,
        "Received: from mail.example.org (unknown [192.0.2.7])\r\n\tby gw.example (smap) with ESMTP id \
         1K3N5Q0ZB7R2M4D8XJ9WTV\r\n\tfor <c@example.com>"
    );
    assert!(jiff::fmt::rfc2822::parse(date.trim_end()).is_ok(), "{date}");
}

#[test]
fn a_recipient_is_named_only_where_there_is_one() {
    let two = ENVELOPE.replace("\n\n", "\nRCPT <d@example.com>\n\n");
    assert!(!Content::relayed(&message(&two, b""), &host()).trace().contains("example.com"));
}

#[test]
fn a_mailbox_gets_the_return_path_and_its_own_name() {
    let (message, to) = (message(ENVELOPE, b""), "c@example.com".parse().unwrap());
    let sender = message.envelope.mail.sender.clone();
    let content = Content::delivered(&message, &host(), sender, &to);
    assert!(
        content
            .trace()
            .starts_with("Return-Path: <a@example.org>\r\nDelivered-To: c@example.com\r\nReceived:")
    );
}

#[test]
fn local_lines_end_in_lf_wherever_the_body_is_cut() {
    let body = b"a\r\nb\rc\r\r\nd\r\n".repeat(20_000);
    let content = Content::relayed(&message(ENVELOPE, &body), &host());
    let mut local = Vec::new();
    content.write_local(&mut local).unwrap();
    let local = local.split_off(content.trace().replace("\r\n", "\n").len());
    assert_eq!(local, b"a\nb\rc\r\nd\n".repeat(20_000));
}
