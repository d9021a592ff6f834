//! Whether recipients exist, asked of the real smap at RCPT; mail that is thrown away; what the log says of verdicts.

use std::fs;

use nix::sys::signal::Signal;
use smap_common::lookup::{Answer, Failure, Found, Outcome, Question};
use smap_tests::client::Client;
use smap_tests::gateway::{Gateway, Listener};
use smap_tests::scripted::{Said, Scripted};
use smap_tests::tests;

tests! {
    whom_a_file_does_not_name_is_refused;
    a_row_of_the_virtusertable_says_no_in_its_own_words;
    a_name_at_home_is_an_alias_or_a_user_of_this_machine;
    a_call_out_is_believed;
    whom_no_call_out_can_tell_of_may_be_let_in;
    whom_nobody_can_tell_of_may_come_back;
    a_smap_lookup_that_hangs_up_is_asked_nothing_more;
    a_virtusertable_and_a_mailertable_name_domains_of_ours;
    what_is_thrown_away_is_taken_and_kept_nowhere;
    of_several_recipients_only_those_who_keep_it_get_it;
    all_that_a_sender_or_a_client_sends_may_be_thrown_away;
    what_is_thrown_away_is_judged_as_any_message;
    every_verdict_in_the_log_has_its_rule_and_its_facts;
    a_shadow_table_decides_nothing_and_says_where_it_would_have;
    a_shadow_table_that_is_broken_is_said_and_not_used;
}

/// A gateway with these files in its folder; `DIR` in its lines is that folder.
fn gateway(lines: &str, files: &[(&str, &str)]) -> Gateway {
    let gateway = Gateway::new("");
    for (name, content) in files {
        fs::write(gateway.folder().join(name), content).unwrap();
    }
    gateway.write_table(&lines.replace("DIR", &gateway.folder().display().to_string()));
    gateway
}

/// Somebody who has said who the mail is from.
fn sender(listener: &Listener) -> Client {
    let mut client = listener.extended_client();
    client.say("MAIL FROM:<a@sender.example>", "250 ");
    client
}

fn assert_said(client: &mut Client, said: &[(&str, &str)]) {
    for (to, reply) in said {
        client.say(&format!("RCPT TO:<{to}>"), reply);
    }
}

const UNKNOWN: &str = "550 5.1.1 User unknown";

fn whom_a_file_does_not_name_is_refused() {
    let users = "# who is here\njoe\nann@example.com\n";
    let gateway = gateway("smap: recipients example.com file:DIR/users\n", &[("users", users)]);
    assert_said(
        &mut sender(&gateway.listen()),
        &[
            ("joe@example.com", "250 "),
            ("Joe+news@EXAMPLE.com", "250 "),
            ("ann@example.com", "250 "),
            ("anne@example.com", UNKNOWN),
            ("joe+news+more@example.com", "250 "),
            ("postmaster@example.com", "250 "),
            ("Postmaster", "250 "),
            ("anybody@gw.example.com", "250 "),
            ("joe@elsewhere.example", "550 5.7.1 Relaying denied"),
        ],
    );
}

fn a_row_of_the_virtusertable_says_no_in_its_own_words() {
    let rows = "old@example.com error:5.1.6:551 He is gone\nfull@example.com error:4.2.2:452 Later\n\
                joe@example.com joseph@elsewhere.example\nround@example.com square@example.com\n";
    let lines = "smap, smapd: virtusertable DIR/rows\nsmap: recipients example.com virtusertable\n";
    assert_said(
        &mut sender(&gateway(lines, &[("rows", rows)]).listen()),
        &[
            ("old@example.com", "551 5.1.6 He is gone"),
            ("full@example.com", "452 4.2.2 Later"),
            ("joe@example.com", "250 "),
            ("round@example.com", UNKNOWN),
            ("nobody@example.com", UNKNOWN),
        ],
    );
}

fn found<T>(record: T) -> Outcome<T> {
    Ok(Found { records: vec![record], secure: false, ttl: 60 })
}

/// It knows the user ann, and of recipients elsewhere those named ann.
fn knows_ann(asked: &smap_common::lookup::Asked) -> Said {
    let known = |is_known: bool, name: &str| match is_known {
        true => found(name.to_owned()),
        false => Err(Failure::NoSuchName),
    };
    Said::answer(
        asked,
        match &asked.question {
            Question::User { name } => Answer::User(known(name == "ann", name)),
            Question::Recipient { address } if address.local_part() == "later" => {
                Answer::Recipient(Err(Failure::Temporary("greylisted".to_owned())))
            }
            Question::Recipient { address } => {
                Answer::Recipient(known(address.local_part() == "ann", "250 2.1.5 Ok"))
            }
            other => panic!("{other:?}"),
        },
    )
}

fn a_name_at_home_is_an_alias_or_a_user_of_this_machine() {
    let lines = "smap, smapd: aliases DIR/aliases\nsmap: recipients gw.example.com aliases passwd\n";
    let gateway = gateway(lines, &[("aliases", "team: ann, joe@elsewhere.example\n")]);
    let lookup = Scripted::start(&gateway.folder().join("lookup"), knows_ann);
    let listener = gateway.listen();
    assert_said(
        &mut sender(&listener),
        &[
            ("team@gw.example.com", "250 "),
            ("ann@gw.example.com", "250 "),
            ("Ann+x@gw.example.com", "250 "),
            ("jim@gw.example.com", UNKNOWN),
        ],
    );
    let user = |name: &str| Question::User { name: name.to_owned() };
    assert_eq!(lookup.asked(), [user("ann"), user("ann+x"), user("ann"), user("jim")]);
    let line = listener.process.wait_for_log(|line| line.contains("RCPT TO:<jim@gw.example.com>"));
    assert!(line.contains(" rule=unknown@") && line.contains("netperm-table:2"), "{line}");
}

fn a_call_out_is_believed() {
    let gateway = gateway("smap: recipients example.com callout\n", &[]);
    let _lookup = Scripted::start(&gateway.folder().join("lookup"), knows_ann);
    assert_said(
        &mut sender(&gateway.listen()),
        &[
            ("ann@example.com", "250 "),
            ("jim@example.com", UNKNOWN),
            ("later@example.com", "451 4.4.3 This recipient cannot be looked up now"),
            ("ann@example.com", "250 "),
        ],
    );
}

fn whom_no_call_out_can_tell_of_may_be_let_in() {
    let lines = "smap: recipients example.com callout\nsmap: recipients gw.example.com passwd\n\
                 smap: callout-outage accept\n";
    let listener = gateway(lines, &[]).listen();
    assert_said(&mut sender(&listener), &[("jim@example.com", "250 "), ("jim@gw.example.com", "451 4.4.3 ")]);
}

fn whom_nobody_can_tell_of_may_come_back() {
    let lines = "smap: recipients example.com file:DIR/users callout\n";
    let gateway = gateway(lines, &[("users", "joe\n")]);
    let listener = gateway.listen();
    let warned = listener.process.wait_for_log(|line| line.contains("warning: "));
    assert!(
        warned.contains("netperm-table:1: recipients example.com") && warned.contains("smap-lookup"),
        "{warned}"
    );
    let mut client = sender(&listener);
    assert_said(&mut client, &[("jim@example.com", "451 4.4.3 "), ("joe@example.com", "250 ")]);
    client.say("DATA", "354 ");
    client.send(b"x\r\n.\r\n");
    client.expect("250 ");
    // It may come later.
    let _lookup = Scripted::start(&gateway.folder().join("lookup"), knows_ann);
    assert_said(&mut sender(&listener), &[("jim@example.com", UNKNOWN)]);
}

fn a_smap_lookup_that_hangs_up_is_asked_nothing_more() {
    let gateway = gateway("smap: recipients example.com callout\n", &[]);
    let lookup = Scripted::start(&gateway.folder().join("lookup"), |_| Said::HangUp);
    let listener = gateway.listen();
    let mut client = sender(&listener);
    assert_said(&mut client, &[("a@example.com", "451 4.4.3 "), ("b@example.com", "451 4.4.3 ")]);
    assert_eq!(lookup.asked().len(), 1);
    client.say("RCPT TO:<c@gw.example.com>", "250 ");
}

fn a_virtusertable_and_a_mailertable_name_domains_of_ours() {
    let rows = "joe@virtual.example joe@gw.example.com\n@whole.example %1@gw.example.com\n";
    let ways = "inside.example smtp:[10.0.0.5]\n.below.example smtp:[10.0.0.5]\n. smtp:[10.0.0.6]\n";
    let lines = "smap, smapd: virtusertable DIR/rows\nsmap, smapd: mailertable DIR/ways\n";
    assert_said(
        &mut sender(&gateway(lines, &[("rows", rows), ("ways", ways)]).listen()),
        &[
            ("joe@virtual.example", "250 "),
            ("jim@virtual.example", "550 5.7.1 "),
            ("jim@whole.example", "250 "),
            ("a%elsewhere.example@whole.example", "550 5.7.1 "),
            ("u@inside.example", "250 "),
            ("u@a.below.example", "250 "),
            ("elsewhere.example!u@inside.example", "550 5.7.1 "),
            ("u@below.example", "550 5.7.1 "),
            ("u@elsewhere.example", "550 5.7.1 "),
        ],
    );
}

const DISCARDING: &str = "To:trash.example DISCARD\nFrom:bulk.example DISCARD\n";

fn what_is_thrown_away_is_taken_and_kept_nowhere() {
    let gateway = gateway("smap: access DIR/access\n", &[("access", DISCARDING)]);
    let listener = gateway.listen();
    let mut client = sender(&listener);
    client.say("RCPT TO:<u@trash.example>", "250 ");
    client.say("DATA", "354 ");
    client.send(b"Subject: x\r\n\r\nhello\r\n.\r\n");
    client.expect("250 2.0.0 Mail accepted ");
    client.say("MAIL FROM:<a@sender.example>", "250 ");
    client.say("RCPT TO:<u@trash.example>", "250 ");
    client.send(b"BDAT 3\r\nabcBDAT 2 LAST\r\n\r\n");
    client.expect("250 2.0.0 3 octets received");
    client.expect("250 2.0.0 Mail accepted ");
    client.quit();
    assert_eq!(gateway.incoming().len(), 0);
    let line = listener.process.wait_for_log(|line| line.contains("]: discarded host=unknown/127.0.0.1 "));
    assert!(line.contains("RCPT TO:<u@trash.example>") && line.contains("rule=access@"), "{line}");
}

fn of_several_recipients_only_those_who_keep_it_get_it() {
    let gateway = gateway("smap: access DIR/access\n", &[("access", DISCARDING)]);
    let listener = gateway.listen();
    let mut client = sender(&listener);
    assert_said(
        &mut client,
        &[("u@trash.example", "250 "), ("b@example.com", "250 "), ("v@trash.example", "250 ")],
    );
    client.say("DATA", "354 ");
    client.send(b"hello\r\n.\r\n");
    client.expect("250 2.0.0 Mail accepted ");
    let kept = gateway.incoming();
    let recipients = kept[0].envelope_lines().into_iter().filter(|line| line.starts_with("RCPT "));
    assert_eq!(recipients.collect::<Vec<_>>(), ["RCPT <b@example.com>"]);
    assert_eq!(kept.len(), 1);
}

fn all_that_a_sender_or_a_client_sends_may_be_thrown_away() {
    for rows in [DISCARDING, "Connect:127 DISCARD\n"] {
        let gateway = gateway("smap: access DIR/access\n", &[("access", rows)]);
        let listener = gateway.listen();
        let mut client = listener.extended_client();
        client.say("MAIL FROM:<a@bulk.example>", "250 ");
        assert_said(&mut client, &[("b@example.com", "250 "), ("u@elsewhere.example", "250 ")]);
        client.say("DATA", "354 ");
        client.send(b"hello\r\n.\r\n");
        client.expect("250 2.0.0 Mail accepted ");
        client.quit();
        assert_eq!(gateway.incoming().len(), 0);
    }
}

fn what_is_thrown_away_is_judged_as_any_message() {
    let gateway = gateway("smap: access DIR/access\nsmap: maxbytes 1000\n", &[("access", DISCARDING)]);
    let listener = gateway.listen();
    for (body, reply) in [
        ("a\nb\r\n".to_owned(), "550 5.5.2 Bare <LF>"),
        ("x\0y\r\n".to_owned(), "554 5.6.0 "),
        ("0123456789\r\n".repeat(100), "552 5.3.4 "),
    ] {
        let mut client = sender(&listener);
        client.say("RCPT TO:<u@trash.example>", "250 ");
        client.say("DATA", "354 ");
        client.send(format!("{body}.\r\n").as_bytes());
        client.expect(reply);
        client.quit();
    }
}

fn every_verdict_in_the_log_has_its_rule_and_its_facts() {
    let lines = "smap: permit-hosts 127.*\nsmap: domain other.example discard\n";
    let listener = gateway(lines, &[]).listen();
    let mut client = sender(&listener);
    assert_said(
        &mut client,
        &[("b@example.com", "250 "), ("c@other.example", "250 "), ("d@elsewhere.example", "550 ")],
    );
    client.say("DATA", "354 ");
    client.send(b"x\r\n.\r\n");
    client.expect("250 ");
    let log = |wanted: &str| listener.process.wait_for_log(|line| line.contains(wanted));
    let connected = log("]: connect host=unknown/127.0.0.1 id=");
    assert!(connected.contains(" rule=rule@") && connected.ends_with("netperm-table:1"), "{connected}");
    let refused = log("]: refused ");
    assert!(refused.contains(" rule=no-rules reason="), "{refused}");
    let accepted = log(" to=<b@example.com>,<c@other.example> rule=");
    assert!(accepted.contains(" helo=client.example from=<a@sender.example> "), "{accepted}");
    let (_, rules) = accepted.split_once(" rule=").unwrap();
    let places: Vec<&str> = rules.split(',').map(|rule| rule.rsplit_once(':').unwrap().1).collect();
    assert!(rules.split(',').all(|rule| rule.starts_with("domain@")) && places[1] == "2", "{accepted}");
}

fn a_shadow_table_decides_nothing_and_says_where_it_would_have() {
    let gateway = gateway("smap: shadow DIR/new\n", &[]);
    let table = fs::read_to_string(gateway.table()).unwrap();
    let new = format!(
        "smap: domain new.example discard\nsmap: deny-hosts 127.*\n{}",
        table.replace("smap: shadow", "#")
    );
    fs::write(
        gateway.folder().join("new"),
        new.replace("domain example.com discard", "domain other.example discard"),
    )
    .unwrap();
    let listener = gateway.listen();
    assert_said(
        &mut sender(&listener),
        &[("b@example.com", "250 "), ("b@new.example", "550 5.7.1 "), ("b@gw.example.com", "250 ")],
    );
    let logs = listener.process.wait_for_logs(3, |line| line.contains("]: shadow host=unknown/127.0.0.1 "));
    for (line, words) in logs.iter().zip([
        ["command=\"connect\" verdict=permit", " shadow=refuse shadow-rule=rule@"],
        ["RCPT TO:<b@example.com>\" verdict=permit rule=domain@", " shadow=refuse shadow-rule=no-rules"],
        ["RCPT TO:<b@new.example>\" verdict=refuse rule=no-rules", " shadow=permit shadow-rule=domain@"],
    ]) {
        assert!(words.iter().all(|words| line.contains(words)), "{line}");
    }
}

fn a_shadow_table_that_is_broken_is_said_and_not_used() {
    let gateway = gateway("smap: shadow DIR/new\n", &[("new", "smap: domian example.org\n")]);
    let listener = gateway.listen();
    let line = listener.process.wait_for_log(|line| line.contains("shadow is not used: "));
    assert!(line.contains("/new:1: ") && line.contains("\"domain\""), "{line}");
    sender(&listener).say("RCPT TO:<b@example.com>", "250 ");
    // A new table may name a better one.
    fs::write(gateway.folder().join("new"), "smap: deny-hosts *\nsmap: domain example.org discard\n")
        .unwrap();
    listener.process.signal(Signal::SIGHUP);
    let _read = listener.process.wait_for_log(|line| line.contains("the table was read again"));
    sender(&listener).say("RCPT TO:<b@example.com>", "250 ");
    let _shadowed = listener.process.wait_for_log(|line| line.contains("]: shadow "));
}
