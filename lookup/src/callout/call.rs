//! One connection to a next host: the thin file around the client session.

use std::io;

use smap_common::smtp::client::{Action, Dialect, Encryption, Input, Probed, Session, Trouble};
use smap_common::smtp::command::Recipient;
use tokio::net::{TcpStream, UnixStream};

use super::hosts::Target;

/// Octets read at a time.
const BUFFER: usize = 4 * 1024;

enum Stream {
    Tcp(TcpStream),
    Unix(UnixStream),
}

impl Stream {
    async fn connect(target: &Target) -> io::Result<Self> {
        match target {
            Target::Tcp(_, address) => TcpStream::connect(address).await.map(Self::Tcp),
            Target::Unix(path) => UnixStream::connect(path).await.map(Self::Unix),
        }
    }

    async fn read(&self, buffer: &mut [u8]) -> io::Result<usize> {
        loop {
            let read = match self {
                Self::Tcp(stream) => stream.readable().await.and_then(|()| stream.try_read(buffer)),
                Self::Unix(stream) => stream.readable().await.and_then(|()| stream.try_read(buffer)),
            };
            match read {
                Err(error) if is_patient(&error) => {}
                read => return read,
            }
        }
    }

    async fn write(&self, octets: &[u8]) -> io::Result<usize> {
        loop {
            let written = match self {
                Self::Tcp(stream) => stream.writable().await.and_then(|()| stream.try_write(octets)),
                Self::Unix(stream) => stream.writable().await.and_then(|()| stream.try_write(octets)),
            };
            match written {
                Err(error) if is_patient(&error) => {}
                written => return written,
            }
        }
    }
}

fn is_patient(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::WouldBlock | io::ErrorKind::Interrupted)
}

/// A connection.
pub(super) struct Call {
    stream: Stream,
    session: Session,
    /// What the session wants done.
    action: Action,
}

impl Call {
    /// Connects; `hostname` is our name.
    pub(super) async fn open(target: &Target, dialect: Dialect, hostname: &str) -> io::Result<Self> {
        let stream = Stream::connect(target).await?;
        let session = Session::new(dialect, hostname, Encryption::Unasked);
        Ok(Self { stream, session, action: Action::Read })
    }

    /// Asks for a recipient; may be called again.
    pub(super) async fn ask(&mut self, recipient: Recipient) -> Probed {
        self.run().await;
        if self.action == Action::Ready {
            self.action = self.session.step(Input::Probe(recipient));
            self.run().await;
        }
        match std::mem::replace(&mut self.action, Action::Read) {
            Action::Probed(probed) => {
                self.action = self.session.proceed();
                probed
            }
            Action::Close(trouble) => {
                let why = trouble.as_ref().unwrap_or(&Trouble::Closed).to_string();
                self.action = Action::Close(trouble);
                Probed::Untold { why, elsewhere: true }
            }
            // The session has no text to be sent, and no encryption.
            Action::Read | Action::Ready | Action::SendText | Action::Handshake | Action::Done(_) => {
                self.action = self.session.step(Input::Lost(Trouble::OutOfStep));
                Probed::Untold { why: Trouble::OutOfStep.to_string(), elsewhere: true }
            }
        }
    }

    /// Says goodbye.
    pub(super) async fn quit(mut self) {
        self.run().await;
        if self.action == Action::Ready {
            self.action = self.session.step(Input::Quit);
            self.run().await;
        }
    }

    /// Goes on until the session wants more than to talk.
    async fn run(&mut self) {
        let mut buffer = vec![0; BUFFER];
        loop {
            if self.flush().await.is_err() {
                self.action = self.session.step(Input::Lost(Trouble::Closed));
            }
            if self.action != Action::Read {
                return;
            }
            self.action = match self.stream.read(&mut buffer).await {
                Ok(length @ 1..) => {
                    self.session.step(Input::Received(buffer.get(..length).unwrap_or_default()))
                }
                Ok(0) | Err(_) => self.session.step(Input::Lost(Trouble::Closed)),
            };
        }
    }

    async fn flush(&mut self) -> io::Result<()> {
        while !self.session.output().is_empty() {
            let written = self.stream.write(self.session.output()).await?;
            self.session.output().drain(..written);
        }
        Ok(())
    }
}
