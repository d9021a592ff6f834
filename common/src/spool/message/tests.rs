use super::*;
use crate::clock::Timestamp;
use crate::envelope::Origin;
use crate::smtp::command::{Mail, Recipient};
use crate::spool::{Draft, Incoming};
use std::os::fd::AsFd;
use std::os::unix::fs::symlink;
use std::path::Path;
use std::sync::Arc;
use tempfile::TempDir;

fn id() -> QueueId {
    QueueId::new(Timestamp::from_micros(1), 1)
}

fn envelope() -> Envelope {
    Envelope {
        id: id(),
        arrived: Timestamp::from_micros(1),
        origin: Origin::default(),
        mail: Mail::parse(b"<a@b>").unwrap(),
        recipients: vec![Recipient::parse(b"<c@d>").unwrap()],
    }
}

fn incoming(folder: &Path) -> Incoming {
    Incoming::new(File::open(folder).unwrap().into())
}

fn spooled(body: &[u8]) -> TempDir {
    let folder = tempfile::tempdir().unwrap();
    let mut draft = Draft::begin(&incoming(folder.path()), &envelope()).unwrap();
    for chunk in body.chunks(10_000) {
        draft.write(chunk).unwrap();
    }
    let _committed = draft.commit().unwrap();
    folder
}

fn open(folder: &Path, name: &str) -> Opened {
    let owner = nix::unistd::geteuid().as_raw();
    let expected = Expected { owners: [owner; 2], maxbytes: 0 };
    Message::open(File::open(folder).unwrap().as_fd(), name, &expected).unwrap()
}

fn text(body: &Body) -> Vec<u8> {
    let mut text = Vec::new();
    body.for_each(|piece| {
        text.extend_from_slice(piece);
        Ok(())
    })
    .unwrap();
    text
}

fn poison(opened: Opened) -> Poison {
    let Opened::Poison(poison) = opened else { panic!("not poison: {opened:?}") };
    poison
}

#[test]
fn a_message_is_read_back_whole() {
    for size in [0, 2, 5000, 64 * 1024, 1_000_000] {
        let body = b"x\r\n".repeat(size / 3);
        let folder = spooled(&body);
        let Opened::Message(message) = open(folder.path(), id().as_str()) else {
            panic!("{size}: not a message")
        };
        assert_eq!(message.envelope, envelope());
        assert_eq!(message.body.length(), u64::try_from(body.len()).unwrap());
        assert_eq!(text(&message.body), body, "{size}");
    }
}

#[test]
fn a_message_that_was_cut_is_unfinished() {
    let folder = spooled(b"Subject: x\r\n\r\nbody\r\n");
    let path = folder.path().join(id().as_str());
    let whole = std::fs::read(&path).unwrap();
    std::fs::remove_file(&path).unwrap();
    for cut in 0..whole.len() {
        std::fs::write(&path, &whole[..cut]).unwrap();
        assert!(matches!(open(folder.path(), id().as_str()), Opened::Unfinished), "cut at {cut}");
    }
}

#[test]
fn a_message_that_was_changed_is_poison() {
    let folder = spooled(b"Subject: x\r\n\r\nbody\r\n");
    let path = folder.path().join(id().as_str());
    let whole = std::fs::read(&path).unwrap();
    std::fs::remove_file(&path).unwrap();
    for at in 0..whole.len() - END_LENGTH {
        let mut changed = whole.clone();
        changed[at] ^= 1;
        std::fs::write(&path, &changed).unwrap();
        assert_eq!(poison(open(folder.path(), id().as_str())), Poison::Checksum, "octet {at}");
    }
}

#[test]
fn an_end_record_inside_the_body_makes_no_message() {
    let folder = tempfile::tempdir().unwrap();
    let mut draft = Draft::begin(&incoming(folder.path()), &envelope()).unwrap();
    let forged = [end_record(0, 0, 0).trim_end().as_bytes(), b"\r\n"].concat();
    draft.write(&forged).unwrap();
    draft.write(&b"\r\n".repeat(40_000)).unwrap();
    drop(draft);
    assert!(matches!(open(folder.path(), id().as_str()), Opened::Unfinished));
}

#[test]
fn a_message_that_is_being_written_is_left_alone() {
    let folder = tempfile::tempdir().unwrap();
    let draft = Draft::begin(&incoming(folder.path()), &envelope()).unwrap();
    assert!(matches!(open(folder.path(), id().as_str()), Opened::Busy));
    drop(draft);
    assert!(matches!(open(folder.path(), id().as_str()), Opened::Unfinished));
    assert!(matches!(open(folder.path(), QueueId::new(Timestamp::from_micros(2), 2).as_str()), Opened::Gone));
}

#[test]
fn what_is_not_a_message_file_is_poison() {
    let folder = spooled(b"");
    let dir = folder.path();
    let other = QueueId::new(Timestamp::from_micros(2), 2);
    let name = other.as_str();
    let path = dir.join(name);
    let clear = || std::fs::remove_file(&path).or_else(|_| std::fs::remove_dir(&path)).unwrap();

    symlink("/etc/passwd", &path).unwrap();
    assert_eq!(poison(open(dir, name)), Poison::NotAFile);
    clear();
    std::fs::create_dir(&path).unwrap();
    assert_eq!(poison(open(dir, name)), Poison::NotAFile);
    clear();
    nix::unistd::mkfifo(&path, Mode::S_IRWXU).unwrap();
    assert_eq!(poison(open(dir, name)), Poison::NotAFile);
    clear();
    std::fs::copy(dir.join(id().as_str()), &path).unwrap();
    assert_eq!(poison(open(dir, name)), Poison::OtherId(id()));
    clear();
    std::fs::hard_link(dir.join(id().as_str()), &path).unwrap();
    assert_eq!(poison(open(dir, name)), Poison::Linked);
    clear();
    assert_eq!(poison(open(dir, "..")), Poison::Name);
    assert_eq!(poison(open(dir, "core")), Poison::Name);
    let expected = Expected { owners: [12345; 2], maxbytes: 0 };
    let strangers = Message::open(File::open(dir).unwrap().as_fd(), id().as_str(), &expected).unwrap();
    assert!(matches!(strangers, Opened::Poison(Poison::Owner(_))));
}

#[test]
fn records_of_unknown_kinds_are_skipped_or_refused_by_their_case() {
    let mut head = Vec::new();
    envelope().write(&mut head);
    let file = |record: &[u8]| {
        let covered = [head.as_slice(), b"body\r\n", record].concat();
        let end = end_record(6, u32::try_from(record.len()).unwrap(), crc32fast::hash(&covered));
        let folder = tempfile::tempdir().unwrap();
        std::fs::write(folder.path().join(id().as_str()), [covered.as_slice(), end.as_bytes()].concat())
            .unwrap();
        open(folder.path(), id().as_str())
    };
    let Opened::Message(message) = file(b"note 3\na\nb\n") else { panic!("refused") };
    assert_eq!(text(&message.body), b"body\r\n");
    assert_eq!(poison(file(b"BODY 3\nabc\n")), Poison::UnknownRecord);
    assert_eq!(poison(file(b"note 9\nabc\n")), Poison::Checksum);
}

#[test]
fn only_what_nobody_writes_and_is_no_message_is_removed() {
    let folder = spooled(b"x\r\n");
    let fd = File::open(folder.path()).unwrap();
    let remove = |name: &str| remove_unfinished(fd.as_fd(), name).unwrap().is_some();
    assert!(!remove(id().as_str()), "a whole message stays");
    let other = Envelope { id: QueueId::new(Timestamp::from_micros(2), 2), ..envelope() };
    let draft = Draft::begin(&incoming(folder.path()), &other).unwrap();
    assert!(!remove(other.id.as_str()), "a message that is being written stays");
    drop(draft);
    assert!(remove(other.id.as_str()));
    assert!(matches!(open(folder.path(), other.id.as_str()), Opened::Gone));
}

#[test]
fn a_message_is_not_changed_by_what_is_done_to_its_file_once_it_is_in_memory() {
    for (size, in_memory) in [(60_000, true), (70_000, false)] {
        let body = vec![b'x'; size];
        let folder = spooled(&body);
        let Opened::Message(message) = open(folder.path(), id().as_str()) else { panic!("refused") };
        let path = folder.path().join(id().as_str());
        std::fs::remove_file(&path).unwrap();
        assert_eq!(text(&message.body), body, "what is open stays");
        let folder = spooled(&body);
        let path = folder.path().join(id().as_str());
        let Opened::Message(message) = open(folder.path(), id().as_str()) else { panic!("refused") };
        set_mode(&path, 0o640);
        File::options().write(true).open(&path).unwrap().set_len(1000).unwrap();
        let read = message.body.for_each(|_| Ok(()));
        assert_eq!(read.is_ok(), in_memory, "{size}");
        assert!(in_memory || read.unwrap_err().kind() == io::ErrorKind::UnexpectedEof);
    }
}

fn set_mode(path: &Path, mode: u32) {
    use std::os::unix::fs::PermissionsExt;
    std::fs::set_permissions(path, std::fs::Permissions::from_mode(mode)).unwrap();
}

#[test]
fn a_large_body_is_given_in_large_pieces() {
    let folder = spooled(&vec![b'x'; 1_000_000]);
    let Opened::Message(message) = open(folder.path(), id().as_str()) else { panic!("refused") };
    let mut pieces = 0;
    message
        .body
        .for_each(|_| {
            pieces += 1;
            Ok(())
        })
        .unwrap();
    assert_eq!(pieces, 16);
}

#[test]
fn a_body_is_read_from_any_place_and_not_beyond_its_end() {
    for size in [9, 90_000] {
        let folder = spooled(&[b"x".repeat(size - 3).as_slice(), b"abc"].concat());
        let Opened::Message(message) = open(folder.path(), id().as_str()) else { panic!("refused") };
        let mut buffer = [b'-'; 6];
        let end = message.body.length();
        assert_eq!((message.body.read_at(end - 3, &mut buffer).unwrap(), &buffer), (3, b"abc---"));
        assert_eq!(message.body.read_at(end - 2, &mut buffer[..1]).unwrap(), 1);
        assert_eq!(&buffer, b"bbc---");
        assert_eq!(message.body.read_at(end, &mut buffer).unwrap(), 0);
        assert_eq!(message.body.read_at(end + 1, &mut buffer).unwrap(), 0);
    }
}

#[test]
fn what_is_poison_is_said_in_words() {
    let said = [
        (Poison::Name, "the name is not a queue id"),
        (Poison::Owner(77), "the file belongs to uid 77"),
        (Poison::OtherId(id()), &format!("the envelope is that of {}", id())),
        (Poison::Checksum, "the checksum is wrong"),
    ];
    for (poison, words) in said {
        assert_eq!(poison.to_string(), words);
    }
}

/// Does it as somebody who has no rights of root; where the tests run as somebody else, as him.
fn without_rights<T: Send + 'static>(work: impl FnOnce() -> T + Send + 'static) -> T {
    let own = nix::unistd::geteuid();
    std::thread::spawn(move || {
        if own.is_root() {
            // Of this thread alone; with it go the rights of root over files.
            nix::unistd::setfsuid(40001.into());
        }
        work()
    })
    .join()
    .unwrap()
}

#[test]
fn a_message_that_its_owner_hid_is_poison_and_one_that_we_may_not_read_is_a_failure() {
    let folder = spooled(b"x\r\n");
    set_mode(folder.path(), 0o755);
    let path = folder.path().join(id().as_str());
    let owner = nix::unistd::geteuid().as_raw();
    if owner == 0 {
        std::os::unix::fs::chown(&path, None, Some(40002)).unwrap();
    }
    let fd = Arc::new(File::open(folder.path()).unwrap());
    let open = |fd: &Arc<File>| {
        let fd = Arc::clone(fd);
        without_rights(move || {
            Message::open(fd.as_fd(), id().as_str(), &Expected { owners: [owner; 2], maxbytes: 0 })
        })
    };
    for hidden in [0o000, 0o040, 0o200] {
        set_mode(&path, hidden);
        assert_eq!(poison(open(&fd).unwrap()), Poison::Unreadable, "{hidden:o}");
    }
    set_mode(&path, 0o440);
    let found = open(&fd);
    if owner == 0 {
        assert_eq!(found.unwrap_err().kind(), io::ErrorKind::PermissionDenied);
    } else {
        assert!(matches!(found.unwrap(), Opened::Message(_)));
    }
}

#[test]
fn a_message_of_our_own_needs_no_right_of_its_group() {
    let folder = spooled(b"x\r\n");
    let path = folder.path().join(id().as_str());
    set_mode(&path, 0o400);
    let owner = nix::unistd::geteuid().as_raw();
    let facts = nix::sys::stat::stat(&path).unwrap();
    assert_eq!(judge(&facts, &[owner + 1, owner]), None);
    assert_eq!(judge(&facts, &[owner, owner + 1]), Some(Poison::Unreadable), "one of smap's does");
}

#[test]
fn what_is_opened_does_not_wait_and_goes_to_no_program_that_is_started() {
    use nix::fcntl::{FcntlArg, FdFlag, fcntl};
    let folder = spooled(&vec![b'x'; 70_000]);
    let Opened::Message(message) = open(folder.path(), id().as_str()) else { panic!("refused") };
    let Store::File(file) = &message.body.store else { panic!("in memory") };
    assert_eq!(fcntl(file, FcntlArg::F_GETFD), Ok(FdFlag::FD_CLOEXEC.bits()));
}

#[test]
fn nothing_that_a_link_or_a_fifo_leads_to_is_removed() {
    let folder = spooled(b"x\r\n");
    let fd = File::open(folder.path()).unwrap();
    std::fs::write(folder.path().join("file"), b"short").unwrap();
    symlink(folder.path().join("file"), folder.path().join("link")).unwrap();
    nix::unistd::mkfifo(&folder.path().join("fifo"), Mode::S_IRWXU).unwrap();
    assert!(remove_unfinished(fd.as_fd(), "link").is_err());
    assert!(remove_unfinished(fd.as_fd(), "fifo").is_ok_and(|removed| removed.is_some()));
    assert!(folder.path().join("file").exists());
}
