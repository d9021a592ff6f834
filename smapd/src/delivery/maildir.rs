//! Delivery to a Maildir.
//!
//! Decides a name that nobody else chooses. Trusts the path of the folder as far as its parent; of the folder
//! itself and what is in it, no symbolic link is followed. Guarantees that a message that is reported as
//! delivered is whole, and durable with its name; that nothing is overwritten; and that an attempt which
//! failed leaves nothing in `tmp/`. No failure is final: nothing here is the sender's fault.

use std::fs::File;
use std::io::{self, BufWriter};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::path::Path;
use std::sync::atomic::{AtomicU64, Ordering};

use nix::errno::Errno;
use nix::fcntl::{AtFlags, OFlag, open, openat};
use nix::sys::stat::{Mode, mkdirat};
use nix::unistd::{UnlinkatFlags, fsync, linkat, unlinkat};
use smap_common::clock::Timestamp;
use smap_common::spool::QueueId;

use super::{Report, cannot};
use crate::content::Content;

#[cfg(test)]
mod tests;

/// Octets gathered before they are written.
const BUFFER: usize = 64 * 1024;

/// Deliveries of this process so far.
static DELIVERIES: AtomicU64 = AtomicU64::new(0);

/// Delivers `content` into the Maildir `folder`, which is made if only it is missing. `host` is our name.
pub fn deliver(folder: &Path, host: &str, content: &Content) -> Report {
    let name = unique_name(Timestamp::now(), content.message().envelope.id, host);
    match store(folder, &name, content) {
        Ok(()) => Report::delivered(format!("saved as {name}")),
        Err(report) => report,
    }
    .by(folder.to_string_lossy())
}

/// `M`, `P` and `Q` are the letters of the Maildir page for microseconds, process and number of deliveries.
fn unique_name(at: Timestamp, id: QueueId, host: &str) -> String {
    let delivery = DELIVERIES.fetch_add(1, Ordering::Relaxed);
    let (seconds, micros, process) = (at.seconds(), at.micros() % 1_000_000, std::process::id());
    let host = host.replace('/', "\\057").replace(':', "\\072");
    format!("{seconds}.M{micros}P{process}Q{delivery}_{id}.{host}")
}

fn store(folder: &Path, name: &str, content: &Content) -> Result<(), Report> {
    let maildir = Maildir::open(folder)?;
    let file = Temporary::create(&maildir, name).map_err(|errno| maildir.failed("tmp", errno.into()))?;
    file.write(content).map_err(|cause| maildir.failed("tmp", cause))?;
    file.publish().map_err(|errno| maildir.failed("new", errno.into()))
}

/// The folders of a Maildir that a delivery needs.
struct Maildir<'a> {
    path: &'a Path,
    tmp: OwnedFd,
    new: OwnedFd,
}

impl<'a> Maildir<'a> {
    fn open(path: &'a Path) -> Result<Self, Report> {
        let in_the_way = |path: &Path, errno: Errno| match errno {
            Errno::ELOOP | Errno::ENOTDIR => {
                let cause = io::Error::other("not a folder (symbolic links are not followed)");
                cannot("deliver to", path, &cause)
            }
            errno => cannot("open folder", path, &errno.into()),
        };
        // A name ends without the slash that would make a link to be followed.
        let (Some(parent), Some(name)) = (path.parent(), path.file_name()) else {
            return Err(in_the_way(path, Errno::ENOTDIR));
        };
        let outer = open(parent, OFlag::O_DIRECTORY | OFlag::O_CLOEXEC, Mode::empty())
            .map_err(|errno| cannot("open folder", parent, &errno.into()))?;
        let folder = open_or_make(outer.as_fd(), Path::new(name)).map_err(|errno| in_the_way(path, errno))?;
        let part = |name: &str| {
            open_or_make(folder.as_fd(), Path::new(name)).map_err(|errno| in_the_way(&path.join(name), errno))
        };
        let (tmp, new, _cur) = (part("tmp")?, part("new")?, part("cur")?);
        Ok(Self { path, tmp, new })
    }

    fn failed(&self, part: &str, cause: io::Error) -> Report {
        cannot("write in", &self.path.join(part), &cause)
    }
}

/// Opens a folder, never through a symbolic link; makes it, durably, where there is none.
fn open_or_make(parent: BorrowedFd<'_>, name: &Path) -> nix::Result<OwnedFd> {
    let flags = OFlag::O_DIRECTORY | OFlag::O_NOFOLLOW | OFlag::O_CLOEXEC;
    match openat(parent, name, flags, Mode::empty()) {
        Err(Errno::ENOENT) => {}
        opened => return opened,
    }
    match mkdirat(parent, name, Mode::S_IRWXU) {
        // Another delivery may have made it meanwhile.
        Ok(()) | Err(Errno::EEXIST) => fsync(parent)?,
        Err(errno) => return Err(errno),
    }
    openat(parent, name, flags, Mode::empty())
}

/// A file in `tmp/`; it is gone from there when this is dropped, delivered or not.
struct Temporary<'a> {
    maildir: &'a Maildir<'a>,
    name: &'a str,
    file: File,
}

impl<'a> Temporary<'a> {
    fn create(maildir: &'a Maildir<'_>, name: &'a str) -> nix::Result<Self> {
        let flags = OFlag::O_WRONLY | OFlag::O_CREAT | OFlag::O_EXCL | OFlag::O_NOFOLLOW | OFlag::O_CLOEXEC;
        let file = openat(maildir.tmp.as_fd(), name, flags, Mode::S_IRUSR | Mode::S_IWUSR)?;
        Ok(Self { maildir, name, file: File::from(file) })
    }

    fn write(&self, content: &Content) -> io::Result<()> {
        let mut output = BufWriter::with_capacity(BUFFER, &self.file);
        content.write_local(&mut output)?;
        output.into_inner()?.sync_all()
    }

    /// A link does what a rename does not: it fails where there is a file of that name.
    fn publish(self) -> nix::Result<()> {
        let Maildir { tmp, new, .. } = self.maildir;
        linkat(tmp.as_fd(), self.name, new.as_fd(), self.name, AtFlags::empty())?;
        fsync(new.as_fd())
    }
}

impl Drop for Temporary<'_> {
    fn drop(&mut self) {
        // What cannot be removed is removed by the readers of the Maildir, after 36 hours.
        let _theirs = unlinkat(self.maildir.tmp.as_fd(), self.name, UnlinkatFlags::NoRemoveDir);
    }
}
