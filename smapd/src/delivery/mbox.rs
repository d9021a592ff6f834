//! Delivery to a mailbox of one file: mboxrd, the variant whose quoting can be undone.
//!
//! Decides how long to wait for others who use the file. Trusts the path of the file as far as its folder; a
//! link, a device or a file with two names is no mailbox. Guarantees that a message that is reported as
//! delivered is whole, and durable; that a reader never sees half of one whose lock it respects; and that an
//! attempt which failed leaves the file as it was. No failure is final: nothing here is the sender's fault.
//!
//! Locks are those of Debian's policy (section 11.6): fcntl first, then `FILE.lock`, neither waited for while
//! the other is held. The fcntl lock is one of the open file, not of the process, so that it also holds
//! between our own threads.

use std::ffi::OsString;
use std::fs::{self, File, OpenOptions};
use std::io::{self, BufWriter, Write};
use std::os::unix::fs::{FileExt, MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use nix::errno::Errno;
use nix::fcntl::{AT_FDCWD, FcntlArg, fcntl};
use nix::libc;
use nix::unistd::{UnlinkatFlags, unlinkat};
use smap_common::address::ReversePath;
use smap_common::clock::Timestamp;
use smap_common::status::Status;

use self::quote::FromQuoter;
use super::{Report, cannot};
use crate::content::Content;

mod quote;
#[cfg(test)]
mod tests;

/// How long others may keep the file locked before the message is tried again later.
const PATIENCE: Duration = Duration::from_secs(5);
/// The wait after the first try; it doubles up to [`LONGEST_PAUSE`].
const FIRST_PAUSE: Duration = Duration::from_millis(10);
/// The longest wait between two tries.
const LONGEST_PAUSE: Duration = Duration::from_secs(1);
/// A lock file that is older than this was left by a crash.
const STALE: Duration = Duration::from_mins(10);
/// Octets gathered before they are written.
const BUFFER: usize = 64 * 1024;

const _: () = assert!(FIRST_PAUSE.as_millis() < LONGEST_PAUSE.as_millis());
const _: () = assert!(LONGEST_PAUSE.as_secs() < PATIENCE.as_secs() && PATIENCE.as_secs() < STALE.as_secs());

/// No link leads out of `folder` on the way to `file`: what lies in it may be made by those who write there.
///
/// # Errors
/// One does, or the way cannot be looked at.
pub fn check_inside(file: &Path, folder: &Path) -> Result<(), Report> {
    let within = file.ancestors().skip(1).take_while(|path| *path != folder);
    for path in within {
        let facts = fs::symlink_metadata(path).map_err(|cause| cannot("look at", path, &cause))?;
        if !facts.is_dir() {
            let cause = io::Error::other("not a folder (symbolic links are not followed)");
            return Err(cannot("write in", path, &cause));
        }
    }
    Ok(())
}

/// Appends `content` to the mailbox `file`, which is made if it is missing.
pub fn deliver(file: &Path, sender: &ReversePath, content: &Content, at: Timestamp) -> Report {
    deliver_within(PATIENCE, file, &from_line(sender, at), content)
}

fn deliver_within(patience: Duration, file: &Path, from_line: &str, content: &Content) -> Report {
    let stored = Mailbox::lock(file, patience).and_then(|mailbox| {
        mailbox.append(from_line, content).map_err(|cause| cannot("write to", file, &cause))
    });
    match stored {
        Ok(()) => Report::delivered(format!("appended to {}", file.display())),
        Err(report) => report,
    }
    .by(file.to_string_lossy())
}

/// The line that begins a message: who sent it, as one word, and when, as asctime(3) writes it, in UTC.
fn from_line(sender: &ReversePath, at: Timestamp) -> String {
    let sender = sender.address().map_or_else(|| "MAILER-DAEMON".to_owned(), ToString::to_string);
    let sender: String = sender.chars().map(|c| if c.is_whitespace() { '_' } else { c }).collect();
    let seconds = i64::try_from(at.seconds()).unwrap_or(i64::MAX);
    let date = jiff::Timestamp::from_second(seconds).unwrap_or_default().strftime("%a %b %e %H:%M:%S %Y");
    format!("From {sender} {date}\n")
}

/// A mailbox that nobody else may use now.
#[derive(Debug)]
struct Mailbox {
    // Dropped first: locks are given back in the reverse order.
    _lock_file: LockFile,
    file: File,
    path: PathBuf,
}

impl Mailbox {
    fn lock(path: &Path, patience: Duration) -> Result<Self, Report> {
        let until = Instant::now() + patience;
        let mut pause = FIRST_PAUSE;
        loop {
            if let Some(mailbox) = Self::try_lock(path)? {
                return Ok(mailbox);
            }
            let left = until.saturating_duration_since(Instant::now());
            if left.is_zero() {
                let reply = format!("{} is locked by another program", path.display());
                return Err(Report::deferred(Status::transient(2, 0), reply));
            }
            std::thread::sleep(pause.min(left));
            pause = pause.saturating_mul(2).min(LONGEST_PAUSE);
        }
    }

    /// `None` while somebody else has it.
    fn try_lock(path: &Path) -> Result<Option<Self>, Report> {
        let file = open(path).map_err(|cause| cannot("open mailbox", path, &cause))?;
        if !lock_open_file(&file).map_err(|cause| cannot("lock", path, &cause))? {
            return Ok(None);
        }
        let lock_path = lock_path(path);
        let lock_file =
            LockFile::create(lock_path.clone()).map_err(|cause| cannot("create", &lock_path, &cause))?;
        let Some(_lock_file) = lock_file else { return Ok(None) };
        // Who rewrites a mailbox may have put another file in its place before we had the locks.
        let still_there = is_file_of(&file, path).map_err(|cause| cannot("open mailbox", path, &cause))?;
        Ok(still_there.then(|| Self { _lock_file, file, path: path.to_owned() }))
    }

    fn append(&self, from_line: &str, content: &Content) -> io::Result<()> {
        let before = self.file.metadata()?.len();
        let written = self.write(before, from_line, content).and_then(|()| self.sync(before == 0));
        if written.is_err() {
            // If this fails too the next message still begins on a line of its own.
            let _the_disk_is_gone = self.file.set_len(before).and_then(|()| self.file.sync_all());
        }
        written
    }

    fn write(&self, before: u64, from_line: &str, content: &Content) -> io::Result<()> {
        let mut output = BufWriter::with_capacity(BUFFER, &self.file);
        output.write_all(self.missing_line_ends(before)?)?;
        output.write_all(from_line.as_bytes())?;
        let mut quoter = FromQuoter::new(&mut output);
        content.write_local(&mut quoter)?;
        quoter.finish()?;
        output.flush()
    }

    /// What stands before a message must end in an empty line, and may not after a crash.
    fn missing_line_ends(&self, length: u64) -> io::Result<&'static [u8]> {
        let mut last = [b'\n'; 2];
        match length {
            0 => {}
            1 => self.file.read_exact_at(last.split_at_mut(1).1, 0)?,
            _ => self.file.read_exact_at(&mut last, length - 2)?,
        }
        Ok(match &last {
            b"\n\n" => b"",
            [_, b'\n'] => b"\n",
            _ => b"\n\n",
        })
    }

    /// A file that was empty may be new: then its name must be durable too.
    fn sync(&self, new: bool) -> io::Result<()> {
        self.file.sync_all()?;
        match self.path.parent() {
            Some(folder) if new => File::open(folder)?.sync_all(),
            _ => Ok(()),
        }
    }
}

/// Opens the mailbox, or makes it; neither waits for a FIFO nor follows a link.
fn open(path: &Path) -> io::Result<File> {
    let flags = libc::O_NOFOLLOW | libc::O_NONBLOCK | libc::O_NOCTTY;
    let file =
        OpenOptions::new().read(true).append(true).create(true).mode(0o600).custom_flags(flags).open(path);
    let file = match file {
        Err(error) if error.raw_os_error() == Some(libc::ELOOP) => {
            return Err(io::Error::other("it is a symbolic link"));
        }
        opened => opened?,
    };
    let facts = file.metadata()?;
    match facts {
        _ if !facts.is_file() => Err(io::Error::other("it is not a regular file")),
        // None: somebody has just removed it, and will not be there the next time.
        _ if facts.nlink() > 1 => Err(io::Error::other("it has more than one name")),
        _ => Ok(file),
    }
}

/// Takes the fcntl lock of the open file; false while another holds one.
fn lock_open_file(file: &File) -> io::Result<bool> {
    let kind = |number: libc::c_int| libc::c_short::try_from(number).map_err(io::Error::other);
    let whole_file = libc::flock {
        l_type: kind(libc::F_WRLCK)?,
        l_whence: kind(libc::SEEK_SET)?,
        l_start: 0,
        l_len: 0,
        // The kernel wants it so for a lock of an open file.
        l_pid: 0,
    };
    match fcntl(file, FcntlArg::F_OFD_SETLK(&whole_file)) {
        Ok(_) => Ok(true),
        Err(Errno::EAGAIN | Errno::EACCES) => Ok(false),
        Err(errno) => Err(errno.into()),
    }
}

fn is_file_of(file: &File, path: &Path) -> io::Result<bool> {
    let ours = file.metadata()?;
    match fs::symlink_metadata(path) {
        Ok(named) => Ok((named.dev(), named.ino()) == (ours.dev(), ours.ino())),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(false),
        Err(error) => Err(error),
    }
}

fn lock_path(mailbox: &Path) -> PathBuf {
    let mut path = OsString::from(mailbox);
    path.push(".lock");
    path.into()
}

/// `FILE.lock`; it is removed when this is dropped.
#[derive(Debug)]
struct LockFile(PathBuf);

impl LockFile {
    /// `None` while another program holds it. One that was left by a crash is removed.
    fn create(path: PathBuf) -> io::Result<Option<Self>> {
        match OpenOptions::new().write(true).create_new(true).mode(0o600).open(&path) {
            Ok(mut file) => {
                let lock = Self(path);
                write!(file, "{}", std::process::id())?;
                Ok(Some(lock))
            }
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {
                if is_stale(&path) {
                    remove(&path)?;
                }
                Ok(None)
            }
            Err(error) => Err(error),
        }
    }
}

fn is_stale(lock: &Path) -> bool {
    let changed = fs::symlink_metadata(lock).and_then(|facts| facts.modified());
    changed.is_ok_and(|changed| changed.elapsed().is_ok_and(|age| age > STALE))
}

impl Drop for LockFile {
    fn drop(&mut self) {
        // A lock that cannot be removed is stale in ten minutes.
        let _until_stale = remove(&self.0);
    }
}

/// By the one call for it that smapd's filter lets through.
fn remove(path: &Path) -> nix::Result<()> {
    unlinkat(AT_FDCWD, path, UnlinkatFlags::NoRemoveDir)
}
