use super::*;

fn at(seconds: u64) -> Timestamp {
    Timestamp::from_micros(seconds * 1_000_000)
}

fn id(number: u64) -> QueueId {
    QueueId::new(at(1), number)
}

#[test]
fn messages_come_out_when_they_are_due_and_in_that_order() {
    let mut schedule = Schedule::default();
    schedule.set(id(1), at(30));
    schedule.set(id(2), at(10));
    schedule.set(id(3), at(20));
    assert_eq!(schedule.take_due(at(9)), None);
    assert_eq!(schedule.next(), Some(at(10)));
    assert_eq!(schedule.take_due(at(20)), Some(id(2)));
    assert_eq!(schedule.take_due(at(20)), Some(id(3)));
    assert_eq!(schedule.take_due(at(20)), None);
    assert!(schedule.contains(id(1)) && !schedule.contains(id(2)));
}

#[test]
fn a_message_waits_for_one_time_only() {
    let mut schedule = Schedule::default();
    schedule.set(id(1), at(10));
    schedule.set(id(1), at(50));
    assert_eq!(schedule.take_due(at(20)), None);
    assert_eq!(schedule.take_due(at(50)), Some(id(1)));
    assert_eq!(schedule.next(), None);
}

#[test]
fn the_waits_follow_the_list_and_the_last_repeats() {
    let smapd = Smapd::default();
    let waits: Vec<Prospect> = [1, 2, 7, 100].map(|tries| prospect(&smapd, at(0), tries, at(100))).to_vec();
    let minutes = |minutes: u64| Prospect::Retry(at(100 + minutes * 60));
    assert_eq!(waits, [minutes(5), minutes(10), minutes(240), minutes(240)]);
}

#[test]
fn the_last_attempt_is_at_the_expiry() {
    let mut smapd = Smapd::default();
    smapd.expire = Duration::from_secs(400);
    assert_eq!(prospect(&smapd, at(0), 1, at(200)), Prospect::Retry(at(400)));
    assert_eq!(prospect(&smapd, at(0), 2, at(400)), Prospect::GiveUp);
}

#[test]
fn a_clock_that_was_set_back_delays_nothing_for_ever() {
    let smapd = Smapd::default();
    assert_eq!(due(&smapd, Some(at(1_000_000)), at(0)), at(4 * 3600));
    assert_eq!(due(&smapd, Some(at(50)), at(100)), at(50));
    assert_eq!(due(&smapd, None, at(100)), at(100));
    assert_eq!(prospect(&smapd, at(1_000_000), 1, at(0)), Prospect::Retry(at(300)));
}

#[test]
fn nothing_waits_for_a_time_that_the_clock_was_set_back_from() {
    let mut schedule = Schedule::default();
    schedule.set(id(1), at(1000));
    schedule.set(id(2), at(10));
    schedule.none_after(at(50));
    assert_eq!(schedule.take_due(at(10)), Some(id(2)));
    assert_eq!(schedule.next(), Some(at(50)));
}
