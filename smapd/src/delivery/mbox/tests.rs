use std::os::unix::fs::symlink;
use std::time::SystemTime;

use smap_common::spool::Outcome;

use super::super::samples::{content, content_that_breaks, local};
use super::*;

const AT: Timestamp = Timestamp::from_micros(1_795_247_311_000_000);

fn sender(path: &str) -> ReversePath {
    ReversePath::parse_prefix(path.as_bytes()).unwrap().0
}

fn deliver_now(file: &Path, content: &Content) -> Report {
    deliver_within(Duration::ZERO, file, "From a@b.example Thu Jan  1 00:00:00 1970\n", content)
}

/// The messages of an mboxrd file, as its readers see them.
fn messages(file: &Path) -> Vec<String> {
    let mut messages: Vec<String> = Vec::new();
    for line in fs::read_to_string(file).unwrap().split_inclusive('\n') {
        if line.starts_with("From ") {
            messages.push(String::new());
            continue;
        }
        let quoted = line.trim_start_matches('>').starts_with("From ");
        let line = if quoted { line.strip_prefix('>').unwrap() } else { line };
        messages.last_mut().unwrap().push_str(line);
    }
    messages.into_iter().map(|message| message.strip_suffix('\n').unwrap().to_owned()).collect()
}

#[test]
fn messages_read_back_as_they_were() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("bob");
    let bodies: [&[u8]; 3] = [b"From x\r\n>From y\r\n\r\n", b"", b"Subject: z\r\n\r\nFrom"];
    for body in bodies {
        let report = deliver(&file, &sender("<a@b.example>"), &content(body), AT);
        assert_eq!(report.outcome, Outcome::Delivered, "{report:?}");
    }
    let wanted = bodies.map(|body| String::from_utf8(local(&content(body))).unwrap());
    let ended = wanted.map(|text| if text.ends_with('\n') { text } else { text + "\n" });
    assert_eq!(messages(&file), ended);
    assert_eq!(fs::metadata(&file).unwrap().mode() & 0o7777, 0o600);
    assert!(!folder.path().join("bob.lock").exists());
}

#[test]
fn the_first_line_names_sender_and_time() {
    let line = |path: &str| from_line(&sender(path), AT);
    assert_eq!(line("<a@b.example>"), "From a@b.example Sat Nov 21 07:48:31 2026\n");
    assert_eq!(line("<>"), "From MAILER-DAEMON Sat Nov 21 07:48:31 2026\n");
    assert_eq!(line("<\"a b\"@c.example>"), "From \"a_b\"@c.example Sat Nov 21 07:48:31 2026\n");
    assert_eq!(
        from_line(&sender("<a@b.example>"), Timestamp::from_micros(0)),
        "From a@b.example Thu Jan  1 00:00:00 1970\n"
    );
}

#[test]
fn a_mailbox_that_another_program_has_locked_is_tried_later() {
    let folder = tempfile::tempdir().unwrap();
    let (file, lock) = (folder.path().join("bob"), folder.path().join("bob.lock"));
    fs::write(&lock, "1").unwrap();
    let report = deliver_now(&file, &content(b"x\r\n"));
    assert_eq!((report.outcome, report.status), (Outcome::Deferred, "4.2.0".parse().unwrap()));
    assert!(lock.exists(), "a lock that is not ours stays");
    fs::remove_file(&lock).unwrap();

    let other = open(&file).unwrap();
    assert!(lock_open_file(&other).unwrap());
    assert_eq!(deliver_now(&file, &content(b"x\r\n")).status, "4.2.0".parse().unwrap());
    assert_eq!(fs::metadata(&file).unwrap().len(), 0);
    drop(other);
    assert_eq!(deliver_now(&file, &content(b"x\r\n")).outcome, Outcome::Delivered);
}

#[test]
fn a_lock_that_a_crash_left_is_broken() {
    let folder = tempfile::tempdir().unwrap();
    let (file, lock) = (folder.path().join("bob"), folder.path().join("bob.lock"));
    let left = File::create(&lock).unwrap();
    left.set_modified(SystemTime::now() - STALE - Duration::from_secs(1)).unwrap();
    let report = deliver(&file, &sender("<>"), &content(b"x\r\n"), AT);
    assert_eq!(report.outcome, Outcome::Delivered, "{report:?}");
    assert!(!lock.exists());
}

#[test]
fn deliveries_at_the_same_time_do_not_mix() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("bob");
    let content = content(&b"line\r\n".repeat(20_000));
    std::thread::scope(|scope| {
        for _ in 0..4 {
            scope.spawn(|| {
                let report = deliver(&file, &sender("<>"), &content, AT);
                assert_eq!(report.outcome, Outcome::Delivered, "{report:?}");
            });
        }
    });
    assert_eq!(messages(&file), vec![String::from_utf8(local(&content)).unwrap(); 4]);
}

#[test]
fn an_attempt_that_fails_leaves_the_file_as_it_was() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("bob");
    fs::write(&file, "From old\n\nold\n\n").unwrap();
    let report = deliver_now(&file, &content_that_breaks(&b"line\r\n".repeat(50_000)));
    assert_eq!(report.outcome, Outcome::Deferred, "{report:?}");
    assert_eq!(fs::read_to_string(&file).unwrap(), "From old\n\nold\n\n");
    assert!(!folder.path().join("bob.lock").exists());
}

#[test]
fn a_message_begins_after_an_empty_line_whatever_a_crash_left() {
    let folder = tempfile::tempdir().unwrap();
    for (left, begins) in
        [("x", "x\n\nFrom "), ("x\n", "x\n\nFrom "), ("x\n\n", "x\n\nFrom "), ("\n", "\nFrom ")]
    {
        let file = folder.path().join("bob");
        fs::write(&file, left).unwrap();
        assert_eq!(deliver_now(&file, &content(b"x\r\n")).outcome, Outcome::Delivered);
        assert!(fs::read_to_string(&file).unwrap().starts_with(begins), "{left:?}");
    }
}

#[test]
fn what_is_no_file_of_its_own_is_no_mailbox() {
    let folder = tempfile::tempdir().unwrap();
    let path = |name: &str| folder.path().join(name);
    fs::write(path("real"), "").unwrap();
    symlink(path("real"), path("link")).unwrap();
    fs::write(path("one"), "").unwrap();
    fs::hard_link(path("one"), path("two")).unwrap();
    nix::unistd::mkfifo(&path("fifo"), nix::sys::stat::Mode::S_IRWXU).unwrap();
    fs::create_dir(path("folder")).unwrap();
    for name in ["link", "one", "two", "fifo", "folder", "missing/bob"] {
        let report = deliver_now(&path(name), &content(b"x\r\n"));
        assert_eq!((report.outcome, report.status), (Outcome::Deferred, "4.3.0".parse().unwrap()), "{name}");
        assert!(report.reply.contains(name), "{}", report.reply);
    }
    assert_eq!(deliver_now(Path::new("/dev/full"), &content(b"x\r\n")).outcome, Outcome::Deferred);
    assert_eq!(fs::read_to_string(path("real")).unwrap(), "");
}
