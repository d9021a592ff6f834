//! What a former smapd left in `queue/`: looked at a little at a time, so that new mail does not wait for it.

use std::io;
use std::time::Instant;

use smap_common::clock::Timestamp;
use smap_common::spool::QueueId;

use super::Engine;
use crate::queue::{Backlog, Place};
use crate::schedule;

/// Messages that are looked at before the loop looks at what has happened.
const AT_ONCE: usize = 100;

impl Engine {
    /// Lists it. What is no message, or has none, is done with at once.
    pub(super) fn open_backlog(&mut self) -> io::Result<()> {
        let Backlog { messages, states, strangers } = self.queue.backlog()?;
        for name in strangers {
            self.set_poison_aside(Place::Queue, &name, &"the name is not a queue id");
        }
        for id in states {
            self.unsynced.hold(self.queue.forget_stray_state(id), Instant::now());
        }
        self.backlog = messages.into_iter();
        Ok(())
    }

    /// Reads when the next of them are to be tried.
    pub(super) fn read_backlog(&mut self) {
        let now = Timestamp::now();
        let ids: Vec<QueueId> = self.backlog.by_ref().take(AT_ONCE).collect();
        // What is due of them is begun with in the next turn, which must come even where nothing else happens.
        self.more_is_due |= !ids.is_empty();
        for id in ids {
            match self.queue.state(id) {
                Ok(state) => {
                    let state = state.unwrap_or_default();
                    let at = schedule::due(&self.site.smapd, state.next, now);
                    self.wait_as_ordered(id, state.ordered.map(|ordered| ordered.order), at);
                }
                Err(error) => self.trouble(id, &error),
            }
        }
    }
}
