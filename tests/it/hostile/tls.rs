//! Between us and the next host: who withholds TLS, speaks into it, or is somebody else.

use smap_tests::certificates::{Authority, Identity};
use smap_tests::post::Post;
use smap_tests::sink::{Act, Sink};
use smap_tests::tests;

use crate::delivery::encryption::{post_to, post_with};
use crate::delivery::relay::FROM;

tests! {
    row_111_what_stands_behind_the_reply_to_starttls_is_dropped;
    row_112_a_server_that_withholds_tls_is_told_nothing;
    row_112_the_next_host_is_asked_where_one_withholds_tls;
    row_113_who_is_somebody_else_is_told_nothing;
    row_113_a_handshake_that_fails_is_never_done_without;
}

/// A message that waits, and of which the server heard nothing; the line of the log.
fn waits(post: &Post, sink: &Sink, dsn: &str) -> String {
    let smapd = post.smapd();
    let id = post.send(FROM, &["b@example.com"], "hello");
    let line = smapd.outcomes(2, &id, "b@example.com", "deferred").remove(1);
    assert!(line.contains(&format!(" dsn={dsn} ")), "{line}");
    for (_, said) in sink.lines() {
        let innocent = ["EHLO ", "HELO ", "STARTTLS"].iter().any(|verb| said.starts_with(verb));
        assert!(innocent || !said.contains("example.com>"), "{said}");
        assert!(!said.starts_with("MAIL") && !said.starts_with("RCPT"), "{said}");
    }
    assert!(sink.received().is_empty());
    line
}

fn row_111_what_stands_behind_the_reply_to_starttls_is_dropped() {
    let authority = Authority::new();
    let identity = authority.issue(&["localhost"]);
    for injected in ["250 evil\r\n", "250-evil", "250-evil\r\n250 8BITMIME\r\n250 ok\r\n250 ok\r\n354 go\r\n"]
    {
        for option in ["", "tls=require", "tls=verify"] {
            let words = format!("220 go ahead\r\n{injected}");
            let sink = Sink::encrypted(identity.server(), move |_, line| match line {
                "STARTTLS" => Act::raw(words.as_bytes()),
                _ => Act::Usual,
            });
            waits(&post_to(&authority, &sink, "localhost", option), &sink, "4.5.0");
        }
    }
}

fn row_112_a_server_that_withholds_tls_is_told_nothing() {
    let authority = Authority::new();
    let identity = authority.issue(&["localhost"]);
    let withheld: [(&str, &str); 5] = [
        ("EHLO", "250-mx\r\n250 PIPELINING"),
        ("EHLO", "250-mx\r\n250 XXXXXXXA"),
        ("EHLO", "500 5.5.1 what?"),
        ("STARTTLS", "454 4.7.0 not now"),
        ("STARTTLS", "500 5.5.1 what?"),
    ];
    for (at, reply) in withheld {
        for option in ["tls=require", "tls=verify"] {
            let sink = Sink::encrypted(identity.server(), move |_, line| match line {
                line if line.starts_with(at) => Act::say(reply),
                line if line.starts_with("HELO") => Act::say("250 mx"),
                _ => Act::Usual,
            });
            let line = waits(&post_to(&authority, &sink, "localhost", option), &sink, "4.7.4");
            assert!(line.contains("TLS is required, and the server "), "{line}");
        }
    }
}

fn row_112_the_next_host_is_asked_where_one_withholds_tls() {
    let authority = Authority::new();
    let plain = Sink::start();
    let sink = Sink::encrypted(authority.issue(&["localhost"]).server(), |_, _| Act::Usual);
    let to = format!("smtp:[localhost]:{},[localhost]:{}", plain.port(), sink.port());
    let post = post_with(&authority, "", &to, "tls=require");
    let smapd = post.smapd();
    let id = post.send(FROM, &["b@example.com"], "hello");
    let line = smapd.outcome(&id, "b@example.com", "sent");
    assert!(line.contains(" verify=OK "), "{line}");
    assert!(plain.received().is_empty() && plain.connections() > 0);
}

fn row_113_who_is_somebody_else_is_told_nothing() {
    let authority = Authority::new();
    let impostors = [
        (authority.issue(&["other.example"]), "certificate not valid for name"),
        (authority.issue(&["127.0.0.1"]), "certificate not valid for name"),
        (authority.issue_expired(&["localhost"]), "certificate expired"),
        (Identity::self_signed(&["localhost"]), "UnknownIssuer"),
        (Authority::new().issue(&["localhost"]), "BadSignature"),
    ];
    for (identity, why) in impostors {
        for config in [identity.server(), identity.old_server()] {
            let sink = Sink::encrypted(config, |_, _| Act::Usual);
            let line = waits(&post_to(&authority, &sink, "localhost", "tls=verify"), &sink, "4.7.5");
            assert!(line.contains("the certificate does not prove that this is localhost: "), "{line}");
            assert!(line.contains(why), "{why}: {line}");
        }
    }
}

fn row_113_a_handshake_that_fails_is_never_done_without() {
    let authority = Authority::new();
    let identity = authority.issue(&["localhost"]);
    for act in [
        Act::Close,
        Act::raw(b"500 what?\r\n"),
        Act::raw(&[0x16; 5]),
        Act::Silence,
        Act::Forever(&[0x16; 512]),
    ] {
        for option in ["tls=require", "tls=verify"] {
            let hindrance = act.clone();
            let sink = Sink::encrypted(identity.server(), move |_, line| {
                if line == "HANDSHAKE" { hindrance.clone() } else { Act::Usual }
            });
            let post = post_to(&authority, &sink, "localhost", &format!("{option} timeout=1s"));
            waits(&post, &sink, "4.7.5");
        }
    }
}
