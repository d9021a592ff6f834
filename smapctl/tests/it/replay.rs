//! Yesterday's log and a new table: what would change, as the reference has it.

use smapctl::replay::{Decisions, Replay};

use crate::golden::{assert_golden, file, read, site};

fn decisions() -> Decisions {
    let log = std::fs::read_to_string(file("replay/mail.log")).unwrap();
    let mut decisions = Decisions::default();
    log.lines().for_each(|line| decisions.line(line));
    decisions
}

#[test]
fn a_new_table_over_a_log_says_what_would_change() {
    let replay = Replay::of(&site(&read(&file("replay/table.in"))), &decisions().made);
    assert_golden(&file("replay/changes.text"), &replay.show(1));
    assert_golden(&file("replay/changes.json"), &(serde_json::to_string_pretty(&replay).unwrap() + "\n"));
}

#[test]
fn a_log_tells_of_each_decision_once() {
    let made = decisions().made;
    let of = |verdict| made.iter().filter(|decision| decision.verdict == verdict).count();
    assert_eq!([of("permit"), of("refuse"), of("defer"), of("discard")], [13, 3, 1, 1]);
}
