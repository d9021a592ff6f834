use super::*;
use smap_common::spool::{Draft, Incoming, Opened};
use std::os::fd::AsFd;

const ENVELOPE: &str = "smap 1\nID 1K3N5Q0ZB7R2M4D8XJ9WTV\nTIME 1795247311.123456\nCLIENT 192.0.2.7:40112\n\
EHLO mail.example.org\nROLE mx\nFROM <a@example.org>\nRCPT <c@example.com>\n\n";

fn message(envelope: &str, body: &[u8]) -> Arc<Message> {
    let (envelope, _) = Envelope::parse(envelope.as_bytes()).unwrap();
    let folder = tempfile::tempdir().unwrap();
    let fd = std::fs::File::open(folder.path()).unwrap();
    let mut draft = Draft::begin(&Incoming::new(fd.try_clone().unwrap().into()), &envelope).unwrap();
    draft.write(body).unwrap();
    let proof = draft.commit().unwrap();
    let owner = nix::unistd::geteuid().as_raw();
    match Message::open(fd.as_fd(), proof.id().as_str(), &[owner]).unwrap() {
        Opened::Message(message) => Arc::new(*message),
        other => panic!("{other:?}"),
    }
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
    let content = Content::delivered(&message(ENVELOPE, b""), &host(), &"c@example.com".parse().unwrap());
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
