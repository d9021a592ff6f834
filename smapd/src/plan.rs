#![deny(clippy::disallowed_methods)]
//! Which way each recipient goes: pure, from the table and the envelope.
//!
//! Decides how recipients are put together into jobs. Guarantees that every pending recipient is in exactly one
//! job, and that what a job hands to a path or a program was made safe by the table's own templates.

use std::collections::HashMap;
use std::net::IpAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use netperm::aliases::not_written;
use netperm::policy::{MOST_LOCAL, Route, at_home, route};
use netperm::site::Site;
use netperm::transport::{
    ArgTemplate, Host, LmtpTarget, Names, NextHop, PathTemplate, SMTP_PORT, Tls, Transport, UnsafeName,
};
use smap_common::address::{Address, Domain, ReversePath};
use smap_common::smtp::client::Dialect;
use smap_common::spool::{Everyone, Member, One, Target};
use smap_common::status::{Class, Status};

use crate::delivery::Report;
use crate::exchangers::{self, Ourselves};

pub mod labels;
#[cfg(test)]
mod tests;

/// Recipients of one transaction or one run of a program (RFC 5321 section 4.5.3.1.8 lets no server take fewer).
const MAX_RECIPIENTS: usize = 100;
/// How long a program may run unless the transport says otherwise.
const PROGRAM_DEADLINE: Duration = Duration::from_secs(1000);

/// Recipients that go the same way together.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Job {
    /// Their numbers.
    pub recipients: Vec<u32>,
    /// The rule that sends each of them there, for the log; empty where that is no rule of the table's.
    rules: Vec<String>,
    /// The sender of what they get, in place of the message's own.
    pub owner: Option<Arc<Address>>,
    /// The kind of transport, for the log.
    pub transport: &'static str,
    /// Where they go.
    pub way: Way,
}

/// Where mail goes.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum Way {
    /// Over a connection.
    Relay(Destination),
    /// Into this maildir.
    Maildir(PathBuf),
    /// To the end of this file.
    Mbox(PathBuf),
    /// To the end of a file that an alias names.
    File(SafeFile),
    /// To a program.
    Program(Program),
    /// Nowhere: it is already known how it ends.
    Settled(Report),
}

/// A file, and the folder that it may not lead out of.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct SafeFile {
    /// The file.
    pub file: PathBuf,
    /// The folder.
    pub folder: PathBuf,
}

/// A program and how it is run.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Program {
    /// Its arguments, its path first.
    pub argv: Vec<String>,
    /// How long it may run.
    pub deadline: Duration,
    /// Whether it is a mail system of its own, which makes its own trace.
    pub is_sendmail: bool,
}

/// A place that connections are made to.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Destination {
    /// What is spoken there.
    pub dialect: Dialect,
    /// Tried in this order. Never empty.
    pub hops: Vec<Hop>,
    /// What is asked of TLS.
    pub tls: Tls,
    /// How long it may take to answer, if the table says so.
    pub timeout: Option<Duration>,
}

/// One place to connect to.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum Hop {
    /// A host to be looked up.
    Name(String, u16),
    /// The mail exchangers of a domain.
    Mx(String, u16, NamedBy),
    /// An address.
    Address(IpAddr, u16),
    /// A Unix socket.
    Unix(PathBuf),
}

/// Who has to mend the name of a domain that leads nowhere.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum NamedBy {
    /// The sender: it is the recipient's own domain.
    Recipient,
    /// The administrator: the table names it.
    Table,
}

/// Puts the pending recipients together into jobs. What would lead to `ours` is a loop.
#[must_use]
pub fn jobs(site: &Site, ours: &Ourselves, everyone: Everyone<'_>, pending: &[u32]) -> Vec<Job> {
    let mut jobs: Vec<Job> = Vec::new();
    // Where recipients of the same way are gathered: looked up, because there may be any number of them.
    let mut open: HashMap<(Way, Option<&Address>), usize> = HashMap::new();
    for &number in pending {
        let Some(one) = everyone.get(number) else { continue };
        let Routed { transport, way, rule } = way(site, ours, &one);
        let key = (way, one.owner.map(Arc::as_ref));
        let same = open.get(&key).and_then(|index| jobs.get_mut(*index));
        match same.filter(|job| job.recipients.len() < MAX_RECIPIENTS) {
            Some(job) => {
                job.recipients.push(number);
                job.rules.push(rule);
            }
            None => {
                let (recipients, way, owner) = (vec![number], key.0.clone(), one.owner.cloned());
                if way.takes_several() {
                    open.insert(key, jobs.len());
                }
                jobs.push(Job { recipients, rules: vec![rule], owner, transport, way });
            }
        }
    }
    for job in &mut jobs {
        job.complete(everyone);
    }
    jobs
}

impl Job {
    /// The rule that sends a recipient there.
    #[must_use]
    pub fn rule_of(&self, number: u32) -> &str {
        let at = self.recipients.iter().position(|recipient| *recipient == number);
        at.and_then(|at| self.rules.get(at)).map_or("", String::as_str)
    }

    /// The same job for each recipient alone: what several could not have together, some may have.
    #[must_use]
    pub fn one_by_one(&self, site: &Site, ours: &Ourselves, everyone: Everyone<'_>) -> Vec<Self> {
        self.recipients.iter().flat_map(|number| jobs(site, ours, everyone, &[*number])).collect()
    }

    /// A program that takes several recipients gets them as its last arguments.
    fn complete(&mut self, everyone: Everyone<'_>) {
        let Way::Program(program) = &mut self.way else { return };
        if program.is_sendmail {
            let all = self.recipients.iter().filter_map(|number| everyone.get(*number));
            program.argv.extend(all.map(|one| one.address().to_string()));
        }
    }
}

impl Way {
    fn takes_several(&self) -> bool {
        match self {
            Self::Relay(_) | Self::Program(_) | Self::Settled(_) => true,
            Self::Maildir(_) | Self::Mbox(_) | Self::File(_) => false,
        }
    }
}

/// Where one of them goes, and why.
struct Routed {
    transport: &'static str,
    way: Way,
    rule: String,
}

/// The way of one of them. Who is no mailbox is one of a row, which the log has told of.
fn way(site: &Site, ours: &Ourselves, one: &One<'_>) -> Routed {
    let sender = one.sender();
    let (transport, way) = match one.member {
        None | Some((_, Member { to: Target::Mailbox(_), .. })) => {
            return routed(site, ours, &sender, one.address());
        }
        Some((_, Member { to: Target::Program(words), .. })) => ("prog", program(site, words)),
        Some((_, Member { to: Target::File(file), .. })) => ("file", safe_file(site, file)),
        Some((_, Member { to: Target::Nobody, .. })) => {
            ("discard", Way::Settled(Report::delivered("discarded")))
        }
        Some((_, Member { to: Target::Refused(status, text), .. })) => {
            ("error", Way::Settled(error(*status, text.clone())))
        }
    };
    Routed { transport, way, rule: String::new() }
}

/// A program of `safe-programs`, as it is now: no message brings its own.
fn program(site: &Site, words: &[String]) -> Way {
    let (Some(folder), Some((name, arguments))) = (&site.smapd.safe_programs, words.split_first()) else {
        let reply = "the table names no folder of safe-programs";
        return Way::Settled(Report::deferred(Status::transient(3, 5), reply));
    };
    let path = folder.value.0.join(name).display().to_string();
    Way::Program(Program {
        argv: std::iter::once(path).chain(arguments.iter().cloned()).collect(),
        deadline: PROGRAM_DEADLINE,
        is_sendmail: false,
    })
}

/// A file below `safe-files`, as that is now.
fn safe_file(site: &Site, file: &Path) -> Way {
    let folder = site.smapd.safe_files.as_ref().map(|folder| folder.value.0.as_path());
    match (not_written(file, folder), folder) {
        (None, Some(folder)) => Way::File(SafeFile { file: file.to_owned(), folder: folder.to_owned() }),
        (what, _) => Way::Settled(Report::deferred(Status::transient(3, 5), what.unwrap_or_default())),
    }
}

/// A report of a status and a reply.
pub fn error(status: Status, reply: String) -> Report {
    match status.class() {
        Class::Transient => Report::deferred(status, reply),
        Class::Success | Class::Permanent => Report::failed(status, reply),
    }
}

/// The way of an address.
fn routed(site: &Site, ours: &Ourselves, sender: &ReversePath, address: &Address) -> Routed {
    let (mut address, mut rule) = (address.clone(), String::new());
    for _ in 0..MOST_LOCAL {
        let transport = match route(&site.smapd, &site.hostname, &address) {
            Route::Through { transport, reason } => {
                rule = reason.rule();
                transport
            }
            Route::Nowhere { reason, add } => {
                let reply = format!("{reason}; to mend it add the line: {add}");
                let way = Way::Settled(Report::deferred(Status::transient(3, 5), reply));
                return Routed { transport: "none", way, rule: reason.rule() };
            }
        };
        let Transport::Local(user) = &*transport else {
            let (transport, way) = through(site, ours, sender, &transport, &address);
            return Routed { transport, way, rule };
        };
        match at_home(&address, user, &site.hostname) {
            Some(local) => address = local,
            None => break,
        }
    }
    let way = Way::Settled(Report::deferred(Status::transient(4, 6), "local: leads to itself"));
    Routed { transport: "local", way, rule }
}

fn through(
    site: &Site,
    ours: &Ourselves,
    sender: &ReversePath,
    transport: &Transport,
    address: &Address,
) -> (&'static str, Way) {
    match transport {
        Transport::Smtp { hops, tls, timeout } => {
            let hops = smtp_hops(site, ours, hops, address);
            let to = |hops| Destination { dialect: Dialect::Smtp, hops, tls: *tls, timeout: *timeout };
            ("smtp", hops.map_or_else(Way::Settled, |hops| Way::Relay(to(hops))))
        }
        Transport::Lmtp { to, timeout } => {
            let (dialect, hops) = (Dialect::Lmtp, vec![lmtp_hop(to)]);
            ("lmtp", Way::Relay(Destination { dialect, hops, tls: Tls::Off, timeout: *timeout }))
        }
        Transport::Maildir(template) => ("maildir", mailbox(site, template, address, Way::Maildir)),
        Transport::Mbox(template) => ("mbox", mailbox(site, template, address, Way::Mbox)),
        Transport::Pipe { program, args, timeout } => {
            ("pipe", pipe(site, sender, address, &PipeTransport { program, args, timeout: *timeout }))
        }
        Transport::Sendmail { timeout } => ("sendmail", sendmail(site, sender, *timeout)),
        Transport::Error { status, code, text } => {
            ("error", Way::Settled(error(*status, format!("{code} {status} {text}"))))
        }
        Transport::Discard => ("discard", Way::Settled(Report::delivered("discarded"))),
        Transport::Local(_) => {
            ("local", Way::Settled(Report::deferred(Status::transient(3, 5), "local: not routed")))
        }
    }
}

fn domain(site: &Site, address: &Address) -> String {
    address.domain().unwrap_or(&site.hostname).to_string()
}

/// The parts of a [`Transport::Pipe`].
struct PipeTransport<'a> {
    program: &'a Path,
    args: &'a [ArgTemplate],
    timeout: Option<Duration>,
}

/// What one hop cannot do, the others may.
fn smtp_hops(site: &Site, ours: &Ourselves, hops: &[NextHop], address: &Address) -> Result<Vec<Hop>, Report> {
    let domain = address.domain().unwrap_or(&site.hostname);
    let mut verdict = None;
    let hops: Vec<Hop> = hops
        .iter()
        .filter_map(|hop| smtp_hop(ours, hop, domain).map_err(|report| verdict = Some(report)).ok())
        .collect();
    match verdict.filter(|_| hops.is_empty()) {
        None => Ok(hops),
        Some(report) => Err(report),
    }
}

fn smtp_hop(ours: &Ourselves, hop: &NextHop, domain: &Domain) -> Result<Hop, Report> {
    match hop {
        NextHop::Direct { host, port } => Ok(host_hop(host, *port)),
        NextHop::ByMx { host, port } => {
            let named_by = if domain.name() == Some(host) { NamedBy::Recipient } else { NamedBy::Table };
            Ok(Hop::Mx(host.clone(), *port, named_by))
        }
        NextHop::RecipientDomain => match (domain.name(), domain.literal()) {
            (Some(name), _) => exchangers_of(name),
            (None, Some(address)) if !ours.have(address) => {
                Ok(Hop::Address(address.to_canonical(), SMTP_PORT))
            }
            (None, _) => Err(exchangers::loops_back(&domain.to_string())),
        },
    }
}

fn exchangers_of(name: &str) -> Result<Hop, Report> {
    match labels::to_ascii(name) {
        Some(ascii) => Ok(Hop::Mx(ascii.into_owned(), SMTP_PORT, NamedBy::Recipient)),
        None => {
            let reply = format!("{name} cannot be looked up: it is not a name of IDNA (RFC 5891)");
            Err(Report::failed(Status::permanent(1, 2), reply))
        }
    }
}

fn host_hop(host: &Host, port: u16) -> Hop {
    match host {
        Host::Name(name) => Hop::Name(name.clone(), port),
        Host::Address(address) => Hop::Address(*address, port),
    }
}

fn lmtp_hop(target: &LmtpTarget) -> Hop {
    match target {
        LmtpTarget::Unix(path) => Hop::Unix(path.clone()),
        LmtpTarget::Tcp { host, port } => host_hop(host, *port),
    }
}

/// A mailbox of a recipient whose name can be a file's.
fn mailbox(site: &Site, template: &PathTemplate, address: &Address, way: fn(PathBuf) -> Way) -> Way {
    match template.expand(address.local_part(), &domain(site, address)) {
        Ok(path) => way(path),
        Err(unsafe_name) => no_mailbox(&unsafe_name),
    }
}

fn no_mailbox(unsafe_name: &UnsafeName) -> Way {
    Way::Settled(Report::failed(
        Status::permanent(1, 3),
        format!("no mailbox can have this name: {unsafe_name}"),
    ))
}

fn pipe(site: &Site, sender: &ReversePath, address: &Address, transport: &PipeTransport<'_>) -> Way {
    let sender = sender.address().map(ToString::to_string).unwrap_or_default();
    let names = Names { user: address.local_part(), domain: &domain(site, address), sender: &sender };
    let arguments: Result<Vec<String>, UnsafeName> =
        transport.args.iter().map(|argument| argument.expand(&names)).collect();
    match arguments {
        Ok(arguments) => Way::Program(Program {
            argv: std::iter::once(transport.program.display().to_string()).chain(arguments).collect(),
            deadline: transport.timeout.unwrap_or(PROGRAM_DEADLINE),
            is_sendmail: false,
        }),
        Err(unsafe_name) => no_mailbox(&unsafe_name),
    }
}

/// `-oi`: a line with a dot is no end; `--`: a recipient is no option.
fn sendmail(site: &Site, sender: &ReversePath, timeout: Option<Duration>) -> Way {
    let Some(program) = &site.smapd.sendmail else {
        return Way::Settled(Report::deferred(
            Status::transient(3, 5),
            "the table names no sendmail program",
        ));
    };
    let sender = sender.address().map_or_else(|| "<>".to_owned(), ToString::to_string);
    let path = program.0.display().to_string();
    Way::Program(Program {
        argv: [path.as_str(), "-oi", "-f", &sender, "--"].map(str::to_owned).to_vec(),
        deadline: timeout.unwrap_or(PROGRAM_DEADLINE),
        is_sendmail: true,
    })
}
