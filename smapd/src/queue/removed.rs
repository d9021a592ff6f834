//! Removing what a power cut may bring back.

use std::fs::File;
use std::os::fd::{BorrowedFd, OwnedFd};

use nix::errno::Errno;
use nix::fcntl::{OFlag, openat};
use nix::sys::stat::Mode;
use nix::unistd::{UnlinkatFlags, unlinkat};

/// Files that were removed, held open: their blocks stay theirs, so that a name that a power cut brings back has its
/// own text. ext4 with `data=writeback` gives the blocks of others away at once. To be dropped when the removal is
/// durable.
#[derive(Debug, Default)]
#[must_use = "to be kept until the folders are synced"]
pub struct Removed(Vec<OwnedFd>);

impl Removed {
    /// Removes a name, if it is there.
    pub(super) fn unlink_if_there(&mut self, folder: BorrowedFd<'_>, name: &str) -> nix::Result<()> {
        let flags = OFlag::O_PATH | OFlag::O_NOFOLLOW | OFlag::O_CLOEXEC;
        match openat(folder, name, flags, Mode::empty()) {
            Ok(file) => self.0.push(file),
            Err(Errno::ENOENT) => return Ok(()),
            // It is removed all the same: what cannot be held is no reason to deliver it again.
            Err(_) => {}
        }
        match unlinkat(folder, name, UnlinkatFlags::NoRemoveDir) {
            Err(Errno::ENOENT) => Ok(()),
            result => result,
        }
    }

    /// How many descriptors that takes.
    #[must_use]
    pub fn files(&self) -> usize {
        self.0.len()
    }

    /// Takes those of another.
    pub fn extend(&mut self, mut other: Self) {
        self.0.extend(std::mem::take(&mut other.0));
    }
}

impl From<File> for Removed {
    fn from(file: File) -> Self {
        Self(vec![file.into()])
    }
}

impl Drop for Removed {
    /// The last one first: ext4 has a list of such files, the last one at its head, and takes others out of it at the cost
    /// of a write to their neighbour.
    fn drop(&mut self) {
        while self.0.pop().is_some() {}
    }
}
