//! The runner: the process that starts programs, so that a program has nothing of smapd's.
//!
//! Decides nothing about mail: it is told what to run, and says how that ended. [`judge`] says what the ending
//! means. Trusts smapd, which it was forked from and whose user it has. Guarantees that a program starts with
//! nothing but its arguments, the environment that it was given, the body as standard input and one pipe for
//! what it says; that it is ended at its deadline with its whole process group; and that what it says cannot
//! fill memory.
//!
//! # What an ending means
//!
//! | ending | outcome | status |
//! |---|---|---|
//! | exit 0 | delivered | 2.0.0 |
//! | 64 `EX_USAGE` | deferred | 4.3.5 |
//! | 65 `EX_DATAERR` | failed | 5.6.0 |
//! | 66 `EX_NOINPUT` | deferred | 4.3.0 |
//! | 67 `EX_NOUSER` | failed | 5.1.1 |
//! | 68 `EX_NOHOST` | failed | 5.1.2 |
//! | 69 `EX_UNAVAILABLE` | failed | 5.0.0 |
//! | 70 `EX_SOFTWARE` | deferred | 4.3.0 |
//! | 71 `EX_OSERR` | deferred | 4.3.0 |
//! | 72 `EX_OSFILE` | deferred | 4.3.5 |
//! | 73 `EX_CANTCREAT` | failed | 5.2.0 |
//! | 74 `EX_IOERR` | deferred | 4.3.0 |
//! | 75 `EX_TEMPFAIL` | deferred | 4.3.0 |
//! | 76 `EX_PROTOCOL` | failed | 5.5.0 |
//! | 77 `EX_NOPERM` | failed | 5.7.0 |
//! | 78 `EX_CONFIG` | deferred | 4.3.5 |
//! | 126, 127: the shell's words for a program that cannot be run | deferred | 4.3.5 |
//! | any other exit code | deferred | 4.3.0 |
//! | death by a signal | deferred | 4.3.0 |
//! | the deadline | deferred | 4.3.0 |
//! | it could not be started | deferred | 4.3.5, or 4.3.0 where the system had no room |
//!
//! The codes that fail are those by which a program speaks of the message or of its recipient; their statuses
//! are sendmail's. Where it speaks of itself or of this machine (sendmail fails 64, 66, 70, 72 and 78), the
//! administrator's mistake is not the sender's loss: the message waits until it is mended, or expires.

use std::ffi::OsString;
use std::io;
use std::os::fd::{AsFd, BorrowedFd};
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::time::Duration;

use nix::unistd::Pid;
use smap_common::confine::{self, SetId};
use smap_common::helper::Helper;
use smap_common::link::{self, Link};
use smap_common::packet::{Reader, Writer};

pub use self::ending::{Ending, judge};

mod ending;
mod life;
#[cfg(test)]
mod tests;

/// How long a program has between being asked to end and being killed.
const GRACE: Duration = Duration::from_secs(5);
/// Octets of what a program says that are kept.
const KEPT: usize = 2048;

const _: () = assert!(KEPT * 4 < link::MAX_PACKET);

/// What is to be run.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Request {
    /// Chosen by the asker; the response has the same.
    pub job: u64,
    /// The program by its absolute path, then its arguments.
    pub argv: Vec<OsString>,
    /// Its environment, beside `PATH`, `SHELL` and `HOME`.
    pub env: Vec<(String, String)>,
    /// How long it may run, from its start.
    pub deadline: Duration,
}

/// How it went.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Response {
    /// The request's.
    pub job: u64,
    /// How it ended.
    pub ending: Ending,
    /// The beginning of what it wrote to standard output and standard error, as it is.
    pub output: String,
}

/// smapd's side of the runner.
#[derive(Debug)]
pub struct Runner(Helper);

impl Runner {
    /// Forks the runner, which runs at most `max_children` programs at once. To be called while this process has
    /// one thread, its environment is cleared and its user is the one that it keeps.
    ///
    /// # Errors
    /// The kernel has no process or no sockets for us.
    pub fn start(max_children: usize, set_id: SetId) -> io::Result<Self> {
        Self::start_with(max_children, set_id, GRACE)
    }

    fn start_with(max_children: usize, set_id: SetId, grace: Duration) -> io::Result<Self> {
        let life = move |link: Link| {
            // Without its walls nothing is run: smapd sees that the runner is gone.
            if confine::confine_runner(set_id).is_ok() {
                life::live(link, max_children, grace);
            }
        };
        Helper::start(life).map(Self)
    }

    /// Asks for a program to be run with `body` as its standard input, read from where the descriptor stands.
    /// It may wait for others to end.
    ///
    /// # Errors
    /// `InvalidInput`: there is more to say than a packet holds; it will never fit. `WouldBlock`: as many
    /// requests wait as there may; ask again after the next response. Others: the runner is gone.
    pub fn ask(&self, request: &Request, body: BorrowedFd<'_>) -> io::Result<()> {
        self.0.link.send(&request.encode(), Some(body))
    }

    /// Adds the responses that are there to `responses`; does not wait.
    ///
    /// # Errors
    /// The runner is gone, after what was added: what it was asked and did not answer will never be answered.
    pub fn answers(&self, responses: &mut Vec<Response>) -> io::Result<()> {
        loop {
            match self.0.link.receive() {
                Ok(Some(parcel)) => {
                    responses.push(Response::decode(&parcel.packet).ok_or(io::ErrorKind::InvalidData)?);
                }
                Ok(None) => return Err(io::Error::new(io::ErrorKind::UnexpectedEof, "the runner is gone")),
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Ok(()),
                Err(error) => return Err(error),
            }
        }
    }

    /// The runner's process: a child of this one.
    #[must_use]
    pub fn pid(&self) -> Pid {
        self.0.pid
    }
}

impl AsFd for Runner {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.0.link.as_fd()
    }
}

impl Request {
    fn encode(&self) -> Vec<u8> {
        let mut packet = Writer::default();
        packet.number(self.job);
        packet.number(u64::try_from(self.deadline.as_millis()).unwrap_or(u64::MAX));
        packet.number(u64::try_from(self.argv.len()).unwrap_or(u64::MAX));
        for argument in &self.argv {
            packet.octets(argument.as_bytes());
        }
        packet.number(u64::try_from(self.env.len()).unwrap_or(u64::MAX));
        for (name, value) in &self.env {
            packet.octets(name.as_bytes()).octets(value.as_bytes());
        }
        packet.finish()
    }

    fn decode(packet: &[u8]) -> Option<Self> {
        let mut reader = Reader::new(packet);
        let (job, deadline) = (reader.number()?, Duration::from_millis(reader.number()?));
        let argv = reader.list(|reader| reader.octets().map(|text| OsString::from_vec(text.to_vec())))?;
        let env = reader.list(|reader| Some((reader.text()?.to_owned(), reader.text()?.to_owned())))?;
        reader.end()?;
        Some(Self { job, argv, env, deadline })
    }
}

impl Response {
    fn encode(&self) -> Vec<u8> {
        let (kind, detail) = self.ending.to_numbers();
        Writer::default().number(self.job).number(kind).number(detail).octets(self.output.as_bytes()).finish()
    }

    fn decode(packet: &[u8]) -> Option<Self> {
        let mut reader = Reader::new(packet);
        let (job, kind, detail) = (reader.number()?, reader.number()?, reader.number()?);
        let output = reader.text()?.to_owned();
        reader.end()?;
        Some(Self { job, ending: Ending::from_numbers(kind, detail)?, output })
    }
}
