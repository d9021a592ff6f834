//! A mail server that does as it is told, and writes down what it is given: the envelope, and the exact octets.
//!
//! It speaks SMTP or LMTP on a port of 127.0.0.1 or on a Unix socket. A script is asked before each reply and may
//! have something else said or done; without one everything is taken. With a certificate it offers STARTTLS.

use std::collections::HashMap;
use std::io;
use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream};
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::thread;

use rustls::ServerConfig;

use self::session::{Dialect, Session};
use self::stream::Stream;
pub use self::tls::Handshake;
use crate::eventually;

mod session;
mod stream;
mod tls;

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
    unheard: Mutex<Vec<String>>,
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

    /// The recipients for whom it has taken a text and could not say so before the connection was over; forgets them.
    /// Of what was received before, all of them are known.
    ///
    /// # Panics
    /// Never.
    #[must_use]
    pub fn take_unheard(&self) -> Vec<String> {
        std::mem::take(&mut *self.notes.unheard.lock().unwrap())
    }

    /// Ends all its connections, and takes no more.
    pub fn stop(&self) {
        self.end();
        eventually("nobody works for it any more", || (Arc::strong_count(&self.notes) == 1).then_some(()));
    }

    fn end(&self) {
        if self.notes.stopped.swap(true, Ordering::SeqCst) {
            return;
        }
        // It waits for one more.
        match &self.place {
            Place::Tcp(address) => drop(TcpStream::connect(address)),
            Place::Unix(path) => drop(UnixStream::connect(path)),
        }
        self.notes.open.lock().unwrap().values().for_each(Stream::shut_down);
    }
}

impl Drop for Sink {
    fn drop(&mut self) {
        self.end();
    }
}
