//! Whom the client's name is asked of, and whether recipients exist: one connection to `smap-lookup`.
//!
//! Decides nothing. Trusts `smap-lookup` with its answers and with nothing else: a packet that is not the answer to the
//! question that was asked, whatever else it is, is no answer, and nothing is asked after it. What it takes for
//! this once the process is confined are reads and writes on a descriptor that is open.

use std::io;
use std::net::IpAddr;
use std::os::fd::{AsFd, AsRawFd, OwnedFd};
use std::path::Path;
use std::time::{Duration, Instant};

use netperm::hosts::ClientName;
use netperm::recipients;
use nix::errno::Errno;
use nix::poll::PollFlags;
use nix::sys::socket::{AddressFamily, SockFlag, SockType, UnixAddr, connect, setsockopt, socket, sockopt};
use nix::sys::time::{TimeVal, TimeValLike};
use nix::unistd;
use smap_common::lookup::{Answer, Answered, Asked, Failure, MAX_PACKET, Name, Question};

use crate::stream::await_readiness;

/// A connection to `smap-lookup`.
#[derive(Debug)]
pub struct Asker {
    /// None after an answer that was none.
    socket: Option<OwnedFd>,
    /// Questions so far: the number of the last one.
    asked: u64,
}

impl Asker {
    /// Connects; `patience` is for that, and for the question to be taken. To be called before this process is
    /// confined: afterwards it has no way there.
    ///
    /// # Errors
    /// It does not listen there, not to us, or takes nobody now.
    pub fn connect(path: &Path, patience: Duration) -> io::Result<Self> {
        let socket = socket(AddressFamily::Unix, SockType::SeqPacket, SockFlag::SOCK_CLOEXEC, None)?;
        let most = i64::try_from(patience.as_millis()).unwrap_or(i64::MAX);
        setsockopt(&socket, sockopt::SendTimeout, &TimeVal::milliseconds(most))?;
        let address = UnixAddr::new(path)?;
        loop {
            match connect(socket.as_raw_fd(), &address) {
                Ok(()) => return Ok(Self { socket: Some(socket), asked: 0 }),
                Err(Errno::EINTR) => {}
                Err(Errno::EAGAIN) => return Err(io::ErrorKind::TimedOut.into()),
                Err(errno) => return Err(errno.into()),
            }
        }
    }

    /// The name of a client, waited for at most so long.
    pub fn name_of(&mut self, address: IpAddr, patience: Duration) -> ClientName {
        match self.ask(Question::Names { address }, patience) {
            Ok(Answer::Names(Ok(found))) => known(found.records),
            Ok(Answer::Names(Err(Failure::NoSuchName | Failure::NoRecords))) => ClientName::Unknown,
            Ok(Answer::Names(Err(failure @ Failure::Temporary(_)))) => {
                ClientName::Failed(failure.to_string())
            }
            Ok(_) => failed(&not_an_answer()),
            Err(error) => failed(&error),
        }
    }

    /// Whether a recipient exists, as far as nobody but smap-lookup can tell; waited for at most so long.
    pub fn exists(&mut self, question: &recipients::Question, patience: Duration) -> recipients::Answer {
        let question = match question {
            recipients::Question::Passwd(name) => Question::User { name: name.clone() },
            recipients::Question::CallOut(address) => Question::Recipient { address: address.clone() },
        };
        match self.ask(question, patience) {
            Ok(Answer::User(outcome) | Answer::Recipient(outcome)) => match outcome {
                Ok(_) => recipients::Answer::Yes,
                Err(Failure::NoSuchName | Failure::NoRecords) => recipients::Answer::No,
                Err(failure @ Failure::Temporary(_)) => recipients::Answer::Failed(failure.to_string()),
            },
            Ok(_) => recipients::Answer::Failed(format!("smap-lookup: {}", not_an_answer())),
            Err(error) => recipients::Answer::Failed(format!("smap-lookup: {error}")),
        }
    }

    fn ask(&mut self, question: Question, patience: Duration) -> io::Result<Answer> {
        let answer = self.try_to_ask(question, patience);
        if answer.is_err() {
            // What comes yet would be an answer to this one.
            self.close();
        }
        answer
    }

    fn try_to_ask(&mut self, question: Question, patience: Duration) -> io::Result<Answer> {
        let socket = self.socket.as_ref().ok_or(Errno::ENOTCONN)?;
        let until = Instant::now() + patience;
        self.asked += 1;
        let id = self.asked;
        let asked = Asked { id, question }.encode();
        uninterrupted(|| unistd::write(socket, &asked))?;
        await_readiness(socket.as_fd(), PollFlags::POLLIN, until)?;
        // One octet more than the longest packet: of a longer one the rest is lost, and it is none of ours.
        let mut packet = vec![0; MAX_PACKET + 1];
        let length = uninterrupted(|| unistd::read(socket, &mut packet))?;
        if length == 0 {
            return Err(Errno::ECONNRESET.into());
        }
        let answered = packet.get(..length).and_then(Answered::decode).filter(|answered| answered.id == id);
        answered.map(|answered| answered.answer).ok_or_else(not_an_answer)
    }

    /// A confined process may close a descriptor, and not look whether it is open, as a debug build does.
    fn close(&mut self) {
        if let Some(socket) = self.socket.take() {
            let _nothing_to_do = unistd::close(socket);
        }
    }
}

impl Drop for Asker {
    fn drop(&mut self) {
        self.close();
    }
}

/// Names of hosts as they stand in the DNS: that is ASCII, whatever else a name may be elsewhere.
fn known(names: Vec<Name>) -> ClientName {
    let is_good = |name: &Name| name.as_str().is_ascii() && !name.is_root();
    if !names.is_empty() && names.iter().all(is_good) {
        ClientName::Known(names)
    } else {
        failed(&not_an_answer())
    }
}

fn failed(error: &io::Error) -> ClientName {
    ClientName::Failed(format!("smap-lookup: {error}"))
}

fn not_an_answer() -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, "what it said is no answer")
}

fn uninterrupted<T>(mut call: impl FnMut() -> nix::Result<T>) -> nix::Result<T> {
    loop {
        match call() {
            Err(Errno::EINTR) => {}
            result => return result,
        }
    }
}
