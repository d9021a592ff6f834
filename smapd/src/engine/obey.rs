//! One order about one message.
//!
//! Decides what an order means where the message is: in work, waiting, held, or just come. Guarantees that an order is
//! in the message's state before it is acknowledged, and that nothing is taken away from an attempt that is
//! under way: it is carried out when that is over.

use std::io;
use std::time::Instant;

use smap_common::clock::Timestamp;
use smap_common::log::Event;
use smap_common::spool::{Order, Ordered, QueueId, QueueState};

use super::Engine;
use super::active::Active;
use super::conclude::open_state;
use crate::control::{Effect, Verb};
use crate::queue::Removed;

/// Where a message is, as far as orders are concerned.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Whereabouts {
    /// An attempt is under way.
    UnderWay,
    /// It waits, for its time or in the order in which messages came.
    Waiting,
    Held,
}

impl Engine {
    /// Carries an order out, or sees to it that it will be.
    pub(super) fn obey(&mut self, id: QueueId, verb: &Verb, by: u32) -> Effect {
        let effect = match self.whereabouts(id) {
            Ok(Some(place)) => self.obey_at(place, id, verb, by).unwrap_or_else(|error| failed(&error)),
            Ok(None) => Effect::Unknown,
            Err(error) => failed(&error),
        };
        match &effect {
            Effect::Failed(why) => {
                Event::Error { text: &format_args!("id={id} cannot be ordered to {}: {why}", verb.as_str()) }
                    .log();
            }
            Effect::Done if *verb == Verb::Delete => Event::Removed { id }.log(),
            _ => {}
        }
        effect
    }

    fn whereabouts(&self, id: QueueId) -> io::Result<Option<Whereabouts>> {
        if self.active.contains_key(&id) {
            return Ok(Some(Whereabouts::UnderWay));
        }
        if self.operators.held.contains(&id) {
            return Ok(Some(Whereabouts::Held));
        }
        if self.schedule.contains(id) {
            return Ok(Some(Whereabouts::Waiting));
        }
        let state = match self.queue.look_at(id, self.site.smap.maxbytes)? {
            Some((_, state)) => state,
            None => return Ok(None),
        };
        Ok(Some(if state.is_held() { Whereabouts::Held } else { Whereabouts::Waiting }))
    }

    fn obey_at(&mut self, place: Whereabouts, id: QueueId, verb: &Verb, by: u32) -> io::Result<Effect> {
        let under_way = place == Whereabouts::UnderWay;
        let held = self.known(id).map_or(place == Whereabouts::Held, QueueState::is_held);
        match verb {
            Verb::Retry if held => return Ok(Effect::Held),
            Verb::Retry if under_way => return Ok(Effect::UnderWay),
            Verb::Release if !held => return Ok(Effect::NotHeld),
            _ => log_order(id, verb, by),
        }
        match verb {
            Verb::Delete if !under_way => self.delete(id)?,
            _ => self.record(id, verb, by)?,
        }
        // What lies unsaved in memory is written down when its turn comes, and that is now.
        let kept = *verb == Verb::Hold && !self.unsaved.contains_key(&id);
        if kept && self.schedule.contains(id) {
            self.schedule.remove(id);
            self.operators.held.insert(id);
        } else if !kept && !under_way && *verb != Verb::Delete {
            self.operators.held.remove(&id);
            self.schedule.set(id, Timestamp::now());
        }
        let waits = under_way && *verb != Verb::Release;
        Ok(if waits { Effect::AfterAttempt } else { Effect::Done })
    }

    /// What is known of a message that is in memory.
    fn known(&self, id: QueueId) -> Option<&QueueState> {
        self.active.get(&id).or_else(|| self.unsaved.get(&id)).map(|active| &active.state)
    }

    /// Writes an order to the message's state.
    fn record(&mut self, id: QueueId, verb: &Verb, by: u32) -> io::Result<()> {
        let Some(order) = verb.order() else { return Ok(()) };
        let ordered = Ordered { at: Timestamp::now(), order, by, text: verb.text().to_owned() };
        let file = match self.active.get_mut(&id).or_else(|| self.unsaved.get_mut(&id)) {
            Some(active) => {
                let file = open_state(&self.queue, id, active)?;
                file.ordered(&ordered)?;
                let handle = file.handle()?;
                active.state.order(ordered);
                handle
            }
            None => {
                let mut file = self.queue.state_file(id)?;
                file.ordered(&ordered)?;
                file.handle()?
            }
        };
        self.unsynced.state(file, Instant::now());
        Ok(())
    }

    /// Removes a message that nobody works on.
    fn delete(&mut self, id: QueueId) -> io::Result<()> {
        let mut removed = Removed::default();
        let result = self.queue.remove_anywhere(id, &mut removed);
        self.unsynced.hold(removed, Instant::now());
        result?;
        self.schedule.remove(id);
        self.operators.held.remove(&id);
        self.unsaved.remove(&id);
        Ok(())
    }

    /// Treats a message as was ordered; gives back the one that is to be tried.
    pub(super) fn as_ordered(&mut self, active: Active) -> Option<Active> {
        let id = active.envelope().id;
        match active.order() {
            None | Some(Order::Release) => return Some(active),
            Some(Order::Hold) => {
                let at = active.state.next.unwrap_or_else(Timestamp::now);
                self.active.insert(id, active);
                self.finish(id, Some(at));
            }
            Some(Order::Delete | Order::Bounce) => {
                self.active.insert(id, active);
                self.conclude_if_done(id);
            }
        }
        None
    }

    /// Has a message wait as its state says: for its time, or for the operator.
    pub(super) fn wait_as_ordered(&mut self, id: QueueId, order: Option<Order>, at: Timestamp) {
        match order {
            Some(Order::Hold) => drop(self.operators.held.insert(id)),
            Some(Order::Delete | Order::Bounce) => self.schedule.set(id, Timestamp::now()),
            None | Some(Order::Release) => self.schedule.set(id, at),
        }
    }
}

fn log_order(id: QueueId, verb: &Verb, by: u32) {
    Event::Ordered { id, order: verb.as_str(), by, text: verb.text() }.log();
}

fn failed(error: &io::Error) -> Effect {
    Effect::Failed(error.to_string())
}
