//! Call-outs as time goes by: how long an answer counts, and what counts while there is none.

use std::sync::{Arc, Mutex};

use smap_common::lookup::{Answer, Failure};
use smap_tests::clock::DAY;
use smap_tests::gateway::free_port;
use smap_tests::needs::Need::Program;
use smap_tests::sink::{Act, Sink};
use smap_tests::{eventually, tests};

use super::addresses;
use super::callout::{Desk, asked, knowing, recipient, to};

tests! {
    a_host_that_is_down_is_no_answer: [Program("cc")];
    in_an_outage_who_has_existed_still_does: [Program("cc")];
    who_did_not_exist_is_asked_for_again_later: [Program("cc")];
    a_host_that_says_nothing_is_given_up: [Program("cc")];
    a_host_that_takes_everybody_is_warned_of_once: [Program("cc")];
}

fn a_host_that_is_down_is_no_answer() {
    let port = free_port();
    let (desk, clock) = Desk::by_clock(&format!("smtp:[127.0.0.1]:{port}"));
    let why = desk.assert_untold("a@example.com");
    assert!(why.contains("refused"), "{why}");
    let _line = desk.line("a@example.com", "failed");
    // It is left alone for a while, and asked then.
    let sink = Sink::on(port, |_, _| Act::Usual);
    desk.assert_untold("a@example.com");
    assert_eq!((desk.count("callout to="), sink.connections()), (1, 0));
    clock.let_pass(60);
    desk.assert_exists("a@example.com");
}

fn in_an_outage_who_has_existed_still_does() {
    let sink = knowing();
    let (desk, clock) = Desk::by_clock(&to(&sink));
    desk.assert_exists("a@example.com");
    desk.assert_unknown("b@example.com");
    sink.stop();
    clock.let_pass(6 * DAY);
    desk.assert_exists("a@example.com");
    let _line = desk.line("a@example.com", "failed");
    // Neither whom it did not know, nor whom it was never asked for.
    desk.assert_untold("b@example.com");
    desk.assert_untold("a2@example.com");
    clock.let_pass(8 * DAY);
    desk.assert_untold("a@example.com");
}

fn who_did_not_exist_is_asked_for_again_later() {
    let is_there = Arc::new(Mutex::new(false));
    let known = Arc::clone(&is_there);
    let sink = Sink::scripted(move |_, line| match line.starts_with("RCPT") {
        true if !*known.lock().unwrap() => Act::say("550 5.1.1 not yet"),
        _ => Act::Usual,
    });
    let (desk, clock) = Desk::by_clock(&to(&sink));
    desk.assert_unknown("a@example.com");
    *is_there.lock().unwrap() = true;
    clock.let_pass(3500);
    desk.assert_unknown("a@example.com");
    clock.let_pass(3700);
    desk.assert_exists("a@example.com");
    // And who existed, after a day.
    *is_there.lock().unwrap() = false;
    desk.assert_exists("a@example.com");
    clock.let_pass(2 * DAY);
    desk.assert_unknown("a@example.com");
}

fn a_host_that_says_nothing_is_given_up() {
    let sink = Sink::scripted(|_, line| if line.starts_with("RCPT") { Act::Silence } else { Act::Usual });
    let (desk, clock) = Desk::by_clock(&to(&sink));
    let asker = desk.asker();
    asker.send(1, recipient("a@example.com")).unwrap();
    eventually("it is asked", || (asked(&sink, "a@example.com") == 1).then_some(()));
    clock.let_pass(25);
    // It looks at its clock when something happens.
    asker.send(2, addresses("192.0.2.1")).unwrap();
    let mut answers = [asker.next().unwrap(), asker.next().unwrap()];
    answers.sort_by_key(|answered| answered.id);
    let Answer::Recipient(Err(Failure::Temporary(why))) = &answers[0].answer else { panic!("{answers:?}") };
    assert_eq!(why, "the server took too long to answer");
    let _line = desk.line("a@example.com", "failed");
}

fn a_host_that_takes_everybody_is_warned_of_once() {
    let sink = Sink::start();
    let (desk, clock) = Desk::by_clock(&to(&sink));
    let warnings = |count| {
        desk.process.wait_for_logs(count, |line| line.contains("accepts every recipient in example.com"))
    };
    desk.assert_exists("a@example.com");
    let line = warnings(1).swap_remove(0);
    assert!(line.contains(&format!("warning: [127.0.0.1]:{} ", sink.port())), "{line}");
    for user in ["b", "c", "d"] {
        desk.assert_exists(&format!("{user}@example.com"));
    }
    let over = |count| {
        let quits = || sink.lines().iter().filter(|(_, line)| line == "QUIT").count();
        eventually("the calls are over", || (quits() == count).then_some(()));
    };
    over(4);
    assert_eq!(desk.count("accepts every recipient"), 1);
    clock.let_pass(2 * DAY);
    desk.assert_exists("a@example.com");
    over(5);
    assert_eq!(warnings(2).len(), 2);
}
