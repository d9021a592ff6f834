//! TLS with the next host: where it is used, what is thought of certificates, and what the log says of it. Servers and
//! others that lie: `hostile/tls.rs`.

use std::fs;
use std::os::unix::fs::chown;
use std::path::Path;
use std::process::Stdio;
use std::sync::Arc;

use nix::sys::signal::Signal;
use rustls::ServerConfig;
use smap_tests::certificates::{Authority, Identity};
use smap_tests::eventually;
use smap_tests::gateway::{Gateway, chmod};
use smap_tests::needs::Need::Root;
use smap_tests::post::{Post, RELAY_TRACE, Smapd, send, without_trace};
use smap_tests::process::run;
use smap_tests::sink::{Act, Sink};
use smap_tests::tests;

use super::relay::{FROM, lines};

tests! {
    mail_is_encrypted_where_it_is_offered;
    nothing_is_encrypted_where_it_is_off;
    who_must_prove_who_he_is_does_it_by_name_or_by_address;
    tls_1_2_will_do;
    without_a_known_authority_nothing_is_verified_and_nothing_proved;
    only_a_certificate_that_must_prove_something_keeps_mail_back;
    a_host_is_told_by_which_name_we_came_and_no_address;
    our_certificate_is_shown_to_who_asks_for_it;
    who_shuts_us_out_gets_it_in_the_clear_unless_it_must_be_encrypted;
    what_hinders_a_handshake_hinders_no_mail_where_nobody_insists;
    a_refusal_is_put_up_with_where_nobody_insists;
    a_megabyte_arrives_as_it_was;
    many_messages_go_over_one_encrypted_connection;
    the_end_of_an_encrypted_connection_is_announced;
    a_renewed_authority_counts_from_a_sighup_on;
    files_that_cannot_be_used_keep_smapd_from_its_start;
    a_key_that_only_root_can_read_is_read_at_the_start: [Root];
}

/// Everything for example.com to this host of `sink`, with the authority of `ca.pem` in its folder.
pub(crate) fn post_to(authority: &Authority, sink: &Sink, host: &str, options: &str) -> Post {
    post_with(authority, "", &format!("smtp:[{host}]:{}", sink.port()), options)
}

/// The same by whatever way, with more lines.
pub(crate) fn post_with(authority: &Authority, more: &str, to: &str, options: &str) -> Post {
    Post::new(|folder| {
        write(&folder.join("ca.pem"), &authority.pem());
        let folder_name = folder.display();
        let more = more.replace("FOLDER", &folder_name.to_string());
        format!("smapd: cacert {folder_name}/ca.pem\n{more}\n{}", lines(folder, options, to))
    })
}

fn write(path: &Path, text: &str) {
    fs::write(path, text).unwrap();
    chmod(path, 0o644);
}

/// A key, readable for smapd alone.
fn write_key(path: &Path, text: &str) {
    write(path, text);
    chmod(path, 0o600);
    if smap_tests::needs::is_root() {
        let uid = smap_tests::gateway::SMAPD_UID;
        chown(path, Some(uid), Some(uid)).unwrap();
    }
}

fn server(config: Arc<ServerConfig>) -> Sink {
    Sink::encrypted(config, |_, _| Act::Usual)
}

/// Sends a message that arrives; returns the line of the log.
fn sent(post: &Post, smapd: &Smapd) -> String {
    let id = post.send(FROM, &["b@example.com"], "hello");
    let line = smapd.outcome(&id, "b@example.com", "sent");
    smapd.removed(&id);
    line
}

fn said(sink: &Sink) -> Vec<String> {
    let verb = |(_, line): (usize, String)| line.split([' ', ':']).next().unwrap().to_owned();
    sink.lines().into_iter().map(verb).collect()
}

fn mail_is_encrypted_where_it_is_offered() {
    let authority = Authority::new();
    let sink = server(authority.issue(&["localhost"]).server());
    let post = post_to(&authority, &sink, "localhost", "");
    let smapd = post.smapd();
    let line = sent(&post, &smapd);
    let relay = format!(" relay=localhost[127.0.0.1]:{} ", sink.port());
    assert!(
        line.contains(&format!("{relay}tls=TLSv1.3 cipher=TLS_AES_")) && line.contains(" verify=OK delay="),
        "{line}"
    );
    let verbs = ["EHLO", "STARTTLS", "EHLO", "MAIL FROM", "RCPT TO", "DATA"]
        .map(|verb| verb.split(' ').next().unwrap());
    assert_eq!(said(&sink)[..6], verbs);
    // What was offered behind the handshake is used.
    assert!(sink.received()[0].text.ends_with(b"hello\r\n"));
    assert_eq!(sink.handshakes().len(), 1);
}

fn nothing_is_encrypted_where_it_is_off() {
    let authority = Authority::new();
    let sink = server(authority.issue(&["localhost"]).server());
    let post = post_to(&authority, &sink, "localhost", "tls=off");
    let line = sent(&post, &post.smapd());
    assert!(!line.contains("tls=") && !line.contains("verify="), "{line}");
    assert!(!said(&sink).contains(&"STARTTLS".to_owned()));
}

fn who_must_prove_who_he_is_does_it_by_name_or_by_address() {
    let authority = Authority::new();
    for host in ["localhost", "127.0.0.1"] {
        let sink = server(authority.issue(&[host]).server());
        let post = post_to(&authority, &sink, host, "tls=verify");
        let line = sent(&post, &post.smapd());
        assert!(line.contains(" verify=OK "), "{host}: {line}");
    }
}

fn tls_1_2_will_do() {
    let authority = Authority::new();
    let sink = server(authority.issue(&["localhost"]).old_server());
    let post = post_to(&authority, &sink, "localhost", "tls=verify");
    let line = sent(&post, &post.smapd());
    assert!(line.contains(" tls=TLSv1.2 cipher=TLS_ECDHE_ECDSA_") && line.contains(" verify=OK "), "{line}");
}

/// The authority is another's than the one that signed; it is known, but to no avail.
fn without_a_known_authority_nothing_is_verified_and_nothing_proved() {
    let authority = Authority::new();
    let sink = server(authority.issue(&["localhost"]).server());
    let stranger = Authority::new();
    let post = post_to(&stranger, &sink, "localhost", "tls=require");
    let line = sent(&post, &post.smapd());
    assert!(line.contains(" verify=FAIL "), "{line}");
    let post = post_to(&stranger, &sink, "localhost", "tls=verify");
    let id = post.send(FROM, &["b@example.com"], "hello");
    let line = post.smapd().outcome(&id, "b@example.com", "deferred");
    assert!(line.contains(" dsn=4.7.5 ") && line.contains("does not prove that this is localhost"), "{line}");
}

fn only_a_certificate_that_must_prove_something_keeps_mail_back() {
    let authority = Authority::new();
    let wrong = [
        authority.issue(&["other.example"]),
        authority.issue_expired(&["localhost"]),
        Identity::self_signed(&["localhost"]),
    ];
    for identity in wrong {
        let sink = server(identity.server());
        for option in ["", "tls=require"] {
            let post = post_to(&authority, &sink, "localhost", option);
            let line = sent(&post, &post.smapd());
            assert!(line.contains(" tls=TLSv1.3 ") && line.contains(" verify=FAIL "), "{line}");
        }
        assert_eq!(sink.handshakes().len(), 2);
    }
}

fn a_host_is_told_by_which_name_we_came_and_no_address() {
    let authority = Authority::new();
    let sink = server(authority.issue(&["localhost", "127.0.0.1"]).server());
    for (host, name) in [("localhost", Some("localhost")), ("127.0.0.1", None)] {
        let post = post_to(&authority, &sink, host, "tls=verify");
        let _line = sent(&post, &post.smapd());
        let seen = sink.handshakes();
        assert_eq!(seen.last().unwrap().name.as_deref(), name);
    }
}

const CLIENT: &str = "smapd: client-cert FOLDER/client.pem\nsmapd: client-key FOLDER/client.key";

/// A gateway with a certificate of its own.
fn post_with_certificate(authority: &Authority, sink: &Sink, options: &str) -> Post {
    let client = authority.issue(&["gw.example.com"]);
    let to = format!("smtp:[localhost]:{}", sink.port());
    let post = post_with(authority, CLIENT, &to, options);
    write(&post.path("client.pem"), client.pem());
    write_key(&post.path("client.key"), &client.key_pem());
    post
}

fn our_certificate_is_shown_to_who_asks_for_it() {
    let authority = Authority::new();
    let sink = server(authority.issue(&["localhost"]).closed_server(&authority));
    let post = post_with_certificate(&authority, &sink, "tls=verify");
    let line = sent(&post, &post.smapd());
    assert!(line.contains(" verify=OK "), "{line}");
    assert!(sink.handshakes().last().unwrap().with_certificate);
}

/// In TLS 1.3 it says so only when the handshake is over for us.
fn who_shuts_us_out_gets_it_in_the_clear_unless_it_must_be_encrypted() {
    let authority = Authority::new();
    let sink = server(authority.issue(&["localhost"]).closed_server(&authority));
    let post = post_to(&authority, &sink, "localhost", "tls=require");
    let id = post.send(FROM, &["b@example.com"], "hello");
    let line = post.smapd().outcome(&id, "b@example.com", "deferred");
    assert!(line.contains(" dsn=4.7.5 "), "{line}");
    assert!(!said(&sink).contains(&"MAIL".to_owned()));
    let post = post_to(&authority, &sink, "localhost", "");
    let line = sent(&post, &post.smapd());
    assert!(!line.contains("tls="), "{line}");
}

fn what_hinders_a_handshake_hinders_no_mail_where_nobody_insists() {
    let authority = Authority::new();
    let identity = authority.issue(&["localhost"]);
    for act in [Act::Close, Act::raw(b"500 what?\r\n"), Act::Silence] {
        let hindrance = act.clone();
        let sink = Sink::encrypted(identity.server(), move |_, line| {
            if line == "HANDSHAKE" { hindrance.clone() } else { Act::Usual }
        });
        let post = post_to(&authority, &sink, "localhost", "timeout=1s");
        let smapd = post.smapd();
        for _ in 0..2 {
            let line = sent(&post, &smapd);
            assert!(!line.contains("tls="), "{act:?}: {line}");
        }
        assert_eq!(smapd.count("mail goes there in the clear"), 1, "{act:?}: {:#?}", smapd.process().log());
        assert_eq!(smapd.count(" status=deferred "), 0, "{act:?}");
    }
}

fn a_refusal_is_put_up_with_where_nobody_insists() {
    let authority = Authority::new();
    let sink = Sink::encrypted(authority.issue(&["localhost"]).server(), |_, line| match line {
        "STARTTLS" => Act::say("454 4.7.0 not now"),
        _ => Act::Usual,
    });
    let post = post_to(&authority, &sink, "localhost", "");
    let line = sent(&post, &post.smapd());
    assert!(!line.contains("tls="), "{line}");
    assert_eq!(sink.connections(), 1);
}

fn a_megabyte_arrives_as_it_was() {
    let authority = Authority::new();
    let sink = server(authority.issue(&["localhost"]).server());
    let post = post_to(&authority, &sink, "localhost", "tls=verify");
    let smapd = post.smapd();
    let text: String = (0..16_000).map(|number| format!("{number:05} {}\r\n", "x".repeat(60))).collect();
    let id = post.send(FROM, &["b@example.com"], &format!("Subject: x\r\n\r\n{}", text.trim_end()));
    smapd.removed(&id);
    let received = without_trace(&sink.received()[0].text, &RELAY_TRACE).1;
    assert!(received == format!("Subject: x\r\n\r\n{text}").into_bytes(), "{} octets", received.len());
}

fn many_messages_go_over_one_encrypted_connection() {
    const MESSAGES: usize = 50;
    let authority = Authority::new();
    let sink = server(authority.issue(&["localhost"]).server());
    let to = format!("smtp:[localhost]:{}", sink.port());
    let post = post_with(&authority, "smapd: max-connections-per-destination 1", &to, "tls=verify");
    let mut client = post.listener.extended_client();
    for number in 0..MESSAGES {
        send(
            &mut client,
            "<a@sender.example>",
            &["<b@example.com>"],
            &format!("Subject: {number}\r\n\r\nhello"),
        );
    }
    let smapd = post.smapd();
    let _all = smapd.process().wait_for_logs(MESSAGES, |line| line.ends_with(" removed"));
    assert_eq!((sink.received().len(), sink.handshakes().len()), (MESSAGES, 1));
    assert_eq!(smapd.count(" verify=OK "), MESSAGES);
}

fn the_end_of_an_encrypted_connection_is_announced() {
    let authority = Authority::new();
    let sink = server(authority.issue(&["localhost"]).server());
    let post = post_to(&authority, &sink, "localhost", "");
    let smapd = post.smapd();
    let _line = sent(&post, &smapd);
    eventually("smapd has taken its leave", || (sink.polite() == [0]).then_some(()));
}

fn a_renewed_authority_counts_from_a_sighup_on() {
    let (old, new) = (Authority::new(), Authority::new());
    let sink = server(new.issue(&["localhost"]).server());
    let post = post_to(&old, &sink, "localhost", "tls=verify");
    let smapd = post.smapd();
    let id = post.send(FROM, &["b@example.com"], "hello");
    let _line = smapd.outcome(&id, "b@example.com", "deferred");
    let ca = post.path("ca.pem");
    write(&ca, "nothing of use");
    smapd.process().signal(Signal::SIGHUP);
    let line = smapd.process().wait_for_log(|line| line.contains("the old table stays in force"));
    assert!(
        line.contains("netperm-table:1: cacert ") && line.contains("no certificate stands in it"),
        "{line}"
    );
    write(&ca, &new.pem());
    smapd.process().signal(Signal::SIGHUP);
    smapd.removed(&id);
    assert_eq!(smapd.count(" verify=OK "), 1);
}

fn files_that_cannot_be_used_keep_smapd_from_its_start() {
    let authority = Authority::new();
    let (ours, other) = (authority.issue(&["gw.example.com"]), authority.issue(&["gw.example.com"]));
    let begun = "-----BEGIN CERTIFICATE-----\nAAAA\n";
    let key = ours.key_pem();
    for (cacert, certificate, key, mode, words) in [
        (None, ours.pem(), &key, 0o600, ":1: cacert "),
        (Some(""), ours.pem(), &key, 0o600, "no certificate stands in it (PEM)"),
        (Some(begun), ours.pem(), &key, 0o600, "it is not PEM"),
        (Some(authority.pem().as_str()), "", &key, 0o600, ":2: client-cert "),
        (Some(authority.pem().as_str()), ours.pem(), &String::new(), 0o600, "no private key stands in it"),
        (Some(authority.pem().as_str()), ours.pem(), &other.key_pem(), 0o600, ":3: client-key "),
        (Some(authority.pem().as_str()), ours.pem(), &key, 0o644, "everyone can read this key: chmod o-rwx "),
    ] {
        let gateway = Gateway::new("");
        let file = |name: &str| gateway.folder().join(name);
        let folder = gateway.folder().display();
        gateway.write_table(&format!(
            "smapd: cacert {folder}/ca.pem\n{}",
            CLIENT.replace("FOLDER", &folder.to_string())
        ));
        if let Some(cacert) = cacert {
            write(&file("ca.pem"), cacert);
        }
        write(&file("client.pem"), certificate);
        write(&file("client.key"), key);
        chmod(&file("client.key"), mode);
        let ended = run(gateway.program("smapd").arg("--foreground"), Stdio::null());
        assert_eq!(ended.code, 78, "{words}: {:#?}", ended.log);
        assert!(
            ended.log.iter().any(|line| line.contains(words) && line.contains("netperm-table:")),
            "{words}: {:#?}",
            ended.log
        );
        let checked = run(gateway.program("smapctl").arg("check"), Stdio::null());
        let shown = String::from_utf8_lossy(&checked.output).into_owned();
        assert!(checked.code == 78 && shown.contains(words), "{words}: {shown}");
    }
}

fn a_key_that_only_root_can_read_is_read_at_the_start() {
    let authority = Authority::new();
    let sink = server(authority.issue(&["localhost"]).closed_server(&authority));
    let post = post_with_certificate(&authority, &sink, "tls=require");
    chown(post.path("client.key"), Some(0), Some(0)).unwrap();
    let _line = sent(&post, &post.smapd());
}
