//! The operator's orders: by smapctl, to the smapd that runs.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::os::unix::process::CommandExt;
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use nix::sys::signal::Signal;
use smap_tests::clock::{Clock, DAY};
use smap_tests::gateway::{SMAP_UID, SMAPD_UID, chmod, free_port};
use smap_tests::needs::Need::{Program, Root};
use smap_tests::post::{Post, Smapd, send};
use smap_tests::process::{Ended, run};
use smap_tests::sink::{Act, Sink};
use smap_tests::{eventually, programs, tests};

tests! {
    a_held_message_stays_held_over_a_kill_until_it_is_released;
    a_held_message_does_not_expire_nor_does_its_time_count: [Program("cc")];
    a_message_that_just_came_can_be_held;
    retry_delivers_what_waits_for_a_domain_whose_host_is_back;
    deleting_leaves_nothing_and_tells_nobody;
    a_returned_message_makes_one_notification_with_the_operators_words;
    a_message_that_is_held_can_be_returned_or_deleted;
    holding_waits_for_the_attempt_that_is_under_way;
    deleting_waits_for_the_attempt_that_is_under_way;
    an_order_to_return_survives_a_kill_in_the_attempt_that_is_under_way;
    without_a_running_smapd_orders_say_so_and_the_rest_works;
    what_is_not_in_the_queue_is_said_to_be_unknown;
    only_root_and_smapds_user_may_give_orders: [Root];
    a_message_is_shown_with_all_that_happened_to_it;
    a_trace_joins_the_session_the_message_and_its_notification;
}

pub(super) const FROM: &str = "a@example.com";
const TO: &str = "b@far.example";

pub(super) fn output(ended: &Ended) -> String {
    String::from_utf8(ended.output.clone()).unwrap()
}

/// Gives an order that is carried out; says what smapctl says.
pub(super) fn order(post: &Post, arguments: &[&str]) -> String {
    let ended = post.smapctl(&[&["queue"], arguments].concat());
    assert_eq!(ended.code, 0, "{arguments:?}: {} {:#?}", output(&ended), ended.log);
    output(&ended)
}

pub(super) fn list(post: &Post, arguments: &[&str]) -> String {
    order(post, &[&["list"], arguments].concat())
}

/// Mail for example.com goes to mailboxes, all other to a port.
pub(super) fn post_for(port: u16, lines: &str) -> Post {
    Post::with_maildirs(&format!(
        "smapd: retry 1h\n{lines}\nsmap: permit-relay 127.0.0.1\nsmapd: relay-host smtp:[127.0.0.1]:{port}"
    ))
}

/// One message that waits for a host that is not there.
fn one_waits(post: &Post, smapd: &Smapd) -> String {
    let id = post.send(FROM, &[TO], "Subject: greetings\r\n\r\nhello");
    waits(post, smapd, &id);
    id
}

fn waits(post: &Post, smapd: &Smapd, id: &str) {
    let _deferred = smapd.outcome(id, TO, "deferred");
    eventually("it waits in queue/", || post.names("queue").contains(&id.to_owned()).then_some(()));
}

fn assert_is_logged(smapd: &Smapd, verb: &str, id: &str) {
    let words = format!("]: order={verb} id={id} by={}", nix::unistd::geteuid());
    let _line = smapd.process().wait_for_log(|line| line.contains(&words));
    assert_eq!(smapd.count(&words), 1);
}

fn a_held_message_stays_held_over_a_kill_until_it_is_released() {
    let port = free_port();
    let post = post_for(port, "");
    let mut smapd = post.smapd();
    let id = one_waits(&post, &smapd);
    assert_eq!(order(&post, &["hold", &id]), format!("{id} held\n1 message held\n"));
    assert_is_logged(&smapd, "hold", &id);
    smapd.kill();
    let smapd = post.smapd();
    let sink = Sink::on(port, |_, _| Act::Usual);
    let listed = list(&post, &["--held"]);
    assert!(
        listed.contains(&id) && listed.contains(" held  ") && listed.ends_with(", 29 B; 1 held\n"),
        "{listed}"
    );
    let ended = post.smapctl(&["queue", "retry", &id]);
    assert_eq!((ended.code, output(&ended).contains("it is held; release it")), (75, true), "{ended:?}");
    assert_eq!(order(&post, &["retry", "--all"]).lines().last(), Some("0 messages tried now; 1 held"));
    assert_eq!(smapd.count(" status="), 0);
    assert_eq!(order(&post, &["release", "--all"]), "1 message released\n");
    smapd.removed(&id);
    assert_eq!(sink.received().len(), 1);
    post.assert_spool_is_empty();
}

fn a_held_message_does_not_expire_nor_does_its_time_count() {
    let post = post_for(free_port(), "smapd: expire 1d");
    let clock = Clock::new(post.gateway.folder());
    let smapd = Smapd::start(&mut clock.for_program(post.gateway.program("smapd")));
    let (held, other) = (one_waits(&post, &smapd), one_waits(&post, &smapd));
    order(&post, &["hold", &held]);
    clock.set_time_of_day(10 * DAY);
    order(&post, &["retry", "--all"]);
    let (_, to) = smapd.notification(&other);
    assert_eq!(to, format!("<{FROM}>"));
    smapd.removed(&other);
    order(&post, &["release", &held]);
    let _tried_again = smapd.outcomes(2, &held, TO, "deferred");
    eventually("it waits", || list(&post, &[]).contains(" in 10d").then_some(()));
    assert_eq!(smapd.count(&format!("]: id={held} notification=")), 0);
}

fn a_message_that_just_came_can_be_held() {
    let post = post_for(free_port(), "");
    let slow = Sink::scripted(|_, line| if line.is_empty() { Act::Silence } else { Act::Usual });
    post.gateway.write_table(&format!(
        "smapd: max-connections 1\nsmap: permit-relay *\nsmapd: relay-host smtp:[127.0.0.1]:{} timeout=5s",
        slow.port()
    ));
    let mut client = post.listener.extended_client();
    let mut send = || send(&mut client, &format!("<{FROM}>"), &[format!("<{TO}>")], "hello");
    let ids: Vec<String> = (0..120).map(|_| send()).collect();
    let smapd = post.smapd();
    eventually("one is tried", || (slow.connections() == 1).then_some(()));
    let held = order(&post, &["hold", "--all"]);
    assert!(held.ends_with("when the attempt is over\n"), "{held}");
    eventually("all are held", || {
        let text = list(&post, &["--held"]);
        text.ends_with("; 120 held\n").then_some(())
    });
    let _given_up = smapd.process().wait_for_logs(1, |line| line.contains(" status=deferred "));
    eventually("nothing is left in incoming/", || post.names("incoming").is_empty().then_some(()));
    assert!(ids.iter().all(|id| post.names("queue").contains(id)));
}

fn retry_delivers_what_waits_for_a_domain_whose_host_is_back() {
    const MESSAGES: usize = 30;
    let port = free_port();
    let post = post_for(port, "");
    let smapd = post.smapd();
    let other = post.send(FROM, &["c@other.example"], "hello");
    let ids: Vec<String> = (0..MESSAGES).map(|_| post.send(FROM, &[TO], "hello")).collect();
    ids.iter().for_each(|id| waits(&post, &smapd, id));
    let sink = Sink::on(port, |_, _| Act::Usual);
    let said = order(&post, &["retry", "--domain", "FAR.example"]);
    assert_eq!(said, format!("{MESSAGES} messages tried now\n"));
    ids.iter().for_each(|id| smapd.removed(id));
    assert_eq!(sink.received().len(), MESSAGES);
    assert!(list(&post, &["--domain", "other.example"]).contains(&other));
}

fn deleting_leaves_nothing_and_tells_nobody() {
    let post = post_for(free_port(), "");
    let smapd = post.smapd();
    let ids = [one_waits(&post, &smapd), one_waits(&post, &smapd)];
    let said = order(&post, &["delete", &ids[0], &ids[1]]);
    assert_eq!(said, format!("{} removed\n{} removed\n2 messages removed\n", ids[0], ids[1]));
    post.assert_spool_is_empty();
    for id in &ids {
        assert_is_logged(&smapd, "delete", id);
        smapd.removed(id);
    }
    assert_eq!(smapd.count(" notification="), 0);
}

fn assert_returned_once(post: &Post, smapd: &Smapd, id: &str, words: &str) {
    let (notification, _) = smapd.notification(id);
    smapd.removed(id);
    smapd.removed(&notification);
    let told = post.maildir("a");
    assert_eq!(told.len(), 1);
    let text = String::from_utf8_lossy(&told[0]);
    for wanted in [words, "Status: 5.7.0", "Action: failed", "Final-Recipient: rfc822; b@far.example"] {
        assert!(text.contains(wanted), "{wanted}: {text}");
    }
    post.assert_spool_is_empty();
}

fn a_returned_message_makes_one_notification_with_the_operators_words() {
    let post = post_for(free_port(), "");
    let smapd = post.smapd();
    let id = one_waits(&post, &smapd);
    let said = order(&post, &["bounce", &id, "--text", "That project is over."]);
    assert_eq!(said, format!("{id} returned\n1 message returned\n"));
    assert_returned_once(&post, &smapd, &id, "That project is over.");
    assert_eq!(smapd.count(&format!("order=bounce id={id} by={} text=\"That", nix::unistd::geteuid())), 1);
}

fn a_message_that_is_held_can_be_returned_or_deleted() {
    let post = post_for(free_port(), "");
    let smapd = post.smapd();
    let (one, other) = (one_waits(&post, &smapd), one_waits(&post, &smapd));
    order(&post, &["hold", &one, &other]);
    order(&post, &["delete", &other]);
    order(&post, &["bounce", &one]);
    assert_returned_once(&post, &smapd, &one, "the administrator has returned it");
}

/// A host that is about to refuse a text for now, and does when it is let go.
fn hesitant() -> (Sink, Arc<AtomicBool>) {
    let go = Arc::new(AtomicBool::new(false));
    let gone = Arc::clone(&go);
    let sink = Sink::scripted(move |_, line| match line {
        "." => {
            eventually("it is let go", || gone.load(Ordering::SeqCst).then_some(()));
            Act::say("451 4.3.0 later")
        }
        _ => Act::Usual,
    });
    (sink, go)
}

fn one_is_under_way(post: &Post, sink: &Sink) -> String {
    let id = post.send(FROM, &[TO], "hello");
    eventually("it is under way", || {
        sink.lines().iter().any(|(_, line)| line.starts_with("DATA")).then_some(())
    });
    id
}

fn holding_waits_for_the_attempt_that_is_under_way() {
    let (sink, go) = hesitant();
    let post = post_for(sink.port(), "");
    let smapd = post.smapd();
    let id = one_is_under_way(&post, &sink);
    assert!(order(&post, &["hold", &id]).starts_with(&format!("{id} an attempt is under way; ")));
    assert!(list(&post, &["--held"]).contains(&id));
    go.store(true, Ordering::SeqCst);
    waits(&post, &smapd, &id);
    assert_eq!(
        order(&post, &["retry", "--all"]),
        format!("{id} it is held; release it to have it tried\n0 messages tried now; 1 held\n")
    );
    order(&post, &["release", &id]);
    let _again = smapd.outcomes(2, &id, TO, "deferred");
}

fn deleting_waits_for_the_attempt_that_is_under_way() {
    let (sink, go) = hesitant();
    let post = post_for(sink.port(), "");
    let smapd = post.smapd();
    let id = one_is_under_way(&post, &sink);
    assert!(order(&post, &["delete", &id]).contains("what that leaves is removed"));
    go.store(true, Ordering::SeqCst);
    smapd.removed(&id);
    assert_eq!(smapd.count(" notification="), 0);
    post.assert_spool_is_empty();
}

fn an_order_to_return_survives_a_kill_in_the_attempt_that_is_under_way() {
    let (sink, go) = hesitant();
    let post = post_for(sink.port(), "");
    let mut smapd = post.smapd();
    let id = one_is_under_way(&post, &sink);
    assert!(order(&post, &["bounce", &id, "--text", "It is over."]).contains("what that leaves is returned"));
    smapd.kill();
    go.store(true, Ordering::SeqCst);
    let smapd = post.smapd();
    assert_returned_once(&post, &smapd, &id, "It is over.");
    assert_eq!(smapd.count(" transport=smtp "), 0);
}

fn without_a_running_smapd_orders_say_so_and_the_rest_works() {
    let post = post_for(free_port(), "");
    let smapd = post.smapd();
    let id = one_waits(&post, &smapd);
    assert_eq!(smapd.end(Signal::SIGTERM).code, 0);
    let tries: [&[&str]; 5] = [
        &["hold", &id],
        &["release", "--all"],
        &["retry", "--domain", "far.example"],
        &["delete", &id],
        &["bounce", &id],
    ];
    let refused = || {
        for arguments in tries {
            let ended = post.smapctl(&[&["queue"], arguments].concat());
            assert_eq!(ended.code, 75, "{arguments:?}: {ended:?}");
            assert!(ended.log[0].contains("smapd does not run: start it"), "{ended:?}");
        }
    };
    refused();
    let mut smapd = post.smapd();
    smapd.kill();
    refused();
    assert!(list(&post, &[]).contains(&id) && order(&post, &["show", &id]).contains("greetings"));
}

fn what_is_not_in_the_queue_is_said_to_be_unknown() {
    let post = post_for(free_port(), "");
    let smapd = post.smapd();
    let (id, gone) = (one_waits(&post, &smapd), "1M7YH824R0000000000001");
    for verb in ["hold", "release", "retry", "delete", "bounce"] {
        let ended = post.smapctl(&["queue", verb, gone, "--json"]);
        assert_eq!(ended.code, 66, "{ended:?}");
        let wanted = format!("[\n{{\"id\":\"{gone}\",\"order\":\"{verb}\",\"effect\":\"unknown\"}}\n]\n");
        assert_eq!(output(&ended), wanted);
    }
    let ended = post.smapctl(&["queue", "hold", gone, &id]);
    assert_eq!((ended.code, output(&ended).lines().count()), (66, 3), "{ended:?}");
    assert_eq!(post.smapctl(&["queue", "show", gone]).code, 66);
    assert_eq!(post.smapctl(&["queue", "hold", "rubbish"]).code, 64);
    assert_eq!(post.smapctl(&["queue", "hold"]).code, 64);
    assert_eq!(post.names("queue").len(), 2);
}

fn only_root_and_smapds_user_may_give_orders() {
    let post = post_for(free_port(), "");
    let smapd = post.smapd();
    let id = one_waits(&post, &smapd);
    let copy = post.path("smapctl");
    assert_eq!(run(Command::new("install").arg(programs::ours("smapctl")).arg(&copy), Stdio::null()).code, 0);
    let hold_as = |uid: u32| {
        let mut command = Command::new(&copy);
        command.arg("--config").arg(post.gateway.table()).args(["queue", "hold", &id]).uid(uid).gid(uid);
        run(&mut command, Stdio::null())
    };
    let socket = post.gateway.layout().socket();
    assert_eq!(socket.metadata().unwrap().permissions().mode() & 0o7777, 0o600);
    let refused = |ended: &Ended| {
        assert_eq!(ended.code, 77, "{ended:?}");
        assert!(ended.log[0].contains("only root and smapd's user may give orders"), "{ended:?}");
    };
    refused(&hold_as(SMAP_UID));
    // Whoever gets past the folder is asked who he is.
    chmod(&post.gateway.layout().control(), 0o755);
    chmod(&socket, 0o666);
    refused(&hold_as(SMAP_UID));
    let _said =
        smapd.process().wait_for_log(|line| line.contains(&format!("uid {SMAP_UID} may not give orders")));
    assert_eq!(smapd.count(" order=") + smapd.count("]: order="), 0);
    assert_eq!(hold_as(SMAPD_UID).code, 0);
    assert_eq!(smapd.count(&format!("]: order=hold id={id} by={SMAPD_UID}")), 1);
}

fn a_message_is_shown_with_all_that_happened_to_it() {
    let post = post_for(free_port(), "");
    let smapd = post.smapd();
    let id = post.send(FROM, &["c@example.com", TO], "Subject: greetings\r\nX-Bad: \x1b[2J\r\n\r\nsecret");
    waits(&post, &smapd, &id);
    order(&post, &["hold", &id]);
    let shown = order(&post, &["show", &id]);
    for words in [
        "  sender   <a@example.com>\n",
        "  <c@example.com>  delivered  2.0.0",
        "  <b@far.example>  deferred   4.4.1",
        " ago  <b@far.example> deferred 4.4.1",
        " ago  hold ordered by uid ",
        "  Subject: greetings\n  X-Bad: ?[2J\n",
    ] {
        assert!(shown.contains(words), "{words}: {shown}");
    }
    assert!(
        !shown.contains("secret") && order(&post, &["show", &id, "--body"]).ends_with("body\n  secret\n")
    );
    let json = order(&post, &["show", &id, "--json"]);
    assert!(json.contains("\"order\": \"hold\"") && json.contains("\"state\": \"delivered\""), "{json}");
}

fn a_trace_joins_the_session_the_message_and_its_notification() {
    let post = post_for(free_port(), "");
    let smapd = post.smapd();
    let (id, other) = (one_waits(&post, &smapd), one_waits(&post, &smapd));
    order(&post, &["bounce", &id]);
    let (notification, _) = smapd.notification(&id);
    smapd.removed(&notification);
    post.listener.wait_for_sessions(2);
    let log = post.path("log");
    let lines = [post.listener.process.log(), smapd.process().log()].concat();
    fs::write(&log, lines.join("\n") + "\n").unwrap();
    let log = log.display().to_string();
    let trace = |id: &str, more: &[&str]| {
        let ended = post.smapctl(&[&["trace", id, "--log", &log], more].concat());
        assert_eq!(ended.code, 0, "{ended:?}");
        output(&ended)
    };
    let shown = trace(&id, &[]);
    let beginnings = ["]: connect host=", "]: id=", "]: exiting host=", "]: id=", "]: order=bounce id="];
    for (line, beginning) in shown.lines().zip(beginnings) {
        assert!(line.contains(beginning), "{beginning}: {shown}");
    }
    assert!(
        shown.contains(&format!("]: id={notification} to=<{FROM}> ")) && !shown.contains(&other),
        "{shown}"
    );
    assert!(shown.ends_with("it is not in the spool\n"), "{shown}");
    assert!(trace(&other, &[]).contains("    <b@far.example>: 4.4.1 "));
    assert!(trace(&other, &["--json"]).contains("\"state\": \"message\""));
    let ended = post.smapctl(&["trace", "1M7YH824R0000000000001", "--log", &log]);
    assert_eq!(ended.code, 66, "{ended:?}");
}
