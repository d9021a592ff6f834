//! `BUDGET.md`: what one message may cost, counted by strace.

use std::collections::BTreeMap;
use std::fs;
use std::process::{Command, Stdio};
use std::time::Instant;

use nix::sys::signal::Signal;
use nix::unistd::Pid;
use smap_tests::gateway::Gateway;
use smap_tests::needs::Need::{Program, Root};
use smap_tests::post::Post;
use smap_tests::process::{Process, run};
use smap_tests::sink::{Act, Sink};
use smap_tests::{eventually, markdown, programs, tests};

use crate::confinement::session_of;
use crate::spares::template;

tests! {
    a_message_in_a_session_keeps_within_its_budget: [Root, Program("strace")];
    a_message_alone_in_its_session_keeps_within_its_budget: [Root, Program("strace")];
    a_message_by_smtp_keeps_within_its_budget: [Root, Program("strace")];
    an_ordinary_message_goes_out_in_one_piece_with_its_end: [Root, Program("strace")];
    a_message_by_lmtp_keeps_within_its_budget: [Root, Program("strace")];
    a_message_to_a_program_keeps_within_its_budget: [Root, Program("strace")];
    a_message_to_a_maildir_keeps_within_its_budget: [Root, Program("strace")];
    a_message_to_an_mbox_keeps_within_its_budget: [Root, Program("strace")];
}

/// How often each call was made.
type Calls = BTreeMap<String, u64>;

const SYNCS: [&str; 4] = ["fsync", "fdatasync", "syncfs", "sync"];
const WAITS: [&str; 5] = ["epoll_wait", "futex", "ppoll", "poll", "restart_syscall"];
/// Whether a descriptor is still open when it is closed is asked by debug builds only.
const OF_DEBUG_BUILDS: &str = ", F_GETFD";
/// Messages that are counted.
const MESSAGES: u64 = 50;

/// The lines of a trace that begin a call.
fn calls_in(trace: &str) -> Calls {
    let mut calls = Calls::new();
    for line in trace.lines() {
        let call = line.split_once(' ').map_or("", |(_pid, call)| call.trim_start());
        if let Some((name, arguments)) = call.split_once('(')
            && !arguments.contains(OF_DEBUG_BUILDS)
            && name.bytes().all(|octet| octet.is_ascii_alphanumeric() || octet == b'_')
        {
            *calls.entry(name.to_owned()).or_default() += 1;
        }
    }
    calls
}

/// What `more` has beyond `fewer`.
fn difference(more: &Calls, fewer: &Calls) -> Calls {
    let left =
        more.iter().map(|(name, count)| (name.clone(), count.saturating_sub(*fewer.get(name).unwrap_or(&0))));
    left.filter(|(_, count)| *count > 0).collect()
}

/// These are the calls for [`MESSAGES`] messages; `batches` are syncs for all of them together.
fn assert_within_budget(what: &str, calls: &Calls, batches: u64) {
    let rows = markdown::rows(include_str!("../BUDGET.md"));
    let row = rows.iter().find(|row| row[0] == what).expect("it has a budget");
    let [most, syncs] = [1, 2].map(|cell: usize| row[cell].parse::<u64>().expect("a number"));
    let count = |names: &[&str]| names.iter().filter_map(|name| calls.get(*name)).sum::<u64>();
    let all = calls.values().sum::<u64>() - count(&WAITS);
    assert!(
        count(&SYNCS) <= syncs * MESSAGES + batches,
        "{what}: the syncs of {MESSAGES} messages: {calls:?}"
    );
    assert!(all <= most * MESSAGES, "{what}: {all} calls for {MESSAGES} messages: {calls:?}");
}

/// The calls of processes, and of all that they start, while `work` is done and until it ends or is let go.
fn traced(gateway: &Gateway, pids: &[Pid], work: impl FnOnce()) -> Calls {
    let trace = gateway.folder().join("trace");
    let mut strace = Command::new(programs::peer("strace"));
    strace.args(["-f", "-qq", "-o"]).arg(&trace).args(pids.iter().map(|pid| format!("-p{pid}")));
    let mut tracer = Process::start(&mut strace);
    eventually("they are traced", || pids.iter().all(|pid| is_traced(*pid)).then_some(()));
    work();
    tracer.signal(Signal::SIGINT);
    tracer.wait();
    calls_in(&fs::read_to_string(&trace).unwrap())
}

fn is_traced(pid: Pid) -> bool {
    let status = fs::read_to_string(format!("/proc/{pid}/status")).unwrap();
    !status.contains("TracerPid:\t0\n")
}

fn a_message_in_a_session_keeps_within_its_budget() {
    let gateway = Gateway::new("");
    let listener = gateway.listen();
    let mut client = listener.extended_client();
    let calls = traced(&gateway, &[session_of(&listener)], || {
        (0..MESSAGES).for_each(|_| drop(client.mail(&body(), "250 ")));
    });
    assert_within_budget("in, one of many in a session", &calls, 0);
}

fn a_message_alone_in_its_session_keeps_within_its_budget() {
    let gateway = Gateway::new("");
    let listener = gateway.listen();
    let pids = [listener.process.pid(), template(&listener)];
    let calls = traced(&gateway, &pids, || {
        for session in 1..=MESSAGES {
            let mut client = listener.extended_client();
            client.mail(&body(), "250 ");
            client.quit();
            listener.wait_for_sessions(usize::try_from(session).unwrap());
        }
    });
    assert_within_budget("in, alone in its session", &calls, 0);
}

/// 5 KB.
fn body() -> String {
    "A line of a message, as long as lines of messages are: seventy octets.\r\n".repeat(70)
}

/// The calls of one pass of smapd over so many messages, its helpers' too.
fn pass(post: &Post, messages: u64) -> Calls {
    let mut client = post.listener.extended_client();
    for _ in 0..messages {
        smap_tests::post::send(&mut client, "<a@sender.example>", &["<b@example.com>"], &body());
    }
    client.quit();
    let trace = post.path("trace");
    let smapd = post.gateway.program("smapd");
    let mut strace = Command::new(programs::peer("strace"));
    strace.args(["-f", "-qq", "-o"]).arg(&trace).arg(smapd.get_program()).args(smapd.get_args());
    let ended = run(strace.args(["--once", "--foreground"]), Stdio::null());
    assert_eq!(ended.code, 0, "{ended:?}");
    post.assert_spool_is_empty();
    calls_in(&fs::read_to_string(&trace).unwrap())
}

/// The calls for [`MESSAGES`] messages out.
fn assert_out_within_budget(what: &str, post: &Post) -> Calls {
    const FEW: u64 = 10;
    let fewer = pass(post, FEW);
    let begun = Instant::now();
    let more = pass(post, FEW + MESSAGES);
    // Two folders, once a second and at the end.
    let batches = 2 * (begun.elapsed().as_secs() + 2);
    let calls = difference(&more, &fewer);
    assert_within_budget(what, &calls, batches);
    calls
}

fn by_smtp(port: u16) -> Post {
    Post::new(|_| format!("smap, smapd: domain example.com smtp:[127.0.0.1]:{port}"))
}

fn a_message_by_smtp_keeps_within_its_budget() {
    let sink = Sink::start();
    assert_out_within_budget("out by smtp", &by_smtp(sink.port()));
}

fn an_ordinary_message_goes_out_in_one_piece_with_its_end() {
    let sink = Sink::start();
    let calls = assert_out_within_budget("out by smtp", &by_smtp(sink.port()));
    let pieces = *calls.get("sendto").expect("it is sent by this call");
    // The envelope, the text; a connection now and then.
    assert!((2 * MESSAGES..3 * MESSAGES).contains(&pieces), "{calls:?}");
}

fn a_message_by_lmtp_keeps_within_its_budget() {
    let sink = Sink::lmtp(|_, _| Act::Usual);
    let port = sink.port();
    let post = Post::new(|_| format!("smap, smapd: domain example.com lmtp:127.0.0.1:{port}"));
    assert_out_within_budget("out by lmtp", &post);
}

fn a_message_to_a_program_keeps_within_its_budget() {
    let post = Post::new(|_| "smap, smapd: domain example.com pipe:/bin/true".to_owned());
    assert_out_within_budget("out to a program", &post);
}

fn a_message_to_a_maildir_keeps_within_its_budget() {
    assert_out_within_budget("out to a maildir", &Post::with_maildirs(""));
}

fn a_message_to_an_mbox_keeps_within_its_budget() {
    let post =
        Post::new(|folder| format!("smap, smapd: domain example.com mbox:{}/mail/%u", folder.display()));
    assert_out_within_budget("out to an mbox", &post);
}
