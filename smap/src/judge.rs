//! The policy's verdicts: what the session is answered, and what the log is told of them.
//!
//! Decides nothing itself. Guarantees that each verdict is in the log with the id of its rule and the facts that it was
//! given for: a refusal when it is said, an acceptance with the connection or with the message.

use std::net::SocketAddr;
use std::time::Duration;

use netperm::Smap;
use netperm::hosts::{Client, ClientName};
use netperm::policy::{self, Facts, Verdict};
use netperm::recipients;
use smap_common::address::{Address, Domain};
use smap_common::clock::Timestamp;
use smap_common::confine::Confined;
use smap_common::envelope::Greeting;
use smap_common::log::{Event, Host, HostName};
use smap_common::smtp::command::{HeloName, Mail, Recipient};
use smap_common::spool::QueueId;

use crate::lookup::Asker;
use crate::replies::{self, Reply};
use crate::session::{Answer, Consent, Question, Refusal, Ticket, shown};

/// How long an answer of smap-lookup is waited for: longer than it gives itself.
const FOR_AN_ANSWER: Duration = Duration::from_secs(22);
/// More than one recipient can lead to.
const MOST_QUESTIONS: usize = 10;
const NOBODY_TO_ASK: &str = "there is nobody to ask";

/// What a session's verdicts are about.
#[derive(Debug, Clone, Copy)]
pub struct Case<'a> {
    /// The table.
    pub table: &'a Smap,
    /// A table that is asked too, and not obeyed.
    pub shadow: Option<&'a Smap>,
    /// Our name.
    pub hostname: &'a Domain,
    /// The client's socket.
    pub client: Option<SocketAddr>,
    /// The session's name in the log.
    pub id: QueueId,
}

/// Asks the policy for one session.
#[derive(Debug)]
pub(crate) struct Judge<'a> {
    case: Case<'a>,
    proof: &'a Confined,
    /// Whom to ask what the tables do not know; none where it cannot come to that.
    asker: Option<Asker>,
    client: Client,
    /// The name that is shown of it.
    shown: Option<HeloName>,
    /// By which rule each recipient of the message was admitted.
    admitted: Vec<(Address, String)>,
}

impl<'a> Judge<'a> {
    pub(crate) fn new(proof: &'a Confined, case: Case<'a>, asker: Option<Asker>) -> Self {
        let address = case.client.map(|client| client.ip());
        let client = Client { address, name: ClientName::NotAsked };
        Self { case, proof, asker, client, shown: None, admitted: Vec::new() }
    }

    /// The client, as the log has it.
    pub(crate) fn host(&self) -> Host<'_> {
        let name = match (&self.client.name, &self.shown) {
            (ClientName::NotAsked, _) => HostName::NotAsked,
            (ClientName::Failed(_), _) => HostName::Failed,
            (ClientName::Unknown, _) | (ClientName::Known(_), None) => HostName::None,
            (ClientName::Known(_), Some(name)) => HostName::Known(name),
        };
        Host { name, client: self.case.client }
    }

    /// By which rule a recipient of the message was admitted.
    pub(crate) fn rule_of(&self, recipient: &Address) -> &str {
        self.admitted.iter().find(|(admitted, _)| admitted == recipient).map_or("", |(_, rule)| rule)
    }

    /// The answer; what has to be asked elsewhere is waited for no longer than `patience`.
    pub(crate) fn answer(&mut self, question: Question<'_>, patience: Duration) -> Answer {
        let patience = patience.min(FOR_AN_ANSWER);
        match question {
            Question::Name => Answer::Name(self.ask_name(patience)),
            Question::Connect { name } => {
                self.know(name);
                self.connect()
            }
            Question::Sender { greeting, mail } => {
                self.admitted.clear();
                Answer::Sender(self.sender(greeting, mail))
            }
            Question::Recipient { greeting, mail, recipient, name } => {
                self.know(name);
                self.recipient(greeting, mail, recipient, patience)
            }
        }
    }

    fn know(&mut self, name: &ClientName) {
        if self.client.name != *name {
            self.client.name = name.clone();
            self.shown = shown(name);
        }
    }

    fn ask_name(&mut self, patience: Duration) -> ClientName {
        match (&mut self.asker, self.client.address) {
            (Some(asker), Some(address)) => asker.name_of(address, patience),
            (None, _) | (_, None) => ClientName::Failed(NOBODY_TO_ASK.to_owned()),
        }
    }

    fn connect(&self) -> Answer {
        let facts = Facts::of(&self.client);
        let verdict = policy::connect(self.case.table, &facts);
        if matches!(verdict, Verdict::Ask(..)) {
            return Answer::NeedsName;
        }
        let rule = verdict.reason().rule();
        Event::Connect { host: self.host(), id: self.case.id, missing: self.proof.missing(), rule: &rule }
            .log();
        let command = || "connect".to_owned();
        self.shadow(&verdict, command, |table| policy::connect(table, &facts));
        let host = self.case.hostname.to_string();
        Answer::Connect(self.said(&verdict, Refusal::HostDenied, command, |refusal| {
            replies::refused_at_connect(refusal, &host)
        }))
    }

    fn sender(&self, greeting: &Greeting, mail: &Mail) -> Result<Ticket, Refusal> {
        let facts =
            Facts { helo: Some(&greeting.name), sender: Some(&mail.sender), ..Facts::of(&self.client) };
        let verdict = policy::sender(self.case.table, &facts);
        let command = || format!("MAIL FROM:{}", mail.sender);
        self.shadow(&verdict, command, |table| policy::sender(table, &facts));
        let consent = self.said(&verdict, Refusal::Unavailable, command, replies::refused)?;
        QueueId::generate().map(|id| Ticket { id, at: Timestamp::now(), consent }).map_err(|cause| {
            Event::Error { text: &format_args!("no random numbers: {cause}") }.log();
            Refusal::Unavailable
        })
    }

    fn recipient(
        &mut self,
        greeting: &Greeting,
        mail: &Mail,
        recipient: &Recipient,
        patience: Duration,
    ) -> Answer {
        let mut answers = Vec::new();
        while answers.len() <= MOST_QUESTIONS {
            let facts = Facts {
                helo: Some(&greeting.name),
                sender: Some(&mail.sender),
                answers: &answers,
                ..Facts::of(&self.client)
            };
            let to = &recipient.address;
            let verdict = policy::recipient(self.case.table, self.case.hostname, &facts, to);
            let question = match &verdict {
                Verdict::Ask(policy::Question::Name, _) => return Answer::NeedsName,
                Verdict::Ask(policy::Question::Exists(question), _) => question.clone(),
                verdict => {
                    let command = || format!("MAIL FROM:{} RCPT TO:<{to}>", mail.sender);
                    self.shadow(verdict, command, |table| {
                        policy::recipient(table, self.case.hostname, &facts, to)
                    });
                    let said = self.said(verdict, Refusal::RelayDenied, command, replies::refused);
                    let rule = verdict.reason().rule();
                    self.admitted.extend((said == Ok(Consent::Keep)).then(|| (to.clone(), rule)));
                    return Answer::Recipient(said);
                }
            };
            let answer = self.ask(&question, patience);
            answers.push((question, answer));
        }
        Answer::Recipient(Err(Refusal::Unavailable))
    }

    fn ask(&mut self, question: &recipients::Question, patience: Duration) -> recipients::Answer {
        match &mut self.asker {
            Some(asker) => asker.exists(question, patience),
            None => recipients::Answer::Failed(NOBODY_TO_ASK.to_owned()),
        }
    }

    /// What a verdict comes to. `denied` is what a no is where the table does not say what to say; the log hears of
    /// everything but a plain yes.
    fn said(
        &self,
        verdict: &Verdict<'_>,
        denied: Refusal,
        command: impl Fn() -> String,
        reply: impl Fn(&Refusal) -> Reply,
    ) -> Result<Consent, Refusal> {
        let (host, id) = (self.host(), self.case.id);
        let (rule, reason) = match verdict {
            Verdict::Permit(_) => return Ok(Consent::Keep),
            verdict => (verdict.reason().rule(), verdict.reason().to_string()),
        };
        let refusal = match verdict {
            Verdict::Permit(_) => return Ok(Consent::Keep),
            Verdict::Discard(_) => {
                Event::Discarded { id, host, command: &command(), rule: &rule, reason: &reason }.log();
                return Ok(Consent::Discard);
            }
            Verdict::Refuse(reason) => reason.reply().map_or(denied, Refusal::Said),
            Verdict::NotNow(reason) => reason.reply().map_or(Refusal::NameFailed, Refusal::Said),
            Verdict::Ask(..) => Refusal::Unavailable,
        };
        let (command, wire) = (command(), reply(&refusal).to_wire(true));
        let reply = wire.trim_end();
        Event::Refused { id, host, command: &command, reply, rule: &rule, reason: &reason }.log();
        Err(refusal)
    }

    /// What the other table says, where that is something else.
    fn shadow<'v>(
        &'v self,
        said: &Verdict<'_>,
        command: impl Fn() -> String,
        ask: impl FnOnce(&'v Smap) -> Verdict<'v>,
    ) {
        let Some(other) = self.case.shadow.map(ask).filter(|other| other.word() != said.word()) else {
            return;
        };
        let rules = (said.reason().rule(), other.reason().rule());
        Event::Shadow {
            id: self.case.id,
            host: self.host(),
            command: &command(),
            said: (said.word(), &rules.0),
            other: (other.word(), &rules.1),
        }
        .log();
    }
}
