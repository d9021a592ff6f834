//! The folder that smap creates messages in, with no more system calls than its filter lets through.
//!
//! Guarantees that a file is created anew or not at all, is locked from then on, and has its name.

use std::fs::File;
use std::io::{self, Write};
use std::mem::MaybeUninit;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};
use std::os::unix::fs::FileExt;

use nix::errno::Errno;
use nix::fcntl::openat;
use nix::sys::stat::Mode;
use nix::unistd::close;

use super::draft::{Folder, SpoolFile};
use crate::confine::CREATE_ONLY;

#[cfg(test)]
mod tests;

/// A folder of the spool, opened before confinement: the one thing that smap can still reach in the file
/// system.
#[derive(Debug)]
pub struct Incoming(OwnedFd);

impl Incoming {
    /// Messages are created in this folder.
    #[must_use]
    pub fn new(folder: OwnedFd) -> Self {
        Self(folder)
    }
}

impl AsFd for Incoming {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.0.as_fd()
    }
}

impl Folder for Incoming {
    type File = Locked;

    fn create(&self, name: &str) -> io::Result<Locked> {
        let file = openat(self.0.as_fd(), name, CREATE_ONLY, Mode::S_IRUSR | Mode::S_IRGRP)?;
        let locked = Locked(Some(file.into()));
        locked.file()?.lock()?;
        // smapd removes files that nobody has locked: it must not have been this one, between the two calls above.
        if has_name(locked.file()?)? { Ok(locked) } else { Err(Errno::ESTALE.into()) }
    }
}

/// A file that nobody else may write or remove while this lives.
#[derive(Debug)]
pub struct Locked(Option<File>);

impl Locked {
    fn file(&self) -> io::Result<&File> {
        self.0.as_ref().ok_or_else(|| Errno::EBADF.into())
    }
}

impl SpoolFile for Locked {
    fn append(&mut self, octets: &[u8]) -> io::Result<()> {
        self.file()?.write_all(octets)
    }

    fn overwrite(&mut self, offset: u64, octets: &[u8]) -> io::Result<()> {
        self.file()?.write_all_at(octets, offset)
    }

    fn sync(&mut self) -> io::Result<()> {
        self.file()?.sync_all()
    }
}

impl Drop for Locked {
    /// By hand: a debug build of the standard library makes a system call more of it, and where another thread
    /// forks, its child has the file for a moment, and would keep the lock.
    fn drop(&mut self) {
        if let Some(file) = self.0.take() {
            // What counts was synced; what fails here is done when this process ends.
            let _nothing_to_do = (file.unlock(), close(file));
        }
    }
}

/// Whether the file has a name. By fstat(2) itself: the C library asks by a call that takes paths too.
#[expect(unsafe_code, reason = "nix and the standard library look at a file by other calls")]
fn has_name(file: &File) -> io::Result<bool> {
    let mut facts = MaybeUninit::<libc::stat>::uninit();
    // SAFETY: the kernel writes one `struct stat`, which on 64-bit machines is the C library's own.
    if unsafe { libc::syscall(libc::SYS_fstat, file.as_raw_fd(), facts.as_mut_ptr()) } != 0 {
        return Err(io::Error::last_os_error());
    }
    // SAFETY: the call succeeded and has filled it.
    Ok(unsafe { facts.assume_init() }.st_nlink > 0)
}
