//! Row 106: what lies in the spool and does not belong there.

use std::fs::{self, File};
use std::os::unix::fs::{FileExt, MetadataExt, lchown, symlink};
use std::os::unix::net::UnixListener;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, SystemTime};

use nix::sys::stat::{Mode, SFlag};
use smap_common::spool::QueueId;
use smap_tests::gateway::{SMAP_UID, chmod};
use smap_tests::needs::Need::Root;
use smap_tests::needs::is_root;
use smap_tests::post::{Post, RELAY_TRACE, Smapd, without_trace};
use smap_tests::sink::{Act, Sink};
use smap_tests::{eventually, tests};

tests! {
    row_106_a_file_with_a_foreign_name_is_set_aside;
    row_106_a_file_with_a_name_that_is_not_text_is_set_aside;
    row_106_a_hidden_file_is_set_aside;
    row_106_a_fifo_is_set_aside;
    row_106_a_symbolic_link_is_set_aside;
    row_106_a_hard_link_is_set_aside;
    row_106_a_hard_link_to_a_file_of_root_is_set_aside: [Root];
    row_106_a_folder_is_set_aside;
    row_106_a_device_is_set_aside: [Root];
    row_106_a_socket_is_set_aside;
    row_106_an_empty_file_is_no_message;
    row_106_absurd_names_are_set_aside;
    row_106_a_file_of_a_terabyte_is_set_aside;
    row_106_a_file_that_shrinks_while_it_is_read_waits;
    row_106_a_file_that_grows_while_it_is_read_is_what_it_was;
    row_106_a_file_of_another_owner_is_set_aside: [Root];
    row_106_a_message_with_a_broken_checksum_is_set_aside;
    row_106_a_message_with_a_broken_envelope_is_set_aside;
    row_106_a_message_under_the_name_of_another_is_set_aside;
}

/// The age of a file that nobody writes any more.
pub(crate) const OLD: Duration = Duration::from_secs(3600);

pub(crate) const FROM: &str = "a@sender.example";

fn fresh_name() -> String {
    QueueId::generate().unwrap().to_string()
}

/// A whole message, taken out of `incoming/`, and its name.
fn message(post: &Post, staging: &Path) -> (PathBuf, String) {
    let id = post.send(FROM, &["poison@example.com"], "Subject: x\r\n\r\nhello");
    let path = staging.join(&id);
    fs::rename(post.path("spool/incoming").join(&id), &path).unwrap();
    (path, id)
}

/// Makes something in the folder that is to get this name in `incoming/`.
type Maker = fn(&Post, &Path) -> (PathBuf, String);

/// It is set aside with a reason, whether smapd finds it there or sees it come; other mail goes on.
fn assert_set_aside(make: Maker, reason: &str) {
    for comes_later in [false, true] {
        let post = Post::with_maildirs("");
        let staging = post.path("staging");
        fs::create_dir(&staging).unwrap();
        let (made, name) = make(&post, &staging);
        if is_root() && !reason.contains("uid") {
            lchown(&made, Some(SMAP_UID), Some(SMAP_UID)).unwrap();
        }
        let place = || fs::rename(&made, post.path("spool/incoming").join(&name)).unwrap();
        if !comes_later {
            place();
        }
        let before = post.send(FROM, &["b@example.com"], "hello");
        let smapd = post.smapd();
        smapd.removed(&before);
        if comes_later {
            place();
        }
        assert_is_set_aside(&post, &smapd, &name, reason);
        let after = post.send(FROM, &["b@example.com"], "hello");
        smapd.removed(&after);
        assert_eq!(post.maildir("b").len(), 2);
        assert!(post.maildir("poison").is_empty());
        assert!(post.names("incoming").is_empty(), "{:?}", post.names("incoming"));
    }
}

fn assert_is_set_aside(post: &Post, smapd: &Smapd, name: &str, reason: &str) {
    let line = smapd
        .process()
        .wait_for_log(|line| line.contains("]: bad file=") || line.contains("cannot be set aside"));
    assert!(line.contains(" reason=\"") && line.contains(reason), "{line}");
    let bad = post.path("spool/bad");
    let text = eventually("the reason is written", || {
        fs::read_to_string(bad.join(format!("{name}.reason"))).ok().filter(|text| !text.is_empty())
    });
    assert!(text.contains(reason), "{text}");
    assert!(bad.join(name).symlink_metadata().is_ok(), "{:?}", post.names("bad"));
}

fn row_106_a_file_with_a_foreign_name_is_set_aside() {
    assert_set_aside(
        |_, staging| {
            let path = staging.join("stranger");
            fs::write(&path, "x").unwrap();
            (path, "it is \"a\" status=sent stranger".to_owned())
        },
        "not a queue id",
    );
}

fn row_106_a_hidden_file_is_set_aside() {
    assert_set_aside(
        |_, staging| {
            let path = staging.join("stranger");
            fs::write(&path, "x").unwrap();
            (path, ".hidden".to_owned())
        },
        "not a queue id",
    );
}

/// It does not stop the queue. What it is called in `bad/` is not said here.
fn row_106_a_file_with_a_name_that_is_not_text_is_set_aside() {
    use std::os::unix::ffi::OsStrExt;
    let post = Post::with_maildirs("");
    let name = std::ffi::OsStr::from_bytes(b"x\xff\xfe\n");
    let path = post.path("spool/incoming").join(name);
    fs::write(&path, "x").unwrap();
    if is_root() {
        lchown(&path, Some(SMAP_UID), Some(SMAP_UID)).unwrap();
    }
    let smapd = post.smapd();
    let id = post.send(FROM, &["b@example.com"], "hello");
    smapd.removed(&id);
    eventually("it is set aside", || (post.names("bad").len() == 2).then_some(()));
    assert!(!path.exists());
}

fn row_106_a_fifo_is_set_aside() {
    assert_set_aside(
        |_, staging| {
            let path = staging.join("fifo");
            nix::unistd::mkfifo(&path, Mode::from_bits_truncate(0o666)).unwrap();
            (path, fresh_name())
        },
        "not a regular file",
    );
}

fn row_106_a_symbolic_link_is_set_aside() {
    assert_set_aside(
        |post, staging| {
            let (message, _) = message(post, staging);
            let path = staging.join("link");
            symlink(message, &path).unwrap();
            (path, fresh_name())
        },
        "not a regular file",
    );
}

fn row_106_a_hard_link_is_set_aside() {
    assert_set_aside(
        |post, staging| {
            let (message, name) = message(post, staging);
            fs::hard_link(&message, staging.join("second")).unwrap();
            (message, name)
        },
        "more than one name",
    );
}

/// Whatever its mode: those of /etc/shadow and /etc/passwd are among these.
fn row_106_a_hard_link_to_a_file_of_root_is_set_aside() {
    for mode in [0o600, 0o640, 0o644] {
        let post = Post::with_maildirs("");
        let staging = post.path("staging");
        fs::create_dir(&staging).unwrap();
        let (secret, name) = message(&post, &staging);
        lchown(&secret, Some(0), Some(0)).unwrap();
        chmod(&secret, mode);
        let before = fs::read(&secret).unwrap();
        fs::hard_link(&secret, post.path("spool/incoming").join(&name)).unwrap();
        let smapd = post.smapd();
        assert_is_set_aside(&post, &smapd, &name, "more than one name");
        let after = post.send(FROM, &["b@example.com"], "hello");
        smapd.removed(&after);
        assert!(post.maildir("poison").is_empty() && fs::read(&secret).unwrap() == before);
        assert_eq!(fs::metadata(&secret).unwrap().mode() & 0o777, mode);
    }
}

fn row_106_a_device_is_set_aside() {
    assert_set_aside(
        |_, staging| {
            let path = staging.join("device");
            let null = nix::sys::stat::makedev(1, 3);
            nix::sys::stat::mknod(&path, SFlag::S_IFCHR, Mode::from_bits_truncate(0o666), null).unwrap();
            (path, fresh_name())
        },
        "not a regular file",
    );
}

fn row_106_a_socket_is_set_aside() {
    assert_set_aside(
        |_, staging| {
            let path = staging.join("socket");
            drop(UnixListener::bind(&path).unwrap());
            (path, fresh_name())
        },
        "not a regular file",
    );
}

fn row_106_an_empty_file_is_no_message() {
    let post = Post::with_maildirs("");
    let path = post.path("spool/incoming").join(fresh_name());
    let file = File::create(&path).unwrap();
    file.set_modified(SystemTime::now() - OLD).unwrap();
    drop(file);
    if is_root() {
        lchown(&path, Some(SMAP_UID), Some(SMAP_UID)).unwrap();
    }
    let smapd = post.smapd();
    let _line = smapd.process().wait_for_log(|line| line.contains(" removed: "));
    assert!(!path.exists());
    let after = post.send(FROM, &["b@example.com"], "hello");
    smapd.removed(&after);
    post.assert_spool_is_empty();
}

fn row_106_absurd_names_are_set_aside() {
    let long = "x".repeat(255);
    let names = [
        "-rf",
        "*",
        "...",
        "~",
        "${IFS}",
        "%n%s",
        "a\nsmapd[1]: id=0 status=sent",
        "\u{202e}\u{1b}[2J",
        &long,
    ];
    let post = Post::with_maildirs("");
    let smapd = post.smapd();
    for name in names {
        let path = post.path("stranger");
        fs::write(&path, "x").unwrap();
        if is_root() {
            lchown(&path, Some(SMAP_UID), Some(SMAP_UID)).unwrap();
        }
        fs::rename(&path, post.path("spool/incoming").join(name)).unwrap();
    }
    let _lines = smapd.process().wait_for_logs(names.len(), |line| line.contains("]: bad file="));
    // Nobody's name is too long for the reason to stand beside it.
    let kept = |name: &str| name.chars().take(240).collect::<String>();
    let wanted = names.iter().flat_map(|name| [kept(name), kept(name) + ".reason"]);
    let mut wanted: Vec<String> = wanted.collect();
    wanted.sort();
    eventually("each is there with its reason", || (post.names("bad").len() >= wanted.len()).then_some(()));
    assert_eq!(post.names("bad"), wanted);
    let after = post.send(FROM, &["b@example.com"], "hello");
    smapd.removed(&after);
    for line in smapd.process().log() {
        assert!(line.starts_with("smapd[") && !line.contains(char::is_control), "{line:?}");
    }
    assert!(post.names("incoming").is_empty());
}

/// There is next to nothing in it, and it says that it is a message.
fn row_106_a_file_of_a_terabyte_is_set_aside() {
    const LENGTH: u64 = 1 << 40;
    assert_set_aside(
        |post, staging| {
            let (message, name) = message(post, staging);
            chmod(&message, 0o640);
            let file = File::options().write(true).open(&message).unwrap();
            let (size, end) = (
                file.metadata().unwrap().len(),
                format!("END body={:020} records={:010} crc32={:08x}\n", LENGTH - 1, 0, 0),
            );
            file.write_all_at(end.as_bytes(), size - 64 + LENGTH).unwrap();
            (message, name)
        },
        "longer than any message",
    );
}

/// A message whose file is changed when the next host is to be given it; it is read from the file then.
fn changed_under_way(change: impl Fn(&File)) -> (Post, Sink, Smapd, String) {
    let changed = Arc::new(AtomicBool::new(false));
    let go_on = Arc::clone(&changed);
    let sink = Sink::scripted(move |number, line| {
        if number == 0 && line == "DATA" {
            eventually("the file is another", || go_on.load(Ordering::SeqCst).then_some(()));
        }
        Act::Usual
    });
    let post = Post::new(|_| {
        format!("smapd: retry 1h\nsmap, smapd: domain example.com smtp:[127.0.0.1]:{}", sink.port())
    });
    let id = post.send(FROM, &["b@example.com"], LONG.repeat(10_000).trim_end());
    let path = post.path("spool/incoming").join(&id);
    chmod(&path, 0o660);
    let file = File::options().write(true).open(&path).unwrap();
    let smapd = post.smapd();
    eventually("it is under way", || sink.lines().iter().any(|(_, line)| line == "DATA").then_some(()));
    change(&file);
    changed.store(true, Ordering::SeqCst);
    (post, sink, smapd, id)
}

const LONG: &str = "0123456789abcdef\r\n";

fn row_106_a_file_that_shrinks_while_it_is_read_waits() {
    let (post, sink, smapd, id) = changed_under_way(|file| file.set_len(100_000).unwrap());
    let _line = smapd.outcome(&id, "b@example.com", "deferred");
    assert!(sink.received().is_empty() && post.names("bad").is_empty());
}

fn row_106_a_file_that_grows_while_it_is_read_is_what_it_was() {
    let (post, sink, smapd, id) = changed_under_way(|file| {
        let end = file.metadata().unwrap().len();
        file.write_all_at(&b"more\r\n".repeat(10_000), end).unwrap();
    });
    smapd.removed(&id);
    let (_, text) = without_trace(&sink.received()[0].text, &RELAY_TRACE);
    assert!(text == LONG.repeat(10_000).into_bytes(), "{}", text.len());
    post.assert_spool_is_empty();
}

fn row_106_a_folder_is_set_aside() {
    assert_set_aside(
        |_, staging| {
            let path = staging.join("folder");
            fs::create_dir(&path).unwrap();
            (path, fresh_name())
        },
        "not a regular file",
    );
}

fn row_106_a_file_of_another_owner_is_set_aside() {
    assert_set_aside(
        |post, staging| {
            let (message, name) = message(post, staging);
            lchown(&message, Some(12345), None).unwrap();
            chmod(&message, 0o444);
            (message, name)
        },
        "uid 12345",
    );
}

/// A message with this instead of that.
fn changed(post: &Post, staging: &Path, from: &str, to: &str) -> (PathBuf, String) {
    let (message, name) = message(post, staging);
    let text = fs::read_to_string(&message).unwrap();
    let other = text.replacen(from, to, 1);
    assert!(other != text, "{from:?} is not in {text}");
    fs::remove_file(&message).unwrap();
    fs::write(&message, other).unwrap();
    chmod(&message, 0o440);
    (message, name)
}

fn row_106_a_message_with_a_broken_checksum_is_set_aside() {
    assert_set_aside(|post, staging| changed(post, staging, "hello", "hullo"), "checksum");
}

fn row_106_a_message_with_a_broken_envelope_is_set_aside() {
    let make: Maker = |post, staging| changed(post, staging, "RCPT <poison@", "RCPT <poison@@");
    for comes_later in [false, true] {
        let post = Post::with_maildirs("");
        let staging = post.path("staging");
        fs::create_dir(&staging).unwrap();
        let (made, name) = make(&post, &staging);
        if is_root() {
            lchown(&made, Some(SMAP_UID), Some(SMAP_UID)).unwrap();
        }
        let place = || fs::rename(&made, post.path("spool/incoming").join(&name)).unwrap();
        if !comes_later {
            place();
        }
        let smapd = post.smapd();
        if comes_later {
            place();
        }
        assert_is_set_aside(&post, &smapd, &name, "");
    }
}

fn row_106_a_message_under_the_name_of_another_is_set_aside() {
    assert_set_aside(
        |post, staging| {
            let (message, _) = message(post, staging);
            (message, fresh_name())
        },
        "the envelope is that of",
    );
}
