//! `smap --listen`: who is too many, a new table, the end, and clients that say too little.

use std::net::TcpStream;
use std::time::{Duration, Instant};

use nix::sys::signal::{Signal, kill};
use smap_tests::client::Client;
use smap_tests::gateway::{Gateway, Listener};
use smap_tests::needs::Need::Ipv6;
use smap_tests::{eventually, tests};

tests! {
    the_log_tells_a_session_in_its_classic_words;
    the_id_of_the_reply_is_the_one_of_log_and_spool;
    a_client_that_says_nothing_is_in_the_log;
    a_refusal_is_in_the_log_with_its_reason;
    nothing_that_a_client_sends_forges_a_log_line;
    lines_of_many_sessions_stay_apart_in_the_log;
    several_addresses_of_both_families_are_served: [Ipv6];
    an_ipv4_client_of_an_ipv6_listener_is_an_ipv4_client: [Ipv6];
    too_many_sessions_are_turned_away;
    too_many_sessions_of_one_host_are_turned_away: [Ipv6];
    a_new_table_is_for_new_sessions;
    a_broken_new_table_is_not_used;
    the_end_lets_sessions_end;
    the_end_without_sessions_is_at_once;
    a_killed_session_disturbs_nobody;
    a_session_that_is_told_to_end_ends_alone;
    a_silent_client_is_timed_out;
    a_client_that_is_silent_in_data_is_timed_out;
    a_slow_client_does_not_outlast_the_session;
    a_client_that_does_not_read_is_not_waited_for;
}

/// An id as the reply says it.
fn id_of(reply: &str) -> &str {
    reply.strip_prefix("250 2.0.0 Mail accepted ").expect("accepted")
}

fn the_log_tells_a_session_in_its_classic_words() {
    let listener = Gateway::new("").listen();
    let mut client = listener.extended_client();
    client.say("MAIL FROM:<a@sender.example>", "250 ");
    client.say("RCPT TO:<b@example.com>", "250 ");
    client.say("RCPT TO:<c@example.com>", "250 ");
    client.say("DATA", "354 ");
    let reply = client.say("hello\r\n.", "250 ");
    client.quit();
    listener.wait_for_sessions(1);
    let said = |words: &str| listener.process.log().iter().any(|line| line.contains(words));
    assert!(said("]: connect host=unknown/127.0.0.1 id="), "{:#?}", listener.process.log());
    let accepted = format!(
        "id={} host=unknown/127.0.0.1 bytes=7 helo=client.example from=<a@sender.example> \
         to=<b@example.com>,<c@example.com> rule=domain@",
        id_of(&reply)
    );
    assert!(said(&accepted), "{:#?}", listener.process.log());
    assert!(said("]: exiting host=unknown/127.0.0.1 bytes=7 messages=1"), "{:#?}", listener.process.log());
}

fn the_id_of_the_reply_is_the_one_of_log_and_spool() {
    let gateway = Gateway::new("");
    let listener = gateway.listen();
    let reply = listener.extended_client().mail("hello", "250 ");
    let id = id_of(&reply);
    let stored = gateway.incoming().pop().unwrap();
    assert_eq!(stored.envelope.id.as_str(), id);
    assert!(gateway.layout().incoming().join(id).is_file());
    let _said = listener.process.wait_for_log(|line| line.contains(&format!("]: id={id} host=")));
}

fn a_client_that_says_nothing_is_in_the_log() {
    let listener = Gateway::new("").listen();
    drop(listener.client());
    let line = listener.process.wait_for_log(|line| line.contains("exiting host=unknown/127.0.0.1"));
    assert!(line.contains("messages=0"), "{line}");
}

fn a_refusal_is_in_the_log_with_its_reason() {
    let listener = Gateway::new("").listen();
    let mut client = listener.extended_client();
    client.say("MAIL FROM:<a@sender.example>", "250 ");
    client.say("RCPT TO:<u@elsewhere.example>", "550 ");
    let line = listener.process.wait_for_log(|line| line.contains("]: refused "));
    for words in ["u@elsewhere.example", "550 5.7.1", "permit-relay"] {
        assert!(line.contains(words), "{line}");
    }
}

fn nothing_that_a_client_sends_forges_a_log_line() {
    let listener = Gateway::new("").listen();
    let mut client = listener.extended_client();
    client.say("MAIL FROM:<\"x\\\" id=0 to=<z>\"@sender.example>", "250 ");
    client.say("RCPT TO:<\"a b=c\\\"\"@example.com>", "250 ");
    client.say("RCPT TO:<\"a\\\" reason=\\\"forged\"@elsewhere.example>", "550 ");
    client.say("DATA", "354 ");
    client.say(".", "250 ");
    client.quit();
    listener.wait_for_sessions(1);
    for line in listener.process.log() {
        // What stands in quotes is one value; a quote inside it is escaped.
        let fields: String = line.split('"').step_by(2).collect();
        let forged = ["id=0", "b=c", "to=<z>", "reason=forged"].iter().find(|field| fields.contains(*field));
        assert_eq!(forged, None, "{line}");
    }
}

fn lines_of_many_sessions_stay_apart_in_the_log() {
    const ROUNDS: usize = 40;
    let listener = Gateway::new("smap: max-sessions-per-host 400").listen();
    let address = listener.address();
    for _ in 0..ROUNDS {
        // They end at the same moment; some may not have begun yet, and count.
        let clients: Vec<Client> = (0..8).map(|_| Client::greeted(address)).collect();
        drop(clients);
    }
    let connected = |line: &str| line.contains("]: connect ");
    let _all = listener.process.wait_for_logs(8 * ROUNDS, connected);
    listener.client().quit();
    let _last = listener.process.wait_for_log(|line| line.ends_with("messages=0"));
    for line in listener.process.log() {
        assert_eq!(line.matches("smap[").count(), 1, "{line:?}");
    }
}

fn several_addresses_of_both_families_are_served() {
    let gateway = Gateway::new("");
    let listener = gateway.listen_on(&["127.0.0.1", "127.0.0.2", "::1"]);
    for address in &listener.addresses {
        let mut client = Client::greeted(*address);
        client.say("EHLO client.example", "250-");
        client.mail("hello", "250 ");
        client.quit();
    }
    let clients = gateway.incoming().into_iter().map(|stored| stored.envelope.origin.client.unwrap().ip());
    let mut clients: Vec<_> = clients.map(|ip| ip.to_string()).collect();
    clients.sort();
    // A client of 127.0.0.2 comes from 127.0.0.1 or 127.0.0.2, as the kernel likes.
    assert_eq!(clients.len(), 3);
    assert!(clients.contains(&"::1".to_owned()) && clients.contains(&"127.0.0.1".to_owned()), "{clients:?}");
}

fn an_ipv4_client_of_an_ipv6_listener_is_an_ipv4_client() {
    let gateway = Gateway::new("netacl-smap: permit-hosts 127.0.0.1");
    let listener = gateway.listen_on(&["::"]);
    let mut client = Client::greeted(([127, 0, 0, 1], listener.address().port()).into());
    client.say("EHLO client.example", "250-");
    client.mail("hello", "250 ");
    assert_eq!(gateway.incoming()[0].envelope.origin.client, Some(client.local_address()));
    let mut other = Client::connect(([0, 0, 0, 0, 0, 0, 0, 1], listener.address().port()).into());
    other.expect("554 5.7.1 ");
}

fn too_many_sessions_are_turned_away() {
    let listener = Gateway::new("smap: max-sessions 2").listen();
    let (mut first, _second) = (listener.client(), listener.client());
    let mut third = Client::connect(listener.address());
    third.expect("421 4.3.2 ");
    third.expect_end();
    let _said =
        listener.process.wait_for_log(|line| line.contains("warning: turned away host=unknown/127.0.0.1"));
    first.quit();
    assert_served_again(&listener);
}

fn assert_served_again(listener: &Listener) {
    let _greeting = eventually("a place is free", || {
        let mut client = Client::connect(listener.address());
        client.line().filter(|line| line.starts_with("220 "))
    });
}

fn too_many_sessions_of_one_host_are_turned_away() {
    let listener = Gateway::new("smap: max-sessions-per-host 1").listen_on(&["127.0.0.1", "::1"]);
    let mut first = listener.client();
    let mut second = Client::connect(listener.address());
    second.expect("421 4.7.0 ");
    second.expect_end();
    Client::greeted(listener.addresses[1]).quit();
    first.quit();
    assert_served_again(&listener);
}

fn a_new_table_is_for_new_sessions() {
    let gateway = Gateway::new("");
    let listener = gateway.listen();
    let mut old = listener.extended_client();
    gateway.write_table("smap: permit-relay 127.0.0.1\nsmap: maxbytes 4711");
    listener.process.signal(Signal::SIGHUP);
    let _said = listener.process.wait_for_log(|line| line.contains("the table was read again"));
    let mut new = listener.client();
    let hello = new.say("EHLO client.example", "250-");
    assert!(hello.contains("SIZE 4711"), "{hello}");
    for (client, reply) in [(&mut old, "550 "), (&mut new, "250 ")] {
        client.say("MAIL FROM:<a@sender.example>", "250 ");
        client.say("RCPT TO:<u@elsewhere.example>", reply);
        client.quit();
    }
}

fn a_broken_new_table_is_not_used() {
    let gateway = Gateway::new("smap: maxbytes 4711");
    let listener = gateway.listen();
    let mut old = listener.extended_client();
    gateway.write_table("smap: maxbites 12");
    listener.process.signal(Signal::SIGHUP);
    let line = listener.process.wait_for_log(|line| line.contains("error: "));
    assert!(line.contains("netperm-table:1: ") && line.contains("the old table stays in force"), "{line}");
    old.mail("hello", "250 ");
    let hello = listener.client().say("EHLO client.example", "250-");
    assert!(hello.contains("SIZE 4711"), "{hello}");
}

fn the_end_lets_sessions_end() {
    let gateway = Gateway::new("");
    let mut listener = gateway.listen();
    let mut client = listener.extended_client();
    listener.process.signal(Signal::SIGTERM);
    let _said = listener.process.wait_for_log(|line| line.contains("stopping"));
    eventually("it listens no more", || TcpStream::connect(listener.address()).err());
    client.mail("hello", "250 ");
    client.quit();
    assert_eq!(listener.process.wait(), 0);
    assert_eq!(gateway.incoming().len(), 1);
}

fn the_end_without_sessions_is_at_once() {
    let mut listener = Gateway::new("").listen();
    listener.client().quit();
    listener.wait_for_sessions(1);
    listener.process.signal(Signal::SIGTERM);
    assert_eq!(listener.process.wait(), 0);
}

fn a_killed_session_disturbs_nobody() {
    let gateway = Gateway::new("");
    let listener = gateway.listen();
    let (mut other, mut victim) = (listener.extended_client(), listener.extended_client());
    victim.data();
    victim.send(b"half a mess");
    let connected = listener.process.wait_for_logs(2, |line| line.contains("]: connect "));
    kill(pid_in(&connected[1]), Signal::SIGKILL).unwrap();
    victim.expect_end();
    let _said = listener.process.wait_for_log(|line| line.contains("died of SIGKILL"));
    assert!(gateway.incoming().is_empty());
    other.mail("hello", "250 ");
    listener.extended_client().mail("hello", "250 ");
    assert_eq!(gateway.incoming().len(), 2);
}

fn a_session_that_is_told_to_end_ends_alone() {
    let gateway = Gateway::new("");
    let listener = gateway.listen();
    let (mut other, mut told) = (listener.extended_client(), listener.extended_client());
    told.say("MAIL FROM:<a@sender.example>", "250 ");
    let connected = listener.process.wait_for_logs(2, |line| line.contains("]: connect "));
    kill(pid_in(&connected[1]), Signal::SIGTERM).unwrap();
    told.expect_end();
    other.mail("hello", "250 ");
    listener.extended_client().mail("hello", "250 ");
    assert_eq!(gateway.incoming().len(), 2);
}

/// The process that wrote a line of the log.
pub(crate) fn pid_in(line: &str) -> nix::unistd::Pid {
    let number = line.split_once('[').and_then(|(_, rest)| rest.split_once(']')).map(|(number, _)| number);
    nix::unistd::Pid::from_raw(number.and_then(|number| number.parse().ok()).expect("a line of the log"))
}

fn a_silent_client_is_timed_out() {
    let listener = Gateway::new("smap: timeout 1").listen();
    let (mut mute, mut talker) = (listener.client(), listener.extended_client());
    talker.say("NOOP", "250 ");
    for client in [&mut mute, &mut talker] {
        client.expect("421 4.4.2 ");
        client.expect_end();
    }
}

fn a_client_that_is_silent_in_data_is_timed_out() {
    let gateway = Gateway::new("smap: timeout 1");
    let listener = gateway.listen();
    let mut client = listener.extended_client();
    client.mail("first", "250 ");
    client.data();
    client.send(b"half a mess");
    client.expect("421 4.4.2 ");
    client.expect_end();
    // What was accepted before stays.
    assert_eq!(gateway.incoming().len(), 1);
}

fn a_slow_client_does_not_outlast_the_session() {
    let listener = Gateway::new("smap: session-timeout 1").listen();
    let mut client = listener.extended_client();
    client.data();
    let begun = Instant::now();
    while begun.elapsed() < Duration::from_millis(1500) {
        client.send(b"x");
        std::thread::sleep(Duration::from_millis(50));
    }
    client.expect("421 4.4.2 ");
    client.expect_end();
}

fn a_client_that_does_not_read_is_not_waited_for() {
    let listener = Gateway::new("smap: timeout 1").listen();
    let mut client = listener.client();
    let vrfy = b"RCPT TO:<b@example.com>\r\n".repeat(100_000);
    let sender = std::thread::spawn(move || {
        client.send(b"EHLO client.example\r\nMAIL FROM:<a@sender.example>\r\n");
        client.send(&vrfy);
        client
    });
    listener.wait_for_sessions(1);
    drop(sender.join().unwrap());
}
