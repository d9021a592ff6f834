//! sendmail, with procmail for its mailboxes. It takes no text beyond ASCII in addresses.

use std::net::IpAddr;
use std::process::Command;

use super::{HOST, MAX_SIZE, PORT, Room};
use crate::needs::Need::{self, Program, Root};

pub(super) const NEEDS: &[Need] = &[
    Root,
    Program("setpriv"),
    Program("unshare"),
    Program("ip"),
    Program("python3"),
    Program("m4"),
    Program("procmail"),
    Program("sendmail/usr/libexec/sendmail/sendmail"),
];
pub(super) const ROOM: (Option<&str>, &[&str]) = (Some("sendmail"), &["smmta", "smmsp"]);

const START: &str = "m4 /etc/mail/sendmail.mc >/var/sendmail.cf &&
    exec /usr/libexec/sendmail/sendmail -C/var/sendmail.cf -bD";

pub(super) fn prepare(room: &Room, addresses: &[IpAddr]) -> Command {
    room.make("var/spool/mqueue");
    room.write("etc/mail/aliases", "");
    room.write("etc/mail/service.switch", "hosts files\naliases files\n");
    room.write("etc/procmailrc", "DEFAULT=$HOME/Maildir/\n");
    let listening = addresses.iter().enumerate().map(|(number, address)| {
        let family = if address.is_ipv4() { "inet" } else { "inet6" };
        format!("DAEMON_OPTIONS(`Family={family}, Name=M{number}, Addr={address}, Port={PORT}')dnl\n")
    });
    let listening: String = listening.collect();
    room.write(
        "etc/mail/sendmail.mc",
        &format!(
            "define(`_USE_ETC_MAIL_')dnl\n\
             include(`/usr/share/sendmail/cf/m4/cf.m4')dnl\n\
             OSTYPE(`debian')dnl\n\
             undefine(`confHOST_STATUS_DIRECTORY')dnl\n\
             define(`confDOMAIN_NAME', `{HOST}')dnl\n\
             define(`confMAX_MESSAGE_SIZE', `{MAX_SIZE}')dnl\n\
             define(`confREFUSE_LA', `10000')dnl\n\
             define(`confQUEUE_LA', `10000')dnl\n\
             define(`confTO_IDENT', `0')dnl\n\
             define(`confSERVICE_SWITCH_FILE', `/etc/mail/service.switch')dnl\n\
             FEATURE(`no_default_msa')dnl\n\
             FEATURE(`nocanonify')dnl\n\
             FEATURE(`accept_unresolvable_domains')dnl\n\
             FEATURE(`local_procmail', `/usr/bin/procmail')dnl\n\
             {listening}\
             MAILER(`local')dnl\n\
             MAILER(`smtp')dnl\n\
             LOCAL_CONFIG\n\
             Cwexample.com\n\
             LOCAL_RULESETS\n\
             SLocal_check_rcpt\n\
             R<later@example.com>\t$#error $@ 4.7.1 $: \"450 come again\"\n"
        ),
    );
    let mut command = Command::new("sh");
    command.args(["-c", START]);
    command
}
