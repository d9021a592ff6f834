//! A client of smap-lookup.

use std::io;
use std::os::fd::{AsRawFd, OwnedFd};
use std::path::Path;
use std::time::Duration;

use nix::sys::socket::{
    AddressFamily, MsgFlags, SockFlag, SockType, UnixAddr, connect, recv, send, setsockopt, socket, sockopt,
};
use nix::sys::time::{TimeVal, TimeValLike};
use smap_common::lookup::{Answer, Answered, Asked, MAX_PACKET, Question};

use crate::uninterrupted;

/// How long an answer may take: more than smap-lookup gives itself.
const PATIENCE: Duration = Duration::from_secs(40);

/// A connection to its socket.
#[derive(Debug)]
pub struct Asker(OwnedFd);

impl Asker {
    /// Connects to smap-lookup.
    ///
    /// # Errors
    /// It does not listen there, or not to us.
    pub fn connect(path: &Path) -> nix::Result<Self> {
        let socket = socket(AddressFamily::Unix, SockType::SeqPacket, SockFlag::SOCK_CLOEXEC, None)?;
        connect(socket.as_raw_fd(), &UnixAddr::new(path)?)?;
        Ok(Self::over(socket))
    }

    /// Over a socket that is connected.
    ///
    /// # Panics
    /// It is none.
    #[must_use]
    pub fn over(socket: OwnedFd) -> Self {
        let patience = TimeVal::seconds(PATIENCE.as_secs().try_into().unwrap());
        setsockopt(&socket, sockopt::ReceiveTimeout, &patience).unwrap();
        Self(socket)
    }

    /// Asks without waiting for the answer.
    ///
    /// # Errors
    /// smap-lookup is gone.
    pub fn send(&self, id: u64, question: Question) -> nix::Result<()> {
        self.send_packet(&Asked { id, question }.encode())
    }

    /// Sends whatever it is.
    ///
    /// # Errors
    /// smap-lookup is gone.
    pub fn send_packet(&self, packet: &[u8]) -> nix::Result<()> {
        send(self.0.as_raw_fd(), packet, MsgFlags::MSG_NOSIGNAL).map(drop)
    }

    /// The next answer; `None` where smap-lookup has hung up.
    ///
    /// # Panics
    /// There is none, or it is no answer.
    #[must_use]
    pub fn next(&self) -> Option<Answered> {
        let mut packet = vec![0; MAX_PACKET];
        let received = uninterrupted(|| {
            recv(self.0.as_raw_fd(), &mut packet, MsgFlags::empty()).map_err(io::Error::from)
        });
        match received {
            Ok(0) => None,
            Ok(length) => Some(Answered::decode(&packet[..length]).expect("an answer")),
            Err(error) if error.kind() == io::ErrorKind::ConnectionReset => None,
            Err(error) => panic!("no answer: {error}"),
        }
    }

    /// The answer to a question; `None` where smap-lookup has hung up.
    #[must_use]
    pub fn next_of(&self, question: Question) -> Option<Answered> {
        self.send(7, question).ok()?;
        self.next()
    }

    /// Asks, and waits for the answer.
    ///
    /// # Panics
    /// There is none.
    #[must_use]
    pub fn ask(&self, question: Question) -> Answer {
        self.send(7, question).expect("it is there");
        let answered = self.next().expect("it is there");
        assert_eq!(answered.id, 7);
        answered.answer
    }
}
