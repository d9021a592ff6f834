#![deny(clippy::disallowed_methods)]
//! How long a client may take, as a pure function of what it has sent and when.
//!
//! Decides how long it is waited for, and what it is when it says nothing until then. Trusts nothing that it
//! sends but the count of it. Guarantees that no trickle of octets, however regular, holds a session longer than
//! its octets at [`FLOOR`] take, and `timeout`.

use std::time::{Duration, Instant};

/// Octets a second that a client may always count on. Who is slower than that lives on `timeout`, which RFC 5321
/// section 4.5.3.2 has at five minutes for a command and three for a block of a message: 90,000 octets.
const FLOOR: u32 = 500;

/// A client between two replies of ours.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Pace {
    timeout: Duration,
    end: Instant,
    /// When it was its turn.
    since: Instant,
    /// What its octets since then have earned it.
    earned: Duration,
}

/// What a client is that has sent nothing until its time was over.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Late {
    /// Silent for `timeout`.
    Idle,
    /// Not silent, and not fast enough.
    Slow,
    /// Longer here than `session-timeout`.
    Session,
}

impl Pace {
    /// A session begins; it may last until `end`.
    pub(crate) fn new(timeout: Duration, now: Instant, end: Instant) -> Self {
        Self { timeout, end, since: now, earned: Duration::ZERO }
    }

    /// A reply has been sent: it is the client's turn anew.
    pub(crate) fn replied(&mut self, now: Instant) {
        (self.since, self.earned) = (now, Duration::ZERO);
    }

    /// The client has sent so many octets.
    pub(crate) fn received(&mut self, octets: usize) {
        let octets = u32::try_from(octets).unwrap_or(u32::MAX);
        self.earned = self.earned.saturating_add(Duration::from_secs(1).saturating_mul(octets) / FLOOR);
    }

    /// How long a reply may take to be written.
    pub(crate) fn for_reply(&self, now: Instant) -> Duration {
        self.timeout.min(self.end.saturating_duration_since(now))
    }

    /// How long the client may be waited for now, and what it is if nothing comes.
    pub(crate) fn for_client(&self, now: Instant) -> (Duration, Late) {
        let used = now.saturating_duration_since(self.since);
        let limits = [
            (self.timeout, Late::Idle),
            (self.timeout.saturating_add(self.earned).saturating_sub(used), Late::Slow),
            (self.end.saturating_duration_since(now), Late::Session),
        ];
        // Of equals the first one.
        limits.into_iter().min_by_key(|(left, _)| *left).unwrap_or((Duration::ZERO, Late::Session))
    }
}

#[cfg(test)]
mod tests {
    #![expect(clippy::disallowed_methods, reason = "the tests need some instant to begin at")]

    use super::*;

    const fn seconds(count: u64) -> Duration {
        Duration::from_secs(count)
    }

    /// `timeout 300`, `session-timeout 3600`.
    fn begun() -> (Pace, Instant) {
        let start = Instant::now();
        (Pace::new(seconds(300), start, start + seconds(3600)), start)
    }

    /// When a client is given up that sends so many octets whenever so much time is over; and as what.
    fn given_up(octets: usize, every: Duration) -> (Duration, Late) {
        let (mut pace, start) = begun();
        let mut now = start;
        loop {
            let (patience, late) = pace.for_client(now);
            if patience < every || late == Late::Session && patience.is_zero() {
                return (now + patience - start, late);
            }
            now += every;
            pace.received(octets);
        }
    }

    #[test]
    fn a_silent_client_has_the_whole_timeout() {
        let (pace, start) = begun();
        assert_eq!(pace.for_client(start), (seconds(300), Late::Idle));
    }

    #[test]
    fn an_octet_every_ten_seconds_is_too_slow() {
        let (after, late) = given_up(1, seconds(10));
        assert!(after < seconds(301), "{after:?}");
        assert_eq!(late, Late::Slow);
    }

    #[test]
    fn half_the_floor_lives_twice_the_timeout() {
        let (after, late) = given_up(250, seconds(1));
        assert!((seconds(599)..=seconds(600)).contains(&after), "{after:?}");
        assert_eq!(late, Late::Slow);
    }

    #[test]
    fn at_the_floor_only_the_session_ends() {
        assert_eq!(given_up(500, seconds(1)), (seconds(3600), Late::Session));
    }

    #[test]
    fn a_burst_earns_no_longer_silence_than_the_timeout() {
        let (mut pace, start) = begun();
        pace.received(1_000_000);
        assert_eq!(pace.for_client(start + seconds(1000)), (seconds(300), Late::Idle));
    }

    #[test]
    fn a_reply_gives_the_client_its_turn_anew() {
        let (mut pace, start) = begun();
        pace.received(1_000_000);
        pace.replied(start + seconds(200));
        assert_eq!(pace.for_client(start + seconds(250)), (seconds(250), Late::Slow));
    }

    #[test]
    fn nobody_outlasts_the_session() {
        let (mut pace, start) = begun();
        pace.received(usize::MAX);
        assert_eq!(pace.for_client(start + seconds(3500)), (seconds(100), Late::Session));
        assert_eq!(pace.for_client(start + seconds(3601)), (Duration::ZERO, Late::Session));
        assert_eq!(pace.for_reply(start + seconds(3500)), seconds(100));
        assert_eq!(pace.for_reply(start), seconds(300));
    }
}
