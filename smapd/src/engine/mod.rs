//! The loop: one mio poll for the spool, the connections, the helpers and the signals.
//!
//! Decides nothing about a message itself (`plan`, `active` and `schedule` do); carries out what they say, in the
//! order that the spool's state table asks for. Guarantees that a message leaves the queue only when each of its
//! recipients is delivered, or its sender has been told, durably.

mod active;
mod backlog;
mod begin;
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
use std::ffi::OsString;
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
use nix::sys::inotify::Inotify;
use nix::sys::signalfd::SignalFd;
use smap_common::clock::Timestamp;
use smap_common::confine::{Confined, Reach, SetId};
use smap_common::exit::Exit;
use smap_common::log::Event;
use smap_common::spool::QueueId;

use self::active::Active;
use self::begin::watch;
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
use crate::queue::Queue;
use crate::relay::{self, Limits, Relay};
use crate::runner::Runner;
use crate::schedule::Schedule;
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
            workers: Workers::start("mailboxes", MAILBOX_WORKERS, &waker)?,
            journal: Workers::start("journal", 1, &waker)?,
            searcher: Workers::start("searcher", 1, &waker)?,
            expander: Workers::start("expander", 1, &waker)?,
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
        self.await_workers();
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
}

fn limits(site: &Site) -> Limits {
    let number = |count: std::num::NonZeroU32| usize::try_from(count.get()).unwrap_or(usize::MAX);
    Limits {
        all: number(site.smapd.max_connections),
        each: number(site.smapd.max_connections_per_destination),
    }
}
