//! A message for the tests of the deliveries, in a spool of its own.

use std::fs::OpenOptions;
use std::os::fd::AsFd;
use std::sync::Arc;

use smap_common::envelope::Envelope;
use smap_common::spool::{Draft, Incoming, Message, Opened};

use crate::content::Content;

const ENVELOPE: &str = "smap 1\nID 1K3N5Q0ZB7R2M4D8XJ9WTV\nTIME 1795247311.123456\nCLIENT 192.0.2.7:40112\n\
EHLO mail.example.org\nROLE mx\nFROM <a@example.org>\nRCPT <c@example.com>\n\n";

/// A message with this body.
pub(super) fn content(body: &[u8]) -> Content {
    spooled(body).1
}

/// A message whose file becomes shorter while it is being delivered.
pub(super) fn content_that_breaks(body: &[u8]) -> Content {
    let (spool, content) = spooled(body);
    let file = spool.path().join("1K3N5Q0ZB7R2M4D8XJ9WTV");
    std::fs::set_permissions(&file, std::os::unix::fs::PermissionsExt::from_mode(0o600)).unwrap();
    let length = std::fs::metadata(&file).unwrap().len();
    OpenOptions::new().write(true).open(&file).unwrap().set_len(length / 2).unwrap();
    content
}

/// What [`Content::write_local`] writes.
pub(super) fn local(content: &Content) -> Vec<u8> {
    let mut text = Vec::new();
    content.write_local(&mut text).unwrap();
    text
}

fn spooled(body: &[u8]) -> (tempfile::TempDir, Content) {
    let (envelope, _) = Envelope::parse(ENVELOPE.as_bytes()).unwrap();
    let spool = tempfile::tempdir().unwrap();
    let fd = std::fs::File::open(spool.path()).unwrap();
    let mut draft = Draft::begin(&Incoming::new(fd.try_clone().unwrap().into()), &envelope).unwrap();
    draft.write(body).unwrap();
    let proof = draft.commit().unwrap();
    let owner = nix::unistd::geteuid().as_raw();
    match Message::open(fd.as_fd(), proof.id().as_str(), &[owner]).unwrap() {
        Opened::Message(message) => {
            let to = "c@example.com".parse().unwrap();
            (spool, Content::delivered(&Arc::new(*message), &"gw.example".parse().unwrap(), &to))
        }
        other => panic!("{other:?}"),
    }
}
