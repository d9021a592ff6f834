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

/// How long a message waits after so many tries.
fn wait(smapd: &Smapd, number: u64, tries: u32) -> Duration {
    match prospect(smapd, id(number), at(100), tries, at(100)) {
        Prospect::Retry(then) => then.since(at(100)),
        Prospect::GiveUp => panic!("it has just come"),
    }
}

#[test]
fn the_waits_follow_the_list_and_the_last_repeats() {
    let smapd = Smapd::default();
    for (tries, minutes) in [(1, 5), (2, 10), (7, 240), (100, 240)] {
        let least = Duration::from_mins(minutes);
        for number in 0..100 {
            let wait = wait(&smapd, number, tries);
            assert!((least..=least + least / 8).contains(&wait), "{tries}: {wait:?}");
        }
    }
}

#[test]
fn what_was_deferred_together_does_not_come_together_again() {
    let smapd = Smapd::default();
    let waits: Vec<Duration> = (0..1000).map(|number| wait(&smapd, number, 7)).collect();
    // 240 minutes and up to 30 more, of which none sees more than twice its share.
    for minute in 240..270 {
        let within = Duration::from_mins(minute)..Duration::from_mins(minute + 1);
        let crowd = waits.iter().filter(|wait| within.contains(*wait)).count();
        assert!((10..=70).contains(&crowd), "{minute}: {crowd}");
    }
}

#[test]
fn a_decision_can_be_told_again() {
    let smapd = Smapd::default();
    assert_eq!(wait(&smapd, 1, 3), wait(&smapd, 1, 3));
}

#[test]
fn the_last_attempt_is_at_the_expiry() {
    let mut smapd = Smapd::default();
    smapd.expire = Duration::from_secs(400);
    assert_eq!(prospect(&smapd, id(1), at(0), 1, at(200)), Prospect::Retry(at(400)));
    assert_eq!(prospect(&smapd, id(1), at(0), 2, at(400)), Prospect::GiveUp);
}

#[test]
fn a_clock_that_was_set_back_delays_nothing_for_ever() {
    let smapd = Smapd::default();
    assert_eq!(due(&smapd, Some(at(1_000_000)), at(0)), at(4 * 3600 * 9 / 8));
    assert_eq!(due(&smapd, Some(at(50)), at(100)), at(50));
    assert_eq!(due(&smapd, None, at(100)), at(100));
    let Prospect::Retry(next) = prospect(&smapd, id(1), at(1_000_000), 1, at(0)) else { panic!("it waits") };
    assert!(next < at(340), "{next:?}");
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
