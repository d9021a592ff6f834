//! The resolver: the process that turns names of hosts into addresses, because what the system has for that
//! opens files and sockets as it pleases, and makes its caller wait.
//!
//! Decides which failures of a lookup are final. Trusts the system's own resolver (`nsswitch.conf`,
//! `resolv.conf`, `/etc/hosts`). Guarantees that smapd never waits for it, and that no more questions wait in
//! it than threads and a short queue hold. A question may take as long as the system's resolver does; whoever
//! asks has a clock of its own.

use std::io;
use std::net::IpAddr;
use std::os::fd::{AsFd, BorrowedFd};
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::sync::{Arc, Mutex};
use std::thread;

use dns_lookup::{AddrInfoHints, LookupErrorKind, SockType, getaddrinfo};
use nix::unistd::Pid;
use smap_common::confine;

use crate::helper::{Helper, Link};
use crate::question::MAX_ADDRESSES;

pub use crate::question::{Answer, LookupError, Question};

#[cfg(test)]
mod tests;

/// Lookups at once.
const THREADS: usize = 4;
/// Questions that wait for a thread; more wait in the socket, until that is full.
const QUEUE: usize = 64;

/// smapd's side of the resolver.
#[derive(Debug)]
pub struct Resolver(Helper);

impl Resolver {
    /// Forks the resolver. To be called while this process has one thread and its user is the one that it keeps.
    ///
    /// # Errors
    /// The kernel has no process or no sockets for us.
    pub fn start() -> io::Result<Self> {
        Helper::start(live).map(Self)
    }

    /// Asks.
    ///
    /// # Errors
    /// `InvalidInput`: the name is too long for a name. `WouldBlock`: as many questions wait as there may; ask
    /// again after the next answer. Others: the resolver is gone.
    pub fn ask(&self, question: &Question) -> io::Result<()> {
        let packet = question.encode();
        if Question::decode(&packet).is_none() {
            return Err(io::ErrorKind::InvalidInput.into());
        }
        self.0.link.send(&packet, None)
    }

    /// Adds the answers that are there to `answers`; does not wait.
    ///
    /// # Errors
    /// The resolver is gone, after what was added: what it was asked and did not answer will never be answered.
    pub fn answers(&self, answers: &mut Vec<Answer>) -> io::Result<()> {
        loop {
            match self.0.link.receive() {
                Ok(Some(parcel)) => {
                    answers.push(Answer::decode(&parcel.packet).ok_or(io::ErrorKind::InvalidData)?);
                }
                Ok(None) => return Err(io::Error::new(io::ErrorKind::UnexpectedEof, "the resolver is gone")),
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Ok(()),
                Err(error) => return Err(error),
            }
        }
    }

    /// The resolver's process: a child of this one.
    #[must_use]
    pub fn pid(&self) -> Pid {
        self.0.pid
    }
}

impl AsFd for Resolver {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.0.link.as_fd()
    }
}

/// The life of the resolver: give each question to a thread, until smapd is gone.
fn live(link: Link) {
    if confine::confine_resolver().is_err() {
        return;
    }
    let link = Arc::new(link);
    let (queue, questions) = sync_channel(QUEUE);
    let questions = Arc::new(Mutex::new(questions));
    for _ in 0..THREADS {
        let (link, questions) = (Arc::clone(&link), Arc::clone(&questions));
        if thread::Builder::new().spawn(move || work(&link, &questions)).is_err() {
            return;
        }
    }
    take_questions(&link, &queue);
}

fn take_questions(link: &Link, queue: &SyncSender<Question>) {
    while let Ok(Some(parcel)) = link.receive() {
        let Some(question) = Question::decode(&parcel.packet) else { return };
        if queue.send(question).is_err() {
            return;
        }
    }
}

fn work(link: &Link, questions: &Mutex<Receiver<Question>>) {
    loop {
        let next = questions.lock().map(|questions| questions.recv());
        let Ok(Ok(Question::Addresses { id, host })) = next else { return };
        let answer = Answer::Addresses { id, result: addresses(&host) };
        if link.send(&answer.encode(), None).is_err() {
            return;
        }
    }
}

/// The addresses of a host in the order of RFC 6724, whether or not this machine has a route to them: that is
/// found out by trying, and is temporary.
fn addresses(host: &str) -> Result<Vec<IpAddr>, LookupError> {
    let hints = AddrInfoHints { socktype: SockType::Stream.into(), ..AddrInfoHints::default() };
    let found = getaddrinfo(Some(host), None, Some(hints)).map_err(|error| judge(error.kind()))?;
    let mut addresses = Vec::new();
    for address in found.flatten().map(|found| found.sockaddr.ip()) {
        if addresses.len() < MAX_ADDRESSES && !addresses.contains(&address) {
            addresses.push(address);
        }
    }
    if addresses.is_empty() { Err(LookupError::NoSuchHost) } else { Ok(addresses) }
}

/// Only what a name server has said is final. `EAI_FAIL` is not: it is also what a broken server leads to.
fn judge(kind: LookupErrorKind) -> LookupError {
    match kind {
        LookupErrorKind::NoName | LookupErrorKind::NoData => LookupError::NoSuchHost,
        LookupErrorKind::Again
        | LookupErrorKind::Badflags
        | LookupErrorKind::Fail
        | LookupErrorKind::Family
        | LookupErrorKind::Socktype
        | LookupErrorKind::Service
        | LookupErrorKind::Memory
        | LookupErrorKind::System
        | LookupErrorKind::Unknown
        | LookupErrorKind::IO => LookupError::Temporary,
    }
}
