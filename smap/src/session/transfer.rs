#![deny(clippy::disallowed_methods)]
//! From the command that begins the text to the reply that takes the message over, or refuses it.

use smap_common::spool::{Committed, StoreError};

use super::body::{Body, Progress};
use super::{AfterWrite, Framing, Next, Session, State};
use crate::replies;

impl Session {
    pub(super) fn opened(&mut self, result: Result<(), StoreError>) {
        let State::Opening(_, framing) = std::mem::replace(&mut self.state, State::Idle) else {
            return;
        };
        let limit = self.limits.max_octets;
        match (result, framing) {
            (Ok(()), Framing::Data) => {
                self.say(&replies::enter_mail());
                self.state = State::Receiving(Body::of_data(limit), AfterWrite::GoOn);
            }
            (Ok(()), Framing::Chunk(chunk)) => {
                self.state = State::Receiving(Body::of_chunk(chunk, limit), AfterWrite::GoOn);
            }
            (Err(error), Framing::Data) => self.say(&replies::not_stored(&error, &self.host)),
            (Err(error), Framing::Chunk(chunk)) => {
                self.say(&replies::not_stored(&error, &self.host));
                self.skip_chunk(chunk.size);
            }
        }
    }

    pub(super) fn receive_body(&mut self) -> Option<Next> {
        let State::Receiving(body, after) = &mut self.state else { return None };
        let (consumed, progress) = body.receive(self.lines.rest());
        self.lines.consume(consumed);
        *after = match progress {
            Progress::Open => AfterWrite::GoOn,
            Progress::ChunkEnd(_) | Progress::End | Progress::Flood => AfterWrite::Judge(progress),
        };
        match (body.text().is_empty(), progress) {
            (false, _) => Some(Next::Write),
            (true, Progress::Open) => Some(Next::Read),
            (true, _) => self.judge(progress),
        }
    }

    /// A write or an abandonment is done.
    pub(super) fn written(&mut self) -> Option<Next> {
        match &self.state {
            State::Receiving(_, AfterWrite::Judge(progress)) => {
                let progress = *progress;
                self.judge(progress)
            }
            State::Abandoning => {
                self.state = State::Idle;
                None
            }
            _ => None,
        }
    }

    fn judge(&mut self, progress: Progress) -> Option<Next> {
        let State::Receiving(body, _) = std::mem::replace(&mut self.state, State::Idle) else {
            return Some(Next::Close);
        };
        let fault = match progress {
            Progress::Flood => return Some(self.end(&replies::message_too_big(), "message far too big")),
            Progress::ChunkEnd(_) => body.fault_so_far(),
            Progress::Open | Progress::End => body.fault(),
        };
        match (fault, progress) {
            (Some(fault), _) => {
                self.say(&replies::body_refused(fault));
                Some(self.abandon())
            }
            (None, Progress::ChunkEnd(octets)) => {
                self.state = State::BetweenChunks(body);
                self.say(&replies::chunk_ok(octets));
                None
            }
            (None, Progress::Open | Progress::End | Progress::Flood) => {
                if let Some(discarded) = body.is_discarded() {
                    self.say(&replies::discarded(discarded));
                    return None;
                }
                self.state = State::Committing(body);
                Some(Next::Commit)
            }
        }
    }

    pub(super) fn abandon(&mut self) -> Next {
        if matches!(self.state, State::Closing) {
            return Next::Close;
        }
        self.state = State::Abandoning;
        Next::Abandon
    }

    pub(super) fn committed(&mut self, result: Result<Committed, StoreError>) {
        let State::Committing(body) = std::mem::replace(&mut self.state, State::Idle) else { return };
        match result {
            Ok(proof) => {
                self.totals.messages += 1;
                self.totals.octets += body.octets();
                self.say(&replies::accepted(&proof));
            }
            Err(error) => self.say(&replies::not_stored(&error, &self.host)),
        }
    }
}
