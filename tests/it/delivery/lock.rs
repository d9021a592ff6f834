//! One smapd at a time works in a spool.

use std::process::Stdio;

use smap_tests::post::Post;
use smap_tests::process::{Process, run};
use smap_tests::sink::Sink;
use smap_tests::{eventually, tests};

use super::relay::{FROM, to_port};

tests! {
    a_second_smapd_is_temporary;
    a_restart_right_after_a_kill_is_not_refused;
    of_two_passes_that_begin_at_once_one_delivers;
    of_two_smapd_that_are_started_at_once_one_stays;
}

fn a_second_smapd_is_temporary() {
    let post = Post::with_maildirs("");
    let smapd = post.smapd();
    for arguments in [&["--once"][..], &["--foreground"], &["--once", "--foreground"]] {
        let ended = run(post.gateway.program("smapd").args(arguments), Stdio::null());
        assert_eq!(ended.code, 75, "{arguments:?}: {ended:?}");
        assert!(ended.log.iter().any(|line| line.contains("another smapd")), "{ended:?}");
    }
    let id = post.send(FROM, &["b@example.com"], "hello");
    smapd.removed(&id);
}

/// Its helpers may live a moment longer, but the spool is free.
fn a_restart_right_after_a_kill_is_not_refused() {
    let post = Post::with_maildirs("");
    for _ in 0..10 {
        let mut smapd = post.smapd();
        smapd.kill();
        let _next = post.smapd();
    }
}

const ROUNDS: usize = 10;
const MESSAGES: usize = 8;

fn send_some(post: &Post, round: usize) -> Vec<String> {
    let body = |number| format!("round {round}, message {number}");
    let bodies: Vec<String> = (0..MESSAGES).map(body).collect();
    bodies.iter().for_each(|body| drop(post.send(FROM, &["b@example.com"], body)));
    bodies
}

/// The last lines of what a server has taken, in order.
fn taken(sink: &Sink) -> Vec<String> {
    let text =
        |text: Vec<u8>| String::from_utf8(text).unwrap().trim_end().rsplit('\n').next().unwrap().to_owned();
    let mut taken: Vec<String> = sink.received().into_iter().map(|received| text(received.text)).collect();
    taken.sort();
    taken
}

fn of_two_passes_that_begin_at_once_one_delivers() {
    let sink = Sink::start();
    let post = to_port(sink.port());
    for round in 0..ROUNDS {
        let sent = send_some(&post, round);
        let start = || Process::start(post.gateway.program("smapd").args(["--once", "--foreground"]));
        let mut both = [start(), start()];
        let ended = both.each_mut().map(Process::end);
        let codes = ended.each_ref().map(|ended| ended.code);
        // The second may come when the first has gone.
        assert!(codes.contains(&0) && codes.iter().all(|code| [0, 75].contains(code)), "{ended:#?}");
        assert_eq!(taken(&sink), sent);
        post.assert_spool_is_empty();
        sink.forget();
    }
}

fn of_two_smapd_that_are_started_at_once_one_stays() {
    let sink = Sink::start();
    let post = to_port(sink.port());
    for round in 0..ROUNDS {
        let sent = send_some(&post, round);
        let start = || Process::start(post.gateway.program("smapd").arg("--foreground"));
        let mut both = [start(), start()];
        let refused = eventually("one of them ends", || both.iter().position(Process::has_ended));
        let ended = both[refused].end();
        assert_eq!(ended.code, 75, "{ended:#?}");
        let stays = &both[1 - refused];
        let _all = stays.wait_for_logs(MESSAGES, |line| line.ends_with(" removed"));
        assert!(!stays.has_ended());
        assert_eq!(taken(&sink), sent);
        post.assert_spool_is_empty();
        drop(both);
        sink.forget();
    }
}
