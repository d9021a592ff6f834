//! Mail to other hosts: destinations, their connections, and who waits for them.
//!
//! Decides when a connection is made, used again and closed, and which address is tried next. Guarantees that
//! every errand that was submitted comes back once, with a report for each of its recipients.

mod connection;
mod errand;
mod fit;
mod place;
mod socket;

use std::collections::HashMap;
use std::io;
use std::net::IpAddr;
use std::time::{Duration, Instant};

use mio::{Interest, Registry, Token};
use slab::Slab;
use smap_common::smtp::client::{Trouble, Verdict};

use self::connection::{Connection, Wish};
use self::errand::report;
pub use self::errand::{Errand, Finished};
use self::place::{Place, Targets};
use crate::delivery::Report;
use crate::plan::{Destination, Hop};

/// How long a connection is kept for the next message.
const KEEP_IDLE: Duration = Duration::from_secs(2);
/// How long looked-up addresses are used.
const KEEP_ADDRESSES: Duration = Duration::from_secs(60);
/// How long a host that refused one more connection is left with those that it has.
const FULL: Duration = Duration::from_secs(5);
/// How long a host that did not answer is taken to be down: whoever comes for it is deferred at once.
const DOWN: Duration = Duration::from_secs(3);
/// How long a name may take to be looked up.
const LOOKUP_PATIENCE: Duration = Duration::from_secs(30);
/// Octets read, or taken from the spool, at a time.
const BUFFER: usize = 32 * 1024;

/// A name that is being looked up.
#[derive(Debug)]
struct Asked {
    destination: Destination,
    host: String,
    since: Instant,
}

/// Most connections.
#[derive(Debug, Clone, Copy)]
pub struct Limits {
    /// In all.
    pub all: usize,
    /// To one destination.
    pub each: usize,
}

/// A name that has to be looked up; the number comes back with the answer.
#[derive(Debug, PartialEq, Eq)]
pub struct Lookup {
    /// The number.
    pub number: u64,
    /// The name.
    pub host: String,
}

/// All connections to other hosts.
#[derive(Debug)]
pub struct Relay {
    hostname: String,
    limits: Limits,
    registry: Registry,
    first_token: usize,
    places: HashMap<Destination, Place>,
    connections: Slab<(Destination, Connection)>,
    lookups: HashMap<u64, Asked>,
    unasked: Vec<Lookup>,
    next_lookup: u64,
    finished: Vec<Finished>,
    buffer: Vec<u8>,
}

impl Relay {
    /// No connections yet; sockets are registered with tokens from `first_token` on.
    #[must_use]
    pub fn new(hostname: String, limits: Limits, registry: Registry, first_token: usize) -> Self {
        Self {
            hostname,
            limits,
            registry,
            first_token,
            places: HashMap::new(),
            connections: Slab::new(),
            lookups: HashMap::new(),
            unasked: Vec::new(),
            next_lookup: 0,
            finished: Vec::new(),
            buffer: vec![0; BUFFER],
        }
    }

    /// A new table is in force.
    pub fn reconfigure(&mut self, hostname: String, limits: Limits) {
        (self.hostname, self.limits) = (hostname, limits);
    }

    /// Takes an errand.
    pub fn submit(&mut self, destination: &Destination, errand: Errand) {
        let place = self.places.entry(destination.clone()).or_default();
        place.waiting.push_back(errand);
        self.pump(destination);
    }

    /// Errands that are over.
    pub fn take_finished(&mut self) -> Vec<Finished> {
        std::mem::take(&mut self.finished)
    }

    /// Names to look up.
    pub fn take_lookups(&mut self) -> Vec<Lookup> {
        std::mem::take(&mut self.unasked)
    }

    /// When something has to be looked at again, if nothing happens before.
    #[must_use]
    pub fn next_deadline(&self) -> Option<Instant> {
        let connections = self.connections.iter().map(|(_, (_, connection))| {
            connection.idle_since.map_or(connection.deadline, |since| since + KEEP_IDLE)
        });
        connections.chain(self.lookups.values().map(|asked| asked.since + LOOKUP_PATIENCE)).min()
    }

    /// Something happened on the socket of this token.
    pub fn ready(&mut self, token: Token) {
        if let Some(key) = token.0.checked_sub(self.first_token) {
            self.drive(key);
        }
    }

    /// A name was looked up, or cannot be.
    pub fn resolved(&mut self, number: u64, answer: Result<Vec<IpAddr>, String>) {
        let Some(Asked { destination, host, .. }) = self.lookups.remove(&number) else { return };
        if let Some(place) = self.places.get_mut(&destination) {
            place.answers.insert(host, answer);
        }
        self.pump(&destination);
    }

    /// How many errands wait for a connection to this destination.
    #[must_use]
    pub fn waiting(&self, destination: &Destination) -> usize {
        self.places.get(destination).map_or(0, |place| place.waiting.len())
    }

    /// Ends what has taken too long.
    pub fn tick(&mut self, now: Instant) {
        let late =
            |(number, asked): (&u64, &Asked)| (asked.since + LOOKUP_PATIENCE <= now).then_some(*number);
        let unanswered: Vec<u64> = self.lookups.iter().filter_map(late).collect();
        for number in unanswered {
            self.resolved(number, Err("nobody has answered".to_owned()));
        }
        let keys: Vec<usize> = self.connections.iter().map(|(key, _)| key).collect();
        for key in keys {
            let Some((destination, connection)) = self.connections.get_mut(key) else { continue };
            match connection.idle_since {
                Some(since) if since + KEEP_IDLE <= now => {
                    if let Some(place) = self.places.get_mut(destination) {
                        place.idle.retain(|idle| *idle != key);
                    }
                    connection.quit();
                    self.drive(key);
                }
                None if connection.deadline <= now => {
                    connection.lose(Trouble::TimedOut);
                    self.drive(key);
                }
                _ => {}
            }
        }
    }

    /// Says goodbye on every connection that has nothing to do.
    pub fn close_idle(&mut self) {
        self.tick(Instant::now() + KEEP_IDLE);
    }

    /// Gives errands that wait to connections that can take them, and makes connections.
    fn pump(&mut self, destination: &Destination) {
        loop {
            let Some(place) = self.places.get_mut(destination) else { return };
            if place.waiting.is_empty() {
                return;
            }
            if let Some(key) = place.idle.pop() {
                let errand = place.waiting.pop_front();
                if let (Some((_, connection)), Some(errand)) = (self.connections.get_mut(key), errand) {
                    connection.begin(errand, &mut self.buffer);
                    self.drive(key);
                }
                continue;
            }
            if let Some(trouble) = place.is_down(Instant::now()) {
                return self.give_up(destination, &trouble);
            }
            match self.targets(destination) {
                Targets::Known => {}
                Targets::Asked => return,
                Targets::None(why) => return self.give_up(destination, &Trouble::Unreachable(why)),
            }
            let Some(place) = self.places.get(destination) else { return };
            let full = place.connections >= self.limits.each || self.connections.len() >= self.limits.all;
            if full || place.has_enough(Instant::now()) {
                return;
            }
            self.connect(destination);
        }
    }

    /// Makes sure that the addresses of a destination are known, or asked for.
    fn targets(&mut self, destination: &Destination) -> Targets {
        let Some(place) = self.places.get_mut(destination) else { return Targets::Asked };
        if place.is_fresh() {
            return Targets::Known;
        }
        if !place.asked {
            place.asked = true;
            place.answers.clear();
            for hop in &destination.hops {
                if let Hop::Name(host, _) = hop {
                    self.next_lookup += 1;
                    let asked =
                        Asked { destination: destination.clone(), host: host.clone(), since: Instant::now() };
                    self.lookups.insert(self.next_lookup, asked);
                    self.unasked.push(Lookup { number: self.next_lookup, host: host.clone() });
                }
            }
        }
        match place.collect(destination) {
            None => Targets::Asked,
            Some(Ok(targets)) => {
                (place.targets, place.asked, place.preferred) = (targets, false, 0);
                place.known_until = Some(Instant::now() + KEEP_ADDRESSES);
                Targets::Known
            }
            Some(Err(_)) if place.working() > 0 => {
                (place.asked, place.known_until) = (false, Some(Instant::now() + KEEP_ADDRESSES));
                Targets::Known
            }
            Some(Err(why)) => {
                place.asked = false;
                Targets::None(why)
            }
        }
    }

    fn connect(&mut self, destination: &Destination) {
        let Some(place) = self.places.get_mut(destination) else { return };
        let Some(target) = place.targets.get(place.preferred).cloned() else { return };
        let opened = Connection::open(target, destination.dialect, &self.hostname, destination.timeout);
        let entry = self.connections.vacant_entry();
        let key = entry.key();
        let opened = opened.and_then(|mut connection| {
            let token = Token(self.first_token + key);
            self.registry.register(connection.socket(), token, Interest::READABLE | Interest::WRITABLE)?;
            Ok(connection)
        });
        match opened {
            Ok(connection) => {
                place.connections += 1;
                place.pending += 1;
                entry.insert((destination.clone(), connection));
            }
            Err(error) => self.unreachable(destination, &trouble_of(&error)),
        }
    }

    fn drive(&mut self, key: usize) {
        loop {
            let Some((destination, connection)) = self.connections.get_mut(key) else { return };
            let was_ready = connection.was_ready;
            let wish = connection.drive(&mut self.buffer);
            let newly_ready = connection.was_ready && !was_ready;
            let destination = destination.clone();
            if newly_ready && let Some(place) = self.places.get_mut(&destination) {
                place.pending -= 1;
            }
            match wish {
                Wish::Nothing => return,
                Wish::Errand => {
                    let found = self.find_work(&destination, key);
                    if newly_ready {
                        self.pump(&destination);
                    }
                    if !found {
                        return;
                    }
                }
                Wish::Done(errand, verdicts) => self.finish(&destination, key, *errand, verdicts),
                Wish::Close(trouble) => return self.close(&destination, key, trouble),
            }
        }
    }

    /// Gives a free connection the next errand; says whether there was one.
    fn find_work(&mut self, destination: &Destination, key: usize) -> bool {
        let Some(place) = self.places.get_mut(destination) else { return false };
        let Some((_, connection)) = self.connections.get_mut(key) else { return false };
        match place.waiting.pop_front() {
            Some(errand) => {
                place.idle.retain(|idle| *idle != key);
                connection.begin(errand, &mut self.buffer);
                true
            }
            None => {
                if connection.idle_since.is_none() {
                    connection.idle_since = Some(Instant::now());
                    place.idle.push(key);
                }
                false
            }
        }
    }

    fn finish(&mut self, destination: &Destination, key: usize, errand: Errand, verdicts: Vec<Verdict>) {
        let Some((_, connection)) = self.connections.get(key) else { return };
        let (relay, reused) = (connection.target.to_string(), connection.served > 1);
        let teller = connection.teller();
        let Some(place) = self.places.get_mut(destination) else { return };
        // A connection that was kept may have been closed at its other end meanwhile: that is no attempt.
        let again = errand.attempts + 1 < place.targets.len() || (reused && errand.attempts == 0);
        let (mut reports, mut rest) = (Vec::new(), Vec::new());
        for (index, (number, verdict)) in errand.numbers.iter().zip(verdicts).enumerate() {
            if verdict.elsewhere && again {
                rest.push(index);
            } else {
                reports.push((*number, report(verdict, teller).by(relay.as_str())));
            }
        }
        if !reports.is_empty() {
            self.finished.push(Finished { ticket: errand.ticket, reports });
        }
        if !rest.is_empty() {
            // This host gave up on us, and not only a connection that was kept: the next one is asked.
            if !(reused && errand.attempts == 0) {
                place.preferred = (place.preferred + 1) % place.targets.len().max(1);
            }
            place.waiting.push_front(errand.only(&rest));
        }
    }

    fn close(&mut self, destination: &Destination, key: usize, trouble: Option<Trouble>) {
        let (_, mut connection) = self.connections.remove(key);
        // A socket that is closed is not watched any more, whatever the kernel says to this.
        let _gone = self.registry.deregister(connection.socket());
        let Some(place) = self.places.get_mut(destination) else { return };
        place.connections -= 1;
        place.idle.retain(|idle| *idle != key);
        if !connection.was_ready {
            place.pending -= 1;
            let trouble = trouble.unwrap_or(Trouble::Closed);
            self.unreachable(destination, &trouble);
        }
        // Who has no connection at all comes before who has just had one.
        self.pump_those_who_wait();
        self.pump(destination);
        self.places.retain(|_, place| !place.waiting.is_empty() || place.connections > 0 || place.is_fresh());
    }

    /// One address did not answer: the next is tried, and after the last all who wait are deferred.
    fn unreachable(&mut self, destination: &Destination, trouble: &Trouble) {
        let Some(place) = self.places.get_mut(destination) else { return };
        if place.working() > 0 {
            // It takes no more than it has: one too many is no reason to give anything up.
            place.full_until = Some(Instant::now() + FULL);
            return;
        }
        place.preferred += 1;
        if place.preferred >= place.targets.len() {
            place.preferred = 0;
            place.down = Some((Instant::now() + DOWN, trouble.clone()));
            self.give_up(destination, trouble);
        }
    }

    fn give_up(&mut self, destination: &Destination, trouble: &Trouble) {
        let Some(place) = self.places.get_mut(destination) else { return };
        let relay = place.targets.last().map(ToString::to_string).unwrap_or_default();
        for errand in place.waiting.drain(..) {
            let deferred = || Report::deferred(trouble.status(), trouble.to_string()).by(relay.as_str());
            let reports = errand.numbers.iter().map(|number| (*number, deferred())).collect();
            self.finished.push(Finished { ticket: errand.ticket, reports });
        }
    }

    /// A connection has become free for somebody else.
    fn pump_those_who_wait(&mut self) {
        if self.connections.len() >= self.limits.all {
            return;
        }
        let hungry = |place: &Place| !place.waiting.is_empty() && place.connections == 0;
        let waiting: Vec<Destination> = self
            .places
            .iter()
            .filter(|(_, place)| hungry(place))
            .map(|(destination, _)| destination.clone())
            .collect();
        for destination in waiting {
            self.pump(&destination);
        }
    }
}

fn trouble_of(error: &io::Error) -> Trouble {
    Trouble::Unreachable(error.to_string())
}
