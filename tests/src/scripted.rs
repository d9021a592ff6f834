//! A smap-lookup that says what a test tells it to.

use std::io;
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};

use netperm::hosts::ClientName;
use nix::sys::socket::{
    AddressFamily, Backlog, MsgFlags, SockFlag, SockType, UnixAddr, accept4, bind, connect, listen, recv,
    send, socket,
};
use smap_common::lookup::{Answer, Answered, Asked, Failure, Found, MAX_PACKET, Question};

use crate::gateway::chmod;
use crate::uninterrupted;

/// What it does with a question.
#[derive(Debug, Clone)]
pub enum Said {
    /// Sends these, one after the other.
    Packets(Vec<Vec<u8>>),
    /// Says nothing, and stays.
    Nothing,
    /// Closes the connection.
    HangUp,
}

impl Said {
    /// The answer to a question.
    #[must_use]
    pub fn answer(asked: &Asked, answer: Answer) -> Self {
        Self::Packets(vec![Answered { id: asked.id, answer }.encode()])
    }
}

/// It listens until it is dropped.
#[derive(Debug)]
pub struct Scripted {
    path: PathBuf,
    asked: Arc<Mutex<Vec<Question>>>,
    over: Arc<AtomicBool>,
}

impl Scripted {
    /// Listens there, and does with each question what the script says.
    ///
    /// # Panics
    /// Something else is there.
    pub fn start(path: &Path, script: impl Fn(&Asked) -> Said + Send + Sync + 'static) -> Self {
        let listener = packets();
        bind(listener.as_raw_fd(), &UnixAddr::new(path).unwrap()).expect("nothing is there");
        chmod(path, 0o666);
        listen(&listener, Backlog::new(128).unwrap()).unwrap();
        let (asked, over) = (Arc::default(), Arc::default());
        let started = Self { path: path.to_owned(), asked: Arc::clone(&asked), over: Arc::clone(&over) };
        let script = Arc::new(script);
        std::thread::spawn(move || {
            while let Ok(client) = accepted(&listener) {
                if over.load(Ordering::Relaxed) {
                    return;
                }
                let (asked, script) = (Arc::clone(&asked), Arc::clone(&script));
                std::thread::spawn(move || serve(&client, &asked, &*script));
            }
        });
        started
    }

    /// One to which every client has this name.
    ///
    /// # Panics
    /// Something else is there.
    #[must_use]
    pub fn naming(path: &Path, name: ClientName) -> Self {
        Self::start(path, move |asked| Said::answer(asked, names(&name)))
    }

    /// What it was asked so far.
    ///
    /// # Panics
    /// Never, but for another test that panicked here.
    #[must_use]
    pub fn asked(&self) -> Vec<Question> {
        self.asked.lock().unwrap().clone()
    }
}

impl Drop for Scripted {
    fn drop(&mut self) {
        self.over.store(true, Ordering::Relaxed);
        // Its thread wakes up and sees it.
        let _woken = connect(packets().as_raw_fd(), &UnixAddr::new(&self.path).unwrap());
    }
}

/// The answer that a client has this name.
#[must_use]
pub fn names(name: &ClientName) -> Answer {
    Answer::Names(match name {
        ClientName::Known(records) => Ok(Found { records: records.clone(), secure: false, ttl: 300 }),
        ClientName::Unknown => Err(Failure::NoSuchName),
        ClientName::Failed(why) => Err(Failure::Temporary(why.clone())),
        ClientName::NotAsked => Err(Failure::Temporary("nobody asked".to_owned())),
    })
}

fn packets() -> OwnedFd {
    socket(AddressFamily::Unix, SockType::SeqPacket, SockFlag::SOCK_CLOEXEC, None).expect("a socket")
}

#[expect(unsafe_code, reason = "the kernel hands descriptors over as numbers")]
fn accepted(listener: &OwnedFd) -> io::Result<OwnedFd> {
    let raw = uninterrupted(|| Ok(accept4(listener.as_raw_fd(), SockFlag::SOCK_CLOEXEC)?))?;
    // SAFETY: accept4 has just made it, and nobody else knows of it.
    Ok(unsafe { OwnedFd::from_raw_fd(raw) })
}

fn serve(client: &OwnedFd, asked: &Mutex<Vec<Question>>, script: &dyn Fn(&Asked) -> Said) {
    let mut packet = vec![0; MAX_PACKET];
    while let Ok(length @ 1..) =
        uninterrupted(|| Ok(recv(client.as_raw_fd(), &mut packet, MsgFlags::empty())?))
    {
        let question = Asked::decode(&packet[..length]).expect("a question");
        asked.lock().unwrap().push(question.question.clone());
        match script(&question) {
            Said::Nothing => {}
            Said::HangUp => return,
            Said::Packets(packets) => packets.iter().for_each(|packet| {
                let _gone = send(client.as_raw_fd(), packet, MsgFlags::MSG_NOSIGNAL);
            }),
        }
    }
}
