#![deny(clippy::disallowed_methods)]
//! STARTTLS (RFC 3207), up to the handshake and from its end on.

use super::{Offers, Session, State, Trouble};
use crate::smtp::reply::{Reply, ReplyReader};
use crate::status::Class;

#[cfg(test)]
mod tests;

/// Whether the connection is to be encrypted before anything else is said.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Encryption {
    /// It is not, or it is already.
    Unasked,
    /// Where the server offers it.
    IfOffered,
    /// Always: a server without it is told nothing.
    Required,
}

impl Session {
    /// Takes the extensions that the server announced.
    pub(super) fn offered(&mut self, reply: &Reply) {
        self.offers = Offers::of(reply);
        self.state = match (self.encryption, self.offers.starttls) {
            (Encryption::IfOffered | Encryption::Required, true) if !self.replies.is_empty() => {
                State::Over(Some(Trouble::OutOfStep))
            }
            (Encryption::IfOffered | Encryption::Required, true) => {
                self.say("STARTTLS");
                State::AskingForTls
            }
            (Encryption::Required, false) => State::Over(Some(Trouble::NoTls(None))),
            (Encryption::Unasked, _) | (Encryption::IfOffered, false) => State::Ready,
        };
    }

    /// Takes the announcement of a server that knows no extensions.
    pub(super) fn offered_nothing(&mut self) {
        self.state = match self.encryption {
            Encryption::Required => State::Over(Some(Trouble::NoTls(None))),
            Encryption::Unasked | Encryption::IfOffered => State::Ready,
        };
    }

    /// Takes the reply to STARTTLS. What stands behind a 220 was said by anyone at all, and would be taken for the
    /// words of the server once the connection is encrypted.
    pub(super) fn starttls_replied(&mut self, reply: Reply) {
        self.state = match (reply.code, reply.class(), self.encryption) {
            (220, ..) if self.replies.is_empty() => State::Handshake,
            (421, ..) => State::Over(Some(Trouble::Unwilling(reply))),
            (_, Class::Success, _) => State::Over(Some(Trouble::OutOfStep)),
            (_, _, Encryption::Required) => State::Over(Some(Trouble::NoTls(Some(reply)))),
            (_, _, Encryption::Unasked | Encryption::IfOffered) => State::Ready,
        };
    }

    /// What was known of the server before the handshake is forgotten (RFC 3207 section 4.2): anyone may have said it.
    pub(super) fn secured(&mut self) {
        if matches!(self.state, State::Handshake) {
            self.offers = Offers::default();
            self.replies = ReplyReader::default();
            self.encryption = Encryption::Unasked;
            self.say_hello();
        }
    }
}
