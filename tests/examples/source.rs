//! `source ADDRESS:PORT SESSIONS EACH SIZE SECONDS MESSAGES TAG RECIPIENT...`: sends messages in parallel sessions, and
//! waits for each reply before it says more. For `tests/bench/peers.py`.
//!
//! So many sessions at a time, each of EACH messages of SIZE octets, none begun after SECONDS, at most so many MESSAGES.
//! TAG begins every Message-Id, the recipients take turns. No more than a few connections wait for their greeting at a
//! time: some servers listen with a backlog of 5. The answer is one line of JSON: how many messages were sent and
//! accepted, what went wrong, and when the first connection was begun and the last 250 read (`CLOCK_MONOTONIC`, in
//! seconds).
#![expect(
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::print_stdout,
    reason = "a tool of the tests stops where it cannot go on, and says what it found"
)]

use std::collections::BTreeSet;
use std::io::{self, BufRead, BufReader, Write};
use std::net::TcpStream;
use std::str::FromStr;
use std::sync::{Condvar, Mutex, MutexGuard};
use std::thread;

use nix::time::{ClockId, clock_gettime};
use serde_json::json;

const USAGE: &str = "source ADDRESS:PORT SESSIONS EACH SIZE SECONDS MESSAGES TAG RECIPIENT...";
const HEAD: &str =
    "From: a@src.example\r\nTo: you\r\nSubject: one of many\r\nDate: Mon, 1 Jan 2024 00:00:00 +0000\r\n";
const LINE: &str = "A line of a message that is sent to see how long that takes, and no more than.\r\n";
const LINE_END: &str = "\r\n";
/// Failures after which it gives up.
const ENOUGH: usize = 50;
/// Connections that wait for the greeting.
const AT_THE_DOOR: usize = 4;

/// What is to be sent.
struct Load {
    target: String,
    each: usize,
    until: f64,
    tag: String,
    /// Of a message, what is the same in all.
    body: String,
    recipients: Vec<String>,
    progress: Mutex<Progress>,
    /// There may be a place.
    at_the_door: Condvar,
}

/// How far it is.
#[derive(Default)]
struct Progress {
    left: usize,
    sent: usize,
    accepted: usize,
    at_the_door: usize,
    failures: Vec<String>,
    last: f64,
}

fn main() {
    let mut arguments = std::env::args().skip(1);
    let mut next = || arguments.next().expect(USAGE);
    let (target, sessions, each, size) = (next(), number(&next()), number(&next()), number::<usize>(&next()));
    let (seconds, left, tag, first) = (number::<f64>(&next()), number(&next()), next(), next());
    let begin = now();
    let load = Load {
        target,
        each,
        until: begin + seconds,
        body: body(size.saturating_sub(head(&tag, 0).len())),
        tag,
        recipients: std::iter::once(first).chain(arguments).collect(),
        progress: Mutex::new(Progress { left, ..Progress::default() }),
        at_the_door: Condvar::new(),
    };
    thread::scope(|scope| {
        for _ in 0..sessions {
            scope.spawn(|| load.send());
        }
    });
    let progress = load.progress();
    let failures: BTreeSet<&String> = progress.failures.iter().collect();
    let answer = json!({
        "sent": progress.sent,
        "accepted": progress.accepted,
        "failures": failures.iter().take(3).collect::<Vec<_>>(),
        "begin": begin,
        "end": progress.last,
    });
    println!("{answer}");
}

fn number<T: FromStr>(argument: &str) -> T {
    argument.parse().ok().expect(USAGE)
}

fn now() -> f64 {
    let time = clock_gettime(ClockId::CLOCK_MONOTONIC).expect("a clock");
    std::time::Duration::from(time).as_secs_f64()
}

impl Load {
    fn progress(&self) -> MutexGuard<'_, Progress> {
        self.progress.lock().expect("no session panics")
    }

    /// One session after the other.
    fn send(&self) {
        while let Some(count) = self.take() {
            let session = Session::begin(&self.target);
            self.progress().at_the_door -= 1;
            self.at_the_door.notify_one();
            if let Err(error) = session.and_then(|session| self.talk(session, count)) {
                self.progress().failures.push(error.to_string());
            }
        }
    }

    /// Waits for a place at the door; says how many messages the next session has.
    fn take(&self) -> Option<usize> {
        let is_full = |progress: &mut Progress| progress.at_the_door >= AT_THE_DOOR;
        let mut progress = self.at_the_door.wait_while(self.progress(), is_full).expect("no session panics");
        let is_open = progress.left > 0 && now() < self.until && progress.failures.len() < ENOUGH;
        let count = self.each.min(progress.left);
        if !is_open {
            // Nor for the others.
            self.at_the_door.notify_one();
            return None;
        }
        progress.left -= count;
        progress.at_the_door += 1;
        Some(count)
    }

    fn talk(&self, mut session: Session, count: usize) -> io::Result<()> {
        session.say("EHLO client.example\r\n", "250")?;
        (0..count).try_for_each(|_| self.message(&mut session))?;
        session.say("QUIT\r\n", "221")
    }

    fn message(&self, session: &mut Session) -> io::Result<()> {
        let number = self.next_number();
        let recipient = &self.recipients[number % self.recipients.len()];
        session.say("MAIL FROM:<a@src.example>\r\n", "250")?;
        session.say(&format!("RCPT TO:<{recipient}>\r\n"), "250")?;
        session.say("DATA\r\n", "354")?;
        session.say(&(head(&self.tag, number) + &self.body), "250")?;
        let mut progress = self.progress();
        progress.accepted += 1;
        progress.last = now();
        Ok(())
    }

    fn next_number(&self) -> usize {
        let mut progress = self.progress();
        progress.sent += 1;
        progress.sent
    }
}

fn head(tag: &str, number: usize) -> String {
    format!("{HEAD}Message-Id: <{tag}.{number:08}@src.example>\r\n\r\n")
}

/// So many octets, and the dot.
fn body(octets: usize) -> String {
    let lines = octets.saturating_sub(LINE_END.len()) / LINE.len();
    let rest = octets.saturating_sub(lines * LINE.len() + LINE_END.len());
    LINE.repeat(lines) + &"x".repeat(rest) + LINE_END + ".\r\n"
}

/// A connection.
struct Session {
    input: BufReader<TcpStream>,
    reply: Vec<u8>,
}

impl Session {
    fn begin(target: &str) -> io::Result<Self> {
        let client = TcpStream::connect(target)?;
        client.set_nodelay(true)?;
        let mut session = Self { input: BufReader::new(client), reply: Vec::new() };
        session.await_reply("220")?;
        Ok(session)
    }

    fn say(&mut self, text: &str, wanted: &str) -> io::Result<()> {
        self.input.get_ref().write_all(text.as_bytes())?;
        self.await_reply(wanted)
    }

    fn await_reply(&mut self, wanted: &str) -> io::Result<()> {
        loop {
            self.reply.clear();
            if self.input.read_until(b'\n', &mut self.reply)? == 0 {
                return Err(io::Error::other("it was closed"));
            }
            if !self.reply.starts_with(wanted.as_bytes()) {
                return Err(io::Error::other(String::from_utf8_lossy(&self.reply).trim_end().to_owned()));
            }
            if self.reply.get(3) != Some(&b'-') {
                return Ok(());
            }
        }
    }
}
