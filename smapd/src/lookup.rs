//! smapd's side of `smap-lookup`: questions that need the network go out, answers come back, and nothing waits.
//!
//! Decides which `smap-lookup` is asked: the one that listens at the socket of the table when smapd starts, or, where
//! nobody does, one of smapd's own. Trusts what it says of names. Guarantees that every question that was taken
//! gets one answer: where a `smap-lookup` that listens goes away, those under way are answered as temporary
//! failures, and it is connected to again. One of smapd's own is not started again: without it smapd ends.

use std::collections::HashMap;
use std::io;
use std::os::fd::{AsFd, AsRawFd};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use mio::unix::SourceFd;
use mio::{Interest, Registry, Token};
use netperm::site::Site;
use nix::sys::socket::{AddressFamily, SockFlag, SockType, UnixAddr, connect, socket, socketpair};
use smap_common::link::Link;
use smap_common::log::Event;
use smap_common::lookup::{Answered, Asked, Failure, Question};

#[cfg(test)]
mod tests;

/// The program, beside this one.
const PROGRAM: &str = "smap-lookup";
/// How long to wait before a `smap-lookup` that went away is looked for again.
const AGAIN: Duration = Duration::from_secs(3);

/// What is asked.
#[derive(Debug)]
pub struct Lookup {
    side: Side,
    /// Questions that were taken and are not answered.
    under_way: HashMap<u64, Question>,
    /// Where the link is watched.
    watch: Option<(Registry, Token)>,
}

#[derive(Debug)]
enum Side {
    /// Ours: it ends with us, and we with it.
    Own(Link),
    /// The one that listens there.
    Listening { path: PathBuf, link: Link },
    /// It does not any more.
    Away { path: PathBuf, since: Instant },
}

impl Lookup {
    /// Connects to the `smap-lookup` of the table, or starts one that reads the same table and logs to the same
    /// place. To be called while this process has the user that it was started as, and one thread.
    ///
    /// # Errors
    /// The program is not there, or the kernel has no process or no sockets for us.
    pub fn start(site: &Site, table: &Path, in_foreground: bool) -> io::Result<Self> {
        let path = &site.lookup.socket;
        match connect_to(path) {
            Ok(link) => Ok(Self::by(Side::Listening { path: path.clone(), link })),
            Err(_) => start_own(table, in_foreground).map(|link| Self::by(Side::Own(link))),
        }
    }

    fn by(side: Side) -> Self {
        Self { side, under_way: HashMap::new(), watch: None }
    }

    /// Has the link watched, this one and every later one.
    ///
    /// # Errors
    /// The system has no room for it.
    pub fn watch(&mut self, registry: Registry, token: Token) -> io::Result<()> {
        self.watch = Some((registry, token));
        self.watch_link()
    }

    fn watch_link(&self) -> io::Result<()> {
        match (&self.side, &self.watch) {
            (Side::Own(link) | Side::Listening { link, .. }, Some((registry, token))) => {
                registry.register(&mut SourceFd(&link.as_fd().as_raw_fd()), *token, Interest::READABLE)
            }
            (Side::Away { .. }, _) | (_, None) => Ok(()),
        }
    }

    /// Asks. The id must be that of no other question under way.
    ///
    /// # Errors
    /// `WouldBlock`: as many questions wait as there may; ask again after the next answer. Others: there is nobody
    /// to ask; of a `smap-lookup` of our own the next [`Self::answers`] says so too.
    pub fn ask(&mut self, id: u64, question: Question) -> io::Result<()> {
        let asked = Asked { id, question };
        match &self.side {
            Side::Own(link) | Side::Listening { link, .. } => link.send(&asked.encode(), None)?,
            Side::Away { .. } => return Err(away()),
        }
        self.under_way.insert(id, asked.question);
        Ok(())
    }

    /// Adds the answers that are there to `answers`; does not wait.
    ///
    /// # Errors
    /// A `smap-lookup` of our own is gone: what it was asked and did not answer will never be answered.
    pub fn answers(&mut self, answers: &mut Vec<Answered>) -> io::Result<()> {
        let (Side::Own(link) | Side::Listening { link, .. }) = &self.side else { return Ok(()) };
        let error = loop {
            match receive(link) {
                Ok(answered) => {
                    if self.under_way.remove(&answered.id).is_some() {
                        answers.push(answered);
                    }
                }
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Ok(()),
                Err(error) => break error,
            }
        };
        match &self.side {
            Side::Own(_) => Err(error),
            Side::Listening { path, .. } | Side::Away { path, .. } => {
                Event::Warning { text: &format_args!("{}: {error}", path.display()) }.log();
                self.side = Side::Away { path: path.clone(), since: Instant::now() };
                answers.extend(self.under_way.drain().map(unanswered));
                Ok(())
            }
        }
    }

    /// When there is something to do if nothing happens.
    #[must_use]
    pub fn next_deadline(&self) -> Option<Instant> {
        match &self.side {
            Side::Away { since, .. } => Some(*since + AGAIN),
            Side::Own(_) | Side::Listening { .. } => None,
        }
    }

    /// Looks again for one that went away.
    pub fn tick(&mut self, now: Instant) {
        let Side::Away { path, since } = &mut self.side else { return };
        if *since + AGAIN > now {
            return;
        }
        *since = now;
        let Ok(link) = connect_to(path) else { return };
        Event::Said { text: &format!("{}: connected again", path.display()) }.log();
        self.side = Side::Listening { path: std::mem::take(path), link };
        if let Err(error) = self.watch_link() {
            Event::Error { text: &format_args!("smap-lookup cannot be watched: {error}") }.log();
        }
    }
}

fn unanswered((id, question): (u64, Question)) -> Answered {
    Answered { id, answer: question.failed(Failure::Temporary(away().to_string())) }
}

fn away() -> io::Error {
    io::Error::new(io::ErrorKind::NotConnected, "smap-lookup is gone")
}

fn receive(link: &Link) -> io::Result<Answered> {
    let parcel = link.receive()?.ok_or_else(away)?;
    Answered::decode(&parcel.packet)
        .ok_or_else(|| io::Error::new(io::ErrorKind::InvalidData, "smap-lookup speaks another version"))
}

fn connect_to(path: &Path) -> io::Result<Link> {
    let flags = SockFlag::SOCK_CLOEXEC | SockFlag::SOCK_NONBLOCK;
    let link = socket(AddressFamily::Unix, SockType::SeqPacket, flags, None)?;
    connect(link.as_raw_fd(), &UnixAddr::new(path)?)?;
    Ok(Link::from(link))
}

/// One of our own, which has one end of a pair as its descriptor 0.
fn start_own(table: &Path, in_foreground: bool) -> io::Result<Link> {
    let flags = SockFlag::SOCK_CLOEXEC | SockFlag::SOCK_NONBLOCK;
    let (ours, theirs) = socketpair(AddressFamily::Unix, SockType::SeqPacket, None, flags)?;
    let program = std::env::current_exe()?.with_file_name(PROGRAM);
    let mut command = Command::new(&program);
    command.arg("--config").arg(table).stdin(theirs).stdout(Stdio::null());
    // Signals to the group of whoever started us are not for it.
    command.process_group(0);
    if in_foreground {
        command.arg("--foreground");
    } else {
        command.stderr(Stdio::null());
    }
    // It is seen to end by its socket; whoever is its parent then reaps it.
    let started = command.spawn();
    started
        .map(drop)
        .map_err(|error| io::Error::new(error.kind(), format!("{}: {error}", program.display())))?;
    Ok(Link::from(ours))
}
