//! How far it is, for someone who waits before a terminal.

use std::cell::Cell;
use std::io::{IsTerminal, Write};
use std::path::Path;

/// A line that is written over itself, and gone in the end.
pub(super) struct Progress {
    shown: Cell<bool>,
    terminal: bool,
}

impl Progress {
    pub(super) fn new() -> Self {
        Self { shown: Cell::new(false), terminal: std::io::stderr().is_terminal() }
    }

    /// A file begins to be read, or compiled.
    pub(super) fn begin(&self, file: &Path, done: &str) {
        if self.terminal {
            self.shown.set(true);
            say(&format!("\r{} is {done} ...\x1b[K", file.display()));
        }
    }

    pub(super) fn end(&self) {
        if self.shown.take() {
            say("\r\x1b[K");
        }
    }
}

impl Drop for Progress {
    fn drop(&mut self) {
        self.end();
    }
}

fn say(text: &str) {
    // Whoever does not see it is told of the end.
    let _unseen = std::io::stderr().write_all(text.as_bytes());
}
