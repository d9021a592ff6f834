//! What has been written and is not yet durable: marks, renames, removals. Made so in batches.

use std::borrow::Borrow;
use std::collections::VecDeque;
use std::fs::File;
use std::io;
use std::sync::Arc;
use std::time::{Duration, Instant};

use smap_common::log::Event;

use super::Engine;
use super::dispatch::{Done, Ticket};

/// With the time that the sync itself takes this stays below the second that is promised.
const BATCH: Duration = Duration::from_millis(500);
/// State files that are open at a time and wait for it.
const MAX_STATES: usize = 256;
/// Batches that wait for the disk before nothing more is written that can wait.
const MAX_BATCHES: usize = 2;

/// State files and folders to be synced.
#[derive(Debug, Default)]
pub(super) struct Unsynced {
    states: Vec<File>,
    since: Option<Instant>,
    /// The states of the batches that a worker has, the oldest first.
    under_way: VecDeque<Arc<Vec<File>>>,
}

impl Unsynced {
    /// A state file was added to.
    pub(super) fn state(&mut self, file: File, now: Instant) {
        self.states.push(file);
        self.folders(now);
    }

    /// A name was made, moved or removed.
    pub(super) fn folders(&mut self, now: Instant) {
        self.since.get_or_insert(now);
    }

    /// When the batch is to be made durable.
    pub(super) fn due(&self) -> Option<Instant> {
        let since = self.since?;
        Some(if self.states.len() < MAX_STATES { since + BATCH } else { since })
    }

    /// Whether the disk does not keep up.
    pub(super) fn is_behind(&self) -> bool {
        self.under_way.len() >= MAX_BATCHES
    }

    /// A worker has made a batch durable, or could not.
    pub(super) fn synced(&mut self) {
        self.under_way.pop_front();
    }

    /// It could not be done: the next try comes a batch later.
    fn later(&mut self, now: Instant) {
        self.since = Some(now);
    }

    /// The batch, for a worker.
    fn hand_over(&mut self) -> Arc<Vec<File>> {
        self.since = None;
        let states = Arc::new(std::mem::take(&mut self.states));
        self.under_way.push_back(Arc::clone(&states));
        states
    }
}

/// Syncs all of them, whatever becomes of one.
fn sync(states: &[impl Borrow<File>], folders: &[File]) -> io::Result<()> {
    let states = states.iter().map(|state| state.borrow().sync_data());
    let results: Vec<io::Result<()>> = states.chain(folders.iter().map(File::sync_all)).collect();
    results.into_iter().collect()
}

impl Engine {
    /// Hands the batch to a worker when its time has come.
    pub(super) fn sync_if_due(&mut self) {
        if self.unsynced.due().is_none_or(|due| due > Instant::now()) {
            return;
        }
        match self.queue.folders() {
            Ok(folders) => {
                let states = self.unsynced.hand_over();
                let ticket = self.ticket(Ticket::Sync);
                self.journal.submit(ticket, move || Done::Synced(sync(&states, &folders)));
            }
            Err(error) => {
                self.unsynced.later(Instant::now());
                Event::Error { text: &format_args!("nothing can be synced now: {error}") }.log();
            }
        }
    }

    /// Makes everything durable before the end: the last batch, and those that no worker has begun with.
    pub(super) fn sync_at_last(&mut self) {
        self.unsynced.hand_over();
        let batches = std::mem::take(&mut self.unsynced.under_way);
        let result = self.queue.folders().and_then(|folders| {
            let states: Vec<&File> = batches.iter().flat_map(|batch| batch.iter()).collect();
            sync(&states, &folders)
        });
        if let Err(error) = result {
            Event::Error { text: &format_args!("the last marks could not be synced: {error}") }.log();
        }
    }
}
