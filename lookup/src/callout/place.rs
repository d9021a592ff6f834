//! One destination: how many connections it has, whether it is down, whether it was seen to take everybody.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use smap_common::address::Domain;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

/// How long a destination that could not be asked is left alone.
const REST: Duration = Duration::from_secs(15);
/// Domains of one destination that are remembered.
const MAX_DOMAINS: usize = 1000;

#[derive(Debug)]
pub(super) struct Place {
    slots: Arc<Semaphore>,
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    /// Until when it is left alone, and why.
    down: Option<(Instant, String)>,
    /// When it was last tried whether it takes everybody in a domain.
    tried: HashMap<Domain, Instant>,
}

/// A connection that there may be.
#[derive(Debug)]
pub(super) struct Slot {
    _here: OwnedSemaphorePermit,
    _at_all: OwnedSemaphorePermit,
}

impl Place {
    pub(super) fn new(connections: usize) -> Self {
        Self { slots: Arc::new(Semaphore::new(connections)), state: Mutex::default() }
    }

    /// Waits until there may be one more connection, here and at all; an error says why it is left alone.
    pub(super) async fn slot(&self, all: &Arc<Semaphore>) -> Result<Slot, String> {
        self.is_up()?;
        let closed = |_| "no call-outs are made any more".to_owned();
        let here = Arc::clone(&self.slots).acquire_owned().await.map_err(closed)?;
        let at_all = Arc::clone(all).acquire_owned().await.map_err(closed)?;
        // Whoever was before us may have found out.
        self.is_up()?;
        Ok(Slot { _here: here, _at_all: at_all })
    }

    fn is_up(&self) -> Result<(), String> {
        match &self.state().down {
            Some((until, why)) if *until > Instant::now() => Err(why.clone()),
            Some(_) | None => Ok(()),
        }
    }

    pub(super) fn goes_down(&self, why: &str) {
        self.state().down = Some((Instant::now() + REST, why.to_owned()));
    }

    /// Whether it is not known of this domain whether everybody in it is taken; it is from now on.
    pub(super) fn is_to_be_tried(&self, domain: &Domain, period: Duration) -> bool {
        let (mut state, now) = (self.state(), Instant::now());
        if state.tried.get(domain).is_some_and(|since| now.saturating_duration_since(*since) < period) {
            return false;
        }
        if state.tried.len() >= MAX_DOMAINS {
            state.tried.clear();
        }
        state.tried.insert(domain.clone(), now);
        true
    }

    /// It still is not.
    pub(super) fn was_not_tried(&self, domain: &Domain) {
        self.state().tried.remove(domain);
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
