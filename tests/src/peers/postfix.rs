//! Postfix, as it is installed on this machine.

use std::net::IpAddr;
use std::os::unix::fs::chown;
use std::process::Command;

use super::{CERTIFICATE, HOST, KEY, MAX_SIZE, PORT, Room};
use crate::gateway::chmod;
use crate::needs::Need::{self, Program, Root};

pub(super) const NEEDS: &[Need] =
    &[Root, Program("setpriv"), Program("unshare"), Program("ip"), Program("python3"), Program("postfix")];
pub(super) const ROOM: (Option<&str>, &[&str]) = (None, &[]);

/// The processes that it consists of: name, type, whether it may be root's, how many, program.
const SERVICES: &[&str] = &[
    "cleanup unix n - n - 0 cleanup",
    "qmgr unix n - n 300 1 qmgr",
    "rewrite unix - - n - - trivial-rewrite",
    "bounce unix - - n - 0 bounce",
    "defer unix - - n - 0 bounce",
    "trace unix - - n - 0 bounce",
    "local unix - n n - - local",
    "anvil unix - - n - 1 anvil",
    "error unix - - n - - error",
    "retry unix - - n - - error",
    "smtp unix - - n - - smtp",
    "proxymap unix - - n - - proxymap",
];

pub(super) fn prepare(room: &Room, addresses: &[IpAddr]) -> Command {
    make_folders(room);
    room.write(
        "etc/postfix/main.cf",
        &format!(
            "compatibility_level = 3.6\n\
             myhostname = {HOST}\n\
             mydestination = example.com\n\
             mynetworks =\n\
             smtpd_recipient_restrictions =\n\
             \x20 check_recipient_access texthash:/etc/postfix/later, reject_unauth_destination\n\
             smtpd_peername_lookup = no\n\
             message_size_limit = {MAX_SIZE}\n\
             mailbox_size_limit = 0\n\
             home_mailbox = Maildir/\n\
             alias_maps =\n\
             alias_database =\n"
        ),
    );
    room.write("etc/postfix/later", "later@example.com 450 4.7.1 come again\n");
    let listening = addresses.iter().map(|address| match address {
        IpAddr::V4(address) => format!("{address}:{PORT} inet n - n - - smtpd\n"),
        IpAddr::V6(address) => format!("[{address}]:{PORT} inet n - n - - smtpd\n"),
    });
    room.write("etc/postfix/master.cf", &(listening.collect::<String>() + &SERVICES.join("\n") + "\n"));
    let mut command = Command::new("/usr/lib/postfix/sbin/master");
    command.args(["-c", "/etc/postfix", "-d"]);
    command
}

/// Has it offer TLS.
pub(super) fn encrypt(room: &Room) {
    room.append(
        "etc/postfix/main.cf",
        &format!("smtpd_tls_security_level = may\nsmtpd_tls_chain_files = /{KEY}, /{CERTIFICATE}\n"),
    );
    room.append("etc/postfix/master.cf", "tlsmgr unix - - n 1000? 1 tlsmgr\n");
}

/// What the start script of the package makes.
fn make_folders(room: &Room) {
    room.make_for("postfix", "var/lib/postfix", 0o700);
    room.make("var/spool/postfix/pid");
    let own = ["active", "bounce", "corrupt", "defer", "deferred", "flush", "hold", "incoming"];
    for folder in own.iter().chain(&["private", "saved", "trace"]) {
        room.make_for("postfix", &format!("var/spool/postfix/{folder}"), 0o700);
    }
    for (folder, mode) in [("maildrop", 0o730), ("public", 0o710)] {
        let folder = format!("var/spool/postfix/{folder}");
        room.make_for("postfix", &folder, mode);
        chown(room.path(&folder), None, Some(room.number("group", "postdrop"))).unwrap();
        chmod(&room.path(&folder), mode);
    }
}
