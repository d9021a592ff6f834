//! What lies in the spool and does not belong there, what was never finished, and a disk that is full.

use std::fs::{self, File};
use std::os::unix::fs::{FileExt, MetadataExt, lchown, symlink};
use std::os::unix::net::UnixListener;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, SystemTime};

use nix::fcntl::{Flock, FlockArg};
use nix::sys::signal::Signal;
use nix::sys::stat::{Mode, SFlag};
use smap_common::spool::QueueId;
use smap_tests::gateway::{Gateway, SMAP_UID, SMAPD_UID, chmod, free_port};
use smap_tests::needs::Need::{Program, Root};
use smap_tests::needs::is_root;
use smap_tests::post::{Post, RELAY_TRACE, Smapd, without_trace};
use smap_tests::process::run;
use smap_tests::sink::{Act, Sink};
use smap_tests::{eventually, tests};

use crate::confinement::{Mounted, fill};

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
    nothing_in_bad_is_overwritten;
    a_reason_follows_no_symbolic_link;
    a_baddir_that_is_missing_is_made;
    a_baddir_without_its_parent_is_refused_with_what_makes_it;
    an_unfinished_file_is_removed_once_it_is_old_and_nobody_holds_it;
    an_unfinished_file_that_somebody_holds_stays;
    a_deferral_waits_for_room_on_a_full_disk: [Root];
    a_deferral_waits_for_room_on_a_full_ext4: [Root, Program("mkfs.ext4")];
    who_has_the_message_does_not_get_it_again_from_a_full_disk: [Root];
    a_notification_waits_for_room_on_a_full_disk: [Root];
    a_state_goes_with_its_message: [Root];
    a_state_of_rubbish_holds_up_no_message;
    an_incoming_that_is_replaced_ends_smapd;
}

const FROM: &str = "a@sender.example";

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

fn nothing_in_bad_is_overwritten() {
    let post = Post::with_maildirs("");
    let smapd = post.smapd();
    for number in 1..=2 {
        let path = post.path("stranger");
        fs::write(&path, format!("number {number}")).unwrap();
        if is_root() {
            lchown(&path, Some(SMAP_UID), Some(SMAP_UID)).unwrap();
        }
        fs::rename(&path, post.path("spool/incoming/stranger")).unwrap();
        let _lines = smapd.process().wait_for_logs(number, |line| line.contains("]: bad file=stranger "));
    }
    eventually("both are there with their reasons", || (post.names("bad").len() == 4).then_some(()));
    let texts: Vec<String> = post
        .names("bad")
        .iter()
        .filter(|name| !name.ends_with(".reason"))
        .map(|name| fs::read_to_string(post.path("spool/bad").join(name)).unwrap())
        .collect();
    assert_eq!(texts, ["number 1", "number 2"]);
}

/// Whoever may write in `incoming/` may prepare the name of a reason.
fn a_reason_follows_no_symbolic_link() {
    let post = Post::with_maildirs("");
    let precious = post.path("mail/precious");
    fs::write(&precious, "precious").unwrap();
    chmod(&precious, 0o666);
    symlink(&precious, post.path("spool/incoming/stranger.reason")).unwrap();
    let smapd = post.smapd();
    let _line = smapd.process().wait_for_log(|line| line.contains("]: bad file=stranger.reason "));
    fs::write(post.path("spool/incoming/stranger"), "x").unwrap();
    let _line = smapd.process().wait_for_log(|line| line.contains("]: bad file=stranger "));
    let after = post.send(FROM, &["b@example.com"], "hello");
    smapd.removed(&after);
    assert!(post.names("bad").contains(&"stranger".to_owned()), "{:?}", post.names("bad"));
    assert_eq!(fs::read_to_string(&precious).unwrap(), "precious");
}

fn with_baddir(path: &str) -> Post {
    let post = Post::with_maildirs("");
    post.gateway.write_table(&format!("smapd: baddir {}", post.path(path).display()));
    post
}

fn a_baddir_that_is_missing_is_made() {
    let post = with_baddir("aside");
    fs::write(post.path("spool/incoming/stranger"), "x").unwrap();
    let ended = post.once();
    assert_eq!(ended.code, 0, "{ended:#?}");
    let facts = fs::metadata(post.path("aside")).unwrap();
    let owner = if is_root() { SMAPD_UID } else { nix::unistd::geteuid().as_raw() };
    assert_eq!((facts.mode() & 0o7777, facts.uid()), (0o700, owner));
    assert_eq!(fs::read_to_string(post.path("aside/stranger")).unwrap(), "x");
    assert!(post.names("bad").is_empty());
}

fn a_baddir_without_its_parent_is_refused_with_what_makes_it() {
    let post = with_baddir("none/aside");
    let ended = post.once();
    assert_eq!(ended.code, 78, "{ended:#?}");
    let line = ended.log.iter().find(|line| line.contains("none/aside")).expect("it is named");
    let (_, mend) = line.split_once("; to mend it: ").expect("the line says what mends it");
    assert_eq!(run(Command::new("sh").args(["-c", mend]), Stdio::null()).code, 0, "{mend}");
    let ended = post.once();
    assert_eq!(ended.code, 0, "{ended:#?}");
}

/// Without its end, as smap leaves it when it is interrupted.
fn unfinished(post: &Post, age: Duration) -> (PathBuf, File) {
    let id = post.send(FROM, &["b@example.com"], "hello");
    let path = post.path("spool/incoming").join(id);
    chmod(&path, 0o640);
    let file = File::options().read(true).write(true).open(&path).unwrap();
    file.set_len(file.metadata().unwrap().len() - 64).unwrap();
    file.set_modified(SystemTime::now() - age).unwrap();
    (path, file)
}

const OLD: Duration = Duration::from_secs(3600);

fn an_unfinished_file_is_removed_once_it_is_old_and_nobody_holds_it() {
    let post = Post::with_maildirs("smapd: wakeup 1s");
    let (old, file) = unfinished(&post, OLD);
    drop(file);
    let (young, file) = unfinished(&post, Duration::ZERO);
    drop(file);
    let smapd = post.smapd();
    let id = old.file_name().unwrap().to_string_lossy().into_owned();
    let _line = smapd.process().wait_for_log(|line| line.contains(&format!("id={id} removed: ")));
    assert!(!old.exists());
    let next = post.send(FROM, &["c@example.com"], "hello");
    smapd.removed(&next);
    assert!(young.exists(), "it is not a minute old");
    assert!(post.maildir("b").is_empty() && post.names("bad").is_empty());
    // A minute later, as far as the file can say.
    File::open(&young).unwrap().set_modified(SystemTime::now() - OLD).unwrap();
    eventually("it is removed by a scan", || (!young.exists()).then_some(()));
}

fn an_unfinished_file_that_somebody_holds_stays() {
    let post = Post::with_maildirs("smapd: wakeup 1s");
    let (held, file) = unfinished(&post, OLD);
    let Ok(held_file) = Flock::lock(file, FlockArg::LockExclusiveNonblock) else { panic!("nobody has it") };
    let (free, file) = unfinished(&post, OLD);
    drop(file);
    let (young, file) = unfinished(&post, Duration::ZERO);
    let smapd = post.smapd();
    let id = free.file_name().unwrap().to_string_lossy().into_owned();
    let _line = smapd.process().wait_for_log(|line| line.contains(&format!("id={id} removed: ")));
    file.set_modified(SystemTime::now() - OLD).unwrap();
    drop(file);
    eventually("another scan is over", || (!young.exists()).then_some(()));
    assert!(held.exists());
    drop(held_file);
    eventually("it is removed", || (!held.exists()).then_some(()));
    assert!(post.maildir("b").is_empty());
}

/// A spool on a small disk.
fn on_small_disk(lines: &str, mounted: impl FnOnce(&Gateway) -> Mounted) -> (Post, Mounted) {
    let gateway = Gateway::without_spool("");
    let disk = mounted(&gateway);
    chmod(&gateway.spool(), 0o755);
    gateway.layout().create_missing().unwrap();
    let mail = gateway.folder().join("mail");
    gateway.write_table(&format!(
        "smapd: retry 1s\n{lines}\nsmap, smapd: domain local.example maildir:{}/%u/",
        mail.display()
    ));
    (Post::of(gateway), disk)
}

fn tmpfs(gateway: &Gateway) -> Mounted {
    Mounted::tmpfs(&gateway.spool(), "size=1m,mode=0755")
}

fn ext4(gateway: &Gateway) -> Mounted {
    Mounted::ext4(&gateway.spool(), &gateway.folder().join("image"))
}

fn empty(fillers: &[PathBuf]) {
    fillers.iter().for_each(|filler| fs::remove_file(filler).unwrap());
}

fn assert_deferral_waits_for_room(mounted: fn(&Gateway) -> Mounted) {
    let port = free_port();
    let lines = format!("smap, smapd: domain example.com smtp:[127.0.0.1]:{port}");
    let (post, disk) = on_small_disk(&lines, mounted);
    let id = post.send(FROM, &["b@example.com"], "hello");
    let fillers = fill(&post.gateway.spool());
    let smapd = post.smapd();
    let _tried = smapd.outcomes(2, &id, "b@example.com", "deferred");
    assert!(post.names("incoming").contains(&id) || post.names("queue").contains(&id));
    // It is killed, too, with nothing written down.
    assert_eq!(smapd.end(Signal::SIGKILL).code, 137);
    empty(&fillers);
    let sink = Sink::on(port, |_, _| Act::Usual);
    let smapd = post.smapd();
    smapd.removed(&id);
    assert_eq!(sink.received().len(), 1);
    assert!(post.names("incoming").is_empty() && post.names("bad").is_empty());
    assert!(!post.names("queue").contains(&id));
    drop((smapd, disk, post));
}

fn a_deferral_waits_for_room_on_a_full_disk() {
    assert_deferral_waits_for_room(tmpfs);
}

fn a_deferral_waits_for_room_on_a_full_ext4() {
    assert_deferral_waits_for_room(ext4);
}

fn who_has_the_message_does_not_get_it_again_from_a_full_disk() {
    let open = Arc::new(AtomicBool::new(false));
    let later = Arc::clone(&open);
    let sink = Sink::scripted(move |_, line| {
        let refused = line.starts_with("RCPT TO:<c@") && !later.load(Ordering::SeqCst);
        if refused { Act::say("450 4.2.1 later") } else { Act::Usual }
    });
    let lines = format!("smap, smapd: domain example.com smtp:[127.0.0.1]:{}", sink.port());
    let (post, disk) = on_small_disk(&lines, tmpfs);
    let id = post.send(FROM, &["b@example.com", "c@example.com"], "hello");
    let fillers = fill(&post.gateway.spool());
    let smapd = post.smapd();
    let _tried = smapd.outcomes(2, &id, "c@example.com", "deferred");
    empty(&fillers);
    open.store(true, Ordering::SeqCst);
    smapd.removed(&id);
    let recipients: Vec<Vec<String>> = sink.received().into_iter().map(|one| one.recipients).collect();
    assert_eq!(recipients, [["<b@example.com>"], ["<c@example.com>"]]);
    drop((smapd, disk, post));
}

fn a_notification_waits_for_room_on_a_full_disk() {
    let (post, disk) = on_small_disk("smap, smapd: domain no.example error:5.1.1:550 No such user", tmpfs);
    let id = post.send("a@local.example", &["b@no.example"], "hello");
    let fillers = fill(&post.gateway.spool());
    let smapd = post.smapd();
    let _line = smapd.process().wait_for_log(|line| line.contains("notification cannot be stored"));
    assert_eq!(post.names("incoming"), [id.as_str()]);
    assert_eq!(smapd.end(Signal::SIGTERM).code, 0);
    empty(&fillers);
    // Its beginning is there, and no message; it is removed once it is old.
    for name in post.names("queue").iter().filter(|name| !name.ends_with(".state")) {
        let beginning = File::open(post.path("spool/queue").join(name)).unwrap();
        beginning.set_modified(SystemTime::now() - OLD).unwrap();
    }
    let smapd = post.smapd();
    let (notification, to) = smapd.notification(&id);
    assert_eq!(to, "<a@local.example>");
    smapd.removed(&notification);
    smapd.removed(&id);
    assert_eq!(post.maildir("a").len(), 1);
    post.assert_spool_is_empty();
    drop((smapd, disk, post));
}

/// Of a deferral that could not be written down, too.
fn a_state_goes_with_its_message() {
    let port = free_port();
    let lines = format!("smap, smapd: domain example.com smtp:[127.0.0.1]:{port}");
    let (post, disk) = on_small_disk(&lines, tmpfs);
    let id = post.send(FROM, &["b@example.com"], "hello");
    let fillers = fill(&post.gateway.spool());
    let smapd = post.smapd();
    let _tried = smapd.outcome(&id, "b@example.com", "deferred");
    assert_eq!(smapd.end(Signal::SIGTERM).code, 0);
    empty(&fillers);
    let sink = Sink::on(port, |_, _| Act::Usual);
    let smapd = post.smapd();
    smapd.removed(&id);
    assert_eq!(sink.received().len(), 1);
    post.assert_spool_is_empty();
    drop((smapd, disk, post));
}

fn a_state_of_rubbish_holds_up_no_message() {
    let port = free_port();
    let post =
        Post::new(|_| format!("smapd: retry 1h\nsmap, smapd: domain example.com smtp:[127.0.0.1]:{port}"));
    let id = post.send(FROM, &["b@example.com"], "hello");
    let ended = post.once();
    assert!(ended.log.iter().any(|line| line.contains(" status=deferred ")), "{ended:#?}");
    let state = post.path("spool/queue").join(format!("{id}.state"));
    assert!(state.is_file(), "{:?}", post.names("queue"));
    fs::write(&state, b"\xff\xfe\x00\x80rubbish\n\xc3\x28\n").unwrap();
    let sink = Sink::on(port, |_, _| Act::Usual);
    let smapd = post.smapd();
    smapd.removed(&id);
    assert_eq!(sink.received().len(), 1);
    post.assert_spool_is_empty();
}

fn an_incoming_that_is_replaced_ends_smapd() {
    let post = Post::with_maildirs("smapd: wakeup 1s");
    let smapd = post.smapd();
    fs::rename(post.path("spool/incoming"), post.path("spool/before")).unwrap();
    post.gateway.layout().create_missing().unwrap();
    let ended = smapd.ended();
    assert_eq!(ended.code, 75, "{ended:#?}");
    assert!(ended.log.iter().any(|line| line.contains("error: incoming/ is not the folder")), "{ended:#?}");
}
