//! Mail to other hosts: destinations, their connections, and who waits for them.
//!
//! Decides when a connection is made, used again and closed, and which address is tried next. Guarantees that
//! every errand that was submitted comes back once, with a report for each of its recipients.

mod connection;
mod encryption;
mod errand;
mod fit;
mod line;
mod lookups;
mod over;
mod place;
mod search;
mod socket;
mod window;

use std::collections::HashMap;
use std::hash::{BuildHasher, RandomState};
use std::io;
use std::sync::Arc;
use std::time::{Duration, Instant};

use mio::{Interest, Registry, Token};
use slab::Slab;
use smap_common::smtp::client::Trouble;

use self::connection::{Connection, Wish};
pub use self::errand::{Errand, Finished};
use self::line::Line;
pub use self::lookups::Lookup;
use self::lookups::{Lookups, Underway};
use self::place::{Place, Targets};
pub use self::search::{Answer, Asked};
use self::search::{Search, Step};
use crate::exchangers::Ourselves;
use crate::plan::Destination;
use crate::tls;
use crate::turns::Sender;

/// How long looked-up addresses are used.
const KEEP_ADDRESSES: Duration = Duration::from_secs(60);
/// How often destinations that are of no use any more are forgotten.
const FORGET: Duration = Duration::from_secs(60);
/// Errands that a connection may go on with while others wait for one.
const TURN: u32 = 20;
/// Octets read, or taken from the spool, at a time.
const BUFFER: usize = 32 * 1024;

/// Most connections.
#[derive(Debug, Clone, Copy)]
pub struct Limits {
    /// In all.
    pub all: usize,
    /// To one destination.
    pub each: usize,
}

/// All connections to other hosts.
#[derive(Debug)]
pub struct Relay {
    ours: Ourselves,
    limits: Limits,
    tls: Arc<tls::Client>,
    registry: Registry,
    first_token: usize,
    places: HashMap<Destination, Place>,
    connections: Slab<(Destination, Connection)>,
    line: Line,
    /// Nothing has to be looked at before.
    look_again: Option<Instant>,
    forget_at: Instant,
    lookups: Lookups,
    finished: Vec<Finished>,
    buffer: Vec<u8>,
}

impl Relay {
    /// No connections yet; sockets are registered with tokens from `first_token` on.
    #[must_use]
    pub fn new(
        ours: Ourselves,
        limits: Limits,
        tls: tls::Client,
        registry: Registry,
        first_token: usize,
    ) -> Self {
        Self {
            ours,
            limits,
            tls: Arc::new(tls),
            registry,
            first_token,
            places: HashMap::new(),
            connections: Slab::new(),
            line: Line::default(),
            look_again: None,
            forget_at: Instant::now() + FORGET,
            lookups: Lookups::default(),
            finished: Vec::new(),
            buffer: vec![0; BUFFER],
        }
    }

    /// A new table is in force.
    pub fn reconfigure(&mut self, ours: Ourselves, limits: Limits, tls: tls::Client) {
        (self.ours, self.limits, self.tls) = (ours, limits, Arc::new(tls));
        self.connections.iter_mut().for_each(|(_, (_, connection))| connection.is_outdated = true);
        self.let_in();
    }

    /// What of the network is this gateway.
    #[must_use]
    pub fn ours(&self) -> &Ourselves {
        &self.ours
    }

    /// Takes an errand.
    pub fn submit(&mut self, destination: &Destination, errand: Errand) {
        let place = self.places.entry(destination.clone()).or_default();
        place.waiting.push(Sender::of(&errand.transaction.mail), errand);
        self.pump(destination);
    }

    /// Errands that are over.
    pub fn take_finished(&mut self) -> Vec<Finished> {
        std::mem::take(&mut self.finished)
    }

    /// What is to be looked up.
    pub fn take_lookups(&mut self) -> Vec<Lookup> {
        self.lookups.take_unasked()
    }

    /// When something has to be looked at again, if nothing happens before.
    #[must_use]
    pub fn next_deadline(&self) -> Option<Instant> {
        self.lookups.next_deadline().into_iter().chain(self.look_again).min()
    }

    /// Something happened on the socket of this token.
    pub fn ready(&mut self, token: Token) {
        let Some(key) = token.0.checked_sub(self.first_token) else { return };
        let Some((_, connection)) = self.connections.get_mut(key) else { return };
        if connection.is_stale(&mut self.buffer) {
            self.dismiss(key);
        } else {
            self.drive(key);
        }
    }

    /// A question was answered.
    pub fn resolved(&mut self, number: u64, answer: Answer) {
        let Some(Underway { destination, question, .. }) = self.lookups.answered(number) else { return };
        let Some(place) = self.places.get_mut(&destination) else { return };
        if place.waiting.is_empty() {
            // Whoever comes next has it looked up anew.
            place.search = None;
        }
        if let Some(search) = place.search.as_mut() {
            search.heard(question, answer);
        }
        self.pump(&destination);
    }

    /// How many errands wait for a connection to this destination.
    #[must_use]
    pub fn waiting(&self, destination: &Destination) -> usize {
        self.places.get(destination).map_or(0, |place| place.waiting.len())
    }

    /// How many of them are of this sender.
    #[must_use]
    pub fn waiting_of(&self, destination: &Destination, sender: &Sender) -> usize {
        self.places.get(destination).map_or(0, |place| place.waiting.len_of(sender))
    }

    /// Whether the destination answers: a server there has agreed to talk, and still does.
    #[must_use]
    pub fn is_working(&self, destination: &Destination) -> bool {
        self.places.get(destination).is_some_and(|place| place.working() > 0)
    }

    /// Nobody is taken to be down or full any more: the administrator knows better.
    pub fn forget_troubles(&mut self) {
        self.places.values_mut().for_each(|place| place.window.forget());
    }

    /// Ends what has taken too long.
    pub fn tick(&mut self, now: Instant) {
        for (number, answer) in self.lookups.unanswered(now) {
            self.resolved(number, answer);
        }
        if self.look_again.is_some_and(|at| at <= now) {
            self.end_the_late(now);
        }
        if self.forget_at <= now {
            self.places.retain(|_, place| place.is_of_use(now));
            self.forget_at = now + FORGET;
        }
    }

    fn end_the_late(&mut self, now: Instant) {
        let late = self.connections.iter().filter(|(_, (_, connection))| connection.due() <= now);
        let late: Vec<usize> = late.map(|(key, _)| key).collect();
        for key in late {
            let Some((_, connection)) = self.connections.get_mut(key) else { continue };
            if connection.due() > now {
                // One that ended before it has brought this one work, or its place.
            } else if connection.idle_since.is_some() {
                self.dismiss(key);
            } else {
                connection.lose(Trouble::TimedOut);
                self.drive(key);
            }
        }
        self.look_again = self.connections.iter().map(|(_, (_, connection))| connection.due()).min();
    }

    /// Says goodbye on every connection that has nothing to do.
    pub fn close_idle(&mut self) {
        let idle = self.connections.iter().filter(|(_, (_, connection))| connection.idle_since.is_some());
        let idle: Vec<usize> = idle.map(|(key, _)| key).collect();
        idle.into_iter().for_each(|key| self.dismiss(key));
    }

    /// Says goodbye on a connection that has nothing to do.
    fn dismiss(&mut self, key: usize) {
        let Some((destination, connection)) = self.connections.get_mut(key) else { return };
        if connection.idle_since.is_none() {
            return;
        }
        if let Some(place) = self.places.get_mut(destination) {
            place.idle.retain(|idle| *idle != key);
        }
        connection.quit();
        self.drive(key);
    }

    /// Gives errands that wait to connections that can take them, and makes connections.
    fn pump(&mut self, destination: &Destination) {
        loop {
            let Some(place) = self.places.get_mut(destination) else { return };
            if place.waiting.is_empty() {
                return;
            }
            if let Some(key) = place.idle.pop() {
                if let Some((_, connection)) = self.connections.get_mut(key)
                    && let Some(errand) = place.waiting.pop()
                {
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
            if place.connections >= self.limits.each || !place.wants_one_more(Instant::now()) {
                return;
            }
            if self.connections.len() >= self.limits.all {
                return self.wait_in_line(destination);
            }
            if !self.connect(destination) {
                return;
            }
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
                questions.into_iter().for_each(|question| self.lookups.ask(destination, question));
                return Targets::Asked;
            }
            Step::Found(targets) => Ok(targets),
            Step::Nowhere(report) => Err(report),
        };
        place.search = None;
        match found {
            Ok(targets) => {
                (place.targets, place.preferred, place.failed) = (targets, 0, 0);
                place.without_tls.clear();
            }
            Err(_) if place.working() > 0 => {}
            Err(report) => return Targets::None(report),
        }
        place.known_until = Some(Instant::now() + KEEP_ADDRESSES);
        Targets::Known
    }

    /// Makes a connection; says whether another may be tried.
    fn connect(&mut self, destination: &Destination) -> bool {
        let Some(place) = self.places.get_mut(destination) else { return false };
        let Some(target) = place.targets.get(place.preferred).cloned() else { return false };
        let encryption = place.encryption(destination, &target);
        let opened = Connection::open(target.clone(), destination, &self.ours.name, encryption, &self.tls);
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
                let due = connection.due();
                entry.insert((destination.clone(), connection));
                self.look_at(due);
            }
            Err(error) if is_ours(&error) && !self.connections.is_empty() => {
                self.wait_in_line(destination);
                return false;
            }
            Err(error) => {
                self.unreachable(destination, &target, &Trouble::Unreachable(error.to_string()));
            }
        }
        true
    }

    fn look_at(&mut self, due: Instant) {
        self.look_again = Some(self.look_again.map_or(due, |at| at.min(due)));
    }

    fn drive(&mut self, key: usize) {
        loop {
            let Some((destination, connection)) = self.connections.get_mut(key) else { return };
            let was_ready = connection.was_ready;
            let wish = connection.drive(&mut self.buffer);
            let newly_ready = connection.was_ready && !was_ready;
            let (destination, due) = (destination.clone(), connection.due());
            self.look_at(due);
            if newly_ready && let Some(place) = self.places.get_mut(&destination) {
                place.pending -= 1;
                place.failed = 0;
                place.window.answered(place.count(), Instant::now());
            }
            match wish {
                Wish::Nothing => return,
                Wish::Errand => {
                    let found = self.find_work(&destination, key);
                    if let Some((_, connection)) = self.connections.get(key) {
                        self.look_at(connection.due());
                    }
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

    /// Gives a free connection the next errand, or the goodbye if others wait for one; says whether it goes on.
    fn find_work(&mut self, destination: &Destination, key: usize) -> bool {
        let Some(place) = self.places.get_mut(destination) else { return false };
        let Some((_, connection)) = self.connections.get_mut(key) else { return false };
        let had_its_turn = place.connections > 1 || connection.served >= TURN;
        if self.line.needs_room() && (had_its_turn || place.waiting.is_empty()) {
            place.idle.retain(|idle| *idle != key);
            self.line.leaves();
            connection.leave();
            return true;
        }
        if connection.is_outdated {
            place.idle.retain(|idle| *idle != key);
            connection.quit();
            return true;
        }
        match place.waiting.pop() {
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
}

/// Whether it says nothing of the other side: this machine has no descriptors, ports or memory left.
fn is_ours(error: &io::Error) -> bool {
    use nix::libc::{EADDRNOTAVAIL, EMFILE, ENFILE, ENOBUFS, ENOMEM};
    [EADDRNOTAVAIL, EMFILE, ENFILE, ENOBUFS, ENOMEM].iter().any(|errno| error.raw_os_error() == Some(*errno))
}
