//! Each thread here gives up what its test says, for itself alone.

use std::fs::{self, File};
use std::io::ErrorKind;
use std::net::{TcpListener, TcpStream};
use std::os::unix::fs::symlink;
use std::path::Path;
use std::thread;

use nix::sys::stat::Mode;
use tempfile::TempDir;

use super::*;

/// Runs `inside` behind the walls of `plan`, where this kernel has them all; with `CI` set it must.
fn behind(plan: impl FnOnce() -> Result<Landlocked, ConfineError> + Send, inside: impl FnOnce() + Send) {
    thread::scope(|scope| {
        let walled = scope.spawn(|| {
            nix::sys::prctl::set_no_new_privs().unwrap();
            match plan().unwrap().missing {
                None => inside(),
                Some(missing) => assert!(std::env::var_os("CI").is_none(), "{missing}"),
            }
        });
        walled.join().unwrap();
    });
}

fn is_refused<T>(result: std::io::Result<T>) -> bool {
    // Where a link would lead from one folder to another, Landlock calls it a link between disks.
    result.is_err_and(|error| matches!(error.kind(), ErrorKind::PermissionDenied | ErrorKind::CrossesDevices))
}

/// A folder with a file in it, beside another.
fn folders() -> (TempDir, PathBuf, PathBuf) {
    let folder = tempfile::tempdir().unwrap();
    let (ours, theirs) = (folder.path().join("ours"), folder.path().join("theirs"));
    for path in [&ours, &theirs] {
        fs::create_dir(path).unwrap();
        fs::write(path.join("file"), "text").unwrap();
    }
    (folder, ours, theirs)
}

fn reach(folders: &[&Path], read: &[&Path], ports: &[u16]) -> Reach {
    let owned = |paths: &[&Path]| paths.iter().map(|path| (*path).to_owned()).collect();
    Reach { folders: owned(folders), read: owned(read), ports: ports.to_vec() }
}

#[test]
fn a_session_creates_files_and_does_nothing_else() {
    let (_folder, incoming, _) = folders();
    let opened = File::open(&incoming).unwrap();
    let at = |name: &str| incoming.join(name);
    behind(
        || to_creating_in(opened.as_fd()),
        || {
            fs::write(at("new"), "text").unwrap();
            assert!(is_refused(fs::read_dir(&incoming)), "list");
            assert!(is_refused(File::open(at("file"))), "read");
            assert!(is_refused(fs::remove_file(at("file"))), "remove");
            assert!(is_refused(fs::rename(at("file"), at("other"))), "rename");
            assert!(is_refused(fs::hard_link(at("file"), incoming.with_file_name("other"))), "link");
            assert!(is_refused(symlink("/etc/passwd", at("other"))), "symbolic link");
            assert!(is_refused(fs::create_dir(at("other"))), "folder");
            assert!(nix::unistd::mkfifo(&at("other"), Mode::S_IRWXU).is_err(), "FIFO");
            assert!(is_refused(fs::write(incoming.with_file_name("other"), "text")), "elsewhere");
        },
    );
}

#[test]
fn a_session_connects_to_nothing_and_listens_nowhere() {
    let (_folder, incoming, _) = folders();
    let (opened, listener) = (File::open(&incoming).unwrap(), TcpListener::bind("127.0.0.1:0").unwrap());
    let address = listener.local_addr().unwrap();
    behind(
        || to_creating_in(opened.as_fd()),
        || {
            assert!(is_refused(TcpStream::connect(address)));
            assert!(is_refused(TcpListener::bind("127.0.0.1:0")));
        },
    );
}

#[test]
fn smapd_does_all_it_needs_in_its_folders_and_nothing_outside() {
    let (_folder, ours, theirs) = folders();
    behind(
        || to(&reach(&[&ours], &[], &[])),
        || {
            fs::create_dir_all(ours.join("joe/tmp")).unwrap();
            fs::write(ours.join("joe/tmp/1"), "text").unwrap();
            fs::hard_link(ours.join("joe/tmp/1"), ours.join("joe/1")).unwrap();
            fs::rename(ours.join("joe/1"), ours.join("1")).unwrap();
            fs::remove_dir_all(ours.join("joe")).unwrap();
            assert!(is_refused(File::open(theirs.join("file"))));
            assert!(is_refused(fs::write(theirs.join("new"), "text")));
            assert!(is_refused(fs::rename(ours.join("file"), theirs.join("file"))));
            assert!(is_refused(fs::read_dir("/etc")));
        },
    );
}

#[test]
fn smapd_reads_what_lies_beside_its_table_and_writes_nothing_there() {
    let (_folder, ours, theirs) = folders();
    behind(
        || to(&reach(&[&ours], &[&theirs], &[])),
        || {
            assert_eq!(fs::read_to_string(theirs.join("file")).unwrap(), "text");
            assert!(is_refused(File::options().write(true).open(theirs.join("file"))));
            assert!(is_refused(fs::write(theirs.join("new"), "text")));
        },
    );
}

#[test]
fn smapd_starts_no_program_even_in_its_own_folders() {
    let (_folder, ours, _) = folders();
    fs::copy("/bin/true", ours.join("program")).unwrap();
    behind(
        || to(&reach(&[&ours], &[], &[])),
        || assert!(std::process::Command::new(ours.join("program")).status().is_err()),
    );
}

#[test]
fn smapd_connects_to_the_ports_of_its_table_only() {
    let listeners = [(); 2].map(|()| TcpListener::bind("127.0.0.1:0").unwrap());
    let [named, other] = listeners.each_ref().map(|listener| listener.local_addr().unwrap());
    behind(
        || to(&reach(&[], &[], &[named.port()])),
        || {
            assert!(TcpStream::connect(named).is_ok());
            assert!(is_refused(TcpStream::connect(other)));
            assert!(is_refused(TcpListener::bind("127.0.0.1:0")));
        },
    );
}

#[test]
fn a_folder_that_is_missing_is_closed_and_no_error() {
    let (_folder, ours, _) = folders();
    behind(|| to(&reach(&[&ours, Path::new("/no/such/folder")], &[], &[])), || {});
}

#[test]
fn smap_lookup_reads_and_writes_nothing() {
    let (_folder, ours, _) = folders();
    behind(
        || to_reading(&["/etc"], &[]),
        || {
            assert!(is_refused(TcpStream::connect(("127.0.0.1", 25))));
            assert!(fs::read("/etc/passwd").is_ok());
            assert!(is_refused(File::options().append(true).open("/etc/passwd")));
            assert!(is_refused(File::open(ours.join("file"))));
            assert!(is_refused(fs::write(ours.join("new"), "text")));
        },
    );
}

#[test]
fn what_a_new_table_asks_for_beyond_the_old_is_named() {
    let old = reach(&[Path::new("/spool"), Path::new("/mail")], &[Path::new("/etc/smap")], &[25]);
    assert_eq!(old.lacks(&old), None);
    assert_eq!(old.lacks(&reach(&[Path::new("/mail/all")], &[Path::new("/spool")], &[])), None);
    assert_eq!(old.lacks(&reach(&[Path::new("/mailbox")], &[], &[])), Some("/mailbox".to_owned()));
    assert_eq!(old.lacks(&reach(&[Path::new("/etc/smap")], &[], &[])), Some("/etc/smap".to_owned()));
    assert_eq!(old.lacks(&reach(&[], &[Path::new("/etc")], &[])), Some("/etc".to_owned()));
    assert_eq!(old.lacks(&reach(&[], &[], &[25, 24])), Some("port 24".to_owned()));
}
