//! How far it is, for someone who waits before a terminal.

use std::io::{IsTerminal, Write};
use std::path::Path;

use netperm::Place;

/// Often enough to be seen to move.
const EVERY: u32 = 50_000;

/// A line that is written over itself, and gone in the end.
pub(super) struct Progress {
    file: String,
    lines: u32,
    shown: bool,
    terminal: bool,
}

impl Progress {
    pub(super) fn new(file: &Path) -> Self {
        let terminal = std::io::stderr().is_terminal();
        Self { file: file.display().to_string(), lines: 0, shown: false, terminal }
    }

    pub(super) fn at(&mut self, place: &Place) {
        let line = place.line_number().unwrap_or(0);
        if self.terminal && line >= self.lines.saturating_add(EVERY) {
            self.lines = line;
            self.shown = true;
            say(&format!("\r{}: {line} lines\x1b[K", self.file));
        }
    }
}

impl Drop for Progress {
    fn drop(&mut self) {
        if self.shown {
            say("\r\x1b[K");
        }
    }
}

fn say(text: &str) {
    // Whoever does not see it is told of the end.
    let _unseen = std::io::stderr().write_all(text.as_bytes());
}
