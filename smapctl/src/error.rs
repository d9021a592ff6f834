//! Why a command could not be carried out.

use std::fmt;
use std::io;
use std::path::PathBuf;

use netperm::Faults;
use smap_common::exit::Exit;
use smap_common::spool::QueueId;
use smapd::control::OrderError;

use crate::demo::DemoError;
use crate::import::ImportError;

/// Why a command could not be carried out.
#[derive(Debug)]
pub enum Error {
    /// The table is wrong.
    Table(Faults),
    /// A folder or file of the spool cannot be read.
    Spool(PathBuf, io::Error),
    /// An order could not be given.
    Order(OrderError),
    /// No such message is in the spool.
    Unknown(QueueId),
    /// A log cannot be read.
    Log(PathBuf, io::Error),
    /// A compiled table cannot be written.
    Compiled(PathBuf, io::Error),
    /// A file of sendmail's or Postfix's cannot be imported.
    Import(PathBuf, ImportError),
    /// The demo did not go as it should.
    Demo(DemoError),
    /// What was found cannot be written.
    Output(io::Error),
}

impl Error {
    /// The exit code. A reader who has seen enough is no error.
    #[must_use]
    pub fn exit(&self) -> Exit {
        match self {
            Self::Table(_) => Exit::Config,
            Self::Spool(_, cause) => match cause.kind() {
                io::ErrorKind::PermissionDenied => Exit::NoPerm,
                io::ErrorKind::NotFound | io::ErrorKind::NotADirectory => Exit::Config,
                _ => Exit::TempFail,
            },
            Self::Order(OrderError::NotPermitted | OrderError::Stranger(_)) => Exit::NoPerm,
            Self::Order(_) => Exit::TempFail,
            Self::Unknown(_) => Exit::NoInput,
            Self::Log(_, cause) | Self::Compiled(_, cause)
                if cause.kind() == io::ErrorKind::PermissionDenied =>
            {
                Exit::NoPerm
            }
            Self::Log(..) => Exit::NoInput,
            Self::Import(_, error) => error.exit(),
            Self::Demo(error) => error.exit(),
            Self::Output(cause) if cause.kind() == io::ErrorKind::BrokenPipe => Exit::Ok,
            Self::Output(_) | Self::Compiled(..) => Exit::TempFail,
        }
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Table(faults) => faults.fmt(f),
            Self::Spool(path, cause) if cause.kind() == io::ErrorKind::PermissionDenied => {
                write!(f, "{}: only smapd's user and root may look in here", path.display())
            }
            Self::Spool(path, cause) if cause.kind() == io::ErrorKind::NotFound => {
                write!(f, "{} does not exist; smapctl check says what to do", path.display())
            }
            Self::Spool(path, cause) => write!(f, "{}: {cause}", path.display()),
            Self::Order(OrderError::NotRunning) => f.write_str(
                "smapd does not run: start it (systemctl start smapd) and say this again; \
                 queue list and queue show work without it",
            ),
            Self::Order(error) => error.fmt(f),
            Self::Unknown(id) => write!(f, "{id}: no such message is in the spool"),
            Self::Log(path, cause) | Self::Compiled(path, cause) => {
                write!(f, "{}: {cause}", path.display())
            }
            Self::Import(path, error) => write!(f, "{}: {error}", path.display()),
            Self::Demo(error) => error.fmt(f),
            Self::Output(cause) if cause.kind() == io::ErrorKind::BrokenPipe => Ok(()),
            Self::Output(cause) => write!(f, "the output cannot be written: {cause}"),
        }
    }
}

impl std::error::Error for Error {}

impl From<Faults> for Error {
    fn from(faults: Faults) -> Self {
        Self::Table(faults)
    }
}

impl From<io::Error> for Error {
    fn from(cause: io::Error) -> Self {
        Self::Output(cause)
    }
}

impl From<serde_json::Error> for Error {
    fn from(error: serde_json::Error) -> Self {
        Self::Output(error.into())
    }
}

impl From<OrderError> for Error {
    fn from(error: OrderError) -> Self {
        Self::Order(error)
    }
}

impl From<DemoError> for Error {
    fn from(error: DemoError) -> Self {
        Self::Demo(error)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_spool_that_may_not_be_read_is_one_clear_line_and_77() {
        let denied = Error::Spool("/spool/queue".into(), io::ErrorKind::PermissionDenied.into());
        assert_eq!(denied.to_string(), "/spool/queue: only smapd's user and root may look in here");
        assert_eq!(denied.exit(), Exit::NoPerm);
    }

    #[test]
    fn a_reader_who_has_seen_enough_is_no_error() {
        let closed = Error::Output(io::ErrorKind::BrokenPipe.into());
        assert_eq!((closed.exit(), closed.to_string()), (Exit::Ok, String::new()));
    }
}
