//! Jobs on their way to those who do them, and what comes back.

use std::collections::VecDeque;
use std::io;
use std::os::fd::OwnedFd;
use std::path::PathBuf;
use std::sync::Arc;

use smap_common::address::{Address, ReversePath};
use smap_common::clock::Timestamp;
use smap_common::log::{self, Event};
use smap_common::lookup::{Answer, Answered, Mx, Question};
use smap_common::smtp::client::Transaction;
use smap_common::smtp::command::{Mail, MailParameters, Recipient};
use smap_common::spool::{Everyone, Message, Outcome, QueueId};

use super::Engine;
use super::active::{Active, Conclusion};
use super::room::Narrow;
use crate::content::Content;
use crate::delivery::{Report, check_for_loop, maildir, mbox};
use crate::exchangers::Exchanger;
use crate::expansion::Found;
use crate::notify::Kind;
use crate::plan::{self, Job, Program, SafeFile, Way};
use crate::relay::{self, Asked, Errand};
use crate::turns::Sender;

/// Jobs of one message that somebody has begun with, at most.
const MAX_IN_HAND: usize = 200;

/// What a worker gives back.
#[derive(Debug)]
pub(super) enum Done {
    Delivered(Report),
    /// The body for a program.
    Body(Result<OwnedFd, Report>),
    /// A notification is stored.
    Stored(io::Result<QueueId>),
    Synced(io::Result<()>),
    /// Whom recipients stand for.
    Expanded(Vec<(u32, Found)>),
    /// Expansions are durable.
    Recorded(io::Result<()>),
    /// The ids of all messages.
    Names(io::Result<Vec<QueueId>>),
    /// Those of them that an operator means.
    Found(Vec<QueueId>),
}

/// What somebody outside the loop is doing for us.
#[derive(Debug)]
pub(super) enum Ticket {
    /// Some recipients of a message; so many of them are not reported yet.
    Job {
        id: QueueId,
        job: Job,
        left: usize,
    },
    /// A notification about a message, before what follows for it.
    Notice {
        id: QueueId,
        kind: Kind,
        to: Address,
        numbers: Vec<u32>,
        rest: Conclusion,
    },
    /// Whom the recipients of a message stand for is found out, or made durable.
    Expansion {
        id: QueueId,
    },
    /// A letter to the administrator.
    Letter,
    Sync,
    /// An operator's messages are looked for.
    Search,
}

impl Engine {
    pub(super) fn ticket(&mut self, ticket: Ticket) -> u64 {
        self.last_ticket += 1;
        self.tickets.insert(self.last_ticket, ticket);
        self.last_ticket
    }

    /// Begins an attempt at a message whose recipients are known, unless too many wait already where it goes.
    pub(super) fn begin_attempt(&mut self, active: Active) {
        let jobs = plan::jobs(&self.site, self.relay.ours(), active.everyone(), &active.to_try());
        let narrow = match jobs.as_slice() {
            // What is known of others is in memory alone.
            [Job { way, .. }] if active.is_as_read => Narrow::on(way),
            _ => None,
        };
        let sender = Sender::of(&active.envelope().mail);
        match narrow.filter(|narrow| self.crowd(narrow).is_full_for(self.waiting_before(narrow, &sender))) {
            Some(narrow) => self.fresh.park(narrow, sender, active.envelope().id, active.place),
            None => self.begin_jobs(active, jobs),
        }
    }

    fn begin_jobs(&mut self, active: Active, jobs: Vec<Job>) {
        let id = active.envelope().id;
        self.active.insert(id, active);
        if jobs.is_empty() {
            // Everyone is settled: only its removal did not come about.
            self.conclude_if_done(id);
        }
        self.send_out(id, jobs);
    }

    fn send_out(&mut self, id: QueueId, jobs: Vec<Job>) {
        if let Some(active) = self.active.get_mut(&id) {
            active.outstanding += jobs.len();
            active.waiting.extend(jobs);
        }
        self.send_more(id);
    }

    /// Begins with some of the jobs of a message: however many it has, others have room beside it.
    fn send_more(&mut self, id: QueueId) {
        while let Some(active) = self.active.get_mut(&id).filter(|active| active.in_hand < MAX_IN_HAND)
            && let Some(job) = active.waiting.pop_front()
        {
            active.in_hand += 1;
            self.dispatch(id, job);
        }
    }

    /// The same for those of which some are over. Says whether there were any. What an operator has ordered meanwhile
    /// does not wait for jobs that nobody has begun with.
    pub(super) fn send_further(&mut self) -> bool {
        let ids = std::mem::take(&mut self.to_go_on);
        for id in &ids {
            match self.active.get_mut(id).filter(|active| active.order().is_some()) {
                None => self.send_more(*id),
                Some(active) => {
                    active.outstanding -= std::mem::take(&mut active.waiting).len();
                    self.conclude_if_done(*id);
                }
            }
        }
        !ids.is_empty()
    }

    fn dispatch(&mut self, id: QueueId, job: Job) {
        let Some(active) = self.active.get(&id) else { return };
        let message = Arc::clone(&active.message);
        let way = job.way.clone();
        let numbers = job.recipients.clone();
        let everyone = active.everyone();
        let all = || numbers.iter().filter_map(|number| everyone.get(*number));
        let mail = mail(everyone, job.owner.as_deref());
        let recipients: Vec<Recipient> = if matches!(way, Way::Relay(_)) {
            all().map(|one| one.recipient()).collect()
        } else {
            Vec::new()
        };
        let content = self.content(&message, &job, everyone).knowing(&active.needs).edited(&active.edits);
        let ticket = self.ticket(Ticket::Job { id, left: numbers.len(), job });
        match way {
            Way::Relay(destination) => {
                let transaction = Transaction { mail, recipients, octets: content.length() };
                self.relay.submit(&destination, Errand::new(ticket, numbers, transaction, content));
            }
            Way::Maildir(folder) => {
                let host = self.site.hostname.to_string();
                self.workers.submit(ticket, move || {
                    Done::Delivered(match check_for_loop(&content) {
                        Ok(()) => maildir::deliver(&folder, &host, &content),
                        Err(report) => report,
                    })
                });
            }
            Way::Mbox(file) => self.append(file, None, ticket, content),
            Way::File(SafeFile { file, folder }) => self.append(file, Some(folder), ticket, content),
            Way::Program(program) => {
                let path = program.argv.first().cloned().unwrap_or_default();
                self.programs.waiting.push(path, (ticket, content));
                self.start_programs();
            }
            Way::Settled(report) => self.reported_all(ticket, &report),
        }
    }

    /// The message under the trace that belongs to this way.
    fn content(&self, message: &Arc<Message>, job: &Job, everyone: Everyone<'_>) -> Content {
        let hostname = &self.site.hostname;
        let to_mailbox = match &job.way {
            Way::Maildir(_)
            | Way::Mbox(_)
            | Way::File(_)
            | Way::Program(Program { is_sendmail: false, .. }) => true,
            Way::Relay(_) | Way::Program(_) | Way::Settled(_) => false,
        };
        let only = match job.recipients.as_slice() {
            [number] => everyone.get(*number),
            _ => None,
        };
        match only.filter(|_| to_mailbox) {
            Some(one) => Content::delivered(message, hostname, one.sender(), one.address()),
            None => Content::relayed(message, hostname),
        }
    }

    /// Appends it to a file that one writes at a time; one in a `folder` is not written through a link.
    fn append(&mut self, file: PathBuf, folder: Option<PathBuf>, ticket: u64, content: Content) {
        match self.mboxes.get_mut(&file) {
            Some(waiting) => waiting.push_back((ticket, folder, content)),
            None => {
                self.mboxes.insert(file.clone(), VecDeque::new());
                self.write_mbox(file, folder, ticket, content);
            }
        }
    }

    fn write_mbox(&mut self, file: PathBuf, folder: Option<PathBuf>, ticket: u64, content: Content) {
        self.workers.submit(ticket, move || {
            let inside = folder.map_or(Ok(()), |folder| mbox::check_inside(&file, &folder));
            Done::Delivered(match inside.and_then(|()| check_for_loop(&content)) {
                Ok(()) => mbox::deliver(&file, content.sender(), &content, Timestamp::now()),
                Err(report) => report,
            })
        });
    }

    /// A delivery to a mailbox is over: whoever waits for the same file is next.
    fn mailbox_over(&mut self, ticket: u64, report: &Report) {
        let file = match self.tickets.get(&ticket) {
            Some(Ticket::Job { job, .. }) => match &job.way {
                Way::Mbox(file) | Way::File(SafeFile { file, .. }) => Some(file.clone()),
                Way::Maildir(_) | Way::Relay(_) | Way::Program(_) | Way::Settled(_) => None,
            },
            _ => None,
        };
        if let Some(file) = file {
            match self.mboxes.get_mut(&file).and_then(VecDeque::pop_front) {
                Some((next, folder, content)) => self.write_mbox(file, folder, next, content),
                None => drop(self.mboxes.remove(&file)),
            }
        }
        self.reported_all(ticket, report);
    }

    /// Takes what the relay has finished, and has its names looked up.
    pub(super) fn exchange(&mut self) {
        loop {
            let finished = self.relay.take_finished();
            for finished in &finished {
                self.reported(finished.ticket, &finished.reports);
            }
            self.lookups.extend(self.relay.take_lookups());
            if !self.look_up() && finished.is_empty() {
                break;
            }
        }
        let mut fresh = std::mem::take(&mut self.fresh);
        self.more_is_due |= fresh.unpark(|narrow| self.crowd(narrow).lets_in());
        self.fresh = fresh;
    }

    /// Asks smap-lookup; says whether an answer came at once, because it cannot be asked.
    fn look_up(&mut self) -> bool {
        while let Some(lookup) = self.lookups.pop_front() {
            let question = match &lookup.question {
                Asked::Addresses(host) => host.parse().map(|host| Question::Addresses { host }),
                Asked::Mx(domain) => domain.parse().map(|domain| Question::Mx { domain }),
            };
            let asked = match question {
                Ok(question) => self.lookup.ask(lookup.number, question),
                Err(error) => Err(io::Error::new(io::ErrorKind::InvalidInput, error)),
            };
            match asked {
                Ok(()) => {}
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                    self.lookups.push_front(lookup);
                    return false;
                }
                Err(error) => {
                    let answer = lookup.question.unanswered(&error.to_string());
                    self.relay.resolved(lookup.number, answer);
                    return true;
                }
            }
        }
        false
    }

    pub(super) fn lookups_answered(&mut self) -> io::Result<()> {
        let mut answers = Vec::new();
        self.lookup.answers(&mut answers)?;
        for Answered { id, answer } in answers {
            let answer = match answer {
                Answer::Addresses(found) => relay::Answer::Addresses(found.map(|found| found.records)),
                Answer::Mx(found) => {
                    let secure = found.as_ref().is_ok_and(|found| found.secure);
                    let exchangers = found.map(|found| found.records.into_iter().map(exchanger).collect());
                    relay::Answer::Mx(exchangers, secure)
                }
                Answer::Names(_)
                | Answer::Texts(_)
                | Answer::Tlsa(_)
                | Answer::User(_)
                | Answer::Recipient(_) => continue,
            };
            self.relay.resolved(id, answer);
        }
        Ok(())
    }

    pub(super) fn workers_done(&mut self) {
        let next = |engine: &mut Self| {
            let done = engine.workers.take_done().or_else(|| engine.journal.take_done());
            done.or_else(|| engine.searcher.take_done()).or_else(|| engine.expander.take_done())
        };
        while let Some((ticket, done)) = next(self) {
            match done {
                Done::Delivered(report) => self.mailbox_over(ticket, &report),
                Done::Body(Ok(body)) => self.run(ticket, body),
                Done::Body(Err(report)) => self.program_over(ticket, &report),
                Done::Stored(result) => self.stored(ticket, result),
                Done::Names(names) => {
                    let names = names.unwrap_or_else(|error| {
                        Event::Error { text: &format_args!("the queue cannot be read: {error}") }.log();
                        Vec::new()
                    });
                    self.found_for_operator(ticket, names, false);
                }
                Done::Found(ids) => self.found_for_operator(ticket, ids, true),
                Done::Expanded(found) => self.expanded(ticket, found),
                Done::Recorded(result) => self.recorded(ticket, result),
                Done::Synced(result) => {
                    self.unsynced.synced();
                    self.tickets.remove(&ticket);
                    if let Err(error) = result {
                        Event::Error { text: &format_args!("marks could not be synced: {error}") }.log();
                    }
                }
            }
        }
    }

    /// Waits for what the threads have begun, and takes what happened to mail by it: nobody may get anything again, or
    /// be told again, that he was given at the last moment. Nothing new comes of the rest.
    pub(super) fn await_workers(&mut self) {
        for workers in [&mut self.workers, &mut self.journal, &mut self.searcher, &mut self.expander] {
            workers.finish();
        }
        while let Some((ticket, done)) = self.workers.take_done().or_else(|| self.journal.take_done()) {
            match done {
                Done::Delivered(report) => self.mailbox_over(ticket, &report),
                Done::Stored(result) => self.stored(ticket, result),
                Done::Body(_)
                | Done::Names(_)
                | Done::Found(_)
                | Done::Expanded(_)
                | Done::Recorded(_)
                | Done::Synced(_) => {}
            }
        }
    }

    /// One status speaks for several recipients: each is tried alone before any of them is given up.
    pub(super) fn split(&mut self, ticket: u64) {
        let Some(Ticket::Job { id, job, .. }) = self.tickets.remove(&ticket) else { return };
        let Some(active) = self.active.get_mut(&id) else { return };
        active.outstanding -= 1;
        active.in_hand -= 1;
        let jobs = job.one_by_one(&self.site, self.relay.ours(), active.everyone());
        self.send_out(id, jobs);
    }

    pub(super) fn reported_all(&mut self, ticket: u64, report: &Report) {
        let Some(Ticket::Job { job, .. }) = self.tickets.get(&ticket) else { return };
        let reports: Vec<(u32, Report)> =
            job.recipients.iter().map(|number| (*number, report.clone())).collect();
        self.reported(ticket, &reports);
    }

    /// Takes what became of some recipients of a job.
    fn reported(&mut self, ticket: u64, reports: &[(u32, Report)]) {
        let now = Timestamp::now();
        let Some(Ticket::Job { id, job, left }) = self.tickets.get_mut(&ticket) else { return };
        let id = *id;
        *left = left.saturating_sub(reports.len());
        let job_is_over = *left == 0;
        let Some(active) = self.active.get_mut(&id) else { return };
        for (number, report) in reports {
            log_delivery(active, *number, (job.transport, job.rule_of(*number)), report, now);
            active.report(*number, report.clone(), now);
        }
        if job_is_over {
            active.outstanding -= 1;
            active.in_hand -= 1;
            if !active.waiting.is_empty() {
                self.to_go_on.push(id);
            }
            self.tickets.remove(&ticket);
        }
        if active.outstanding > 0 {
            self.mark_delivered(id);
        }
        self.conclude_if_done(id);
    }
}

fn exchanger(record: Mx) -> Exchanger {
    Exchanger { preference: record.preference, host: record.exchange.to_string() }
}

/// What a host is told of the message: where the owner of a list sends it, nothing that the sender wished for.
fn mail(everyone: Everyone<'_>, owner: Option<&Address>) -> Mail {
    let mail = everyone.envelope.mail.clone();
    match owner {
        None => Mail { sender: everyone.sender.clone(), ..mail },
        Some(owner) => Mail {
            sender: ReversePath::Mailbox(owner.clone()),
            parameters: MailParameters { ret: None, envid: None, ..mail.parameters },
        },
    }
}

/// `by`: the transport, and the rule that named it.
pub(super) fn log_delivery(active: &Active, number: u32, by: (&str, &str), report: &Report, now: Timestamp) {
    let envelope = active.envelope();
    let Some(one) = active.everyone().get(number) else { return };
    let tls = report.security.as_ref().map(|security| log::Tls {
        version: security.version,
        cipher: &security.cipher,
        verify: &security.verdict,
    });
    Event::Delivery {
        id: envelope.id,
        to: &one,
        original: one.member.map(|_| &one.original.address),
        transport: by.0,
        rule: by.1,
        relay: &report.relay,
        tls,
        delay: now.since(envelope.arrived),
        status: match report.outcome {
            Outcome::Delivered => "sent",
            Outcome::Deferred => "deferred",
            Outcome::Failed => "failed",
        },
        dsn: report.status,
        reply: &report.reply,
    }
    .log();
}
