//! Next hosts that lie, and what smapd says to them whatever lies in the spool.

use std::fs::{self, File};
use std::os::unix::fs::lchown;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Duration;

use smap_common::clock::Timestamp;
use smap_common::envelope::{Envelope, Origin};
use smap_common::smtp::command::{Mail, Recipient};
use smap_common::spool::{Draft, Incoming, QueueId};
use smap_tests::clock::Clock;
use smap_tests::gateway::SMAP_UID;
use smap_tests::needs::Need::Program;
use smap_tests::needs::is_root;
use smap_tests::post::{Post, RELAY_TRACE, Smapd, without_trace};
use smap_tests::process::peak_of;
use smap_tests::sink::{Act, Sink};
use smap_tests::{eventually, tests};

use crate::delivery::notifications::{self, assert_fields, notice, told};
use crate::delivery::relay::{FROM, lines, to_port};

tests! {
    row_043_a_local_part_that_routes_goes_on_as_it_is_for_those_who_may_relay;
    row_055_to_067_nothing_that_is_sent_has_a_bare_line_end_or_a_nul;
    row_069_dots_come_out_as_they_went_in;
    row_070_long_lines_are_relayed_as_they_are;
    row_107_a_greeting_of_421_waits;
    row_107_a_greeting_of_521_waits;
    row_107_a_greeting_of_554_waits;
    row_107_a_greeting_that_has_no_end_waits;
    row_107_a_greeting_that_drips_waits;
    row_107_no_greeting_waits;
    row_107_a_server_that_closes_at_once_waits;
    row_107_a_server_that_closes_after_its_greeting_waits;
    row_107_a_server_of_another_protocol_waits;
    row_108_a_reply_line_without_end_is_cut;
    row_108_a_reply_of_endless_lines_is_cut;
    row_109_replies_of_strange_form_are_understood_or_wait;
    row_110_the_words_of_a_server_are_only_words: [Program("python3")];
    row_114_a_server_that_speaks_before_it_is_asked_gets_no_text;
    row_114_a_server_that_says_354_to_a_recipient_gets_no_text;
    row_114_a_server_that_says_2yz_to_data_gets_no_text;
    row_114_a_server_that_takes_the_text_before_it_gets_no_text;
    row_115_a_server_that_closes_behind_the_dot_is_asked_again;
    row_115_a_server_that_says_nothing_to_the_dot_is_asked_again;
    row_115_a_reply_is_waited_for_ten_minutes: [Program("cc")];
    row_116_each_recipient_has_his_own_outcome;
    row_116_each_recipient_of_lmtp_has_his_own_outcome;
}

/// A server that does this at that point until it is told to be good: mail for it waits, other mail goes on, and in
/// the end it has the message once. Returns what was said to it.
fn assert_waits(act: Act, at: &'static str, dsn: &str) -> Vec<String> {
    let good = Arc::new(AtomicBool::new(false));
    let now_good = Arc::clone(&good);
    let sink = Sink::scripted(move |_, line| {
        let its_time = if at.is_empty() { line.is_empty() } else { line.starts_with(at) };
        if its_time && !now_good.load(Ordering::SeqCst) { act.clone() } else { Act::Usual }
    });
    let to = format!("smtp:[127.0.0.1]:{}", sink.port());
    let post = Post::new(|folder| lines(folder, "timeout=1s", &to));
    let smapd = post.smapd();
    let id = post.send(FROM, &["b@example.com"], "the text");
    eventually("the server is asked", || (sink.connections() > 0).then_some(()));
    let other = post.send(FROM, &["b@local.example"], "hello");
    smapd.removed(&other);
    let line = smapd.outcome(&id, "b@example.com", "deferred");
    assert!(line.contains(&format!(" dsn={dsn} ")), "{line}");
    let peak = peak_of(smapd.process().pid()).unwrap();
    assert!(peak < 64 << 10, "{peak} KiB");
    let after = post.send(FROM, &["b@local.example"], "hello");
    smapd.removed(&after);
    good.store(true, Ordering::SeqCst);
    smapd.removed(&id);
    assert_eq!(sink.received().len(), 1);
    assert_eq!(post.maildir("b").len(), 2);
    post.assert_spool_is_empty();
    sink.lines().into_iter().map(|(_, line)| line).collect()
}

fn row_107_a_greeting_of_421_waits() {
    assert_waits(Act::say("421 4.3.2 later"), "", "4.3.2");
}

fn row_107_a_greeting_of_521_waits() {
    assert_waits(Act::say("521 5.3.2 never"), "", "4.3.2");
}

fn row_107_a_greeting_of_554_waits() {
    assert_waits(Act::say("554 5.3.2 no service here"), "", "4.3.2");
}

fn row_107_a_greeting_that_has_no_end_waits() {
    assert_waits(Act::Forever(b"220-again\r\n"), "", "4.5.0");
}

fn row_107_a_greeting_that_drips_waits() {
    assert_waits(Act::Drip, "", "4.4.2");
}

fn row_107_no_greeting_waits() {
    assert_waits(Act::Silence, "", "4.4.2");
}

fn row_107_a_server_that_closes_at_once_waits() {
    assert_waits(Act::Close, "", "4.4.2");
}

fn row_107_a_server_that_closes_after_its_greeting_waits() {
    assert_waits(Act::Close, "EHLO", "4.4.2");
}

fn row_107_a_server_of_another_protocol_waits() {
    assert_waits(Act::say("\u{0}HTTP/1.1 400 Bad Request"), "", "4.5.0");
}

fn row_108_a_reply_line_without_end_is_cut() {
    assert_waits(Act::Forever(&[b'2'; 4096]), "MAIL", "4.5.0");
}

fn row_108_a_reply_of_endless_lines_is_cut() {
    assert_waits(Act::Forever(b"250-more\r\n"), "EHLO", "4.5.0");
}

/// What a server says of a recipient, and what becomes of him.
const STRANGE: [(&[u8], &str, &str); 12] = [
    (b"553-\r\n553\r\n", "failed", "5.0.0"),
    (b"553\r\n", "failed", "5.0.0"),
    (b"553 \r\n", "failed", "5.0.0"),
    (b"553 \0\0\r\n", "failed", "5.0.0"),
    (b"553-\0\r\n553-\r\n553 \0x\r\n", "failed", "5.0.0"),
    (b"550 5.7.1\r\n", "failed", "5.7.1"),
    (b"450 5.7.1\r\n", "deferred", "4.0.0"),
    (b"553-one\r\n554 two\r\n", "deferred", "4.5.0"),
    (b"55\r\n", "deferred", "4.5.0"),
    (b"553x\r\n", "deferred", "4.5.0"),
    (b"600 x\r\n", "deferred", "4.5.0"),
    (b"\0\0\0\r\n", "deferred", "4.5.0"),
];

fn row_109_replies_of_strange_form_are_understood_or_wait() {
    let sink = Sink::scripted(|_, line| {
        let number = line.strip_prefix("RCPT TO:<u").and_then(|rest| rest.split_once('@'));
        match number.and_then(|(number, _)| number.parse::<usize>().ok()) {
            Some(number) => Act::raw(STRANGE[number].0),
            // The status is of another class than the reply, and nothing stands behind it.
            None if line.starts_with("RCPT TO:<ok") => Act::raw(b"250 5.7.2\r\n"),
            None => Act::Usual,
        }
    });
    let post = to_port(sink.port());
    let smapd = post.smapd();
    let id = post.send("", &["ok@example.com"], "hello");
    let _line = smapd.outcome(&id, "ok@example.com", "sent");
    for (number, (reply, status, dsn)) in STRANGE.iter().enumerate() {
        let to = format!("u{number}@example.com");
        let id = post.send("", &[&to], "hello");
        let line = smapd.outcome(&id, &to, status);
        let shown = String::from_utf8_lossy(reply);
        assert!(line.contains(&format!(" dsn={dsn} ")), "{shown:?}: {line}");
    }
    assert_eq!(sink.received().len(), 1);
}

/// Everything that a log, a terminal, a header or a program could obey.
const WORDS: &[u8] = b"550-5.1.1 a\rb \x1b[31mred \x07 %n%s ${run{id}} \" status=sent to=<z>\r\n\
    550-5.1.1 \xff\xfe\xc3\x28 \xe2\x80\xae\r\n550 5.1.1 --=_ X-Evil: yes\r\n\r\n";

fn row_110_the_words_of_a_server_are_only_words() {
    let sink = Sink::scripted(|_, line| if line.starts_with("RCPT") { Act::raw(WORDS) } else { Act::Usual });
    let post =
        notifications::post(&format!("smap, smapd: domain far.example smtp:[127.0.0.1]:{}", sink.port()));
    let smapd = post.smapd();
    let id = post.send("a@example.com", &["b@far.example"], "Subject: x\r\n\r\nhello");
    let _line = smapd.outcome(&id, "b@far.example", "failed");
    told(&smapd, &id);
    assert_log_is_ours(&smapd);
    let words = "a?b ?[31mred ? %n%s ${run{id}} \" status=sent to=<z> ???( ??? --=_ X-Evil: yes";
    let fields = notice(&post, "a");
    assert_fields(
        &fields,
        &[
            ("recipient0.Status", "5.1.1"),
            ("recipient0.Diagnostic-Code", &format!("smtp; 550 5.1.1 {words}")),
        ],
    );
    assert!(!fields.keys().any(|name| name.contains("X-Evil")), "{fields:#?}");
    let text = &post.maildir("a")[0];
    assert!(text.iter().all(|octet| matches!(octet, b'\t' | b'\n' | b' '..=b'~')), "{text:?}");
}

/// Nothing forged a line or a field, and no terminal would obey it.
fn assert_log_is_ours(smapd: &Smapd) {
    for line in smapd.process().log() {
        let fields: String = line.split('"').step_by(2).collect();
        assert!(!fields.contains("status=sent to=<z>"), "{line}");
        assert!(line.starts_with("smapd[") && !line.contains(char::is_control), "{line:?}");
    }
}

/// Until it was good it got commands, and nothing of the text.
fn assert_gets_no_text(act: Act, at: &'static str) {
    for line in assert_waits(act, at, "4.5.0") {
        let verbs = ["EHLO ", "MAIL FROM:", "RCPT TO:", "DATA", "RSET", "QUIT"];
        assert!(verbs.iter().any(|verb| line.starts_with(verb)), "{line}");
    }
}

fn row_114_a_server_that_speaks_before_it_is_asked_gets_no_text() {
    assert_gets_no_text(
        Act::raw(b"220 hello\r\n250 well\r\n250 go on\r\n250 yes\r\n354 now\r\n250 taken\r\n"),
        "",
    );
    assert_gets_no_text(Act::raw(b"250 hello\r\n250 go on\r\n250 yes\r\n354 now\r\n250 taken\r\n"), "EHLO");
}

fn row_114_a_server_that_says_354_to_a_recipient_gets_no_text() {
    assert_gets_no_text(Act::say("354 go on"), "RCPT");
}

fn row_114_a_server_that_says_2yz_to_data_gets_no_text() {
    assert_gets_no_text(Act::say("250 2.0.0 taken"), "DATA");
}

fn row_114_a_server_that_takes_the_text_before_it_gets_no_text() {
    assert_gets_no_text(Act::raw(b"354 go on\r\n250 2.0.0 taken\r\n"), "DATA");
}

fn row_115_a_server_that_closes_behind_the_dot_is_asked_again() {
    assert_waits(Act::Close, ".", "4.4.2");
}

fn row_115_a_server_that_says_nothing_to_the_dot_is_asked_again() {
    assert_waits(Act::Silence, ".", "4.4.2");
}

/// One server answers the dot when it may, one never.
fn row_115_a_reply_is_waited_for_ten_minutes() {
    const ALMOST: i64 = 594;
    let (may, texts) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicUsize::new(0)));
    let script = |may: Option<Arc<AtomicBool>>| {
        let texts = Arc::clone(&texts);
        move |_: usize, line: &str| {
            if line != "." {
                return Act::Usual;
            }
            texts.fetch_add(1, Ordering::SeqCst);
            let Some(may) = &may else { return Act::Silence };
            eventually("it may answer", || may.load(Ordering::SeqCst).then_some(()));
            Act::Usual
        }
    };
    let (slow, mute) = (Sink::scripted(script(Some(Arc::clone(&may)))), Sink::scripted(script(None)));
    let post = Post::new(|_| {
        let to = |name: &str, sink: &Sink| {
            format!("smap, smapd: domain {name} smtp:[127.0.0.1]:{}\n", sink.port())
        };
        format!("smapd: wakeup 1s\n{}{}", to("slow.example", &slow), to("mute.example", &mute))
    });
    let clock = Clock::new(post.gateway.folder());
    let smapd = Smapd::start(&mut clock.for_program(post.gateway.program("smapd")));
    let id = post.send(FROM, &["b@slow.example"], "hello");
    let other = post.send(FROM, &["b@mute.example"], "hello");
    eventually("the texts are there", || (texts.load(Ordering::SeqCst) == 2).then_some(()));
    clock.let_pass(ALMOST);
    // It wakes to look into the spool, and finds nobody late.
    std::thread::sleep(Duration::from_millis(1200));
    assert_eq!(smapd.count(" status="), 0, "{:#?}", smapd.process().log());
    may.store(true, Ordering::SeqCst);
    let _line = smapd.outcome(&id, "b@slow.example", "sent");
    clock.let_pass(600);
    let line = smapd.outcome(&other, "b@mute.example", "deferred");
    assert!(line.contains(" dsn=4.4.2 "), "{line}");
    assert_eq!(slow.received().len(), 1);
}

fn row_116_each_recipient_has_his_own_outcome() {
    let open = Arc::new(AtomicBool::new(false));
    let later = Arc::clone(&open);
    let sink = Sink::scripted(move |_, line| match line.strip_prefix("RCPT TO:") {
        Some(rest) if rest.starts_with("<c@") && !later.load(Ordering::SeqCst) => {
            Act::say("450 4.2.1 greylisted")
        }
        Some(rest) if rest.starts_with("<d@") => Act::say("550 5.1.1 no such user"),
        // RFC 5321 section 4.5.3.1.10
        Some(rest) if rest.starts_with("<f@") && !later.load(Ordering::SeqCst) => {
            Act::say("552 5.5.3 too many recipients")
        }
        _ => Act::Usual,
    });
    let post = to_port(sink.port());
    let smapd = post.smapd();
    let to = ["b@example.com", "c@example.com", "d@example.com", "e@example.com", "f@example.com"];
    let id = post.send("", &to, "hello");
    assert!(smapd.outcome(&id, "b@example.com", "sent").contains("dsn=2.0.0"));
    let line = smapd.outcome(&id, "c@example.com", "deferred");
    assert!(line.contains("dsn=4.2.1") && line.contains("450 4.2.1 greylisted"), "{line}");
    let line = smapd.outcome(&id, "d@example.com", "failed");
    assert!(line.contains("dsn=5.1.1") && line.contains("550 5.1.1 no such user"), "{line}");
    let line = smapd.outcome(&id, "f@example.com", "deferred");
    assert!(line.contains("dsn=4.5.3"), "{line}");
    assert_eq!(sink.received()[0].recipients, ["<b@example.com>", "<e@example.com>"]);
    open.store(true, Ordering::SeqCst);
    let _sent = (smapd.outcome(&id, "c@example.com", "sent"), smapd.outcome(&id, "f@example.com", "sent"));
    let received = sink.received();
    assert_eq!(received.len(), 2);
    assert_eq!(received[1].recipients, ["<c@example.com>", "<f@example.com>"]);
    let asked_for_d = sink.lines().iter().filter(|(_, line)| line.starts_with("RCPT TO:<d@")).count();
    assert_eq!(asked_for_d, 1);
}

fn row_116_each_recipient_of_lmtp_has_his_own_outcome() {
    let sink = Sink::lmtp(|_, line| match line {
        ". <c@example.com>" => Act::say("450 4.2.2 over quota"),
        ". <d@example.com>" => Act::say("550 5.2.1 closed"),
        _ => Act::Usual,
    });
    let post = Post::new(|folder| lines(folder, "", &format!("lmtp:127.0.0.1:{}", sink.port())));
    let smapd = post.smapd();
    let id = post.send("", &["b@example.com", "c@example.com", "d@example.com"], "hello");
    assert!(smapd.outcome(&id, "b@example.com", "sent").contains("dsn=2.0.0"));
    assert!(smapd.outcome(&id, "c@example.com", "deferred").contains("dsn=4.2.2"));
    assert!(smapd.outcome(&id, "d@example.com", "failed").contains("dsn=5.2.1"));
    assert_eq!(sink.received()[0].recipients, ["<b@example.com>"]);
}

/// What a message looks like on the wire once it has gone through both programs, without our trace.
fn relayed(to: &[&str], body: &str) -> (Sink, Vec<u8>) {
    let sink = Sink::start();
    let post = to_port(sink.port());
    let smapd = post.smapd();
    let id = post.send(FROM, to, body);
    smapd.removed(&id);
    let wire = without_trace(&sink.received()[0].wire, &RELAY_TRACE).1;
    (sink, wire)
}

fn row_043_a_local_part_that_routes_goes_on_as_it_is_for_those_who_may_relay() {
    let to =
        ["u%victim.example@example.com", "victim.example!u@example.com", "\"u@victim.example\"@example.com"];
    let sink = Sink::start();
    let hop = format!("smtp:[127.0.0.1]:{}", sink.port());
    let post = Post::new(|folder| lines(folder, "", &hop) + "\nsmap: permit-relay 127.0.0.1");
    let smapd = post.smapd();
    let id = post.send(FROM, &to, "hello");
    smapd.removed(&id);
    assert_eq!(sink.received()[0].recipients, to.map(|to| format!("<{to}>")));
}

fn row_069_dots_come_out_as_they_went_in() {
    let dots = "..\r\n...\r\n.. \r\n..\t\r\n..x\r\n.\t.";
    let (_, wire) = relayed(&["b@example.com"], &format!("Subject: x\r\n\r\n{dots}"));
    // The last line began with one dot too few, which is taken off.
    assert_eq!(
        String::from_utf8(wire).unwrap(),
        "Subject: x\r\n\r\n..\r\n...\r\n.. \r\n..\t\r\n..x\r\n\t.\r\n.\r\n"
    );
}

fn row_070_long_lines_are_relayed_as_they_are() {
    let lines: String = [998, 999, 1000, 1001, 200_000].map(|long| "x".repeat(long) + "\r\n").concat();
    let (_, wire) = relayed(&["b@example.com"], &lines);
    assert!(wire == format!("{lines}\r\n.\r\n").into_bytes(), "{}", wire.len());
}

/// Bodies that smap would never have taken.
const HOSTILE: [&[u8]; 17] = [
    b"hello\n.\nMAIL FROM:<evil@sender.example>\r\n",
    b"hello\n.\r\nMAIL FROM:<evil@sender.example>\r\n",
    b"hello\r.\rMAIL FROM:<evil@sender.example>\r\n",
    b"hello\r.\r\nMAIL FROM:<evil@sender.example>\r\n",
    b"hello\r\n.\nMAIL FROM:<evil@sender.example>\r\n",
    b"hello\r\n.\rMAIL FROM:<evil@sender.example>\r\n",
    b"hello\0\r\n.\r\nMAIL FROM:<evil@sender.example>\r\n",
    b"hello\r\n\0.\r\nMAIL FROM:<evil@sender.example>\r\n",
    b"hello\r\0\n.\r\nMAIL FROM:<evil@sender.example>\r\n",
    b"hello\r\n.\0\r\nMAIL FROM:<evil@sender.example>\r\n",
    b"hello\r\n.\r\0\nMAIL FROM:<evil@sender.example>\r\n",
    b"hello\r\n.\r\n\0MAIL FROM:<evil@sender.example>\r\n",
    b"hello\r\n.\r\r\nMAIL FROM:<evil@sender.example>\r\n",
    b"hello\r\r\n.\r\r\nMAIL FROM:<evil@sender.example>\r\n",
    b"hello\n.\rMAIL FROM:<evil@sender.example>\r.\n",
    b".",
    b"no end of a line\r",
];

/// A message that a smap might leave that was taken over: whole, and of whatever octets.
fn put(post: &Post, body: &[u8]) -> String {
    let id = QueueId::generate().unwrap();
    let envelope = Envelope {
        id,
        arrived: Timestamp::now(),
        origin: Origin::default(),
        mail: Mail::parse(b"<a@sender.example>").unwrap(),
        recipients: vec![Recipient::parse(b"<b@example.com>").unwrap()],
    };
    // Made elsewhere, so that smapd finds it as smap's own.
    let folder = Incoming::new(File::open(post.gateway.folder()).unwrap().into());
    let mut draft = Draft::begin(&folder, &envelope).unwrap();
    draft.write(body).unwrap();
    let _committed = draft.commit().unwrap();
    let path = post.path(id.as_str());
    if is_root() {
        lchown(&path, Some(SMAP_UID), Some(SMAP_UID)).unwrap();
    }
    fs::rename(path, post.path("spool/incoming").join(id.as_str())).unwrap();
    id.to_string()
}

fn row_055_to_067_nothing_that_is_sent_has_a_bare_line_end_or_a_nul() {
    let sink = Sink::start();
    let post = to_port(sink.port());
    let smapd = post.smapd();
    for body in HOSTILE {
        let (before, id) = (sink.received().len(), put(&post, body));
        smapd.removed(&id);
        let received = sink.received();
        let shown = String::from_utf8_lossy(body);
        assert_eq!(received.len(), before + 1, "{shown:?}");
        assert_ends_once(&received[before].wire);
    }
    let commands = sink.lines().into_iter().filter(|(_, line)| line.contains("evil")).count();
    assert_eq!(commands, 0, "{:?}", sink.lines());
}

/// What anybody takes for the end of a text stands at its end, and nowhere else.
fn assert_ends_once(wire: &[u8]) {
    let text = String::from_utf8(wire.to_owned()).unwrap();
    assert!(!text.contains('\0') && text.ends_with("\r\n.\r\n"), "{text:?}");
    let lines: Vec<&str> = text.split("\r\n").collect();
    assert!(lines.iter().all(|line| !line.contains(['\r', '\n'])), "{text:?}");
    assert_eq!(lines.iter().filter(|line| **line == ".").count(), 1, "{text:?}");
}
