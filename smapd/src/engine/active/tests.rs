use super::*;
use crate::samples;
use smap_common::spool::Ordered;
use std::time::Duration;

fn at(seconds: u64) -> Timestamp {
    Timestamp::from_micros(seconds * 1_000_000)
}

fn active(sender: &str, recipients: &[&str]) -> Active {
    let recipients: String = recipients.iter().map(|one| format!("RCPT {one}\n")).collect();
    let text = format!(
        "smap 1\nID 1K3N5Q0ZB7R2M4D8XJ9WTV\nTIME 0.0\nCLIENT -\nROLE mx\nFROM <{sender}>\n{recipients}\n"
    );
    Active::new(samples::message(&text, b""), Place::Incoming, None)
}

fn deferred() -> Report {
    Report::deferred(Status::transient(4, 1), "450 later")
}

fn failed() -> Report {
    Report::failed(Status::permanent(1, 1), "550 no")
}

#[test]
fn a_message_that_everyone_has_is_done() {
    let mut active = active("a@b", &["<c@d>", "<e@d>"]);
    active.report(0, Report::delivered("250 ok"), at(1));
    active.report(1, Report::delivered("250 ok"), at(1));
    let conclusion = active.conclude(&Smapd::default(), at(1));
    assert_eq!((conclusion.next, conclusion.failed.len()), (None, 0));
    assert!(active.pending().is_empty());
}

#[test]
fn who_is_delivered_is_marked_before_the_others_are() {
    let mut active = active("a@b", &["<c@d>", "<e@d>", "<f@d>"]);
    active.report(1, Report::delivered("250 ok"), at(1));
    active.report(2, deferred(), at(1));
    let marks: Vec<u32> = active.take_delivered().iter().map(|mark| mark.recipient).collect();
    assert_eq!(marks, [1]);
    assert_eq!(active.take_delivered(), []);
    let marks: Vec<u32> = active.take_unwritten().iter().map(|mark| mark.recipient).collect();
    assert_eq!(marks, [2]);
}

#[test]
fn a_failure_is_not_marked_before_its_sender_is_told() {
    let mut active = active("a@b", &["<c@d>", "<e@d>"]);
    active.report(0, failed(), at(1));
    assert_eq!(active.take_delivered(), []);
    active.report(1, deferred(), at(1));
    let conclusion = active.conclude(&Smapd::default(), at(1));
    assert_eq!(conclusion.failed, [0]);
    assert!(conclusion.next.is_some_and(|next| (at(301)..at(340)).contains(&next)), "{conclusion:?}");
    assert_eq!(active.take_unwritten().len(), 2);
}

#[test]
fn the_sender_hears_only_of_what_it_asked_for() {
    let mut active = active("a@b", &["<c@d> NOTIFY=NEVER", "<e@d> NOTIFY=FAILURE"]);
    active.report(0, failed(), at(1));
    active.report(1, failed(), at(1));
    assert_eq!(active.conclude(&Smapd::default(), at(1)).failed, [1]);
}

#[test]
fn a_success_is_told_until_its_notification_is_stored() {
    let mut active = active("a@b", &["<c@d> NOTIFY=SUCCESS", "<e@d> NOTIFY=SUCCESS"]);
    active.report(0, Report::delivered("250 ok"), at(1));
    active.report(1, Report::delivered("250 ok"), at(1));
    assert_eq!(active.conclude(&Smapd::default(), at(1)).delivered, [0, 1]);
    active.successes_are_told(&[0]);
    assert_eq!(active.conclude(&Smapd::default(), at(2)).delivered, [1]);
}

#[test]
fn what_waited_too_long_has_failed() {
    let mut active = active("a@b", &["<c@d>"]);
    active.report(0, deferred(), at(1));
    let smapd = Smapd::default();
    let conclusion = active.conclude(&smapd, at(0).after(smapd.expire));
    assert_eq!((conclusion.next, conclusion.failed), (None, vec![0]));
    let mark = &active.state.marks[&0];
    assert_eq!((mark.outcome, mark.status.to_string().as_str()), (Outcome::Failed, "5.4.7"));
    assert_eq!(mark.reply, "450 later");
}

#[test]
fn the_sender_is_told_of_a_delay_once() {
    let mut active = active("a@b", &["<c@d>"]);
    let smapd = Smapd::default();
    active.report(0, deferred(), at(1));
    assert_eq!(active.conclude(&smapd, at(1)).delayed, []);
    let late = at(0).after(smapd.warn + Duration::from_secs(1));
    assert_eq!(active.conclude(&smapd, late).delayed, [0]);
    active.state.warned = Some(late);
    assert_eq!(active.conclude(&smapd, late).delayed, []);
}

#[test]
fn a_notification_that_failed_is_the_administrators_whatever_it_asked_for() {
    let mut active = active("", &["<c@d> NOTIFY=NEVER"]);
    active.report(0, failed(), at(1));
    assert_eq!(active.conclude(&Smapd::default(), at(1)).failed, [0]);
    assert!(active.is_double_bounce());
    active.failures_are_told(&[0], at(2));
    assert!(!active.is_double_bounce());
}

#[test]
fn marks_that_could_not_be_written_are_written_again() {
    let mut active = active("a@b", &["<c@d>", "<e@d>"]);
    active.report(0, Report::delivered("250 ok"), at(1));
    active.report(1, deferred(), at(1));
    assert_eq!(active.take_unwritten().len(), 2);
    assert_eq!(active.take_unwritten().len(), 0);
    active.write_again();
    assert_eq!(active.take_unwritten().len(), 2);
    assert_eq!(active.pending(), [1]);
}

fn order(active: &mut Active, seconds: u64, order: Order, text: &str) {
    active.state.order(Ordered { at: at(seconds), order, by: 0, text: text.to_owned() });
}

#[test]
fn who_is_held_neither_expires_nor_is_told_of_a_delay() {
    let smapd = Smapd::default();
    let late = 1000 * smapd.expire.as_secs();
    let mut active = active("a@b", &["<c@d>"]);
    order(&mut active, 1, Order::Hold, "");
    active.report(0, deferred(), at(late));
    let conclusion = active.conclude(&smapd, at(late));
    assert_eq!((conclusion.expired, conclusion.failed, conclusion.delayed), (vec![], vec![], vec![]));
    assert!(conclusion.next.is_some());
}

#[test]
fn the_time_for_which_it_was_held_does_not_bring_its_end_nearer() {
    let smapd = Smapd::default();
    let (held, expire) = (at(1000 * smapd.expire.as_secs()), smapd.expire.as_secs());
    let mut active = active("a@b", &["<c@d>"]);
    order(&mut active, 0, Order::Hold, "");
    order(&mut active, held.seconds(), Order::Release, "");
    active.report(0, deferred(), held);
    let conclusion = active.conclude(&smapd, held);
    let soon = at(held.seconds() + 300)..at(held.seconds() + 340);
    assert!(conclusion.next.is_some_and(|next| soon.contains(&next)), "{conclusion:?}");
    assert_eq!(conclusion.delayed, []);
    let conclusion = active.conclude(&smapd, at(held.seconds() + expire));
    assert_eq!(conclusion.expired, [0]);
}

#[test]
fn what_the_operator_returns_has_failed_for_all_who_do_not_have_it() {
    let mut active = active("a@b", &["<c@d>", "<e@d>", "<f@d>"]);
    order(&mut active, 1, Order::Bounce, "no such project");
    active.report(0, Report::delivered("250 ok"), at(1));
    active.report(1, deferred(), at(1));
    let conclusion = active.conclude(&Smapd::default(), at(1));
    assert_eq!((conclusion.failed, conclusion.next), (vec![1, 2], None));
    assert_eq!(conclusion.returned, [1, 2]);
    let mark = &active.state.marks[&1];
    assert_eq!((mark.reply.as_str(), mark.status), ("no such project", Status::permanent(7, 0)));
    assert_eq!(active.state.marks[&0].outcome, Outcome::Delivered);
}
