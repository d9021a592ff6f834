//! How an attempt to deliver ended, and the deliveries to files of this machine.

use std::io;
use std::path::Path;

use nix::errno::Errno;
use smap_common::spool::Outcome;
use smap_common::status::Status;

use crate::content::Content;
use crate::tls::Security;

pub mod maildir;
pub mod mbox;

#[cfg(test)]
mod samples;

/// Who tells the sender that it has arrived, if he wants to hear of it (RFC 3461 sections 5.2.1 to 5.2.6).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Teller {
    /// We do: it went no further.
    Us,
    /// We do, that it went further: nobody else will.
    UsOfRelaying,
    /// Who has it now does: it was asked to.
    NextHost,
}

/// What an attempt for one recipient came to.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
#[must_use = "a recipient whose report is dropped is delivered to again"]
pub struct Report {
    /// How it ended.
    pub outcome: Outcome,
    /// RFC 3463.
    pub status: Status,
    /// What it was given to; empty where it was nothing.
    pub relay: String,
    /// What the connection to it was encrypted with.
    pub security: Option<Security>,
    /// What that said, or what we say of it.
    pub reply: String,
    /// Who tells of a delivery.
    pub teller: Teller,
}

impl Report {
    /// It is where it belongs.
    pub fn delivered(reply: impl Into<String>) -> Self {
        Self::new(Outcome::Delivered, Status::success(0, 0), reply.into())
    }

    /// Not yet: to be tried again.
    pub fn deferred(status: Status, reply: impl Into<String>) -> Self {
        Self::new(Outcome::Deferred, status, reply.into())
    }

    /// It never will be.
    pub fn failed(status: Status, reply: impl Into<String>) -> Self {
        Self::new(Outcome::Failed, status, reply.into())
    }

    /// The same, with what the message was given to.
    pub fn by(self, relay: impl Into<String>) -> Self {
        Self { relay: relay.into(), ..self }
    }

    /// The same, with what the connection was encrypted with.
    pub fn over(self, security: Option<Security>) -> Self {
        Self { security, ..self }
    }

    /// The same, with who tells of it.
    pub fn told_by(self, teller: Teller) -> Self {
        Self { teller, ..self }
    }

    fn new(outcome: Outcome, status: Status, reply: String) -> Self {
        Self { outcome, status, relay: String::new(), security: None, reply, teller: Teller::Us }
    }
}

/// The end of a message that has come back from where it would go once more (RFC 5321 section 6.3): it never ends
/// otherwise, or after a hundred deliveries.
///
/// # Errors
/// How the attempt ended.
pub fn check_for_loop(content: &Content) -> Result<(), Report> {
    match content.comes_back_from() {
        Ok(None) => Ok(()),
        Ok(Some(to)) => {
            let reply = format!("a mail loop: its Delivered-To: says that it was delivered to <{to}> before");
            Err(Report::failed(Status::permanent(4, 6), reply))
        }
        Err(error) => Err(local_trouble(&error)),
    }
}

/// Something of this machine fails, and nobody knows for how long.
pub fn local_trouble(error: &io::Error) -> Report {
    Report::deferred(Status::transient(3, 0), format!("local trouble: {error}"))
}

/// A file of this machine could not be written. Nothing of that is the sender's fault, so nothing of it is
/// final: someone mends it, or the message expires.
fn cannot(what: &str, path: &Path, cause: &io::Error) -> Report {
    let status = match cause.raw_os_error().map(Errno::from_raw) {
        // RFC 3463: X.2.2 the mailbox is full, X.3.1 the mail system is.
        Some(Errno::EDQUOT | Errno::EFBIG) => Status::transient(2, 2),
        Some(Errno::ENOSPC) => Status::transient(3, 1),
        _ => Status::transient(3, 0),
    };
    Report::deferred(status, format!("cannot {what} {}: {cause}", path.display()))
}
