//! Destinations that have no connection because there are as many as there may be.
//!
//! Pure: decides who is next, and how many of those that have one are to give it up.

use std::collections::VecDeque;

use crate::plan::Destination;

/// Those who wait, and those who make room for them.
#[derive(Debug, Default)]
pub(super) struct Line {
    /// Who waits longest is first.
    waiting: VecDeque<Destination>,
    /// Connections that say goodbye.
    leaving: usize,
}

impl Line {
    /// Each stands in it once.
    pub(super) fn join(&mut self, destination: &Destination) {
        if !self.has(destination) {
            self.waiting.push_back(destination.clone());
        }
    }

    pub(super) fn has(&self, destination: &Destination) -> bool {
        self.waiting.contains(destination)
    }

    pub(super) fn next(&mut self) -> Option<Destination> {
        self.waiting.pop_front()
    }

    /// Whether more of those who have a connection are asked for it.
    pub(super) fn needs_room(&self) -> bool {
        self.leaving < self.waiting.len()
    }

    /// A connection begins to say goodbye.
    pub(super) fn leaves(&mut self) {
        self.leaving += 1;
    }

    /// It has.
    pub(super) fn has_left(&mut self) {
        self.leaving = self.leaving.saturating_sub(1);
    }
}
