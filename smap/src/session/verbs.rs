#![deny(clippy::disallowed_methods)]
//! What each command does: one short function a verb, and the answers that some of them wait for.

use netperm::hosts::ClientName;
use smap_common::envelope::{Envelope, Greeting};
use smap_common::smtp::command::{self, Chunk, Command, CommandError, HeloName, Mail, Recipient};

use super::body::Body;
use super::lines::Line;
use super::{
    AfterWrite, Answer, Consent, Framing, Next, Refusal, Session, State, Ticket, Transaction, shown,
};
use crate::replies::{self, Reply};

/// Commands that move nothing (NOOP, RSET, VRFY, HELP, EHLO), as many as one session may say.
const MAX_IDLE_COMMANDS: u32 = 100;
/// How often `maxrecip` may be said no to before the session ends.
const MAX_SURPLUS: u32 = 1000;

impl Session {
    pub(super) fn line(&mut self, line: Line) -> Option<Next> {
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
        } else if envelope.recipients.len() + transaction.discarded
            >= usize::try_from(self.limits.max_recipients).unwrap_or(usize::MAX)
        {
            self.surplus += 1;
            if self.surplus > MAX_SURPLUS {
                replies::far_too_many_recipients(&self.host)
            } else {
                replies::too_many_recipients()
            }
        } else if transaction.consent == Consent::Discard {
            transaction.discarded += 1;
            replies::recipient_ok(&recipient.address)
        } else {
            self.state = State::AskedRecipient(transaction, recipient);
            return Some(Next::AskRecipient);
        };
        self.state = State::Transaction(transaction);
        self.say(&reply);
        None
    }

    pub(super) fn answered(&mut self, answer: Answer) -> Option<Next> {
        match answer {
            Answer::Name(name) => return self.named(name),
            Answer::NeedsName if self.name == ClientName::NotAsked => return Some(Next::AskName),
            answer => self.decided(answer),
        }
        None
    }

    /// What was asked before the name is asked again, now that there is more to say.
    fn named(&mut self, name: ClientName) -> Option<Next> {
        self.origin.name = shown(&name);
        // Whoever has no answer is not asked again.
        self.name = match name {
            ClientName::NotAsked => ClientName::Failed("it was not asked for".to_owned()),
            name => name,
        };
        match &mut self.state {
            State::New => Some(Next::AskConnect),
            State::AskedRecipient(transaction, _) => {
                transaction.envelope.origin.name.clone_from(&self.origin.name);
                Some(Next::AskRecipient)
            }
            _ => None,
        }
    }

    fn decided(&mut self, answer: Answer) {
        let state = std::mem::replace(&mut self.state, State::Idle);
        let reply = match (answer, state) {
            (Answer::Connect(Ok(consent)), _) => {
                self.consent = consent;
                if self.greeted {
                    return;
                }
                replies::ready(&self.host)
            }
            (Answer::NeedsName, State::New) => replies::no_service_without_name(&self.host),
            (Answer::Connect(Err(refusal)), _) => {
                self.state = State::Denied;
                replies::refused_at_connect(&refusal, &self.host)
            }
            (Answer::Sender(Ok(ticket)), State::AskedSender(mail)) => {
                let reply = replies::sender_ok(&mail.sender);
                self.begun += 1;
                self.idle_commands = 0;
                self.state = State::Transaction(self.transaction(ticket, mail));
                reply
            }
            (Answer::Recipient(Ok(consent)), State::AskedRecipient(mut transaction, recipient)) => {
                let reply = replies::recipient_ok(&recipient.address);
                match consent {
                    Consent::Keep => transaction.envelope.recipients.push(recipient),
                    Consent::Discard => transaction.discarded += 1,
                }
                self.state = State::Transaction(transaction);
                reply
            }
            (Answer::Recipient(Err(refusal)), State::AskedRecipient(mut transaction, _)) => {
                transaction.refused += 1;
                self.state = State::Transaction(transaction);
                replies::refused(&refusal)
            }
            (Answer::Sender(Err(refusal)), _) => replies::refused(&refusal),
            (Answer::NeedsName, State::AskedRecipient(mut transaction, _)) => {
                transaction.refused += 1;
                self.state = State::Transaction(transaction);
                replies::refused(&Refusal::NameFailed)
            }
            (Answer::Sender(Ok(_)) | Answer::Recipient(_) | Answer::NeedsName | Answer::Name(_), _) => {
                replies::refused(&Refusal::Unavailable)
            }
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
        let consent = if self.consent == Consent::Discard { self.consent } else { ticket.consent };
        Transaction { envelope: Box::new(envelope), refused: 0, discarded: 0, consent }
    }

    fn data(&mut self) -> Option<Next> {
        match self.take_transaction() {
            Ok(envelope) if envelope.recipients.is_empty() => {
                self.say(&replies::enter_mail());
                let body = Body::of_data(self.limits.max_octets).discarded(envelope.id);
                self.state = State::Receiving(body, AfterWrite::GoOn);
                None
            }
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
            Ok(envelope) if envelope.recipients.is_empty() => {
                let body = Body::of_chunk(chunk, self.limits.max_octets).discarded(envelope.id);
                self.state = State::Receiving(body, AfterWrite::GoOn);
                None
            }
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

    /// The envelope of a transaction that is complete, or why it is not: without recipients where all of them are
    /// those of a message that is thrown away. A transaction to which nobody was admitted stays.
    fn take_transaction(&mut self) -> Result<Box<Envelope>, Reply> {
        match std::mem::replace(&mut self.state, State::Idle) {
            State::Transaction(transaction)
                if !transaction.envelope.recipients.is_empty() || transaction.discarded > 0 =>
            {
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

    pub(super) fn skip_chunk(&mut self, size: u64) {
        if matches!(self.state, State::Closing) {
            return;
        }
        if size > self.limits.max_octets {
            self.say(&replies::chunk_too_big(&self.host));
        } else {
            self.state = State::Skipping(size);
        }
    }

    pub(super) fn skip(&mut self, size: u64) -> Option<Next> {
        let left = size - self.lines.skip(size);
        self.state = if left == 0 { State::Idle } else { State::Skipping(left) };
        (left > 0).then_some(Next::Read)
    }
}
