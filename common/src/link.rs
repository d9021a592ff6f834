//! A pair of sockets between two processes of one program: whole packets, and descriptors that come with them.
//!
//! Trusts the other end, which is this same program, no further than that its packets may be cut short. Guarantees
//! that a packet is one whole message, and that either side sees the end of the other.

use std::io::{self, IoSlice, IoSliceMut};
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, FromRawFd, OwnedFd, RawFd};

use nix::errno::Errno;
use nix::fcntl::{FcntlArg, OFlag, fcntl};
use nix::sys::socket::{
    AddressFamily, ControlMessage, ControlMessageOwned, MsgFlags, RecvMsg, SockFlag, SockType, recvmsg,
    sendmsg, socketpair,
};
use nix::unistd::{close, dup3, write};

#[cfg(test)]
mod tests;

/// Octets of the largest packet: a call for a hundred of the longest recipients fits twice, and the kernel's
/// buffer for a socket (208 KB, what it accounts for the packet included) takes it.
pub const MAX_PACKET: usize = 96 * 1024;

const _: () = assert!(MAX_PACKET * 2 < 208 * 1024);

/// One end.
#[derive(Debug)]
pub struct Link(OwnedFd);

/// A packet, and the descriptor that came with it.
#[derive(Debug)]
pub struct Parcel {
    /// What was sent; never empty.
    pub packet: Vec<u8>,
    /// A descriptor of this process now.
    pub descriptor: Option<OwnedFd>,
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
    /// Both ends; no program that is started gets one.
    ///
    /// # Errors
    /// The kernel has no room.
    pub fn pair() -> io::Result<(Self, Self)> {
        let (one, other) =
            socketpair(AddressFamily::Unix, SockType::SeqPacket, None, SockFlag::SOCK_CLOEXEC)?;
        Ok((Self(one), Self(other)))
    }

    /// The same end on descriptor `number`, by which a filter knows it.
    ///
    /// # Errors
    /// This process may not have such a descriptor, or has another one there.
    #[expect(unsafe_code, reason = "the kernel gives descriptors as numbers")]
    pub fn onto(self, number: RawFd) -> io::Result<Self> {
        let moved = fcntl(&self.0, FcntlArg::F_DUPFD_CLOEXEC(number))?;
        // SAFETY: the kernel has just put it into our table: nobody else knows of it.
        let moved = unsafe { OwnedFd::from_raw_fd(moved) };
        if moved.as_raw_fd() == number {
            Ok(Self(moved))
        } else {
            Err(io::Error::other(format!("descriptor {number} is taken")))
        }
    }

    /// The same end on the descriptor of another link, which is no more: by the two calls that this takes.
    ///
    /// # Errors
    /// The kernel refuses.
    pub fn in_place_of(self, other: Self) -> io::Result<Self> {
        let Self(mut place) = other;
        dup3(&self.0, &mut place, OFlag::O_CLOEXEC)?;
        self.close();
        Ok(Self(place))
    }

    /// Sends one short packet by write(2), which every process may: where the other side is gone the signal that says
    /// so must be blocked.
    ///
    /// # Errors
    /// The other side is gone, or behind.
    pub fn say(&self, packet: &[u8]) -> io::Result<()> {
        write(&self.0, packet)?;
        Ok(())
    }

    /// Sends one packet, and a descriptor with it.
    ///
    /// # Errors
    /// `InvalidInput`: it is larger than [`MAX_PACKET`]. `WouldBlock`: the other side is behind; nothing was
    /// sent. Others: the other side is gone.
    pub fn send(&self, packet: &[u8], descriptor: Option<BorrowedFd<'_>>) -> io::Result<()> {
        if packet.len() > MAX_PACKET {
            return Err(io::Error::new(io::ErrorKind::InvalidInput, "too long for another process"));
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

    /// Closes this end by the one call that this takes: a drop asks the kernel for more, in a debug build.
    pub fn close(self) {
        // It is closed whatever the kernel says.
        let _nothing_to_do = close(self.0);
    }

    /// Takes the next packet; `None` when the other side is gone.
    ///
    /// # Errors
    /// `WouldBlock`: there is none yet. `InvalidData`: it was cut short.
    pub fn receive(&self) -> io::Result<Option<Parcel>> {
        self.receive_up_to(MAX_PACKET)
    }

    /// The same where packets are known to have no more octets than `most`.
    ///
    /// # Errors
    /// As of [`Self::receive`].
    pub fn receive_up_to(&self, most: usize) -> io::Result<Option<Parcel>> {
        self.receive_with(most, MsgFlags::empty())
    }

    /// The same without waiting, whatever kind of socket this is.
    ///
    /// # Errors
    /// As of [`Self::receive`].
    pub fn receive_at_once(&self, most: usize) -> io::Result<Option<Parcel>> {
        self.receive_with(most, MsgFlags::MSG_DONTWAIT)
    }

    fn receive_with(&self, most: usize, flags: MsgFlags) -> io::Result<Option<Parcel>> {
        let mut packet = vec![0; most];
        loop {
            match self.receive_into(&mut packet, flags) {
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

    fn receive_into(
        &self,
        packet: &mut [u8],
        flags: MsgFlags,
    ) -> nix::Result<(usize, MsgFlags, Option<OwnedFd>)> {
        let mut space = nix::cmsg_space!(RawFd);
        let mut buffers = [IoSliceMut::new(packet)];
        let flags = flags | MsgFlags::MSG_CMSG_CLOEXEC;
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
