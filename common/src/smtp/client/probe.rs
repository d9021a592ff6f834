#![deny(clippy::disallowed_methods)]
//! Asking a server for a recipient without giving it a message: a call-out.
//!
//! Decides what a reply to RCPT says of him. Guarantees that he is called unknown only by a 5yz that speaks of him:
//! never by one to anything else, nor by one that says that we may not ask, or that something of ours is wrong.

use super::{Action, Session, State, Trouble};
use crate::smtp::command::Recipient;
use crate::smtp::reply::Reply;
use crate::status::Class;

#[cfg(test)]
mod tests;

/// What a server says of a recipient.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Probed {
    /// It takes mail for him.
    Taken(Reply),
    /// It never will.
    Unknown(Reply),
    /// It has not told.
    Untold {
        /// What it said instead, or what we say of it.
        why: String,
        /// Whether another host may be asked at once: the connection failed.
        elsewhere: bool,
    },
}

impl Probed {
    fn untold(reply: &Reply) -> Self {
        Self::Untold { why: reply.to_string(), elsewhere: false }
    }

    fn troubled(trouble: &Trouble) -> Self {
        Self::Untold { why: trouble.to_string(), elsewhere: true }
    }

    /// By the reply to his RCPT.
    fn by(reply: Reply) -> Self {
        match (reply.code, reply.class()) {
            // RFC 5321 section 3.3: 251 and 252 take the mail too.
            (250..=252, _) => Self::Taken(reply),
            (_, Class::Permanent) if speaks_of_him(&reply) => Self::Unknown(reply),
            (_, Class::Success | Class::Transient | Class::Permanent) => Self::untold(&reply),
        }
    }
}

/// Whether a 5yz to RCPT is about the recipient.
fn speaks_of_him(reply: &Reply) -> bool {
    // RFC 3463: X.3 is the mail system, X.7 what we may; 2.2 is a full mailbox, which somebody has.
    let by_status = match reply.status.map(|status| (status.subject(), status.detail())) {
        Some((3 | 7, _) | (2, 2)) => false,
        Some(_) | None => true,
    };
    // The command is wrong; no mail is taken; RFC 4954: who we are; RFC 5321 section 4.5.3.1.10: too many recipients.
    let by_code = !matches!(reply.code, 500 | 502..=504 | 521 | 530 | 534 | 535 | 538 | 552);
    by_status && by_code
}

impl Session {
    /// Begins with the null sender, whose mail nobody answers.
    pub(super) fn probe(&mut self, recipient: Recipient) -> Action {
        let needs_smtputf8 = !recipient.address.is_ascii();
        if needs_smtputf8 && !self.offers.smtputf8 {
            let why = "the next host does not take internationalized addresses (SMTPUTF8)".to_owned();
            return Action::Probed(Probed::Untold { why, elsewhere: false });
        }
        self.say(if needs_smtputf8 { "MAIL FROM:<> SMTPUTF8" } else { "MAIL FROM:<>" });
        self.state = State::ProbingSender(recipient);
        self.proceed()
    }

    /// Takes the reply to MAIL.
    pub(super) fn probed_sender(&mut self, recipient: &Recipient, reply: &Reply) -> Option<Action> {
        if !reply.is_success() {
            return Some(self.end_probe(reply, Probed::untold(reply)));
        }
        if !self.replies.is_empty() {
            return Some(self.lost_in_probe(Trouble::OutOfStep));
        }
        let line = self.offers.rcpt_line(recipient);
        self.say(&line);
        self.state = State::ProbingRecipient;
        None
    }

    /// Takes the reply to RCPT.
    pub(super) fn probed_recipient(&mut self, reply: Reply) -> Action {
        self.end_probe(&reply.clone(), Probed::by(reply))
    }

    fn end_probe(&mut self, reply: &Reply, probed: Probed) -> Action {
        if reply.code == 421 {
            return self.lost_in_probe(Trouble::Unwilling(reply.clone()));
        }
        self.state = State::Unclean;
        Action::Probed(probed)
    }

    pub(super) fn lost_in_probe(&mut self, trouble: Trouble) -> Action {
        let probed = Probed::troubled(&trouble);
        self.state = State::Over(Some(trouble));
        Action::Probed(probed)
    }
}
