//! Writing a message: from the first octet to the proof that it is durable.
//!
//! Decides nothing. Guarantees that a [`Committed`] exists only for a message that was written whole and
//! synced. Written against two small traits, so that what a crash may leave can be tried in memory.

use std::io;

use nix::errno::Errno;

use crate::envelope::Envelope;
use crate::spool::QueueId;

#[cfg(test)]
mod tests;

/// Octets gathered before they are written: a message of ordinary size is one write.
const BUFFER: usize = 64 * 1024;

/// Length of the END record.
pub(super) const END_LENGTH: usize = 64;

/// A folder in which message files are created.
pub trait Folder {
    /// A file that is being written.
    type File: SpoolFile;

    /// Creates a file that did not exist, locked.
    ///
    /// # Errors
    /// It exists, or cannot be created.
    fn create(&self, name: &str) -> io::Result<Self::File>;
}

/// A file that is being written; dropping it closes and unlocks it.
pub trait SpoolFile {
    /// Appends all of `octets`.
    ///
    /// # Errors
    /// They could not all be written.
    fn append(&mut self, octets: &[u8]) -> io::Result<()>;

    /// Overwrites what stands at `offset`; the file does not grow.
    ///
    /// # Errors
    /// It could not be written.
    fn overwrite(&mut self, offset: u64, octets: &[u8]) -> io::Result<()>;

    /// Makes name and content durable.
    ///
    /// # Errors
    /// They may not be; what was written may be gone from memory and disk.
    fn sync(&mut self) -> io::Result<()>;
}

/// Why a message could not be stored, by what the client is told.
#[derive(Debug)]
pub enum StoreError {
    /// No space, no inodes, no quota: 452 4.3.1.
    Full(io::Error),
    /// No descriptors: 421 4.3.2.
    Descriptors(io::Error),
    /// Anything else of the disk: 451 4.3.0.
    Failed(io::Error),
}

impl StoreError {
    /// What the system said.
    #[must_use]
    pub fn cause(&self) -> &io::Error {
        match self {
            Self::Full(cause) | Self::Descriptors(cause) | Self::Failed(cause) => cause,
        }
    }
}

impl From<io::Error> for StoreError {
    fn from(cause: io::Error) -> Self {
        match cause.raw_os_error().map(Errno::from_raw) {
            Some(Errno::ENOSPC | Errno::EDQUOT | Errno::EFBIG) => Self::Full(cause),
            Some(Errno::EMFILE | Errno::ENFILE) => Self::Descriptors(cause),
            _ => Self::Failed(cause),
        }
    }
}

/// A message that is being written. Dropped without [`Draft::commit`] it leaves a file that is no message.
#[derive(Debug)]
pub struct Draft<F> {
    file: F,
    id: QueueId,
    buffer: Vec<u8>,
    checksum: crc32fast::Hasher,
    written: u64,
    body: u64,
}

/// Proof that a message is durable: the 250 after DATA is made from it, and only [`Draft::commit`] makes it.
#[derive(Debug, PartialEq, Eq)]
#[must_use = "a committed message must be acknowledged"]
pub struct Committed {
    id: QueueId,
    octets: u64,
}

impl Committed {
    /// The message.
    #[must_use]
    pub fn id(&self) -> QueueId {
        self.id
    }

    /// Length of its body in octets.
    #[must_use]
    pub fn octets(&self) -> u64 {
        self.octets
    }
}

/// A message that was not stored, its file made unreadable as a message.
#[derive(Debug)]
pub struct Void(pub StoreError);

impl<F: SpoolFile> Draft<F> {
    /// Creates the file of `envelope.id` and begins it with the envelope.
    ///
    /// # Errors
    /// The file could not be created.
    pub fn begin<D: Folder<File = F>>(folder: &D, envelope: &Envelope) -> Result<Self, StoreError> {
        let file = folder.create(envelope.id.as_str())?;
        let mut buffer = Vec::with_capacity(8 * 1024);
        envelope.write(&mut buffer);
        Ok(Self { file, id: envelope.id, buffer, checksum: crc32fast::Hasher::new(), written: 0, body: 0 })
    }

    /// Appends to the body.
    ///
    /// # Errors
    /// The disk is full or failing; the draft is then to be dropped.
    pub fn write(&mut self, text: &[u8]) -> Result<(), StoreError> {
        self.body += u64::try_from(text.len()).unwrap_or(u64::MAX);
        self.buffer.extend_from_slice(text);
        if self.buffer.len() >= BUFFER { self.flush() } else { Ok(()) }
    }

    /// Makes the message durable.
    ///
    /// # Errors
    /// It is not stored. Where the sync failed after the whole message was written, the END record is
    /// overwritten, and that synced, so that what the client was told is refused is never delivered, whatever of it
    /// has reached the disk.
    pub fn commit(mut self) -> Result<Committed, Void> {
        self.checksum.update(&self.buffer);
        let end = end_record(self.body, 0, self.checksum.clone().finalize());
        let before_end = self.written + u64::try_from(self.buffer.len()).unwrap_or(u64::MAX);
        self.buffer.extend_from_slice(end.as_bytes());
        self.file.append(&self.buffer).map_err(|cause| Void(cause.into()))?;
        match self.file.sync() {
            Ok(()) => Ok(Committed { id: self.id, octets: self.body }),
            Err(cause) => {
                // The END record may be on the disk all the same: what undoes it has to get there too. If this fails
                // there is nothing left to try: the disk is gone, and the file with it.
                let _last_resort = self.file.overwrite(before_end, b"VOID").and_then(|()| self.file.sync());
                Err(Void(cause.into()))
            }
        }
    }

    fn flush(&mut self) -> Result<(), StoreError> {
        self.checksum.update(&self.buffer);
        self.written += u64::try_from(self.buffer.len()).unwrap_or(u64::MAX);
        self.file.append(&self.buffer)?;
        self.buffer.clear();
        Ok(())
    }
}

/// The record that makes a file a message. It ends in a LF without CR, which no body holds.
pub(super) fn end_record(body: u64, records: u32, checksum: u32) -> String {
    format!("END body={body:020} records={records:010} crc32={checksum:08x}\n")
}
