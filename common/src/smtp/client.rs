#![deny(clippy::disallowed_methods)]
//! The client's side of SMTP (RFC 5321) and LMTP (RFC 2033), as a pure state machine.
//!
//! Decides what is said to a server and what its replies mean for each recipient. Trusts nothing that the server
//! says: a reply that was not asked for ends the session. Has no socket, no file and no clock.
//!
//! Guarantees that a recipient counts as delivered only by a 2yz reply to the end of the text, that the text is
//! sent only after a 354 with at least one recipient accepted, that it holds no bare CR or LF, that nothing of a
//! message goes over a connection that was to be encrypted and is not, and that nothing that was heard before the
//! handshake is believed after it.

use std::time::Duration;

pub use self::offers::Offers;
pub use self::probe::Probed;
use self::run::{Run, Stage};
pub use self::starttls::Encryption;
pub use self::trouble::Trouble;
pub use self::words::{Action, Dialect, Input, Transaction, Verdict};
use crate::smtp::command::Recipient;
use crate::smtp::data::Stuffer;
use crate::smtp::reply::{Reply, ReplyReader};
use crate::status::Class;

mod offers;
mod probe;
mod run;
mod starttls;
#[cfg(test)]
mod tests;
mod trouble;
mod words;

/// Most commands that wait for a reply.
const MAX_UNANSWERED: usize = 100;

#[derive(Debug)]
enum State {
    Greeting,
    Hello,
    /// EHLO was refused.
    OldHello,
    AskingForTls,
    Handshake,
    Ready,
    Envelope(Run),
    Text(Run, Stuffer),
    /// The end of the text is said.
    Final(Run),
    /// No recipient was accepted, and the server wanted the text all the same: it got an empty one.
    FinalForNobody(Run),
    /// MAIL is said for a recipient who is only asked for.
    ProbingSender(Recipient),
    /// And his RCPT.
    ProbingRecipient,
    /// The verdicts are given; RSET is to be said before the next transaction.
    Unclean,
    Resetting,
    Quitting,
    Over(Option<Trouble>),
}

/// One connection to a server.
#[derive(Debug)]
pub struct Session {
    dialect: Dialect,
    host: String,
    encryption: Encryption,
    offers: Offers,
    state: State,
    replies: ReplyReader,
    heard: u64,
    output: Vec<u8>,
}

impl Session {
    /// A session on a new connection; `host` is our name.
    #[must_use]
    pub fn new(dialect: Dialect, host: &str, encryption: Encryption) -> Self {
        Self {
            dialect,
            host: host.to_owned(),
            encryption,
            offers: Offers::default(),
            state: State::Greeting,
            replies: ReplyReader::default(),
            heard: 0,
            output: Vec::new(),
        }
    }

    /// What the server announced; nothing before the first [`Action::Ready`].
    #[must_use]
    pub fn offers(&self) -> Offers {
        self.offers
    }

    /// How many whole replies have come: a server that sends octets and no reply is as silent as any.
    #[must_use]
    pub fn heard(&self) -> u64 {
        self.heard
    }

    /// What is to be sent; whoever sends it takes it out.
    pub fn output(&mut self) -> &mut Vec<u8> {
        &mut self.output
    }

    /// How long the server may take for what it is to do now (RFC 5321 section 4.5.3.2).
    #[must_use]
    pub fn patience(&self) -> Duration {
        let minutes = match self.state {
            State::Final(_) | State::FinalForNobody(_) => 10,
            State::Text(..) => 3,
            State::Envelope(ref run) if run.unanswered.front() == Some(&Stage::Data) => 2,
            State::Quitting => 1,
            State::Greeting
            | State::Hello
            | State::OldHello
            | State::AskingForTls
            | State::Handshake
            | State::Ready
            | State::Envelope(_)
            | State::ProbingSender(_)
            | State::ProbingRecipient
            | State::Unclean
            | State::Resetting
            | State::Over(_) => 5,
        };
        Duration::from_secs(minutes * 60)
    }

    /// Takes what happened; says what to do.
    pub fn step(&mut self, input: Input<'_>) -> Action {
        match input {
            Input::Received(octets) => self.replies.receive(octets),
            Input::Begin(transaction) => return self.begin(transaction),
            Input::Probe(recipient) => return self.probe(recipient),
            Input::Text(text) => {
                if let State::Text(_, stuffer) = &mut self.state {
                    stuffer.stuff(text, &mut self.output);
                }
                return Action::SendText;
            }
            Input::TextEnd => self.end_text(),
            Input::Secured => self.secured(),
            Input::Quit => {
                self.say("QUIT");
                self.state = State::Quitting;
            }
            Input::Lost(trouble) => return self.lost(trouble),
        }
        self.proceed()
    }

    /// What to do now.
    pub fn proceed(&mut self) -> Action {
        loop {
            match &self.state {
                State::Ready if self.replies.is_empty() => return Action::Ready,
                State::Ready => return self.lost(Trouble::OutOfStep),
                State::Text(..) if self.replies.is_empty() => return Action::SendText,
                State::Text(..) => return self.lost(Trouble::OutOfStep),
                State::Handshake if self.replies.is_empty() => return Action::Handshake,
                State::Handshake => return self.lost(Trouble::OutOfStep),
                State::Over(trouble) => return Action::Close(trouble.clone()),
                State::Unclean if !self.replies.is_empty() => return self.lost(Trouble::OutOfStep),
                State::Unclean => {
                    self.say("RSET");
                    self.state = State::Resetting;
                }
                State::Greeting
                | State::Hello
                | State::OldHello
                | State::AskingForTls
                | State::Envelope(_)
                | State::Final(_)
                | State::FinalForNobody(_)
                | State::ProbingSender(_)
                | State::ProbingRecipient
                | State::Resetting
                | State::Quitting => match self.replies.next_reply() {
                    Ok(None) => return Action::Read,
                    Err(error) => return self.lost(Trouble::Malformed(error)),
                    Ok(Some(reply)) => {
                        self.heard += 1;
                        if let Some(action) = self.replied(reply) {
                            return action;
                        }
                    }
                },
            }
        }
    }

    fn say(&mut self, line: &str) {
        self.output.extend_from_slice(line.as_bytes());
        self.output.extend_from_slice(b"\r\n");
    }

    fn replied(&mut self, reply: Reply) -> Option<Action> {
        match std::mem::replace(&mut self.state, State::Over(None)) {
            State::Greeting => self.greeted(reply),
            State::Hello if reply.is_success() => self.offered(&reply),
            State::Hello if reply.class() == Class::Permanent && self.dialect == Dialect::Smtp => {
                self.say_old_hello();
            }
            State::OldHello if reply.is_success() => self.offered_nothing(),
            State::AskingForTls => self.starttls_replied(reply),
            State::Hello | State::OldHello => self.state = State::Over(Some(Trouble::Unwilling(reply))),
            State::Envelope(run) => return self.envelope_replied(run, &reply),
            State::Final(run) => return self.finally_replied(run, &reply),
            State::FinalForNobody(run) => {
                self.state = if reply.code == 421 { State::Over(None) } else { State::Unclean };
                return Some(Action::Done(run.into_verdicts()));
            }
            State::ProbingSender(recipient) => return self.probed_sender(&recipient, &reply),
            State::ProbingRecipient => return Some(self.probed_recipient(reply)),
            State::Resetting if reply.is_success() => self.state = State::Ready,
            State::Resetting => self.state = State::Over(Some(Trouble::Unwilling(reply))),
            State::Quitting => self.state = State::Over(None),
            state @ (State::Handshake | State::Ready | State::Text(..) | State::Unclean | State::Over(_)) => {
                self.state = state
            }
        }
        None
    }

    fn greeted(&mut self, reply: Reply) {
        if !reply.is_success() {
            self.state = State::Over(Some(Trouble::Unwilling(reply)));
        } else if self.replies.is_empty() {
            self.say_hello();
        } else {
            self.state = State::Over(Some(Trouble::OutOfStep));
        }
    }

    fn say_hello(&mut self) {
        let word = match self.dialect {
            Dialect::Smtp => "EHLO",
            Dialect::Lmtp => "LHLO",
        };
        self.say(&format!("{word} {}", self.host));
        self.state = State::Hello;
    }

    fn say_old_hello(&mut self) {
        if self.replies.is_empty() {
            self.say(&format!("HELO {}", self.host));
            self.state = State::OldHello;
        } else {
            self.state = State::Over(Some(Trouble::OutOfStep));
        }
    }

    fn begin(&mut self, transaction: Transaction) -> Action {
        let mut run = Run::new(transaction);
        run.refuse(&self.offers);
        if !run.is_open() {
            return Action::Done(run.into_verdicts());
        }
        self.say_next(&mut run);
        self.state = State::Envelope(run);
        self.proceed()
    }

    /// Says as many commands as may be said before a reply (RFC 2920): few enough that neither side ever has to
    /// wait with writing for the other to read.
    fn say_next(&mut self, run: &mut Run) {
        while let Some(stage) = run.unsaid.pop_front() {
            let line = match stage {
                Stage::Mail => self.offers.mail_line(&run.transaction),
                Stage::Rcpt(index) => match run.transaction.recipients.get(index) {
                    Some(recipient) => self.offers.rcpt_line(recipient),
                    None => continue,
                },
                Stage::Data => "DATA".to_owned(),
            };
            self.say(&line);
            run.unanswered.push_back(stage);
            if !self.offers.pipelining || run.unanswered.len() >= MAX_UNANSWERED {
                return;
            }
        }
    }

    fn envelope_replied(&mut self, mut run: Run, reply: &Reply) -> Option<Action> {
        let stage = run.unanswered.pop_front();
        if reply.code == 421 {
            return Some(self.lost_in(run, Trouble::Unwilling(reply.clone())));
        }
        match (stage, reply.class()) {
            (Some(Stage::Data), _) => return self.data_replied(run, reply),
            (Some(Stage::Mail | Stage::Rcpt(_)), Class::Success) if !reply.is_success() => {
                return Some(self.lost_in(run, Trouble::OutOfStep));
            }
            (None, _) | (Some(_), Class::Success) => {}
            (Some(Stage::Mail), _) => run.settle_rest(&Verdict::replied(reply)),
            (Some(Stage::Rcpt(recipient)), _) => run.settle(recipient, Verdict::of_recipient(reply)),
        }
        // Without pipelining nothing more is said that cannot help.
        if run.unanswered.is_empty() && !run.is_open() {
            self.state = State::Unclean;
            return Some(Action::Done(run.into_verdicts()));
        }
        if run.unanswered.is_empty() {
            // What is there already cannot answer what is said now.
            if !self.replies.is_empty() {
                return Some(self.lost_in(run, Trouble::OutOfStep));
            }
            self.say_next(&mut run);
        }
        self.state = State::Envelope(run);
        None
    }

    fn data_replied(&mut self, mut run: Run, reply: &Reply) -> Option<Action> {
        match (reply.code, run.is_open()) {
            (354, true) => {
                self.state = State::Text(run, Stuffer::default());
                None
            }
            (354, false) => {
                self.say(".");
                self.state = State::FinalForNobody(run);
                None
            }
            (200..=399, _) => Some(self.lost_in(run, Trouble::OutOfStep)),
            _ => {
                run.settle_rest(&Verdict::replied(reply));
                self.state = State::Unclean;
                Some(Action::Done(run.into_verdicts()))
            }
        }
    }

    fn end_text(&mut self) {
        match std::mem::replace(&mut self.state, State::Over(None)) {
            State::Text(run, stuffer) => {
                stuffer.finish(&mut self.output);
                self.state = State::Final(run);
            }
            state => self.state = state,
        }
    }

    fn finally_replied(&mut self, mut run: Run, reply: &Reply) -> Option<Action> {
        if reply.class() == Class::Success && !reply.is_success() {
            return Some(self.lost_at_end(run, Trouble::OutOfStep));
        }
        match self.dialect {
            Dialect::Smtp => run.settle_rest(&Verdict::replied(reply)),
            Dialect::Lmtp => run.settle_next(Verdict::replied(reply)),
        }
        if reply.code == 421 {
            return Some(self.lost_at_end(run, Trouble::Unwilling(reply.clone())));
        }
        if run.is_open() {
            self.state = State::Final(run);
            return None;
        }
        self.state = State::Ready;
        Some(Action::Done(run.into_verdicts()))
    }

    /// What is not sent yet never will be.
    fn lost(&mut self, trouble: Trouble) -> Action {
        let is_all_sent = std::mem::take(&mut self.output).is_empty();
        match std::mem::replace(&mut self.state, State::Over(None)) {
            State::Envelope(run) | State::Text(run, _) => self.lost_in(run, trouble),
            State::Final(run) if is_all_sent => self.lost_at_end(run, trouble),
            // The end of the text is what is sent last: nobody has it.
            State::Final(run) => self.lost_in(run, trouble),
            State::FinalForNobody(run) => Action::Done(run.into_verdicts()),
            State::ProbingSender(_) | State::ProbingRecipient => self.lost_in_probe(trouble),
            State::Quitting => Action::Close(None),
            State::Greeting
            | State::Hello
            | State::OldHello
            | State::AskingForTls
            | State::Handshake
            | State::Ready
            | State::Unclean
            | State::Resetting
            | State::Over(_) => {
                self.state = State::Over(Some(trouble.clone()));
                Action::Close(Some(trouble))
            }
        }
    }

    fn lost_in(&mut self, mut run: Run, trouble: Trouble) -> Action {
        run.settle_rest(&Verdict::troubled(&trouble));
        self.state = State::Over(Some(trouble));
        Action::Done(run.into_verdicts())
    }

    /// It may have been taken over: nobody else is given it before it is tried here again.
    fn lost_at_end(&mut self, mut run: Run, trouble: Trouble) -> Action {
        run.settle_rest(&Verdict { elsewhere: false, ..Verdict::troubled(&trouble) });
        self.state = State::Over(Some(trouble));
        Action::Done(run.into_verdicts())
    }
}
