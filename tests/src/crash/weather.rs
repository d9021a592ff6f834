//! How the hosts around the gateway behave: at first some of them defer what they are given, later none does.

use std::sync::atomic::{AtomicBool, Ordering};

use crate::sink::Act;

/// How the hosts behave.
#[derive(Debug, Default)]
pub struct Weather {
    /// `later...` is deferred.
    pub bad: AtomicBool,
    /// The sender's host takes nothing.
    pub home_is_down: AtomicBool,
}

impl Weather {
    /// What a host does where mail goes.
    #[must_use]
    pub fn act(&self, line: &str) -> Act {
        let bad = self.bad.load(Ordering::SeqCst);
        match line.strip_prefix("RCPT TO:<") {
            Some(to) if to.starts_with("never") => Act::say("550 5.1.1 no such user"),
            Some(to) if to.starts_with("later") && bad => Act::say("451 4.2.0 later"),
            _ => Act::Usual,
        }
    }

    /// What the sender's host does.
    #[must_use]
    pub fn act_at_home(&self, line: &str) -> Act {
        let is_down = self.home_is_down.load(Ordering::SeqCst);
        if is_down && line.starts_with("RCPT") { Act::say("451 4.3.0 later") } else { Act::Usual }
    }
}
