//! Mail servers of others, from Debian's packages, each in a machine of its own for as long as a test lasts.
//!
//! A server sees `/etc`, `/var` and `/run` of the test's, and users that the machine need not have; its processes are
//! in a namespace that ends with it. All of them do the same: they take mail for `b`, `c` and `d` of example.com into
//! Maildirs and for nobody else, ask for `later` to be tried later, and take [`MAX_SIZE`] octets.

mod dovecot;
mod exim;
mod opensmtpd;
mod postfix;
mod sendmail;

use std::fs::{self, File};
use std::io::Write;
use std::net::{IpAddr, TcpStream};
use std::os::unix::fs::chown;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, SystemTime};

use tempfile::TempDir;

use crate::certificates::Identity;
use crate::needs::Need;
use crate::process::{Ended, Process, run};
use crate::{eventually, gateway, post, programs};

/// Octets that a message may have.
pub const MAX_SIZE: usize = 4 << 20;
/// Where all of them listen.
pub const PORT: u16 = 25;
/// What they call themselves.
pub const HOST: &str = "peer.example";
/// What it has for TLS.
const CERTIFICATE: &str = "etc/tls/certificate.pem";
const KEY: &str = "etc/tls/key.pem";
/// The users who have a mailbox.
pub const USERS: [&str; 3] = ["b", "c", "d"];
/// The first of the numbers that users get whom this machine does not have.
const FIRST_UID: u32 = 41001;

/// Which server.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// Postfix, as it is installed.
    Postfix,
    /// Exim.
    Exim,
    /// OpenSMTPD.
    OpenSmtpd,
    /// sendmail.
    Sendmail,
    /// Dovecot, by LMTP.
    Dovecot,
}

impl Kind {
    /// What a test of it needs.
    #[must_use]
    pub fn needs(self) -> &'static [Need] {
        match self {
            Self::Postfix => postfix::NEEDS,
            Self::Exim => exim::NEEDS,
            Self::OpenSmtpd => opensmtpd::NEEDS,
            Self::Sendmail => sendmail::NEEDS,
            Self::Dovecot => dovecot::NEEDS,
        }
    }

    /// Writes its files; returns the program and its arguments.
    fn prepare(self, room: &Room, addresses: &[IpAddr]) -> Command {
        match self {
            Self::Postfix => postfix::prepare(room, addresses),
            Self::Exim => exim::prepare(room, addresses),
            Self::OpenSmtpd => opensmtpd::prepare(room, addresses),
            Self::Sendmail => sendmail::prepare(room, addresses),
            Self::Dovecot => dovecot::prepare(room, addresses),
        }
    }
}

/// The files that a server sees.
#[derive(Debug)]
struct Room {
    folder: TempDir,
    /// Where its package was unpacked to, if it is not installed.
    tree: Option<PathBuf>,
}

impl Room {
    /// With these users, and those who have mailboxes.
    fn new(tree: Option<&str>, users: &[&str]) -> Self {
        let folder = tempfile::Builder::new().prefix("smap-peer-").tempdir().expect("a temporary folder");
        gateway::chmod(folder.path(), 0o755);
        let room = Self { folder, tree: tree.map(tree_of) };
        for place in ["etc", "var/log", "var/spool", "var/lib", "var/tmp", "var/home"] {
            room.make(place);
        }
        std::os::unix::fs::symlink("/run", room.path("var/run")).unwrap();
        for file in ["passwd", "group"] {
            room.write(&format!("etc/{file}"), &fs::read_to_string(format!("/etc/{file}")).unwrap());
        }
        room.write("etc/hosts", &format!("127.0.0.1 localhost {HOST}\n::1 localhost\n"));
        room.write("etc/resolv.conf", "nameserver 127.0.0.1\n");
        room.write("etc/nsswitch.conf", "passwd: files\ngroup: files\nshadow: files\nhosts: files\n");
        for (user, uid) in users.iter().chain(&USERS).zip(FIRST_UID..) {
            room.add(user, uid);
        }
        room
    }

    /// A file or folder of it, by its name without the first slash: with it, it would be the machine's own.
    fn path(&self, name: &str) -> PathBuf {
        assert!(!name.starts_with('/'), "{name} is not in the room");
        self.folder.path().join(name)
    }

    fn make(&self, name: &str) {
        fs::create_dir_all(self.path(name)).unwrap();
    }

    /// A folder with a mode, that belongs to a user.
    fn make_for(&self, user: &str, name: &str, mode: u32) {
        self.make(name);
        chown(self.path(name), Some(self.number("passwd", user)), None).unwrap();
        gateway::chmod(&self.path(name), mode);
    }

    fn write(&self, name: &str, text: &str) {
        let path = self.path(name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        let mut file = File::create(path).unwrap();
        file.write_all(text.as_bytes()).unwrap();
        // Postfix waits until nobody seems to write its files any more.
        file.set_modified(SystemTime::now() - Duration::from_mins(1)).unwrap();
    }

    /// Adds a user, with a group of his own and a home, whom it does not know.
    fn add(&self, user: &str, uid: u32) {
        if self.find("passwd", user).is_none() {
            self.append("etc/passwd", &format!("{user}:x:{uid}:{uid}::/var/home/{user}:/bin/sh\n"));
        }
        if self.find("group", user).is_none() {
            self.append("etc/group", &format!("{user}:x:{uid}:\n"));
        }
        self.make_for(user, &format!("var/home/{user}"), 0o700);
    }

    fn append(&self, name: &str, line: &str) {
        let mut file = File::options().append(true).open(self.path(name)).unwrap();
        file.write_all(line.as_bytes()).unwrap();
    }

    /// The number of a user or group in it.
    fn number(&self, file: &str, name: &str) -> u32 {
        self.find(file, name).unwrap_or_else(|| panic!("{name} is not in {file}"))
    }

    fn find(&self, file: &str, name: &str) -> Option<u32> {
        let text = fs::read_to_string(self.path(&format!("etc/{file}"))).unwrap();
        let mut lines = text.lines().map(|line| line.split(':').collect::<Vec<_>>());
        lines.find(|fields| fields[0] == name).map(|fields| fields[2].parse().unwrap())
    }

    /// Starts a program in it.
    fn start(&self, program: &Command) -> Process {
        Process::start(&mut self.command(program))
    }

    /// What starts a program in it.
    fn command(&self, program: &Command) -> Command {
        let mut command = Command::new(programs::peer("setpriv"));
        command.args([
            "--pdeathsig",
            "KILL",
            "unshare",
            "--mount",
            "--pid",
            "--fork",
            "--kill-child",
            "--mount-proc",
            "sh",
        ]);
        command.arg(programs::script("room.sh")).arg(self.folder.path());
        command.arg(self.tree.as_deref().unwrap_or_else(|| Path::new("")));
        command.arg(program.get_program()).args(program.get_args());
        command
    }
}

fn tree_of(name: &str) -> PathBuf {
    programs::peers().join(name).canonicalize().expect("it is there")
}

/// A server.
#[derive(Debug)]
pub struct Server {
    room: Room,
    program: Command,
    addresses: Vec<IpAddr>,
    process: Option<Process>,
}

impl Server {
    /// One that does not run yet, and will listen on port 25 of these addresses.
    #[must_use]
    pub fn new(kind: Kind, addresses: &[&str]) -> Self {
        let addresses: Vec<IpAddr> = addresses.iter().map(|address| address.parse().unwrap()).collect();
        let (tree, users) = match kind {
            Kind::Postfix => postfix::ROOM,
            Kind::Exim => exim::ROOM,
            Kind::OpenSmtpd => opensmtpd::ROOM,
            Kind::Sendmail => sendmail::ROOM,
            Kind::Dovecot => dovecot::ROOM,
        };
        let room = Room::new(tree, users);
        let program = kind.prepare(&room, &addresses);
        Self { room, program, addresses, process: None }
    }

    /// One that runs on 127.0.0.1.
    #[must_use]
    pub fn running(kind: Kind) -> Self {
        let mut server = Self::new(kind, &["127.0.0.1"]);
        server.start();
        server
    }

    /// The same with TLS, and this for it.
    ///
    /// # Panics
    /// Not every server is told here how it has TLS.
    #[must_use]
    pub fn encrypted(kind: Kind, identity: &Identity) -> Self {
        let mut server = Self::new(kind, &["127.0.0.1"]);
        server.room.write(CERTIFICATE, identity.pem());
        server.room.write(KEY, &identity.key_pem());
        match kind {
            Kind::Postfix => postfix::encrypt(&server.room),
            Kind::Exim => exim::encrypt(&server.room),
            Kind::OpenSmtpd | Kind::Sendmail | Kind::Dovecot => panic!("{kind:?} is told nothing of TLS"),
        }
        server.start();
        server
    }

    /// Starts it, and waits until it listens everywhere.
    ///
    /// # Panics
    /// It does not.
    pub fn start(&mut self) {
        let process = self.process.insert(self.room.start(&self.program));
        for address in &self.addresses {
            let listens = eventually("the server listens", || {
                let listens = TcpStream::connect((*address, PORT)).is_ok();
                (listens || process.has_ended()).then_some(listens)
            });
            assert!(listens, "it has ended: {:#?}", process.log());
        }
    }

    /// What a user has got.
    #[must_use]
    pub fn maildir(&self, user: &str) -> Vec<Vec<u8>> {
        post::maildir(&self.room.path(&format!("var/home/{user}/Maildir")))
    }

    /// What he has got, once it is so much.
    #[must_use]
    pub fn wait_for(&self, user: &str, count: usize) -> Vec<Vec<u8>> {
        eventually("the mail is in the mailbox", || {
            let messages = self.maildir(user);
            (messages.len() >= count).then_some(messages)
        })
    }

    /// Runs a program to its end where the server runs, or would; nothing is on descriptor 0.
    #[must_use]
    pub fn run(&self, program: &Command) -> Ended {
        run(&mut self.room.command(program), Stdio::null())
    }

    /// A file that it sees, by its name without the first slash.
    #[must_use]
    pub fn path(&self, name: &str) -> PathBuf {
        self.room.path(name)
    }
}

/// The addresses, each behind `before`, with `between` between them.
fn joined(addresses: &[IpAddr], before: &str, between: &str) -> String {
    addresses.iter().map(|address| format!("{before}{address}")).collect::<Vec<_>>().join(between)
}
