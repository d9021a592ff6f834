//! One connection of the server, from its greeting to its end.

use std::io::{self, BufRead, BufReader, Write};
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::thread;
use std::time::Duration;

use rustls::ServerConfig;

use super::stream::Stream;
use super::{Act, Notes, Received, Script, tls};

/// Between the octets of a drip.
const DRIP: Duration = Duration::from_millis(50);

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Dialect {
    Smtp,
    Lmtp,
}

const WITH_TLS: &str = "250-sink.example\r\n250-STARTTLS\r\n250 PIPELINING";
const EXTENSIONS: &str = "250-sink.example\r\n250-PIPELINING\r\n250-8BITMIME\r\n250-SMTPUTF8\r\n250-ENHANCEDSTATUSCODES\r\n250 DSN";

pub(super) struct Session<'a> {
    number: usize,
    stream: BufReader<Stream>,
    dialect: Dialect,
    /// What it has for TLS, as long as the connection is not encrypted.
    tls: Option<Arc<ServerConfig>>,
    notes: &'a Notes,
    sender: String,
    recipients: Vec<String>,
    /// Those for whom a text was taken, and that is not said yet.
    untold: Vec<String>,
}

/// The connection is over.
struct Over;

impl From<io::Error> for Over {
    fn from(_: io::Error) -> Self {
        Self
    }
}

impl<'a> Session<'a> {
    pub(super) fn new(
        number: usize,
        stream: Stream,
        dialect: Dialect,
        tls: Option<Arc<ServerConfig>>,
        notes: &'a Notes,
    ) -> Self {
        let stream = BufReader::new(stream);
        Self {
            number,
            stream,
            dialect,
            tls,
            notes,
            sender: String::new(),
            recipients: Vec::new(),
            untold: Vec::new(),
        }
    }

    pub(super) fn run(mut self, script: &impl Script) {
        let _over = self.live(script);
        // Before the client can know that it is over.
        self.notes.unheard.lock().unwrap().append(&mut self.untold);
        self.stream.get_ref().shut_down();
    }

    fn live(&mut self, script: &impl Script) -> Result<(), Over> {
        self.act(script(self.number, ""), "220 sink.example ESMTP")?;
        loop {
            let line = self.line()?;
            self.notes.lines.lock().unwrap().push((self.number, line.clone()));
            self.command(&line, script)?;
        }
    }

    fn command(&mut self, line: &str, script: &impl Script) -> Result<(), Over> {
        let act = script(self.number, line);
        let verb = line.get(..4).unwrap_or(line).to_ascii_uppercase();
        match verb.as_str() {
            "EHLO" | "LHLO" if self.tls.is_some() => self.act(act, WITH_TLS)?,
            "EHLO" | "LHLO" => self.act(act, EXTENSIONS)?,
            "STAR" if self.tls.is_some() => return self.starttls(act, script),
            "MAIL" => {
                self.sender = line.get(10..).unwrap_or_default().to_owned();
                self.recipients.clear();
                self.act(act, "250 2.1.0 sender")?
            }
            "RCPT" => self.recipient(line, act)?,
            "DATA" => return self.data(act, script),
            "RSET" | "NOOP" => self.act(act, "250 2.0.0 done")?,
            "QUIT" => {
                self.act(act, "221 2.0.0 bye")?;
                if matches!(self.stream.get_ref(), Stream::Tls(_)) && tls::ends_politely(&mut self.stream) {
                    self.notes.polite.lock().unwrap().push(self.number);
                }
                return Err(Over);
            }
            _ => self.act(act, "500 5.5.2 what?")?,
        };
        Ok(())
    }

    fn starttls(&mut self, act: Act, script: &impl Script) -> Result<(), Over> {
        if !self.act(act, "220 2.0.0 go ahead")?.starts_with("220") {
            return Ok(());
        }
        match script(self.number, "HANDSHAKE") {
            Act::Usual => {}
            act => {
                // What came before the client has begun would be no part of the handshake.
                self.stream.fill_buf()?;
                self.act(act, "")?;
                return Err(Over);
            }
        }
        let (Some(tls), Stream::Tcp(stream)) = (self.tls.take(), self.stream.get_ref().try_clone()?) else {
            return Err(Over);
        };
        let (stream, seen) = tls::accept(self.number, &tls, stream)?;
        self.notes.handshakes.lock().unwrap().push(seen);
        self.stream = BufReader::new(Stream::Tls(Box::new(stream)));
        Ok(())
    }

    fn recipient(&mut self, line: &str, act: Act) -> Result<String, Over> {
        let path = line.get(8..).and_then(|rest| rest.split_inclusive('>').next()).unwrap_or_default();
        let path = path.to_owned();
        let said = self.act(act, "250 2.1.5 recipient")?;
        if said.starts_with('2') {
            self.recipients.push(path);
        }
        Ok(said)
    }

    fn data(&mut self, act: Act, script: &impl Script) -> Result<(), Over> {
        let usual = if self.recipients.is_empty() { "503 5.5.1 nobody" } else { "354 go on" };
        if !self.act(act, usual)?.starts_with('3') {
            return Ok(());
        }
        let wire = self.wire()?;
        let mut recipients = std::mem::take(&mut self.recipients);
        match self.dialect {
            Dialect::Smtp => {
                let act = script(self.number, ".");
                // What it says is known before the client can be told.
                let taken = self.would_say(&act, "250 2.0.0 taken").starts_with('2');
                self.note(if taken { recipients } else { Vec::new() }, wire);
                self.act(act, "250 2.0.0 taken")?;
                self.untold.clear();
            }
            Dialect::Lmtp => {
                let acts: Vec<Act> =
                    recipients.iter().map(|path| script(self.number, &format!(". {path}"))).collect();
                let mut decisions = acts.iter();
                recipients.retain(|_| {
                    let act = decisions.next().expect("one for each");
                    self.would_say(act, "250 2.0.0 taken").starts_with('2')
                });
                self.note(recipients, wire);
                for act in acts {
                    if self.act(act, "250 2.0.0 taken")?.starts_with('2') {
                        self.untold.remove(0);
                    }
                }
            }
        }
        Ok(())
    }

    fn note(&mut self, recipients: Vec<String>, wire: Vec<u8>) {
        if !recipients.is_empty() {
            self.untold.clone_from(&recipients);
            let (sender, text) = (self.sender.clone(), unstuffed(&wire));
            let received = Received { connection: self.number, sender, recipients, text, wire };
            self.notes.received.lock().unwrap().push(received);
        }
    }

    fn would_say(&self, act: &Act, usual: &str) -> String {
        match act {
            Act::Usual => usual.to_owned(),
            Act::Say(text) => text.clone(),
            Act::Raw(octets) => String::from_utf8_lossy(octets).into_owned(),
            Act::Close | Act::Silence | Act::Forever(_) | Act::Drip | Act::Deaf => String::new(),
        }
    }

    /// Does it; returns what was said.
    fn act(&mut self, act: Act, usual: &str) -> Result<String, Over> {
        let said = self.would_say(&act, usual);
        match act {
            Act::Usual | Act::Say(_) => self.stream.get_mut().write_all(format!("{said}\r\n").as_bytes())?,
            Act::Close => return Err(Over),
            Act::Silence => {
                io::copy(&mut self.stream, &mut io::sink())?;
                return Err(Over);
            }
            Act::Raw(octets) => self.stream.get_mut().write_all(&octets)?,
            Act::Forever(octets) => loop {
                self.stream.get_mut().write_all(octets)?;
            },
            Act::Drip => loop {
                self.stream.get_mut().write_all(b"2")?;
                thread::sleep(DRIP);
            },
            Act::Deaf => {
                self.stream.get_mut().write_all(format!("{usual}\r\n").as_bytes())?;
                while !self.notes.stopped.load(Ordering::SeqCst) {
                    thread::sleep(DRIP);
                }
                return Err(Over);
            }
        }
        Ok(said)
    }

    fn line(&mut self) -> Result<String, Over> {
        let line = self.octets()?;
        Ok(String::from_utf8_lossy(line.strip_suffix(b"\r\n").unwrap_or(&line)).into_owned())
    }

    fn octets(&mut self) -> Result<Vec<u8>, Over> {
        let mut line = Vec::new();
        self.stream.read_until(b'\n', &mut line)?;
        if line.ends_with(b"\n") { Ok(line) } else { Err(Over) }
    }

    /// Up to the dot, and with it; only CRLF ends a line.
    fn wire(&mut self) -> Result<Vec<u8>, Over> {
        let mut wire: Vec<u8> = Vec::new();
        loop {
            let line = self.octets()?;
            let begins = wire.is_empty() || wire.ends_with(b"\r\n");
            wire.extend_from_slice(&line);
            if begins && line == b".\r\n" {
                return Ok(wire);
            }
        }
    }
}

/// What a text stands for that came over the wire (RFC 5321 section 4.5.2).
fn unstuffed(wire: &[u8]) -> Vec<u8> {
    let mut text = Vec::with_capacity(wire.len());
    for line in wire.strip_suffix(b".\r\n").unwrap_or(wire).split_inclusive(|&octet| octet == b'\n') {
        let begins = text.is_empty() || text.ends_with(b"\r\n");
        text.extend_from_slice(line.strip_prefix(b".").filter(|_| begins).unwrap_or(line));
    }
    text
}
