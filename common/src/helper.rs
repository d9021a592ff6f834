//! Helper processes: what a program does not do itself, done by processes that it forks at its start.
//!
//! Decides what a helper begins with: its end of one pair of sockets, and nothing else of the program's. Guarantees
//! that no signal sent to the whole group ends a helper: it lives until the program closes the pair.

use std::io;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd};

use nix::fcntl::{FcntlArg, OFlag, fcntl, open};
use nix::libc;
use nix::sys::signal::{SigHandler, SigSet, Signal, signal};
use nix::sys::stat::Mode;
use nix::unistd::{ForkResult, Pid, dup2_stderr, dup2_stdin, dup2_stdout, fork};

use crate::exit::Exit;
use crate::link::Link;

#[cfg(test)]
mod tests;

/// What the program holds of a helper: a link that never makes it wait.
#[derive(Debug)]
pub struct Helper {
    /// Our end.
    pub link: Link,
    /// Its number.
    pub pid: Pid,
}

impl Helper {
    /// Forks a process that lives `life` and ends with it. To be called while this process has one thread.
    ///
    /// # Errors
    /// The kernel has no process or no sockets for us.
    pub fn start(life: impl FnOnce(Link)) -> io::Result<Self> {
        let (ours, theirs) = Link::pair()?;
        set_nonblocking(ours.as_fd())?;
        match fork_helper()? {
            ForkResult::Parent { child } => Ok(Self { link: ours, pid: child }),
            ForkResult::Child => {
                let exit = match begin(theirs.as_fd()) {
                    Ok(()) => {
                        life(theirs);
                        Exit::Ok
                    }
                    Err(_) => Exit::TempFail,
                };
                std::process::exit(exit.code().into())
            }
        }
    }
}

/// Descriptors, signals: nothing of the program's stays.
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
    // SAFETY: a program starts its helpers before any thread, so the child may do all that its parent might.
    unsafe { fork() }
}

/// What the program has open (smapd: the lock of the spool, the ends of other pairs) must not live on in a helper.
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

/// What was ignored by whoever started the program is not ignored here, nor by programs: where SIGCHLD is, the kernel
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
///
/// # Errors
/// The descriptor has no such flag.
pub fn set_nonblocking(fd: BorrowedFd<'_>) -> nix::Result<()> {
    let flags = OFlag::from_bits_retain(fcntl(fd, FcntlArg::F_GETFL)?);
    fcntl(fd, FcntlArg::F_SETFL(flags | OFlag::O_NONBLOCK)).map(drop)
}
