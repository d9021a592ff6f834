#![deny(clippy::disallowed_methods)]
//! What a client has sent and nobody has understood yet, cut into lines.

use smap_common::smtp::command;

#[cfg(test)]
mod tests;

/// Octets of one line that are read over before the session ends.
const MAX_ENDLESS_LINE: usize = 64 * 1024;

const _: () = assert!(command::MAX_PATH_LINE < MAX_ENDLESS_LINE);

/// Octets in their order; only the unfinished end of them is kept.
#[derive(Debug, Default)]
pub(super) struct LineBuffer {
    octets: Vec<u8>,
    /// How much of `octets` is done with.
    start: usize,
    /// Octets of a line that is longer than any command, and was thrown away.
    thrown: usize,
}

#[derive(Debug, PartialEq, Eq)]
pub(super) enum Line {
    /// Without its CRLF.
    Whole(Vec<u8>),
    BareLf,
    TooLong,
    Endless,
}

impl LineBuffer {
    pub(super) fn receive(&mut self, octets: &[u8]) {
        self.octets.drain(..self.start);
        self.start = 0;
        self.octets.extend_from_slice(octets);
    }

    pub(super) fn rest(&self) -> &[u8] {
        self.octets.get(self.start..).unwrap_or_default()
    }

    pub(super) fn consume(&mut self, octets: usize) {
        self.start = (self.start + octets).min(self.octets.len());
    }

    /// Reads over up to `octets`; says how many there were.
    pub(super) fn skip(&mut self, octets: u64) -> u64 {
        let there = self.rest().len();
        let skipped = usize::try_from(octets).unwrap_or(usize::MAX).min(there);
        self.consume(skipped);
        u64::try_from(skipped).unwrap_or(octets)
    }

    pub(super) fn next_line(&mut self) -> Option<Line> {
        let Some(end) = memchr::memchr(b'\n', self.rest()) else {
            let unfinished = self.rest().len();
            if self.thrown + unfinished > MAX_ENDLESS_LINE {
                return Some(Line::Endless);
            }
            if unfinished >= command::MAX_PATH_LINE {
                self.thrown += unfinished;
                self.consume(unfinished);
            }
            return None;
        };
        let line = self.rest().get(..end).unwrap_or_default();
        let line = match line.strip_suffix(b"\r") {
            // Whether its end has come with the rest of it changes nothing.
            _ if self.thrown + end > MAX_ENDLESS_LINE => return Some(Line::Endless),
            _ if self.thrown > 0 || line.len() >= command::MAX_PATH_LINE => Line::TooLong,
            Some(line) => Line::Whole(line.to_vec()),
            None => Line::BareLf,
        };
        self.thrown = 0;
        self.consume(end + 1);
        Some(line)
    }
}
