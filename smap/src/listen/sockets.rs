//! Where clients and signals come from.

use std::io;
use std::net::{SocketAddr, TcpListener};
use std::os::fd::AsRawFd;

use nix::sys::signal::{SigSet, Signal};
use nix::sys::signalfd::{SfdFlags, SignalFd};
use nix::sys::socket::{
    AddressFamily, Backlog, SockFlag, SockType, SockaddrStorage, bind, listen, setsockopt, socket, sockopt,
};

/// Connections that the kernel holds for us.
const BACKLOG: i32 = 1024;

/// The signals that the loop reads like any other input.
pub(super) fn block_signals() -> nix::Result<SignalFd> {
    let signals: SigSet =
        [Signal::SIGCHLD, Signal::SIGHUP, Signal::SIGTERM, Signal::SIGINT].into_iter().collect();
    signals.thread_block()?;
    SignalFd::with_flags(&signals, SfdFlags::SFD_CLOEXEC | SfdFlags::SFD_NONBLOCK)
}

/// Listens on `address`, which is one of `all`.
pub(super) fn open(address: SocketAddr, all: &[SocketAddr]) -> io::Result<TcpListener> {
    let family = if address.is_ipv4() { AddressFamily::Inet } else { AddressFamily::Inet6 };
    let fd = socket(family, SockType::Stream, SockFlag::SOCK_CLOEXEC, None)?;
    setsockopt(&fd, sockopt::ReuseAddr, &true)?;
    // `[::]` alone takes IPv4 too; beside an IPv4 listener of the same port it must not.
    if all.iter().any(|other| other.is_ipv4() && other.port() == address.port()) && address.is_ipv6() {
        setsockopt(&fd, sockopt::Ipv6V6Only, &true)?;
    }
    bind(fd.as_raw_fd(), &SockaddrStorage::from(address))?;
    listen(&fd, Backlog::new(BACKLOG)?)?;
    let listener = TcpListener::from(fd);
    listener.set_nonblocking(true)?;
    Ok(listener)
}
