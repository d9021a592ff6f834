"""The servers: where their programs are, and what they are told.

All listen on one address, relay what is for relay.example to the sink, and deliver `u0` to `u9` of local.example into
Maildirs. TLS is off in all. Logs go to syslog, Exim's to its own files.
"""

import gzip
import os
import re
import shutil

from lab import GATEWAY, PORT, SINK
from machine import BIN, example, output
from room import HOST, USERS, Server

RELAYED, LOCAL = "relay.example", "local.example"
SMAP_UID, SMAPD_UID = 40001, 40002
CONNECTIONS = 1000


def release(changelog):
    """Of a package that is unpacked."""
    with gzip.open(changelog, "rt") as lines:
        return re.search(r"\((?:\d+:)?([^)]*)\)", lines.readline())[1]


class Smap(Server):
    """smap --listen and smapd."""

    name = "smap"
    notes = f"two userids; max-sessions and max-sessions-per-host {CONNECTIONS} (500 and 20); TLS to the next host off"
    first = "smapd"

    @staticmethod
    def program():
        return os.path.join(BIN, "smapd")

    @classmethod
    def version(cls):
        return output(cls.program(), "--version").split()[-1]

    def prepare(self):
        table = "/etc/smap/netperm-table"
        self.write(
            table[1:],
            f"smap: userid {SMAP_UID}\nsmapd: userid {SMAPD_UID}\nsmap, smapd: hostname {HOST}\n"
            f"smap, smapd: domain {RELAYED} smtp:[{SINK}]:{PORT} tls=off\n"
            f"smap, smapd: domain {LOCAL} maildir:/var/home/%u/Maildir/\n"
            f"smap: max-sessions {CONNECTIONS}\nsmap: max-sessions-per-host {CONNECTIONS}\n",
        )
        for user in USERS:
            self.make(f"var/home/{user}", SMAPD_UID, 0o700, SMAPD_UID)
        start = f"{BIN}/{self.first} && exec {BIN}/smap --listen {GATEWAY}:{PORT}"
        return ["sh", "-c", start]

    def spooled(self):
        return len(os.listdir(self.path("var/spool/smap/incoming")))


class SmapAlone(Smap):
    """smap, whose mail nobody takes: smapd has only made the spool."""

    first = "smapd --once"


class Floor(Server):
    """No mail server: it says yes to all, and creates, writes and syncs a file for each message."""

    name = "floor"

    @staticmethod
    def program():
        return example("floor")

    def prepare(self):
        self.make("var/spool/floor")
        return [self.program(), f"{GATEWAY}:{PORT}", "/var/spool/floor"]

    def spooled(self):
        return len(os.listdir(self.path("var/spool/floor")))


class Postfix(Server):
    """Postfix, as it is installed."""

    name, users = "postfix", []
    notes = f"Debian's master.cf, smtpd's maxproc {CONNECTIONS} (100)"

    @staticmethod
    def program():
        return "/usr/lib/postfix/sbin/master"

    @staticmethod
    def version():
        return output("/usr/sbin/postconf", "-h", "mail_version")

    def prepare(self):
        self.make_folders()
        self.write(
            "etc/postfix/main.cf",
            f"compatibility_level = 3.6\nmyhostname = {HOST}\nmydestination = {LOCAL}\nmynetworks = 127.0.0.0/8\n"
            f"inet_protocols = ipv4\nrelayhost = [{SINK}]:{PORT}\nhome_mailbox = Maildir/\n"
            "alias_maps =\nalias_database =\n",
        )
        with open("/usr/share/postfix/master.cf.dist") as services:
            lines = services.read().splitlines()
        inet = f"{GATEWAY}:{PORT} inet n - y - {CONNECTIONS} smtpd"
        lines = [inet if line.split()[:2] == ["smtp", "inet"] else line for line in lines]
        self.write("etc/postfix/master.cf", "\n".join(lines) + "\n")
        return [self.program(), "-c", "/etc/postfix", "-d"]

    def make_folders(self):
        """What the start script of the package makes."""
        owner, group = self.number("passwd", "postfix"), self.number("group", "postdrop")
        queue = "var/spool/postfix"
        self.make("var/lib/postfix", owner, 0o700)
        self.make(f"{queue}/pid")
        for folder in [
            "active",
            "bounce",
            "corrupt",
            "defer",
            "deferred",
            "flush",
            "hold",
            "incoming",
            "private",
            "saved",
            "trace",
        ]:
            self.make(f"{queue}/{folder}", owner, 0o700)
        self.make(f"{queue}/maildrop", owner, 0o730, group)
        self.make(f"{queue}/public", owner, 0o710, group)
        for name in ("hosts", "resolv.conf", "nsswitch.conf"):
            with open(self.path(f"etc/{name}")) as file:
                self.write(f"{queue}/etc/{name}", file.read())
        shutil.copy("/etc/services", self.path(f"{queue}/etc/services"))


class Exim(Server):
    """Exim (exim4-daemon-light)."""

    name, tree, users = "exim", "exim", ["Debian-exim"]
    notes = (
        f"a small configuration; smtp_accept_max and smtp_connect_backlog {CONNECTIONS} (20). "
        "It answers QUIT after 0.2 s"
    )

    @classmethod
    def program(cls):
        return cls.unpacked() + "/usr/sbin/exim4"

    @classmethod
    def version(cls):
        return release(cls.unpacked() + "/usr/share/doc/exim4-daemon-light/changelog.Debian.gz")

    def prepare(self):
        for folder in ("var/spool/exim4", "var/log/exim4"):
            self.make(folder, self.number("passwd", "Debian-exim"), 0o750, self.number("group", "Debian-exim"))
        self.write("etc/exim4/exim4.conf", EXIM)
        return ["exim4", "-bdf", "-q30m"]


EXIM = f"""\
primary_hostname = {HOST}
exim_user = Debian-exim
exim_group = Debian-exim
local_interfaces = {GATEWAY}
daemon_smtp_ports = {PORT}
tls_advertise_hosts =
smtp_accept_max = {CONNECTIONS}
smtp_connect_backlog = {CONNECTIONS}
keep_environment =
log_file_path = /var/log/exim4/%slog
acl_smtp_rcpt = accept
begin routers
next:
  driver = manualroute
  domains = ! {LOCAL}
  transport = next
  route_list = * {SINK}::{PORT} byname
  self = send
  no_more
user:
  driver = accept
  check_local_user
  transport = maildir
begin transports
next:
  driver = smtp
maildir:
  driver = appendfile
  directory = $home/Maildir
  maildir_format
begin retry
* * F,2h,15m; G,16h,1h,1.5; F,4d,6h
"""


class OpenSmtpd(Server):
    """OpenSMTPD."""

    name, tree, users = "opensmtpd", "opensmtpd", ["opensmtpd", "opensmtpq"]
    pause = 11  # until connections to the next host are closed that it keeps: while there are some, mail waits
    notes = (
        "no delay between connections to a host (one in 5 s), 20 of them (5), 1000 messages on each (100): as it is, "
        "it sends about 20 messages a second to one host"
    )

    @classmethod
    def program(cls):
        return cls.unpacked() + "/usr/sbin/smtpd"

    @classmethod
    def version(cls):
        return release(cls.unpacked() + "/usr/share/doc/opensmtpd/changelog.Debian.gz")

    def prepare(self):
        self.make("var/lib/opensmtpd/empty")
        self.make("var/spool/smtpd", mode=0o711)
        self.write("etc/aliases", "")
        self.write(
            "etc/smtpd.conf",
            "mta limit conn-delay-route 0 conn-delay-relay 0 reconn-delay-route 0 max-conn-per-route 20 "
            "max-conn-per-host 20 session-mail-max 1000\n"
            f"listen on {GATEWAY} port {PORT} hostname {HOST}\n"
            'action "deliver" maildir "/var/home/%{user.username}/Maildir"\n'
            f'action "next" relay host smtp://{SINK}:{PORT}\n'
            f'match from any for domain "{LOCAL}" action "deliver"\n'
            'match from any for any action "next"\n',
        )
        return ["smtpd", "-F"]


KINDS = {kind.name: kind for kind in (Smap, Postfix, Exim, OpenSmtpd)}
