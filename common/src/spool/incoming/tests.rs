use super::*;

#[test]
fn a_file_of_the_spool_is_new_and_only_read_by_its_owner_and_group() {
    use std::os::unix::fs::{MetadataExt, symlink};
    let folder = tempfile::tempdir().unwrap();
    let incoming = Incoming::new(File::open(folder.path()).unwrap().into());
    let _file = incoming.create("a").unwrap();
    assert_eq!(folder.path().join("a").metadata().unwrap().mode() & 0o7777, 0o440);
    symlink(folder.path().join("b"), folder.path().join("c")).unwrap();
    for taken in ["a", "c"] {
        assert_eq!(incoming.create(taken).unwrap_err().kind(), io::ErrorKind::AlreadyExists);
    }
    assert!(!folder.path().join("b").exists());
}

#[test]
fn a_program_that_is_started_gets_no_file_of_the_spool() {
    use nix::fcntl::{FcntlArg, FdFlag, fcntl};
    let folder = tempfile::tempdir().unwrap();
    let incoming = Incoming::new(File::open(folder.path()).unwrap().into());
    let file = incoming.create("a").unwrap();
    assert_eq!(fcntl(file.file().unwrap(), FcntlArg::F_GETFD), Ok(FdFlag::FD_CLOEXEC.bits()));
}

#[test]
fn what_is_overwritten_leaves_the_rest_as_it_was() {
    let folder = tempfile::tempdir().unwrap();
    let incoming = Incoming::new(File::open(folder.path()).unwrap().into());
    let mut file = incoming.create("a").unwrap();
    file.append(b"one two ").unwrap();
    file.append(b"three").unwrap();
    file.overwrite(4, b"TWO").unwrap();
    file.sync().unwrap();
    assert_eq!(std::fs::read(folder.path().join("a")).unwrap(), b"one TWO three");
}

#[test]
fn a_sync_that_fails_is_said() {
    let device = File::options().write(true).open("/dev/null").unwrap();
    let mut file = Locked(Some(device));
    assert!(file.sync().is_err(), "a device without a disk cannot be synced");
}

#[test]
fn a_file_is_locked_until_it_is_dropped() {
    let folder = tempfile::tempdir().unwrap();
    let incoming = Incoming::new(File::open(folder.path()).unwrap().into());
    let file = incoming.create("a").unwrap();
    let other = File::open(folder.path().join("a")).unwrap();
    assert!(other.try_lock_shared().is_err());
    drop(file);
    assert!(other.try_lock_shared().is_ok());
}

#[test]
fn a_file_that_has_lost_its_name_is_told_from_one_that_has_it() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("a");
    let file = File::create(&path).unwrap();
    assert!(has_name(&file).unwrap());
    std::fs::remove_file(&path).unwrap();
    assert!(!has_name(&file).unwrap());
}
