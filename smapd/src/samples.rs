//! A message for the tests, made through a spool of its own.

use std::os::fd::AsFd;

use smap_common::envelope::Envelope;
use smap_common::spool::{Draft, Expected, Incoming, Message, Opened};
use tempfile::TempDir;

/// One recipient, one client.
pub(crate) const ENVELOPE: &str = "smap 1\nID 1K3N5Q0ZB7R2M4D8XJ9WTV\nTIME 1795247311.123456\n\
CLIENT 192.0.2.7:40112\nEHLO mail.example.org\nROLE mx\nFROM <a@example.org>\nRCPT <c@example.com>\n\n";

/// A message with this envelope and body.
pub(crate) fn message(envelope: &str, body: &[u8]) -> Message {
    spooled(envelope, body).1
}

/// The same, with the folder that its file is in.
pub(crate) fn spooled(envelope: &str, body: &[u8]) -> (TempDir, Message) {
    let (envelope, _) = Envelope::parse(envelope.as_bytes()).unwrap();
    let spool = tempfile::tempdir().unwrap();
    let fd = std::fs::File::open(spool.path()).unwrap();
    let mut draft = Draft::begin(&Incoming::new(fd.try_clone().unwrap().into()), &envelope).unwrap();
    draft.write(body).unwrap();
    let proof = draft.commit().unwrap();
    let owner = nix::unistd::geteuid().as_raw();
    let expected = Expected { owners: [owner; 2], maxbytes: 0 };
    match Message::open(fd.as_fd(), proof.id().as_str(), &expected).unwrap() {
        Opened::Message(message) => (spool, *message),
        other => panic!("{other:?}"),
    }
}
