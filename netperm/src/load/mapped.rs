//! The octets of a compiled table.
//!
//! Decides whether they are mapped or read. Trusts root and the user who runs the program not to write in the file:
//! `smapctl compile` makes a new one and renames it. Where anybody else can write it, it is read whole.

use std::fs::{File, Metadata};
use std::io::{self, Read};
use std::os::unix::fs::MetadataExt;

use memmap2::{Mmap, MmapOptions};
use nix::unistd::geteuid;

use super::{WRITABLE_BY_GROUP, WRITABLE_BY_OTHERS};
use crate::tables::Bytes;

pub(super) fn octets(file: File, metadata: &Metadata) -> io::Result<Bytes> {
    if is_ours_alone(metadata) {
        return Ok(Box::new(map(&file, metadata.len())?));
    }
    let mut octets = Vec::new();
    file.take(metadata.len()).read_to_end(&mut octets)?;
    Ok(Box::new(octets))
}

/// Whether nobody but root and ourselves can write it, or allow others to.
fn is_ours_alone(metadata: &Metadata) -> bool {
    let is_ours = [0, geteuid().as_raw()].contains(&metadata.uid());
    is_ours && metadata.mode() & (WRITABLE_BY_GROUP | WRITABLE_BY_OTHERS) == 0
}

#[expect(unsafe_code, reason = "a mapped file can be changed by others")]
fn map(file: &File, length: u64) -> io::Result<Mmap> {
    let length = usize::try_from(length).map_err(|_| io::ErrorKind::FileTooLarge)?;
    // SAFETY: only root and we ourselves can write the file, and neither does: it is replaced. Should one do so all the
    // same, the reader of these octets takes any for what they are, and one cut short ends this process (SIGBUS).
    unsafe { MmapOptions::new().len(length).map_copy_read_only(file) }
}
