//! SMTP and LMTP to the next host: which one is taken, and who got what. Servers that lie: `hostile/servers.rs`.

use std::collections::BTreeSet;
use std::net::TcpListener;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Instant;

use nix::sys::signal::Signal;
use smap_tests::gateway::free_port;
use smap_tests::post::{Post, RELAY_TRACE, Smapd, send, without_trace};
use smap_tests::sink::{Act, Sink};
use smap_tests::{assert_rested, eventually, tests};

tests! {
    a_host_by_its_name;
    a_host_by_its_address;
    the_next_of_several_hosts_takes_what_the_first_does_not;
    a_host_that_is_busy_is_passed_over;
    a_host_that_is_busy_at_the_sender_is_passed_over;
    a_host_that_lost_one_connection_is_asked_again_where_the_next_is_down;
    connections_that_were_closed_while_they_were_kept_cost_nothing;
    a_host_that_closes_at_the_sender_is_passed_over;
    a_text_that_is_refused_is_refused_for_all_of_its_recipients;
    row_110_the_words_of_the_next_host_forge_no_line_of_the_log;
    parameters_of_the_sender_go_along;
    one_connection_serves_a_burst;
    a_host_that_is_down_gets_the_mail_when_it_is_up;
    a_deferral_outlives_sigterm;
    a_deferral_outlives_sigkill;
    who_has_the_message_does_not_get_it_again_over_sigkill;
    what_was_under_way_at_sigkill_arrives_after_it;
    a_server_that_does_not_read_the_text_is_given_up_at_rest;
    lmtp_over_a_unix_socket;
    lmtp_over_a_port;
    lmtp_that_closes_between_its_replies;
}

pub(crate) const FROM: &str = "a@sender.example";

/// The lines for these sinks: example.com at the first, and `mail` for local.example.
pub(crate) fn lines(folder: &Path, options: &str, to: &str) -> String {
    let mail = folder.join("mail");
    format!(
        "smapd: retry 1s\n\
         smap, smapd: domain example.com {to} {options}\n\
         smap, smapd: domain local.example maildir:{}/%u/",
        mail.display()
    )
}

pub(crate) fn to_port(port: u16) -> Post {
    Post::new(|folder| lines(folder, "", &format!("smtp:[127.0.0.1]:{port}")))
}

/// The message with only its own octets.
fn text_of(text: &[u8]) -> String {
    String::from_utf8(without_trace(text, &RELAY_TRACE).1).unwrap()
}

fn assert_takes(post: &Post, sink: &Sink) {
    let smapd = post.smapd();
    let id = post.send(FROM, &["b@example.com"], "Subject: x\r\n\r\n..\r\n...\r\nFrom b");
    let line = smapd.outcome(&id, "b@example.com", "sent");
    assert!(line.contains("transport=smtp ") && line.contains("reply=\"250 2.0.0 taken\""), "{line}");
    assert!(line.contains(&format!("[127.0.0.1]:{}", sink.port())), "{line}");
    smapd.removed(&id);
    let received = sink.received();
    assert_eq!(received.len(), 1);
    assert_eq!(received[0].recipients, ["<b@example.com>"]);
    assert!(received[0].sender.starts_with("<a@sender.example>"), "{received:?}");
    assert_eq!(text_of(&received[0].text), "Subject: x\r\n\r\n.\r\n..\r\nFrom b\r\n");
    post.assert_spool_is_empty();
}

fn a_host_by_its_name() {
    let sink = Sink::start();
    let post = Post::new(|folder| lines(folder, "", &format!("smtp:[localhost]:{}", sink.port())));
    assert_takes(&post, &sink);
}

fn a_host_by_its_address() {
    let sink = Sink::start();
    assert_takes(&to_port(sink.port()), &sink);
}

fn to_two(first: u16, second: u16) -> Post {
    Post::new(|folder| lines(folder, "", &format!("smtp:[127.0.0.1]:{first},smtp:[127.0.0.1]:{second}")))
}

fn the_next_of_several_hosts_takes_what_the_first_does_not() {
    let sink = Sink::start();
    assert_takes(&to_two(free_port(), sink.port()), &sink);
}

fn a_host_that_is_busy_is_passed_over() {
    let busy =
        Sink::scripted(|_, line| if line.is_empty() { Act::say("421 4.3.2 busy") } else { Act::Usual });
    let sink = Sink::start();
    assert_takes(&to_two(busy.port(), sink.port()), &sink);
    assert_eq!(busy.connections(), 1);
}

fn a_host_that_lost_one_connection_is_asked_again_where_the_next_is_down() {
    let first = Sink::scripted(
        |number, line| {
            if number == 0 && line.starts_with("MAIL") { Act::Close } else { Act::Usual }
        },
    );
    let post = to_two(first.port(), free_port());
    let smapd = post.smapd();
    let id = post.send(FROM, &["b@example.com"], "hello");
    let _line = smapd.outcome(&id, "b@example.com", "sent");
    assert_eq!((first.received().len(), smapd.count(" status=deferred ")), (1, 0));
}

fn connections_that_were_closed_while_they_were_kept_cost_nothing() {
    let arrived = std::sync::Barrier::new(2);
    let sink = Sink::scripted(move |_, line| {
        if line == "." {
            arrived.wait();
        }
        Act::Usual
    });
    let port = sink.port();
    let post = to_port(port);
    let smapd = post.smapd();
    let ids = [(); 2].map(|()| post.send(FROM, &["b@example.com"], "hello"));
    ids.iter().for_each(|id| smapd.removed(id));
    drop(sink);
    drop(eventually("nobody listens", || TcpListener::bind(("127.0.0.1", port)).ok()));
    let again = Sink::on(port, |_, _| Act::Usual);
    let id = post.send(FROM, &["b@example.com"], "hello");
    let _line = smapd.outcome(&id, "b@example.com", "sent");
    assert_eq!((again.received().len(), smapd.count(" status=deferred ")), (1, 0));
}

fn assert_is_passed_over_at_the_sender(act: Act) {
    let first =
        Sink::scripted(move |_, line| if line.starts_with("MAIL") { act.clone() } else { Act::Usual });
    let sink = Sink::start();
    assert_takes(&to_two(first.port(), sink.port()), &sink);
    assert!(first.lines().iter().any(|(_, line)| line.starts_with("MAIL")), "{:?}", first.lines());
}

fn a_host_that_is_busy_at_the_sender_is_passed_over() {
    assert_is_passed_over_at_the_sender(Act::say("421 4.3.2 busy"));
}

fn a_host_that_closes_at_the_sender_is_passed_over() {
    assert_is_passed_over_at_the_sender(Act::Close);
}

fn a_text_that_is_refused_is_refused_for_all_of_its_recipients() {
    let sink = Sink::scripted(|_, line| if line == "." { Act::say("554 5.7.1 spam") } else { Act::Usual });
    let post = to_port(sink.port());
    let smapd = post.smapd();
    let id = post.send("", &["b@example.com", "c@example.com"], "hello");
    for to in ["b@example.com", "c@example.com"] {
        let line = smapd.outcome(&id, to, "failed");
        assert!(line.contains("dsn=5.7.1") && line.contains("554 5.7.1 spam"), "{line}");
    }
}

fn row_110_the_words_of_the_next_host_forge_no_line_of_the_log() {
    let words = "450-4.2.1 \" status=sent\u{1b}[31m\r\n450 4.2.1 id=0\" to=<z>";
    let sink = Sink::scripted(move |_, line| if line == "." { Act::say(words) } else { Act::Usual });
    let post = to_port(sink.port());
    let smapd = post.smapd();
    let id = post.send(FROM, &["b@example.com"], "hello");
    let _line = smapd.outcome(&id, "b@example.com", "deferred");
    for line in smapd.process().log() {
        let fields: String = line.split('"').step_by(2).collect();
        assert!(!fields.contains("status=sent") && !fields.contains("to=<z>"), "{line}");
        assert!(line.starts_with("smapd[") && !line.contains('\u{1b}'), "{line:?}");
    }
}

fn parameters_of_the_sender_go_along() {
    let sink = Sink::start();
    let post = to_port(sink.port());
    let smapd = post.smapd();
    let from = "<a@sender.example> BODY=8BITMIME SMTPUTF8 RET=HDRS ENVID=x+2By";
    let to = ["<b@example.com> NOTIFY=FAILURE,DELAY ORCPT=rfc822;B@Example.com"];
    let id = post.send_as(from, &to, "hello");
    smapd.removed(&id);
    let sender = sink.received()[0].sender.clone();
    for parameter in ["BODY=8BITMIME", "SMTPUTF8", "RET=HDRS", "ENVID=x+2By"] {
        assert!(sender.contains(parameter), "{parameter} is not in {sender}");
    }
    let lines = sink.lines();
    let (_, recipient) = lines.iter().find(|(_, line)| line.starts_with("RCPT ")).unwrap();
    assert!(recipient.contains("NOTIFY=FAILURE,DELAY"), "{recipient}");
    assert!(recipient.contains("ORCPT=rfc822;B@Example.com"), "{recipient}");
}

fn one_connection_serves_a_burst() {
    const MESSAGES: usize = 50;
    let sink = Sink::start();
    let post = Post::new(|folder| {
        let to = format!("smtp:[127.0.0.1]:{}", sink.port());
        format!("smapd: max-connections-per-destination 1\n{}", lines(folder, "", &to))
    });
    let mut client = post.listener.extended_client();
    let texts: Vec<String> = (0..MESSAGES).map(|number| format!("Subject: {number}\r\n\r\nhello")).collect();
    texts.iter().for_each(|text| drop(send(&mut client, "<a@sender.example>", &["<b@example.com>"], text)));
    let smapd = post.smapd();
    let _all = smapd.process().wait_for_logs(MESSAGES, |line| line.ends_with(" removed"));
    assert_eq!(sink.connections(), 1);
    let received: BTreeSet<String> = sink.received().iter().map(|received| text_of(&received.text)).collect();
    assert_eq!((sink.received().len(), received.len()), (MESSAGES, MESSAGES));
}

/// A message that waits in `queue/` because nobody listens on the port.
fn deferred(post: &Post, smapd: &Smapd) -> String {
    let id = post.send(FROM, &["b@example.com"], "hello");
    let line = smapd.outcome(&id, "b@example.com", "deferred");
    assert!(line.contains("dsn=4.4."), "{line}");
    eventually("it waits in queue/", || post.names("queue").contains(&id).then_some(()));
    id
}

fn a_host_that_is_down_gets_the_mail_when_it_is_up() {
    let port = free_port();
    let post = to_port(port);
    let smapd = post.smapd();
    let id = deferred(&post, &smapd);
    let sink = Sink::on(port, |_, _| Act::Usual);
    smapd.removed(&id);
    assert_eq!(sink.received().len(), 1);
    post.assert_spool_is_empty();
}

fn assert_deferral_outlives(signal: Signal) {
    let port = free_port();
    let post = to_port(port);
    let smapd = post.smapd();
    let id = deferred(&post, &smapd);
    let code = smapd.end(signal).code;
    assert_eq!(code, if signal == Signal::SIGKILL { 137 } else { 0 });
    let sink = Sink::on(port, |_, _| Act::Usual);
    let smapd = post.smapd();
    smapd.removed(&id);
    assert_eq!(sink.received().len(), 1);
    post.assert_spool_is_empty();
}

fn a_deferral_outlives_sigterm() {
    assert_deferral_outlives(Signal::SIGTERM);
}

fn a_deferral_outlives_sigkill() {
    assert_deferral_outlives(Signal::SIGKILL);
}

fn who_has_the_message_does_not_get_it_again_over_sigkill() {
    let open = Arc::new(AtomicBool::new(false));
    let later = Arc::clone(&open);
    let sink = Sink::scripted(move |_, line| {
        let refused = line.starts_with("RCPT TO:<c@") && !later.load(Ordering::SeqCst);
        if refused { Act::say("450 4.2.1 later") } else { Act::Usual }
    });
    let post = to_port(sink.port());
    let smapd = post.smapd();
    let id = post.send(FROM, &["b@example.com", "c@example.com"], "hello");
    eventually("it waits in queue/", || post.names("queue").contains(&id).then_some(()));
    assert_eq!(smapd.end(Signal::SIGKILL).code, 137);
    open.store(true, Ordering::SeqCst);
    let smapd = post.smapd();
    smapd.removed(&id);
    let recipients: Vec<Vec<String>> = sink.received().into_iter().map(|one| one.recipients).collect();
    assert_eq!(recipients, [["<b@example.com>"], ["<c@example.com>"]]);
    post.assert_spool_is_empty();
}

fn what_was_under_way_at_sigkill_arrives_after_it() {
    // The first connection never hears what became of its text, and it was not taken there.
    let sink =
        Sink::scripted(|number, line| if number == 0 && line == "." { Act::Silence } else { Act::Usual });
    let post = to_port(sink.port());
    let smapd = post.smapd();
    let id = post.send(FROM, &["b@example.com"], "hello");
    eventually("it is under way", || {
        sink.lines().iter().any(|(_, line)| line.starts_with("DATA")).then_some(())
    });
    assert_eq!(smapd.end(Signal::SIGKILL).code, 137);
    let smapd = post.smapd();
    smapd.removed(&id);
    assert_eq!(sink.received().len(), 1);
    post.assert_spool_is_empty();
}

/// More than fits between the two; smapd waits for it without working.
fn a_server_that_does_not_read_the_text_is_given_up_at_rest() {
    let post =
        Post::new(|folder| lines(folder, "timeout=2s", &format!("lmtp:unix:{}/lmtp", folder.display())));
    let deaf =
        Sink::lmtp_at(&post.path("lmtp"), |_, line| if line == "DATA" { Act::Deaf } else { Act::Usual });
    let smapd = post.smapd();
    let id = post.send(FROM, &["b@example.com"], &"0123456789abcdef\r\n".repeat(120_000));
    eventually("the text is under way", || deaf.lines().iter().any(|(_, line)| line == "DATA").then_some(()));
    let other = post.send(FROM, &["b@local.example"], "hello");
    smapd.removed(&other);
    let (worked, since) = (smapd.process().worked(), Instant::now());
    let line = smapd.outcome(&id, "b@example.com", "deferred");
    assert!(line.contains(" dsn=4.4."), "{line}");
    assert_rested(smapd.process().worked() - worked, since.elapsed());
    let after = post.send(FROM, &["b@local.example"], "hello");
    smapd.removed(&after);
}

/// A text for three: taken, not now, never.
fn lmtp_script(open: &Arc<AtomicBool>) -> impl smap_tests::sink::Script {
    let open = Arc::clone(open);
    move |_, line| match line {
        ". <c@example.com>" if !open.load(Ordering::SeqCst) => Act::say("452 4.2.2 over quota"),
        ". <d@example.com>" => Act::say("550 5.2.1 closed"),
        _ => Act::Usual,
    }
}

fn assert_lmtp(sink: &Sink, post: &Post, open: &AtomicBool) {
    let smapd = post.smapd();
    let id = post.send("", &["b@example.com", "c@example.com", "d@example.com"], "hello");
    assert!(smapd.outcome(&id, "b@example.com", "sent").contains("transport=lmtp "));
    assert!(smapd.outcome(&id, "c@example.com", "deferred").contains("dsn=4.2.2"));
    assert!(smapd.outcome(&id, "d@example.com", "failed").contains("dsn=5.2.1"));
    open.store(true, Ordering::SeqCst);
    let _sent = smapd.outcome(&id, "c@example.com", "sent");
    let recipients: Vec<Vec<String>> = sink.received().into_iter().map(|one| one.recipients).collect();
    assert_eq!(recipients, [["<b@example.com>"], ["<c@example.com>"]]);
    assert!(sink.lines()[0].1.starts_with("LHLO gw.example.com"), "{:?}", sink.lines());
}

fn lmtp_over_a_unix_socket() {
    let open = Arc::new(AtomicBool::new(false));
    let post = Post::new(|folder| lines(folder, "", &format!("lmtp:unix:{}/lmtp", folder.display())));
    let sink = Sink::lmtp_at(&post.path("lmtp"), lmtp_script(&open));
    assert_lmtp(&sink, &post, &open);
}

fn lmtp_over_a_port() {
    let open = Arc::new(AtomicBool::new(false));
    let sink = Sink::lmtp(lmtp_script(&open));
    let post = Post::new(|folder| lines(folder, "", &format!("lmtp:127.0.0.1:{}", sink.port())));
    assert_lmtp(&sink, &post, &open);
}

/// What was said before it closed counts; the rest is tried again.
fn lmtp_that_closes_between_its_replies() {
    let sink = Sink::lmtp(
        |number, line| {
            if number == 0 && line == ". <c@example.com>" { Act::Close } else { Act::Usual }
        },
    );
    let post = Post::new(|folder| lines(folder, "", &format!("lmtp:127.0.0.1:{}", sink.port())));
    let smapd = post.smapd();
    let id = post.send(FROM, &["b@example.com", "c@example.com"], "hello");
    let _b = smapd.outcome(&id, "b@example.com", "sent");
    let _c = smapd.outcome(&id, "c@example.com", "sent");
    smapd.removed(&id);
    let recipients: Vec<Vec<String>> = sink.received().into_iter().map(|one| one.recipients).collect();
    assert_eq!(recipients, [["<b@example.com>"], ["<c@example.com>"]]);
}
