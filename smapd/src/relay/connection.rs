//! One connection: the thin file around the client session.

use std::io::{self, Read, Write};
use std::sync::Arc;
use std::time::{Duration, Instant};

use netperm::transport::Tls;
use smap_common::smtp::client::{Action, Dialect, Encryption, Input, Session, Trouble, Verdict};

use super::Errand;
use super::fit::fit;
use super::socket::{Socket, Target};
use crate::content::Reader;
use crate::delivery::Teller;
use crate::plan::Destination;
use crate::tls::{self, Security};

/// How long a connection may take to be made.
const CONNECT_PATIENCE: Duration = Duration::from_secs(30);
/// How long a connection is kept for the next message.
const KEEP_IDLE: Duration = Duration::from_secs(2);
/// Octets of text that are gathered before they are sent: a message of ordinary size goes out with its end.
const GATHERED: usize = 16 * 1024;

/// What a connection wants of its owner.
#[derive(Debug)]
pub(super) enum Wish {
    /// Nothing until something happens.
    Nothing,
    /// Work.
    Errand,
    /// The errand is done.
    Done(Box<Errand>, Vec<Verdict>),
    /// To be dropped; with what ended it, where that was trouble.
    Close(Option<Trouble>),
}

/// How far the connection is encrypted.
#[derive(Debug)]
enum Progress {
    Plain,
    /// The handshake has begun, and the server was not heard behind it yet: in TLS 1.3 it may refuse us that late.
    Underway,
    Encrypted(Security),
}

#[derive(Debug)]
pub(super) struct Connection {
    pub(super) target: Target,
    dialect: Dialect,
    tls: Arc<tls::Client>,
    /// Whether the server has to prove who it is.
    must_prove: bool,
    progress: Progress,
    socket: Socket,
    session: Session,
    /// What the session wants done; `None` until the connection is made.
    action: Option<Action>,
    errand: Option<Errand>,
    /// The errand's text, as this server is given it.
    text: Option<Reader>,
    timeout: Option<Duration>,
    /// When patience ends.
    pub(super) deadline: Instant,
    /// Since when it has nothing to do.
    pub(super) idle_since: Option<Instant>,
    /// Whether the server was ever ready for a transaction.
    pub(super) was_ready: bool,
    /// Errands that were begun.
    pub(super) served: u32,
    /// Whether it makes room for another.
    pub(super) is_leaving: bool,
    /// Whether it was made by a table that is not in force any more.
    pub(super) is_outdated: bool,
}

impl Connection {
    pub(super) fn open(
        target: Target,
        destination: &Destination,
        hostname: &str,
        encryption: Encryption,
        tls: &Arc<tls::Client>,
    ) -> io::Result<Self> {
        let (dialect, timeout) = (destination.dialect, destination.timeout);
        Ok(Self {
            socket: Socket::connect(&target)?,
            target,
            dialect,
            tls: Arc::clone(tls),
            must_prove: destination.tls == Tls::Verify,
            progress: Progress::Plain,
            session: Session::new(dialect, hostname, encryption),
            action: None,
            errand: None,
            text: None,
            timeout,
            deadline: Instant::now() + timeout.unwrap_or(CONNECT_PATIENCE).min(CONNECT_PATIENCE),
            idle_since: None,
            was_ready: false,
            served: 0,
            is_leaving: false,
            is_outdated: false,
        })
    }

    pub(super) fn socket(&mut self) -> &mut Socket {
        &mut self.socket
    }

    /// Gives it work; only after [`Wish::Errand`].
    pub(super) fn begin(&mut self, errand: Errand, buffer: &mut [u8]) {
        self.idle_since = None;
        self.served += 1;
        self.action = Some(match fit(&errand, self.session.offers(), buffer) {
            Ok((transaction, text)) => {
                self.text = Some(text);
                self.session.step(Input::Begin(transaction))
            }
            Err(verdict) => Action::Done(vec![verdict; errand.numbers.len()]),
        });
        self.errand = Some(errand);
        self.be_patient();
    }

    /// Has it say goodbye; only after [`Wish::Errand`].
    pub(super) fn quit(&mut self) {
        self.idle_since = None;
        self.action = Some(self.session.step(Input::Quit));
        self.be_patient();
    }

    /// Has it say goodbye, because others wait for a connection; only after [`Wish::Errand`].
    pub(super) fn leave(&mut self) {
        self.is_leaving = true;
        self.quit();
    }

    /// Whether it was kept for nothing: the server has closed it meanwhile, or says what it was not asked for.
    pub(super) fn is_stale(&mut self, buffer: &mut [u8]) -> bool {
        if self.idle_since.is_none() {
            return false;
        }
        let is_patient =
            |error: io::Error| matches!(error.kind(), io::ErrorKind::WouldBlock | io::ErrorKind::Interrupted);
        !self.socket.read(buffer).is_err_and(is_patient)
    }

    /// When it has to be looked at, if nothing happens before.
    pub(super) fn due(&self) -> Instant {
        self.idle_since.map_or(self.deadline, |since| since + KEEP_IDLE)
    }

    /// The connection is of no use any more: nothing more is sent, and what is already over stays so.
    pub(super) fn lose(&mut self, trouble: Trouble) {
        let trouble = self.befalling(trouble);
        self.socket.close(false);
        if !matches!(self.action, Some(Action::Done(_) | Action::Close(_))) {
            self.action = Some(self.session.step(Input::Lost(trouble)));
        }
        self.session.output().clear();
    }

    /// What it was encrypted with, if it was.
    pub(super) fn security(&self) -> Option<&Security> {
        match &self.progress {
            Progress::Encrypted(security) => Some(security),
            Progress::Plain | Progress::Underway => None,
        }
    }

    /// Who tells of what was delivered over it (RFC 3461 sections 5.2.1 and 5.2.2): a mail store is the end.
    pub(super) fn teller(&self) -> Teller {
        match self.dialect {
            _ if self.session.offers().dsn => Teller::NextHost,
            Dialect::Lmtp => Teller::Us,
            Dialect::Smtp => Teller::UsOfRelaying,
        }
    }

    fn be_patient(&mut self) {
        self.deadline = Instant::now() + self.timeout.unwrap_or_else(|| self.session.patience());
    }

    /// Goes on as far as it can without waiting.
    pub(super) fn drive(&mut self, buffer: &mut [u8]) -> Wish {
        if self.action.is_none() {
            match self.socket.is_connected() {
                Ok(false) => return Wish::Nothing,
                Ok(true) => {
                    self.action = Some(self.session.proceed());
                    self.be_patient();
                }
                Err(error) => self.lose(Trouble::Unreachable(error.to_string())),
            }
        }
        loop {
            match self.flush() {
                Ok(true) => {}
                Ok(false) => return Wish::Nothing,
                Err(_) => self.lose(Trouble::Closed),
            }
            match self.action.take() {
                Some(Action::Read) => match self.read(buffer) {
                    Some(action) => self.action = Some(action),
                    None => return Wish::Nothing,
                },
                Some(Action::SendText) => {
                    self.action = Some(self.give_text(buffer));
                    self.be_patient();
                }
                Some(Action::Ready) => {
                    self.was_ready = true;
                    self.action = Some(Action::Ready);
                    return Wish::Errand;
                }
                Some(Action::Done(verdicts)) => {
                    self.action = Some(self.session.proceed());
                    self.be_patient();
                    if let Some(errand) = self.errand.take() {
                        return Wish::Done(Box::new(errand), verdicts);
                    }
                }
                // Nobody is only asked for here.
                Some(Action::Probed(_)) => self.action = Some(self.session.proceed()),
                Some(Action::Handshake) => match self.handshake() {
                    Some(action) => self.action = Some(action),
                    None => return Wish::Nothing,
                },
                Some(Action::Close(trouble)) => {
                    self.socket.close(trouble.is_none());
                    return Wish::Close(trouble);
                }
                None => return Wish::Nothing,
            }
        }
    }

    /// Whether everything that the session said is sent, but for what goes out with more text.
    fn flush(&mut self) -> io::Result<bool> {
        let is_text = matches!(self.action, Some(Action::SendText));
        let output = self.session.output();
        if is_text && output.len() < GATHERED {
            return Ok(true);
        }
        while !output.is_empty() {
            match self.socket.write(output) {
                Ok(0) => return Err(io::ErrorKind::WriteZero.into()),
                Ok(written) => {
                    output.drain(..written);
                }
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Ok(false),
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
        match self.socket.flush() {
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => Ok(false),
            flushed => flushed.map(|()| true),
        }
    }

    /// Goes on with the handshake; `None` if it has to wait, and the wish for it stays.
    fn handshake(&mut self) -> Option<Action> {
        if matches!(self.progress, Progress::Plain) {
            self.progress = Progress::Underway;
            self.be_patient();
            let layer = match &self.target {
                Target::Tcp(peer) => self.tls.layer(peer, self.must_prove).map_err(|error| error.to_string()),
                Target::Unix(_) => Err("a socket of this machine has none".to_owned()),
            };
            match layer {
                Ok(layer) => self.socket.encrypt(layer),
                Err(why) => return Some(self.session.step(Input::Lost(Trouble::Handshake(why)))),
            }
        }
        match self.socket.handshake() {
            Ok(true) => {
                self.be_patient();
                Some(self.session.step(Input::Secured))
            }
            Ok(false) => {
                self.action = Some(Action::Handshake);
                None
            }
            Err(error) => Some(self.broken(&error)),
        }
    }

    /// The server has answered.
    fn heard(&mut self) {
        self.be_patient();
        if let (Progress::Underway, Some(layer)) = (&self.progress, self.socket.layer()) {
            self.progress = Progress::Encrypted(layer.security());
        }
    }

    /// The connection is broken.
    fn broken(&mut self, error: &io::Error) -> Action {
        let trouble = match (&self.progress, self.socket.layer(), error.kind()) {
            (_, _, io::ErrorKind::UnexpectedEof) => Trouble::Closed,
            (Progress::Underway, Some(layer), _) => Trouble::Handshake(layer.explain(error)),
            _ => Trouble::Closed,
        };
        let trouble = self.befalling(trouble);
        self.socket.close(false);
        self.session.step(Input::Lost(trouble))
    }

    /// What a trouble means now: whatever ends a handshake is one of the handshake.
    fn befalling(&self, trouble: Trouble) -> Trouble {
        match (&self.progress, trouble) {
            (_, trouble @ Trouble::Handshake(_)) | (Progress::Plain | Progress::Encrypted(_), trouble) => {
                trouble
            }
            (Progress::Underway, trouble) => Trouble::Handshake(trouble.to_string()),
        }
    }

    /// Reads what is there; `None` if nothing is, and the wish to read stays.
    fn read(&mut self, buffer: &mut [u8]) -> Option<Action> {
        loop {
            match self.socket.read(buffer) {
                Ok(0) => return Some(self.broken(&io::ErrorKind::UnexpectedEof.into())),
                Ok(read) => {
                    let heard = self.session.heard();
                    let action = self.session.step(Input::Received(buffer.get(..read).unwrap_or_default()));
                    if self.session.heard() > heard {
                        self.heard();
                    }
                    return Some(action);
                }
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                    self.action = Some(Action::Read);
                    return None;
                }
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Some(self.broken(&error)),
            }
        }
    }

    /// Gives the session the next piece of the text, or its end. A text that cannot be read is not sent in part:
    /// the connection is given up before its end.
    fn give_text(&mut self, buffer: &mut [u8]) -> Action {
        let Some(text) = &mut self.text else { return self.session.step(Input::Lost(Trouble::Closed)) };
        match text.next(buffer) {
            Ok([]) => self.session.step(Input::TextEnd),
            Ok(piece) => self.session.step(Input::Text(piece)),
            Err(error) => self
                .session
                .step(Input::Lost(Trouble::Unreachable(format!("the spool cannot be read: {error}")))),
        }
    }
}
