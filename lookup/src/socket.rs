//! Sockets that carry packets, one a message, between this machine's programs.

use std::fs;
use std::io;
use std::os::fd::{AsFd, AsRawFd, OwnedFd};
use std::os::unix::fs::{FileTypeExt, PermissionsExt, chown};
use std::path::Path;

use nix::errno::Errno;
use nix::sys::socket::{
    AddressFamily, Backlog, MsgFlags, SockFlag, SockType, UnixAddr, UnixCredentials, accept4, bind, connect,
    getsockopt, listen, recv, send, socket, sockopt,
};
use tokio::io::Interest;
use tokio::io::unix::AsyncFd;

/// Octets of the longest question, and some: what is longer is none.
const MAX_QUESTION: usize = 1024;
/// Clients that wait to be accepted.
const BACKLOG: i32 = 128;
const MODE: u32 = 0o660;

/// A socket of packets that nobody reads yet.
#[derive(Debug)]
pub(crate) struct Unread(OwnedFd);

impl From<OwnedFd> for Unread {
    /// One that keeps packets apart, and does not wait.
    fn from(socket: OwnedFd) -> Self {
        Self(socket)
    }
}

impl Unread {
    /// Descriptor 0, where it is a socket of packets: whoever started this process asks through it.
    pub(crate) fn standard_input() -> Option<Self> {
        let stdin = io::stdin();
        let is_ours = getsockopt(&stdin, sockopt::SockType) == Ok(SockType::SeqPacket);
        is_ours.then(|| stdin.as_fd().try_clone_to_owned().ok().map(Self))?
    }

    /// Listens at `path`, for the owner of that name and for `group`. A socket that nobody listens at is replaced.
    ///
    /// # Errors
    /// `AddrInUse`: somebody listens there. `AlreadyExists`: it is not a socket. Others: of the system.
    pub(crate) fn listen(path: &Path, owner: Option<u32>, group: u32) -> io::Result<Self> {
        let address = UnixAddr::new(path)?;
        let listener = packets()?;
        if let Some(folder) = path.parent().filter(|folder| !folder.exists()) {
            fs::create_dir(folder)?;
            fs::set_permissions(folder, fs::Permissions::from_mode(0o755))?;
        }
        match fs::symlink_metadata(path) {
            Ok(facts) if !facts.file_type().is_socket() => return Err(io::ErrorKind::AlreadyExists.into()),
            Ok(_) if connect(packets()?.as_raw_fd(), &address) != Err(Errno::ECONNREFUSED) => {
                return Err(io::ErrorKind::AddrInUse.into());
            }
            Ok(_) => fs::remove_file(path)?,
            Err(_) => {}
        }
        // Made for its owner alone, and opened when it has the group that it is for.
        bind(listener.as_raw_fd(), &address)?;
        chown(path, owner, Some(group))?;
        fs::set_permissions(path, fs::Permissions::from_mode(MODE))?;
        listen(&listener, Backlog::new(BACKLOG)?)?;
        Ok(Self(listener))
    }

    /// To be read and written by the runtime that this is called in.
    #[expect(unsafe_code, reason = "the runtime has it in writing that the descriptor stays")]
    pub(crate) fn attend(self) -> io::Result<Packets> {
        // SAFETY: an OwnedFd has one open descriptor as long as it is there, and moves into what is registered.
        Ok(Packets(unsafe { AsyncFd::register(self.0) }?))
    }
}

fn packets() -> io::Result<OwnedFd> {
    let flags = SockFlag::SOCK_CLOEXEC | SockFlag::SOCK_NONBLOCK;
    Ok(socket(AddressFamily::Unix, SockType::SeqPacket, flags, None)?)
}

/// A socket of packets.
#[derive(Debug)]
pub(crate) struct Packets(AsyncFd<OwnedFd>);

impl Packets {
    /// The next packet; `None` when the other side is gone. A packet that is too long for a question is cut.
    pub(crate) async fn receive(&self) -> io::Result<Option<Vec<u8>>> {
        let mut packet = vec![0; MAX_QUESTION];
        let read = self.0.async_io(Interest::READABLE, |fd| {
            retried(|| recv(fd.as_raw_fd(), &mut packet, MsgFlags::MSG_DONTWAIT))
        });
        let length = read.await?;
        packet.truncate(length);
        Ok((length > 0).then_some(packet))
    }

    /// Sends a packet, when the other side has room for it.
    pub(crate) async fn send(&self, packet: &[u8]) -> io::Result<()> {
        let flags = MsgFlags::MSG_DONTWAIT | MsgFlags::MSG_NOSIGNAL;
        let sent = self.0.async_io(Interest::WRITABLE, |fd| retried(|| send(fd.as_raw_fd(), packet, flags)));
        sent.await.map(drop)
    }

    /// The next client, and who that is.
    pub(crate) async fn accept(&self) -> io::Result<(Unread, UnixCredentials)> {
        let flags = SockFlag::SOCK_CLOEXEC | SockFlag::SOCK_NONBLOCK;
        let accepted = self.0.async_io(Interest::READABLE, |fd| retried(|| accept4(fd.as_raw_fd(), flags)));
        let client = owned(accepted.await?);
        let peer = getsockopt(&client, sockopt::PeerCredentials)?;
        Ok((Unread(client), peer))
    }
}

fn retried<T>(mut call: impl FnMut() -> nix::Result<T>) -> io::Result<T> {
    loop {
        match call() {
            Err(Errno::EINTR) => {}
            result => return Ok(result?),
        }
    }
}

#[expect(unsafe_code, reason = "the kernel hands descriptors over as numbers")]
fn owned(raw: std::os::fd::RawFd) -> OwnedFd {
    use std::os::fd::FromRawFd;
    // SAFETY: accept4 has just made it, and nobody else knows of it.
    unsafe { OwnedFd::from_raw_fd(raw) }
}
