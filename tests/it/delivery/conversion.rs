//! Next hosts that lack an extension, and what becomes of mail that needs it.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use smap_tests::needs::Need::{Corpus, Program};
use smap_tests::needs::corpus;
use smap_tests::post::{Post, RELAY_TRACE, Smapd, id_in, without_trace};
use smap_tests::process::run;
use smap_tests::sink::{Act, Received, Sink};
use smap_tests::{programs, tests};

use super::notifications::{assert_fields, notice};
use crate::corpus::{messages, on_the_wire};

tests! {
    text_beyond_ascii_is_encoded_for_a_host_without_8bitmime;
    text_beyond_ascii_is_encoded_for_a_host_that_knows_only_helo;
    text_beyond_ascii_is_encoded_for_lmtp_without_8bitmime;
    text_that_was_not_declared_is_encoded_too;
    lines_that_are_too_long_are_encoded_for_a_host_without_8bitmime;
    the_size_that_is_announced_is_that_of_what_is_sent;
    ascii_goes_anywhere_as_it_is_whatever_the_sender_declared;
    what_cannot_be_encoded_goes_back_with_5_6_3: [Program("python3")];
    headers_beyond_ascii_go_back_with_5_6_9_without_smtputf8;
    headers_that_nobody_declared_pass_a_host_with_8bitmime;
    an_address_beyond_ascii_fails_alone_with_5_6_7;
    a_sender_beyond_ascii_fails_for_all_with_5_6_7;
    a_message_that_is_too_long_is_not_sent_to_any_host;
    the_corpus_says_the_same_when_it_is_encoded: [Corpus, Program("python3")];
}

const FROM: &str = "<a@local.example>";
const EIGHT_BIT: &str = "Subject: x\r\n\r\nGr\u{fc}\u{df}e";

/// A server that announces only these.
fn offering(extensions: &'static str) -> Sink {
    Sink::scripted(move |_, line| hello(line, extensions))
}

fn hello(line: &str, extensions: &str) -> Act {
    if !line.starts_with("EHLO") && !line.starts_with("LHLO") {
        return Act::Usual;
    }
    let lines = extensions.split_terminator(',').map(|extension| format!("250-{extension}\r\n"));
    Act::Say(format!("250-sink.example\r\n{}250 HELP", lines.collect::<String>()))
}

fn post(to: &str) -> Post {
    Post::with_maildirs(&format!(
        "smapd: retry 1s\n\
         smap, smapd: domain far.example {to}\n\
         smap, smapd: domain sender.example discard\n\
         smap, smapd: domain local.example discard"
    ))
}

fn to_sink(sink: &Sink) -> Post {
    post(&format!("smtp:[127.0.0.1]:{}", sink.port()))
}

fn send(post: &Post, from: &str, to: &[&str], body: &str) -> (Smapd, String) {
    let smapd = post.smapd();
    let id = post.send_as(from, to, body);
    (smapd, id)
}

/// What this server is given of a message that passes.
fn passed(sink: &Sink, post: &Post, from: &str, body: &str) -> (Received, String) {
    let (smapd, id) = send(post, from, &["<b@far.example>"], body);
    let _line = smapd.outcome(&id, "b@far.example", "sent");
    smapd.removed(&id);
    let received = sink.received().swap_remove(0);
    let text = without_trace(&received.text, &RELAY_TRACE).1;
    (received, String::from_utf8(text).unwrap())
}

const ENCODED: &str = "Subject: x\r\nMIME-Version: 1.0\r\n\
    Content-Type: text/plain; charset=unknown-8bit\r\n\
    Content-Transfer-Encoding: quoted-printable\r\n\r\nGr=C3=BC=C3=9Fe\r\n";

/// It is, and `MAIL FROM:` says nothing that the server does not know.
fn assert_encoded(sink: &Sink, post: &Post, from: &str) {
    let (received, text) = passed(sink, post, from, EIGHT_BIT);
    assert_eq!(text, ENCODED);
    assert_eq!(received.sender.split(' ').collect::<Vec<_>>(), [FROM]);
}

fn declared() -> String {
    format!("{FROM} BODY=8BITMIME SMTPUTF8")
}

fn text_beyond_ascii_is_encoded_for_a_host_without_8bitmime() {
    let sink = offering("PIPELINING");
    assert_encoded(&sink, &to_sink(&sink), &declared());
}

fn text_beyond_ascii_is_encoded_for_a_host_that_knows_only_helo() {
    let sink = Sink::scripted(|_, line| match line.get(..4) {
        Some("EHLO") => Act::say("502 5.5.1 what?"),
        Some("HELO") => Act::say("250 sink.example"),
        _ => Act::Usual,
    });
    assert_encoded(&sink, &to_sink(&sink), &declared());
}

fn text_beyond_ascii_is_encoded_for_lmtp_without_8bitmime() {
    let sink = Sink::lmtp(|_, line| hello(line, "PIPELINING,ENHANCEDSTATUSCODES"));
    assert_encoded(&sink, &post(&format!("lmtp:127.0.0.1:{}", sink.port())), &declared());
}

fn text_that_was_not_declared_is_encoded_too() {
    let sink = offering("");
    assert_encoded(&sink, &to_sink(&sink), FROM);
}

fn lines_that_are_too_long_are_encoded_for_a_host_without_8bitmime() {
    let sink = offering("PIPELINING");
    let body = format!("Subject: x\r\n\r\n{}", "x".repeat(999));
    let (_, text) = passed(&sink, &to_sink(&sink), FROM, &body);
    assert!(text.contains("Content-Transfer-Encoding: quoted-printable\r\n"), "{text}");
    assert!(text.split("\r\n").all(|line| line.len() <= 76), "{text}");
    assert_eq!(text.replace("=\r\n", "").matches('x').count(), 1000);
}

fn the_size_that_is_announced_is_that_of_what_is_sent() {
    let sink = offering("SIZE 1000000");
    let body = format!("Subject: x\r\n\r\n{}", "\u{fc}\r\n".repeat(50_000));
    let (received, _) = passed(&sink, &to_sink(&sink), FROM, &body);
    let size = received.sender.rsplit("SIZE=").next().unwrap();
    assert_eq!(size.parse::<usize>().unwrap(), received.text.len());
}

fn ascii_goes_anywhere_as_it_is_whatever_the_sender_declared() {
    let sink = offering("");
    let body = "Subject: x\r\nContent-Transfer-Encoding: 8bit\r\n\r\nhello";
    let (received, text) = passed(&sink, &to_sink(&sink), &declared(), body);
    assert_eq!(text, format!("{body}\r\n"));
    assert_eq!(received.sender, FROM);
}

fn assert_fails(sink: &Sink, post: &Post, from: &str, body: &str, dsn: &str) {
    let (smapd, id) = send(post, from, &["<b@far.example>"], body);
    let line = smapd.outcome(&id, "b@far.example", "failed");
    assert!(line.contains(&format!(" dsn={dsn} ")), "{line}");
    let (notification, _) = smapd.notification(&id);
    smapd.removed(&notification);
    let lines = sink.lines();
    assert!(!lines.iter().any(|(_, line)| line.starts_with("MAIL")), "{lines:?}");
}

fn with_maildir(sink: &Sink) -> Post {
    Post::new(|folder| {
        format!(
            "smapd: retry 1s\n\
             smap, smapd: domain far.example smtp:[127.0.0.1]:{}\n\
             smap, smapd: domain local.example maildir:{}/%u/",
            sink.port(),
            folder.join("mail").display()
        )
    })
}

fn what_cannot_be_encoded_goes_back_with_5_6_3() {
    let sink = offering("PIPELINING");
    let post = with_maildir(&sink);
    let body = "MIME-Version: 1.0\r\nContent-Type: multipart/signed; boundary=b\r\n\r\n\
        --b\r\nContent-Transfer-Encoding: 8bit\r\n\r\ngr\u{fc}n\r\n--b\r\n\r\nx\r\n--b--";
    assert_fails(&sink, &post, &declared(), body, "5.6.3");
    let fields = notice(&post, "a");
    assert_fields(&fields, &[("recipient0.Status", "5.6.3"), ("recipient0.Action", "failed")]);
}

fn headers_beyond_ascii_go_back_with_5_6_9_without_smtputf8() {
    let sink = offering("PIPELINING,8BITMIME");
    let post = with_maildir(&sink);
    let in_a_part = "MIME-Version: 1.0\r\nContent-Type: multipart/mixed; boundary=b\r\n\r\n\
        --b\r\nContent-Disposition: attachment; filename=\"gr\u{fc}n\"\r\n\r\nx\r\n--b--";
    for body in ["Subject: gr\u{fc}n\r\n\r\nx", in_a_part] {
        assert_fails(&sink, &post, &declared(), body, "5.6.9");
    }
}

/// It is not what a standard allows, and nothing of SMTPUTF8 either: it goes on as it came.
fn headers_that_nobody_declared_pass_a_host_with_8bitmime() {
    let sink = offering("8BITMIME");
    let body = "Subject: gr\u{fc}n\r\n\r\ngr\u{fc}n\r\n";
    let (received, text) = passed(&sink, &to_sink(&sink), &format!("{FROM} BODY=8BITMIME"), body.trim_end());
    assert_eq!((text.as_str(), received.sender.as_str()), (body, format!("{FROM} BODY=8BITMIME").as_str()));
}

fn an_address_beyond_ascii_fails_alone_with_5_6_7() {
    let sink = offering("PIPELINING,8BITMIME");
    let post = to_sink(&sink);
    let to = ["<j\u{fc}rgen@far.example>", "<b@far.example>"];
    let (smapd, id) = send(&post, &declared(), &to, "Subject: x\r\n\r\nx");
    let line = smapd.outcome(&id, "j\u{fc}rgen@far.example", "failed");
    assert!(line.contains(" dsn=5.6.7 "), "{line}");
    let _line = smapd.outcome(&id, "b@far.example", "sent");
    let received = sink.received();
    assert_eq!(received[0].recipients, ["<b@far.example>"]);
    assert_eq!(received[0].sender, format!("{FROM} BODY=8BITMIME"));
}

fn a_sender_beyond_ascii_fails_for_all_with_5_6_7() {
    let sink = offering("PIPELINING,8BITMIME");
    let post = to_sink(&sink);
    let to = ["<b@far.example>", "<c@far.example>"];
    let (smapd, id) = send(&post, "<j\u{fc}rgen@sender.example> SMTPUTF8", &to, "Subject: x\r\n\r\nx");
    for to in ["b@far.example", "c@far.example"] {
        let line = smapd.outcome(&id, to, "failed");
        assert!(line.contains(" dsn=5.6.7 "), "{line}");
    }
    assert_eq!(sink.received().len(), 0);
}

fn a_message_that_is_too_long_is_not_sent_to_any_host() {
    let (first, second) = (offering("SIZE 1000"), Sink::start());
    let post = post(&format!("smtp:[127.0.0.1]:{},smtp:[127.0.0.1]:{}", first.port(), second.port()));
    assert_fails(&first, &post, FROM, &"x\r\n".repeat(400), "5.3.4");
    assert_eq!(second.connections(), 0);
}

/// Writes what came of each message beside what it was, and has Python compare them.
fn assert_same(post: &Post, pairs: &[(&Path, Vec<u8>)]) {
    let folder = post.path("pairs");
    fs::create_dir(&folder).unwrap();
    let mut python = Command::new(programs::peer("python3"));
    python.arg(programs::script("same_parts.py"));
    for (number, (file, text)) in pairs.iter().enumerate() {
        let name = file.file_name().unwrap().to_string_lossy().into_owned();
        let (before, after) = (folder.join(format!("{number}-{name}")), folder.join(format!("{number}.out")));
        fs::write(&before, on_the_wire(file)).unwrap();
        fs::write(&after, text).unwrap();
        python.arg(before).arg(after);
    }
    let ended = run(&mut python, Stdio::null());
    assert_eq!(ended.code, 0, "{}{:#?}", String::from_utf8_lossy(&ended.output), ended.log);
}

/// Sends the corpus; returns its files with the ids that they got.
fn send_corpus(post: &Post) -> Vec<(PathBuf, String)> {
    let (files, address) = (messages(&corpus()), post.address());
    let mut python = Command::new(programs::peer("python3"));
    python.arg(programs::script("send.py")).arg("--to=b@far.example");
    python.args([address.ip().to_string(), address.port().to_string()]);
    let ended = run(python.args(&files), Stdio::null());
    assert_eq!(ended.code, 0, "{ended:?}");
    let output = String::from_utf8(ended.output).unwrap();
    let ids = output.lines().map(|reply| reply.split_once("Mail accepted ").map(|(_, id)| id.to_owned()));
    files.into_iter().zip(ids).filter_map(|(file, id)| Some((file, id?))).collect()
}

/// Those that a host without 8BITMIME got say the same as they did. Many of the corpus have headers that are not
/// ASCII, and come back.
fn assert_corpus(post: &Post, smapd: &Smapd, sent: &[(PathBuf, String)], texts: Vec<Vec<u8>>) {
    let ids: Vec<&str> = sent.iter().map(|(_, id)| id.as_str()).collect();
    let mut pairs = Vec::new();
    for text in texts {
        let (fields, rest) = without_trace(&text, &RELAY_TRACE);
        let at = ids.iter().position(|id| *id == id_in(&fields[0])).unwrap();
        pairs.push((sent[at].0.as_path(), rest));
    }
    let back = sent.len() - pairs.len();
    assert_eq!(smapd.count(" dsn=5.6.3 "), back);
    let changed = pairs.iter().filter(|(file, text)| on_the_wire(file) != *text).count();
    println!("the corpus: {} messages, {changed} changed, {back} went back", sent.len());
    assert!(changed >= 5 && back < sent.len() / 4, "{changed} changed, {back} went back");
    assert_same(post, &pairs);
}

fn to_far(port: u16) -> Post {
    Post::new(|_| {
        format!(
            "smap: maxerrors 1000\n\
             smap, smapd: domain far.example smtp:[127.0.0.1]:{port}\n\
             smap, smapd: domain sender.example discard"
        )
    })
}

fn the_corpus_says_the_same_when_it_is_encoded() {
    let sink = offering("PIPELINING");
    let post = to_far(sink.port());
    let smapd = post.smapd();
    let sent = send_corpus(&post);
    sent.iter().for_each(|(_, id)| smapd.removed(id));
    let texts = sink.received().into_iter().map(|received| received.text).collect();
    assert_corpus(&post, &smapd, &sent, texts);
}
