//! Both programs on one spool: mail that goes in by SMTP, and what smapd's log and the mailboxes say of it.

use std::fs;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use nix::sys::signal::Signal;

use crate::client::Client;
use crate::gateway::{Gateway, Listener, SMAPD_UID};
use crate::needs::is_root;
use crate::process::{Ended, Process, run};
use crate::programs;

/// A gateway with smap listening; smapd is started by the test, and as often as it likes.
#[derive(Debug)]
pub struct Post {
    /// Its table and spool.
    pub gateway: Gateway,
    /// Its smap.
    pub listener: Listener,
}

/// A running smapd.
#[derive(Debug)]
pub struct Smapd(Process);

impl Post {
    /// With the lines that are made for its folder. A folder `mail` in it belongs to smapd.
    #[must_use]
    pub fn new(lines: impl Fn(&Path) -> String) -> Self {
        let gateway = Gateway::new("");
        gateway.write_table(&lines(gateway.folder()));
        Self::of(gateway)
    }

    /// The same of a gateway that is there.
    #[must_use]
    pub fn of(gateway: Gateway) -> Self {
        folder_of_smapd(&gateway.folder().join("mail"));
        let listener = gateway.listen();
        Self { gateway, listener }
    }

    /// All mail for example.com goes into the Maildir `mail/USER`.
    #[must_use]
    pub fn with_maildirs(lines: &str) -> Self {
        Self::new(|folder| {
            let mail = folder.join("mail");
            format!("{lines}\nsmap, smapd: domain example.com maildir:{}/%u/", mail.display())
        })
    }

    /// All mail for sender.example goes into the Maildir `mail/USER`: what senders are told can be read.
    #[must_use]
    pub fn with_maildirs_for_senders(lines: &str) -> Self {
        Self::new(|folder| {
            let mail = folder.join("mail");
            format!("{lines}\nsmap, smapd: domain sender.example maildir:{}/%u/", mail.display())
        })
    }

    /// Something in its folder.
    #[must_use]
    pub fn path(&self, name: &str) -> PathBuf {
        self.gateway.folder().join(name)
    }

    /// Where smap listens.
    #[must_use]
    pub fn address(&self) -> SocketAddr {
        self.listener.address()
    }

    /// Starts smapd, which stays in the foreground.
    #[must_use]
    pub fn smapd(&self) -> Smapd {
        Smapd::start(&mut self.gateway.program("smapd"))
    }

    /// Runs `smapd --once`.
    #[must_use]
    pub fn once(&self) -> Ended {
        run(self.gateway.program("smapd").args(["--once", "--foreground"]), Stdio::null())
    }

    /// Runs smapctl.
    #[must_use]
    pub fn smapctl(&self, arguments: &[&str]) -> Ended {
        run(self.gateway.program("smapctl").args(arguments), Stdio::null())
    }

    /// Sends a message, and returns its id.
    pub fn send(&self, from: &str, to: &[&str], body: &str) -> String {
        let recipients: Vec<String> = to.iter().map(|to| format!("<{to}>")).collect();
        self.send_as(&format!("<{from}>"), &recipients, body)
    }

    /// The same with parameters behind the paths.
    ///
    /// # Panics
    /// It is not taken.
    pub fn send_as(&self, from: &str, to: &[impl AsRef<str>], body: &str) -> String {
        let mut client = self.listener.extended_client();
        let id = send(&mut client, from, to, body);
        client.quit();
        id
    }

    /// The names in a folder of the spool, but those of hidden files.
    ///
    /// # Panics
    /// There is no such folder.
    #[must_use]
    pub fn names(&self, folder: &str) -> Vec<String> {
        let entries = fs::read_dir(self.gateway.spool().join(folder)).expect("the spool is there");
        let mut names: Vec<String> =
            entries.map(|entry| entry.unwrap().file_name().to_string_lossy().into_owned()).collect();
        names.sort();
        names
    }

    /// The messages in the Maildir of a user.
    #[must_use]
    pub fn maildir(&self, user: &str) -> Vec<Vec<u8>> {
        maildir(&self.path("mail").join(user))
    }

    /// Nothing is in the spool.
    ///
    /// # Panics
    /// Something is.
    pub fn assert_spool_is_empty(&self) {
        for folder in ["incoming", "queue", "bad"] {
            assert_eq!(self.names(folder), Vec::<String>::new(), "{folder}/");
        }
    }
}

/// Sends a message in a session, and returns its id.
///
/// # Panics
/// It is not taken.
pub fn send(client: &mut Client, from: &str, to: &[impl AsRef<str>], body: &str) -> String {
    client.say(&format!("MAIL FROM:{from}"), "250 ");
    to.iter().for_each(|to| {
        client.say(&format!("RCPT TO:{}", to.as_ref()), "250 ");
    });
    client.say("DATA", "354 ");
    let reply = client.say(&format!("{body}\r\n."), "250 ");
    reply.rsplit(' ').next().expect("the id is the last word").to_owned()
}

/// Makes a folder that smapd may write in.
///
/// # Panics
/// It is there.
pub fn folder_of_smapd(path: &Path) {
    fs::create_dir(path).expect("a new folder");
    if is_root() {
        std::os::unix::fs::chown(path, Some(SMAPD_UID), Some(SMAPD_UID)).unwrap();
    }
}

/// The messages in a Maildir.
///
/// # Panics
/// One cannot be read.
#[must_use]
pub fn maildir(folder: &Path) -> Vec<Vec<u8>> {
    let Ok(entries) = fs::read_dir(folder.join("new")) else { return Vec::new() };
    entries.map(|entry| fs::read(entry.unwrap().path()).unwrap()).collect()
}

/// The messages in a mailbox as Python's `mailbox` reads them; `kind` is `maildir` or `mbox`.
///
/// # Panics
/// It cannot read it.
#[must_use]
pub fn read_by_python(kind: &str, path: &Path) -> Vec<Vec<u8>> {
    let mut python = Command::new(programs::peer("python3"));
    let ended = run(python.arg(programs::script("mailbox_of.py")).arg(kind).arg(path), Stdio::null());
    assert_eq!(ended.code, 0, "{:#?}", ended.log);
    let mut rest = ended.output.as_slice();
    std::iter::from_fn(|| {
        let end = rest.iter().position(|&octet| octet == b'\n')?;
        let length: usize = std::str::from_utf8(&rest[..end]).unwrap().parse().expect("a length");
        let message = rest[end + 1..end + 1 + length].to_vec();
        rest = &rest[end + 1 + length..];
        Some(message)
    })
    .collect()
}

/// Takes the fields with these names off the head of a message.
///
/// # Panics
/// It does not begin with them.
#[must_use]
pub fn without_trace(message: &[u8], names: &[&str]) -> (Vec<String>, Vec<u8>) {
    let mut rest = message;
    let mut fields = Vec::new();
    for name in names {
        let shown = || String::from_utf8_lossy(&message[..message.len().min(1000)]).into_owned();
        assert!(rest.starts_with(format!("{name}: ").as_bytes()), "no {name}: {}", shown());
        let mut end = 0;
        while end == 0 || matches!(rest.get(end), Some(b' ' | b'\t')) {
            end += rest[end..].iter().position(|&octet| octet == b'\n').expect("a line has an end") + 1;
        }
        fields.push(String::from_utf8_lossy(&rest[..end]).trim_end().to_owned());
        rest = &rest[end..];
    }
    (fields, rest.to_vec())
}

/// What a mailbox adds.
pub const MAILBOX_TRACE: [&str; 3] = ["Return-Path", "Delivered-To", "Received"];
/// What everyone else is given.
pub const RELAY_TRACE: [&str; 1] = ["Received"];

/// The id in a `Received:` field.
///
/// # Panics
/// It has none.
#[must_use]
pub fn id_in(received: &str) -> String {
    let words: Vec<&str> = received.split([' ', '\r', '\n', '\t', ';']).collect();
    let at = words.iter().position(|word| *word == "id").expect("an id stands in it");
    words[at + 1].to_owned()
}

impl Smapd {
    /// Starts it, and waits until it says that it has begun.
    #[must_use]
    pub fn start(command: &mut Command) -> Self {
        let process = Process::start(command.arg("--foreground"));
        let line = process.wait_for_log(|line| line.contains("]: started; ") || line.contains("error: "));
        assert!(line.contains("started; "), "{:#?}", process.log());
        Self(process)
    }

    /// The process.
    #[must_use]
    pub fn process(&self) -> &Process {
        &self.0
    }

    /// The line of the log that says how an attempt for a recipient ended, waited for.
    #[must_use]
    pub fn outcome(&self, id: &str, to: &str, status: &str) -> String {
        self.outcomes(1, id, to, status).swap_remove(0)
    }

    /// The first so many such lines.
    #[must_use]
    pub fn outcomes(&self, count: usize, id: &str, to: &str, status: &str) -> Vec<String> {
        let (whose, how) = (format!("]: id={id} to=<{to}> "), format!(" status={status} "));
        self.0.wait_for_logs(count, |line| line.contains(&whose) && line.contains(&how))
    }

    /// The first line of the log that says how any message for a recipient ended.
    #[must_use]
    pub fn outcome_for(&self, to: &str, status: &str) -> String {
        let (whose, how) = (format!(" to=<{to}> "), format!(" status={status} "));
        self.0.wait_for_log(|line| line.contains(&whose) && line.contains(&how))
    }

    /// Waits until a message has left the queue.
    pub fn removed(&self, id: &str) {
        let removed = format!("]: id={id} removed");
        let _line = self.0.wait_for_log(|line| line.ends_with(&removed));
    }

    /// The id of the notification about a message, and to whom it goes, waited for.
    ///
    /// # Panics
    /// There is none.
    #[must_use]
    pub fn notification(&self, id: &str) -> (String, String) {
        let about = format!("]: id={id} notification=");
        let line = self.0.wait_for_log(|line| line.contains(&about));
        let rest = line.split(&about).nth(1).unwrap();
        let (notification, to) = rest.split_once(" to=").expect("it goes to somebody");
        (notification.to_owned(), to.to_owned())
    }

    /// How often the log says this.
    #[must_use]
    pub fn count(&self, words: &str) -> usize {
        self.0.log().iter().filter(|line| line.contains(words)).count()
    }

    /// Kills it, and leaves alone what it has started.
    pub fn kill(&mut self) {
        self.0.signal(Signal::SIGKILL);
        self.0.wait();
    }

    /// Waits for its end; returns its exit code and its log.
    #[must_use]
    pub fn ended(mut self) -> Ended {
        self.0.end()
    }

    /// Ends it by a signal; returns its exit code and its log.
    #[must_use]
    pub fn end(mut self, signal: Signal) -> Ended {
        self.0.signal(signal);
        self.0.end()
    }
}
