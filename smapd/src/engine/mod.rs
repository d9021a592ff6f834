//! The loop: one mio poll for the spool, the connections, the helpers and the signals.
//!
//! Decides nothing about a message itself (`plan`, `active` and `schedule` do); carries out what they say, in the
//! order that the spool's state table asks for. Guarantees that a message leaves the queue only when each of its
//! recipients is delivered, or its sender has been told, durably.

mod active;
mod backlog;
mod conclude;
mod control;
mod dispatch;
mod durable;
mod expand;
mod fresh;
mod obey;
mod orders;
mod poison;
mod programs;
mod room;

use std::collections::{HashMap, HashSet, VecDeque};
use std::ffi::{OsStr, OsString};
use std::io;
use std::net::IpAddr;
use std::os::fd::{AsFd, AsRawFd};
use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, Instant};

use mio::unix::SourceFd;
use mio::{Events, Interest, Poll, Token, Waker};
use netperm::masquerade::Masquerade;
use netperm::site::Site;
use nix::sys::inotify::{AddWatchFlags, InitFlags, Inotify};
use nix::sys::signalfd::SignalFd;
use smap_common::clock::Timestamp;
use smap_common::confine::{Confined, Reach, SetId};
use smap_common::exit::Exit;
use smap_common::log::Event;
use smap_common::spool::{Opened, QueueId};

use self::active::Active;
use self::control::Operators;
use self::dispatch::{Done, Ticket};
use self::durable::Unsynced;
use self::fresh::Fresh;
pub use self::orders::block_signals;
use self::programs::Programs;
use crate::content::Content;
use crate::control::{Control, MAX_CLIENTS};
use crate::exchangers::ourselves;
use crate::lookup::Lookup;
use crate::queue::{Place, Queue};
use crate::relay::{self, Limits, Relay};
use crate::runner::Runner;
use crate::schedule::{Schedule, longest_wait};
use crate::settings::Settings;
use crate::workers::Workers;

const WORKERS: Token = Token(0);
const SPOOL: Token = Token(1);
const RUNNER: Token = Token(2);
const LOOKUP: Token = Token(3);
const SIGNALS: Token = Token(4);
const CONTROL: Token = Token(5);
/// Tokens from here on are operators.
const FIRST_OPERATOR: usize = 6;
/// Tokens from here on are connections.
const FIRST_CONNECTION: usize = 16;

const _: () = assert!(FIRST_OPERATOR + MAX_CLIENTS <= FIRST_CONNECTION);

/// Messages that are worked on at a time; the others wait as names. Where the table allows more connections than
/// these can use, twice as many as there may be connections.
const MAX_ACTIVE: usize = 500;
/// Of so many messages that are begun with one is taken from those that were deferred before, if any is due, however
/// many new ones there are.
const TURN_OF_DEFERRED: u64 = 4;
/// Messages that are begun with before the loop looks at what has happened.
const BEGIN_AT_ONCE: usize = 20;
/// Threads for what waits for mailboxes: enough to keep a disk busy.
const MAILBOX_WORKERS: usize = 4;
/// When a message that could not be opened or recorded is looked at again.
const TROUBLE_WAIT: Duration = Duration::from_secs(60);

/// How smapd was started.
#[derive(Debug, Clone)]
pub struct Start {
    /// The table, to be read again at SIGHUP.
    pub table: PathBuf,
    /// What this process may reach: no later table can give it more.
    pub reach: Reach,
    /// Whether the programs that it has run may gain anything by set-id bits: no later table can change it.
    pub set_id: SetId,
    /// The addresses of this machine.
    pub interfaces: Vec<IpAddr>,
    /// One pass over all that is due, then the end.
    pub once: bool,
}

/// All that smapd knows and does.
#[derive(Debug)]
pub struct Engine {
    start: Start,
    site: Arc<Site>,
    /// How mail from inside is seen.
    masquerade: Masquerade,
    queue: Arc<Queue>,
    poll: Poll,
    inotify: Inotify,
    signals: SignalFd,
    relay: Relay,
    workers: Workers<Done>,
    /// The one that syncs and stores: it does not wait for a mailbox.
    journal: Workers<Done>,
    /// The one that looks for an operator's messages.
    searcher: Workers<Done>,
    /// The one that finds out whom recipients stand for, where that takes long.
    expander: Workers<Done>,
    runner: Runner,
    lookup: Lookup,
    schedule: Schedule,
    operators: Operators,
    fresh: Fresh,
    active: HashMap<QueueId, Active>,
    /// Messages with jobs that nobody has begun with, and some that are over.
    to_go_on: Vec<QueueId>,
    /// Messages of which more is known than could be written down; they wait in the schedule too.
    unsaved: HashMap<QueueId, Active>,
    tickets: HashMap<u64, Ticket>,
    programs: Programs,
    /// Mailboxes that are being written, and who waits for each: one at a time, so that a locked one holds one
    /// worker at most.
    mboxes: HashMap<PathBuf, VecDeque<(u64, Option<PathBuf>, Content)>>,
    /// What could not be set aside, and was complained about.
    immovable: HashSet<OsString>,
    /// Questions that smap-lookup has no room for yet.
    lookups: VecDeque<relay::Lookup>,
    last_ticket: u64,
    unsynced: Unsynced,
    next_scan: Instant,
    /// Whether more could be begun with at once.
    more_is_due: bool,
    begun: u64,
    /// Messages of a former smapd that were not looked at yet.
    backlog: std::vec::IntoIter<QueueId>,
    /// When the administrator was last told of a file that was set aside.
    last_letter: Option<Instant>,
    /// Set by SIGTERM: when what is under way is given up.
    stopping: Option<Instant>,
}

impl Engine {
    /// Prepares the loop. To be called when the process has its last user and the helpers are running.
    ///
    /// # Errors
    /// The system has no descriptors or threads left.
    pub fn new(
        start: Start,
        Settings { site, tls }: Settings,
        queue: Queue,
        runner: Runner,
        mut lookup: Lookup,
        signals: SignalFd,
        control: Option<Control>,
    ) -> io::Result<Self> {
        let poll = Poll::new()?;
        let registry = poll.registry();
        let waker = Arc::new(Waker::new(registry, WORKERS)?);
        let inotify = watch(&queue)?;
        for (fd, token) in [
            (inotify.as_fd().as_raw_fd(), SPOOL),
            (runner.as_fd().as_raw_fd(), RUNNER),
            (signals.as_fd().as_raw_fd(), SIGNALS),
        ] {
            registry.register(&mut SourceFd(&fd), token, Interest::READABLE)?;
        }
        lookup.watch(registry.try_clone()?, LOOKUP)?;
        control.as_ref().map_or(Ok(()), |control| control.register(registry, CONTROL))?;
        let ours = ourselves(&site, &start.interfaces);
        let relay = Relay::new(ours, limits(&site), tls, registry.try_clone()?, FIRST_CONNECTION);
        Ok(Self {
            workers: Workers::start(MAILBOX_WORKERS, &waker)?,
            journal: Workers::start(1, &waker)?,
            searcher: Workers::start(1, &waker)?,
            expander: Workers::start(1, &waker)?,
            start,
            masquerade: Masquerade::of(&site.smapd, &site.hostname),
            site: Arc::new(site),
            queue: Arc::new(queue),
            poll,
            inotify,
            signals,
            relay,
            runner,
            lookup,
            schedule: Schedule::default(),
            operators: Operators::new(control),
            fresh: Fresh::default(),
            active: HashMap::new(),
            to_go_on: Vec::new(),
            unsaved: HashMap::new(),
            immovable: HashSet::new(),
            mboxes: HashMap::new(),
            tickets: HashMap::new(),
            programs: Programs::default(),
            lookups: VecDeque::new(),
            last_ticket: 0,
            unsynced: Unsynced::default(),
            next_scan: Instant::now(),
            more_is_due: false,
            begun: 0,
            backlog: Vec::new().into_iter(),
            last_letter: None,
            stopping: None,
        })
    }

    /// Delivers mail until it is told to stop, or, with `--once`, until nothing is due.
    ///
    /// # Errors
    /// The loop itself cannot go on; no message is lost by that.
    pub fn life(mut self, _proof: &Confined) -> io::Result<Exit> {
        let result = self.open_backlog().and_then(|()| self.turn());
        self.dismiss_operators();
        self.relay.close_idle();
        self.save_what_can_be_saved();
        self.sync_at_last();
        Event::Said { text: "stopped" }.log();
        result.map(|()| Exit::Ok)
    }

    /// Turns until it is over.
    fn turn(&mut self) -> io::Result<()> {
        let mut events = Events::with_capacity(256);
        loop {
            self.scan_if_due()?;
            self.begin_due();
            self.read_backlog();
            self.exchange();
            while self.send_further() {
                self.exchange();
            }
            if self.is_over() {
                return Ok(());
            }
            let patience = self.patience();
            match self.poll.poll(&mut events, Some(patience)) {
                Err(error) if error.kind() != io::ErrorKind::Interrupted => return Err(error),
                Ok(()) | Err(_) => {}
            }
            for event in &events {
                self.happened(event.token())?;
            }
            self.carry_out_orders();
            self.relay.tick(Instant::now());
            self.lookup.tick(Instant::now());
            self.sync_if_due();
        }
    }

    fn happened(&mut self, token: Token) -> io::Result<()> {
        match token {
            WORKERS => self.workers_done(),
            SPOOL => self.spool_changed(),
            RUNNER => self.programs_ended()?,
            LOOKUP => self.lookups_answered()?,
            SIGNALS => self.signalled()?,
            CONTROL => self.operators_come(),
            Token(operator @ FIRST_OPERATOR..FIRST_CONNECTION) => {
                self.operator_speaks(operator - FIRST_OPERATOR)
            }
            connection => self.relay.ready(connection),
        }
        Ok(())
    }

    /// How long there is nothing to do if nothing happens.
    fn patience(&self) -> Duration {
        if self.more_is_due {
            return Duration::ZERO;
        }
        let now = Instant::now();
        let until = |instant: Option<Instant>| instant.map(|instant| instant.saturating_duration_since(now));
        let may_begin = self.stopping.is_none() && self.active.len() < self.most_active();
        let due = self.schedule.next().filter(|_| may_begin);
        [
            until(Some(self.next_scan).filter(|_| self.stopping.is_none())),
            until(self.unsynced.due()),
            until(self.relay.next_deadline()),
            until(self.lookup.next_deadline()),
            until(self.stopping),
            until(self.operators.due()),
            due.map(|at| at.since(Timestamp::now())),
        ]
        .into_iter()
        .flatten()
        .min()
        .unwrap_or(Duration::from_secs(60))
    }

    fn is_over(&self) -> bool {
        match self.stopping {
            Some(until) => self.active.is_empty() || until <= Instant::now(),
            None => self.start.once && !self.more_is_due && self.active.is_empty() && self.fresh.is_empty(),
        }
    }

    fn scan_if_due(&mut self) -> io::Result<()> {
        if self.next_scan > Instant::now() || self.stopping.is_some() {
            return Ok(());
        }
        self.next_scan = Instant::now() + self.site.smapd.wakeup;
        if !self.queue.has_its_incoming() {
            return Err(io::Error::other("incoming/ is not the folder any more that was opened"));
        }
        self.mind_the_clock();
        self.scan();
        Ok(())
    }

    /// Nothing waits for a time that the clock once showed: it may have leapt ahead and back since the last scan.
    fn mind_the_clock(&mut self) {
        self.schedule.none_after(Timestamp::now().after(longest_wait(&self.site.smapd)));
    }

    /// The net below inotify: everything that lies in `incoming/`.
    fn scan(&mut self) {
        match self.queue.arrived() {
            Ok(names) => names.iter().for_each(|name| self.found(name)),
            Err(error) => Event::Error { text: &format_args!("incoming/ cannot be read: {error}") }.log(),
        }
    }

    fn found(&mut self, name: &OsStr) {
        match name.to_str().and_then(|name| name.parse::<QueueId>().ok()) {
            Some(id) if self.active.contains_key(&id) || self.schedule.contains(id) => {}
            Some(id) if self.operators.held.contains(&id) => {}
            Some(id) => self.fresh.push(id, Place::Incoming),
            None => self.set_poison_aside(Place::Incoming, name, &"the name is not a queue id"),
        }
    }

    fn spool_changed(&mut self) {
        while let Ok(events) = self.inotify.read_events() {
            for event in events {
                if event.mask.contains(AddWatchFlags::IN_Q_OVERFLOW) {
                    self.next_scan = Instant::now();
                } else if let Some(name) = event.name {
                    self.found(&name);
                }
            }
        }
    }

    /// Begins with what is due, as long as there is room; a few at a time, so that what is done meanwhile is
    /// written down.
    fn begin_due(&mut self) {
        self.more_is_due = false;
        let most = self.most_active();
        for _ in 0..BEGIN_AT_ONCE {
            if self.active.len() >= most || self.stopping.is_some() {
                return;
            }
            let has_room = self.active.len() + self.unsaved.len() < most;
            match self.next_to_begin(has_room) {
                Some((id, place)) => self.begin(id, place),
                None => return,
            }
        }
        self.more_is_due = true;
    }

    fn most_active(&self) -> usize {
        MAX_ACTIVE.max(2 * limits(&self.site).all)
    }

    fn next_to_begin(&mut self, has_room_for_fresh: bool) -> Option<(QueueId, Place)> {
        self.begun += 1;
        let deferred_first = self.begun.is_multiple_of(TURN_OF_DEFERRED);
        let due = |engine: &mut Self| Some((engine.schedule.take_due(Timestamp::now())?, Place::Queue));
        let fresh = |engine: &mut Self| if has_room_for_fresh { engine.fresh.pop() } else { None };
        if deferred_first { due(self).or_else(|| fresh(self)) } else { fresh(self).or_else(|| due(self)) }
    }

    fn begin(&mut self, id: QueueId, place: Place) {
        if self.active.contains_key(&id) {
            return;
        }
        if let Some(active) = self.unsaved.remove(&id) {
            if let Some(active) = self.as_ordered(active) {
                self.attempt(active);
            }
            return;
        }
        match (self.queue.open_message(place, id.as_str(), self.site.smap.maxbytes), place) {
            (Ok(Opened::Message(message)), _) => match self.queue.state(id) {
                Ok(state) => {
                    if let Some(active) = self.as_ordered(Active::new(*message, place, state)) {
                        self.attempt(active);
                    }
                }
                Err(error) => self.trouble(id, &error),
            },
            // It is still in `incoming/`: not renamed, or never deferred.
            (Ok(Opened::Gone), Place::Queue) => self.begin(id, Place::Incoming),
            (Ok(Opened::Busy), Place::Queue) => self.schedule.set(id, Timestamp::now().after(TROUBLE_WAIT)),
            (Ok(Opened::Gone | Opened::Busy), _) => {}
            (Ok(Opened::Unfinished), _) => self.sweep(place, id),
            (Ok(Opened::Poison(poison)), _) => self.set_poison_aside(place, OsStr::new(id.as_str()), &poison),
            (Err(error), _) => self.trouble(id, &error),
        }
    }

    /// What its writer did not finish: in `incoming/` it is found again by the next scan, in `queue/` it is a
    /// notification that will be made anew.
    fn sweep(&mut self, place: Place, id: QueueId) {
        match self.queue.sweep_unfinished(place, id.as_str(), Timestamp::now()) {
            Ok(true) => {
                Event::Warning { text: &format_args!("id={id} removed: its writer did not finish it") }.log();
            }
            Ok(false) if place == Place::Queue => self.schedule.set(id, Timestamp::now().after(TROUBLE_WAIT)),
            Ok(false) => {}
            Err(error) => Event::Error { text: &format_args!("id={id} {error}") }.log(),
        }
    }

    /// A message that cannot be worked on now, through no fault of its own.
    fn trouble(&mut self, id: QueueId, error: &dyn std::fmt::Display) {
        Event::Error { text: &format_args!("id={id} {error}") }.log();
        self.schedule.set(id, Timestamp::now().after(TROUBLE_WAIT));
    }
}

/// Says what comes into `incoming/`.
fn watch(queue: &Queue) -> io::Result<Inotify> {
    let inotify = Inotify::init(InitFlags::IN_NONBLOCK | InitFlags::IN_CLOEXEC)?;
    inotify.add_watch(queue.incoming_path(), AddWatchFlags::IN_CLOSE_WRITE | AddWatchFlags::IN_MOVED_TO)?;
    Ok(inotify)
}

fn limits(site: &Site) -> Limits {
    let number = |count: std::num::NonZeroU32| usize::try_from(count.get()).unwrap_or(usize::MAX);
    Limits {
        all: number(site.smapd.max_connections),
        each: number(site.smapd.max_connections_per_destination),
    }
}
