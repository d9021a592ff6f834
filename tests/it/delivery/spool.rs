//! What was set aside, what was never finished, and a disk that is full.

use std::fs::{self, File};
use std::os::unix::fs::{MetadataExt, lchown, symlink};
use std::path::PathBuf;
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, SystemTime};

use nix::fcntl::{Flock, FlockArg};
use nix::sys::signal::Signal;
use smap_tests::gateway::{Gateway, SMAP_UID, SMAPD_UID, chmod, free_port};
use smap_tests::needs::Need::{Program, Root};
use smap_tests::needs::is_root;
use smap_tests::post::Post;
use smap_tests::process::run;
use smap_tests::sink::{Act, Sink};
use smap_tests::{eventually, tests};

use crate::confinement::{Mounted, fill};
use crate::hostile::files::{FROM, OLD};

tests! {
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
