//! The client's octets: the one thing between the session and the wire. TLS will slip in here.

use std::io;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd};
use std::time::{Duration, Instant};

use nix::errno::Errno;
use nix::poll::{PollFd, PollFlags, ppoll};
use nix::sys::socket::{Shutdown, setsockopt, shutdown, sockopt};
use nix::sys::time::{TimeVal, TimeValLike};
use nix::unistd;

/// What a socket or a pipe takes without waiting once it is ready to take anything: POSIX's least `PIPE_BUF`.
const PIECE: usize = 512;
/// Octets that are read over at the end: more than a client has under way that waits for our replies.
const UNHEARD: usize = 1024 * 1024;

/// A connection that is read and written with patience, not for ever. A time-out is
/// [`io::ErrorKind::TimedOut`].
pub trait Stream {
    /// Reads what is there, waiting for it at most so long. 0: the client has closed.
    ///
    /// # Errors
    /// It took too long, or the connection is broken.
    fn read(&mut self, buffer: &mut [u8], patience: Duration) -> io::Result<usize>;

    /// Writes all of it, in at most so much time altogether.
    ///
    /// # Errors
    /// It took too long, or the connection is broken.
    fn write_all(&mut self, octets: &[u8], patience: Duration) -> io::Result<()>;

    /// Says that nothing more will be written, and reads over some of what still comes, for at most so long: a
    /// connection that is closed with something unread takes back what the client has not read yet.
    fn finish(&mut self, patience: Duration);
}

/// A connection without TLS: a socket, or whatever stands on descriptors 0 and 1.
#[derive(Debug)]
pub struct Plain<'fd> {
    input: BorrowedFd<'fd>,
    output: BorrowedFd<'fd>,
    /// How long the kernel waits in a call, at most; `None` where it cannot be told and waits for ever.
    told: Option<Duration>,
}

impl<'fd> Plain<'fd> {
    /// Reads from `input` and writes to `output`; `patience` is what nearly every call will ask for. It costs one
    /// system call less then. The kernel is told it here and never again: a session may not set options.
    #[must_use]
    pub fn new(input: BorrowedFd<'fd>, output: BorrowedFd<'fd>, patience: Duration) -> Self {
        let told = tell(input, output, patience).is_ok().then_some(patience);
        Self { input, output, told }
    }

    /// A socket whose kernel was told before.
    #[must_use]
    pub fn told(socket: BorrowedFd<'fd>, patience: Duration) -> Self {
        Self { input: socket, output: socket, told: Some(patience) }
    }

    /// Whether a call that waits in the kernel waits no longer than so.
    fn is_kernel_within(&self, patience: Duration) -> bool {
        self.told.is_some_and(|told| told <= patience)
    }
}

/// Has the kernel end a call that waits too long, and send what is written at once: replies are written whole, and
/// waiting for more would only delay them.
pub(crate) fn tell(input: BorrowedFd<'_>, output: BorrowedFd<'_>, patience: Duration) -> nix::Result<()> {
    // A pipe, or a socket of the machine, knows no such option.
    let _no_tcp = setsockopt(&output, sockopt::TcpNoDelay, &true);
    let most = TimeVal::milliseconds(i64::try_from(patience.as_millis().max(1)).unwrap_or(i64::MAX));
    setsockopt(&input, sockopt::ReceiveTimeout, &most)?;
    setsockopt(&output, sockopt::SendTimeout, &most)
}

/// Waits until `fd` is ready, even where `until` is over: who has been ready meanwhile is not late.
pub(crate) fn await_readiness(fd: BorrowedFd<'_>, what: PollFlags, until: Instant) -> io::Result<()> {
    loop {
        let left = until.saturating_duration_since(Instant::now());
        match ppoll(&mut [PollFd::new(fd, what)], Some(left.into()), None) {
            Ok(0) => return Err(io::ErrorKind::TimedOut.into()),
            Err(Errno::EINTR) => {}
            Ok(_) => return Ok(()),
            Err(errno) => return Err(errno.into()),
        }
    }
}

fn timed_out(errno: Errno) -> io::Error {
    if errno == Errno::EAGAIN { io::ErrorKind::TimedOut.into() } else { errno.into() }
}

fn write<'o>(output: BorrowedFd<'_>, octets: &'o [u8]) -> io::Result<&'o [u8]> {
    loop {
        match unistd::write(output, octets) {
            Err(Errno::EINTR) => {}
            Err(errno) => return Err(timed_out(errno)),
            Ok(written) => return Ok(octets.get(written..).unwrap_or_default()),
        }
    }
}

impl Stream for Plain<'_> {
    fn read(&mut self, buffer: &mut [u8], patience: Duration) -> io::Result<usize> {
        if !self.is_kernel_within(patience) {
            await_readiness(self.input, PollFlags::POLLIN, Instant::now() + patience)?;
        }
        loop {
            match unistd::read(self.input.as_fd(), buffer) {
                Err(Errno::EINTR) => {}
                result => return result.map_err(timed_out),
            }
        }
    }

    fn write_all(&mut self, octets: &[u8], patience: Duration) -> io::Result<()> {
        let until = Instant::now() + patience;
        let mut rest = octets;
        if !rest.is_empty() && self.is_kernel_within(patience) {
            rest = write(self.output, rest)?;
        }
        // A client that reads a little now and then gets the rest in pieces for which no call has to wait.
        while let Some(piece) = rest.chunks(PIECE).next() {
            if Instant::now() >= until {
                return Err(io::ErrorKind::TimedOut.into());
            }
            await_readiness(self.output, PollFlags::POLLOUT, until)?;
            let unwritten = write(self.output, piece)?.len();
            rest = rest.get(piece.len() - unwritten..).unwrap_or_default();
        }
        Ok(())
    }

    fn finish(&mut self, patience: Duration) {
        let until = Instant::now() + patience;
        // Not on the stack: a session that never comes here would have the page too.
        let (mut buffer, mut left) = (vec![0; 4096], UNHEARD);
        // A pipe takes nothing back.
        let mut goes_on = shutdown(self.output.as_raw_fd(), Shutdown::Write).is_ok();
        while goes_on && left > 0 && Instant::now() < until {
            let ready = await_readiness(self.input, PollFlags::POLLIN, until);
            let read =
                ready.map_or(0, |()| unistd::read(self.input.as_fd(), &mut buffer).unwrap_or_default());
            goes_on = read > 0;
            left = left.saturating_sub(read);
        }
    }
}

#[cfg(test)]
mod tests {
    use std::io::{Read, pipe};
    use std::os::unix::net::UnixStream;
    use std::thread;

    use super::*;

    const SHORT: Duration = Duration::from_millis(50);
    const LONG: Duration = Duration::from_secs(60);

    fn kind<T: std::fmt::Debug>(result: io::Result<T>) -> io::ErrorKind {
        result.unwrap_err().kind()
    }

    #[test]
    fn a_socket_is_waited_for_as_long_as_the_kernel_was_told() {
        let (ours, _theirs) = UnixStream::pair().unwrap();
        let mut stream = Plain::new(ours.as_fd(), ours.as_fd(), SHORT);
        assert_eq!(stream.told, Some(SHORT));
        assert_eq!(kind(stream.read(&mut [0], SHORT)), io::ErrorKind::TimedOut);
    }

    #[test]
    fn a_shorter_patience_is_kept_without_telling_the_kernel() {
        let (ours, _theirs) = UnixStream::pair().unwrap();
        let mut stream = Plain::new(ours.as_fd(), ours.as_fd(), LONG);
        assert_eq!(kind(stream.read(&mut [0], SHORT)), io::ErrorKind::TimedOut);
        assert_eq!(kind(stream.write_all(&[b'x'; 10_000_000], SHORT)), io::ErrorKind::TimedOut);
        assert_eq!(stream.told, Some(LONG));
    }

    #[test]
    fn a_pipe_is_waited_for_too() {
        let ((input, _far_output), (_far_input, output)) = (pipe().unwrap(), pipe().unwrap());
        let mut stream = Plain::new(input.as_fd(), output.as_fd(), SHORT);
        assert_eq!(stream.told, None);
        assert_eq!(kind(stream.read(&mut [0], SHORT)), io::ErrorKind::TimedOut);
        assert_eq!(kind(stream.write_all(&[b'x'; 1_000_000], SHORT)), io::ErrorKind::TimedOut);
    }

    #[test]
    fn what_is_there_already_is_not_too_late() {
        let (ours, mut theirs) = UnixStream::pair().unwrap();
        io::Write::write_all(&mut theirs, b"x").unwrap();
        let mut stream = Plain::new(ours.as_fd(), ours.as_fd(), LONG);
        assert_eq!(stream.read(&mut [0; 2], Duration::ZERO).unwrap(), 1);
    }

    /// So much is read for each SHORT, to the end.
    fn read_slowly(mut from: impl Read, octets: usize) {
        let mut buffer = vec![0; octets];
        while from.read_exact(&mut buffer).is_ok() {
            thread::sleep(SHORT);
        }
    }

    #[test]
    fn a_client_that_reads_a_little_now_and_then_does_not_hold_a_reply_up() {
        let ((ours, theirs), told) = (UnixStream::pair().unwrap(), 4 * SHORT);
        thread::spawn(|| read_slowly(theirs, 4096));
        let begun = Instant::now();
        let mut stream = Plain::new(ours.as_fd(), ours.as_fd(), told);
        assert_eq!(kind(stream.write_all(&[b'x'; 4_000_000], told)), io::ErrorKind::TimedOut);
        assert!(begun.elapsed() < 20 * SHORT, "{:?}", begun.elapsed());
    }

    #[test]
    fn the_end_waits_for_the_client_but_not_for_ever() {
        let (ours, theirs) = UnixStream::pair().unwrap();
        let mut stream = Plain::new(ours.as_fd(), ours.as_fd(), LONG);
        stream.finish(SHORT);
        assert_eq!((&theirs).read(&mut [0]).unwrap(), 0);
        drop(theirs);
        stream.finish(LONG);
    }

    #[test]
    fn what_goes_in_pieces_arrives_whole() {
        let (mut far, output) = pipe().unwrap();
        let octets: Vec<u8> = (0..300_000_u32).map(|number| number.to_le_bytes()[0]).collect();
        let reader = thread::spawn(move || {
            let mut all = Vec::new();
            far.read_to_end(&mut all).map(|_| all)
        });
        Plain::new(output.as_fd(), output.as_fd(), LONG).write_all(&octets, LONG).unwrap();
        drop(output);
        assert_eq!(reader.join().unwrap().unwrap(), octets);
    }
}
