#![deny(clippy::disallowed_methods)]
//! The body of the message that is being received: its frame and its limits.

use smap_common::smtp::command::Chunk;
use smap_common::smtp::data::{Checker, Decoder, LineFault, ReceivedCounter};
use smap_common::spool::QueueId;

#[cfg(test)]
mod tests;

/// Most `Received:` fields that a message may have (RFC 5321 section 6.3).
const MAX_RECEIVED: u32 = 100;

/// Why a message is refused after its body.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum BodyFault {
    /// Bare CR, bare LF or NUL.
    Lines(LineFault),
    /// More than `maxbytes`.
    TooBig,
    /// More than 100 hops.
    Loop,
}

/// How the end of the body is known.
#[derive(Debug)]
enum Frame {
    /// DATA: by its dot.
    Dot(Decoder),
    /// BDAT: by counting.
    Chunks { left: u64, last: bool, size: u64, checker: Checker },
}

/// A body on its way from the client to the spool.
#[derive(Debug)]
pub(super) struct Body {
    frame: Frame,
    received: ReceivedCounter,
    octets: u64,
    limit: u64,
    /// What came over the wire, whether it was kept or not.
    wire: u64,
    text: Vec<u8>,
    /// It goes nowhere.
    discarded: Option<Discarded>,
}

/// That all recipients of a message are those whose mail the table has thrown away: only then there is a yes to its
/// text without the spool's proof.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Discarded(QueueId);

impl Discarded {
    /// The message.
    pub(crate) fn id(self) -> QueueId {
        self.0
    }
}

/// Where the body stands after a piece of input.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Progress {
    /// More is to come.
    Open,
    /// A chunk of so many octets has ended, and the message has not.
    ChunkEnd(u64),
    /// The message has ended.
    End,
    /// The client sends so much more than it may that it is not worth waiting for the end.
    Flood,
}

impl Body {
    pub(super) fn of_data(limit: u64) -> Self {
        Self::new(Frame::Dot(Decoder::default()), limit)
    }

    pub(super) fn of_chunk(chunk: Chunk, limit: u64) -> Self {
        let Chunk { size, last } = chunk;
        Self::new(Frame::Chunks { left: size, last, size, checker: Checker::default() }, limit)
    }

    fn new(frame: Frame, limit: u64) -> Self {
        Self {
            frame,
            received: ReceivedCounter::new(),
            octets: 0,
            limit,
            wire: 0,
            text: Vec::new(),
            discarded: None,
        }
    }

    /// The same of a message that goes nowhere: judged as any, and not kept.
    pub(super) fn discarded(self, id: QueueId) -> Self {
        Self { discarded: Some(Discarded(id)), ..self }
    }

    /// The proof, where it goes nowhere.
    pub(super) fn is_discarded(&self) -> Option<Discarded> {
        self.discarded
    }

    /// The next chunk begins.
    pub(super) fn next_chunk(&mut self, chunk: Chunk) {
        if let Frame::Chunks { left, last, size, .. } = &mut self.frame {
            (*left, *last, *size) = (chunk.size, chunk.last, chunk.size);
        }
    }

    /// What of the last input belongs into the spool.
    pub(super) fn text(&self) -> &[u8] {
        &self.text
    }

    pub(super) fn octets(&self) -> u64 {
        self.octets
    }

    /// Takes octets from the wire; says how many of them were of the body, and where it stands.
    pub(super) fn receive(&mut self, input: &[u8]) -> (usize, Progress) {
        self.text.clear();
        let (consumed, progress) = match &mut self.frame {
            Frame::Dot(decoder) => {
                let decoded = decoder.decode(input, &mut self.text);
                (decoded.consumed, if decoded.ended { Progress::End } else { Progress::Open })
            }
            Frame::Chunks { left, last, size, checker } => {
                let take = usize::try_from(*left).unwrap_or(usize::MAX).min(input.len());
                let chunk = input.get(..take).unwrap_or_default();
                checker.check(chunk);
                self.text.extend_from_slice(chunk);
                *left -= u64::try_from(take).unwrap_or(*left);
                let progress = match (*left, *last) {
                    (0, true) => Progress::End,
                    (0, false) => Progress::ChunkEnd(*size),
                    _ => Progress::Open,
                };
                if progress == Progress::End && !checker.ends_line() && checker.fault_at_end().is_none() {
                    // Only a chunk can end inside a line; the spool, and every DATA, is made of whole ones.
                    self.text.extend_from_slice(b"\r\n");
                }
                (take, progress)
            }
        };
        (consumed, self.count(consumed, progress))
    }

    fn count(&mut self, consumed: usize, progress: Progress) -> Progress {
        self.wire = self.wire.saturating_add(u64::try_from(consumed).unwrap_or(u64::MAX));
        self.octets = self.octets.saturating_add(u64::try_from(self.text.len()).unwrap_or(u64::MAX));
        self.received.read(&self.text);
        if self.is_refused() || self.discarded.is_some() {
            self.text.clear();
        }
        // Whether the end has come with the rest of it changes nothing.
        if self.wire > self.patience() { Progress::Flood } else { progress }
    }

    /// How much is read of a message that will be refused: twice what any message within the limit can be.
    fn patience(&self) -> u64 {
        self.limit.saturating_mul(2).saturating_add(64 * 1024)
    }

    /// Whether it is already known that the message will be refused: nothing more of it goes into the spool, where a
    /// bare LF could be taken for the beginning of its END record.
    fn is_refused(&self) -> bool {
        let faulty = match &self.frame {
            // It gives nothing more by itself.
            Frame::Dot(_) => false,
            Frame::Chunks { checker, .. } => checker.fault().is_some(),
        };
        faulty || self.octets > self.limit || self.received.count() > MAX_RECEIVED
    }

    /// Why the message that has ended is refused, if it is.
    pub(super) fn fault(&self) -> Option<BodyFault> {
        let lines = match &self.frame {
            Frame::Dot(decoder) => decoder.fault(),
            Frame::Chunks { checker, .. } => checker.fault_at_end(),
        };
        if self.octets > self.limit {
            Some(BodyFault::TooBig)
        } else if self.received.count() > MAX_RECEIVED {
            Some(BodyFault::Loop)
        } else {
            lines.map(BodyFault::Lines)
        }
    }

    /// Why the message is refused at the end of a chunk that is not the last: RFC 3030 section 2 wants the
    /// failure said there.
    pub(super) fn fault_so_far(&self) -> Option<BodyFault> {
        self.is_refused().then(|| self.fault()).flatten()
    }
}
