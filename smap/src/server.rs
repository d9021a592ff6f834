//! The thin file around the session: carries its actions out, on a stream, a spool folder and the policy.
//!
//! Guarantees that nothing is read from the client before the process is confined: [`serve`] takes the proof.

use std::io;
use std::time::{Duration, Instant};

use smap_common::address::{Address, ReversePath};
use smap_common::confine::Confined;
use smap_common::envelope::Envelope;
use smap_common::log::Event;
use smap_common::smtp::command::HeloName;
use smap_common::spool::{Committed, Draft, Folder, QueueId, StoreError, Void};

use crate::judge::{Case, Judge};
use crate::lookup::Asker;
use crate::pace::{Late, Pace};
use crate::session::{Action, Input, Session};
use crate::stream::Stream;

/// The same for one who has had its time.
const LAST_WORDS_TO_THE_SLOW: Duration = Duration::from_secs(1);
/// Octets read from the client at a time: commands are short, and an idle session costs little memory.
const FIRST_READ: usize = 1024;
/// Octets read at a time from a client that has much more to say.
const READ: usize = 32 * 1024;
/// How many times as much is read after a read that took all there was room for: what is never filled costs nothing.
const STEP: usize = 8;

/// How long a client may take to read our last reply, and to stop sending.
const LAST_WORDS: Duration = Duration::from_secs(5);

/// What a session is served with.
#[derive(Debug)]
pub struct Service<'a, F> {
    /// What is judged.
    pub case: Case<'a>,
    /// Where messages go.
    pub folder: &'a F,
}

/// How a session ended, for the log.
type End = &'static str;

/// Serves one session to its end.
pub fn serve<S: Stream, F: Folder>(
    proof: &Confined,
    service: &Service<'_, F>,
    session: Session,
    stream: &mut S,
    asker: Option<Asker>,
) {
    let now = Instant::now();
    let pace = Pace::new(service.case.table.timeout, now, now + service.case.table.session_timeout);
    let judge = Judge::new(proof, service.case, asker);
    let mut run = Run { service, session, stream, judge, message: Message::None, pace, late: None };
    let why = run.life();
    let (totals, host) = (run.session.totals(), run.judge.host());
    Event::Exiting { host, bytes: totals.octets, messages: totals.messages, why }.log();
    // It was not the client that wanted to end: it may be sending yet, and what comes in makes it lose our words.
    match run.late {
        None if !run.session.why_closed().is_empty() => run.stream.finish(LAST_WORDS),
        Some(Late::Slow) => run.stream.finish(LAST_WORDS_TO_THE_SLOW),
        None | Some(Late::Idle | Late::Session) => {}
    }
}

/// The message that is being received.
enum Message<F: Folder> {
    None,
    /// It is being written.
    Open(Draft<F::File>, Summary),
    /// It could not be written; the client is told when it has sent it.
    Failed(StoreError, QueueId),
}

/// What the log says of a message.
struct Summary {
    id: QueueId,
    helo: Option<HeloName>,
    sender: ReversePath,
    recipients: Vec<Address>,
}

impl Summary {
    fn of(envelope: &Envelope) -> Self {
        Self {
            id: envelope.id,
            helo: envelope.origin.greeting.as_ref().map(|greeting| greeting.name.clone()),
            sender: envelope.mail.sender.clone(),
            recipients: envelope.recipients.iter().map(|recipient| recipient.address.clone()).collect(),
        }
    }
}

struct Run<'a, S, F: Folder> {
    service: &'a Service<'a, F>,
    session: Session,
    stream: &'a mut S,
    judge: Judge<'a>,
    message: Message<F>,
    pace: Pace,
    /// Why the client was given up, if it was.
    late: Option<Late>,
}

impl<S: Stream, F: Folder> Run<'_, S, F> {
    fn life(&mut self) -> End {
        let mut buffer = vec![0; FIRST_READ];
        let mut input = Input::Begin;
        loop {
            input = match self.session.step(input) {
                Action::Ask(question) => {
                    let patience = self.pace.for_reply(Instant::now());
                    Input::Answer(self.judge.answer(question, patience))
                }
                Action::Read => match self.read(&mut buffer) {
                    Ok(input) => input,
                    Err(end) => return end,
                },
                Action::Open(envelope) => {
                    let summary = Summary::of(envelope);
                    let draft = Draft::begin(self.service.folder, envelope);
                    Input::Opened(draft.map(|draft| self.message = Message::Open(draft, summary)))
                }
                Action::Write(text) => {
                    if let Message::Open(draft, summary) = &mut self.message
                        && let Err(cause) = draft.write(text)
                    {
                        self.message = Message::Failed(cause, summary.id);
                    }
                    Input::Done
                }
                Action::Commit => Input::Committed(self.commit()),
                Action::Abandon => {
                    self.message = Message::None;
                    Input::Done
                }
                Action::Close => return self.close(),
            };
        }
    }

    fn read<'b>(&mut self, buffer: &'b mut Vec<u8>) -> Result<Input<'b>, End> {
        let patience = self.pace.for_reply(Instant::now());
        if patience.is_zero() {
            return Ok(self.give_up(Late::Session));
        }
        let replied = self.flush(patience)?;
        let now = Instant::now();
        if replied {
            self.pace.replied(now);
        }
        let (patience, late) = self.pace.for_client(now);
        if late == Late::Session && patience.is_zero() {
            return Ok(self.give_up(late));
        }
        match self.stream.read(buffer, patience) {
            Ok(0) => Err("the client closed the connection"),
            Ok(read) => {
                self.pace.received(read);
                if read == buffer.len() && read < READ {
                    buffer.resize(READ.min(read * STEP), 0);
                }
                Ok(Input::Received(buffer.get(..read).unwrap_or_default()))
            }
            Err(error) if error.kind() == io::ErrorKind::TimedOut => Ok(self.give_up(late)),
            Err(_) => Err("the connection is broken"),
        }
    }

    fn give_up(&mut self, late: Late) -> Input<'static> {
        self.late = Some(late);
        match late {
            Late::Session => Input::SessionTimeout,
            Late::Idle | Late::Slow => Input::IdleTimeout,
        }
    }

    /// Sends the replies that have gathered; says whether there were any.
    fn flush(&mut self, patience: Duration) -> Result<bool, End> {
        let output = self.session.take_output();
        self.stream.write_all(&output, patience).map_err(|error| match error.kind() {
            io::ErrorKind::TimedOut => "the client does not read",
            _ => "the connection is broken",
        })?;
        Ok(!output.is_empty())
    }

    fn close(&mut self) -> End {
        match (self.flush(LAST_WORDS), self.late) {
            (Ok(_), Some(Late::Slow)) => "the client is too slow",
            (Ok(_), _) => self.session.why_closed(),
            (Err(why), _) => why,
        }
    }

    fn commit(&mut self) -> Result<Committed, StoreError> {
        let (result, id) = match std::mem::replace(&mut self.message, Message::None) {
            Message::Open(draft, summary) => {
                let result = draft.commit().map_err(|Void(cause)| cause);
                if let Ok(proof) = &result {
                    self.accepted(proof, &summary);
                }
                (result, summary.id)
            }
            Message::Failed(cause, id) => (Err(cause), id),
            Message::None => (Err(StoreError::Failed(io::ErrorKind::NotFound.into())), self.service.case.id),
        };
        if let Err(error) = &result {
            Event::NotStored { id, cause: error.cause() }.log();
        }
        result
    }

    fn accepted(&self, proof: &Committed, summary: &Summary) {
        Event::Accepted {
            id: proof.id(),
            host: self.judge.host(),
            bytes: proof.octets(),
            helo: summary.helo.as_ref(),
            from: &summary.sender,
            to: summary.recipients.iter().map(|to| (to, self.judge.rule_of(to))).collect(),
        }
        .log();
    }
}
