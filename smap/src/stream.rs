//! The client's octets: the one thing between the session and the wire. TLS will slip in here.

use std::io;
use std::os::fd::{AsFd, BorrowedFd};
use std::time::{Duration, Instant};

use nix::errno::Errno;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sys::socket::{setsockopt, sockopt};
use nix::sys::time::{TimeVal, TimeValLike};
use nix::unistd;

/// A connection that is read and written with patience, not for ever. A time-out is
/// [`io::ErrorKind::TimedOut`].
pub trait Stream {
    /// Reads what is there, waiting for it at most so long. 0: the client has closed.
    ///
    /// # Errors
    /// It took too long, or the connection is broken.
    fn read(&mut self, buffer: &mut [u8], patience: Duration) -> io::Result<usize>;

    /// Writes all of it, waiting at most so long.
    ///
    /// # Errors
    /// It took too long, or the connection is broken.
    fn write_all(&mut self, octets: &[u8], patience: Duration) -> io::Result<()>;
}

/// A connection without TLS: a socket, or whatever stands on descriptors 0 and 1.
#[derive(Debug)]
pub struct Plain<'fd> {
    input: BorrowedFd<'fd>,
    output: BorrowedFd<'fd>,
    /// What the kernel was told to wait for at most; `None` where it cannot be told and is asked each time.
    told: Option<Duration>,
}

impl<'fd> Plain<'fd> {
    /// Reads from `input` and writes to `output`; `patience` is what every call is expected to ask for.
    #[must_use]
    pub fn new(input: BorrowedFd<'fd>, output: BorrowedFd<'fd>, patience: Duration) -> Self {
        let mut stream = Self { input, output, told: None };
        stream.told = stream.tell(patience).is_ok().then_some(patience);
        stream
    }

    /// Has the kernel end a call that waits too long: one system call less for every read.
    fn tell(&self, patience: Duration) -> nix::Result<()> {
        let most = TimeVal::milliseconds(i64::try_from(patience.as_millis().max(1)).unwrap_or(i64::MAX));
        setsockopt(&self.input, sockopt::ReceiveTimeout, &most)?;
        setsockopt(&self.output, sockopt::SendTimeout, &most)
    }

    fn await_readiness(&mut self, fd: BorrowedFd<'_>, what: PollFlags, patience: Duration) -> io::Result<()> {
        if let Some(told) = self.told {
            if told > patience {
                self.tell(patience)?;
                self.told = Some(patience);
            }
            return Ok(());
        }
        let until = Instant::now() + patience;
        loop {
            let left = until.saturating_duration_since(Instant::now());
            let left = PollTimeout::try_from(left).unwrap_or(PollTimeout::MAX);
            match poll(&mut [PollFd::new(fd, what)], left) {
                Ok(0) => return Err(io::ErrorKind::TimedOut.into()),
                Err(Errno::EINTR) => {}
                Ok(_) => return Ok(()),
                Err(errno) => return Err(errno.into()),
            }
        }
    }
}

fn timed_out(errno: Errno) -> io::Error {
    if errno == Errno::EAGAIN { io::ErrorKind::TimedOut.into() } else { errno.into() }
}

impl Stream for Plain<'_> {
    fn read(&mut self, buffer: &mut [u8], patience: Duration) -> io::Result<usize> {
        self.await_readiness(self.input, PollFlags::POLLIN, patience)?;
        loop {
            match unistd::read(self.input.as_fd(), buffer) {
                Err(Errno::EINTR) => {}
                result => return result.map_err(timed_out),
            }
        }
    }

    fn write_all(&mut self, octets: &[u8], patience: Duration) -> io::Result<()> {
        let mut rest = octets;
        while !rest.is_empty() {
            self.await_readiness(self.output, PollFlags::POLLOUT, patience)?;
            match unistd::write(self.output.as_fd(), rest) {
                Err(Errno::EINTR) => {}
                Err(errno) => return Err(timed_out(errno)),
                Ok(written) => rest = rest.get(written..).unwrap_or_default(),
            }
        }
        Ok(())
    }
}
