//! The thin file around the session: carries its actions out, on a stream, a spool folder and a table.
//!
//! Guarantees that nothing is read from the client before the process is confined: [`serve`] takes the proof.

use std::io;
use std::net::SocketAddr;
use std::time::{Duration, Instant};

use netperm::hosts::{Client, ClientName};
use netperm::policy::{self, Facts, Reason, Verdict};
use smap_common::address::{Address, Domain, ReversePath};
use smap_common::clock::Timestamp;
use smap_common::confine::Confined;
use smap_common::envelope::Envelope;
use smap_common::log::{Event, Host};
use smap_common::smtp::command::{HeloName, Mail};
use smap_common::spool::{Committed, Draft, Folder, QueueId, StoreError, Void};

use crate::names::Asker;
use crate::pace::{Late, Pace};
use crate::replies::{self, Reply};
use crate::session::{Action, Answer, Input, Question, Refusal, Session, Ticket, shown};
use crate::stream::Stream;

/// The same for one who has had its time.
const LAST_WORDS_TO_THE_SLOW: Duration = Duration::from_secs(1);
/// Octets read from the client at a time: commands are short, and an idle session costs little memory.
const FIRST_READ: usize = 1024;
/// Octets read at a time from a client that has more to say.
const READ: usize = 32 * 1024;

/// How long the client's name is waited for: longer than smap-lookup gives itself.
const FOR_A_NAME: Duration = Duration::from_secs(22);

/// How long a client may take to read our last reply, and to stop sending.
const LAST_WORDS: Duration = Duration::from_secs(5);

/// What a session is served with.
#[derive(Debug)]
pub struct Service<'a, F> {
    /// The table.
    pub table: &'a netperm::Smap,
    /// Our name.
    pub hostname: &'a Domain,
    /// The client's socket.
    pub client: Option<SocketAddr>,
    /// The session's name in the log.
    pub id: QueueId,
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
    let pace = Pace::new(service.table.timeout, now, now + service.table.session_timeout);
    let mut run = Run { proof, service, session, stream, asker, message: Message::None, pace, late: None };
    let why = run.life();
    let (totals, host) = (run.session.totals(), service.host(run.session.client_name()));
    Event::Exiting { host, bytes: totals.octets, messages: totals.messages, why }.log();
    // It was not the client that wanted to end: it may be sending yet, and what comes in makes it lose our words.
    match run.late {
        None if !run.session.why_closed().is_empty() => run.stream.finish(LAST_WORDS),
        Some(Late::Slow) => run.stream.finish(LAST_WORDS_TO_THE_SLOW),
        None | Some(Late::Idle | Late::Session) => {}
    }
}

impl<F> Service<'_, F> {
    fn host<'a>(&self, name: Option<&'a HeloName>) -> Host<'a> {
        Host { name, client: self.client }
    }

    /// The client as the policy knows it.
    fn client(&self, name: &ClientName) -> Client {
        Client { address: self.client.map(|client| client.ip()), name: name.clone() }
    }

    fn answer(&self, proof: &Confined, question: Question<'_>) -> Answer {
        match question {
            Question::Name => Answer::Name(ClientName::NotAsked),
            Question::Connect { name } => {
                let client = self.client(name);
                let verdict = policy::connect(self.table, &Facts::of(&client));
                if !matches!(verdict, Verdict::Ask(_)) {
                    let shown = shown(name);
                    let host = self.host(shown.as_ref());
                    Event::Connect { host, id: self.id, missing: proof.missing() }.log();
                }
                let reply =
                    |refusal: &Refusal| replies::refused_at_connect(refusal, &self.hostname.to_string());
                let judged = Self::judged(verdict, Refusal::HostDenied, |refusal, why| {
                    self.log_refusal("connect", name, &reply(refusal), why);
                });
                judged.map_or(Answer::NeedsName, Answer::Connect)
            }
            Question::Sender { mail, .. } => Answer::Sender(self.sender(mail)),
            Question::Recipient { mail, recipient, name, .. } => {
                let client = self.client(name);
                let facts = Facts { sender: Some(&mail.sender), ..Facts::of(&client) };
                let verdict = policy::recipient(self.table, self.hostname, &facts, &recipient.address);
                let judged = Self::judged(verdict, Refusal::RelayDenied, |refusal, why| {
                    let command = format!("MAIL FROM:{} RCPT TO:<{}>", mail.sender, recipient.address);
                    self.log_refusal(&command, name, &replies::refused(refusal), why);
                });
                judged.map_or(Answer::NeedsName, Answer::Recipient)
            }
        }
    }

    fn sender(&self, mail: &Mail) -> Result<Ticket, Refusal> {
        let name = ClientName::NotAsked;
        let client = self.client(&name);
        let facts = Facts { sender: Some(&mail.sender), ..Facts::of(&client) };
        let verdict = policy::sender(self.table, &facts);
        let judged = Self::judged(verdict, Refusal::Unavailable, |refusal, why| {
            let command = format!("MAIL FROM:{}", mail.sender);
            self.log_refusal(&command, &name, &replies::refused(refusal), why);
        });
        judged.unwrap_or(Err(Refusal::Unavailable))?;
        QueueId::generate().map(|id| Ticket { id, at: Timestamp::now() }).map_err(|cause| {
            Event::Error { text: &format_args!("no random numbers: {cause}") }.log();
            Refusal::Unavailable
        })
    }

    /// What the verdict comes to; nothing yet, where the client's name is to be asked for first. `refusal` is what
    /// a no is where the table does not say what to say; `log` hears of every no. What is to be thrown away is refused
    /// instead: a message is only taken over with the spool's proof.
    fn judged(
        verdict: Verdict<'_>,
        refusal: Refusal,
        log: impl Fn(&Refusal, &Reason<'_>),
    ) -> Option<Result<(), Refusal>> {
        let refusal = match &verdict {
            Verdict::Permit(_) => return Some(Ok(())),
            Verdict::Ask(_) => return None,
            Verdict::Refuse(reason) | Verdict::Discard(reason) => {
                reason.reply().map_or(refusal, Refusal::Said)
            }
            Verdict::NotNow(_) => Refusal::NameFailed,
        };
        log(&refusal, verdict.reason());
        Some(Err(refusal))
    }

    fn log_refusal(&self, command: &str, name: &ClientName, reply: &Reply, reason: &Reason<'_>) {
        Event::Refused {
            id: self.id,
            host: self.host(shown(name).as_ref()),
            command,
            reply: reply.to_wire(true).trim_end(),
            reason: &reason.to_string(),
        }
        .log();
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
    sender: ReversePath,
    recipients: Vec<Address>,
}

impl Summary {
    fn of(envelope: &Envelope) -> Self {
        Self {
            id: envelope.id,
            sender: envelope.mail.sender.clone(),
            recipients: envelope.recipients.iter().map(|recipient| recipient.address.clone()).collect(),
        }
    }
}

struct Run<'a, S, F: Folder> {
    proof: &'a Confined,
    service: &'a Service<'a, F>,
    session: Session,
    stream: &'a mut S,
    /// Whom to ask for the client's name; none where it cannot come to that, and after it was asked.
    asker: Option<Asker>,
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
                Action::Ask(Question::Name) => Input::Answer(Answer::Name(self.name())),
                Action::Ask(question) => Input::Answer(self.service.answer(self.proof, question)),
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

    fn name(&mut self) -> ClientName {
        let (asker, address) = (self.asker.take(), self.service.client.map(|client| client.ip()));
        match (asker, address) {
            (Some(asker), Some(address)) => {
                asker.name_of(address, FOR_A_NAME.min(self.pace.for_reply(Instant::now())))
            }
            (None, _) | (_, None) => ClientName::Failed("there is nobody to ask".to_owned()),
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
                    buffer.resize(READ, 0);
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
            Message::None => (Err(StoreError::Failed(io::ErrorKind::NotFound.into())), self.service.id),
        };
        if let Err(error) = &result {
            Event::NotStored { id, cause: error.cause() }.log();
        }
        result
    }

    fn accepted(&self, proof: &Committed, summary: &Summary) {
        Event::Accepted {
            id: proof.id(),
            host: self.service.host(self.session.client_name()),
            bytes: proof.octets(),
            from: &summary.sender,
            to: summary.recipients.iter().collect(),
        }
        .log();
    }
}
