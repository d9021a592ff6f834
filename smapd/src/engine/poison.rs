//! What cannot be delivered is kept for the administrator, who is told.

use std::ffi::OsStr;
use std::fmt::Display;
use std::io;
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
    ///
    /// # Errors
    /// It is where it was.
    pub(super) fn set_aside(
        &mut self,
        place: Place,
        name: &OsStr,
        reason: &dyn Display,
    ) -> io::Result<PathBuf> {
        let path = self.queue.set_aside(place, name)?;
        Event::Poison { name: &name.to_string_lossy(), reason }.log();
        if let Err(error) = self.queue.explain(&path, reason) {
            Event::Warning { text: &format_args!("{}.reason: {error}", path.display()) }.log();
        }
        self.unsynced.folders(Instant::now());
        Ok(path)
    }

    /// The same for what is no message: the administrator is told. What cannot even be moved is said once, not at
    /// every scan.
    pub(super) fn set_poison_aside(&mut self, place: Place, name: &OsStr, reason: &dyn Display) {
        match self.set_aside(place, name, reason) {
            Ok(path) => self.tell_administrator(path, &reason.to_string()),
            Err(error) if self.immovable.insert(name.to_owned()) => {
                let name = name.to_string_lossy();
                Event::Error { text: &format_args!("{name} ({reason}) cannot be set aside: {error}") }.log();
            }
            Err(_) => {}
        }
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
        self.journal.submit(ticket, move || {
            Done::Stored(QueueId::generate().and_then(|id| {
                let envelope = aside::envelope(id, &to, Timestamp::now());
                let letter = aside::letter(&envelope, &hostname, &path, &reason);
                queue.store(&envelope, |sink| sink(letter.as_bytes())).map(|proof| proof.id())
            }))
        });
    }
}
