//! sendmail's `access`, `relay-domains` and `local-host-names` against the real smap.

use std::fs;
use std::process::Stdio;

use netperm::ClientName;
use smap_tests::client::Client;
use smap_tests::gateway::{Gateway, Listener};
use smap_tests::process::run;
use smap_tests::scripted::Scripted;
use smap_tests::tests;

tests! {
    a_row_says_who_may_connect_and_in_what_words;
    a_row_says_who_may_send_and_to_whom;
    a_client_relays_by_its_address_and_a_sender_does_not;
    a_client_relays_by_a_name_that_was_confirmed_and_no_other;
    domains_of_files_are_accepted_and_no_route_behind_them;
    a_row_that_says_nothing_keeps_smap_from_starting;
}

/// A gateway whose table names these files, each with its content.
fn gateway(lines: &str, files: &[(&str, &str)]) -> Gateway {
    let gateway = Gateway::new("");
    let mut table = String::new();
    for (attribute, content) in files {
        let file = gateway.folder().join(attribute);
        fs::write(&file, content).unwrap();
        table += &format!("smap: {attribute} {}\n", file.display());
    }
    gateway.write_table(&(table + lines));
    gateway
}

fn sender(listener: &Listener) -> Client {
    let mut client = listener.extended_client();
    client.say("MAIL FROM:<a@sender.example>", "250 ");
    client
}

fn a_row_says_who_may_connect_and_in_what_words() {
    for (value, reply) in [
        ("REJECT", "554 5.7.1 Access denied"),
        ("ERROR:5.7.1:550 Not from there", "554 5.7.1 Not from there"),
        ("ERROR:4.7.1:450 Not yet", "421 4.7.1 gw.example.com Not yet"),
        ("OK", "220 "),
    ] {
        let rows = format!("Connect:127 REJECT\nConnect:127.0.0.1 {value}\n");
        let listener = gateway("", &[("access", &rows)]).listen();
        Client::connect(listener.address()).expect(reply);
        if !reply.starts_with('2') {
            let line = listener.process.wait_for_log(|line| line.contains("connect:127.0.0.1"));
            assert!(line.contains("access:2: "), "{line}");
        }
    }
}

fn a_row_says_who_may_send_and_to_whom() {
    let rows = "From:bad.example ERROR:5.7.1:550 No mail from you\nFrom:later@good.example 451 4.2.1 Not now\n\
                To:old@example.com ERROR:5.1.6:551 Gone\nTo:list@ REJECT\n";
    let listener = gateway("", &[("access", rows)]).listen();
    let mut client = listener.extended_client();
    client.say("MAIL FROM:<x@mail.bad.example>", "550 5.7.1 No mail from you");
    client.say("MAIL FROM:<Later@good.example>", "451 4.2.1 Not now");
    client.say("MAIL FROM:<>", "250 ");
    client.say("RCPT TO:<Old@example.com>", "551 5.1.6 Gone");
    client.say("RCPT TO:<list+x@example.com>", "550 5.2.1 ");
    client.say("RCPT TO:<b@example.com>", "250 ");
    let line = listener.process.wait_for_log(|line| line.contains("to:old@example.com"));
    assert!(line.contains("access:3: "), "{line}");
}

fn a_client_relays_by_its_address_and_a_sender_does_not() {
    let rows = "a@sender.example RELAY\n192.168 RELAY\n";
    for (file, reply) in [
        (("access", rows), "550 5.7.1 Relaying denied"),
        (("access", "127.0.0.0/9 RELAY\n"), "250 "),
        (("relay-domains", "127.0\n"), "250 "),
    ] {
        let listener = gateway("", &[file]).listen();
        sender(&listener).say("RCPT TO:<u@elsewhere.example>", reply);
    }
}

fn a_client_relays_by_a_name_that_was_confirmed_and_no_other() {
    let known = |name: &str| ClientName::Known(vec![name.parse().unwrap()]);
    for (name, reply) in [
        (known("mail.inside.example"), "250 "),
        (known("mail.notinside.example"), "550 5.7.1 "),
        (ClientName::Unknown, "550 5.7.1 "),
        (ClientName::Failed("no answer".to_owned()), "451 4.4.3 "),
    ] {
        let gateway = gateway("", &[("access", "Connect:inside.example RELAY\n")]);
        let _lookup = Scripted::naming(&gateway.folder().join("lookup"), name);
        let listener = gateway.listen();
        let mut client = sender(&listener);
        client.say("RCPT TO:<b@example.com>", "250 ");
        client.say("RCPT TO:<u@elsewhere.example>", reply);
    }
}

fn domains_of_files_are_accepted_and_no_route_behind_them() {
    let files = [
        ("local-host-names", "ours.example\n"),
        ("relay-domains", "partner.example\n"),
        ("access", "To:friend.example RELAY\nTo:no.friend.example REJECT\n"),
    ];
    // Nobody can be asked for the name of a client here.
    let listener = gateway("smap: deny-relay *", &files).listen();
    let mut client = sender(&listener);
    for to in ["u@ours.example", "u@partner.example", "u@a.partner.example", "u@a.friend.example"] {
        client.say(&format!("RCPT TO:<{to}>"), "250 ");
    }
    for to in [
        "u@a.ours.example",
        "u@xpartner.example",
        "u@no.friend.example",
        "v%elsewhere.example@partner.example",
        "elsewhere.example!v@friend.example",
        "\"v@elsewhere.example\"@ours.example",
        "@partner.example:v@elsewhere.example",
    ] {
        client.say(&format!("RCPT TO:<{to}>"), "550 5.");
    }
}

fn a_row_that_says_nothing_keeps_smap_from_starting() {
    let gateway = gateway("", &[("access", "From:a.example RELAY\nTo:b.example REALY\n")]);
    let ended = run(gateway.program("smapctl").arg("check"), Stdio::null());
    assert_eq!(ended.code, 78, "{ended:?}");
    let output = format!("{ended:?}");
    assert!(output.contains("access:1: ") && output.contains("a sender is no reason to relay"), "{output}");
    assert!(output.contains("access:2: ") && output.contains("did you mean"), "{output}");
}
