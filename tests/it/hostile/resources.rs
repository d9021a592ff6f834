//! A machine that runs out of something, fails, or tells another time; and clients that want too much of it.

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io::{Read, Write};
use std::os::unix::process::CommandExt;
use std::process::{Command, Stdio};
use std::time::{Duration, SystemTime};

use nix::sys::signal::Signal;
use smap_tests::clock::{Clock, DAY};
use smap_tests::gateway::{Gateway, SMAP_UID, chmod, free_port};
use smap_tests::needs::Need::{Program, Root};
use smap_tests::needs::is_root;
use smap_tests::post::{Post, RELAY_TRACE, Smapd, folder_of_smapd, without_trace};
use smap_tests::process::run;
use smap_tests::sink::{Act, Sink};
use smap_tests::{eventually, programs, tests};

use crate::confinement::{Mounted, session_of};
use crate::delivery::relay::FROM;
use crate::superservers::on_a_socket;

tests! {
    row_038_a_client_is_named_as_it_names_itself_or_not_at_all;
    row_071_what_was_refused_leaves_nothing_in_the_spool;
    row_078_who_leaves_behind_the_dot_has_sent_one_message_at_most;
    row_103_a_disk_that_fails_is_said: [Root, Program("mkfs.ext4"), Program("python3")];
    row_103_a_sync_that_fails_makes_no_message: [Program("cc")];
    row_103_no_descriptors_is_said: [Program("prlimit")];
    row_104_sigalrm_leaves_no_half_message: [Program("strace")];
    row_104_sighup_leaves_no_half_message: [Program("strace")];
    row_104_sigkill_leaves_no_half_message: [Program("strace")];
    row_104_sigpipe_disturbs_no_session: [Program("strace")];
    row_104_sigterm_leaves_no_half_message: [Program("strace")];
    row_104_smapd_loses_nothing_whenever_it_is_killed: [Program("strace")];
    row_105_a_clock_that_is_set_back_lets_nothing_sleep: [Program("cc")];
    row_105_a_clock_that_leaps_and_comes_back_lets_nothing_sleep: [Program("cc")];
    row_105_a_clock_that_is_set_ahead_lets_nothing_fail: [Program("cc")];
    row_105_mail_goes_on_after_2038: [Program("cc")];
    row_105_mail_of_the_future_is_mail: [Program("cc")];
    row_105_a_time_zone_of_rubbish_is_none;
}

fn row_038_a_client_is_named_as_it_names_itself_or_not_at_all() {
    let sink = Sink::start();
    let post = crate::delivery::relay::to_port(sink.port());
    let smapd = post.smapd();
    let names = ["[192.0.2.1]", "[IPv6:2001:db8::1]", "my_pc", "-x", "a:b[c].d"];
    for (number, name) in names.iter().enumerate() {
        let mut client = post.listener.client();
        for bad in ["\u{1b}[2J", "$(reboot)", "`id`", "x;y", "a\r b", "x id=0", "\"a\"", "(by\u{7})"] {
            client.say(&format!("HELO {bad}"), "50");
        }
        client.say(&format!("EHLO {name}"), "250-");
        let id = smap_tests::post::send(&mut client, "<a@sender.example>", &["<b@example.com>"], "hello");
        smapd.removed(&id);
        let (trace, _) = without_trace(&sink.received()[number].text, &RELAY_TRACE);
        let wanted = format!("Received: from {name} (unknown [127.0.0.1])\r\n\tby gw.example.com (smap)");
        assert!(trace[0].starts_with(&wanted), "{trace:?}");
    }
    for line in post.listener.process.log().iter().chain(&smapd.process().log()) {
        assert!(line.starts_with("smap") && !line.contains(char::is_control), "{line:?}");
    }
}

/// Far older than anything that is still being written.
const OLD: Duration = Duration::from_secs(3600);

fn row_071_what_was_refused_leaves_nothing_in_the_spool() {
    let post = Post::with_maildirs("smap: maxbytes 100K");
    let mut client = post.listener.extended_client();
    client.mail(&"12345678\r\n".repeat(11_000), "552 5.3.4 ");
    client.mail("a\nb", "550 5.5.2 ");
    client.quit();
    for name in post.names("incoming") {
        let left = File::open(post.path("spool/incoming").join(name)).unwrap();
        left.set_modified(SystemTime::now() - OLD).unwrap();
    }
    let ended = post.once();
    assert_eq!(ended.code, 0, "{ended:#?}");
    post.assert_spool_is_empty();
    assert!(post.maildir("b").is_empty());
}

fn row_078_who_leaves_behind_the_dot_has_sent_one_message_at_most() {
    const CLIENTS: usize = 20;
    let gateway = Gateway::new("");
    let listener = gateway.listen();
    for number in 0..CLIENTS {
        let mut client = listener.extended_client();
        client.say(&format!("MAIL FROM:<{number}@sender.example>"), "250 ");
        client.say("RCPT TO:<b@example.com>", "250 ");
        client.say("DATA", "354 ");
        client.send(b"hello\r\n.\r\n");
    }
    listener.wait_for_sessions(CLIENTS);
    let stored = gateway.incoming();
    assert!(stored.iter().all(|message| message.body == b"hello\r\n"), "{stored:?}");
    let mut senders: Vec<String> =
        stored.iter().map(|message| message.envelope.mail.sender.to_string()).collect();
    senders.sort();
    senders.dedup();
    assert_eq!(senders.len(), stored.len());
}

fn row_103_a_disk_that_fails_is_said() {
    let gateway = Gateway::without_spool("");
    let image = gateway.folder().join("image");
    let disk = Mounted::ext4(&gateway.spool(), &image);
    chmod(&gateway.spool(), 0o755);
    gateway.layout().create_missing().unwrap();
    nix::unistd::sync();
    let listener = gateway.listen();
    let mut client = listener.extended_client();
    client.data();
    client.send(&b"12345678\r\n".repeat(7_000));
    let mut python = Command::new(programs::peer("python3"));
    let failed = run(python.arg(programs::script("shutdown.py")).arg(gateway.spool()), Stdio::null());
    assert_eq!(failed.code, 0, "{failed:#?}");
    client.say(".", "451 4.3.0 ");
    client.envelope();
    client.say("DATA", "451 4.3.0 ");
    client.quit();
    drop((listener, disk));
    // What a restart finds.
    let _disk = Mounted::again(&gateway.spool(), &image);
    assert!(gateway.incoming().is_empty());
}

fn row_103_a_sync_that_fails_makes_no_message() {
    let gateway = Gateway::new("");
    let library = programs::library("sync", gateway.folder());
    let listener = gateway.listen_as(&["127.0.0.1"], || {
        let mut smap = gateway.program("smap");
        smap.env("LD_PRELOAD", &library);
        smap
    });
    let mut client = listener.extended_client();
    client.mail("hello", "451 4.3.0 ");
    client.mail(&"12345678\r\n".repeat(10_000), "451 4.3.0 ");
    client.quit();
    let left = fs::read_dir(gateway.layout().incoming()).unwrap().count();
    assert_eq!((left, gateway.incoming().len()), (2, 0));
}

fn row_103_no_descriptors_is_said() {
    let gateway = Gateway::new("");
    let listener = gateway.listen();
    let (mut client, pid) = (listener.extended_client(), session_of(&listener));
    client.envelope();
    let mut prlimit = Command::new(programs::peer("prlimit"));
    prlimit.arg(format!("--pid={pid}")).arg("--nofile=3:3");
    if is_root() {
        // To take something from oneself needs no privilege.
        prlimit.uid(SMAP_UID).gid(SMAP_UID);
    }
    let limited = run(&mut prlimit, Stdio::null());
    assert_eq!(limited.code, 0, "{limited:#?}");
    client.say("DATA", "421 4.3.2 ");
    client.expect_end();
    listener.extended_client().mail("hello", "250 ");
    assert_eq!(gateway.incoming().len(), 1);
}

/// A program of ours, watched by strace with these options.
fn watched(program: &Command, options: &[&str]) -> Command {
    let mut strace = Command::new(programs::peer("strace"));
    strace.args(["-f", "-qq", "-o", "/dev/null"]).args(options);
    strace.arg(program.get_program()).args(program.get_args());
    strace
}

/// The system calls of a session: its client, its file, its memory.
const SESSION_CALLS: &str = "seccomp,read,recvfrom,write,sendto,poll,ppoll,openat,flock,fsync,fstat,newfstatat,\
    pwrite64,lseek,close,getrandom,brk,mmap,munmap,mremap,exit_group";
const DIALOGUE: &[u8] =
    b"EHLO client.example\r\nMAIL FROM:<a@sender.example>\r\nRCPT TO:<b@example.com>\r\nDATA\r\n\
    Subject: x\r\n\r\nhello\r\n.\r\nQUIT\r\n";
const BODY: &[u8] = b"Subject: x\r\n\r\nhello\r\n";

/// All that a smap says to the dialogue, as far as it comes.
fn said_by(smap: &mut Command) -> String {
    let (mut child, mut client) = on_a_socket(smap);
    let _dead = client.write_all(DIALOGUE);
    let mut said = Vec::new();
    let _cut_short = client.read_to_end(&mut said);
    child.wait().unwrap();
    String::from_utf8(said).expect("replies are text")
}

/// How many of these calls each process of a program makes, and at which of them its filter is loaded.
fn calls(
    program: &Command,
    set: &str,
    go: impl FnOnce(&mut Command),
    notes: &std::path::Path,
) -> (usize, usize) {
    let mut strace = Command::new(programs::peer("strace"));
    strace.args(["-f", "-qq", "-o"]).arg(notes).arg("-e").arg(format!("trace={set}"));
    strace.arg(program.get_program()).args(program.get_args());
    go(&mut strace);
    let text = fs::read_to_string(notes).expect("strace wrote it down");
    let (mut counts, mut filter) = (BTreeMap::<&str, usize>::new(), 0);
    for line in text.lines().filter(|line| !line.contains("resumed>") && !line.contains("+++")) {
        let (pid, call) = line.split_once(' ').unwrap_or_default();
        let count = counts.entry(pid).or_default();
        *count += 1;
        if call.trim_start().starts_with("seccomp(SECCOMP_SET_MODE_FILTER") {
            filter = *count;
        }
    }
    (counts.into_values().max().unwrap_or_default(), filter)
}

/// Whenever the signal comes, there is a whole message or none, and one if the client was told so.
fn assert_no_half_message(signal: &str, said_at_last: &str) {
    let gateway = Gateway::new("");
    let smap = gateway.program("smap");
    let empty = || {
        fs::read_dir(gateway.layout().incoming())
            .unwrap()
            .for_each(|entry| fs::remove_file(entry.unwrap().path()).unwrap())
    };
    let clean = |strace: &mut Command| assert!(said_by(strace).contains("\r\n221 "));
    let (last, confined) = calls(&smap, SESSION_CALLS, clean, &gateway.folder().join("calls"));
    assert!(confined > 0 && last > confined + 10, "{confined} {last}");
    for at in confined..=last {
        empty();
        let options = [
            "-e",
            &format!("trace={SESSION_CALLS}"),
            "-e",
            &format!("inject={SESSION_CALLS}:signal={signal}:when={at}"),
        ];
        let said = said_by(&mut watched(&smap, &options));
        let stored = gateway.incoming();
        assert!(stored.len() <= 1 && stored.iter().all(|message| message.body == BODY), "{at}: {stored:?}");
        let accepted = said.lines().find_map(|line| line.strip_prefix("250 2.0.0 Mail accepted "));
        if let Some(id) = accepted {
            assert_eq!(stored[0].envelope.id.as_str(), id, "{at}");
        }
        assert!(said.is_empty() || said.ends_with("\r\n"), "{at}: {said}");
        assert!(said.contains(said_at_last), "{at}: {said}");
    }
    empty();
    assert!(said_by(&mut gateway.program("smap")).contains("Mail accepted"));
    assert_eq!(gateway.incoming().len(), 1);
}

fn row_104_sigalrm_leaves_no_half_message() {
    assert_no_half_message("ALRM", "");
}

fn row_104_sighup_leaves_no_half_message() {
    assert_no_half_message("HUP", "");
}

fn row_104_sigkill_leaves_no_half_message() {
    assert_no_half_message("KILL", "");
}

fn row_104_sigpipe_disturbs_no_session() {
    assert_no_half_message("PIPE", "\r\n221 ");
}

fn row_104_sigterm_leaves_no_half_message() {
    assert_no_half_message("TERM", "");
}

/// What smapd does to files.
const DELIVERY_CALLS: &str = "rename,renameat,renameat2,link,linkat,unlink,unlinkat,mkdir,mkdirat,fsync,fdatasync,flock,\
    ftruncate,inotify_add_watch";

fn row_104_smapd_loses_nothing_whenever_it_is_killed() {
    let post = Post::with_maildirs("smap, smapd: domain no.example error:5.1.1:550 No such user");
    let mut once = post.gateway.program("smapd");
    once.args(["--once", "--foreground"]);
    let send = || post.send("a@example.com", &["b@example.com", "c@no.example"], "hello");
    send();
    let clean = |strace: &mut Command| assert_eq!(run(strace, Stdio::null()).code, 0);
    let (last, _) = calls(&once, DELIVERY_CALLS, clean, &post.path("calls"));
    assert!(last > 3, "{last}");
    for at in 1..=last {
        ["b", "a"]
            .iter()
            .for_each(|user| fs::remove_dir_all(post.path("mail").join(user)).unwrap_or_default());
        send();
        let inject = format!("inject={DELIVERY_CALLS}:signal=KILL:when={at}");
        let _killed = run(
            &mut watched(&once, &["-e", &format!("trace={DELIVERY_CALLS}"), "-e", &inject]),
            Stdio::null(),
        );
        let ended = post.once();
        assert_eq!(ended.code, 0, "{at}: {ended:#?}");
        let (copies, told) = (post.maildir("b"), post.maildir("a"));
        assert!(matches!(copies.len(), 1..=2) && matches!(told.len(), 1..=2), "{at}: {copies:?} {told:?}");
        assert!(
            copies.iter().all(|text| text.ends_with(b"\n\nhello\n") || text.ends_with(b"\nhello\n")),
            "{at}"
        );
        assert!(post.names("incoming").is_empty() && post.names("bad").is_empty(), "{at}");
    }
}

/// Mail for example.com is for a port where nobody listens; smapd runs by a clock.
fn by_a_clock(lines: &str) -> (Post, Clock, Smapd, u16) {
    let port = free_port();
    let post = Post::new(|_| {
        format!("{lines}\nsmapd: wakeup 1s\nsmap, smapd: domain example.com smtp:[127.0.0.1]:{port}")
    });
    let clock = Clock::new(post.gateway.folder());
    let smapd = start_by(&clock, &post);
    (post, clock, smapd, port)
}

fn start_by(clock: &Clock, post: &Post) -> Smapd {
    Smapd::start(&mut clock.for_program(post.gateway.program("smapd")))
}

/// It was tried so often, and when it is tried again is written down.
fn assert_waits(attempts: usize, id: &str, post: &Post, smapd: &Smapd) {
    let _tried = smapd.outcomes(attempts, id, "b@example.com", "deferred");
    eventually("the next attempt is written down", || {
        let state = fs::read_to_string(post.path("spool/queue").join(format!("{id}.state"))).ok()?;
        state.contains(&format!(" next {attempts} ")).then_some(())
    });
}

/// It was tried, never given up, and is delivered when it can be.
fn assert_is_delivered(id: &str, smapd: &Smapd, sink: &Sink) {
    smapd.removed(id);
    assert_eq!((sink.received().len(), smapd.count(" status=failed ")), (1, 0));
    assert_eq!((smapd.count(" status=expire"), smapd.count(" notification=")), (0, 0));
}

fn row_105_a_clock_that_is_set_back_lets_nothing_sleep() {
    let (post, clock, smapd, port) = by_a_clock("smapd: retry 2s");
    let id = post.send("", &["b@example.com"], "hello");
    assert_waits(1, &id, &post, &smapd);
    clock.set_time_of_day(-DAY);
    let _more = smapd.outcomes(3, &id, "b@example.com", "deferred");
    assert_is_delivered(&id, &smapd, &Sink::on(port, |_, _| Act::Usual));
}

/// The leap is over before smapd has looked at its folders again.
fn row_105_a_clock_that_leaps_and_comes_back_lets_nothing_sleep() {
    let (post, clock, smapd, port) = by_a_clock("smapd: wakeup 6s\nsmapd: retry 2s");
    clock.set_time_of_day(DAY);
    let id = post.send("", &["b@example.com"], "hello");
    assert_waits(1, &id, &post, &smapd);
    clock.set_time_of_day(0);
    assert_is_delivered(&id, &smapd, &Sink::on(port, |_, _| Act::Usual));
}

fn row_105_a_clock_that_is_set_ahead_lets_nothing_fail() {
    let (post, clock, smapd, port) = by_a_clock("smapd: retry 1h");
    let id = post.send("", &["b@example.com"], "hello");
    assert_waits(1, &id, &post, &smapd);
    clock.set_time_of_day(DAY);
    assert_waits(2, &id, &post, &smapd);
    let sink = Sink::on(port, |_, _| Act::Usual);
    // The host is not taken to be down any more.
    clock.let_pass(60);
    clock.set_time_of_day(2 * DAY);
    assert_is_delivered(&id, &smapd, &sink);
}

/// Beyond the 32 bits of old clocks.
const FAR: i64 = 14 * 366 * DAY;

fn row_105_mail_goes_on_after_2038() {
    let gateway = Gateway::new("");
    let mail = gateway.folder().join("mail");
    let port = free_port();
    gateway.write_table(&format!(
        "smapd: retry 1s\nsmap, smapd: domain far.example smtp:[127.0.0.1]:{port}\n\
         smap, smapd: domain example.com maildir:{}/%u/",
        mail.display()
    ));
    folder_of_smapd(&mail);
    let clock = Clock::new(gateway.folder());
    clock.set_time_of_day(FAR);
    let listener = gateway.listen_as(&["127.0.0.1"], || clock.for_program(gateway.program("smap")));
    let post = Post { gateway, listener };
    let smapd = start_by(&clock, &post);
    let id = post.send(FROM, &["b@example.com"], "hello");
    smapd.removed(&id);
    let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap().as_secs();
    let year = 1970 + (now + FAR.unsigned_abs()) / 31_556_952;
    let text = String::from_utf8(post.maildir("b").remove(0)).unwrap();
    assert!(year > 2038 && text.contains(&format!(" {year} ")), "{text}");
    let id = post.send("", &["b@far.example"], "hello");
    let _tried = smapd.outcomes(2, &id, "b@far.example", "deferred");
    assert_is_delivered(&id, &smapd, &Sink::on(port, |_, _| Act::Usual));
}

/// It arrived, and was tried, by a clock that was put right afterwards.
fn row_105_mail_of_the_future_is_mail() {
    let (post, clock, smapd, port) = by_a_clock("smapd: retry 2s");
    clock.set_time_of_day(FAR);
    assert_eq!(smapd.end(Signal::SIGTERM).code, 0);
    let smapd = start_by(&clock, &post);
    let listener = post.gateway.listen_as(&["127.0.0.1"], || clock.for_program(post.gateway.program("smap")));
    let reply = listener.extended_client().mail("hello", "250 ");
    let id = reply.rsplit(' ').next().unwrap();
    assert_waits(1, id, &post, &smapd);
    clock.set_time_of_day(0);
    let _more = smapd.outcomes(2, id, "b@example.com", "deferred");
    assert_eq!(smapd.end(Signal::SIGTERM).code, 0);
    let smapd = start_by(&clock, &post);
    let _again = smapd.outcome(id, "b@example.com", "deferred");
    assert_is_delivered(id, &smapd, &Sink::on(port, |_, _| Act::Usual));
}

fn row_105_a_time_zone_of_rubbish_is_none() {
    let post = Post::with_maildirs("");
    let mut program = post.gateway.program("smapd");
    let smapd = Smapd::start(program.env("TZ", ":../../../../etc/shadow\u{1b}[2J%n"));
    let id = post.send(FROM, &["b@example.com"], "hello");
    smapd.removed(&id);
    let text = String::from_utf8(post.maildir("b").remove(0)).unwrap();
    let date = text.lines().find(|line| line.starts_with('\t') && line.contains(", ")).expect("a date");
    let zone = date.rsplit(' ').next().unwrap();
    assert!(zone.len() == 5 && zone.starts_with(['+', '-']), "{date}");
    assert!(!text.contains('\u{1b}') && !text.contains("shadow"), "{text}");
}
