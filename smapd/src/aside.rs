#![deny(clippy::disallowed_methods)]
//! What `badadmin` is told of a file that was set aside: pure.
//!
//! The name of the file is whatever somebody put into the spool: it is shown escaped.

use std::fmt::Display;
use std::path::Path;

use smap_common::address::{Address, Domain, ReversePath};
use smap_common::clock::Timestamp;
use smap_common::envelope::{Envelope, Origin};
use smap_common::smtp::command::{Mail, MailParameters, Recipient};
use smap_common::smtp::dsn::Notify;
use smap_common::spool::QueueId;

use crate::content::date;

/// The envelope of a letter to the administrator.
#[must_use]
pub fn envelope(id: QueueId, to: &Address, now: Timestamp) -> Envelope {
    Envelope {
        id,
        arrived: now,
        origin: Origin::default(),
        mail: Mail { sender: ReversePath::Null, parameters: MailParameters::default() },
        recipients: vec![Recipient { address: to.clone(), notify: Notify::Never, original: None }],
    }
}

/// The letter, CRLF lines.
#[must_use]
pub fn letter(envelope: &Envelope, hostname: &Domain, file: &Path, reason: &dyn Display) -> String {
    let Envelope { id, arrived, recipients, .. } = envelope;
    let to = recipients.first().map(|recipient| recipient.address.to_string()).unwrap_or_default();
    let file = file.to_string_lossy().escape_debug().to_string();
    let reason = reason.to_string().escape_debug().to_string();
    format!(
        "From: Mail Delivery Subsystem <MAILER-DAEMON@{hostname}>\r\nTo: <{to}>\r\nDate: {}\r\n\
         Message-ID: <{id}@{hostname}>\r\nSubject: A file was set aside\r\nAuto-Submitted: auto-generated\r\n\r\n\
         smapd at {hostname} found something in its spool that it does not deliver.\r\n\r\n\
         \x20   file:   {file}\r\n    reason: {reason}\r\n\r\n\
         It stays there until you remove it. Others may have been set aside with it: see the log.\r\n",
        date(*arrived)
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_hostile_name_forges_nothing() {
        let id = QueueId::new(Timestamp::from_micros(1), 1);
        let envelope = envelope(id, &"root@gw.example".parse().unwrap(), Timestamp::from_micros(1));
        let name = Path::new("/spool/bad/x\r\nBcc: everyone@example.com\r\n\r\n\u{1b}[2J");
        let text = letter(&envelope, &"gw.example".parse().unwrap(), name, &"not a regular file");
        assert!(!text.contains("\nBcc:") && !text.contains('\u{1b}'), "{text}");
        assert_eq!(text.matches("\r\n\r\n").count(), 3);
    }
}
