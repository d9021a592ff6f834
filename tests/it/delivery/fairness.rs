//! Many sessions, and who comes first when there is no room for all.

use std::fs;
use std::net::TcpListener;
use std::os::unix::fs::PermissionsExt;
use std::os::unix::process::CommandExt;
use std::process::{Command, Stdio};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Condvar, Mutex};

use nix::sys::resource::{Resource, getrlimit, setrlimit};
use nix::sys::signal::Signal;
use smap_tests::gateway::SMAPD_UID;
use smap_tests::needs::Need::{Program, Root};
use smap_tests::post::{Post, send};
use smap_tests::process::run;
use smap_tests::sink::{Act, Script, Sink};
use smap_tests::{PATIENCE, eventually, programs, tests};

use super::control::FROM;

tests! {
    a_host_that_bears_two_connections_is_left_with_them;
    a_sender_of_one_message_is_not_behind_one_of_many;
    a_list_that_has_a_sender_for_each_recipient_is_one_sender;
    destinations_take_turns_where_connections_are_few;
    many_hosts_that_do_not_greet_delay_no_other;
    a_program_that_hangs_delays_no_relayed_mail;
    deferred_mail_is_not_behind_all_new_mail;
    two_thousand_sessions_are_open_at_once;
    more_destinations_than_descriptors_take_turns: [Root, Program("prlimit")];
}

fn domain(name: &str, port: u16, options: &str) -> String {
    format!("smap, smapd: domain {name} smtp:[127.0.0.1]:{port} {options}\n")
}

/// So many messages for a domain.
fn mail(post: &Post, from: &str, to: &str, messages: usize) {
    let mut client = post.listener.extended_client();
    (0..messages).for_each(|_| drop(send(&mut client, from, &[to], "hello")));
    client.quit();
}

/// A door for the scripts of servers.
#[derive(Default)]
struct Gate {
    is_open: Mutex<bool>,
    opened: Condvar,
}

impl Gate {
    fn open(&self) {
        *self.is_open.lock().unwrap() = true;
        self.opened.notify_all();
    }

    fn pass(&self) {
        let closed = self.is_open.lock().unwrap();
        drop(self.opened.wait_timeout_while(closed, PATIENCE, |is_open| !*is_open).unwrap());
    }
}

/// Nothing is taken before the gate is open.
fn behind(gate: &Arc<Gate>) -> impl Script {
    let gate = Arc::clone(gate);
    move |_, line| {
        if line == "." {
            gate.pass();
        }
        Act::Usual
    }
}

fn a_host_that_bears_two_connections_is_left_with_them() {
    const MESSAGES: usize = 300;
    const BEARS: usize = 2;
    let (open, refused) = (Arc::new(AtomicUsize::new(0)), Arc::new(AtomicUsize::new(0)));
    let (there, turned_away) = (Arc::clone(&open), Arc::clone(&refused));
    let sink = Sink::scripted(move |_, line| {
        if line.is_empty() && there.fetch_add(1, Ordering::SeqCst) >= BEARS {
            there.fetch_sub(1, Ordering::SeqCst);
            turned_away.fetch_add(1, Ordering::SeqCst);
            return Act::say("421 4.3.2 too many connections");
        }
        if line == "QUIT" {
            there.fetch_sub(1, Ordering::SeqCst);
        }
        Act::Usual
    });
    let post = Post::new(|_| domain("far.example", sink.port(), ""));
    mail(&post, "<a@sender.example>", "<b@far.example>", MESSAGES);
    let smapd = post.smapd();
    assert_eq!(sink.wait_for(MESSAGES).len(), MESSAGES);
    eventually("all are sent", || (smapd.count(" status=sent ") == MESSAGES).then_some(()));
    assert_eq!(smapd.count(" status=deferred "), 0);
    let refused = refused.load(Ordering::SeqCst);
    assert!(refused < 10, "it was asked for more {refused} times");
}

/// In which place the message of this sender came.
fn place_of(sink: &Sink, sender: &str) -> usize {
    let came = |sink: &Sink| sink.received().iter().position(|one| one.sender.starts_with(sender));
    eventually("it comes", || came(sink))
}

fn behind_many(of: impl Fn(usize) -> String) -> usize {
    let gate = Arc::default();
    let sink = Sink::scripted(behind(&gate));
    let lines = domain("far.example", sink.port(), "");
    let post = Post::with_maildirs(&format!("smapd: max-connections-per-destination 1\n{lines}"));
    let smapd = post.smapd();
    let mut client = post.listener.extended_client();
    (0..150).for_each(|number| drop(send(&mut client, &of(number), &["<b@far.example>"], "hello")));
    post.send(FROM, &["b@far.example"], "hello");
    // It came last: smapd has looked at the others.
    smapd.removed(&post.send(FROM, &["b@example.com"], "hello"));
    gate.open();
    place_of(&sink, &format!("<{FROM}>"))
}

fn a_sender_of_one_message_is_not_behind_one_of_many() {
    let place = behind_many(|_| "<bulk@bulk.example>".to_owned());
    assert!(place < 20, "{place} came before");
}

fn a_list_that_has_a_sender_for_each_recipient_is_one_sender() {
    let place = behind_many(|number| format!("<list-bounces+user{number}=far.example@bulk.example>"));
    assert!(place < 20, "{place} came before");
}

fn destinations_take_turns_where_connections_are_few() {
    const MANY: usize = 100;
    let (gate, count) = (Arc::<Gate>::default(), Arc::new(AtomicUsize::new(0)));
    let busy = || {
        let (pass, count) = (behind(&gate), Arc::clone(&count));
        Sink::scripted(move |number, line| {
            let act = pass(number, line);
            count.fetch_add(usize::from(line == "."), Ordering::SeqCst);
            act
        })
    };
    let (first, second) = (busy(), busy());
    let before = Arc::new(AtomicUsize::new(usize::MAX));
    let seen = Arc::clone(&before);
    let third = Sink::scripted(move |_, line| {
        if line == "." {
            seen.store(count.load(Ordering::SeqCst), Ordering::SeqCst);
        }
        Act::Usual
    });
    let post = Post::new(|_| {
        let domains = [("one.example", &first), ("two.example", &second), ("three.example", &third)];
        let domains = domains.map(|(name, sink)| domain(name, sink.port(), ""));
        format!("smapd: max-connections 2\n{}", domains.concat())
    });
    mail(&post, "<a@sender.example>", "<b@one.example>", MANY);
    mail(&post, "<a@sender.example>", "<b@two.example>", MANY);
    let _smapd = post.smapd();
    eventually("there is no connection left", || {
        (first.connections() + second.connections() == 2).then_some(())
    });
    mail(&post, "<a@sender.example>", "<b@three.example>", 1);
    gate.open();
    let _one = third.wait_for(1);
    let before = before.load(Ordering::SeqCst);
    assert!(before < MANY, "{before} of {} came before", 2 * MANY);
    let _all = (first.wait_for(MANY), second.wait_for(MANY));
}

fn many_hosts_that_do_not_greet_delay_no_other() {
    const DEAD: usize = 30;
    const MESSAGES: usize = 20;
    let good = Sink::start();
    // Their connections are made, and that is all.
    let dead: Vec<TcpListener> = (0..DEAD).map(|_| TcpListener::bind(("127.0.0.1", 0)).unwrap()).collect();
    let post = Post::new(|_| {
        let ports = dead.iter().map(|listener| listener.local_addr().unwrap().port());
        let dead: String =
            ports.enumerate().map(|(number, port)| domain(&format!("d{number}.example"), port, "")).collect();
        dead + &domain("good.example", good.port(), "")
    });
    for number in 0..DEAD {
        mail(&post, "<a@sender.example>", &format!("<b@d{number}.example>"), MESSAGES);
    }
    let smapd = post.smapd();
    let id = post.send(FROM, &["b@good.example"], "hello");
    smapd.removed(&id);
    assert_eq!(smapd.count(" status=deferred "), 0);
}

fn a_program_that_hangs_delays_no_relayed_mail() {
    const MESSAGES: usize = 600;
    let good = Sink::start();
    let post = Post::new(|folder| {
        let program = folder.join("hangs");
        // Until the test is over and its folder gone.
        fs::write(&program, "#!/bin/sh\nwhile [ -e \"$0\" ]; do sleep 1; done\n").unwrap();
        fs::set_permissions(&program, fs::Permissions::from_mode(0o755)).unwrap();
        format!(
            "smap, smapd: domain slow.example pipe:{}\n{}",
            program.display(),
            domain("good.example", good.port(), "")
        )
    });
    mail(&post, "<a@sender.example>", "<b@slow.example>", MESSAGES);
    let smapd = post.smapd();
    let id = post.send(FROM, &["b@good.example"], "hello");
    smapd.removed(&id);
}

fn deferred_mail_is_not_behind_all_new_mail() {
    const MESSAGES: usize = 400;
    let is_up = Arc::new(AtomicBool::new(false));
    let up = Arc::clone(&is_up);
    let sink = Sink::scripted(move |_, line| {
        if up.load(Ordering::SeqCst) || !line.starts_with("MAIL") {
            Act::Usual
        } else {
            Act::say("451 later")
        }
    });
    let post = Post::new(|_| format!("smapd: retry 1s\n{}", domain("far.example", sink.port(), "")));
    let smapd = post.smapd();
    let id = post.send(FROM, &["b@far.example"], "hello");
    let _line = smapd.outcome(&id, "b@far.example", "deferred");
    assert_eq!(smapd.end(Signal::SIGTERM).code, 0);
    mail(&post, "<a@sender.example>", "<b@far.example>", MESSAGES);
    is_up.store(true, Ordering::SeqCst);
    let _smapd = post.smapd();
    let place = place_of(&sink, &format!("<{FROM}>"));
    assert!(place < MESSAGES / 4, "{place} came before");
}

/// The server answers to no text before it has as many of them.
fn together(count: usize) -> impl Script {
    let (arrived, gate) = (AtomicUsize::new(0), Gate::default());
    move |_, line| {
        if line == "." {
            if arrived.fetch_add(1, Ordering::SeqCst) + 1 == count {
                gate.open();
            }
            gate.pass();
        }
        Act::Usual
    }
}

fn two_thousand_sessions_are_open_at_once() {
    const SESSIONS: usize = 2000;
    // The server is in this process.
    let (soft, hard) = getrlimit(Resource::RLIMIT_NOFILE).unwrap();
    setrlimit(Resource::RLIMIT_NOFILE, hard.min(soft.max(16_384)), hard).unwrap();
    let sink = Sink::scripted(together(SESSIONS));
    let post = Post::new(|_| {
        format!(
            "smapd: max-connections {SESSIONS}\nsmapd: max-connections-per-destination {SESSIONS}\n{}",
            domain("far.example", sink.port(), "")
        )
    });
    for _ in 0..SESSIONS / 500 {
        mail(&post, "<a@sender.example>", "<b@far.example>", 500);
    }
    let smapd = post.smapd();
    assert_eq!(sink.wait_for(SESSIONS).len(), SESSIONS);
    assert_eq!(sink.connections(), SESSIONS);
    let _all = smapd.process().wait_for_logs(SESSIONS, |line| line.ends_with(" removed"));
}

fn more_destinations_than_descriptors_take_turns() {
    const DESTINATIONS: usize = 30;
    const CONNECTIONS: usize = 8;
    let gate = Arc::default();
    let sinks: Vec<Sink> = (0..DESTINATIONS).map(|_| Sink::scripted(behind(&gate))).collect();
    let post = Post::new(|_| {
        let domains = sinks.iter().enumerate();
        domains.map(|(number, sink)| domain(&format!("d{number}.example"), sink.port(), "")).collect()
    });
    let smapd = post.smapd();
    let pid = smapd.process().pid();
    let open = fs::read_dir(format!("/proc/{pid}/fd")).unwrap().count();
    // Each message has one, too.
    let most = open + DESTINATIONS + CONNECTIONS;
    let mut prlimit = Command::new(programs::peer("prlimit"));
    prlimit.arg(format!("--pid={pid}")).arg(format!("--nofile={most}:{most}"));
    // To take something from oneself needs no privilege.
    prlimit.uid(SMAPD_UID).gid(SMAPD_UID);
    let limited = run(&mut prlimit, Stdio::null());
    assert_eq!(limited.code, 0, "{limited:?}");
    for number in 0..DESTINATIONS {
        post.send(FROM, &[&format!("b@d{number}.example")], "hello");
    }
    let connections = || sinks.iter().map(Sink::connections).sum::<usize>();
    eventually("no more can be made", || (connections() >= CONNECTIONS / 2).then_some(()));
    gate.open();
    let _all = smapd.process().wait_for_logs(DESTINATIONS, |line| line.ends_with(" removed"));
    assert_eq!(smapd.count(" status=deferred "), 0);
}
