//! Where the mail goes: servers that come and go, mailboxes, a program. What has come is taken out and compared.

use std::collections::HashSet;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use super::book::Book;
use super::chance::Chance;
use super::letter::is_nobody;
use crate::gateway::free_port;
use crate::model::judge::failed;
use crate::sink::{Act, Received, Sink};

/// How a server is for a while.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Mood {
    Good,
    Down,
    Busy,
    Cuts,
    Stalls,
    Grey,
}

const MOODS: [Mood; 10] = [
    Mood::Good,
    Mood::Good,
    Mood::Good,
    Mood::Good,
    Mood::Good,
    Mood::Down,
    Mood::Busy,
    Mood::Cuts,
    Mood::Stalls,
    Mood::Grey,
];

/// The server of a domain, which changes its mood.
pub(super) struct Server {
    lmtp: bool,
    pub(super) port: u16,
    sink: Option<Sink>,
    mood: Mood,
    until: Instant,
    chance: Chance,
    known: Arc<Mutex<HashSet<String>>>,
}

impl Server {
    pub(super) fn new(lmtp: bool, chance: Chance) -> Self {
        let (port, until) = (free_port(), Instant::now());
        let mut server =
            Self { lmtp, port, sink: None, mood: Mood::Down, until, chance, known: Arc::default() };
        server.become_of(Mood::Good);
        server
    }

    /// Takes what has come; changes the mood when it is time.
    pub(super) fn tend(&mut self, book: &Book, calm: bool) {
        self.collect(book);
        if self.until > Instant::now() {
            return;
        }
        let mood = if calm { Mood::Good } else { *self.chance.pick(&MOODS) };
        // What it says meanwhile may be lost on its way.
        self.sink.iter().for_each(Sink::stop);
        self.collect(book);
        self.sink = None;
        self.become_of(mood);
        self.until = Instant::now()
            + Duration::from_millis(if calm { 3_600_000 } else { 1000 } + self.chance.next() % 8000);
    }

    /// It is good from now on.
    pub(super) fn calm_down(&mut self) {
        self.until = Instant::now();
    }

    fn collect(&self, book: &Book) {
        let Some(sink) = &self.sink else { return };
        let received = sink.take();
        sink.take_unheard().iter().for_each(|address| book.unheard(address));
        received.iter().for_each(|received| enter(book, received));
    }

    fn become_of(&mut self, mood: Mood) {
        self.mood = mood;
        let (chance, known) = (Mutex::new(Chance::new(self.chance.next())), Arc::clone(&self.known));
        let script = move |_: usize, line: &str| act(mood, line, &mut chance.lock().unwrap(), &known);
        self.sink = match mood {
            Mood::Down => None,
            _ if self.lmtp => Some(Sink::lmtp_on(self.port, script)),
            _ => Some(Sink::on(self.port, script)),
        };
    }
}

fn act(mood: Mood, line: &str, chance: &mut Chance, known: &Mutex<HashSet<String>>) -> Act {
    let recipient = line.strip_prefix("RCPT TO:");
    let is_recipient = recipient.is_some();
    if recipient.is_some_and(is_nobody) {
        return Act::say("550 5.1.1 nobody");
    }
    match mood {
        Mood::Busy if line.is_empty() && chance.one_in(8) => Act::say("421 4.3.2 later"),
        Mood::Busy if can_be_refused(line) && chance.one_in(6) => Act::say("451 4.3.0 later"),
        Mood::Cuts if chance.one_in(10) => Act::Close,
        Mood::Stalls if chance.one_in(10) => Act::Silence,
        Mood::Grey if is_recipient && known.lock().unwrap().insert(line.to_owned()) => {
            Act::say("451 4.7.1 come again")
        }
        _ => Act::Usual,
    }
}

/// Whoever refuses a sender has to refuse its recipients too; this server does not know of that.
fn can_be_refused(line: &str) -> bool {
    line.starts_with('.') || ["RCPT", "DATA"].iter().any(|verb| line.starts_with(verb))
}

/// A message that a server has taken: a notification, or copies.
fn enter(book: &Book, received: &Received) {
    if received.sender.starts_with("<>") {
        let text = String::from_utf8_lossy(&received.text);
        let failed: Vec<String> = failed(&text).into_iter().collect();
        let id = text.lines().find_map(|line| line.strip_prefix("Message-ID: <")?.split('@').next());
        received.recipients.iter().for_each(|to| book.told(id.unwrap_or_default(), to, &failed));
        if !received.text.ends_with(b"--\r\n") {
            book.fault(format!("{:?}: a torn notification", received.recipients));
        }
    } else {
        received.recipients.iter().for_each(|to| book.came(to, &received.text));
    }
}

/// Takes what lies in Maildirs: in `folder`, or in the folders in it.
pub(super) fn empty_maildirs(book: &Book, folder: &Path) {
    for maildir in fs::read_dir(folder).into_iter().flatten().flatten() {
        empty_maildir(book, &maildir.path());
    }
}

pub(super) fn empty_maildir(book: &Book, maildir: &Path) {
    let new: PathBuf = maildir.join("new");
    for entry in fs::read_dir(new).into_iter().flatten().flatten() {
        let text = fs::read(entry.path()).unwrap();
        fs::remove_file(entry.path()).unwrap();
        let head = String::from_utf8_lossy(&text[..text.len().min(2000)]).into_owned();
        match head.lines().find_map(|line| line.strip_prefix("Delivered-To: ")) {
            Some(address) => book.came(address.trim(), &text),
            None => book.fault(format!("{}: no Delivered-To: {head}", entry.path().display())),
        }
    }
}
