//! Real mail and real clients, through both programs, into mailboxes and to the next host; and names that are no
//! mailbox's.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::net::{SocketAddr, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};

use smap_tests::gateway::free_port;
use smap_tests::needs::Need::{Corpus, Program};
use smap_tests::needs::{corpus, is_root};
use smap_tests::post::{MAILBOX_TRACE, Post, RELAY_TRACE, id_in, maildir, read_by_python, without_trace};
use smap_tests::process::{Process, run};
use smap_tests::sink::Sink;
use smap_tests::{eventually, programs, tests};

use crate::clients::{self, Sender};
use crate::corpus::{messages, on_the_wire, wanted};

tests! {
    the_corpus_by_swaks_arrives_as_it_was_sent: [Corpus, Program("swaks"), Program("python3")];
    the_corpus_by_smtplib_arrives_as_it_was_sent: [Corpus, Program("python3")];
    the_corpus_at_smtp_sink_is_what_was_sent: [Corpus, Program("python3"), Program("smtp-sink")];
    swaks_to_a_maildir: [Program("swaks")];
    curl_to_a_maildir: [Program("curl")];
    msmtp_to_a_maildir: [Program("msmtp")];
    s_nail_to_a_maildir: [Program("s-nail")];
    smtplib_to_a_maildir: [Program("python3")];
    each_of_five_hundred_messages_of_smtp_source_arrives_once: [Program("smtp-source")];
    the_trace_says_from_whom_for_whom_and_the_way;
    each_recipient_has_a_mailbox_and_a_copy;
    row_047_a_name_that_leaves_its_folder_is_no_mailbox;
    a_maildir_whose_folder_is_missing_waits_for_it;
    a_symbolic_link_is_no_mailbox;
    a_locked_mbox_does_not_delay_a_maildir;
    error_fails_with_its_own_words;
    discard_is_delivered_nowhere;
    local_is_routed_again_at_our_own_name;
    our_own_name_without_a_transport_waits_and_the_log_has_the_line;
}

const FROM: &str = "a@sender.example";
/// One of each kind; they go in together.
const EVERYWHERE: [&str; 3] = ["m@maildir.example", "m@mbox.example", "m@relay.example"];

/// A maildir, an mbox and another host.
fn everywhere(sink: &Sink) -> Post {
    Post::new(|folder| {
        let mail = folder.join("mail").display().to_string();
        format!(
            "smap: maxerrors 1000\n\
             smap, smapd: domain maildir.example maildir:{mail}/%u/\n\
             smap, smapd: domain mbox.example mbox:{mail}/%u.mbox\n\
             smap, smapd: domain relay.example smtp:[127.0.0.1]:{}\n",
            sink.port()
        )
    })
}

fn the_corpus_by_smtplib_arrives_as_it_was_sent() {
    assert_corpus_arrives(|address, files, _| {
        let mut python = Command::new(programs::peer("python3"));
        python.arg(programs::script("send.py")).arg(format!("--to={}", EVERYWHERE.join(",")));
        python.args([address.ip().to_string(), address.port().to_string()]);
        let ended = run(python.args(files), Stdio::null());
        assert_eq!(ended.code, 0, "{ended:?}");
        String::from_utf8(ended.output).unwrap().lines().map(str::to_owned).collect()
    });
}

fn the_corpus_by_swaks_arrives_as_it_was_sent() {
    assert_corpus_arrives(|address, files, scratch| {
        let (next, replies) = (AtomicUsize::new(0), Mutex::new(BTreeMap::new()));
        std::thread::scope(|scope| {
            for _ in 0..3 {
                scope.spawn(|| {
                    while let Some((number, file)) = take(&next, files) {
                        let reply = swaks(address, file, &scratch.join(format!("swaks{number}")));
                        replies.lock().unwrap().insert(number, reply);
                    }
                });
            }
        });
        replies.into_inner().unwrap().into_values().collect()
    });
}

/// What Postfix's sink puts before a message that it writes down, and then ours.
const SINK_TRACE: [&str; 7] =
    ["X-Client-Addr", "X-Client-Proto", "X-Helo-Args", "X-Mail-Args", "X-Rcpt-Args", "Received", "Received"];

fn the_corpus_at_smtp_sink_is_what_was_sent() {
    let port = free_port();
    let post = Post::new(|_| {
        format!("smap: maxerrors 1000\nsmap, smapd: domain relay.example smtp:[127.0.0.1]:{port}\n")
    });
    let written = post.path("written");
    fs::create_dir(&written).unwrap();
    let mut sink = Command::new(programs::peer("smtp-sink"));
    if is_root() {
        sink.args(["-u", "root"]);
    }
    sink.arg("-d").arg(written.join("%M.")).args([&format!("127.0.0.1:{port}"), "100"]);
    let _sink = Process::start(&mut sink);
    eventually("smtp-sink listens", || TcpStream::connect(("127.0.0.1", port)).ok());
    let smapd = post.smapd();
    let sent = sent_by_smtplib(&post, "m@relay.example");
    sent.keys().for_each(|id| smapd.removed(id));
    let arrived: Vec<Vec<u8>> = fs::read_dir(&written)
        .unwrap()
        .map(|entry| fs::read(entry.unwrap().path()).unwrap())
        .filter(|message| !message.is_empty())
        .map(|message| message.strip_suffix(b"\n").map(<[u8]>::to_vec).unwrap_or(message))
        .collect();
    assert_same("smtp-sink", &sent, &arrived, &SINK_TRACE, local);
}

/// What of the corpus was accepted, by its id.
fn sent_by_smtplib(post: &Post, to: &str) -> BTreeMap<String, Vec<u8>> {
    let files = messages(&corpus());
    let mut python = Command::new(programs::peer("python3"));
    python.arg(programs::script("send.py")).arg(format!("--to={to}"));
    python.args([post.address().ip().to_string(), post.address().port().to_string()]);
    let ended = run(python.args(&files), Stdio::null());
    assert_eq!(ended.code, 0, "{ended:?}");
    let replies = String::from_utf8(ended.output).unwrap();
    assert_eq!(replies.lines().count(), files.len());
    let id = |reply: &str| reply.split_once("Mail accepted ").map(|(_, id)| id.to_owned());
    files
        .iter()
        .zip(replies.lines())
        .filter_map(|(file, reply)| Some((id(reply)?, on_the_wire(file))))
        .collect()
}

fn take<'a>(next: &AtomicUsize, files: &'a [PathBuf]) -> Option<(usize, &'a PathBuf)> {
    let number = next.fetch_add(1, Ordering::SeqCst);
    files.get(number).map(|file| (number, file))
}

/// What it was replied to the text.
fn swaks(address: SocketAddr, file: &Path, scratch: &Path) -> String {
    let mut text = on_the_wire(file).split_inclusive(|&octet| octet == b'\n').fold(Vec::new(), stuffed);
    text.extend_from_slice(b".");
    fs::write(scratch, text).unwrap();
    let mut swaks = Command::new(programs::peer("swaks"));
    swaks.args(["--server", &address.ip().to_string(), "--port", &address.port().to_string()]);
    swaks.args(["--from", FROM, "--to", &EVERYWHERE.join(","), "--helo", "client.example"]);
    // The text is to be sent as it is, so the dots and the end are ours.
    swaks.args(["--no-data-fixup", "--data"]).arg(format!("@{}", scratch.display()));
    let ended = run(&mut swaks, Stdio::null());
    let said = String::from_utf8_lossy(&ended.output).into_owned();
    // `<-` and `<**` begin what the server said; the last but the goodbye is about the text.
    let mut replies = said.lines().filter_map(|line| {
        line.strip_prefix("<-  ")
            .or_else(|| line.strip_prefix("<** "))
            .filter(|reply| !reply.starts_with("221"))
    });
    let reply = replies.next_back().unwrap_or_else(|| panic!("{}: {ended:?}", file.display())).to_owned();
    assert_eq!(ended.code == 0, reply.starts_with("250"), "{}: {ended:?}", file.display());
    reply
}

fn stuffed(mut text: Vec<u8>, line: &[u8]) -> Vec<u8> {
    let begins = text.is_empty() || text.ends_with(b"\r\n");
    if begins && line.starts_with(b".") {
        text.push(b'.');
    }
    text.extend_from_slice(line);
    text
}

/// What is sent is in the maildir, in the mbox and at the next host, but for what smap must refuse.
fn assert_corpus_arrives(send: impl Fn(SocketAddr, &[PathBuf], &Path) -> Vec<String>) {
    let sink = Sink::start();
    let post = everywhere(&sink);
    let smapd = post.smapd();
    let files = messages(&corpus());
    let replies = send(post.address(), &files, post.gateway.folder());
    assert_eq!(replies.len(), files.len());
    let mut sent = BTreeMap::new();
    for (file, reply) in files.iter().zip(&replies) {
        let text = on_the_wire(file);
        assert!(reply.starts_with(wanted(&text)), "{}: {reply}", file.display());
        if let Some((_, id)) = reply.split_once("Mail accepted ") {
            sent.insert(id.to_owned(), text);
        }
    }
    println!("the corpus: {} messages, {} refused", files.len(), files.len() - sent.len());
    sent.keys().for_each(|id| smapd.removed(id));
    let mail = post.path("mail");
    assert_same("maildir", &sent, &read_by_python("maildir", &mail.join("m")), &MAILBOX_TRACE, local);
    assert_same("mbox", &sent, &read_by_python("mbox", &mail.join("m.mbox")), &MAILBOX_TRACE, local);
    let relayed: Vec<Vec<u8>> = sink.received().into_iter().map(|received| received.text).collect();
    assert_same("relay", &sent, &relayed, &RELAY_TRACE, <[u8]>::to_vec);
    // What was refused left beginnings of files there, for a minute.
    assert!(post.gateway.incoming().is_empty());
    assert!(post.names("queue").is_empty() && post.names("bad").is_empty());
}

/// As programs of this system have it.
fn local(text: &[u8]) -> Vec<u8> {
    text.split_inclusive(|&octet| octet == b'\n')
        .flat_map(|line| line.strip_suffix(b"\r\n").map_or(line.to_vec(), |line| [line, b"\n"].concat()))
        .collect()
}

fn assert_same(
    place: &str,
    sent: &BTreeMap<String, Vec<u8>>,
    arrived: &[Vec<u8>],
    trace: &[&str],
    form: impl Fn(&[u8]) -> Vec<u8>,
) {
    let mut missing = sent.clone();
    for message in arrived {
        let (fields, text) = without_trace(message, trace);
        let id = id_in(fields.last().unwrap());
        let wanted =
            missing.remove(&id).unwrap_or_else(|| panic!("{place}: {id} came twice, or from nowhere"));
        let wanted = form(&wanted);
        let shown =
            |text: &[u8]| String::from_utf8_lossy(&text[text.len().saturating_sub(300)..]).into_owned();
        assert!(text == wanted, "{place}: {id} is {:?}, not {:?}", shown(&text), shown(&wanted));
    }
    assert!(missing.is_empty(), "{place}: did not arrive: {:?}", missing.keys());
}

/// What a client sends, in a file, is in the Maildir.
fn assert_arrives(send: Sender) {
    let post = Post::with_maildirs("");
    let smapd = post.smapd();
    let message = clients::message();
    let ended = send(post.address(), clients::written(&post.gateway, &message));
    assert_eq!(ended.code, 0, "{ended:?}");
    let _removed = smapd.process().wait_for_log(|line| line.ends_with(" removed"));
    let arrived = post.maildir("b");
    assert_eq!(arrived.len(), 1);
    let (_, text) = without_trace(&arrived[0], &MAILBOX_TRACE);
    assert_eq!(String::from_utf8_lossy(&text), String::from_utf8_lossy(&local(&message)));
    post.assert_spool_is_empty();
}

fn swaks_to_a_maildir() {
    assert_arrives(clients::swaks_command);
}

fn curl_to_a_maildir() {
    assert_arrives(clients::curl_command);
}

fn msmtp_to_a_maildir() {
    assert_arrives(clients::msmtp_command);
}

fn smtplib_to_a_maildir() {
    assert_arrives(clients::smtplib_command);
}

fn s_nail_to_a_maildir() {
    let post = Post::with_maildirs("");
    let smapd = post.smapd();
    let text = clients::written(&post.gateway, clients::TEXT.as_bytes());
    let ended = clients::s_nail_command(post.address(), text);
    assert_eq!(ended.code, 0, "{ended:?}");
    let _removed = smapd.process().wait_for_log(|line| line.ends_with(" removed"));
    let arrived = String::from_utf8(post.maildir("b").pop().expect("it has arrived")).unwrap();
    let (fields, body) = arrived.split_once("\n\n").expect("fields, and a text");
    assert!(fields.contains("\nSubject: Greetings\n"), "{fields}");
    assert_eq!(body, clients::TEXT);
}

fn each_of_five_hundred_messages_of_smtp_source_arrives_once() {
    const MESSAGES: usize = 500;
    let post = Post::new(|folder| {
        let all = folder.join("mail/all");
        format!("smap: max-sessions-per-host 100\nsmap, smapd: domain example.com maildir:{}/", all.display())
    });
    let smapd = post.smapd();
    let mut source = Command::new(programs::peer("smtp-source"));
    source.args(["-s", "20", "-m", &MESSAGES.to_string(), "-l", "5000", "-N"]);
    source.args(["-f", FROM, "-t", "b@example.com", &format!("inet:{}", post.address())]);
    let ended = run(&mut source, Stdio::null());
    assert!(ended.code == 0 && ended.log.is_empty(), "{ended:?}");
    let _all = smapd.process().wait_for_logs(MESSAGES, |line| line.ends_with(" removed"));
    let arrived = maildir(&post.path("mail/all"));
    let recipients: BTreeSet<String> =
        arrived.iter().map(|message| without_trace(message, &MAILBOX_TRACE).0.swap_remove(1)).collect();
    assert_eq!((arrived.len(), recipients.len()), (MESSAGES, MESSAGES));
    assert!(arrived.iter().all(|message| message.len() > 5000));
    post.assert_spool_is_empty();
}

fn the_trace_says_from_whom_for_whom_and_the_way() {
    let sink = Sink::start();
    let post = everywhere(&sink);
    let smapd = post.smapd();
    let id = post.send(FROM, &["m@maildir.example"], "Subject: x\r\n\r\nhello");
    let null = post.send("", &["m@relay.example"], "Subject: x\r\n\r\nhello");
    smapd.removed(&id);
    smapd.removed(&null);
    let (fields, text) = without_trace(&post.maildir("m")[0], &MAILBOX_TRACE);
    assert_eq!(fields[..2], ["Return-Path: <a@sender.example>", "Delivered-To: m@maildir.example"]);
    let received = fields[2].split_whitespace().collect::<Vec<_>>().join(" ");
    let wanted = format!(
        "Received: from client.example (unknown [127.0.0.1]) by gw.example.com (smap) with ESMTP id {id} for \
         <m@maildir.example>; "
    );
    assert!(received.starts_with(&wanted), "{received}");
    assert_eq!(text, b"Subject: x\n\nhello\n");
    let relayed = &sink.received()[0];
    assert!(relayed.sender.starts_with("<>"), "{relayed:?}");
    assert_eq!(id_in(&without_trace(&relayed.text, &RELAY_TRACE).0[0]), null);
}

fn each_recipient_has_a_mailbox_and_a_copy() {
    let post = Post::with_maildirs("");
    let smapd = post.smapd();
    let id = post.send(FROM, &["b@example.com", "c@example.com", "\"d e\"@example.com"], "hello");
    smapd.removed(&id);
    for user in ["b", "c", "d e"] {
        let arrived = post.maildir(user);
        assert_eq!(arrived.len(), 1, "{user}");
        let (fields, text) = without_trace(&arrived[0], &MAILBOX_TRACE);
        assert!(fields[1].contains(user) && !fields[2].contains(" for <"), "{fields:?}");
        assert_eq!(text, b"hello\n");
    }
    assert_eq!(fs::read_dir(post.path("mail")).unwrap().count(), 3);
}

fn row_047_a_name_that_leaves_its_folder_is_no_mailbox() {
    let post = Post::new(|folder| {
        let mail = folder.join("mail").display().to_string();
        format!(
            "smap, smapd: domain maildir.example maildir:{mail}/%u/\n\
             smap, smapd: domain mbox.example mbox:{mail}/%u\n\
             smap, smapd: domain pipe.example pipe:/usr/bin/touch %u\n\
             smap, smapd: domain path.example pipe:/usr/bin/touch {mail}/%u"
        )
    });
    let smapd = post.smapd();
    for domain in ["maildir.example", "mbox.example", "path.example"] {
        for user in ["\"../../escaped\"", "-x", "\".\"", "\"..\"", "\".x\"", "\"a/../../escaped\""] {
            let to = format!("{user}@{domain}");
            let id = post.send_as("<>", &[format!("<{to}>")], "hello");
            let line = smapd.process().wait_for_log(|line| line.contains(&format!("]: id={id} to=")));
            assert!(
                line.contains(" dsn=5.1.3 status=failed ") && line.contains("no mailbox"),
                "{to}: {line}"
            );
        }
    }
    let id = post.send("", &["-x@pipe.example"], "hello");
    let line = smapd.process().wait_for_log(|line| line.contains(&format!("]: id={id} to=")));
    assert!(line.contains(" status=failed "), "{line}");
    assert_eq!(fs::read_dir(post.path("mail")).unwrap().count(), 0);
    for place in ["escaped", "../escaped"] {
        assert!(!post.path(place).exists(), "{place}");
    }
}

fn a_maildir_whose_folder_is_missing_waits_for_it() {
    let post = Post::new(|folder| {
        let mail = folder.join("mail/later");
        format!("smapd: retry 1s\nsmap, smapd: domain example.com maildir:{}/%u/", mail.display())
    });
    let smapd = post.smapd();
    let id = post.send(FROM, &["b@example.com"], "hello");
    let line = smapd.outcome(&id, "b@example.com", "deferred");
    assert!(line.contains("later"), "{line}");
    smap_tests::post::folder_of_smapd(&post.path("mail/later"));
    smapd.removed(&id);
    assert_eq!(maildir(&post.path("mail/later/b")).len(), 1);
}

fn a_symbolic_link_is_no_mailbox() {
    let post = Post::new(|folder| {
        let mail = folder.join("mail").display().to_string();
        format!(
            "smap, smapd: domain maildir.example maildir:{mail}/%u/\n\
             smap, smapd: domain mbox.example mbox:{mail}/%u"
        )
    });
    smap_tests::post::folder_of_smapd(&post.path("elsewhere"));
    std::os::unix::fs::symlink(post.path("elsewhere"), post.path("mail/b")).unwrap();
    let smapd = post.smapd();
    for to in ["b@maildir.example", "b@mbox.example"] {
        let id = post.send(FROM, &[to], "hello");
        let line = smapd.outcome(&id, to, "deferred");
        assert!(line.contains("link"), "{line}");
    }
    assert_eq!(fs::read_dir(post.path("elsewhere")).unwrap().count(), 0);
}

fn error_fails_with_its_own_words() {
    let post = Post::new(|_| {
        "smap, smapd: domain gone.example error:5.1.6:551 Gone to example.net\n\
         smap, smapd: domain later.example error:4.3.2:450 Come back later"
            .to_owned()
    });
    let smapd = post.smapd();
    let id = post.send("", &["b@gone.example"], "hello");
    let line = smapd.outcome(&id, "b@gone.example", "failed");
    assert!(line.contains("transport=error ") && line.contains("dsn=5.1.6"), "{line}");
    assert!(line.contains("reply=\"551 5.1.6 Gone to example.net\""), "{line}");
    let id = post.send("", &["b@later.example"], "hello");
    let line = smapd.outcome(&id, "b@later.example", "deferred");
    assert!(line.contains("reply=\"450 4.3.2 Come back later\""), "{line}");
}

fn discard_is_delivered_nowhere() {
    let post = Post::new(|_| String::new());
    let smapd = post.smapd();
    let id = post.send(FROM, &["b@example.com"], "hello");
    let line = smapd.outcome(&id, "b@example.com", "sent");
    assert!(line.contains("transport=discard "), "{line}");
    smapd.removed(&id);
    post.assert_spool_is_empty();
}

fn local_is_routed_again_at_our_own_name() {
    let post = Post::new(|folder| {
        let mail = folder.join("mail");
        format!(
            "smap, smapd: domain example.com local:joe\n\
             smap, smapd: domain gw.example.com maildir:{}/%u/",
            mail.display()
        )
    });
    let smapd = post.smapd();
    let id = post.send(FROM, &["b@example.com"], "hello");
    smapd.removed(&id);
    assert_eq!(post.maildir("joe").len(), 1);
}

fn our_own_name_without_a_transport_waits_and_the_log_has_the_line() {
    let post = Post::new(|_| "smapd: retry 1s".to_owned());
    let smapd = post.smapd();
    let id = post.send(FROM, &["root@gw.example.com"], "hello");
    let line = smapd.outcome(&id, "root@gw.example.com", "deferred");
    let add = "smap, smapd: domain gw.example.com ";
    assert!(line.contains(add), "{line}");
    let mail = post.path("mail");
    post.gateway.write_table(&format!("smapd: retry 1s\n{add}maildir:{}/%u/", mail.display()));
    drop(smapd);
    post.smapd().removed(&id);
    assert_eq!(post.maildir("root").len(), 1);
    eventually("nothing is left", || post.names("queue").is_empty().then_some(()));
}

/// However many wait for it.
fn a_locked_mbox_does_not_delay_a_maildir() {
    const MESSAGES: usize = 10;
    let sink = Sink::start();
    let post = everywhere(&sink);
    let lock = post.path("mail/m.mbox.lock");
    fs::write(&lock, "").unwrap();
    let smapd = post.smapd();
    let waiting: Vec<String> = (0..MESSAGES).map(|_| post.send(FROM, &["m@mbox.example"], "hello")).collect();
    let id = post.send(FROM, &["m@maildir.example"], "hello");
    smapd.removed(&id);
    assert_eq!(smapd.count(" transport=mbox "), 0);
    fs::remove_file(&lock).unwrap();
    waiting.iter().for_each(|id| smapd.removed(id));
}
