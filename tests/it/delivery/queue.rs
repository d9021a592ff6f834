//! smapd's own life: one pass, a new table, the end, the daemon.

use std::collections::BTreeMap;
use std::fs;
use std::os::unix::net::UnixDatagram;
use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Instant;

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use smap_tests::clock::Clock;
use smap_tests::gateway::{chmod, free_port};
use smap_tests::needs::Need::{Program, Root};
use smap_tests::post::{MAILBOX_TRACE, Post, id_in, send, without_trace};
use smap_tests::process::run;
use smap_tests::sink::{Act, Sink};
use smap_tests::{PATIENCE, assert_rested, eventually, programs, tests, uninterrupted};

tests! {
    once_delivers_all_that_is_due_and_ends;
    once_leaves_what_is_not_due;
    once_tries_what_was_deferred_though_nothing_is_new: [Program("cc")];
    once_delivers_its_own_notifications_too;
    smapd_as_root_without_userid_is_refused: [Root];
    it_may_be_started_in_a_folder_that_is_closed_to_its_user: [Root];
    a_broken_table_is_named_by_its_line;
    a_new_table_routes_the_next_message;
    a_broken_new_table_leaves_the_old_one_in_force;
    a_new_folder_of_mailboxes_needs_a_new_start;
    a_new_port_needs_a_new_start;
    a_sendmail_that_is_new_needs_a_new_start;
    another_user_needs_a_new_start;
    the_end_waits_for_what_is_under_way;
    the_end_does_not_begin_anything_new;
    the_end_waits_at_rest;
    nothing_is_lost_when_it_is_killed_in_a_burst;
    new_mail_does_not_wait_for_deferred_mail;
    mail_for_a_host_that_does_not_greet_delays_no_other;
    mail_for_a_host_that_hangs_in_the_text_gives_way_to_other;
    the_daemon_leaves_its_starter_and_logs_to_syslog: [Root, Program("unshare")];
    the_daemon_finds_a_table_with_a_relative_path_again: [Root, Program("unshare")];
}

const FROM: &str = "a@sender.example";

fn once_delivers_all_that_is_due_and_ends() {
    let sink = Sink::start();
    let post = Post::new(|folder| {
        let mail = folder.join("mail").display().to_string();
        format!(
            "smap, smapd: domain example.com maildir:{mail}/%u/\n\
             smap, smapd: domain mbox.example mbox:{mail}/%u\n\
             smap, smapd: domain pipe.example pipe:/bin/true\n\
             smap, smapd: domain far.example smtp:[localhost]:{}",
            sink.port()
        )
    });
    assert_eq!(post.once().code, 0);
    let to = ["b@example.com", "m@mbox.example", "p@pipe.example", "f@far.example"];
    let ids: Vec<String> = (0..20).map(|_| post.send(FROM, &to, "hello")).collect();
    let ended = post.once();
    assert_eq!(ended.code, 0, "{ended:#?}");
    for id in &ids {
        let removed = format!("]: id={id} removed");
        assert!(ended.log.iter().any(|line| line.ends_with(&removed)), "{ended:#?}");
    }
    assert_eq!((post.maildir("b").len(), sink.received().len()), (20, 20));
    post.assert_spool_is_empty();
}

fn once_leaves_what_is_not_due() {
    let port = free_port();
    let post =
        Post::new(|_| format!("smapd: retry 1h\nsmap, smapd: domain far.example smtp:[127.0.0.1]:{port}"));
    let id = post.send(FROM, &["b@far.example"], "hello");
    let ended = post.once();
    assert_eq!(ended.code, 0, "{ended:#?}");
    assert!(ended.log.iter().any(|line| line.contains("status=deferred")), "{ended:#?}");
    let ended = post.once();
    assert_eq!(ended.code, 0);
    assert!(!ended.log.iter().any(|line| line.contains(" status=")), "{ended:#?}");
    assert!(post.names("queue").contains(&id));
}

fn once_tries_what_was_deferred_though_nothing_is_new() {
    let port = free_port();
    let post = Post::new(|_| format!("smap, smapd: domain far.example smtp:[127.0.0.1]:{port}"));
    let clock = Clock::new(post.gateway.folder());
    let id = post.send(FROM, &["b@far.example"], "hello");
    assert_eq!(post.once().code, 0);
    assert!(post.names("queue").contains(&id));
    let sink = Sink::on(port, |_, _| Act::Usual);
    clock.set_time_of_day(3600);
    let mut smapd = clock.for_program(post.gateway.program("smapd"));
    let ended = run(smapd.args(["--once", "--foreground"]), Stdio::null());
    assert_eq!((ended.code, sink.received().len()), (0, 1), "{ended:#?}");
    post.assert_spool_is_empty();
}

fn once_delivers_its_own_notifications_too() {
    let post = Post::with_maildirs("smap, smapd: domain no.example error:5.1.1:550 No such user here");
    post.send("a@example.com", &["b@no.example"], "hello");
    let ended = post.once();
    assert_eq!(ended.code, 0, "{ended:#?}");
    assert_eq!(post.maildir("a").len(), 1);
    post.assert_spool_is_empty();
}

fn smapd_as_root_without_userid_is_refused() {
    let post = Post::with_maildirs("");
    let spool = post.gateway.spool();
    post.gateway.write_whole_table(&format!("smap, smapd: directory {}\n", spool.display()));
    let ended = post.once();
    assert_eq!(ended.code, 78, "{ended:?}");
    assert!(ended.log.iter().any(|line| line.contains("userid")), "{ended:?}");
}

fn it_may_be_started_in_a_folder_that_is_closed_to_its_user() {
    let post = Post::with_maildirs("");
    let closed = post.path("closed");
    fs::create_dir(&closed).unwrap();
    chmod(&closed, 0o700);
    let mut once = post.gateway.program("smapd");
    let ended = run(once.args(["--once", "--foreground"]).current_dir(&closed), Stdio::null());
    assert_eq!(ended.code, 0, "{ended:?}");
}

fn a_broken_table_is_named_by_its_line() {
    let post = Post::with_maildirs("");
    post.gateway.write_table("smapd: retry soon\nsmapd: maxchildern 3");
    let ended = post.once();
    assert_eq!(ended.code, 78, "{ended:?}");
    for words in ["netperm-table:1: ", "netperm-table:2: "] {
        assert!(ended.log.iter().any(|line| line.contains(words)), "{words}: {ended:?}");
    }
    assert!(ended.log.iter().any(|line| line.contains("did you mean \"maxchildren\"")), "{ended:?}");
}

fn a_new_table_routes_the_next_message() {
    let post = Post::with_maildirs("");
    let smapd = post.smapd();
    let id = post.send(FROM, &["b@example.com"], "hello");
    smapd.removed(&id);
    let mail = post.path("mail");
    post.gateway.write_table(&format!("smap, smapd: domain example.com mbox:{}/mbox", mail.display()));
    smapd.process().signal(Signal::SIGHUP);
    let _read = smapd.process().wait_for_log(|line| line.contains("the table was read again"));
    let id = post.send(FROM, &["b@example.com"], "hello");
    assert!(smapd.outcome(&id, "b@example.com", "sent").contains("transport=mbox "));
    assert_eq!(post.maildir("b").len(), 1);
}

fn a_broken_new_table_leaves_the_old_one_in_force() {
    let post = Post::with_maildirs("");
    let smapd = post.smapd();
    eventually("smap-lookup has read the table too", || has_lookup(smapd.process().pid()).then_some(()));
    post.gateway.write_table("smapd: retry soon\nsmap, smapd: domain example.com discard");
    smapd.process().signal(Signal::SIGHUP);
    let line = smapd.process().wait_for_log(|line| line.contains("the old table stays in force"));
    assert!(line.contains("netperm-table:1: "), "{line}");
    let id = post.send(FROM, &["b@example.com"], "hello");
    smapd.removed(&id);
    assert_eq!(post.maildir("b").len(), 1);
}

/// Whether it has a smap-lookup that is confined.
fn has_lookup(smapd: Pid) -> bool {
    let children = fs::read_to_string(format!("/proc/{smapd}/task/{smapd}/children")).unwrap();
    children.split_whitespace().any(|child| {
        let status = fs::read_to_string(format!("/proc/{child}/status")).unwrap_or_default();
        status.starts_with("Name:\tsmap-lookup\n") && status.contains("\nSeccomp:\t2\n")
    })
}

/// A closed door stays closed: the old table goes on, and the log says what to do.
fn assert_needs_a_new_start(line: impl Fn(&Path) -> String, what: &str) {
    let post = Post::with_maildirs("");
    let smapd = post.smapd();
    let elsewhere = post.path("elsewhere");
    fs::create_dir(&elsewhere).unwrap();
    post.gateway.write_table(&line(&elsewhere));
    smapd.process().signal(Signal::SIGHUP);
    let line = smapd.process().wait_for_log(|line| line.contains("the old table stays in force"));
    assert!(line.contains(what) && line.contains("start it anew"), "{line}");
    let id = post.send(FROM, &["b@example.com"], "hello");
    smapd.removed(&id);
    assert_eq!(post.maildir("b").len(), 1);
}

fn a_new_folder_of_mailboxes_needs_a_new_start() {
    let line = |folder: &Path| format!("smap, smapd: domain example.com maildir:{}/%u/", folder.display());
    assert_needs_a_new_start(line, "/elsewhere is closed");
}

fn a_new_port_needs_a_new_start() {
    assert_needs_a_new_start(|_| "smapd: relay-host smtp:[127.0.0.1]:2".to_owned(), "port 2 is closed");
}

fn a_sendmail_that_is_new_needs_a_new_start() {
    assert_needs_a_new_start(|_| "smapd: sendmail /bin/true".to_owned(), "set-id bits are ignored");
}

fn another_user_needs_a_new_start() {
    let line = |_: &Path| "smapd: userid 4711".to_owned();
    assert_needs_a_new_start(line, "keeps its user");
}

fn the_end_waits_for_what_is_under_way() {
    let go = Arc::new(AtomicBool::new(false));
    let gone = Arc::clone(&go);
    let sink = Sink::scripted(move |_, line| {
        if line == "." {
            eventually("it is let go", || gone.load(Ordering::SeqCst).then_some(()));
        }
        Act::Usual
    });
    let post = Post::new(|_| format!("smap, smapd: domain far.example smtp:[127.0.0.1]:{}", sink.port()));
    let smapd = post.smapd();
    post.send(FROM, &["b@far.example"], "hello");
    eventually("it is under way", || {
        sink.lines().iter().any(|(_, line)| line.starts_with("DATA")).then_some(())
    });
    smapd.process().signal(Signal::SIGTERM);
    let _line = smapd.process().wait_for_log(|line| line.contains("stopping; 1 message"));
    go.store(true, Ordering::SeqCst);
    let ended = smapd.end(Signal::SIGTERM);
    assert_eq!(ended.code, 0, "{ended:#?}");
    assert_eq!(sink.received().len(), 1);
    post.assert_spool_is_empty();
}

fn the_end_does_not_begin_anything_new() {
    let post = Post::with_maildirs("");
    let smapd = post.smapd();
    assert_eq!(smapd.end(Signal::SIGTERM).code, 0);
    let id = post.send(FROM, &["b@example.com"], "hello");
    assert_eq!(post.names("incoming"), [id.as_str()]);
    let smapd = post.smapd();
    smapd.removed(&id);
    assert_eq!(post.maildir("b").len(), 1);
}

fn the_end_waits_at_rest() {
    let tarpit = Sink::scripted(|_, line| if line == "." { Act::Silence } else { Act::Usual });
    let to = format!("smap, smapd: domain far.example smtp:[127.0.0.1]:{} timeout=3s", tarpit.port());
    let post = Post::new(|_| format!("smapd: wakeup 1s\n{to}"));
    let smapd = post.smapd();
    let id = post.send(FROM, &["b@far.example"], "hello");
    eventually("it is under way", || {
        tarpit.lines().iter().any(|(_, line)| line.starts_with("DATA")).then_some(())
    });
    let (worked, since) = (smapd.process().worked(), Instant::now());
    smapd.process().signal(Signal::SIGTERM);
    let _line = smapd.outcome(&id, "b@far.example", "deferred");
    assert_rested(smapd.process().worked() - worked, since.elapsed());
    assert_eq!(smapd.ended().code, 0);
}

/// It is killed again and again: all of them arrive, and each only once more for each time that it was killed.
fn nothing_is_lost_when_it_is_killed_in_a_burst() {
    const MESSAGES: usize = 200;
    const KILLS: usize = 5;
    // Begun with at once, and in the hands of a worker.
    const AT_RISK: usize = 25;
    let post = Post::with_maildirs("");
    let mut client = post.listener.extended_client();
    let ids: Vec<String> = (0..MESSAGES)
        .map(|_| send(&mut client, "<a@sender.example>", &["<b@example.com>"], "hello"))
        .collect();
    for kills in 1..=KILLS {
        let smapd = post.smapd();
        let most = MESSAGES * kills / (2 * KILLS);
        eventually("some have arrived", || (post.maildir("b").len() >= most).then_some(()));
        assert_eq!(smapd.end(Signal::SIGKILL).code, 137);
    }
    let ended = post.once();
    assert_eq!(ended.code, 0, "{ended:#?}");
    let mut copies: BTreeMap<String, usize> = BTreeMap::new();
    for message in post.maildir("b") {
        *copies.entry(id_in(&without_trace(&message, &MAILBOX_TRACE).0[2])).or_default() += 1;
    }
    let missing: Vec<&String> = ids.iter().filter(|id| !copies.contains_key(*id)).collect();
    assert!(missing.is_empty(), "{missing:?}");
    let again: usize = copies.values().map(|count| count - 1).sum();
    println!("killed {KILLS} times in {MESSAGES} messages: {again} arrived again");
    assert!(copies.values().all(|count| *count <= 1 + KILLS), "{copies:?}");
    assert!(again < KILLS * AT_RISK, "{again} arrived again");
    post.assert_spool_is_empty();
}

fn new_mail_does_not_wait_for_deferred_mail() {
    let slow = Sink::scripted(|_, line| if line.is_empty() { Act::Silence } else { Act::Usual });
    let post = Post::with_maildirs(&format!(
        "smapd: max-connections 4\nsmap, smapd: domain far.example smtp:[127.0.0.1]:{}",
        slow.port()
    ));
    let mut client = post.listener.extended_client();
    (0..50).for_each(|_| drop(send(&mut client, "<a@sender.example>", &["<b@far.example>"], "hello")));
    let smapd = post.smapd();
    eventually("the slow host is asked", || (slow.connections() > 0).then_some(()));
    let id = post.send(FROM, &["b@example.com"], "hello");
    smapd.removed(&id);
    assert_eq!(smapd.end(Signal::SIGKILL).code, 137);
}

/// So many messages for far.example, before smapd is there.
fn many_for_far(lines: &str, messages: usize) -> Post {
    let post = Post::with_maildirs(&format!("smapd: retry 1h\n{lines}"));
    let mut client = post.listener.extended_client();
    (0..messages).for_each(|_| drop(send(&mut client, "<a@sender.example>", &["<b@far.example>"], "hello")));
    post
}

fn mail_for_a_host_that_does_not_greet_delays_no_other() {
    let dead = Sink::scripted(|_, line| if line.is_empty() { Act::Silence } else { Act::Usual });
    let good = Sink::start();
    let lines = format!(
        "smap, smapd: domain far.example smtp:[127.0.0.1]:{} timeout=5s\n\
         smap, smapd: domain good.example smtp:[127.0.0.1]:{}",
        dead.port(),
        good.port()
    );
    let post = many_for_far(&lines, 600);
    let smapd = post.smapd();
    eventually("the dead host is asked", || (dead.connections() > 0).then_some(()));
    let id = post.send(FROM, &["b@good.example"], "hello");
    smapd.removed(&id);
    assert_eq!(smapd.count(" status=deferred "), 0);
}

fn mail_for_a_host_that_hangs_in_the_text_gives_way_to_other() {
    const MESSAGES: usize = 40;
    let hangs = Sink::scripted(|_, line| if line == "DATA" { Act::Deaf } else { Act::Usual });
    let good = Sink::start();
    let lines = format!(
        "smapd: max-connections 4\n\
         smap, smapd: domain far.example smtp:[127.0.0.1]:{} timeout=2s\n\
         smap, smapd: domain good.example smtp:[127.0.0.1]:{}",
        hangs.port(),
        good.port()
    );
    let post = many_for_far(&lines, MESSAGES);
    let smapd = post.smapd();
    eventually("it has all connections", || (hangs.connections() >= 4).then_some(()));
    let id = post.send(FROM, &["b@good.example"], "hello");
    smapd.removed(&id);
    let deferred = smapd.count(" status=deferred ");
    assert!(deferred < MESSAGES / 2, "{deferred} were given up before");
}

/// A `/dev/log` of the test's own, and the process that writes to it, which ends with the test wherever it has gone.
struct Syslog {
    socket: UnixDatagram,
    writer: Option<Pid>,
}

impl Syslog {
    /// In a folder that has what a daemon needs of `/dev`, once `/dev/null` is mounted there.
    fn listen(devices: &Path) -> Self {
        fs::create_dir(devices).unwrap();
        fs::write(devices.join("null"), "").unwrap();
        let socket = UnixDatagram::bind(devices.join("log")).unwrap();
        chmod(&devices.join("log"), 0o666);
        socket.set_read_timeout(Some(PATIENCE)).unwrap();
        Self { socket, writer: None }
    }

    fn wait_for(&mut self, words: &str) -> String {
        let mut packet = [0; 4096];
        loop {
            let read = uninterrupted(|| self.socket.recv(&mut packet));
            let read = read.unwrap_or_else(|error| panic!("not said: {words}: {error}"));
            let line = String::from_utf8_lossy(&packet[..read]).into_owned();
            let pid = line.split(['[', ']']).nth(1).expect("its number").parse().unwrap();
            self.writer = Some(Pid::from_raw(pid));
            if line.contains(words) {
                return line;
            }
        }
    }
}

impl Drop for Syslog {
    fn drop(&mut self) {
        let _gone = self.writer.map(|writer| kill(writer, Signal::SIGKILL));
    }
}

fn assert_is_a_daemon(pid: Pid) {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).unwrap();
    // State, parent, group, session, terminal.
    let fields: Vec<&str> = stat.rsplit(") ").next().unwrap().split(' ').collect();
    assert_eq!(fields[4], "0", "it has no terminal: {stat}");
    assert_ne!(fields[3], nix::unistd::getsid(None).unwrap().to_string(), "it has a session of its own");
    for number in 0..=2 {
        let link = fs::read_link(format!("/proc/{pid}/fd/{number}")).unwrap();
        assert!(link.ends_with("null"), "{number}: {}", link.display());
    }
    assert_eq!(fs::read_link(format!("/proc/{pid}/cwd")).unwrap(), Path::new("/"));
}

/// Starts it in the gateway's folder with this table, and this folder as `/dev`.
fn start_daemon(post: &Post, devices: &Path, table: &Path) {
    let bind = "mount --bind /dev/null \"$0/null\" && mount --rbind \"$0\" /dev && exec \"$@\"";
    let mut command = Command::new(programs::peer("unshare"));
    command.args(["--mount", "sh", "-c", bind]).arg(devices).arg(programs::ours("smapd"));
    command.current_dir(post.gateway.folder());
    let ended = run(command.arg("--config").arg(table), Stdio::null());
    assert_eq!(ended.code, 0, "{ended:?}");
    assert!(ended.log.is_empty() && ended.output.is_empty(), "{ended:?}");
}

fn the_daemon_leaves_its_starter_and_logs_to_syslog() {
    let post = Post::with_maildirs("");
    let devices = post.path("dev");
    let mut log = Syslog::listen(&devices);
    start_daemon(&post, &devices, &post.gateway.table());
    let line = log.wait_for("started; the spool is");
    assert!(line.starts_with("<22>smapd["), "{line}");
    let id = post.send(FROM, &["b@example.com"], "hello");
    let _removed = log.wait_for(&format!("id={id} removed"));
    assert_eq!(post.maildir("b").len(), 1);
    let pid = log.writer.expect("it has a number");
    assert_is_a_daemon(pid);
    kill(pid, Signal::SIGTERM).unwrap();
    let _stopped = log.wait_for("stopped");
    eventually("it is gone", || {
        let lives = fs::read_to_string(format!("/proc/{pid}/stat")).is_ok_and(|stat| !stat.contains(") Z "));
        (!lives).then_some(())
    });
}

fn the_daemon_finds_a_table_with_a_relative_path_again() {
    let post = Post::with_maildirs("");
    let devices = post.path("dev");
    let mut log = Syslog::listen(&devices);
    start_daemon(&post, &devices, Path::new("netperm-table"));
    let _line = log.wait_for("started; the spool is");
    kill(log.writer.expect("it has a number"), Signal::SIGHUP).unwrap();
    let _line = log.wait_for("the table was read again");
}
