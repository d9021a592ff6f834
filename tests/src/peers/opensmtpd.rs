//! OpenSMTPD. It takes no text beyond ASCII in addresses.

use std::net::IpAddr;
use std::process::Command;

use super::{HOST, MAX_SIZE, PORT, Room, joined};
use crate::gateway::chmod;
use crate::needs::Need::{self, Program, Root};

pub(super) const NEEDS: &[Need] = &[
    Root,
    Program("setpriv"),
    Program("unshare"),
    Program("ip"),
    Program("python3"),
    Program("opensmtpd/usr/sbin/smtpd"),
];
pub(super) const ROOM: (Option<&str>, &[&str]) = (Some("opensmtpd"), &["opensmtpd", "opensmtpq"]);

pub(super) fn prepare(room: &Room, addresses: &[IpAddr]) -> Command {
    room.make("var/lib/opensmtpd/empty");
    room.make("var/spool/smtpd");
    chmod(&room.path("var/spool/smtpd"), 0o711);
    room.write("etc/aliases", "");
    let end = format!(" port {PORT} hostname {HOST} filter later\n");
    let listening = joined(addresses, "listen on ", &end) + &end;
    room.write(
        "etc/smtpd.conf",
        &format!(
            "smtp max-message-size {MAX_SIZE}\n\
             table later {{ \"later@example.com\" }}\n\
             filter later phase rcpt-to match rcpt-to <later> reject \"450 4.7.1 come again\"\n\
             {listening}\
             action \"deliver\" maildir \"/var/home/%{{user.username}}/Maildir\"\n\
             match from any for domain \"example.com\" action \"deliver\"\n"
        ),
    );
    let mut command = Command::new("smtpd");
    command.arg("-d");
    command
}
