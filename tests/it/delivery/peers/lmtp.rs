//! Dovecot's LMTP.

use smap_tests::gateway::chmod;
use smap_tests::needs::Test;
use smap_tests::network;
use smap_tests::peers::{Kind, Server};
use smap_tests::post::Post;

use super::super::notifications::{assert_fields, notice, told};
use super::{FROM, HEAD, assert_arrived, post_to};

pub(super) fn tests() -> Vec<Test> {
    macro_rules! with_dovecot {
        ($($behaviour:ident;)*) => {
            vec![$(Test {
                name: concat!(module_path!(), "::", stringify!($behaviour)),
                needs: Kind::Dovecot.needs(),
                run: || network::alone(&[], $behaviour),
            }),*]
        };
    }
    with_dovecot! {
        each_recipient_has_his_own_reply_over_a_port;
        each_recipient_has_his_own_reply_over_a_unix_socket;
        dots_and_text_beyond_ascii_arrive_as_they_were;
        mail_waits_until_it_is_started;
    }
}

const OVER_TCP: &str = "lmtp:127.0.0.1:25";

/// `b` and `c` have mailboxes, `d` has a full one, there is no `z`.
fn assert_own_replies(server: &Server, post: &Post) {
    let smapd = post.smapd();
    let text = format!("{HEAD}\r\nhello");
    let id = post.send(FROM, &["b@example.com", "z@example.com", "d@example.com", "c@example.com"], &text);
    for user in ["b", "c"] {
        let line = smapd.outcome(&id, &format!("{user}@example.com"), "sent");
        assert!(line.contains("transport=lmtp ") && line.contains("reply=\"250 2.0.0 "), "{line}");
        assert_arrived(&server.wait_for(user, 1)[0], &text);
    }
    let line = smapd.outcome(&id, "z@example.com", "failed");
    assert!(line.contains(" dsn=5.1.1 "), "{line}");
    let line = smapd.outcome(&id, "d@example.com", "failed");
    assert!(line.contains(" dsn=5.2.2 "), "{line}");
    told(&smapd, &id);
    let fields = notice(post, "a");
    assert_fields(
        &fields,
        &[
            ("recipient0.Final-Recipient", "rfc822; z@example.com"),
            ("recipient0.Status", "5.1.1"),
            ("recipient1.Final-Recipient", "rfc822; d@example.com"),
            ("recipient1.Status", "5.2.2"),
        ],
    );
    assert_eq!(fields.get("recipient2.Final-Recipient"), None);
    smapd.removed(&id);
    assert_eq!(["b", "c", "d"].map(|user| server.maildir(user).len()), [1, 1, 0]);
    post.assert_spool_is_empty();
}

fn each_recipient_has_his_own_reply_over_a_port() {
    assert_own_replies(&Server::running(Kind::Dovecot), &post_to(OVER_TCP));
}

fn each_recipient_has_his_own_reply_over_a_unix_socket() {
    let server = Server::running(Kind::Dovecot);
    let socket = server.path("var/lmtp");
    chmod(&socket, 0o666);
    assert_own_replies(&server, &post_to(&format!("lmtp:unix:{}", socket.display())));
}

fn dots_and_text_beyond_ascii_arrive_as_they_were() {
    let (server, post) = (Server::running(Kind::Dovecot), post_to(OVER_TCP));
    let smapd = post.smapd();
    let text = format!("{HEAD}\r\n..\r\n..a\r\nFrom b\r\nGr\u{fc}\u{df}e\r\n");
    let id = post.send_as(&format!("<{FROM}> BODY=8BITMIME"), &["<b@example.com>"], &text);
    let _line = smapd.outcome(&id, "b@example.com", "sent");
    assert_arrived(&server.wait_for("b", 1)[0], &text.replace("\r\n..", "\r\n."));
}

fn mail_waits_until_it_is_started() {
    let mut server = Server::new(Kind::Dovecot, &["127.0.0.1"]);
    let post = post_to(&format!("lmtp:unix:{}", server.path("var/lmtp").display()));
    let smapd = post.smapd();
    let id = super::deferred(&post, &smapd, "b@example.com", "4.4.1 ", HEAD);
    server.start();
    let ended = post.smapctl(&["queue", "retry", "--domain", "example.com"]);
    assert_eq!(ended.code, 0, "{ended:?}");
    let _line = smapd.outcome(&id, "b@example.com", "sent");
    assert_eq!(server.wait_for("b", 1).len(), 1);
}
