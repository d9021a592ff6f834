//! Mail to other hosts: destinations, their connections, and who waits for them.
//!
//! Decides when a connection is made, used again and closed, and which address is tried next. Guarantees that
//! every errand that was submitted comes back once, with a report for each of its recipients.

mod connection;
mod errand;
mod fit;
mod place;
mod search;
mod socket;

use std::collections::HashMap;
use std::hash::{BuildHasher, RandomState};
use std::io;
use std::time::{Duration, Instant};

use mio::{Interest, Registry, Token};
use slab::Slab;
use smap_common::smtp::client::{Trouble, Verdict};

use self::connection::{Connection, Wish};
use self::errand::report;
pub use self::errand::{Errand, Finished};
use self::place::{Place, Targets};
pub use self::search::{Answer, Asked};
use self::search::{Search, Step};
use crate::delivery::Report;
use crate::exchangers::Ourselves;
use crate::plan::Destination;

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

/// What is being looked up.
#[derive(Debug)]
struct Underway {
    destination: Destination,
    question: Asked,
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

/// What has to be looked up; the number comes back with the answer.
#[derive(Debug, PartialEq, Eq)]
pub struct Lookup {
    /// The number.
    pub number: u64,
    /// The question.
    pub question: Asked,
}

/// All connections to other hosts.
#[derive(Debug)]
pub struct Relay {
    ours: Ourselves,
    limits: Limits,
    registry: Registry,
    first_token: usize,
    places: HashMap<Destination, Place>,
    connections: Slab<(Destination, Connection)>,
    lookups: HashMap<u64, Underway>,
    unasked: Vec<Lookup>,
    next_lookup: u64,
    finished: Vec<Finished>,
    buffer: Vec<u8>,
}

impl Relay {
    /// No connections yet; sockets are registered with tokens from `first_token` on.
    #[must_use]
    pub fn new(ours: Ourselves, limits: Limits, registry: Registry, first_token: usize) -> Self {
        Self {
            ours,
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
    pub fn reconfigure(&mut self, ours: Ourselves, limits: Limits) {
        (self.ours, self.limits) = (ours, limits);
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

    /// What is to be looked up.
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

    /// A question was answered.
    pub fn resolved(&mut self, number: u64, answer: Answer) {
        let Some(Underway { destination, question, .. }) = self.lookups.remove(&number) else { return };
        let place = self.places.get_mut(&destination);
        if let Some(search) = place.and_then(|place| place.search.as_mut()) {
            search.heard(question, answer);
        }
        self.pump(&destination);
    }

    /// How many errands wait for a connection to this destination.
    #[must_use]
    pub fn waiting(&self, destination: &Destination) -> usize {
        self.places.get(destination).map_or(0, |place| place.waiting.len())
    }

    /// Nobody is taken to be down or full any more: the administrator knows better.
    pub fn forget_troubles(&mut self) {
        self.places.values_mut().for_each(|place| (place.down, place.full_until) = (None, None));
    }

    /// Ends what has taken too long.
    pub fn tick(&mut self, now: Instant) {
        let late = self.lookups.iter().filter(|(_, underway)| underway.since + LOOKUP_PATIENCE <= now);
        let unanswered: Vec<(u64, Answer)> =
            late.map(|(number, late)| (*number, late.question.unanswered("nobody has answered"))).collect();
        for (number, answer) in unanswered {
            self.resolved(number, answer);
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
                let report = place.unreachable(&trouble);
                return self.give_up(destination, &report);
            }
            match self.targets(destination) {
                Targets::Known => {}
                Targets::Asked => return,
                Targets::None(report) => return self.give_up(destination, &report),
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
        let search = place.search.get_or_insert_with(|| Search::new(RandomState::new().hash_one(())));
        let found = match search.step(&destination.hops, &self.ours) {
            Step::Ask(questions) => {
                self.ask(destination, questions);
                return Targets::Asked;
            }
            Step::Found(targets) => Ok(targets),
            Step::Nowhere(report) => Err(report),
        };
        place.search = None;
        match found {
            Ok(targets) => (place.targets, place.preferred) = (targets, 0),
            Err(_) if place.working() > 0 => {}
            Err(report) => return Targets::None(report),
        }
        place.known_until = Some(Instant::now() + KEEP_ADDRESSES);
        Targets::Known
    }

    fn ask(&mut self, destination: &Destination, questions: Vec<Asked>) {
        for question in questions {
            self.next_lookup += 1;
            let asked = Underway {
                destination: destination.clone(),
                question: question.clone(),
                since: Instant::now(),
            };
            self.lookups.insert(self.next_lookup, asked);
            self.unasked.push(Lookup { number: self.next_lookup, question });
        }
    }

    fn connect(&mut self, destination: &Destination) {
        let Some(place) = self.places.get_mut(destination) else { return };
        let Some(target) = place.targets.get(place.preferred).cloned() else { return };
        let opened = Connection::open(target, destination.dialect, &self.ours.name, destination.timeout);
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
            let report = place.unreachable(trouble);
            self.give_up(destination, &report);
        }
    }

    /// The same befalls all who wait.
    fn give_up(&mut self, destination: &Destination, report: &Report) {
        let Some(place) = self.places.get_mut(destination) else { return };
        for errand in place.waiting.drain(..) {
            let reports = errand.numbers.iter().map(|number| (*number, report.clone())).collect();
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
