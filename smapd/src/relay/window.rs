#![deny(clippy::disallowed_methods)]
//! How many connections a destination is worth, learnt from how it answers: pure, and told the time.
//!
//! Decides when one more may be made, and how long a destination that does not answer is left alone. A host that
//! has not answered gets one connection; one that answers gets as many more as it has, up to the table's limit. Where
//! it takes no more, it is left with those it has, and asked for one more now and then; where it loses some that
//! worked, with half of them.

use std::time::{Duration, Instant};

use smap_common::smtp::client::Trouble;

/// How long a host that refused one more connection is left with those that it has; longer each time.
const FULL: Duration = Duration::from_secs(5);
/// The longest of these times.
const LONGEST_FULL: Duration = Duration::from_secs(320);
/// How long a host that took one more is left with those until it is asked again.
const GROWING: Duration = Duration::from_secs(1);
/// How long a destination that did not answer is taken to be down: whoever comes for it is deferred at once. Longer
/// each time.
const DOWN: Duration = Duration::from_secs(3);
/// The longest of these times: mail that was not yet tried waits for no more than that.
const LONGEST_DOWN: Duration = Duration::from_secs(60);

/// The connections of a destination.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Count {
    /// All of them.
    pub(super) all: usize,
    /// Those that are being made, or have not been ready yet.
    pub(super) pending: usize,
}

impl Count {
    /// Those over which the server has agreed to talk.
    fn working(self) -> usize {
        self.all - self.pending
    }
}

/// What was learnt.
#[derive(Debug, Default)]
pub(super) struct Window {
    /// More than these it does not bear.
    ceiling: Option<usize>,
    /// When it may be asked for more.
    full_until: Option<Instant>,
    full_for: Duration,
    down: Option<(Instant, Trouble)>,
    down_for: Duration,
}

impl Window {
    /// Whether one more connection may be made for so many who wait.
    pub(super) fn has_room(&self, count: Count, waiting: usize, now: Instant) -> bool {
        let is_worth_asking = !self.is_quiet(now) && count.pending == 0;
        let bears = self.ceiling.is_none_or(|ceiling| count.all < ceiling || is_worth_asking);
        bears && count.pending < waiting.min(count.working().max(1))
    }

    /// A connection is ready.
    pub(super) fn answered(&mut self, count: Count, now: Instant) {
        (self.down, self.down_for) = (None, Duration::ZERO);
        if self.ceiling.is_some_and(|ceiling| count.working() > ceiling) {
            self.ceiling = Some(count.working());
            (self.full_until, self.full_for) = (Some(now + GROWING), Duration::ZERO);
        }
    }

    /// One more connection was not had, while others work.
    pub(super) fn refused(&mut self, count: Count, now: Instant) {
        if self.ceiling.is_none_or(|ceiling| count.working() < ceiling) || !self.is_quiet(now) {
            self.bears(count.working(), now);
        }
    }

    /// A connection that worked was lost. Of those that are lost together the first one speaks.
    pub(super) fn lost(&mut self, count: Count, now: Instant) {
        if !self.is_quiet(now) {
            self.bears(count.working() / 2, now);
        }
    }

    fn bears(&mut self, ceiling: usize, now: Instant) {
        if !self.is_quiet(now) {
            self.full_for = (self.full_for * 2).clamp(FULL, LONGEST_FULL);
        }
        self.ceiling = Some(ceiling.max(1));
        self.full_until = Some(now + self.full_for);
    }

    fn is_quiet(&self, now: Instant) -> bool {
        self.full_until.is_some_and(|until| until > now)
    }

    /// None of its addresses answers.
    pub(super) fn is_down(&mut self, trouble: Trouble, now: Instant) {
        self.down_for = (self.down_for * 2).clamp(DOWN, LONGEST_DOWN);
        self.down = Some((now + self.down_for, trouble));
    }

    /// What keeps this destination from being asked now.
    pub(super) fn trouble(&self, now: Instant) -> Option<&Trouble> {
        self.down.as_ref().filter(|(until, _)| *until > now).map(|(_, trouble)| trouble)
    }

    /// Whether anything that was learnt still counts: until so long after it might have been asked again.
    pub(super) fn matters(&self, now: Instant) -> bool {
        let down = self.down.as_ref().is_some_and(|(until, _)| *until + LONGEST_DOWN > now);
        down || self.full_until.is_some_and(|until| until + FULL > now)
    }

    /// The administrator knows better.
    pub(super) fn forget(&mut self) {
        *self = Self::default();
    }
}

#[cfg(test)]
mod tests {
    #![expect(clippy::disallowed_methods, reason = "the tests need some instant to begin at")]

    use super::*;

    const MANY: usize = 1000;

    const fn count(all: usize, pending: usize) -> Count {
        Count { all, pending }
    }

    fn trouble() -> Trouble {
        Trouble::Closed
    }

    #[test]
    fn a_host_that_has_not_answered_gets_one_connection() {
        let window = Window::default();
        assert!(window.has_room(count(0, 0), MANY, Instant::now()));
        assert!(!window.has_room(count(1, 1), MANY, Instant::now()));
    }

    #[test]
    fn a_host_that_answers_gets_as_many_more_as_it_has() {
        let (window, now) = (Window::default(), Instant::now());
        assert!(window.has_room(count(4, 0), MANY, now));
        assert!(window.has_room(count(7, 3), MANY, now));
        assert!(!window.has_room(count(8, 4), MANY, now));
    }

    #[test]
    fn nobody_waits_and_no_connection_is_made() {
        assert!(!Window::default().has_room(count(1, 0), 0, Instant::now()));
        assert!(!Window::default().has_room(count(5, 1), 1, Instant::now()));
    }

    #[test]
    fn a_full_host_is_asked_for_one_more_now_and_then() {
        let (mut window, start) = (Window::default(), Instant::now());
        window.refused(count(2, 0), start);
        assert!(!window.has_room(count(2, 0), MANY, start));
        assert!(window.has_room(count(1, 0), MANY, start));
        let later = start + FULL;
        assert!(window.has_room(count(2, 0), MANY, later));
        assert!(!window.has_room(count(3, 1), MANY, later));
        // Refused again, it is left alone for twice as long.
        window.refused(count(2, 0), later);
        assert!(!window.has_room(count(2, 0), MANY, later + FULL));
        assert!(window.has_room(count(2, 0), MANY, later + 2 * FULL));
    }

    #[test]
    fn a_host_that_takes_one_more_is_soon_asked_again() {
        let (mut window, start) = (Window::default(), Instant::now());
        window.refused(count(2, 0), start);
        let later = start + FULL;
        window.answered(count(3, 0), later);
        assert!(!window.has_room(count(3, 0), MANY, later));
        assert!(window.has_room(count(3, 0), MANY, later + GROWING));
    }

    #[test]
    fn a_host_that_loses_connections_is_left_with_half_of_them() {
        let (mut window, start) = (Window::default(), Instant::now());
        window.lost(count(20, 0), start);
        assert!(window.has_room(count(9, 0), MANY, start));
        assert!(!window.has_room(count(10, 0), MANY, start));
        // All of them at once are one event.
        window.lost(count(20, 0), start);
        assert!(window.has_room(count(10, 0), MANY, start + FULL));
    }

    #[test]
    fn a_dead_host_is_left_alone_for_longer_and_longer_but_never_long() {
        let (mut window, mut now) = (Window::default(), Instant::now());
        let mut waits = Vec::new();
        for _ in 0..7 {
            window.is_down(trouble(), now);
            let wait = (0..1000).map(Duration::from_secs).find(|wait| window.trouble(now + *wait).is_none());
            waits.push(wait.unwrap().as_secs());
            now += wait.unwrap();
        }
        assert_eq!(waits, [3, 6, 12, 24, 48, 60, 60]);
        window.answered(count(1, 0), now);
        window.is_down(trouble(), now);
        assert_eq!(window.trouble(now + DOWN), None);
    }

    #[test]
    fn what_was_learnt_is_forgotten_in_time() {
        let (mut window, now) = (Window::default(), Instant::now());
        assert!(!window.matters(now));
        window.is_down(trouble(), now);
        window.refused(count(2, 0), now);
        assert!(window.matters(now + DOWN) && !window.matters(now + LONGEST_FULL));
        window.forget();
        assert!(!window.matters(now));
    }
}
