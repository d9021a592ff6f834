use super::*;
use crate::clock::Timestamp;
use crate::envelope::Origin;
use crate::smtp::command::{Mail, Recipient};
use std::cell::RefCell;
use std::rc::Rc;

/// A folder in memory whose disk fails on demand.
#[derive(Default, Clone)]
struct Memory {
    file: Rc<RefCell<Vec<u8>>>,
    calls: Rc<RefCell<Vec<&'static str>>>,
    fail_sync: bool,
}

impl Folder for Memory {
    type File = Self;
    fn create(&self, _: &str) -> io::Result<Self> {
        self.calls.borrow_mut().push("create");
        Ok(self.clone())
    }
}

impl SpoolFile for Memory {
    fn append(&mut self, octets: &[u8]) -> io::Result<()> {
        self.calls.borrow_mut().push("append");
        self.file.borrow_mut().extend_from_slice(octets);
        Ok(())
    }
    fn overwrite(&mut self, offset: u64, octets: &[u8]) -> io::Result<()> {
        self.calls.borrow_mut().push("overwrite");
        let start = usize::try_from(offset).unwrap();
        self.file.borrow_mut()[start..start + octets.len()].copy_from_slice(octets);
        Ok(())
    }
    fn sync(&mut self) -> io::Result<()> {
        self.calls.borrow_mut().push("sync");
        if self.fail_sync { Err(io::Error::from_raw_os_error(5)) } else { Ok(()) }
    }
}

fn envelope() -> Envelope {
    Envelope {
        id: QueueId::new(Timestamp::from_micros(1), 1),
        arrived: Timestamp::from_micros(1),
        origin: Origin::default(),
        mail: Mail::parse(b"<a@b>").unwrap(),
        recipients: vec![Recipient::parse(b"<c@d>").unwrap()],
    }
}

#[test]
fn an_ordinary_message_is_one_write_and_one_sync() {
    let folder = Memory::default();
    let mut draft = Draft::begin(&folder, &envelope()).unwrap();
    draft.write(&[b'x'; 5000]).unwrap();
    let committed = draft.commit().unwrap();
    assert_eq!((committed.id(), committed.octets()), (envelope().id, 5000));
    assert_eq!(*folder.calls.borrow(), ["create", "append", "sync"]);
    assert!(folder.file.borrow().ends_with(b"\n"));
    assert_eq!(folder.file.borrow().iter().rev().skip(1).position(|&b| b == b'x'), Some(END_LENGTH - 1));
}

#[test]
fn the_sync_is_the_last_thing_before_the_proof() {
    let folder = Memory::default();
    let mut draft = Draft::begin(&folder, &envelope()).unwrap();
    draft.write(&vec![b'x'; 3 * BUFFER]).unwrap();
    let committed = draft.commit().unwrap();
    assert_eq!(committed.octets(), 3 * 65536);
    assert_eq!(folder.calls.borrow().last(), Some(&"sync"));
}

#[test]
fn a_message_whose_sync_failed_is_no_message() {
    let folder = Memory { fail_sync: true, ..Memory::default() };
    let draft = Draft::begin(&folder, &envelope()).unwrap();
    assert!(matches!(draft.commit(), Err(Void(StoreError::Failed(_)))));
    let file = folder.file.borrow();
    assert_eq!(&file[file.len() - END_LENGTH..][..4], b"VOID");
    assert_eq!(*folder.calls.borrow(), ["create", "append", "sync", "overwrite", "sync"]);
}

#[test]
fn a_long_message_whose_sync_failed_is_no_message() {
    let folder = Memory { fail_sync: true, ..Memory::default() };
    let mut draft = Draft::begin(&folder, &envelope()).unwrap();
    for _ in 0..3 {
        draft.write(&[b'x'; BUFFER]).unwrap();
    }
    draft.write(b"the rest\r\n").unwrap();
    assert!(draft.commit().is_err());
    let file = folder.file.borrow();
    let (text, end) = file.split_at(file.len() - END_LENGTH);
    assert!(text.ends_with(b"the rest\r\n"));
    assert_eq!(&end[..4], b"VOID");
}

#[test]
fn a_long_message_is_written_a_buffer_at_a_time() {
    let folder = Memory::default();
    let mut draft = Draft::begin(&folder, &envelope()).unwrap();
    for _ in 0..2 * BUFFER / 1000 {
        draft.write(&[b'x'; 1000]).unwrap();
    }
    assert_eq!(draft.commit().unwrap().octets(), u64::try_from(2 * BUFFER / 1000 * 1000).unwrap());
    assert_eq!(*folder.calls.borrow(), ["create", "append", "append", "sync"]);
}

#[test]
fn the_disk_s_words_become_the_client_s() {
    let kind = |errno: Errno| StoreError::from(io::Error::from(errno));
    assert!(matches!(kind(Errno::ENOSPC), StoreError::Full(_)));
    assert!(matches!(kind(Errno::EDQUOT), StoreError::Full(_)));
    assert!(matches!(kind(Errno::EFBIG), StoreError::Full(_)));
    assert!(matches!(kind(Errno::EMFILE), StoreError::Descriptors(_)));
    assert!(matches!(kind(Errno::ENFILE), StoreError::Descriptors(_)));
    assert!(matches!(kind(Errno::EIO), StoreError::Failed(_)));
    for errno in [Errno::ENOSPC, Errno::EMFILE, Errno::EIO] {
        assert_eq!(kind(errno).cause().raw_os_error(), io::Error::from(errno).raw_os_error());
    }
}

#[test]
fn the_end_record_has_one_length() {
    assert_eq!(end_record(0, 0, 0).len(), END_LENGTH);
    assert_eq!(end_record(u64::MAX, u32::MAX, u32::MAX).len(), END_LENGTH);
}
