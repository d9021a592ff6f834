//! A message for the tests of the deliveries, in a spool of its own.

use std::fs::OpenOptions;
use std::sync::Arc;

use tempfile::TempDir;

use crate::content::Content;
use crate::samples;

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

fn spooled(body: &[u8]) -> (TempDir, Content) {
    let (spool, message) = samples::spooled(samples::ENVELOPE, body);
    let to = "c@example.com".parse().unwrap();
    let sender = message.envelope.mail.sender.clone();
    (spool, Content::delivered(&Arc::new(message), &"gw.example".parse().unwrap(), sender, &to))
}
