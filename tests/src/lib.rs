//! The harness of the end-to-end tests: programs, gateways, clients, dialogues.
//!
//! [`needs`] says what a test needs and skips it by name, [`programs`] finds and builds what is tested, a
//! [`gateway`] is a table and a spool of a test's own, a [`process`] a program with its log, a [`clock`] one that a
//! test may set, a [`client`] a plain SMTP client, [`transcript`] a dialogue in a file, a [`post`] both programs on
//! one spool, a [`sink`] the server that mail is relayed to, [`certificates`] what it has for TLS, [`peers`] mail
//! servers of others, [`dns`] a name server, an [`asker`] a client of smap-lookup, and [`scripted`] one that says what
//! it is told, a [`network`] one of a test's own. [`model`] is what a crash may leave of a disk, `crash` has the power
//! go and the disk fail at every system call, [`soak`] is an hour under everything at once. [`markdown`] reads the
//! tables that say which test holds what. A test stops by panicking.
#![expect(
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    clippy::unwrap_used,
    reason = "a test stops where something is not as it should be"
)]

pub mod asker;
pub mod certificates;
pub mod client;
pub mod clock;
#[cfg(target_arch = "x86_64")]
pub mod crash;
pub mod dns;
pub mod gateway;
pub mod markdown;
pub mod model;
pub mod needs;
pub mod network;
pub mod peers;
pub mod post;
pub mod process;
pub mod programs;
pub mod scripted;
pub mod sink;
pub mod soak;
pub mod spool;
#[cfg(target_arch = "x86_64")]
pub mod taken;
pub mod transcript;

use std::io;
use std::time::{Duration, Instant};

/// How long anything may take; what is right takes a fraction of it.
pub const PATIENCE: Duration = Duration::from_secs(60);

/// Waits for what cannot be waited for, by looking often.
///
/// # Panics
/// It does not come.
pub fn eventually<T>(what: &str, look: impl Fn() -> Option<T>) -> T {
    let until = Instant::now() + PATIENCE;
    loop {
        if let Some(found) = look() {
            return found;
        }
        assert!(Instant::now() < until, "it never happened: {what}");
        std::thread::sleep(Duration::from_millis(2));
    }
}

/// The outcome of a call, made again whenever a signal breaks it off: a process of another test has ended, or the
/// machine was paused, which a socket with a time-out notices.
///
/// # Errors
/// The call's own.
pub fn uninterrupted<T>(mut call: impl FnMut() -> io::Result<T>) -> io::Result<T> {
    loop {
        match call() {
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            outcome => return outcome,
        }
    }
}

/// Whoever worked so long in so much time was waiting most of it.
///
/// # Panics
/// He was not.
pub fn assert_rested(worked: Duration, waited: Duration) {
    assert!(worked < waited / 4, "it worked {worked:?} of {waited:?}");
}
