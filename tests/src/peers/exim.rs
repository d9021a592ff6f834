//! Exim (exim4-daemon-light).

use std::fs;
use std::net::IpAddr;
use std::process::Command;

use super::{CERTIFICATE, HOST, KEY, MAX_SIZE, PORT, Room, joined};
use crate::needs::Need::{self, Program, Root};

pub(super) const NEEDS: &[Need] = &[
    Root,
    Program("setpriv"),
    Program("unshare"),
    Program("ip"),
    Program("python3"),
    Program("exim/usr/sbin/exim4"),
];
pub(super) const ROOM: (Option<&str>, &[&str]) = (Some("exim"), &["Debian-exim"]);

const CONFIGURATION: &str = "etc/exim4/exim4.conf";

pub(super) fn prepare(room: &Room, addresses: &[IpAddr]) -> Command {
    for folder in ["var/spool/exim4", "var/log/exim4"] {
        room.make_for("Debian-exim", folder, 0o750);
    }
    let addresses = joined(addresses, "", " ; ");
    room.write(
        CONFIGURATION,
        &format!(
            "primary_hostname = {HOST}\n\
             exim_user = Debian-exim\n\
             exim_group = Debian-exim\n\
             local_interfaces = <; {addresses}\n\
             daemon_smtp_ports = {PORT}\n\
             message_size_limit = {MAX_SIZE}\n\
             smtputf8_advertise_hosts = *\n\
             tls_advertise_hosts =\n\
             host_lookup =\n\
             rfc1413_query_timeout = 0s\n\
             smtp_accept_queue_per_connection = 0\n\
             keep_environment =\n\
             log_file_path = /var/log/exim4/%slog\n\
             acl_smtp_rcpt = recipient\n\
             begin acl\n\
             recipient:\n\
             \x20 deny    domains = !example.com\n\
             \x20 defer   local_parts = later\n\
             \x20         message = 4.7.1 come again\n\
             \x20 deny    !verify = recipient\n\
             \x20         message = 5.1.1 nobody of that name\n\
             \x20 accept\n\
             begin routers\n\
             user:\n\
             \x20 driver = accept\n\
             \x20 check_local_user\n\
             \x20 transport = maildir\n\
             begin transports\n\
             maildir:\n\
             \x20 driver = appendfile\n\
             \x20 directory = $home/Maildir\n\
             \x20 maildir_format\n"
        ),
    );
    let mut command = Command::new("exim4");
    command.arg("-bdf");
    command
}

/// Has it offer TLS.
pub(super) fn encrypt(room: &Room) {
    let known = fs::read_to_string(room.path(CONFIGURATION)).unwrap();
    let offer =
        format!("tls_advertise_hosts = *\ntls_certificate = /{CERTIFICATE}\ntls_privatekey = /{KEY}\n");
    room.write(CONFIGURATION, &known.replace("tls_advertise_hosts =\n", &offer));
}
