//! The spool's folders, as smapd works in them: every rename, removal and scan is here.
//!
//! Trusts nothing that lies in `incoming/`. Guarantees that a message is removed before its state, and that nothing is
//! overwritten in `bad/`.

use std::ffi::{OsStr, OsString};
use std::fmt::{self, Display};
use std::fs::File;
use std::io::{self, Write};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};
use std::time::Duration;

use nix::dir::Dir;
use nix::errno::Errno;
use nix::fcntl::{AT_FDCWD, AtFlags, Flock, FlockArg, OFlag, RenameFlags, open, openat, renameat2};
use nix::sys::stat::{Mode, SFlag, fstat, fstatat, mkdirat};
use nix::unistd::{UnlinkatFlags, unlinkat};
use smap_common::clock::Timestamp;
use smap_common::envelope::Envelope;
use smap_common::spool::{
    self, Committed, Draft, Expected, Incoming, Layout, Message, Opened, QueueId, QueueState, StateFile,
    Void, remove_unfinished, state_name,
};

/// How the name of a state ends.
const STATE: &str = ".state";
/// Octets of a name that are kept in `bad/`: a number and `.reason` have room behind them.
const MOST_NAME: usize = 240;

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

impl Display for QueueError {
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

    /// Removes a message wherever it lies, and then its state.
    ///
    /// # Errors
    /// The disk fails.
    pub fn remove_anywhere(&self, id: QueueId) -> io::Result<()> {
        unlink_if_there(self.folder(Place::Incoming), id.as_str())?;
        self.remove(Place::Queue, id, true)
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
    pub fn forget_stray_state(&self, id: QueueId) {
        let at = fstatat(self.folder(Place::Incoming), id.as_str(), AtFlags::AT_SYMLINK_NOFOLLOW);
        if at == Err(Errno::ENOENT) {
            self.forget_state(id);
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

    /// Removes a message that is done with, and then its state.
    ///
    /// # Errors
    /// The disk fails.
    pub fn remove(&self, place: Place, id: QueueId, has_state: bool) -> io::Result<()> {
        unlink_if_there(self.folder(place), id.as_str())?;
        if has_state {
            unlink_if_there(self.queue.as_fd(), state_name(id).as_str())?;
        }
        Ok(())
    }

    /// Removes what a writer left behind when it was interrupted; says whether it did.
    ///
    /// # Errors
    /// The disk fails.
    pub fn sweep_unfinished(&self, place: Place, name: &str, now: Timestamp) -> io::Result<bool> {
        let facts = fstatat(self.folder(place), name, AtFlags::AT_SYMLINK_NOFOLLOW)?;
        // A time that lies ahead is no reason to wait for it.
        let changed =
            u64::try_from(facts.st_mtime).ok().filter(|at| *at <= now.seconds()).unwrap_or_default();
        let age = now.since(Timestamp::from_micros(changed.saturating_mul(1_000_000)));
        if age < UNFINISHED_AGE { Ok(false) } else { remove_unfinished(self.folder(place), name) }
    }

    /// Sets a file aside; says where it is now. Where `baddir` does not take it, because it is
    /// on another filesystem or full, it goes to the spool's own.
    ///
    /// # Errors
    /// Neither folder takes it.
    pub fn set_aside(&self, place: Place, name: &OsStr) -> io::Result<PathBuf> {
        match self.move_to(place, name, &self.bad) {
            Err(Errno::EACCES) if self.is_folder(place, name) => self.replace_folder(place, name),
            Err(_) if self.bad != self.own_bad => Ok(self.move_to(place, name, &self.own_bad)?),
            result => Ok(result?),
        }
    }

    fn is_folder(&self, place: Place, name: &OsStr) -> bool {
        fstatat(self.folder(place), name, AtFlags::AT_SYMLINK_NOFOLLOW)
            .is_ok_and(|facts| SFlag::from_bits_truncate(facts.st_mode) & SFlag::S_IFMT == SFlag::S_IFDIR)
    }

    /// A folder of somebody else cannot be moved; an empty one can be removed, and another stands for it.
    fn replace_folder(&self, place: Place, name: &OsStr) -> io::Result<PathBuf> {
        unlinkat(self.folder(place), name, UnlinkatFlags::RemoveDir)?;
        let path = self.bad.join(name);
        mkdirat(AT_FDCWD, &path, Mode::S_IRWXU)?;
        Ok(path)
    }

    /// Writes the reason beside a file that was set aside. What somebody else has put there stays.
    ///
    /// # Errors
    /// Something is there, or the disk is full or failing.
    pub fn explain(&self, path: &Path, reason: &dyn Display) -> io::Result<()> {
        let mut beside = path.to_owned().into_os_string();
        beside.push(".reason");
        let mut file = File::options().write(true).create_new(true).open(beside)?;
        writeln!(file, "{reason}")
    }

    /// Whether `incoming/` is still the folder that was opened.
    #[must_use]
    pub fn has_its_incoming(&self) -> bool {
        let opened = fstat(&self.incoming).map(|facts| (facts.st_dev, facts.st_ino));
        let named = nix::sys::stat::stat(&self.incoming_path).map(|facts| (facts.st_dev, facts.st_ino));
        opened.is_ok() && opened == named
    }

    fn move_to(&self, place: Place, name: &OsStr, folder: &Path) -> nix::Result<PathBuf> {
        let kept = name.as_bytes().get(..MOST_NAME).map_or(name, OsStr::from_bytes);
        for number in 1..1000 {
            let mut unique = kept.to_owned();
            if number > 1 {
                unique.push(format!(".{number}"));
            }
            let path = folder.join(unique);
            match renameat2(self.folder(place), name, AT_FDCWD, &path, RenameFlags::RENAME_NOREPLACE) {
                Ok(()) => return Ok(path),
                Err(Errno::EEXIST) => {}
                Err(errno) => return Err(errno),
            }
        }
        Err(Errno::EEXIST)
    }

    /// Forgets the state of a message that was set aside.
    pub fn forget_state(&self, id: QueueId) {
        // There may be none.
        let _absent = unlinkat(self.queue.as_fd(), state_name(id).as_str(), UnlinkatFlags::NoRemoveDir);
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

    /// The folders, to be synced.
    ///
    /// # Errors
    /// No descriptors.
    pub fn folders(&self) -> io::Result<[File; 2]> {
        Ok([self.incoming.try_clone()?.into(), self.queue.try_clone()?.into()])
    }
}

fn unlink_if_there(folder: BorrowedFd<'_>, name: &str) -> nix::Result<()> {
    match unlinkat(folder, name, UnlinkatFlags::NoRemoveDir) {
        Err(Errno::ENOENT) => Ok(()),
        result => result,
    }
}

fn into_io(error: spool::StoreError) -> io::Error {
    match error {
        spool::StoreError::Full(cause)
        | spool::StoreError::Descriptors(cause)
        | spool::StoreError::Failed(cause) => cause,
    }
}
