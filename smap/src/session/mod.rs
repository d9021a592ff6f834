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
mod question;

use smap_common::envelope::{Envelope, Greeting, Origin};
use smap_common::smtp::command::{self, Chunk, Command, CommandError, HeloName, Mail, Recipient};
use smap_common::spool::{Committed, StoreError};

pub use self::body::BodyFault;
use self::body::{Body, Progress};
pub use self::question::{Answer, Question, Refusal, Ticket};
use crate::replies::{self, Reply};

/// Commands that move nothing (NOOP, RSET, VRFY, HELP, EHLO), as many as one session may say.
const MAX_IDLE_COMMANDS: u32 = 100;
/// How often `maxrecip` may be said no to before the session ends.
const MAX_SURPLUS: u32 = 1000;
/// Octets of one line that are read over before the session ends.
const MAX_ENDLESS_LINE: usize = 64 * 1024;

const _: () = assert!(command::MAX_PATH_LINE < MAX_ENDLESS_LINE);

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
    envelope: Box<Envelope>,
    /// RCPT commands that were refused.
    refused: u32,
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

    /// Takes the replies that have gathered. To be sent before reading, and before closing.
    pub fn take_output(&mut self) -> Vec<u8> {
        std::mem::take(&mut self.output)
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
            Input::Answer(answer) => {
                self.answered(answer);
                None
            }
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
            (Next::AskConnect, _) => Action::Ask(Question::Connect),
            (Next::AskSender, State::AskedSender(mail)) => match &self.origin.greeting {
                Some(greeting) => Action::Ask(Question::Sender { greeting, mail }),
                None => Action::Close,
            },
            (Next::AskRecipient, State::AskedRecipient(transaction, recipient)) => {
                match &transaction.envelope.origin.greeting {
                    Some(greeting) => {
                        let mail = &transaction.envelope.mail;
                        Action::Ask(Question::Recipient { greeting, mail, recipient })
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

    fn line(&mut self, line: Line) -> Option<Next> {
        match line {
            Line::Whole(line) => match command::parse(&line) {
                Ok(command) => self.command(command, line.len()),
                Err(error) => {
                    self.say(&replies::command_error(error));
                    None
                }
            },
            Line::BareLf => {
                self.say(&replies::bare_line_end());
                None
            }
            Line::TooLong => {
                self.say(&replies::line_too_long());
                None
            }
            Line::Endless => Some(self.end(&replies::endless_line(&self.host), "endless line")),
        }
    }

    fn command(&mut self, command: Command, length: usize) -> Option<Next> {
        let has_path = matches!(command, Command::Mail(_) | Command::Rcpt(_));
        if !has_path && length + 2 > command::MAX_LINE {
            self.say(&replies::line_too_long());
            return None;
        }
        if matches!(self.state, State::Denied) && command != Command::Quit {
            self.say(&replies::bad_sequence("No SMTP service for you here"));
            return None;
        }
        match command {
            Command::Helo(name) => return self.hello(name, false),
            Command::Ehlo(name) => return self.hello(name, true),
            Command::Mail(mail) => return self.mail(mail),
            Command::Rcpt(recipient) => return self.rcpt(recipient),
            Command::Data => return self.data(),
            Command::Bdat(chunk) => return self.bdat(chunk),
            Command::Rset => return self.reset(&replies::reset()),
            Command::Quit => self.say(&replies::goodbye()),
            Command::Noop => self.idle_command(&replies::noop()),
            Command::Vrfy => self.idle_command(&replies::cannot_verify()),
            Command::Help => self.idle_command(&replies::help()),
        }
        None
    }

    fn idle_command(&mut self, reply: &Reply) {
        self.say(reply);
        self.idle_commands += 1;
        if self.idle_commands > MAX_IDLE_COMMANDS {
            self.say(&replies::too_many_idle_commands(&self.host));
        }
    }

    /// RFC 5321 section 4.1.1.5: whatever transaction there was is forgotten.
    fn reset(&mut self, reply: &Reply) -> Option<Next> {
        let state = std::mem::replace(&mut self.state, State::Idle);
        let abandon = matches!(state, State::BetweenChunks(_));
        if matches!(state, State::Denied | State::New) {
            self.state = state;
        }
        self.idle_command(reply);
        abandon.then(|| self.abandon())
    }

    /// RFC 5321 section 4.1.4: EHLO in the middle of a session begins it anew.
    fn hello(&mut self, name: HeloName, extended: bool) -> Option<Next> {
        self.origin.greeting = Some(Greeting { name, extended });
        let reply = if extended {
            replies::extended_hello(&self.host, self.limits.max_octets)
        } else {
            replies::hello(&self.host)
        };
        self.reset(&reply)
    }

    fn mail(&mut self, mail: Mail) -> Option<Next> {
        let refusal = match (&self.state, &self.origin.greeting) {
            (_, None) => replies::bad_sequence("Say HELO first"),
            (State::Idle, Some(greeting)) => match self.judge_mail(&mail, greeting) {
                Some(refusal) => refusal,
                None => {
                    self.state = State::AskedSender(mail);
                    return Some(Next::AskSender);
                }
            },
            _ => replies::bad_sequence("Sender already given"),
        };
        self.say(&refusal);
        None
    }

    fn judge_mail(&self, mail: &Mail, greeting: &Greeting) -> Option<Reply> {
        let parameters = &mail.parameters;
        if !greeting.extended && *parameters != Default::default() {
            return Some(replies::command_error(CommandError::UnknownParameter));
        }
        if self.begun >= self.limits.max_messages {
            return Some(replies::too_many_messages(&self.host));
        }
        if parameters.size.is_some_and(|size| size > self.limits.max_octets) {
            return Some(replies::message_too_big());
        }
        // RFC 6531 section 3.5.
        (!parameters.smtputf8 && !mail.sender.is_ascii()).then(replies::needs_smtputf8)
    }

    fn rcpt(&mut self, recipient: Recipient) -> Option<Next> {
        let State::Transaction(_) = &self.state else {
            self.say(&replies::bad_sequence("Give the sender first"));
            return None;
        };
        let State::Transaction(mut transaction) = std::mem::replace(&mut self.state, State::Idle) else {
            return None;
        };
        let envelope = &mut transaction.envelope;
        let reply = if !envelope.mail.parameters.smtputf8 && !recipient.address.is_ascii() {
            transaction.refused += 1;
            replies::needs_smtputf8()
        } else if envelope.recipients.iter().any(|known| known.address == recipient.address) {
            replies::recipient_ok(&recipient.address)
        } else if envelope.recipients.len()
            >= usize::try_from(self.limits.max_recipients).unwrap_or(usize::MAX)
        {
            self.surplus += 1;
            if self.surplus > MAX_SURPLUS {
                replies::far_too_many_recipients(&self.host)
            } else {
                replies::too_many_recipients()
            }
        } else {
            self.state = State::AskedRecipient(transaction, recipient);
            return Some(Next::AskRecipient);
        };
        self.state = State::Transaction(transaction);
        self.say(&reply);
        None
    }

    fn answered(&mut self, answer: Answer) {
        let state = std::mem::replace(&mut self.state, State::Idle);
        let reply = match (answer, state) {
            (Answer::Connect(Ok(())), _) => replies::ready(&self.host),
            (Answer::Connect(Err(refusal)), _) => {
                self.state = State::Denied;
                replies::refused(refusal)
            }
            (Answer::Sender(Ok(ticket)), State::AskedSender(mail)) => {
                let reply = replies::sender_ok(&mail.sender);
                self.begun += 1;
                self.state = State::Transaction(self.transaction(ticket, mail));
                reply
            }
            (Answer::Recipient(Ok(())), State::AskedRecipient(mut transaction, recipient)) => {
                let reply = replies::recipient_ok(&recipient.address);
                transaction.envelope.recipients.push(recipient);
                self.state = State::Transaction(transaction);
                reply
            }
            (Answer::Recipient(Err(refusal)), State::AskedRecipient(mut transaction, _)) => {
                transaction.refused += 1;
                self.state = State::Transaction(transaction);
                replies::refused(refusal)
            }
            (Answer::Sender(Err(refusal)), _) => replies::refused(refusal),
            (Answer::Sender(Ok(_)) | Answer::Recipient(_), _) => replies::refused(Refusal::Unavailable),
        };
        self.say(&reply);
    }

    fn transaction(&self, ticket: Ticket, mail: Mail) -> Transaction {
        let envelope = Envelope {
            id: ticket.id,
            arrived: ticket.at,
            origin: self.origin.clone(),
            mail,
            recipients: Vec::new(),
        };
        Transaction { envelope: Box::new(envelope), refused: 0 }
    }

    fn data(&mut self) -> Option<Next> {
        match self.take_transaction() {
            Ok(envelope) => {
                self.state = State::Opening(envelope, Framing::Data);
                Some(Next::Open)
            }
            Err(reply) => {
                self.say(&reply);
                None
            }
        }
    }

    /// RFC 3030 section 2: the octets of a chunk are read whatever we think of it.
    fn bdat(&mut self, chunk: Chunk) -> Option<Next> {
        if let State::BetweenChunks(_) = &self.state
            && let State::BetweenChunks(mut body) = std::mem::replace(&mut self.state, State::Idle)
        {
            body.next_chunk(chunk);
            self.state = State::Receiving(body, AfterWrite::GoOn);
            return None;
        }
        match self.take_transaction() {
            Ok(envelope) => {
                self.state = State::Opening(envelope, Framing::Chunk(chunk));
                Some(Next::Open)
            }
            Err(reply) => {
                self.say(&reply);
                self.skip_chunk(chunk.size);
                None
            }
        }
    }

    /// The envelope of a transaction that is complete, or why it is not. A transaction without recipients stays.
    fn take_transaction(&mut self) -> Result<Box<Envelope>, Reply> {
        match std::mem::replace(&mut self.state, State::Idle) {
            State::Transaction(transaction) if !transaction.envelope.recipients.is_empty() => {
                Ok(transaction.envelope)
            }
            State::Transaction(transaction) => {
                let reply = match transaction.refused {
                    0 => replies::bad_sequence("Give a recipient first"),
                    _ => replies::no_valid_recipients(),
                };
                self.state = State::Transaction(transaction);
                Err(reply)
            }
            state @ State::BetweenChunks(_) => {
                self.state = state;
                Err(replies::bad_sequence("DATA does not go with BDAT"))
            }
            state => {
                self.state = state;
                Err(replies::bad_sequence("Give the sender first"))
            }
        }
    }

    fn skip_chunk(&mut self, size: u64) {
        if size > self.limits.max_octets {
            self.say(&replies::endless_line(&self.host));
        } else if size > 0 && !matches!(self.state, State::Closing) {
            self.state = State::Skipping(size);
        }
    }

    fn skip(&mut self, left: u64) -> Option<Next> {
        let skipped = self.lines.skip(left);
        self.state = match left - skipped {
            0 => State::Idle,
            _ if skipped == 0 => return Some(Next::Read),
            left => State::Skipping(left),
        };
        None
    }

    fn opened(&mut self, result: Result<(), StoreError>) {
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

    fn receive_body(&mut self) -> Option<Next> {
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
    fn written(&mut self) -> Option<Next> {
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
                self.state = State::Committing(body);
                Some(Next::Commit)
            }
        }
    }

    fn abandon(&mut self) -> Next {
        if matches!(self.state, State::Closing) {
            return Next::Close;
        }
        self.state = State::Abandoning;
        Next::Abandon
    }

    fn committed(&mut self, result: Result<Committed, StoreError>) {
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

/// What has been received and not yet understood, cut into lines.
#[derive(Debug, Default)]
struct LineBuffer {
    octets: Vec<u8>,
    /// How much of `octets` is done with.
    start: usize,
    /// Octets of a line that is longer than any command, and was thrown away.
    thrown: usize,
}

#[derive(Debug, PartialEq, Eq)]
enum Line {
    /// Without its CRLF.
    Whole(Vec<u8>),
    BareLf,
    TooLong,
    Endless,
}

impl LineBuffer {
    fn receive(&mut self, octets: &[u8]) {
        self.octets.drain(..self.start);
        self.start = 0;
        self.octets.extend_from_slice(octets);
    }

    fn rest(&self) -> &[u8] {
        self.octets.get(self.start..).unwrap_or_default()
    }

    fn consume(&mut self, octets: usize) {
        self.start = (self.start + octets).min(self.octets.len());
    }

    /// Reads over up to `octets`; says how many there were.
    fn skip(&mut self, octets: u64) -> u64 {
        let there = self.rest().len();
        let skipped = usize::try_from(octets).unwrap_or(usize::MAX).min(there);
        self.consume(skipped);
        u64::try_from(skipped).unwrap_or(octets)
    }

    fn next_line(&mut self) -> Option<Line> {
        let Some(end) = memchr::memchr(b'\n', self.rest()) else {
            if self.thrown + self.rest().len() > MAX_ENDLESS_LINE {
                return Some(Line::Endless);
            }
            if self.rest().len() > command::MAX_PATH_LINE {
                self.thrown += self.rest().len();
                self.consume(usize::MAX - self.start);
            }
            return None;
        };
        let line = self.rest().get(..end).unwrap_or_default();
        let line = match line.strip_suffix(b"\r") {
            _ if self.thrown > 0 || line.len() >= command::MAX_PATH_LINE => Line::TooLong,
            Some(line) => Line::Whole(line.to_vec()),
            None => Line::BareLf,
        };
        self.thrown = 0;
        self.consume(end + 1);
        Some(line)
    }
}
