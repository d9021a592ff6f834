//! What is in the spool, and which of it is begun with when.

use std::ffi::OsStr;
use std::io;
use std::time::Instant;

use nix::sys::inotify::{AddWatchFlags, InitFlags, Inotify};
use smap_common::clock::Timestamp;
use smap_common::log::Event;
use smap_common::spool::{Opened, QueueId};

use super::active::Active;
use super::{Engine, MAX_ACTIVE, TROUBLE_WAIT, limits};
use crate::queue::{Place, Queue};
use crate::schedule::longest_wait;

/// Of so many messages that are begun with one is taken from those that were deferred before, if any is due, however
/// many new ones there are.
const TURN_OF_DEFERRED: u64 = 4;
/// Messages that are begun with before the loop looks at what has happened.
const BEGIN_AT_ONCE: usize = 20;

/// Says what comes into `incoming/`.
pub(super) fn watch(queue: &Queue) -> io::Result<Inotify> {
    let inotify = Inotify::init(InitFlags::IN_NONBLOCK | InitFlags::IN_CLOEXEC)?;
    inotify.add_watch(queue.incoming_path(), AddWatchFlags::IN_CLOSE_WRITE | AddWatchFlags::IN_MOVED_TO)?;
    Ok(inotify)
}

impl Engine {
    pub(super) fn scan_if_due(&mut self) -> io::Result<()> {
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

    pub(super) fn spool_changed(&mut self) {
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
    pub(super) fn begin_due(&mut self) {
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

    pub(super) fn most_active(&self) -> usize {
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
            Ok(Some(removed)) => {
                self.unsynced.hold(removed, Instant::now());
                Event::Warning { text: &format_args!("id={id} removed: its writer did not finish it") }.log();
            }
            Ok(None) if place == Place::Queue => self.schedule.set(id, Timestamp::now().after(TROUBLE_WAIT)),
            Ok(None) => {}
            Err(error) => Event::Error { text: &format_args!("id={id} {error}") }.log(),
        }
    }

    /// A message that cannot be worked on now, through no fault of its own.
    pub(super) fn trouble(&mut self, id: QueueId, error: &dyn std::fmt::Display) {
        Event::Error { text: &format_args!("id={id} {error}") }.log();
        self.schedule.set(id, Timestamp::now().after(TROUBLE_WAIT));
    }
}
