//! What has been written and is not yet durable: marks, renames, removals. Made so in batches.

use std::collections::VecDeque;
use std::fs::File;
use std::io;
use std::sync::Arc;
use std::time::{Duration, Instant};

use smap_common::log::Event;

use super::Engine;
use super::dispatch::{Done, Ticket};
use crate::queue::Removed;

/// With the time that the sync itself takes this stays below the second that is promised.
const BATCH: Duration = Duration::from_millis(500);
/// Files that are open at a time and wait for it.
const MAX_FILES: usize = 256;
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
    removed: Vec<Removed>,
}

impl Unsynced {
    /// A state file was added to.
    pub(super) fn state(&mut self, file: File, now: Instant) {
        self.batch.states.push(file);
        self.folders(now);
    }

    /// Files were removed. Of a disk that does not keep up they are not held: others need the descriptors.
    pub(super) fn removed(&mut self, removed: Removed, now: Instant) {
        if !self.is_behind() {
            self.batch.removed.push(removed);
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
        Some(if self.batch.files() < MAX_FILES { since + BATCH } else { since })
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
    fn hand_over(&mut self) -> Arc<Batch> {
        self.since = None;
        let batch = Arc::new(std::mem::take(&mut self.batch));
        self.under_way.push_back(Arc::clone(&batch));
        batch
    }
}

impl Batch {
    fn files(&self) -> usize {
        self.states.len() + self.removed.len()
    }
}

/// Syncs all of them, whatever becomes of one.
fn sync<'a>(batches: impl Iterator<Item = &'a Batch>, folders: &[File]) -> io::Result<()> {
    let states = batches.flat_map(|batch| &batch.states).map(File::sync_data);
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
                let batch = self.unsynced.hand_over();
                let ticket = self.ticket(Ticket::Sync);
                self.journal.submit(ticket, move || Done::Synced(sync(std::iter::once(&*batch), &folders)));
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
        let result = self.queue.folders().and_then(|folders| sync(batches.iter().map(Arc::as_ref), &folders));
        if let Err(error) = result {
            Event::Error { text: &format_args!("the last marks could not be synced: {error}") }.log();
        }
    }
}
