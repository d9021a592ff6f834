//! smapctl: what the operator sees.

use std::os::unix::process::CommandExt;
use std::process::{Command, Stdio};

use nix::sys::signal::Signal;
use smap_common::confine::calls;
use smap_tests::gateway::{Gateway, SMAP_UID, SMAPD_UID, free_port};
use smap_tests::needs::Need::Root;
use smap_tests::post::Post;
use smap_tests::process::{Ended, run};
use smap_tests::sink::Sink;
use smap_tests::{programs, tests};

tests! {
    the_demo_shows_a_message_and_ends;
    check_of_a_good_table_finds_no_fault;
    check_of_a_bad_table_names_every_line;
    check_of_a_missing_table_says_so;
    the_list_has_a_deferred_message_with_and_without_smapd;
    the_list_as_json_has_a_deferred_message_with_and_without_smapd;
    the_list_of_an_empty_queue_is_empty;
    check_security_says_what_each_program_has_left: [Root];
    check_security_says_what_only_root_can_try: [Root];
    explain_names_the_line_that_decides;
    explain_says_what_becomes_of_a_message_that_smap_refuses;
    the_words_of_the_next_host_do_nothing_to_a_terminal;
}

fn output(ended: &Ended) -> String {
    String::from_utf8(ended.output.clone()).unwrap()
}

fn the_demo_shows_a_message_and_ends() {
    let mut demo = Command::new(programs::ours("smapctl"));
    let ended = run(demo.args(["demo", "--once", "--port", &free_port().to_string()]), Stdio::null());
    let shown = output(&ended);
    assert_eq!(ended.code, 0, "{shown}\n{:#?}", ended.log);
    for words in
        ["220 ", "MAIL FROM:", "250 2.0.0 Mail accepted ", "The message was delivered to ", "Return-Path: "]
    {
        assert!(shown.contains(words), "{words}: {shown}");
    }
    let folder = shown.split("Everything lies in ").nth(1).and_then(|rest| rest.split(';').next()).unwrap();
    assert!(!std::path::Path::new(folder).exists(), "{folder} is left behind");
}

fn check_of_a_good_table_finds_no_fault() {
    let post = Post::with_maildirs("");
    let ended = post.smapctl(&["check"]);
    assert_eq!(ended.code, 0, "{}\n{:#?}", output(&ended), ended.log);
}

fn check_of_a_bad_table_names_every_line() {
    let gateway =
        Gateway::new("smap: maxrecpt 5\nsmapd: retry soon\nsmap, smapd: domain example.com smtp:[10.0.0.5");
    let ended = run(gateway.program("smapctl").arg("check"), Stdio::null());
    assert_eq!(ended.code, 78, "{ended:?}");
    let said = output(&ended) + &ended.log.join("\n");
    let table = gateway.table().display().to_string();
    for line in 1..=3 {
        assert!(said.contains(&format!("{table}:{line}: ")), "line {line}: {said}");
    }
    assert!(said.contains("did you mean \"maxrecip\""), "{said}");
}

fn assert_has_lines(shown: &str, wanted: &[&str]) {
    let words = |line: &str| line.split_whitespace().collect::<Vec<_>>().join(" ");
    let lines: Vec<String> = shown.lines().map(words).collect();
    for line in wanted {
        assert!(lines.iter().any(|shown| shown == line), "{line}: {shown}");
    }
}

fn check_security_says_what_each_program_has_left() {
    let post = Post::with_maildirs("");
    let ended = post.smapctl(&["check", "--security"]);
    assert_eq!(ended.code, 0, "{ended:?}");
    let spool = post.gateway.spool().display().to_string();
    let [session, delivery, lookups] =
        [calls::SESSION, calls::DELIVERY, calls::LOOKUP].map(|calls| calls.iter().count());
    let shown = output(&ended);
    let (smap, others) = shown.split_once("\nsmapd\n").expect("both are shown");
    let (smapd, lookup) = others.split_once("\nsmap-lookup\n").expect("all are shown");
    let everywhere = ["capabilities none", "new privileges never", "call filter on", "missing nothing"];
    for program in [smap, smapd, lookup] {
        assert_has_lines(program, &everywhere);
    }
    assert_has_lines(
        smap,
        &[
            &format!("user {SMAP_UID}, group {SMAP_UID}, no others"),
            &format!("root folder {spool}"),
            &format!("creates files in {spool}/incoming"),
            "reads files none",
            &format!("system calls {session}, all others kill"),
        ],
    );
    assert_has_lines(
        smapd,
        &[
            &format!("user {SMAPD_UID}, group {SMAPD_UID}, also {SMAP_UID}"),
            &format!("reads, writes in {spool}"),
            &format!("reads, writes in {}", post.path("mail").display()),
            &format!("system calls {delivery}, all others kill"),
        ],
    );
    assert_has_lines(
        lookup,
        &[
            "reads files in /etc /usr /lib /lib64 /run",
            "writes files none",
            "connects to TCP ports 53; UDP",
            &format!("system calls {lookups}, all others kill"),
        ],
    );
}

fn check_security_says_what_only_root_can_try() {
    let post = Post::with_maildirs("");
    let copy = post.path("smapctl");
    let copied = run(Command::new("install").arg(programs::ours("smapctl")).arg(&copy), Stdio::null());
    assert_eq!(copied.code, 0, "{copied:?}");
    let mut check = Command::new(copy);
    check.arg("--config").arg(post.gateway.table()).args(["check", "--security"]).uid(SMAP_UID).gid(SMAP_UID);
    let ended = run(&mut check, Stdio::null());
    assert_eq!(ended.code, 77, "{ended:?}");
    let shown = output(&ended);
    let (smap, smapd) = shown.split_once("\nsmapd\n").expect("both are shown");
    assert_has_lines(
        smap,
        &["missing chroot (needs root)", "missing empty capability bounding set (needs root)"],
    );
    assert!(smapd.contains("only root can change it"), "{smapd}");
}

fn check_of_a_missing_table_says_so() {
    let mut check = Command::new(programs::ours("smapctl"));
    let ended = run(check.args(["--config", "/nowhere/netperm-table", "check"]), Stdio::null());
    assert_eq!(ended.code, 78, "{ended:?}");
    assert!(ended.log.iter().any(|line| line.contains("/nowhere/netperm-table")), "{ended:?}");
}

/// What it says of a message that waits, with a running smapd and without one.
fn assert_lists_one_deferred(arguments: &[&str], judge: impl Fn(&str, &str)) {
    let port = free_port();
    let post =
        Post::new(|_| format!("smapd: retry 1h\nsmap, smapd: domain far.example smtp:[127.0.0.1]:{port}"));
    let smapd = post.smapd();
    let id = post.send("a@sender.example", &["b@far.example"], "hello");
    smap_tests::eventually("it waits in queue/", || post.names("queue").contains(&id).then_some(()));
    for running in [true, false] {
        let ended = post.smapctl(arguments);
        assert!(ended.code == 0 && ended.log.is_empty(), "running: {running}: {ended:#?}");
        judge(&output(&ended), &id);
        if running {
            smapd.process().signal(Signal::SIGTERM);
            let _stopped = smapd.process().wait_for_log(|line| line.ends_with("]: stopped"));
        }
    }
}

fn the_list_has_a_deferred_message_with_and_without_smapd() {
    assert_lists_one_deferred(&["queue", "list"], |text, id| {
        let line = text.lines().find(|line| line.starts_with(id)).unwrap_or_else(|| panic!("{text}"));
        assert!(
            line.contains("<a@sender.example>") && (line.contains(" in 59m") || line.contains(" in 1h")),
            "{text}"
        );
        assert!(text.contains("    <b@far.example>: 4.4."), "{text}");
        assert!(text.lines().last().unwrap().starts_with("1 message, "), "{text}");
    });
}

fn the_list_as_json_has_a_deferred_message_with_and_without_smapd() {
    assert_lists_one_deferred(&["queue", "list", "--json"], |text, id| {
        for words in [
            &format!("\"id\":\"{id}\""),
            "\"folder\":\"queue\"",
            "\"sender\":\"<a@sender.example>\"",
            "\"address\":\"<b@far.example>\"",
            "\"attempts\":1",
        ] {
            assert!(text.contains(words), "{words}: {text}");
        }
        assert!(text.starts_with("[\n") && text.ends_with("]\n"), "{text}");
    });
}

fn the_list_of_an_empty_queue_is_empty() {
    let post = Post::with_maildirs("");
    let ended = post.smapctl(&["queue", "list"]);
    assert_eq!((ended.code, output(&ended).as_str()), (0, "the queue is empty\n"));
    assert_eq!(output(&post.smapctl(&["queue", "list", "--json"])), "[]\n");
}

fn explain_names_the_line_that_decides() {
    let post = Post::with_maildirs("smap: deny-hosts 192.0.2.*\nsmap: permit-hosts *");
    let arguments =
        ["explain", "--client", "203.0.113.5", "--from", "a@sender.example", "--to", "b@example.com"];
    let ended = post.smapctl(&arguments);
    let shown = output(&ended);
    assert_eq!(ended.code, 0, "{shown}");
    let table = post.gateway.table().display().to_string();
    for words in [
        "from <a@sender.example> at 203.0.113.5 to <b@example.com>",
        &format!("{table}:2: permit-hosts *"),
        &format!("{table}:3: domain example.com"),
        &format!("-> {}/b", post.path("mail").display()),
    ] {
        assert!(shown.contains(words), "{words}: {shown}");
    }
}

fn explain_says_what_becomes_of_a_message_that_smap_refuses() {
    let post = Post::with_maildirs("");
    let ended = post.smapctl(&["explain", "--client", "203.0.113.5", "--to", "b@elsewhere.example"]);
    let shown = output(&ended);
    assert_eq!(ended.code, 0, "{shown}");
    assert!(shown.contains("refuse") && shown.contains("permit-relay"), "{shown}");
}

fn the_words_of_the_next_host_do_nothing_to_a_terminal() {
    let sink = Sink::scripted(|_, line| {
        let text = "450 4.2.1 \u{1b}]0;owned\u{7}\u{1b}[2J later";
        if line == "." { smap_tests::sink::Act::say(text) } else { smap_tests::sink::Act::Usual }
    });
    let post = Post::new(|_| format!("smap, smapd: domain far.example smtp:[127.0.0.1]:{}", sink.port()));
    let smapd = post.smapd();
    let id = post.send("a@sender.example", &["b@far.example"], "hello");
    let _line = smapd.outcome(&id, "b@far.example", "deferred");
    smap_tests::eventually("it waits in queue/", || post.names("queue").contains(&id).then_some(()));
    for arguments in [&["queue", "list"][..], &["queue", "list", "--json"]] {
        let shown = output(&post.smapctl(arguments));
        assert!(shown.contains("later") && !shown.contains(['\u{1b}', '\u{7}']), "{shown:?}");
    }
}
