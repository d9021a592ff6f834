//! A filesystem in a file, and the end of its power.
//!
//! What was not yet durable when the power goes is forgotten: ext4 and XFS are shut down without their log being
//! written; of btrfs the file below it is copied while it is mounted. What a restart finds is always looked at in a
//! copy of the file, so that nothing that the kernel still has in memory can come into it. The journal's own timers
//! are set so far that they cannot make durable what a program forgot to.
//!
//! ext4 gives the blocks of a removed file away at once with `data=writeback`, before the removal is durable: there what
//! is free is written over before the power goes, as it may be, and a name that comes back shows whether it kept them.

use std::fmt;
use std::fs::{self, File};
use std::io::{self, Write};
use std::os::fd::AsRawFd;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::str::FromStr;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use nix::errno::Errno;
use nix::libc;
use nix::mount::{MntFlags, umount2};
use nix::sys::statvfs::statvfs;
use tempfile::TempDir;

use crate::process::run;
use crate::programs;

/// Its name, where all that is free is written over.
const FILLER: &str = ".filler";

/// With this, in every block.
pub const FILLING: &[u8; 64] = b"These blocks were free, and have been given to this other file.\n";

/// Which one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Filesystem {
    /// As Debian makes it: `data=ordered`.
    Ext4,
    /// `data=writeback`.
    Ext4Writeback,
    /// XFS.
    Xfs,
    /// btrfs.
    Btrfs,
}

impl Filesystem {
    /// All of them.
    pub const ALL: [Self; 4] = [Self::Ext4, Self::Ext4Writeback, Self::Xfs, Self::Btrfs];

    /// The program that makes one, how, and how large it is at least.
    #[must_use]
    pub fn maker(self) -> (&'static str, &'static [&'static str], u64) {
        match self {
            Self::Ext4 | Self::Ext4Writeback => ("mkfs.ext4", &["-q", "-m", "0"], 24 << 20),
            Self::Xfs => ("mkfs.xfs", &["-q"], 310 << 20),
            Self::Btrfs => ("mkfs.btrfs", &["-q"], 128 << 20),
        }
    }

    fn options(self) -> &'static str {
        match self {
            Self::Ext4 => "loop,data=ordered,commit=300",
            Self::Ext4Writeback => "loop,data=writeback,commit=300",
            Self::Xfs => "loop,nouuid",
            Self::Btrfs => "loop,commit=300",
        }
    }
}

impl fmt::Display for Filesystem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Ext4 => "ext4",
            Self::Ext4Writeback => "ext4-writeback",
            Self::Xfs => "xfs",
            Self::Btrfs => "btrfs",
        })
    }
}

impl FromStr for Filesystem {
    type Err = String;

    fn from_str(name: &str) -> Result<Self, String> {
        Self::ALL
            .into_iter()
            .find(|one| one.to_string() == name)
            .ok_or_else(|| format!("{name}: not a filesystem that is known"))
    }
}

/// One that is mounted at a folder, as often as is wanted.
#[derive(Debug)]
pub struct Disk {
    kind: Filesystem,
    at: PathBuf,
    files: TempDir,
    mounted: bool,
    is_cut: AtomicBool,
    lost: Lost,
}

/// What is lost with the power of what nobody has synced.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Lost {
    /// Everything.
    All,
    /// The data: somebody else's sync has just made every name durable. Of btrfs nothing less than all is lost.
    Data,
}

impl Disk {
    /// Makes one, to be filled by `fill` when it is mounted at the folder. Each [`fresh`](Self::fresh) one is a copy.
    ///
    /// # Panics
    /// It cannot be made or mounted.
    #[must_use]
    pub fn new(kind: Filesystem, at: &Path, fill: impl FnOnce()) -> Self {
        let files = tempfile::Builder::new().prefix("smap-disk-").tempdir().expect("a temporary folder");
        let mut disk = Self {
            kind,
            at: at.to_owned(),
            files,
            mounted: false,
            is_cut: AtomicBool::new(false),
            lost: Lost::All,
        };
        let (program, arguments, size) = kind.maker();
        let raw = disk.file("raw");
        File::create(&raw).and_then(|file| file.set_len(size)).expect("there is room");
        done(Command::new(programs::peer(program)).args(arguments).arg(&raw));
        disk.mount("raw");
        fill();
        disk.unmount();
        // What it wrote of zeros need not be copied each time.
        disk.copy("raw", "template");
        disk
    }

    /// What is lost with its power.
    pub fn lose(&mut self, lost: Lost) {
        self.lost = lost;
    }

    fn file(&self, name: &str) -> PathBuf {
        self.files.path().join(name)
    }

    fn copy(&self, from: &str, to: &str) {
        let _absent = fs::remove_file(self.file(to));
        done(Command::new("cp").arg("--sparse=always").arg(self.file(from)).arg(self.file(to)));
    }

    /// Mounts a new copy.
    pub fn fresh(&mut self) {
        self.unmount();
        self.copy("template", "disk");
        self.mount("disk");
    }

    /// Whether its power can go while programs have files open there, as it does. A copy of btrfs would be torn.
    #[must_use]
    pub fn can_be_cut_under_programs(&self) -> bool {
        self.kind != Filesystem::Btrfs
    }

    /// The power goes, if it is still there. Processes that have files open there must be dead by then with btrfs.
    ///
    /// # Panics
    /// The filesystem does not know the call.
    pub fn cut(&self) {
        if self.is_cut.swap(true, Ordering::SeqCst) {
            return;
        }
        match self.kind {
            Filesystem::Ext4 | Filesystem::Ext4Writeback | Filesystem::Xfs => shut_down(&self.at, self.lost),
            Filesystem::Btrfs => self.copy("disk", "left"),
        }
    }

    /// Where a filesystem may do so before a removal is durable: writes over all that is free, while nobody else does
    /// anything there.
    ///
    /// # Panics
    /// It cannot be written.
    pub fn write_over_what_is_free(&self) {
        if self.kind != Filesystem::Ext4Writeback || self.is_cut.load(Ordering::SeqCst) {
            return;
        }
        match self.fill() {
            // Of a call that had begun somebody else got the room.
            Err(error) if error.raw_os_error() == Some(libc::ENOSPC) => {}
            result => result.expect("it can be written"),
        }
    }

    /// Without a commit of the journal: a little is left, or the filesystem would make one to find more.
    fn fill(&self) -> io::Result<()> {
        const LEFT: u64 = 32 << 10;
        let facts = statvfs(&self.at)?;
        let free = (facts.blocks_available() * facts.fragment_size()).saturating_sub(LEFT);
        let mut file = File::create(self.at.join(FILLER))?;
        let chunk = FILLING.repeat(256);
        for _ in 0..free / u64::try_from(chunk.len()).unwrap_or(u64::MAX) {
            file.write_all(&chunk)?;
        }
        write_data(&file)
    }

    /// The power comes back.
    ///
    /// # Panics
    /// There is no room for another copy.
    pub fn again(&mut self) {
        if self.kind != Filesystem::Btrfs {
            self.copy("disk", "left");
        }
        self.unmount();
        fs::rename(self.file("left"), self.file("disk")).expect("one folder");
        self.mount("disk");
        // Somebody else's sync may have made it durable.
        let _none = fs::remove_file(self.at.join(FILLER));
    }

    fn mount(&mut self, name: &str) {
        if self.kind == Filesystem::Btrfs {
            // Two copies of one filesystem are one to it, and it would want the newer.
            let _none =
                Command::new("btrfs").args(["device", "scan", "--forget"]).stderr(Stdio::null()).status();
        }
        done(Command::new("mount").args(["-o", self.kind.options()]).arg(self.file(name)).arg(&self.at));
        self.mounted = true;
        *self.is_cut.get_mut() = false;
    }

    /// Programs that were told to end may need a moment.
    fn unmount(&mut self) {
        if !std::mem::take(&mut self.mounted) {
            return;
        }
        for _ in 0..400 {
            match umount2(&self.at, MntFlags::empty()) {
                Err(Errno::EBUSY) => std::thread::sleep(Duration::from_millis(5)),
                _ => return,
            }
        }
        let _gone = umount2(&self.at, MntFlags::MNT_DETACH);
    }
}

impl Drop for Disk {
    fn drop(&mut self) {
        self.unmount();
    }
}

/// Runs a program that must succeed.
fn done(command: &mut Command) {
    let ended = run(command, Stdio::null());
    assert_eq!(ended.code, 0, "{command:?}: {ended:?}");
}

#[expect(unsafe_code, reason = "nix does not know this request")]
fn shut_down(folder: &Path, lost: Lost) {
    const FS_IOC_SHUTDOWN: libc::Ioctl = 0x8004_587d;
    let how: u32 = match lost {
        Lost::All => 2,
        Lost::Data => 1,
    };
    let folder = File::open(folder).expect("it is mounted");
    // SAFETY: the kernel reads one number of 32 bits.
    let done = unsafe { libc::ioctl(folder.as_raw_fd(), FS_IOC_SHUTDOWN, &raw const how) };
    Errno::result(done).expect("the filesystem can be shut down");
}

/// Writes what is in memory of the file to the disk, and nothing of what is known of it.
#[expect(unsafe_code, reason = "nix does not know this call")]
fn write_data(file: &File) -> io::Result<()> {
    let all =
        libc::SYNC_FILE_RANGE_WAIT_BEFORE | libc::SYNC_FILE_RANGE_WRITE | libc::SYNC_FILE_RANGE_WAIT_AFTER;
    // SAFETY: the call takes no memory of ours.
    Ok(Errno::result(unsafe { libc::sync_file_range(file.as_raw_fd(), 0, 0, all) }).map(drop)?)
}
