//! A mail server that does as it is told, and writes down what it is given: the envelope, and the exact octets.
//!
//! It speaks SMTP or LMTP on a port of 127.0.0.1 or on a Unix socket. A script is asked before each reply and may
//! have something else said or done; without one everything is taken. With a certificate it offers STARTTLS.

use std::collections::HashMap;
use std::io::{self, BufRead, BufReader, Write};
use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream};
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::Duration;

use rustls::ServerConfig;

use self::stream::Stream;
pub use self::tls::Handshake;
use crate::eventually;

mod stream;
mod tls;

/// Between the octets of a drip.
const DRIP: Duration = Duration::from_millis(50);

/// What the server does.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Act {
    /// What a good server does.
    Usual,
    /// It says this line, or these.
    Say(String),
    /// It closes the connection.
    Close,
    /// It says nothing, and goes on listening to what it does not answer.
    Silence,
    /// It says exactly these octets.
    Raw(Vec<u8>),
    /// It says these octets again and again.
    Forever(&'static [u8]),
    /// It begins a reply that has no end, one octet at a time.
    Drip,
    /// It says what a good server says, and does not read any more.
    Deaf,
}

impl Act {
    /// It says this.
    #[must_use]
    pub fn say(text: &str) -> Self {
        Self::Say(text.to_owned())
    }

    /// It says exactly these octets, of which the first three are a code.
    #[must_use]
    pub fn raw(octets: &[u8]) -> Self {
        Self::Raw(octets.to_owned())
    }
}

/// What a script is asked about: the number of the connection, from 0 on, and what the client said. That is
/// nothing at all for the greeting, `HANDSHAKE` for that of TLS, `.` for a text, and `. <RECIPIENT>` for each recipient of one in LMTP.
pub trait Script: Fn(usize, &str) -> Act + Send + Sync + 'static {}
impl<F: Fn(usize, &str) -> Act + Send + Sync + 'static> Script for F {}

/// A message that was taken.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Received {
    /// On which connection.
    pub connection: usize,
    /// What stood behind `MAIL FROM:`.
    pub sender: String,
    /// The paths of those for whom it was taken.
    pub recipients: Vec<String>,
    /// The text, without the dots that SMTP adds.
    pub text: Vec<u8>,
    /// The same as it came, with its end.
    pub wire: Vec<u8>,
}

/// A running server; it is gone with its connections when this is dropped.
#[derive(Debug)]
pub struct Sink {
    place: Place,
    notes: Arc<Notes>,
}

#[derive(Debug)]
enum Place {
    Tcp(SocketAddr),
    Unix(PathBuf),
}

#[derive(Debug, Default)]
struct Notes {
    received: Mutex<Vec<Received>>,
    lines: Mutex<Vec<(usize, String)>>,
    handshakes: Mutex<Vec<Handshake>>,
    /// Connections whose end the client announced, as TLS has it.
    polite: Mutex<Vec<usize>>,
    connections: AtomicUsize,
    open: Mutex<HashMap<usize, Stream>>,
    stopped: AtomicBool,
}

impl Sink {
    /// An SMTP server that takes everything.
    #[must_use]
    pub fn start() -> Self {
        Self::scripted(|_, _| Act::Usual)
    }

    /// An SMTP server with a script.
    #[must_use]
    pub fn scripted(script: impl Script) -> Self {
        Self::on(0, script)
    }

    /// The same on this port.
    ///
    /// # Panics
    /// The port is taken.
    #[must_use]
    pub fn on(port: u16, script: impl Script) -> Self {
        Self::on_tcp(port, Dialect::Smtp, None, script)
    }

    /// An SMTP server with this certificate.
    #[must_use]
    pub fn encrypted(tls: Arc<ServerConfig>, script: impl Script) -> Self {
        Self::on_tcp(0, Dialect::Smtp, Some(tls), script)
    }

    /// An LMTP server on a port.
    #[must_use]
    pub fn lmtp(script: impl Script) -> Self {
        Self::on_tcp(0, Dialect::Lmtp, None, script)
    }

    /// The same on this port.
    ///
    /// # Panics
    /// The port is taken.
    #[must_use]
    pub fn lmtp_on(port: u16, script: impl Script) -> Self {
        Self::on_tcp(port, Dialect::Lmtp, None, script)
    }

    /// An LMTP server on a Unix socket that everyone may connect to.
    ///
    /// # Panics
    /// The socket cannot be made.
    #[must_use]
    pub fn lmtp_at(path: &Path, script: impl Script) -> Self {
        let listener = UnixListener::bind(path).expect("a socket can be made");
        crate::gateway::chmod(path, 0o666);
        let accept = move || listener.accept().map(|(stream, _)| Stream::Unix(stream));
        Self::serve(Place::Unix(path.to_owned()), accept, Dialect::Lmtp, None, script)
    }

    fn on_tcp(port: u16, dialect: Dialect, tls: Option<Arc<ServerConfig>>, script: impl Script) -> Self {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, port)).expect("the port is free");
        let address = listener.local_addr().unwrap();
        let accept = move || listener.accept().map(|(stream, _)| Stream::Tcp(stream));
        Self::serve(Place::Tcp(address), accept, dialect, tls, script)
    }

    fn serve(
        place: Place,
        accept: impl Fn() -> io::Result<Stream> + Send + 'static,
        dialect: Dialect,
        tls: Option<Arc<ServerConfig>>,
        script: impl Script,
    ) -> Self {
        let (notes, script) = (Arc::new(Notes::default()), Arc::new(script));
        let sink = Self { place, notes: Arc::clone(&notes) };
        thread::spawn(move || {
            while let Ok(stream) = accept() {
                if notes.stopped.load(Ordering::SeqCst) {
                    return;
                }
                let number = notes.connections.fetch_add(1, Ordering::SeqCst);
                notes.open.lock().unwrap().insert(number, stream.try_clone().unwrap());
                if notes.stopped.load(Ordering::SeqCst) {
                    return stream.shut_down();
                }
                let (notes, script) = (Arc::clone(&notes), Arc::clone(&script));
                let tls = tls.clone();
                thread::spawn(move || {
                    Session::new(number, stream, dialect, tls, &notes).run(&*script);
                    notes.open.lock().unwrap().remove(&number);
                });
            }
        });
        sink
    }

    /// Its port.
    ///
    /// # Panics
    /// It has none.
    #[must_use]
    pub fn port(&self) -> u16 {
        match &self.place {
            Place::Tcp(address) => address.port(),
            Place::Unix(path) => panic!("{} is no port", path.display()),
        }
    }

    /// What it has taken so far.
    ///
    /// # Panics
    /// Never.
    #[must_use]
    pub fn received(&self) -> Vec<Received> {
        self.notes.received.lock().unwrap().clone()
    }

    /// Forgets what it has taken, and hangs up.
    ///
    /// # Panics
    /// Never.
    pub fn forget(&self) {
        self.notes.received.lock().unwrap().clear();
        self.notes.lines.lock().unwrap().clear();
        self.notes.open.lock().unwrap().drain().for_each(|(_, stream)| stream.shut_down());
    }

    /// Waits until it has taken so many messages.
    #[must_use]
    pub fn wait_for(&self, count: usize) -> Vec<Received> {
        eventually("the messages are there", || {
            let received = self.received();
            (received.len() >= count).then_some(received)
        })
    }

    /// Every line that was said to it outside of texts, with the number of its connection.
    ///
    /// # Panics
    /// Never.
    #[must_use]
    pub fn lines(&self) -> Vec<(usize, String)> {
        self.notes.lines.lock().unwrap().clone()
    }

    /// Every handshake that came about.
    ///
    /// # Panics
    /// Never.
    #[must_use]
    pub fn handshakes(&self) -> Vec<Handshake> {
        self.notes.handshakes.lock().unwrap().clone()
    }

    /// The encrypted connections whose end was announced.
    ///
    /// # Panics
    /// Never.
    #[must_use]
    pub fn polite(&self) -> Vec<usize> {
        self.notes.polite.lock().unwrap().clone()
    }

    /// Connections that were made to it.
    ///
    /// # Panics
    /// Never.
    #[must_use]
    pub fn connections(&self) -> usize {
        self.notes.connections.load(Ordering::SeqCst)
    }

    /// The same as [`Sink::received`], which forgets it: for a server that lives long.
    ///
    /// # Panics
    /// Never.
    #[must_use]
    pub fn take(&self) -> Vec<Received> {
        self.notes.lines.lock().unwrap().clear();
        std::mem::take(&mut *self.notes.received.lock().unwrap())
    }

    /// Ends it with its connections; what it has taken and nobody has asked for.
    #[must_use]
    pub fn stop(self) -> Vec<Received> {
        let notes = Arc::clone(&self.notes);
        drop(self);
        eventually("nobody works for it any more", || (Arc::strong_count(&notes) == 1).then_some(()));
        std::mem::take(&mut *notes.received.lock().unwrap())
    }
}

impl Drop for Sink {
    fn drop(&mut self) {
        self.notes.stopped.store(true, Ordering::SeqCst);
        // It waits for one more.
        match &self.place {
            Place::Tcp(address) => drop(TcpStream::connect(address)),
            Place::Unix(path) => drop(UnixStream::connect(path)),
        }
        self.notes.open.lock().unwrap().values().for_each(Stream::shut_down);
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Dialect {
    Smtp,
    Lmtp,
}

const WITH_TLS: &str = "250-sink.example\r\n250-STARTTLS\r\n250 PIPELINING";
const EXTENSIONS: &str = "250-sink.example\r\n250-PIPELINING\r\n250-8BITMIME\r\n250-SMTPUTF8\r\n250-ENHANCEDSTATUSCODES\r\n250 DSN";

struct Session<'a> {
    number: usize,
    stream: BufReader<Stream>,
    dialect: Dialect,
    /// What it has for TLS, as long as the connection is not encrypted.
    tls: Option<Arc<ServerConfig>>,
    notes: &'a Notes,
    sender: String,
    recipients: Vec<String>,
}

/// The connection is over.
struct Over;

impl From<io::Error> for Over {
    fn from(_: io::Error) -> Self {
        Self
    }
}

impl<'a> Session<'a> {
    fn new(
        number: usize,
        stream: Stream,
        dialect: Dialect,
        tls: Option<Arc<ServerConfig>>,
        notes: &'a Notes,
    ) -> Self {
        let stream = BufReader::new(stream);
        Self { number, stream, dialect, tls, notes, sender: String::new(), recipients: Vec::new() }
    }

    fn run(mut self, script: &impl Script) {
        let _over = self.live(script);
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
                    self.act(act, "250 2.0.0 taken")?;
                }
            }
        }
        Ok(())
    }

    fn note(&self, recipients: Vec<String>, wire: Vec<u8>) {
        if !recipients.is_empty() {
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
