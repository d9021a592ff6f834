//! What the administrator tells a running smapd, by signals: to read its table again, to end.
//!
//! Guarantees that a table which is broken, or asks for what this process has given up at its start, leaves the old
//! one in force.

use std::io;
use std::sync::Arc;
use std::time::{Duration, Instant};

use netperm::masquerade::Masquerade;
use nix::sys::signal::{SigSet, Signal};
use nix::sys::signalfd::{SfdFlags, SignalFd};
use smap_common::confine::SetId;
use smap_common::log::Event;

use super::{Engine, limits};
use crate::exchangers::ourselves;
use crate::settings::Settings;
use crate::{privileges, reach};

/// How long what is under way may take after SIGTERM.
const LAST_PATIENCE: Duration = Duration::from_secs(30);

impl Engine {
    pub(super) fn signalled(&mut self) -> io::Result<()> {
        while let Some(signal) = self.signals.read_signal()? {
            match i32::try_from(signal.ssi_signo).ok().and_then(|number| Signal::try_from(number).ok()) {
                Some(Signal::SIGHUP) => self.reload(),
                _ => self.stop(),
            }
        }
        Ok(())
    }

    fn reload(&mut self) {
        match self.new_settings() {
            Ok(Settings { site, tls }) => {
                let ours = ourselves(&site, &self.start.interfaces);
                self.relay.reconfigure(ours, limits(&site), tls);
                self.masquerade = Masquerade::of(&site.smapd, &site.hostname);
                self.site = Arc::new(site);
                self.next_scan = Instant::now();
                self.start_programs();
                Event::Said { text: "the table was read again" }.log();
            }
            Err(faults) => {
                for line in faults.lines() {
                    Event::Error { text: &format_args!("{line}; the old table stays in force") }.log();
                }
            }
        }
    }

    /// What the table and its files say now, if this process may do all that it asks for.
    fn new_settings(&self) -> Result<Settings, String> {
        let table = &self.start.table;
        let site = self.site.load_again(table).map_err(|faults| faults.to_string())?;
        let table = table.display();
        if let Some(what) = self.start.reach.lacks(&reach::of(&site, &self.start.table)) {
            return Err(format!(
                "{table}: {what} is closed to a smapd that was started without it: start it anew"
            ));
        }
        if self.start.set_id == SetId::Ignored && privileges::set_id(&site) == SetId::Honoured {
            return Err(format!(
                "{table}: set-id bits are ignored by a smapd that was started without a program that may have \
                 them: start it anew"
            ));
        }
        Settings::of(site)
    }

    fn stop(&mut self) {
        Event::Said { text: &format!("stopping; {} messages are under way", self.active.len()) }.log();
        self.fresh.clear();
        self.stopping.get_or_insert(Instant::now() + LAST_PATIENCE);
    }
}

/// The signals that the loop reads like any other input; to be blocked before any thread is started.
///
/// # Errors
/// The system has no descriptors left.
pub fn block_signals() -> nix::Result<SignalFd> {
    let signals: SigSet = [Signal::SIGHUP, Signal::SIGTERM, Signal::SIGINT].into_iter().collect();
    signals.thread_block()?;
    // A mailbox that would grow too large is an error of one delivery, not the end of this process.
    SigSet::from(Signal::SIGXFSZ).thread_block()?;
    SignalFd::with_flags(&signals, SfdFlags::SFD_CLOEXEC | SfdFlags::SFD_NONBLOCK)
}
