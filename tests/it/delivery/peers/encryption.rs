//! TLS with real mail servers: Postfix has OpenSSL, Exim GnuTLS.

use std::fs;

use smap_tests::certificates::{Authority, Identity};
use smap_tests::needs::Test;
use smap_tests::network;
use smap_tests::peers::{Kind, Server};
use smap_tests::post::Post;

use super::{FROM, HEAD, assert_arrived};

/// Each of these tests, with both servers.
macro_rules! with_both_servers {
    ($($behaviour:ident;)*) => {
        pub(super) fn tests() -> Vec<Test> {
            vec![$(
                test_with!("::postfix::", Postfix, $behaviour),
                test_with!("::exim::", Exim, $behaviour),
            )*]
        }
    };
}

with_both_servers! {
    three_megabytes_go_to_a_server_that_is_verified;
    a_server_of_an_unknown_authority_gets_mail_that_asks_for_no_more_than_tls;
    a_server_of_an_unknown_authority_gets_none_that_has_to_be_verified;
}

/// Mail for example.com goes to 127.0.0.1, whose certificate has to be signed by this authority.
fn post_to(options: &str, known: &Authority) -> Post {
    Post::new(|folder| {
        let file = folder.join("authority.pem");
        fs::write(&file, known.pem()).unwrap();
        format!(
            "smapd: retry 1h\nsmapd: cacert {}\nsmap, smapd: domain example.com smtp:[127.0.0.1] {options}",
            file.display()
        )
    })
}

fn identity(authority: &Authority) -> Identity {
    authority.issue(&["127.0.0.1"])
}

fn three_megabytes_go_to_a_server_that_is_verified(kind: Kind) {
    let authority = Authority::new();
    let (server, post) = (Server::encrypted(kind, &identity(&authority)), post_to("tls=verify", &authority));
    let smapd = post.smapd();
    let text = format!("{HEAD}\r\n{}", "all work and no play makes Jack a dull boy\r\n".repeat(70_000));
    let id = post.send(FROM, &["b@example.com"], &text);
    let line = smapd.outcome(&id, "b@example.com", "sent");
    assert!(line.contains(" tls=TLSv1.3 cipher=TLS_") && line.contains(" verify=OK "), "{line}");
    assert_arrived(&server.wait_for("b", 1)[0], &text);
}

fn a_server_of_an_unknown_authority_gets_mail_that_asks_for_no_more_than_tls(kind: Kind) {
    let (authority, other) = (Authority::new(), Authority::new());
    let (server, post) = (Server::encrypted(kind, &identity(&authority)), post_to("tls=require", &other));
    let smapd = post.smapd();
    let id = post.send(FROM, &["b@example.com"], "hello");
    let line = smapd.outcome(&id, "b@example.com", "sent");
    assert!(line.contains(" tls=TLSv1.3 ") && line.contains(" verify=FAIL "), "{line}");
    let _message = server.wait_for("b", 1);
}

fn a_server_of_an_unknown_authority_gets_none_that_has_to_be_verified(kind: Kind) {
    let (authority, other) = (Authority::new(), Authority::new());
    let (server, post) = (Server::encrypted(kind, &identity(&authority)), post_to("tls=verify", &other));
    let smapd = post.smapd();
    let id = post.send(FROM, &["b@example.com"], "hello");
    let line = smapd.outcome(&id, "b@example.com", "deferred");
    assert!(line.contains(" dsn=4.7.5 "), "{line}");
    assert!(server.maildir("b").is_empty());
}
