//! The spool's folders, as smapd works in them: every scan, rename and removal is here and below.
//!
//! Trusts nothing that lies in `incoming/`. Guarantees that a message is removed before its state, and that nothing is
//! overwritten in `bad/`.

use std::ffi::{OsStr, OsString};
use std::fmt;
use std::fs::File;
use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::ffi::OsStrExt;
use std::path::PathBuf;
use std::time::Duration;

use nix::dir::Dir;
use nix::errno::Errno;
use nix::fcntl::{AtFlags, Flock, FlockArg, OFlag, RenameFlags, open, openat, renameat2};
use nix::sys::stat::{Mode, fstat, fstatat};
use nix::unistd::{UnlinkatFlags, fsync, unlinkat};
use smap_common::clock::Timestamp;
use smap_common::envelope::Envelope;
use smap_common::spool::{
    self, Committed, Draft, Expected, Incoming, Layout, Message, Opened, QueueId, QueueState, StateFile,
    Void, remove_unfinished, state_name,
};

mod bad;
mod removed;

pub use removed::Removed;

/// How the name of a state ends.
const STATE: &str = ".state";

/// An unfinished file that is younger is left alone: its writer may have been stopped for a moment.
const UNFINISHED_AGE: Duration = Duration::from_secs(60);

/// Where a message lies.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Place {
    /// `incoming/`: smap made it.
    Incoming,
    /// `queue/`: it was deferred, or it is a notification of ours.
    Queue,
}

/// What a former smapd left in `queue/`.
#[derive(Debug, Default)]
pub struct Backlog {
    /// Messages, the oldest first.
    pub messages: Vec<QueueId>,
    /// States without a message in `queue/`.
    pub states: Vec<QueueId>,
    /// Names that are no queue id's.
    pub strangers: Vec<OsString>,
}

/// The spool.
#[derive(Debug)]
pub struct Queue {
    incoming: OwnedFd,
    queue: OwnedFd,
    bad: PathBuf,
    own_bad: PathBuf,
    incoming_path: PathBuf,
    queue_path: PathBuf,
    /// Whose files may lie in the two folders.
    owners: [u32; 2],
    _lock: Flock<File>,
}

/// Why the spool cannot be worked in.
#[derive(Debug)]
pub enum QueueError {
    /// Another smapd works in it.
    Locked,
    /// A folder or the lock cannot be opened.
    Io(PathBuf, io::Error),
}

impl fmt::Display for QueueError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Locked => f.write_str("another smapd works in this spool"),
            Self::Io(path, cause) => write!(f, "{}: {cause}", path.display()),
        }
    }
}

impl Queue {
    /// Opens the folders of the spool and takes its lock.
    ///
    /// # Errors
    /// Another smapd has it, or something cannot be opened.
    pub fn open(layout: &Layout) -> Result<Self, QueueError> {
        let failed = |path: PathBuf| |cause: io::Error| QueueError::Io(path, cause);
        let folder = |path: PathBuf| {
            open(
                &path,
                OFlag::O_RDONLY | OFlag::O_DIRECTORY | OFlag::O_NOFOLLOW | OFlag::O_CLOEXEC,
                Mode::empty(),
            )
            .map_err(|errno| QueueError::Io(path, errno.into()))
        };
        let queue = folder(layout.queue())?;
        let path = layout.lock();
        let lock = File::options()
            .write(true)
            .create(true)
            .truncate(false)
            .open(&path)
            .map_err(failed(path.clone()))?;
        let lock = match Flock::lock(lock, FlockArg::LockExclusiveNonblock) {
            Ok(lock) => lock,
            Err((_, Errno::EWOULDBLOCK)) => return Err(QueueError::Locked),
            Err((_, errno)) => return Err(QueueError::Io(path, errno.into())),
        };
        let accounts = layout.accounts();
        Ok(Self {
            incoming: folder(layout.incoming())?,
            queue,
            bad: layout.bad().to_owned(),
            own_bad: layout.own_bad(),
            incoming_path: layout.incoming(),
            queue_path: layout.queue(),
            owners: [accounts.smap_uid, accounts.smapd_uid],
            _lock: lock,
        })
    }

    /// The folder that smap creates messages in, to be watched.
    #[must_use]
    pub fn incoming_path(&self) -> &PathBuf {
        &self.incoming_path
    }

    /// The folder of smapd's own, for files without a name.
    #[must_use]
    pub fn queue_path(&self) -> &PathBuf {
        &self.queue_path
    }

    fn folder(&self, place: Place) -> BorrowedFd<'_> {
        match place {
            Place::Incoming => self.incoming.as_fd(),
            Place::Queue => self.queue.as_fd(),
        }
    }

    /// The ids of all messages, in the order in which they came.
    ///
    /// # Errors
    /// A folder cannot be read.
    pub fn ids(&self) -> io::Result<Vec<QueueId>> {
        let mut ids = self.backlog()?.messages;
        ids.extend(self.arrived()?.iter().filter_map(|name| name.to_str()?.parse::<QueueId>().ok()));
        ids.sort_unstable();
        ids.dedup();
        Ok(ids)
    }

    /// A message and what is known of it; none if no such message is there, whole.
    ///
    /// # Errors
    /// The disk fails.
    pub fn look_at(&self, id: QueueId, maxbytes: u64) -> io::Result<Option<(Box<Message>, QueueState)>> {
        for place in [Place::Queue, Place::Incoming] {
            if let Opened::Message(message) = self.open_message(place, id.as_str(), maxbytes)? {
                return Ok(Some((message, self.state(id)?.unwrap_or_default())));
            }
        }
        Ok(None)
    }

    /// Removes a message wherever it lies, and then its state; `removed` takes what is gone, errors or not.
    ///
    /// # Errors
    /// The disk fails.
    pub fn remove_anywhere(&self, id: QueueId, removed: &mut Removed) -> io::Result<()> {
        removed.unlink_if_there(self.folder(Place::Incoming), id.as_str())?;
        self.remove(Place::Queue, id, true, removed)
    }

    /// Every name in `incoming/`.
    ///
    /// # Errors
    /// The folder cannot be read.
    pub fn arrived(&self) -> io::Result<Vec<OsString>> {
        self.all_names(Place::Incoming)
    }

    /// What lies in `queue/`.
    ///
    /// # Errors
    /// The folder cannot be read.
    pub fn backlog(&self) -> io::Result<Backlog> {
        let mut backlog = Backlog::default();
        for name in self.all_names(Place::Queue)? {
            let text = name.to_str().unwrap_or_default();
            let (list, id) = match text.strip_suffix(STATE) {
                Some(id) => (&mut backlog.states, id.parse()),
                None => (&mut backlog.messages, text.parse()),
            };
            match id {
                Ok(id) => list.push(id),
                Err(_) if text.ends_with(STATE) => {}
                Err(_) => backlog.strangers.push(name),
            }
        }
        backlog.messages.sort_unstable();
        backlog.states.retain(|id| backlog.messages.binary_search(id).is_err());
        Ok(backlog)
    }

    /// Forgets the state of a message that is nowhere: its removal did not come about.
    pub fn forget_stray_state(&self, id: QueueId) -> Removed {
        match fstatat(self.folder(Place::Incoming), id.as_str(), AtFlags::AT_SYMLINK_NOFOLLOW) {
            Err(Errno::ENOENT) => self.forget_state(id),
            _ => Removed::default(),
        }
    }

    fn all_names(&self, place: Place) -> io::Result<Vec<OsString>> {
        let mut folder = Dir::from_fd(openat(
            self.folder(place),
            ".",
            OFlag::O_RDONLY | OFlag::O_DIRECTORY | OFlag::O_CLOEXEC,
            Mode::empty(),
        )?)?;
        let mut names = Vec::new();
        for entry in folder.iter() {
            let name = OsStr::from_bytes(entry?.file_name().to_bytes()).to_owned();
            if name != "." && name != ".." {
                names.push(name);
            }
        }
        names.sort_unstable();
        Ok(names)
    }

    /// Opens a message; `maxbytes` is what the table says.
    ///
    /// # Errors
    /// The disk fails.
    pub fn open_message(&self, place: Place, name: &str, maxbytes: u64) -> io::Result<Opened> {
        Message::open(self.folder(place), name, &Expected { owners: self.owners, maxbytes })
    }

    /// What is remembered of a message, if anything is.
    ///
    /// # Errors
    /// The disk fails.
    pub fn state(&self, id: QueueId) -> io::Result<Option<QueueState>> {
        QueueState::load(self.queue.as_fd(), id)
    }

    /// Opens what is remembered of a message, to add to it.
    ///
    /// # Errors
    /// The disk is full or failing.
    pub fn state_file(&self, id: QueueId) -> io::Result<StateFile> {
        StateFile::open(self.queue.as_fd(), id)
    }

    /// Moves a message that has a state from `incoming/` to `queue/`.
    ///
    /// # Errors
    /// The disk is full or failing; the message is where it was.
    pub fn defer(&self, id: QueueId) -> io::Result<()> {
        let (from, to) = (self.incoming.as_fd(), self.queue.as_fd());
        Ok(renameat2(from, id.as_str(), to, id.as_str(), RenameFlags::RENAME_NOREPLACE)?)
    }

    /// Removes a message that is done with, and then its state; `removed` takes what is gone, errors or not.
    ///
    /// # Errors
    /// The disk fails.
    pub fn remove(
        &self,
        place: Place,
        id: QueueId,
        has_state: bool,
        removed: &mut Removed,
    ) -> io::Result<()> {
        removed.unlink_if_there(self.folder(place), id.as_str())?;
        if has_state {
            removed.unlink_if_there(self.queue.as_fd(), state_name(id).as_str())?;
        }
        Ok(())
    }

    /// Removes what a writer left behind when it was interrupted, if it is old enough for that.
    ///
    /// # Errors
    /// The disk fails.
    pub fn sweep_unfinished(&self, place: Place, name: &str, now: Timestamp) -> io::Result<Option<Removed>> {
        let facts = fstatat(self.folder(place), name, AtFlags::AT_SYMLINK_NOFOLLOW)?;
        // A time that lies ahead is no reason to wait for it.
        let changed =
            u64::try_from(facts.st_mtime).ok().filter(|at| *at <= now.seconds()).unwrap_or_default();
        let age = now.since(Timestamp::from_micros(changed.saturating_mul(1_000_000)));
        if age < UNFINISHED_AGE {
            return Ok(None);
        }
        Ok(remove_unfinished(self.folder(place), name)?.map(Removed::from))
    }

    /// Whether `incoming/` is still the folder that was opened.
    #[must_use]
    pub fn has_its_incoming(&self) -> bool {
        let opened = fstat(&self.incoming).map(|facts| (facts.st_dev, facts.st_ino));
        let named = nix::sys::stat::stat(&self.incoming_path).map(|facts| (facts.st_dev, facts.st_ino));
        opened.is_ok() && opened == named
    }

    /// Forgets the state of a message that was set aside.
    pub fn forget_state(&self, id: QueueId) -> Removed {
        let mut removed = Removed::default();
        // What stays of it is looked at again by the next smapd.
        let _tried = removed.unlink_if_there(self.queue.as_fd(), state_name(id).as_str());
        removed
    }

    /// Makes a message of our own, durable when it returns.
    ///
    /// # Errors
    /// The disk is full or failing.
    pub fn store(
        &self,
        envelope: &Envelope,
        write: impl FnOnce(&mut dyn FnMut(&[u8]) -> io::Result<()>) -> io::Result<()>,
    ) -> io::Result<Committed> {
        let folder = Incoming::new(self.queue.try_clone()?);
        let mut draft = Draft::begin(&folder, envelope).map_err(into_io)?;
        let result = write(&mut |text| draft.write(text).map_err(into_io))
            .and_then(|()| draft.commit().map_err(|Void(cause)| into_io(cause)));
        if result.is_err() {
            // What is left of it takes room that is missing.
            let _swept_later = unlinkat(self.queue.as_fd(), envelope.id.as_str(), UnlinkatFlags::NoRemoveDir);
        }
        result
    }

    /// Makes durable which names there are.
    ///
    /// # Errors
    /// The disk fails.
    pub fn sync(&self) -> io::Result<()> {
        let incoming = fsync(&self.incoming);
        self.sync_own().and(incoming.map_err(io::Error::from))
    }

    /// The same, of smapd's own folder only.
    ///
    /// # Errors
    /// The disk fails.
    pub fn sync_own(&self) -> io::Result<()> {
        Ok(fsync(&self.queue)?)
    }
}

fn into_io(error: spool::StoreError) -> io::Error {
    match error {
        spool::StoreError::Full(cause)
        | spool::StoreError::Descriptors(cause)
        | spool::StoreError::Failed(cause) => cause,
    }
}
