//! A spool folder on a file system in memory.

use std::fs::File;
use std::os::fd::AsFd;
use std::path::{Path, PathBuf};

use smap_common::envelope::Envelope;
use smap_common::spool::{Body, Draft, Expected, Incoming, Message, Opened, QueueId};
use tempfile::TempDir;

/// A folder that goes with its value.
#[derive(Debug)]
pub struct Scratch {
    folder: TempDir,
    handle: File,
}

impl Default for Scratch {
    fn default() -> Self {
        let memory = Path::new("/dev/shm");
        let folder =
            if memory.is_dir() { tempfile::tempdir_in(memory) } else { tempfile::tempdir() }.unwrap();
        let handle = File::open(folder.path()).unwrap();
        Self { folder, handle }
    }
}

impl Scratch {
    /// Where a file of that name is.
    #[must_use]
    pub fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// The folder itself.
    #[must_use]
    pub fn handle(&self) -> &File {
        &self.handle
    }

    /// What the reader of the spool makes of a file with these octets; it is removed again.
    #[must_use]
    pub fn open(&self, id: QueueId, file: &[u8]) -> Opened {
        std::fs::write(self.path(id.as_str()), file).unwrap();
        self.take(id)
    }

    /// Writes a message as smap does, and reads it.
    #[must_use]
    pub fn message(&self, envelope: &Envelope, body: &[u8]) -> Message {
        let incoming = Incoming::new(self.handle.try_clone().unwrap().into());
        let mut draft = Draft::begin(&incoming, envelope).unwrap();
        draft.write(body).unwrap();
        let proof = draft.commit().unwrap();
        assert_eq!(usize::try_from(proof.octets()).unwrap(), body.len());
        match self.take(proof.id()) {
            Opened::Message(message) => *message,
            other => panic!("what was committed is no message: {other:?}"),
        }
    }

    fn take(&self, id: QueueId) -> Opened {
        let owner = nix::unistd::geteuid().as_raw();
        let expected = Expected { owners: [owner; 2], maxbytes: 0 };
        let opened = Message::open(self.handle.as_fd(), id.as_str(), &expected).unwrap();
        std::fs::remove_file(self.path(id.as_str())).unwrap();
        opened
    }
}

/// All of a body.
#[must_use]
pub fn text(body: &Body) -> Vec<u8> {
    let mut text = Vec::new();
    body.for_each(|piece| {
        text.extend_from_slice(piece);
        Ok(())
    })
    .unwrap();
    text
}
