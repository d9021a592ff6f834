//! The operator's socket: `control/socket` in the spool, mode 0600.
//!
//! Decides who may give orders: root and smapd's own user, by what the kernel says of the other end when it connects.
//! Trusts nothing else of it. Guarantees that nobody who connects makes smapd wait, that few may at a time, and
//! that who neither speaks nor reads for a while is cut off. What an order does is the engine's business.
//!
//! # The protocol
//!
//! Packets (`SOCK_SEQPACKET`) of 96 KB at most. The operator sends a request and reads replies until one that is
//! `done` or `refused`; then it may send another. A number is 8 octets, the lowest first; octets stand behind
//! their length; an id is 22 octets.
//!
//! ```text
//! request:  version=1  verb  text  whom
//!           verb: 1 hold  2 release  3 retry  4 delete  5 bounce (text: what the sender is told; else empty)
//!           whom: 0 (all) | 1 domain | 2 count id...
//! reply:    version=1  1 (effects)  count (id effect)...
//!                      effect: 0 done  1 after the attempt  2 under way  3 held  4 not held  5 unknown  6 failed text
//!           version=1  2 (done)
//!           version=1  3 (refused)  0 not understood | 1 not permitted | 2 busy
//! ```
//!
//! An order that was taken is carried out to its end, whether whoever gave it is still there or not.

use std::io;
use std::os::fd::{AsFd, AsRawFd, OwnedFd};
use std::os::unix::fs::PermissionsExt;
use std::os::unix::net::UnixListener;
use std::path::PathBuf;
use std::time::{Duration, Instant};

use mio::unix::SourceFd;
use mio::{Interest, Registry, Token};
use nix::errno::Errno;
use nix::fcntl::AT_FDCWD;
use nix::sys::socket::sockopt::PeerCredentials;
use nix::sys::socket::{
    AddressFamily, Backlog, SockFlag, SockType, UnixAddr, bind, getsockopt, listen, socket,
};
use nix::unistd::{UnlinkatFlags, geteuid, unlinkat};
use slab::Slab;
use smap_common::helper::set_nonblocking;
use smap_common::link::Link;
use smap_common::log::Event;
use smap_common::spool::Layout;

mod operator;
mod packet;

pub use operator::{Operator, OrderError};
pub(crate) use packet::MAX_EFFECTS;
pub use packet::{Effect, MAX_IDS, MAX_TEXT, Refusal, Reply, Request, Verb, Whom};

/// Operators that are there at a time.
pub(crate) const MAX_CLIENTS: usize = 8;
/// How long one may say nothing, or not read what it is told.
const PATIENCE: Duration = Duration::from_secs(10);

/// The socket, and who is connected to it.
#[derive(Debug)]
pub struct Control {
    listener: UnixListener,
    path: PathBuf,
    clients: Slab<Client>,
    last_number: u64,
}

/// One end of a connection.
#[derive(Debug)]
struct Client {
    link: Link,
    uid: u32,
    /// No other has it, ever.
    number: u64,
    /// An order of its is being carried out: no other is read.
    busy: bool,
    /// What it has not taken yet.
    unsent: Option<Vec<u8>>,
    /// When it is cut off.
    deadline: Option<Instant>,
}

/// Who gave an order. It may be gone by now.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Caller {
    key: usize,
    number: u64,
    /// Its user.
    pub(crate) uid: u32,
}

impl Control {
    /// Listens. To be called as the user that smapd keeps, while it holds the lock of the spool: whatever lies at the
    /// socket's place is nobody's then.
    ///
    /// # Errors
    /// The folder is missing, or the path is too long for a socket.
    pub fn listen(layout: &Layout) -> io::Result<Self> {
        let path = layout.socket();
        match unlinkat(AT_FDCWD, &path, UnlinkatFlags::NoRemoveDir) {
            Ok(()) | Err(Errno::ENOENT) => {}
            Err(errno) => return Err(errno.into()),
        }
        let flags = SockFlag::SOCK_CLOEXEC | SockFlag::SOCK_NONBLOCK;
        let socket = socket(AddressFamily::Unix, SockType::SeqPacket, flags, None)?;
        bind(socket.as_raw_fd(), &UnixAddr::new(&path)?)?;
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o600))?;
        listen(&socket, Backlog::new(16)?)?;
        Ok(Self { listener: socket.into(), path, clients: Slab::new(), last_number: 0 })
    }

    /// Has the loop told when somebody connects.
    ///
    /// # Errors
    /// The system has no room.
    pub(crate) fn register(&self, registry: &Registry, token: Token) -> io::Result<()> {
        registry.register(&mut SourceFd(&self.listener.as_raw_fd()), token, Interest::READABLE)
    }

    /// Takes everyone who has connected; their tokens begin at `first`.
    pub(crate) fn accept(&mut self, registry: &Registry, first: usize, now: Instant) {
        while let Ok((stream, _)) = self.listener.accept() {
            if let Err(error) = self.admit(OwnedFd::from(stream), registry, first, now) {
                Event::Warning { text: &format_args!("an operator cannot be served: {error}") }.log();
            }
        }
    }

    fn admit(&mut self, socket: OwnedFd, registry: &Registry, first: usize, now: Instant) -> io::Result<()> {
        set_nonblocking(socket.as_fd())?;
        let uid = getsockopt(&socket, PeerCredentials)?.uid();
        let link = Link::from(socket);
        if uid != 0 && uid != geteuid().as_raw() {
            Event::Warning { text: &format_args!("uid {uid} may not give orders") }.log();
            return link.send(&Reply::Refused(Refusal::NotPermitted).encode(), None);
        }
        if self.clients.len() >= MAX_CLIENTS {
            return link.send(&Reply::Refused(Refusal::Busy).encode(), None);
        }
        let entry = self.clients.vacant_entry();
        let token = Token(first + entry.key());
        let interests = Interest::READABLE | Interest::WRITABLE;
        registry.register(&mut SourceFd(&link.as_fd().as_raw_fd()), token, interests)?;
        self.last_number += 1;
        let deadline = Some(now + PATIENCE);
        entry.insert(Client { link, uid, number: self.last_number, busy: false, unsent: None, deadline });
        Ok(())
    }

    /// Something happened at this client: what it has ordered, if it has.
    pub(crate) fn ready(&mut self, key: usize, now: Instant) -> Option<(Caller, Request)> {
        let client = self.clients.get_mut(key)?;
        if client.flush(now).is_err() {
            self.clients.remove(key);
            return None;
        }
        if client.busy || client.unsent.is_some() {
            return None;
        }
        let parcel = match client.link.receive() {
            Ok(Some(parcel)) => parcel,
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => return None,
            Ok(None) | Err(_) => {
                self.clients.remove(key);
                return None;
            }
        };
        let caller = Caller { key, number: client.number, uid: client.uid };
        match Request::decode(&parcel.packet) {
            Some(request) => {
                (client.busy, client.deadline) = (true, None);
                Some((caller, request))
            }
            None => {
                // Whoever speaks another language is told so, and not listened to any longer.
                let _gone = client.link.send(&Reply::Refused(Refusal::NotUnderstood).encode(), None);
                self.clients.remove(key);
                None
            }
        }
    }

    /// Whether it takes what it was told before: nobody else waits for it if it does not. Who is gone takes anything.
    pub(crate) fn can_take(&self, caller: Caller) -> bool {
        self.client(caller).is_none_or(|client| client.unsent.is_none())
    }

    /// Tells it.
    pub(crate) fn tell(&mut self, caller: Caller, reply: &Reply, now: Instant) {
        if self.client(caller).is_none() {
            return;
        }
        let Some(client) = self.clients.get_mut(caller.key) else { return };
        client.unsent = Some(reply.encode());
        if *reply == Reply::Done {
            (client.busy, client.deadline) = (false, Some(now + PATIENCE));
        }
        if client.flush(now).is_err() {
            self.clients.remove(caller.key);
        }
    }

    /// The token's number of a client, to ask for its next order.
    pub(crate) fn key(caller: Caller) -> usize {
        caller.key
    }

    fn client(&self, caller: Caller) -> Option<&Client> {
        self.clients.get(caller.key).filter(|client| client.number == caller.number)
    }

    /// When the next client is cut off.
    pub(crate) fn deadline(&self) -> Option<Instant> {
        self.clients.iter().filter_map(|(_, client)| client.deadline).min()
    }

    /// Cuts off who takes too long.
    pub(crate) fn tick(&mut self, now: Instant) {
        self.clients.retain(|_, client| client.deadline.is_none_or(|deadline| deadline > now));
    }

    /// Whoever comes from now on sees at once that nobody listens.
    pub(crate) fn close(self) {
        // One that stays is replaced by the next smapd.
        let _stays = unlinkat(AT_FDCWD, &self.path, UnlinkatFlags::NoRemoveDir);
    }
}

impl Client {
    /// Sends what it has not taken yet, as far as it takes it.
    fn flush(&mut self, now: Instant) -> io::Result<()> {
        let Some(packet) = &self.unsent else { return Ok(()) };
        match self.link.send(packet, None) {
            Ok(()) => {
                self.unsent = None;
                self.deadline = (!self.busy).then(|| now + PATIENCE);
                Ok(())
            }
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                self.deadline.get_or_insert(now + PATIENCE);
                Ok(())
            }
            Err(error) => Err(error),
        }
    }
}
