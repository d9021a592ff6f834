//! Dovecot's LMTP, on ports and on the socket `var/lmtp`. The mailbox of `d` is full.

use std::net::IpAddr;
use std::process::Command;

use super::{HOST, PORT, Room, USERS, joined};
use crate::needs::Need::{self, Program, Root};

pub(super) const NEEDS: &[Need] = &[
    Root,
    Program("setpriv"),
    Program("unshare"),
    Program("ip"),
    Program("python3"),
    Program("dovecot/usr/sbin/dovecot"),
];
pub(super) const ROOM: (Option<&str>, &[&str]) = (Some("dovecot"), &["dovecot", "dovenull"]);

pub(super) fn prepare(room: &Room, addresses: &[IpAddr]) -> Command {
    room.make("var/lib/dovecot");
    let users = USERS.map(|user| {
        let uid = room.number("passwd", user);
        let quota = if user == "d" { "userdb_quota_rule=*:bytes=10" } else { "" };
        format!("{user}::{uid}:{uid}::/var/home/{user}::{quota}\n")
    });
    room.write("etc/dovecot/users", &users.concat());
    let addresses = joined(addresses, "", " ");
    room.write(
        "etc/dovecot/dovecot.conf",
        &format!(
            "protocols = lmtp\n\
             hostname = {HOST}\n\
             postmaster_address = postmaster@example.com\n\
             log_path = /dev/stderr\n\
             ssl = no\n\
             mail_location = maildir:~/Maildir\n\
             mail_plugins = quota\n\
             auth_username_format = %n\n\
             first_valid_uid = 1\n\
             plugin {{\n  quota = maildir:User quota\n}}\n\
             passdb {{\n  driver = passwd-file\n  args = /etc/dovecot/users\n}}\n\
             userdb {{\n  driver = passwd-file\n  args = /etc/dovecot/users\n}}\n\
             service lmtp {{\n\
             \x20 inet_listener lmtp {{\n    address = {addresses}\n    port = {PORT}\n  }}\n\
             \x20 unix_listener /var/lmtp {{\n    mode = 0666\n  }}\n\
             }}\n"
        ),
    );
    let mut command = Command::new("dovecot");
    command.arg("-F");
    command
}
