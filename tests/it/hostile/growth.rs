//! Files that may not grow any more (RLIMIT_FSIZE): a write to one comes back short, and the next one fails.

use std::fs;
use std::os::unix::process::CommandExt;
use std::process::{Command, Stdio};

use nix::sys::signal::Signal;
use nix::unistd::Pid;
use smap_tests::gateway::{Gateway, SMAP_UID, SMAPD_UID};
use smap_tests::needs::Need::Program;
use smap_tests::needs::is_root;
use smap_tests::post::Post;
use smap_tests::process::run;
use smap_tests::{programs, tests};

use crate::confinement::session_of;
use crate::delivery::relay::FROM;

tests! {
    row_103_a_text_that_a_file_has_no_room_for_is_refused_for_now: [Program("prlimit")];
    row_103_a_mailbox_that_may_not_grow_is_left_as_it_was: [Program("prlimit")];
}

/// No file that it writes may be larger from now on.
fn limit(process: Pid, user: u32, octets: usize) {
    let mut prlimit = Command::new(programs::peer("prlimit"));
    prlimit.arg(format!("--pid={process}")).arg(format!("--fsize={octets}:{octets}"));
    if is_root() {
        // To take something from oneself needs no privilege.
        prlimit.uid(user).gid(user);
    }
    let limited = run(&mut prlimit, Stdio::null());
    assert_eq!(limited.code, 0, "{limited:#?}");
}

fn lines(count: usize) -> String {
    (0..count).map(|number| format!("this is line {number} of many\r\n")).collect()
}

fn row_103_a_text_that_a_file_has_no_room_for_is_refused_for_now() {
    let gateway = Gateway::new("");
    let listener = gateway.listen();
    let (mut client, pid) = (listener.extended_client(), session_of(&listener));
    limit(pid, SMAP_UID, 100_000);
    // The file is full in the middle of the text, or only behind it.
    client.mail(&lines(10_000), "452 4.3.1 ");
    client.mail(&format!("{}\r\n", "x".repeat(98)).repeat(999), "452 4.3.1 ");
    client.mail("hello", "250 ");
    client.quit();
    let stored = gateway.incoming();
    assert!(matches!(stored.as_slice(), [one] if one.body == b"hello\r\n"), "{stored:?}");
}

fn row_103_a_mailbox_that_may_not_grow_is_left_as_it_was() {
    let post = Post::new(|folder| {
        let mail = folder.join("mail").display().to_string();
        format!(
            "smapd: retry 1s\n\
             smap, smapd: domain example.com maildir:{mail}/%u/\n\
             smap, smapd: domain mbox.example mbox:{mail}/%u.mbox"
        )
    });
    let smapd = post.smapd();
    smapd.removed(&post.send(FROM, &["b@mbox.example"], "the first"));
    let mailbox = post.path("mail/b.mbox");
    let before = fs::read(&mailbox).unwrap();
    limit(smapd.process().pid(), SMAPD_UID, before.len() + 70_000);
    let text = lines(4_000);
    let id = post.send(FROM, &["b@mbox.example", "b@example.com"], &text);
    for to in ["b@mbox.example", "b@example.com"] {
        let line = smapd.outcome(&id, to, "deferred");
        assert!(line.contains(" dsn=4.2.2 "), "{line}");
    }
    let ended = smapd.end(Signal::SIGTERM);
    assert_eq!(ended.code, 0, "{ended:#?}");
    assert_eq!(fs::read(&mailbox).unwrap(), before);
    assert!(post.maildir("b").is_empty());
    assert_eq!(fs::read_dir(post.path("mail/b/tmp")).unwrap().count(), 0);
    post.smapd().removed(&id);
    let (whole, text) = (fs::read(&mailbox).unwrap(), text.replace("\r\n", "\n"));
    let count = |text: &str| String::from_utf8_lossy(&whole).matches(text).count();
    assert!(whole.starts_with(&before));
    assert_eq!((count(&text), count("From a@sender.example "), post.maildir("b").len()), (1, 2, 1));
}
