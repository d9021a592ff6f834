//! The operator's end of the socket: it waits for smapd, but not for ever.

use std::fmt;
use std::io;
use std::os::fd::AsRawFd;
use std::path::Path;

use nix::errno::Errno;
use nix::sys::socket::sockopt::{PeerCredentials, ReceiveTimeout, SendTimeout};
use nix::sys::socket::{
    AddressFamily, SockFlag, SockType, UnixAddr, connect, getsockopt, setsockopt, socket,
};
use nix::sys::time::{TimeVal, TimeValLike};
use smap_common::link::Link;
use smap_common::spool::QueueId;

use super::packet::{Effect, Refusal, Reply, Request};

/// Seconds for which smapd may say nothing.
const PATIENCE: i64 = 60;

/// A connection to the smapd that runs.
#[derive(Debug)]
pub struct Operator(Link);

/// Why an order could not be given.
#[derive(Debug)]
pub enum OrderError {
    /// Nobody listens.
    NotRunning,
    /// This user may give none.
    NotPermitted,
    /// What listens is not smapd.
    Stranger(u32),
    /// smapd does not understand it.
    NotUnderstood,
    /// Too many operators are there already.
    Busy,
    /// smapd ended, or does not answer: how much of it is done is not known.
    Lost(io::Error),
}

impl fmt::Display for OrderError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NotRunning => f.write_str("smapd does not run"),
            Self::NotPermitted => f.write_str("only root and smapd's user may give orders"),
            Self::Stranger(uid) => write!(f, "what listens is uid {uid}, and not smapd"),
            Self::NotUnderstood => f.write_str("the smapd that runs is of another version: start it anew"),
            Self::Busy => f.write_str("smapd is busy with the orders of others"),
            Self::Lost(cause) => write!(f, "smapd was lost before it had done all of it: {cause}"),
        }
    }
}

impl std::error::Error for OrderError {}

impl Operator {
    /// Connects to the smapd of `uid` that listens at `path`.
    ///
    /// # Errors
    /// It does not run, or this user may not speak to it.
    pub fn connect(path: &Path, uid: u32) -> Result<Self, OrderError> {
        let lost = |errno: Errno| OrderError::Lost(errno.into());
        let socket = socket(AddressFamily::Unix, SockType::SeqPacket, SockFlag::SOCK_CLOEXEC, None);
        let socket = socket.map_err(lost)?;
        setsockopt(&socket, ReceiveTimeout, &TimeVal::seconds(PATIENCE)).map_err(lost)?;
        setsockopt(&socket, SendTimeout, &TimeVal::seconds(PATIENCE)).map_err(lost)?;
        match connect(socket.as_raw_fd(), &UnixAddr::new(path).map_err(lost)?) {
            Ok(()) => {}
            Err(Errno::ENOENT | Errno::ECONNREFUSED | Errno::ENOTDIR) => return Err(OrderError::NotRunning),
            Err(Errno::EACCES) => return Err(OrderError::NotPermitted),
            Err(errno) => return Err(lost(errno)),
        }
        let listener = getsockopt(&socket, PeerCredentials).map_err(lost)?.uid();
        if listener != 0 && listener != uid {
            return Err(OrderError::Stranger(listener));
        }
        Ok(Self(Link::from(socket)))
    }

    /// Gives an order, and tells `each` what became of it for a message, as it comes.
    ///
    /// # Errors
    /// It is not taken, or smapd is lost; or `each` fails.
    pub fn order<E: From<OrderError>>(
        &self,
        request: &Request,
        mut each: impl FnMut(QueueId, Effect) -> Result<(), E>,
    ) -> Result<(), E> {
        // Who is refused reads why, although nobody reads the order.
        let _not_taken = self.0.send(&request.encode(), None);
        loop {
            let parcel = match self.0.receive() {
                Ok(Some(parcel)) => parcel,
                Ok(None) => return Err(OrderError::Lost(io::ErrorKind::UnexpectedEof.into()).into()),
                Err(error) => return Err(OrderError::Lost(error).into()),
            };
            match Reply::decode(&parcel.packet) {
                Some(Reply::Effects(effects)) => {
                    effects.into_iter().try_for_each(|(id, effect)| each(id, effect))?;
                }
                Some(Reply::Done) => return Ok(()),
                Some(Reply::Refused(why)) => return Err(OrderError::from(why).into()),
                None => return Err(OrderError::NotUnderstood.into()),
            }
        }
    }
}

impl From<Refusal> for OrderError {
    fn from(why: Refusal) -> Self {
        match why {
            Refusal::NotUnderstood => Self::NotUnderstood,
            Refusal::NotPermitted => Self::NotPermitted,
            Refusal::Busy => Self::Busy,
        }
    }
}
