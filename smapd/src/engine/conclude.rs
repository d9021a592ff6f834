//! What follows when a message's jobs are over: marks, notifications, removal or another attempt.
//!
//! The order of the spool's state table is here: a notification is durable before the failure that caused it is
//! marked, marks are written before the rename, the message goes before its state.

use std::ffi::OsStr;
use std::fmt::Display;
use std::io;
use std::sync::Arc;
use std::time::Instant;

use smap_common::address::Address;
use smap_common::clock::Timestamp;
use smap_common::log::Event;
use smap_common::smtp::command::Recipient;
use smap_common::spool::{Mark, Order, QueueId, StateFile};

use super::active::{Active, Conclusion};
use super::dispatch::{Done, Ticket, log_delivery};
use super::{Engine, TROUBLE_WAIT};
use crate::delivery::Report;
use crate::notify::{self, Kind, Notice};
use crate::queue::{Place, Queue, Removed};

impl Engine {
    /// Whoever was delivered while others are under way is marked at once.
    pub(super) fn mark_delivered(&mut self, id: QueueId) {
        let Some(active) = self.active.get_mut(&id) else { return };
        let marks = active.take_delivered();
        if marks.is_empty() {
            return;
        }
        match open_state(&self.queue, id, active)
            .and_then(|file| file.mark(&marks).and_then(|()| file.handle()))
        {
            Ok(file) => self.unsynced.state(file, Instant::now()),
            Err(error) => {
                active.write_again();
                Event::Error { text: &format_args!("id={id} cannot be marked: {error}") }.log();
            }
        }
    }

    pub(super) fn conclude_if_done(&mut self, id: QueueId) {
        let Some(active) = self.active.get_mut(&id).filter(|active| active.outstanding == 0) else { return };
        if active.order() == Some(Order::Delete) {
            return self.finish(id, None);
        }
        let now = Timestamp::now();
        let conclusion = active.conclude(&self.site.smapd, now);
        conclusion.expired.iter().for_each(|number| log_end(active, *number, "expire", now));
        conclusion.returned.iter().for_each(|number| log_end(active, *number, "operator", now));
        self.tell(id, conclusion);
    }

    /// Tells the sender what there is to tell, one notification after the other; then does what follows.
    fn tell(&mut self, id: QueueId, mut rest: Conclusion) {
        let Some(active) = self.active.get(&id) else { return };
        let (kind, numbers) = if !rest.failed.is_empty() {
            (Kind::Failed, std::mem::take(&mut rest.failed))
        } else if !rest.delivered.is_empty() {
            (Kind::Delivered, std::mem::take(&mut rest.delivered))
        } else if !rest.relayed.is_empty() {
            (Kind::Relayed, std::mem::take(&mut rest.relayed))
        } else if !rest.expanded.is_empty() {
            (Kind::Expanded, std::mem::take(&mut rest.expanded))
        } else if !rest.delayed.is_empty() {
            (Kind::Delayed { until: rest.expires }, std::mem::take(&mut rest.delayed))
        } else {
            return self.finish(id, rest.next);
        };
        let owner = numbers.first().and_then(|number| active.owner(*number)).cloned();
        let (numbers, others) =
            numbers.into_iter().partition::<Vec<u32>, _>(|number| active.owner(*number) == owner.as_ref());
        rest.put_back(kind, others);
        let for_owner = owner.is_some();
        let to = owner.as_deref().or_else(|| self.addressee(active, kind)).cloned();
        let Some(to) = to else { return self.tell(id, rest) };
        self.mark_delivered(id);
        let Some(active) = self.active.get(&id) else { return };
        let everyone = active.everyone();
        let with_mark = |number: &u32| {
            Some((everyone.get(*number)?.recipient(), active.state.marks.get(number)?.clone()))
        };
        let marks: Vec<(Recipient, Mark)> = numbers.iter().filter_map(with_mark).collect();
        let (message, queue, hostname) =
            (Arc::clone(&active.message), Arc::clone(&self.queue), self.site.hostname.clone());
        let ticket = self.ticket(Ticket::Notice { id, kind, to: to.clone(), numbers, rest });
        self.journal.submit(ticket, move || {
            let recipients = marks.iter().map(|(recipient, mark)| (recipient, mark));
            let notice = QueueId::generate().map(|id| Notice {
                kind,
                original: &message,
                to: &to,
                for_owner,
                recipients: recipients.collect(),
                id,
                hostname: &hostname,
                now: Timestamp::now(),
            });
            Done::Stored(notice.and_then(|notice| store(&queue, &notice)))
        });
    }

    /// Who is told: the sender, or `badadmin` of what could not be told to anyone. Never somebody whose own
    /// notification it is that failed.
    fn addressee<'a>(&'a self, active: &'a Active, kind: Kind) -> Option<&'a Address> {
        let administrator = || {
            self.site.smapd.badadmin.as_ref().filter(|administrator| {
                let everyone = active.everyone();
                let is_he = |number: u32| {
                    everyone.get(number).is_some_and(|one| {
                        one.address() == *administrator || one.original.address == **administrator
                    })
                };
                kind == Kind::Failed && !everyone.numbers().any(is_he)
            })
        };
        notify::addressee(active.envelope()).or_else(administrator)
    }

    pub(super) fn stored(&mut self, ticket: u64, result: io::Result<QueueId>) {
        if let Ok(notification) = result {
            self.fresh.push(notification, Place::Queue);
        }
        let Some(Ticket::Notice { id, kind, to, numbers, rest }) = self.tickets.remove(&ticket) else {
            if let Err(error) = result {
                Event::Error { text: &format_args!("the administrator cannot be told: {error}") }.log();
            }
            return;
        };
        match result {
            Ok(notification) => {
                Event::Notified { id, notification, to: &to }.log();
                if let Some(active) = self.active.get_mut(&id) {
                    match kind {
                        Kind::Failed => active.failures_are_told(&numbers, Timestamp::now()),
                        Kind::Delivered | Kind::Relayed | Kind::Expanded => {
                            active.successes_are_told(&numbers)
                        }
                        Kind::Delayed { .. } => active.state.warned = Some(Timestamp::now()),
                    }
                }
                self.tell(id, rest);
            }
            Err(error) => {
                if let Some(active) = self.active.remove(&id) {
                    let again = Timestamp::now().after(self.site.smapd.retry.after(active.state.attempts));
                    self.hold(id, active, again, &format_args!("the notification cannot be stored: {error}"));
                }
            }
        }
    }

    /// Lets the message go, or has it wait.
    pub(super) fn finish(&mut self, id: QueueId, next: Option<Timestamp>) {
        let Some(mut active) = self.active.remove(&id) else { return };
        // It may have come while a notification was written.
        let order = active.order();
        let condemned = order == Some(Order::Delete);
        let next = next.filter(|_| !condemned);
        let (what, result) = match next {
            None if !condemned && active.is_double_bounce() => {
                ("be set aside", self.keep_for_administrator(id, &active))
            }
            None => {
                let mut removed = Removed::default();
                let result = self.queue.remove(active.place, id, active.has_state, &mut removed);
                self.unsynced.hold(removed, Instant::now());
                ("be removed", result.map(|()| Event::Removed { id }.log()))
            }
            Some(at) => {
                let kept = self.keep(id, &mut active, at);
                ("be kept in queue/", kept.map(|()| self.wait_as_ordered(id, order, at)))
            }
        };
        self.unsynced.folders(Instant::now());
        match result {
            Ok(()) => self.sync_soon(active.file),
            Err(error) => {
                let again = next.unwrap_or_else(|| Timestamp::now().after(TROUBLE_WAIT));
                self.hold(id, active, again, &format_args!("it cannot {what}: {error}"));
            }
        }
    }

    fn sync_soon(&mut self, state: Option<StateFile>) {
        match state.map(|file| file.handle()).transpose() {
            Ok(Some(file)) => self.unsynced.state(file, Instant::now()),
            Ok(None) => {}
            Err(error) => Event::Warning { text: &format_args!("a state is not synced: {error}") }.log(),
        }
    }

    /// What could not be written down before is tried once more at the end: whoever was delivered to.
    pub(super) fn save_what_can_be_saved(&mut self) {
        let unsaved = std::mem::take(&mut self.unsaved);
        for (id, mut active) in unsaved.into_iter().chain(std::mem::take(&mut self.active)) {
            let marks = active.take_delivered();
            if marks.is_empty() {
                continue;
            }
            match open_state(&self.queue, id, &mut active).and_then(|file| file.mark(&marks)) {
                Ok(()) => self.sync_soon(active.file),
                Err(error) => Event::Error { text: &format_args!("id={id} marks are lost: {error}") }.log(),
            }
        }
    }

    fn keep_for_administrator(&mut self, id: QueueId, active: &Active) -> io::Result<()> {
        self.set_aside(
            active.place,
            OsStr::new(id.as_str()),
            &"it was refused, and there is no sender to tell",
        )?;
        self.unsynced.hold(self.queue.forget_state(id), Instant::now());
        Ok(())
    }

    /// What is known of this message cannot be written down. It stays in memory, so that nobody is delivered to
    /// twice, and is written down at the next attempt.
    pub(super) fn hold(&mut self, id: QueueId, mut active: Active, again: Timestamp, error: &dyn Display) {
        Event::Error { text: &format_args!("id={id} {error}") }.log();
        active.write_again();
        self.unsaved.insert(id, active);
        self.schedule.set(id, again);
    }

    /// Records what is known, then moves the message: the order of the spool's state table.
    fn keep(&self, id: QueueId, active: &mut Active, at: Timestamp) -> io::Result<()> {
        let marks = active.take_unwritten();
        let (attempts, warned, told) = (active.state.attempts, active.state.warned, active.state.told);
        let file = open_state(&self.queue, id, active)?;
        file.mark(&marks)?;
        file.next(attempts, at)?;
        if let Some(warned) = warned {
            file.warned(warned)?;
        }
        if let Some(told) = told {
            file.told(told)?;
        }
        if active.place == Place::Incoming { self.queue.defer(id) } else { Ok(()) }
    }
}

fn log_end(active: &Active, number: u32, transport: &str, now: Timestamp) {
    if let Some(mark) = active.state.marks.get(&number) {
        let report = Report::failed(mark.status, mark.reply.as_str()).by(mark.relay.as_str());
        log_delivery(active, number, (transport, ""), &report, now);
    }
}

pub(super) fn open_state<'a>(
    queue: &Queue,
    id: QueueId,
    active: &'a mut Active,
) -> io::Result<&'a mut StateFile> {
    active.has_state = true;
    match &mut active.file {
        Some(file) => Ok(file),
        empty => Ok(empty.insert(queue.state_file(id)?)),
    }
}

fn store(queue: &Queue, notice: &Notice<'_>) -> io::Result<QueueId> {
    let report = notice.report()?;
    let proof = queue.store(report.envelope(), |sink| report.write_to(sink))?;
    Ok(proof.id())
}
