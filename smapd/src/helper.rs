//! Helper processes: what smapd does not do itself, done by processes that it forks at its start.
//!
//! Decides what a helper begins with: its end of one pair of sockets, and nothing else of smapd's. Trusts the
//! other end of that pair, which is this same program, no further than that its packets may be cut short.
//! Guarantees that a packet is one whole message, that either side sees the end of the other, and that no
//! signal sent to the whole group ends a helper: it lives until smapd closes the pair.

use std::io::{self, IoSlice, IoSliceMut};
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, FromRawFd, OwnedFd, RawFd};

use nix::errno::Errno;
use nix::fcntl::{FcntlArg, OFlag, fcntl, open};
use nix::libc;
use nix::sys::signal::{SigHandler, SigSet, Signal, signal};
use nix::sys::socket::{
    AddressFamily, ControlMessage, ControlMessageOwned, MsgFlags, RecvMsg, SockFlag, SockType, recvmsg,
    sendmsg, socketpair,
};
use nix::sys::stat::Mode;
use nix::unistd::{ForkResult, Pid, dup2_stderr, dup2_stdin, dup2_stdout, fork};
use smap_common::exit::Exit;

#[cfg(test)]
mod tests;

/// Octets of the largest packet: a call for a hundred of the longest recipients fits twice, and the kernel's
/// buffer for a socket (208 KB, what it accounts for the packet included) takes it.
pub(crate) const MAX_PACKET: usize = 96 * 1024;

const _: () = assert!(MAX_PACKET * 2 < 208 * 1024);

/// One end of the pair of sockets between smapd and a helper.
#[derive(Debug)]
pub(crate) struct Link(OwnedFd);

/// A packet, and the descriptor that came with it.
#[derive(Debug)]
pub(crate) struct Parcel {
    pub(crate) packet: Vec<u8>,
    pub(crate) descriptor: Option<OwnedFd>,
}

/// What smapd holds of a helper: a link that never makes it wait.
#[derive(Debug)]
pub(crate) struct Helper {
    pub(crate) link: Link,
    pub(crate) pid: Pid,
}

impl Helper {
    /// Forks a process that lives `life` and ends with it. To be called while this process has one thread.
    pub(crate) fn start(life: impl FnOnce(Link)) -> io::Result<Self> {
        let (ours, theirs) =
            socketpair(AddressFamily::Unix, SockType::SeqPacket, None, SockFlag::SOCK_CLOEXEC)?;
        set_nonblocking(ours.as_fd())?;
        match fork_helper()? {
            ForkResult::Parent { child } => Ok(Self { link: Link(ours), pid: child }),
            ForkResult::Child => {
                let exit = match begin(theirs.as_fd()) {
                    Ok(()) => {
                        life(Link(theirs));
                        Exit::Ok
                    }
                    Err(_) => Exit::TempFail,
                };
                std::process::exit(exit.code().into())
            }
        }
    }
}

/// Descriptors, signals: nothing of smapd's stays.
fn begin(link: BorrowedFd<'_>) -> io::Result<()> {
    nothing_to_read_or_write()?;
    close_all_but(link)?;
    let deaf_to: SigSet = [Signal::SIGTERM, Signal::SIGINT, Signal::SIGHUP].into_iter().collect();
    deaf_to.thread_set_mask()?;
    Ok(default_actions()?)
}

fn nothing_to_read_or_write() -> io::Result<()> {
    let null = open("/dev/null", OFlag::O_RDWR | OFlag::O_CLOEXEC, Mode::empty())?;
    dup2_stdin(null.as_fd())?;
    dup2_stdout(null.as_fd())?;
    Ok(dup2_stderr(null.as_fd())?)
}

#[expect(unsafe_code, reason = "there is no other way to a new process without a new program")]
fn fork_helper() -> nix::Result<ForkResult> {
    // SAFETY: smapd starts its helpers before any thread, so the child may do all that its parent might.
    unsafe { fork() }
}

/// What smapd has open (the lock of the spool, the ends of other pairs) must not live on in a helper.
#[expect(unsafe_code, reason = "no crate of ours wraps close_range")]
fn close_all_but(link: BorrowedFd<'_>) -> io::Result<()> {
    let kept = libc::c_uint::try_from(link.as_raw_fd()).map_err(io::Error::other)?;
    for (first, last) in [(3, kept.saturating_sub(1)), (kept.saturating_add(1), libc::c_uint::MAX)] {
        // SAFETY: whatever owns these descriptors is never used again: the child ends without returning to it.
        if first <= last && unsafe { libc::close_range(first, last, 0) } != 0 {
            return Err(io::Error::last_os_error());
        }
    }
    Ok(())
}

/// What was ignored by whoever started smapd is not ignored here, nor by programs: where SIGCHLD is, the kernel
/// forgets how they ended. SIGPIPE alone stays ignored; the standard library gives it back to programs.
#[expect(unsafe_code, reason = "setting a signal's action is unsafe where it installs a handler")]
fn default_actions() -> nix::Result<()> {
    let fixed = [Signal::SIGKILL, Signal::SIGSTOP, Signal::SIGPIPE];
    for inherited in Signal::iterator().filter(|signal| !fixed.contains(signal)) {
        // SAFETY: the default action runs no code of ours.
        unsafe { signal(inherited, SigHandler::SigDfl) }?;
    }
    Ok(())
}

/// Reads and writes of this descriptor say `WouldBlock` where they would wait.
pub(crate) fn set_nonblocking(fd: BorrowedFd<'_>) -> nix::Result<()> {
    let flags = OFlag::from_bits_retain(fcntl(fd, FcntlArg::F_GETFL)?);
    fcntl(fd, FcntlArg::F_SETFL(flags | OFlag::O_NONBLOCK)).map(drop)
}

impl From<OwnedFd> for Link {
    /// Over a socket that keeps packets apart.
    fn from(socket: OwnedFd) -> Self {
        Self(socket)
    }
}

impl AsFd for Link {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.0.as_fd()
    }
}

impl Link {
    /// Sends one packet, and a descriptor with it.
    ///
    /// # Errors
    /// `InvalidInput`: it is larger than [`MAX_PACKET`]. `WouldBlock`: the other side is behind; nothing was
    /// sent. Others: the other side is gone.
    pub(crate) fn send(&self, packet: &[u8], descriptor: Option<BorrowedFd<'_>>) -> io::Result<()> {
        if packet.len() > MAX_PACKET {
            return Err(io::Error::new(io::ErrorKind::InvalidInput, "too long for a helper process"));
        }
        let raw: Vec<RawFd> = descriptor.iter().map(AsRawFd::as_raw_fd).collect();
        let rights = [ControlMessage::ScmRights(&raw)];
        let rights = if raw.is_empty() { [].as_slice() } else { rights.as_slice() };
        loop {
            match sendmsg::<()>(
                self.0.as_raw_fd(),
                &[IoSlice::new(packet)],
                rights,
                MsgFlags::MSG_NOSIGNAL,
                None,
            ) {
                Ok(_) => return Ok(()),
                Err(Errno::EINTR) => {}
                // A pair that was closed with answers in it says so once.
                Err(Errno::ECONNRESET) => return Err(Errno::EPIPE.into()),
                Err(errno) => return Err(errno.into()),
            }
        }
    }

    /// Takes the next packet; `None` when the other side is gone.
    ///
    /// # Errors
    /// `WouldBlock`: there is none yet. `InvalidData`: it was cut short.
    pub(crate) fn receive(&self) -> io::Result<Option<Parcel>> {
        let mut packet = vec![0; MAX_PACKET];
        loop {
            match self.receive_into(&mut packet) {
                // A pair that was closed with packets unread says so once, before those that we have not read.
                Err(Errno::EINTR | Errno::ECONNRESET) => {}
                Err(errno) => return Err(errno.into()),
                Ok((_, flags, _)) if flags.contains(MsgFlags::MSG_TRUNC) => {
                    return Err(io::ErrorKind::InvalidData.into());
                }
                Ok((0, ..)) => return Ok(None),
                Ok((length, _, descriptor)) => {
                    packet.truncate(length);
                    return Ok(Some(Parcel { packet, descriptor }));
                }
            }
        }
    }

    fn receive_into(&self, packet: &mut [u8]) -> nix::Result<(usize, MsgFlags, Option<OwnedFd>)> {
        let mut space = nix::cmsg_space!(RawFd);
        let mut buffers = [IoSliceMut::new(packet)];
        let flags = MsgFlags::MSG_CMSG_CLOEXEC;
        let received = recvmsg::<()>(self.0.as_raw_fd(), &mut buffers, Some(&mut space), flags)?;
        Ok((received.bytes, received.flags, adopt(&received)))
    }
}

/// The descriptor that came with a packet; none where this process could not take one more.
#[expect(unsafe_code, reason = "the kernel hands descriptors over as numbers")]
fn adopt(received: &RecvMsg<'_, '_, ()>) -> Option<OwnedFd> {
    let raw = received.cmsgs().ok()?.find_map(|message| match message {
        ControlMessageOwned::ScmRights(descriptors) => descriptors.first().copied(),
        _ => None,
    })?;
    // SAFETY: the kernel has just put it into our table, and there is room for one: nobody else knows of it.
    Some(unsafe { OwnedFd::from_raw_fd(raw) })
}
