//! Reading a message: smapd's side of the file, and smapctl's.
//!
//! Trusts nothing that it finds: a smap that was taken over may have put anything there. Guarantees that a
//! [`Message`] was whole and unlocked when it was opened, that no more of it is read than its END record says,
//! and that opening it neither waits nor follows a link.

use std::fmt;
use std::fs::{File, TryLockError};
use std::io;
use std::os::fd::BorrowedFd;
use std::os::unix::fs::FileExt;

use nix::errno::Errno;
use nix::fcntl::{AtFlags, openat};
use nix::sys::stat::{FileStat, Mode, SFlag, fstat, fstatat};
use nix::unistd::{UnlinkatFlags, unlinkat};

use super::body::{Body, Store};
use super::draft::{END_LENGTH, end_record};
use crate::envelope::{BadEnvelope, Envelope, MAX_ENVELOPE};
use crate::spool::{QueueId, READ};

#[cfg(test)]
mod tests;

/// A file up to this size is read at once and delivered from memory.
const SMALL: u64 = 64 * 1024;
/// A file up to this size is read whatever `maxbytes` says now: it may have been larger when the message came.
const ALWAYS: u64 = 1 << 30;
/// What stands around a body, at most.
const FRAME: u64 = 32 << 20;

const _: () = assert!(MAX_ENVELOPE < 32 << 20);

/// What is expected of a message file.
#[derive(Debug, Clone, Copy)]
pub struct Expected {
    /// Whose it may be: smap's, smapd's.
    pub owners: [u32; 2],
    /// Octets of the longest body that smap takes.
    pub maxbytes: u64,
}

/// What opening a spool file found.
#[derive(Debug)]
pub enum Opened {
    /// A whole message.
    Message(Box<Message>),
    /// It is still being written.
    Busy,
    /// Nobody writes it any more and it has no END record: smap was interrupted, or refused it.
    Unfinished,
    /// It is gone: somebody else took it.
    Gone,
    /// Not what belongs there.
    Poison(Poison),
}

/// Why a file is set aside.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Poison {
    /// Its name is not a queue id.
    Name,
    /// A link, a folder, a FIFO, a device.
    NotAFile,
    /// It has other names: smap may not link, so somebody else put it there.
    Linked,
    /// It belongs to another user.
    Owner(u32),
    /// Its owner has taken the right to read it away.
    Unreadable,
    /// Its envelope cannot be read.
    Envelope(BadEnvelope),
    /// Its envelope names another message.
    OtherId(QueueId),
    /// It is so long that reading it would hold up everything else: smap cannot have written it.
    TooLong,
    /// Its END record does not agree with it.
    Checksum,
    /// It has a record that this version must understand and does not.
    UnknownRecord,
}

impl fmt::Display for Poison {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Name => f.write_str("the name is not a queue id"),
            Self::NotAFile => f.write_str("not a regular file"),
            Self::Linked => f.write_str("the file has more than one name"),
            Self::Owner(uid) => write!(f, "the file belongs to uid {uid}"),
            Self::Unreadable => f.write_str("its mode lets nobody read it"),
            Self::Envelope(fault) => fault.fmt(f),
            Self::OtherId(id) => write!(f, "the envelope is that of {id}"),
            Self::TooLong => f.write_str("the file is longer than any message"),
            Self::Checksum => f.write_str("the checksum is wrong"),
            Self::UnknownRecord => f.write_str("a record of an unknown kind"),
        }
    }
}

/// A whole message.
#[derive(Debug)]
pub struct Message {
    /// Its envelope.
    pub envelope: Envelope,
    /// Its body.
    pub body: Body,
}

impl Message {
    /// Opens `name` in `folder`.
    ///
    /// # Errors
    /// The disk fails, or this process may not read the file.
    pub fn open(folder: BorrowedFd<'_>, name: &str, expected: &Expected) -> io::Result<Opened> {
        let Ok(id) = name.parse::<QueueId>() else { return Ok(Opened::Poison(Poison::Name)) };
        let file = match openat(folder, name, READ, Mode::empty()) {
            Ok(file) => File::from(file),
            Err(Errno::ENOENT) => return Ok(Opened::Gone),
            Err(Errno::ELOOP | Errno::ENXIO | Errno::EISDIR | Errno::ENODEV) => {
                return Ok(Opened::Poison(Poison::NotAFile));
            }
            // Where it is our rights that are too small every message is in the same case, and none is set aside.
            Err(Errno::EACCES) => {
                let facts = fstatat(folder, name, AtFlags::AT_SYMLINK_NOFOLLOW)?;
                return judge(&facts, &expected.owners).map(Opened::Poison).ok_or(Errno::EACCES.into());
            }
            Err(errno) => return Err(errno.into()),
        };
        // What is locked has its last size.
        let locked = file.try_lock_shared();
        let facts = fstat(&file)?;
        if let Some(poison) = judge(&facts, &expected.owners).filter(|poison| *poison != Poison::Unreadable) {
            return Ok(Opened::Poison(poison));
        }
        match locked {
            Ok(()) => {
                let size = u64::try_from(facts.st_size).unwrap_or_default();
                Ok(read(file, size, id, expected)?.unwrap_or_else(Opened::Poison))
            }
            Err(TryLockError::WouldBlock) => Ok(Opened::Busy),
            Err(TryLockError::Error(error)) => Err(error),
        }
    }
}

/// Removes `name` if nobody writes it and it has no END record, and gives back the file that it was. Its writer, if it
/// only now comes to lock it, sees that it is gone.
///
/// # Errors
/// The disk fails.
pub fn remove_unfinished(folder: BorrowedFd<'_>, name: &str) -> io::Result<Option<File>> {
    let file = File::from(openat(folder, name, READ, Mode::empty())?);
    if file.try_lock().is_err() {
        return Ok(None);
    }
    let size = file.metadata()?.len();
    let mut tail = [0; END_LENGTH];
    let end = size.checked_sub(u64::try_from(END_LENGTH).unwrap_or_default());
    if let Some(end) = end {
        file.read_exact_at(&mut tail, end)?;
    }
    if parse_end(&tail).is_some() {
        return Ok(None);
    }
    unlinkat(folder, name, UnlinkatFlags::NoRemoveDir)?;
    // Its writer may wait for the lock, and the file is to be held open.
    let _held_longer = file.unlock();
    Ok(Some(file))
}

fn judge(facts: &FileStat, owners: &[u32; 2]) -> Option<Poison> {
    let [_, own] = *owners;
    // What is smapd's own it reads as the owner, what is smap's by its group.
    let readable = if facts.st_uid == own { Mode::S_IRUSR } else { Mode::S_IRGRP };
    match facts {
        _ if facts.st_mode & SFlag::S_IFMT.bits() != SFlag::S_IFREG.bits() => Some(Poison::NotAFile),
        _ if facts.st_nlink > 1 => Some(Poison::Linked),
        _ if !owners.contains(&facts.st_uid) => Some(Poison::Owner(facts.st_uid)),
        _ if facts.st_mode & readable.bits() == 0 => Some(Poison::Unreadable),
        _ => None,
    }
}

/// What the END record says.
struct End {
    body: u64,
    records: u64,
    checksum: u32,
}

/// Reads a file that is locked, and unlocks it: a small one by closing it.
fn read(file: File, size: u64, id: QueueId, expected: &Expected) -> io::Result<Result<Opened, Poison>> {
    let end_length = u64::try_from(END_LENGTH).unwrap_or_default();
    let Some(covered) = size.checked_sub(end_length) else { return Ok(Ok(Opened::Unfinished)) };
    let store = if size <= SMALL {
        let mut text = vec![0; usize::try_from(size).unwrap_or_default()];
        file.read_exact_at(&mut text, 0)?;
        Store::Memory(text)
    } else {
        file.unlock()?;
        Store::File(file)
    };
    let whole = Body { store, start: 0, length: size };
    let mut tail = [0; END_LENGTH];
    whole.read_at(covered, &mut tail)?;
    let Some(end) = parse_end(&tail) else { return Ok(Ok(Opened::Unfinished)) };
    if size > expected.maxbytes.max(ALWAYS).saturating_add(FRAME) {
        return Ok(Err(Poison::TooLong));
    }
    let mut head = Vec::new();
    let mut checksum = crc32fast::Hasher::new();
    let checked = Body { store: whole.store, start: 0, length: covered };
    let envelope = covered.saturating_sub(end.body).saturating_sub(end.records);
    let wanted = usize::try_from(envelope).unwrap_or(usize::MAX).min(MAX_ENVELOPE);
    checked.for_each(|text| {
        checksum.update(text);
        let missing = wanted.saturating_sub(head.len()).min(text.len());
        head.extend_from_slice(text.get(..missing).unwrap_or_default());
        Ok(())
    })?;
    if checksum.finalize() != end.checksum {
        return Ok(Err(Poison::Checksum));
    }
    let mut records = vec![0; usize::try_from(end.records.min(covered)).unwrap_or_default()];
    checked.read_at(covered.saturating_sub(end.records), &mut records)?;
    Ok(judge_records(&records).and_then(|()| message(checked.store, &head, &end, covered, id)))
}

fn message(store: Store, head: &[u8], end: &End, covered: u64, id: QueueId) -> Result<Opened, Poison> {
    let (envelope, length) = Envelope::parse(head).map_err(Poison::Envelope)?;
    let start = u64::try_from(length).unwrap_or(u64::MAX);
    if start.saturating_add(end.body).saturating_add(end.records) != covered {
        return Err(Poison::Checksum);
    }
    if envelope.id != id {
        return Err(Poison::OtherId(envelope.id));
    }
    Ok(Opened::Message(Box::new(Message { envelope, body: Body { store, start, length: end.body } })))
}

/// Every record here is of a kind that may be skipped.
fn judge_records(mut records: &[u8]) -> Result<(), Poison> {
    while !records.is_empty() {
        let header = records.iter().position(|&b| b == b'\n').ok_or(Poison::Checksum)?;
        let (line, rest) = records.split_at_checked(header).ok_or(Poison::Checksum)?;
        let line = std::str::from_utf8(line).map_err(|_| Poison::Checksum)?;
        let (kind, length) = line.split_once(' ').ok_or(Poison::Checksum)?;
        let length: usize = length.parse().map_err(|_| Poison::Checksum)?;
        if !kind.bytes().all(|b| b.is_ascii_lowercase()) {
            return Err(Poison::UnknownRecord);
        }
        records = rest.get(length.saturating_add(2)..).ok_or(Poison::Checksum)?;
    }
    Ok(())
}

fn parse_end(tail: &[u8]) -> Option<End> {
    let text = std::str::from_utf8(tail).ok()?;
    let rest = text.strip_prefix("END body=")?;
    let (body, rest) = rest.split_once(" records=")?;
    let (records, rest) = rest.split_once(" crc32=")?;
    let checksum = u32::from_str_radix(rest.strip_suffix('\n')?, 16).ok()?;
    let (body, records) = (body.parse().ok()?, records.parse().ok()?);
    // Written again it must be the same: no sign, no other digits, no other length.
    (end_record(body, records, checksum) == text).then_some(End { body, records: records.into(), checksum })
}
