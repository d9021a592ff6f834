//! What has been written and is not yet durable: marks, renames, removals. Made so in batches.

use std::collections::VecDeque;
use std::fs::File;
use std::io;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use smap_common::log::Event;

use super::Engine;
use super::dispatch::{Done, Ticket};
use crate::queue::{Queue, Removed};

/// With the time that the sync itself takes this stays below the second that is promised.
const BATCH: Duration = Duration::from_millis(500);
/// Descriptors after which a batch does not wait for its time.
const MANY: usize = 256;
/// Descriptors after which it holds nothing more that was removed: others need them.
const MAX_HELD: usize = 2 * MANY;
/// Batches that wait for the disk before nothing more is written that can wait.
const MAX_BATCHES: usize = 2;

/// What has been written, and is not yet durable.
#[derive(Debug, Default)]
pub(super) struct Unsynced {
    batch: Batch,
    since: Option<Instant>,
    /// The batches that a worker has, the oldest first.
    under_way: VecDeque<Arc<Batch>>,
}

/// What is made durable at once, with the folders.
#[derive(Debug, Default)]
struct Batch {
    states: Vec<File>,
    /// Dropped by the worker that has synced it: to free the blocks takes a while.
    removed: Mutex<Removed>,
    held: usize,
}

impl Unsynced {
    /// A state file was added to.
    pub(super) fn state(&mut self, file: File, now: Instant) {
        self.batch.states.push(file);
        self.folders(now);
    }

    /// Files were removed. They are held, unless the disk does not keep up.
    pub(super) fn hold(&mut self, removed: Removed, now: Instant) {
        if !self.is_behind() && self.batch.held < MAX_HELD {
            self.batch.hold(removed);
        }
        self.folders(now);
    }

    /// A name was made or moved.
    pub(super) fn folders(&mut self, now: Instant) {
        self.since.get_or_insert(now);
    }

    /// When the batch is to be made durable.
    pub(super) fn due(&self) -> Option<Instant> {
        let since = self.since?;
        Some(if self.batch.files() < MANY { since + BATCH } else { since })
    }

    /// Whether the disk does not keep up.
    pub(super) fn is_behind(&self) -> bool {
        self.under_way.len() >= MAX_BATCHES
    }

    /// A worker has made a batch durable, or could not.
    pub(super) fn synced(&mut self) {
        self.under_way.pop_front();
    }

    /// The batch, for a worker.
    fn hand_over(&mut self) -> Arc<Batch> {
        self.since = None;
        let batch = Arc::new(std::mem::take(&mut self.batch));
        self.under_way.push_back(Arc::clone(&batch));
        batch
    }
}

impl Batch {
    fn files(&self) -> usize {
        self.states.len() + self.held
    }

    fn hold(&mut self, removed: Removed) {
        self.held += removed.files();
        self.removed.get_mut().unwrap_or_else(PoisonError::into_inner).extend(removed);
    }

    /// Syncs all of it, whatever becomes of one, and lets go of what was removed.
    fn sync(&self, queue: &Queue) -> io::Result<()> {
        let states: Vec<io::Result<()>> = self.states.iter().map(File::sync_data).collect();
        let names = queue.sync();
        drop(std::mem::take(&mut *self.removed.lock().unwrap_or_else(PoisonError::into_inner)));
        states.into_iter().chain([names]).collect()
    }
}

impl Engine {
    /// Hands the batch to a worker when its time has come.
    pub(super) fn sync_if_due(&mut self) {
        if self.unsynced.due().is_none_or(|due| due > Instant::now()) {
            return;
        }
        let (batch, queue) = (self.unsynced.hand_over(), Arc::clone(&self.queue));
        let ticket = self.ticket(Ticket::Sync);
        self.journal.submit(ticket, move || Done::Synced(batch.sync(&queue)));
    }

    /// Makes everything durable before the end: the last batch, and those that no worker has begun with.
    pub(super) fn sync_at_last(&mut self) {
        self.unsynced.hand_over();
        let batches = std::mem::take(&mut self.unsynced.under_way);
        let results: Vec<io::Result<()>> = batches.iter().map(|batch| batch.sync(&self.queue)).collect();
        if let Err(error) = results.into_iter().collect::<io::Result<()>>() {
            Event::Error { text: &format_args!("the last marks could not be synced: {error}") }.log();
        }
    }
}
