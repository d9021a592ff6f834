//! What follows when an errand, a connection or an attempt at an address is over.
//!
//! Decides who is asked next, and who gets the room. Guarantees that an errand that is not over waits again, and that
//! every other one is reported.

use std::time::Instant;

use smap_common::smtp::client::{Trouble, Verdict};

use super::errand::report;
use super::socket::Target;
use super::{Errand, Finished, Relay};
use crate::delivery::Report;
use crate::plan::Destination;
use crate::turns::Sender;

impl Relay {
    pub(super) fn finish(
        &mut self,
        destination: &Destination,
        key: usize,
        errand: Errand,
        verdicts: Vec<Verdict>,
    ) {
        let Some((_, connection)) = self.connections.get(key) else { return };
        let (relay, reused) = (connection.target.to_string(), connection.served > 1);
        let (teller, security) = (connection.teller(), connection.security());
        let Some(place) = self.places.get_mut(destination) else { return };
        // A connection that was kept may have been closed at its other end meanwhile: that is no attempt.
        let was_closed = reused && errand.attempts == 0;
        let again = errand.attempts + 1 < place.targets.len() || was_closed;
        if !was_closed && verdicts.iter().any(|verdict| verdict.elsewhere) {
            place.window.lost(place.count(), Instant::now());
        }
        let (mut reports, mut rest) = (Vec::new(), Vec::new());
        for (index, (number, verdict)) in errand.numbers.iter().zip(verdicts).enumerate() {
            if verdict.elsewhere && again {
                rest.push(index);
            } else {
                reports.push((*number, report(verdict, teller).by(relay.as_str()).over(security.cloned())));
            }
        }
        if !reports.is_empty() {
            self.finished.push(Finished { ticket: errand.ticket, reports });
        }
        if !rest.is_empty() {
            // This host gave up on us, and not only a connection that was kept: the next one is asked.
            if !was_closed {
                place.prefer_the_next();
            }
            place.waiting.push_again(Sender::of(&errand.transaction.mail), errand.only(&rest));
        }
    }

    pub(super) fn close(&mut self, destination: &Destination, key: usize, trouble: Option<Trouble>) {
        let (_, mut connection) = self.connections.remove(key);
        // A socket that is closed is not watched any more, whatever the kernel says to this.
        let _gone = self.registry.deregister(connection.socket());
        if connection.is_leaving {
            self.line.has_left();
        }
        let Some(place) = self.places.get_mut(destination) else { return };
        place.connections -= 1;
        place.idle.retain(|idle| *idle != key);
        if !connection.was_ready {
            place.pending -= 1;
            let trouble = trouble.unwrap_or(Trouble::Closed);
            if !place.does_without_tls(destination, &connection.target, &trouble) {
                self.unreachable(destination, &connection.target, &trouble);
            }
        }
        // Its descriptor is free for the next.
        drop(connection);
        // Who has no connection at all comes before who has just had one.
        self.let_in();
        self.pump(destination);
    }

    /// One address did not answer: the next is tried, and after the last all who wait are deferred.
    pub(super) fn unreachable(&mut self, destination: &Destination, target: &Target, trouble: &Trouble) {
        let Some(place) = self.places.get_mut(destination) else { return };
        if place.working() > 0 {
            // It takes no more than it has: one too many is no reason to give anything up.
            place.window.refused(place.count(), Instant::now());
            place.preferred = 0;
            return;
        }
        if place.targets.get(place.preferred) != Some(target) {
            // Of several connections to the same address the first one has spoken.
            return;
        }
        place.prefer_the_next();
        place.failed += 1;
        if place.failed >= place.targets.len() {
            (place.preferred, place.failed) = (0, 0);
            place.window.is_down(trouble.clone(), Instant::now());
            let report = place.unreachable(trouble);
            self.give_up(destination, &report);
        }
    }

    /// The same befalls all who wait.
    pub(super) fn give_up(&mut self, destination: &Destination, report: &Report) {
        let Some(place) = self.places.get_mut(destination) else { return };
        while let Some(errand) = place.waiting.pop() {
            let reports = errand.numbers.iter().map(|number| (*number, report.clone())).collect();
            self.finished.push(Finished { ticket: errand.ticket, reports });
        }
    }

    /// There can be no more connections. Who has none is in line for the next that ends, and one that has nothing to
    /// do ends now.
    pub(super) fn wait_in_line(&mut self, destination: &Destination) {
        if self.places.get(destination).is_some_and(|place| place.connections > 0) {
            return;
        }
        self.line.join(destination);
        let idle = self.connections.iter().filter(|(_, (_, connection))| connection.idle_since.is_some());
        if let Some((key, _)) = idle.min_by_key(|(_, (_, connection))| connection.idle_since) {
            self.drive(key);
        }
    }

    /// Connections have become free for those in line; until one of them finds that there is no room after all.
    pub(super) fn let_in(&mut self) {
        while self.connections.len() < self.limits.all
            && let Some(destination) = self.line.next()
        {
            self.pump(&destination);
            if self.line.has(&destination) {
                return;
            }
        }
    }
}
