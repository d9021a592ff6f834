//! What is set aside: moved out of the way, never over anything, with its reason beside it.

use std::ffi::OsStr;
use std::fmt::Display;
use std::fs::File;
use std::io::{self, Write};
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

use nix::errno::Errno;
use nix::fcntl::{AT_FDCWD, AtFlags, RenameFlags, renameat2};
use nix::sys::stat::{Mode, SFlag, fstatat, mkdirat};
use nix::unistd::{UnlinkatFlags, unlinkat};

use super::{Place, Queue};

/// Octets of a name that are kept in `bad/`: a number and `.reason` have room behind them.
const MOST_NAME: usize = 240;

impl Queue {
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
}
