//! A spool folder in memory, whose disk fails when it is told to.

use std::cell::{Cell, RefCell};
use std::io::{self, ErrorKind};
use std::rc::Rc;

use smap_common::spool::{Folder, SpoolFile};

/// What the disk does.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Disk {
    /// What it should.
    Works,
    /// No file can be created, with this error of the system.
    CreatesNot(i32),
    /// Nothing can be written.
    WritesNot,
    /// Nothing can be synced.
    SyncsNot,
}

/// A folder; what is synced in it is kept.
#[derive(Debug)]
pub struct Memory {
    /// What the disk does from now on.
    pub disk: Rc<Cell<Disk>>,
    /// The files that were synced, in that order.
    pub synced: Rc<RefCell<Vec<Vec<u8>>>>,
}

impl Default for Memory {
    fn default() -> Self {
        Self { disk: Rc::new(Cell::new(Disk::Works)), synced: Rc::default() }
    }
}

/// A file that is being written.
#[derive(Debug)]
pub struct MemoryFile {
    disk: Rc<Cell<Disk>>,
    synced: Rc<RefCell<Vec<Vec<u8>>>>,
    text: Vec<u8>,
}

impl Folder for Memory {
    type File = MemoryFile;

    fn create(&self, _name: &str) -> io::Result<MemoryFile> {
        match self.disk.get() {
            Disk::CreatesNot(error) => Err(io::Error::from_raw_os_error(error)),
            Disk::Works | Disk::WritesNot | Disk::SyncsNot => Ok(MemoryFile {
                disk: Rc::clone(&self.disk),
                synced: Rc::clone(&self.synced),
                text: Vec::new(),
            }),
        }
    }
}

impl SpoolFile for MemoryFile {
    fn append(&mut self, octets: &[u8]) -> io::Result<()> {
        if self.disk.get() == Disk::WritesNot {
            return Err(ErrorKind::StorageFull.into());
        }
        self.text.extend_from_slice(octets);
        Ok(())
    }

    fn overwrite(&mut self, offset: u64, octets: &[u8]) -> io::Result<()> {
        let at = usize::try_from(offset).unwrap();
        self.text[at..at + octets.len()].copy_from_slice(octets);
        Ok(())
    }

    fn sync(&mut self) -> io::Result<()> {
        if self.disk.get() == Disk::SyncsNot {
            return Err(io::Error::other("the disk is gone"));
        }
        self.synced.borrow_mut().push(self.text.clone());
        Ok(())
    }
}
