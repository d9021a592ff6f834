//! What cannot be delivered is kept for the administrator, who is told.

use std::fmt::Display;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, Instant};

use smap_common::clock::Timestamp;
use smap_common::log::Event;
use smap_common::spool::QueueId;

use super::Engine;
use super::dispatch::{Done, Ticket};
use crate::aside;
use crate::queue::Place;

/// One letter at most in this time: whoever fills the spool with rubbish does not fill a mailbox too.
const BETWEEN_LETTERS: Duration = Duration::from_secs(60);

impl Engine {
    /// Moves a file out of the way, with the reason beside it.
    pub(super) fn set_aside(&mut self, place: Place, name: &str, reason: &dyn Display) {
        match self.queue.set_aside(place, name, reason) {
            Ok(path) => {
                Event::Poison { name, reason }.log();
                self.tell_administrator(path, &reason.to_string());
            }
            Err(error) => {
                Event::Error { text: &format_args!("{name} ({reason}) cannot be set aside: {error}") }.log();
            }
        }
        self.unsynced.folders(Instant::now());
    }

    fn tell_administrator(&mut self, path: PathBuf, reason: &str) {
        let Some(to) = self.site.smapd.badadmin.clone() else { return };
        if self.last_letter.is_some_and(|last| last.elapsed() < BETWEEN_LETTERS) {
            return;
        }
        self.last_letter = Some(Instant::now());
        let (queue, hostname, reason) =
            (Arc::clone(&self.queue), self.site.hostname.clone(), reason.to_owned());
        let ticket = self.ticket(Ticket::Letter);
        self.workers.submit(ticket, move || {
            Done::Stored(QueueId::generate().and_then(|id| {
                let envelope = aside::envelope(id, &to, Timestamp::now());
                let letter = aside::letter(&envelope, &hostname, &path, &reason);
                queue.store(&envelope, |sink| sink(letter.as_bytes())).map(|proof| proof.id())
            }))
        });
    }
}
