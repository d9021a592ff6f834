//! smapd and smap-lookup: hosts by their names, and what is left when one of the two ends.

use std::fs;
use std::path::PathBuf;
use std::process::{Command, Stdio};

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use smap_tests::dns::Dns;
use smap_tests::needs::Need::Program;
use smap_tests::post::{Post, Smapd, read_by_python};
use smap_tests::process::run;
use smap_tests::sink::Sink;
use smap_tests::{eventually, programs, tests};

use super::relay::{FROM, lines};
use crate::lookup;

tests! {
    a_name_is_looked_up_by_the_name_servers_of_the_table;
    a_name_that_is_not_there_is_told;
    smapd_asks_the_one_that_listens;
    one_that_listens_may_come_back;
    smapd_starts_one_of_its_own_which_ends_with_it;
    without_its_own_smapd_ends;
    what_a_mailbox_got_while_smapd_ended_comes_once: [Program("python3")];
    without_the_program_smapd_does_not_start;
}

/// example.com at this host of `dns`.
fn post(dns: &Dns, host: &str, port: u16) -> Post {
    Post::new(|folder| {
        let to = format!("smtp:[{host}]:{port}");
        format!("{}\n{}", lookup::table(dns), lines(folder, "", &to))
    })
}

/// The smap-lookups that this smapd has started.
fn own_lookups(smapd: &Smapd) -> Vec<Pid> {
    let parent = smapd.process().pid().to_string();
    let is_one = |pid: &Pid| {
        let stat = fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
        let fields: Vec<&str> = stat.rsplit(") ").next().unwrap().split(' ').collect();
        stat.contains("(smap-lookup)") && fields[0] != "Z" && fields[1] == parent
    };
    let names = fs::read_dir("/proc").unwrap().map(|entry| entry.unwrap().file_name());
    let pids = names.filter_map(|name| name.to_str()?.parse().ok().map(Pid::from_raw));
    pids.filter(is_one).collect()
}

fn assert_delivers(post: &Post, smapd: &Smapd) {
    let id = post.send(FROM, &["b@example.com"], "hello");
    let _line = smapd.outcome(&id, "b@example.com", "sent");
    smapd.removed(&id);
}

fn a_name_is_looked_up_by_the_name_servers_of_the_table() {
    let dns = Dns::start("mail.example A 127.0.0.1");
    let sink = Sink::start();
    let post = post(&dns, "mail.example", sink.port());
    let smapd = post.smapd();
    assert_delivers(&post, &smapd);
    assert_eq!(sink.wait_for(1).len(), 1);
}

fn a_name_that_is_not_there_is_told() {
    let dns = Dns::start("broken.example SERVFAIL\nempty.example EMPTY");
    for (host, words) in [
        ("gone.example", "there is no such name"),
        ("empty.example", "the name has no such record"),
        ("broken.example", "it cannot be looked up now"),
    ] {
        let post = post(&dns, host, 25);
        let smapd = post.smapd();
        let id = post.send(FROM, &["b@example.com"], "hello");
        let line = smapd.outcome(&id, "b@example.com", "deferred");
        assert!(line.contains(words), "{line}");
    }
}

fn smapd_asks_the_one_that_listens() {
    let (dns, sink) = (Dns::start("mail.example A 127.0.0.1"), Sink::start());
    let post = post(&dns, "mail.example", sink.port());
    let _lookup = lookup::start(&post.gateway);
    let smapd = post.smapd();
    assert_delivers(&post, &smapd);
    assert_eq!(own_lookups(&smapd), []);
}

fn one_that_listens_may_come_back() {
    let (dns, sink) = (Dns::start("mail.example A 127.0.0.1"), Sink::start());
    let post = post(&dns, "mail.example", sink.port());
    let mut lookup = lookup::start(&post.gateway);
    let smapd = post.smapd();
    lookup.signal(Signal::SIGKILL);
    lookup.wait();
    let id = post.send(FROM, &["b@example.com"], "hello");
    let line = smapd.outcome(&id, "b@example.com", "deferred");
    assert!(line.contains("smap-lookup is gone"), "{line}");
    let _lookup = lookup::start(&post.gateway);
    let _line = smapd.process().wait_for_log(|line| line.contains("connected again"));
    let _line = smapd.outcome(&id, "b@example.com", "sent");
}

fn own_lookup(smapd: &Smapd) -> Pid {
    let found = eventually("smapd has its smap-lookup", || own_lookups(smapd).first().copied());
    assert_eq!(own_lookups(smapd).len(), 1);
    found
}

fn smapd_starts_one_of_its_own_which_ends_with_it() {
    let (dns, sink) = (Dns::start("mail.example A 127.0.0.1"), Sink::start());
    let post = post(&dns, "mail.example", sink.port());
    for signal in [Signal::SIGTERM, Signal::SIGKILL] {
        let smapd = post.smapd();
        let lookup = own_lookup(&smapd);
        // It is for smapd alone to end it.
        for deaf_to in [Signal::SIGTERM, Signal::SIGINT, Signal::SIGHUP] {
            kill(lookup, deaf_to).unwrap();
        }
        assert_delivers(&post, &smapd);
        drop(smapd.end(signal));
        let stat = PathBuf::from(format!("/proc/{lookup}/stat"));
        eventually("it is gone", || {
            fs::read_to_string(&stat).map_or(true, |stat| stat.contains(") Z ")).then_some(())
        });
    }
}

fn without_its_own_smapd_ends() {
    let post = Post::with_maildirs("");
    let smapd = post.smapd();
    kill(own_lookup(&smapd), Signal::SIGKILL).unwrap();
    let ended = smapd.ended();
    assert_eq!(ended.code, 75, "{ended:?}");
    assert!(ended.log.iter().any(|line| line.contains("smap-lookup is gone")), "{ended:?}");
}

fn what_a_mailbox_got_while_smapd_ended_comes_once() {
    let post = Post::new(|folder| {
        let mail = folder.join("mail").display().to_string();
        format!("smap, smapd: domain example.com mbox:{mail}/%u.mbox\n")
    });
    let (mailbox, lock) = (post.path("mail/m.mbox"), post.path("mail/m.mbox.lock"));
    fs::write(&lock, "").unwrap();
    let smapd = post.smapd();
    let _id = post.send(FROM, &["m@example.com"], "hello");
    eventually("somebody waits for the lock", || mailbox.exists().then_some(()));
    let lookup = own_lookup(&smapd);
    kill(lookup, Signal::SIGKILL).unwrap();
    eventually("it is gone", || own_lookups(&smapd).is_empty().then_some(()));
    fs::remove_file(&lock).unwrap();
    assert_eq!(smapd.ended().code, 75);
    assert_eq!(post.once().code, 0);
    assert_eq!(read_by_python("mbox", &mailbox).len(), 1);
    post.assert_spool_is_empty();
}

fn without_the_program_smapd_does_not_start() {
    let post = Post::with_maildirs("");
    let copy = post.path("smapd");
    let copied = run(Command::new("install").arg(programs::ours("smapd")).arg(&copy), Stdio::null());
    assert_eq!(copied.code, 0, "{copied:?}");
    let mut command = Command::new(copy);
    command.arg("--config").arg(post.gateway.table()).args(["--once", "--foreground"]);
    let ended = run(&mut command, Stdio::null());
    assert_eq!(ended.code, 78, "{ended:?}");
    assert!(ended.log.iter().any(|line| line.contains("smap-lookup")), "{ended:?}");
}
