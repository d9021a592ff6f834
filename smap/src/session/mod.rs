#![deny(clippy::disallowed_methods)]
//! One SMTP session (RFC 5321), as a pure state machine.
//!
//! Decides what every octet of the client means and what is answered. Trusts nothing that the client sends.
//! Has no socket, no file and no clock: [`Session::step`] takes what happened as an [`Input`] and gives the next
//! thing to do as an [`Action`]; replies gather in [`Session::take_output`] and are sent before the next read,
//! which makes PIPELINING (RFC 2920) right by construction.
//!
//! Guarantees that the 250 after a message is said only with the spool's proof, and that what belongs to a
//! transaction lives inside its state and ends with it.

mod body;
mod lines;
mod question;
#[cfg(test)]
mod tests;
mod transfer;
mod verbs;

use netperm::hosts::ClientName;
use smap_common::envelope::{Envelope, Origin};
use smap_common::smtp::command::{Chunk, HeloName, Mail, Recipient};
use smap_common::spool::{Committed, StoreError};

pub use self::body::BodyFault;
pub(crate) use self::body::Discarded;
use self::body::{Body, Progress};
use self::lines::LineBuffer;
pub use self::question::{Answer, Consent, Question, Refusal, Ticket, shown};
use crate::replies::{self, Reply};

/// What the table allows a session.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Limits {
    /// `maxbytes`: octets of one message.
    pub max_octets: u64,
    /// `maxrecip`: recipients of one message.
    pub max_recipients: u32,
    /// `maxmessages`: messages of one session.
    pub max_messages: u32,
    /// `maxerrors`: mistakes of one session.
    pub max_errors: u32,
}

/// What happened.
#[derive(Debug)]
pub enum Input<'a> {
    /// The session begins.
    Begin,
    /// The client sent this.
    Received(&'a [u8]),
    /// The answer to the last [`Action::Ask`].
    Answer(Answer),
    /// The end of [`Action::Open`].
    Opened(Result<(), StoreError>),
    /// [`Action::Write`] or [`Action::Abandon`] is done.
    Done,
    /// The end of [`Action::Commit`].
    Committed(Result<Committed, StoreError>),
    /// The client said nothing for `timeout`.
    IdleTimeout,
    /// The session lasts longer than `session-timeout`.
    SessionTimeout,
}

/// What is to be done next. The session may not be stepped again before it is done.
#[derive(Debug, PartialEq, Eq)]
pub enum Action<'a> {
    /// Send the output, then read from the client.
    Read,
    /// Answer this.
    Ask(Question<'a>),
    /// Begin a message in the spool.
    Open(&'a Envelope),
    /// Append this to it. A failure is told with the end of [`Action::Commit`].
    Write(&'a [u8]),
    /// Make it durable.
    Commit,
    /// Drop it.
    Abandon,
    /// Send the output and end the session.
    Close,
}

/// An [`Action`] that borrows nothing, while the session is still moving.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Next {
    Read,
    AskName,
    AskConnect,
    AskSender,
    AskRecipient,
    Open,
    Write,
    Commit,
    Abandon,
    Close,
}

#[derive(Debug)]
enum State {
    /// Nothing is known of the client yet.
    New,
    /// The client may not speak to us; RFC 5321 section 3.1 has us wait for its QUIT.
    Denied,
    /// Between transactions.
    Idle,
    AskedSender(Mail),
    Transaction(Transaction),
    AskedRecipient(Transaction, Recipient),
    /// The spool file is being created.
    Opening(Box<Envelope>, Framing),
    Receiving(Body, AfterWrite),
    BetweenChunks(Body),
    Committing(Body),
    /// Octets of a chunk that belongs to no message are read over.
    Skipping(u64),
    /// What is written is not needed any more; the reply is already said.
    Abandoning,
    Closing,
}

#[derive(Debug)]
struct Transaction {
    /// With the recipients whose message is kept.
    envelope: Box<Envelope>,
    /// RCPT commands that were refused.
    refused: u32,
    /// Recipients whose message is thrown away.
    discarded: usize,
    /// It is thrown away whoever its recipients are.
    consent: Consent,
}

#[derive(Debug, Clone, Copy)]
enum Framing {
    Data,
    Chunk(Chunk),
}

/// What follows when the piece that was read is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum AfterWrite {
    GoOn,
    Judge(Progress),
}

/// Totals of a session, for the log.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Totals {
    /// Messages accepted.
    pub messages: u32,
    /// Octets of their bodies.
    pub octets: u64,
}

/// One client's session.
#[derive(Debug)]
pub struct Session {
    host: String,
    limits: Limits,
    origin: Origin,
    /// What the rules are told of the client's name; what is shown of it stands in `origin`.
    name: ClientName,
    /// The greeting was said before this session began.
    greeted: bool,
    /// What becomes of all that the client sends.
    consent: Consent,
    state: State,
    lines: LineBuffer,
    output: Vec<u8>,
    totals: Totals,
    begun: u32,
    errors: u32,
    idle_commands: u32,
    surplus: u32,
    why_closed: &'static str,
}

impl Session {
    /// A session with the client of `origin`; `host` is our name.
    #[must_use]
    pub fn new(host: &str, limits: Limits, origin: Origin) -> Self {
        Self {
            host: host.to_owned(),
            limits,
            origin,
            name: ClientName::NotAsked,
            greeted: false,
            consent: Consent::Keep,
            state: State::New,
            lines: LineBuffer::default(),
            output: Vec::new(),
            totals: Totals::default(),
            begun: 0,
            errors: 0,
            idle_commands: 0,
            surplus: 0,
            why_closed: "",
        }
    }

    /// The same for a client that has the greeting already.
    #[must_use]
    pub fn greeted(self) -> Self {
        Self { greeted: true, ..self }
    }

    /// Takes the replies that have gathered. To be sent before reading, and before closing.
    pub fn take_output(&mut self) -> Vec<u8> {
        std::mem::take(&mut self.output)
    }

    /// The client's confirmed name, as far as it was asked for.
    #[must_use]
    pub fn client_name(&self) -> Option<&HeloName> {
        self.origin.name.as_ref()
    }

    /// What was accepted so far.
    #[must_use]
    pub fn totals(&self) -> Totals {
        self.totals
    }

    /// Why the session was closed by us; empty after a QUIT.
    #[must_use]
    pub fn why_closed(&self) -> &'static str {
        self.why_closed
    }

    /// Takes what happened; says what to do.
    pub fn step(&mut self, input: Input<'_>) -> Action<'_> {
        let next = self.take(input).unwrap_or_else(|| self.advance());
        self.action(next)
    }

    fn take(&mut self, input: Input<'_>) -> Option<Next> {
        match input {
            Input::Begin => Some(Next::AskConnect),
            Input::Received(octets) => {
                self.lines.receive(octets);
                None
            }
            Input::Answer(answer) => self.answered(answer),
            Input::Opened(result) => {
                self.opened(result);
                None
            }
            Input::Done => self.written(),
            Input::Committed(result) => {
                self.committed(result);
                None
            }
            Input::IdleTimeout => Some(self.end(&replies::timed_out(&self.host), "time-out")),
            Input::SessionTimeout => {
                Some(self.end(&replies::session_too_long(&self.host), "session time-out"))
            }
        }
    }

    /// Goes on with what has been read until something has to be done outside.
    fn advance(&mut self) -> Next {
        loop {
            let next = match &self.state {
                State::Closing => Some(Next::Close),
                State::Receiving(..) => self.receive_body(),
                State::Skipping(left) => self.skip(*left),
                _ => match self.lines.next_line() {
                    None => Some(Next::Read),
                    Some(line) => self.line(line),
                },
            };
            if let Some(next) = next {
                return next;
            }
        }
    }

    /// Lends what the action needs.
    fn action(&self, next: Next) -> Action<'_> {
        match (next, &self.state) {
            (Next::Read, _) => Action::Read,
            (Next::AskName, _) => Action::Ask(Question::Name),
            (Next::AskConnect, _) => Action::Ask(Question::Connect { name: &self.name }),
            (Next::AskSender, State::AskedSender(mail)) => match &self.origin.greeting {
                Some(greeting) => Action::Ask(Question::Sender { greeting, mail }),
                None => Action::Close,
            },
            (Next::AskRecipient, State::AskedRecipient(transaction, recipient)) => {
                match &transaction.envelope.origin.greeting {
                    Some(greeting) => {
                        let mail = &transaction.envelope.mail;
                        Action::Ask(Question::Recipient { greeting, mail, recipient, name: &self.name })
                    }
                    None => Action::Close,
                }
            }
            (Next::Open, State::Opening(envelope, _)) => Action::Open(envelope),
            (Next::Write, State::Receiving(body, _)) => Action::Write(body.text()),
            (Next::Commit, _) => Action::Commit,
            (Next::Abandon, _) => Action::Abandon,
            (Next::Close | Next::AskSender | Next::AskRecipient | Next::Open | Next::Write, _) => {
                Action::Close
            }
        }
    }

    /// Says a reply; counts it if it is an error.
    fn say(&mut self, reply: &Reply) {
        let enhanced = self.origin.greeting.as_ref().is_none_or(|greeting| greeting.extended);
        reply.write(enhanced, &mut self.output);
        if reply.is_error() {
            self.errors += 1;
        }
        if reply.closes() {
            self.why_closed = reply.why_it_closes();
            self.state = State::Closing;
        } else if self.errors >= self.limits.max_errors {
            replies::too_many_errors(&self.host).write(enhanced, &mut self.output);
            self.why_closed = "too many errors";
            self.state = State::Closing;
        }
    }

    fn end(&mut self, reply: &Reply, why: &'static str) -> Next {
        self.say(reply);
        self.why_closed = why;
        self.state = State::Closing;
        Next::Close
    }
}
