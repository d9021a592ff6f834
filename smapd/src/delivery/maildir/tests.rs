use std::fs;
use std::os::unix::fs::{MetadataExt, symlink};

use smap_common::spool::Outcome;

use super::super::samples::{content, content_that_breaks, local};
use super::*;

fn names(folder: &Path) -> Vec<String> {
    fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect()
}

#[test]
fn a_message_is_in_new_and_nowhere_else() {
    let home = tempfile::tempdir().unwrap();
    let (folder, content) = (home.path().join("Maildir"), content(b"Subject: x\r\n\r\nText\r\n"));
    let report = deliver(&folder, "gw.example", &content);
    assert_eq!((report.outcome, report.status), (Outcome::Delivered, "2.0.0".parse().unwrap()), "{report:?}");
    let [name] = names(&folder.join("new")).try_into().unwrap();
    assert_eq!(report.reply, format!("saved as {name}"));
    assert_eq!(fs::read(folder.join("new").join(&name)).unwrap(), local(&content));
    assert_eq!(fs::metadata(folder.join("new").join(&name)).unwrap().mode() & 0o7777, 0o600);
    assert!(names(&folder.join("tmp")).is_empty() && names(&folder.join("cur")).is_empty());
    for part in ["", "tmp", "new", "cur"] {
        assert_eq!(fs::metadata(folder.join(part)).unwrap().mode() & 0o7777, 0o700, "{part}");
    }
}

#[test]
fn the_same_message_may_be_delivered_twice() {
    let home = tempfile::tempdir().unwrap();
    let content = content(b"x\r\n");
    for _ in 0..2 {
        // With a slash at its end, as tables write it.
        let report = deliver(&home.path().join("m/"), "gw", &content);
        assert_eq!(report.outcome, Outcome::Delivered, "{report:?}");
    }
    assert_eq!(names(&home.path().join("m/new")).len(), 2);
}

#[test]
fn a_name_is_that_of_one_file() {
    let (at, id) = (Timestamp::from_micros(1_795_247_311_000_042), "1K3N5Q0ZB7R2M4D8XJ9WTV".parse().unwrap());
    let name = unique_name(at, id, "a/b:c");
    assert!(name.starts_with(&format!("1795247311.M42P{}Q", std::process::id())), "{name}");
    assert!(name.ends_with("_1K3N5Q0ZB7R2M4D8XJ9WTV.a\\057b\\072c"), "{name}");
    assert_ne!(name, unique_name(at, id, "a/b:c"));
}

#[test]
fn a_missing_parent_is_temporary_and_named() {
    let home = tempfile::tempdir().unwrap();
    let report = deliver(&home.path().join("nobody/Maildir"), "gw", &content(b"x\r\n"));
    assert_eq!((report.outcome, report.status), (Outcome::Deferred, "4.3.0".parse().unwrap()));
    assert!(report.reply.contains(&format!("{}/nobody:", home.path().display())), "{}", report.reply);
    assert!(names(home.path()).is_empty());
}

#[test]
fn no_symbolic_link_is_followed() {
    let home = tempfile::tempdir().unwrap();
    let (real, link) = (home.path().join("real"), home.path().join("link"));
    fs::create_dir(&real).unwrap();
    symlink(&real, &link).unwrap();
    for folder in [link.clone(), link.join("")] {
        let report = deliver(&folder, "gw", &content(b"x\r\n"));
        assert_eq!(report.outcome, Outcome::Deferred);
        assert!(report.reply.contains("symbolic links are not followed"), "{}", report.reply);
    }
    assert!(names(&real).is_empty());
    let elsewhere = home.path().join("elsewhere");
    fs::create_dir(&elsewhere).unwrap();
    symlink(&elsewhere, real.join("new")).unwrap();
    assert_eq!(deliver(&real, "gw", &content(b"x\r\n")).outcome, Outcome::Deferred);
    assert!(names(&elsewhere).is_empty());
}

#[test]
fn an_attempt_that_fails_leaves_nothing() {
    let home = tempfile::tempdir().unwrap();
    let content = content_that_breaks(&b"line\r\n".repeat(50_000));
    let report = deliver(home.path(), "gw", &content);
    assert_eq!(report.outcome, Outcome::Deferred, "{report:?}");
    assert!(names(&home.path().join("tmp")).is_empty() && names(&home.path().join("new")).is_empty());
}

#[test]
fn a_full_disk_and_a_full_mailbox_are_told_apart() {
    let status = |errno: Errno| cannot("write in", Path::new("/x"), &errno.into()).status.to_string();
    assert_eq!(status(Errno::ENOSPC), "4.3.1");
    assert_eq!(status(Errno::EDQUOT), "4.2.2");
    assert_eq!(status(Errno::EACCES), "4.3.0");
}
