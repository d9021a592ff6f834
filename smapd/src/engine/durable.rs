//! What has been written and is not yet durable: marks, renames, removals. Made so in batches.

use std::fs::File;
use std::io;
use std::time::{Duration, Instant};

use smap_common::log::Event;
use smap_common::spool::StateFile;

use super::Engine;
use super::dispatch::{Done, Ticket};

/// With the time that the sync itself takes this stays below the second that is promised.
const BATCH: Duration = Duration::from_millis(500);

/// State files and folders to be synced.
#[derive(Debug, Default)]
pub(super) struct Unsynced {
    states: Vec<StateFile>,
    folders: bool,
    since: Option<Instant>,
}

impl Unsynced {
    /// A state file was added to, and nothing more will be.
    pub(super) fn state(&mut self, file: StateFile, now: Instant) {
        self.states.push(file);
        self.folders(now);
    }

    /// A name was made, moved or removed.
    pub(super) fn folders(&mut self, now: Instant) {
        self.folders = true;
        self.since.get_or_insert(now);
    }

    /// When the batch is to be made durable.
    pub(super) fn due(&self) -> Option<Instant> {
        self.since.map(|since| since + BATCH)
    }

    fn take(&mut self) -> Vec<StateFile> {
        (self.folders, self.since) = (false, None);
        std::mem::take(&mut self.states)
    }
}

fn sync(states: &[StateFile], folders: &[File]) -> io::Result<()> {
    states.iter().try_for_each(StateFile::sync)?;
    folders.iter().try_for_each(File::sync_all)
}

impl Engine {
    /// Hands the batch to a worker when its time has come.
    pub(super) fn sync_if_due(&mut self) {
        if self.unsynced.due().is_none_or(|due| due > Instant::now()) {
            return;
        }
        let states = self.unsynced.take();
        match self.queue.folders() {
            Ok(folders) => {
                let ticket = self.ticket(Ticket::Sync);
                self.workers.submit(ticket, move || Done::Synced(sync(&states, &folders)));
            }
            Err(error) => Event::Error { text: &format_args!("nothing can be synced: {error}") }.log(),
        }
    }

    /// Makes the last batch durable before the end.
    pub(super) fn sync_at_last(&mut self) {
        let states = self.unsynced.take();
        let result = self.queue.folders().and_then(|folders| sync(&states, &folders));
        if let Err(error) = result {
            Event::Error { text: &format_args!("the last marks could not be synced: {error}") }.log();
        }
    }
}
