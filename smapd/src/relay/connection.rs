//! One connection: the thin file around the client session.

use std::io::{self, Read, Write};
use std::time::{Duration, Instant};

use smap_common::smtp::client::{Action, Dialect, Encryption, Input, Session, Trouble, Verdict};

use super::Errand;
use super::fit::fit;
use super::socket::{Socket, Target};
use crate::content::Reader;
use crate::delivery::Teller;

/// How long a connection may take to be made.
const CONNECT_PATIENCE: Duration = Duration::from_secs(30);
/// How long a connection is kept for the next message.
const KEEP_IDLE: Duration = Duration::from_secs(2);

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

#[derive(Debug)]
pub(super) struct Connection {
    pub(super) target: Target,
    dialect: Dialect,
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
}

impl Connection {
    pub(super) fn open(
        target: Target,
        dialect: Dialect,
        hostname: &str,
        timeout: Option<Duration>,
    ) -> io::Result<Self> {
        Ok(Self {
            socket: Socket::connect(&target)?,
            target,
            dialect,
            session: Session::new(dialect, hostname, Encryption::Unasked),
            action: None,
            errand: None,
            text: None,
            timeout,
            deadline: Instant::now() + timeout.unwrap_or(CONNECT_PATIENCE).min(CONNECT_PATIENCE),
            idle_since: None,
            was_ready: false,
            served: 0,
            is_leaving: false,
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

    /// When it has to be looked at, if nothing happens before.
    pub(super) fn due(&self) -> Instant {
        self.idle_since.map_or(self.deadline, |since| since + KEEP_IDLE)
    }

    /// The connection is of no use any more: nothing more is sent, and what is already over stays so.
    pub(super) fn lose(&mut self, trouble: Trouble) {
        self.session.output().clear();
        if !matches!(self.action, Some(Action::Done(_) | Action::Close(_))) {
            self.action = Some(self.session.step(Input::Lost(trouble)));
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
                Some(Action::Handshake) => self.lose(Trouble::Handshake("not asked for".to_owned())),
                Some(Action::Close(trouble)) => return Wish::Close(trouble),
                None => return Wish::Nothing,
            }
        }
    }

    /// Whether everything that the session said is sent.
    fn flush(&mut self) -> io::Result<bool> {
        let output = self.session.output();
        while !output.is_empty() {
            match self.socket.write(output) {
                Ok(0) => return Err(io::ErrorKind::WriteZero.into()),
                Ok(written) => {
                    output.drain(..written);
                }
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Ok(false),
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => {
                    output.clear();
                    return Err(error);
                }
            }
        }
        Ok(true)
    }

    /// Reads what is there; `None` if nothing is, and the wish to read stays.
    fn read(&mut self, buffer: &mut [u8]) -> Option<Action> {
        loop {
            match self.socket.read(buffer) {
                Ok(0) => return Some(self.session.step(Input::Lost(Trouble::Closed))),
                Ok(read) => {
                    let heard = self.session.heard();
                    let action = self.session.step(Input::Received(buffer.get(..read).unwrap_or_default()));
                    if self.session.heard() > heard {
                        self.be_patient();
                    }
                    return Some(action);
                }
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                    self.action = Some(Action::Read);
                    return None;
                }
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(_) => return Some(self.session.step(Input::Lost(Trouble::Closed))),
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
