//! `smapctl explain`: what becomes of a message, and which line of the table decides it.

use std::fmt;
use std::io::Write;
use std::path::Path;

use netperm::policy::{self, Facts, Reason, Route, Verdict};
use netperm::site::Site;
use netperm::transport::Names;
use netperm::{Client, ClientName, Transport};
use serde::Serialize;
use smap_common::address::Address;
use smap_common::exit::Exit;

use crate::arguments::Question;
use crate::error::Error;
use crate::show;

mod people;

use self::people::Branch;

/// More than any chain of `local:` has steps.
const MOST_STEPS: usize = 10;

/// The answer, in the order in which a message meets it.
#[derive(Debug, Serialize)]
pub struct Explanation {
    client: String,
    from: String,
    to: String,
    connect: Stage,
    sender: Stage,
    recipient: Stage,
    /// None: no `recipients` line speaks of any domain.
    #[serde(skip_serializing_if = "Option::is_none")]
    exists: Option<Stage>,
    /// None: there is neither a virtusertable nor an alias.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    expansion: Vec<Branch>,
    route: Vec<Step>,
}

/// One decision of smap.
#[derive(Debug, Serialize)]
struct Stage {
    verdict: &'static str,
    reason: &'static str,
    why: String,
    /// What the client is told, where the table says it.
    #[serde(skip_serializing_if = "Option::is_none")]
    reply: Option<String>,
    /// The keys that were looked up in `access`.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    tried: Vec<String>,
}

/// One step on the way out.
#[derive(Debug, Serialize)]
struct Step {
    recipient: String,
    /// None: the table does not say where.
    transport: Option<String>,
    /// The file or the arguments that the transport comes to for this recipient.
    #[serde(skip_serializing_if = "Option::is_none")]
    target: Option<String>,
    reason: &'static str,
    why: String,
    /// A line that would say where.
    #[serde(skip_serializing_if = "Option::is_none")]
    add: Option<String>,
}

/// Answers a question on `out`.
///
/// # Errors
/// The table is wrong, or `out` fails.
pub fn run(table: &Path, question: &Question, out: &mut impl Write) -> Result<Exit, Error> {
    let explanation = Explanation::of(&Site::load(table)?, question);
    if question.json {
        serde_json::to_writer_pretty(&mut *out, &explanation)?;
        writeln!(out)?;
    } else {
        write!(out, "{explanation}")?;
    }
    Ok(Exit::Ok)
}

impl Explanation {
    /// What the policy says.
    #[must_use]
    pub fn of(site: &Site, question: &Question) -> Self {
        let client = match question.dns_fails {
            true => Client { name: ClientName::Failed("DNS fails".to_owned()), ..question.client.clone() },
            false => question.client.clone(),
        };
        let facts = Facts { sender: question.from.as_ref(), ..Facts::of(&client) };
        let sender = question.from.as_ref().and_then(|from| from.address());
        Self {
            client: shown(&question.client),
            from: sender.map_or("<>".to_owned(), |address| format!("<{address}>")),
            to: format!("<{}>", question.to),
            connect: Stage::of(&policy::connect(&site.smap, &facts)),
            sender: Stage::of(&policy::sender(&site.smap, &facts)),
            recipient: Stage::of(&policy::recipient(&site.smap, &site.hostname, &facts, &question.to)),
            exists: people::exists(site, &question.to),
            expansion: people::expansion(site, &question.to),
            route: route(site, sender, question.to.clone()),
        }
    }
}

impl fmt::Display for Explanation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut rows = self.connect.rows("connect");
        // Nothing but a row of access says anything of a sender.
        if self.sender.reason == SAID_BY_ACCESS {
            rows.extend(self.sender.rows("sender"));
        }
        rows.extend(self.recipient.rows("recipient"));
        rows.extend(self.exists.iter().flat_map(|exists| exists.rows("exists")));
        rows.extend(self.expansion.iter().flat_map(Branch::rows));
        for (number, step) in self.route.iter().enumerate() {
            let label = if number == 0 { "route" } else { step.recipient.as_str() };
            let kind = step.transport.as_ref().and_then(|transport| transport.split([':', ' ']).next());
            rows.push([label.to_owned(), kind.unwrap_or("nowhere").to_owned(), step.why.clone()]);
            let more = step.target.iter().map(|target| format!("-> {target}"));
            let more = more.chain(step.add.iter().map(|add| format!("add: {add}")));
            rows.extend(more.map(|more| [String::new(), String::new(), more]));
        }
        writeln!(f, "from {} at {} to {}", self.from, self.client, self.to)?;
        f.write_str(&show::columns(&rows))?;
        let said = [self.connect.verdict, self.sender.verdict, self.recipient.verdict];
        if said.contains(&DISCARD) {
            return writeln!(f, "the row asks for this message to be thrown away; smap refuses it instead.");
        }
        match (self.connect.verdict, self.recipient.verdict) {
            ("permit", _) if self.sender.verdict == "refuse" => {
                writeln!(f, "smap refuses this sender, so nothing else happens.")
            }
            ("permit", "permit") => Ok(()),
            (ASK, _) | ("permit", ASK) => f.write_str(HOW_TO_SAY_THE_NAME),
            (NOT_NOW, _) => {
                writeln!(f, "smap tells this client to come back later, so nothing else happens.")
            }
            ("permit", NOT_NOW) => writeln!(f, "smap lets this recipient be tried again later."),
            ("permit", _) => writeln!(f, "smap refuses this recipient, so smapd never sees it."),
            _ => writeln!(f, "smap turns this client away, so nothing else happens."),
        }
    }
}

const SAID_BY_ACCESS: &str = "access";
const ASK: &str = "ask";
const DISCARD: &str = "discard";
const NOT_NOW: &str = "not now";
const HOW_TO_SAY_THE_NAME: &str = "\
smap asks smap-lookup for the client's name. To see what becomes of it then:
--client NAME/ADDR where it has one, --client unknown/ADDR where it has none,
--dns-fails where that cannot be looked up.
";

/// As the log has it; without a name where that is not said.
fn shown(client: &Client) -> String {
    let address = client.address.map(|address| address.to_string()).unwrap_or_default();
    match &client.name {
        ClientName::NotAsked | ClientName::Failed(_) => address,
        ClientName::Unknown => format!("unknown/{address}"),
        ClientName::Known(names) => {
            let names: Vec<&str> = names.iter().map(|name| name.as_str()).collect();
            format!("{}/{address}", names.join(","))
        }
    }
}

impl Stage {
    fn of(verdict: &Verdict<'_>) -> Self {
        let reason = verdict.reason();
        Self {
            verdict: match verdict {
                Verdict::Permit(_) => "permit",
                Verdict::Refuse(_) => "refuse",
                Verdict::Discard(_) => DISCARD,
                Verdict::Ask(_) => ASK,
                Verdict::NotNow(_) => NOT_NOW,
            },
            reason: reason.id(),
            why: reason.to_string(),
            reply: reason.reply().map(|reply| reply.to_string()),
            tried: reason.tried().to_vec(),
        }
    }

    fn rows(&self, label: &str) -> Vec<[String; 3]> {
        let mut rows = vec![[label.to_owned(), self.verdict.to_owned(), self.why.clone()]];
        let keys = (!self.tried.is_empty()).then(|| format!("looked up: {}", self.tried.join(" ")));
        let more = self.reply.iter().map(|reply| format!("-> {reply}")).chain(keys);
        rows.extend(more.map(|more| [String::new(), String::new(), more]));
        rows
    }
}

/// Every step: `local:` leads to another address, which is routed again.
fn route(site: &Site, sender: Option<&Address>, recipient: Address) -> Vec<Step> {
    let mut steps = Vec::new();
    let mut next = Some(recipient);
    while let Some(recipient) = next.take().filter(|_| steps.len() < MOST_STEPS) {
        let step = |transport: Option<&Transport>, reason: Reason<'_>, add| Step {
            recipient: format!("<{recipient}>"),
            transport: transport.map(ToString::to_string),
            target: transport.and_then(|transport| target(site, transport, sender, &recipient)),
            reason: reason.id(),
            why: reason.to_string(),
            add,
        };
        match policy::route(&site.smapd, &site.hostname, &recipient) {
            Route::Nowhere { reason, add } => steps.push(step(None, reason, Some(add))),
            Route::Through { transport, reason } => {
                steps.push(step(Some(&transport), reason, None));
                if let Transport::Local(user) = &*transport {
                    next = policy::at_home(&recipient, user, &site.hostname);
                }
            }
        }
    }
    steps
}

/// What the transport comes to for this recipient.
fn target(
    site: &Site,
    transport: &Transport,
    sender: Option<&Address>,
    recipient: &Address,
) -> Option<String> {
    let domain = recipient.domain().unwrap_or(&site.hostname).to_string();
    let sender = sender.map(ToString::to_string).unwrap_or_default();
    let names = Names { user: recipient.local_part(), domain: &domain, sender: &sender };
    let expanded = match transport {
        Transport::Maildir(path) | Transport::Mbox(path) => {
            path.expand(names.user, names.domain).map(|path| path.display().to_string())
        }
        Transport::Pipe { program, args, .. } => {
            let args: Result<Vec<String>, _> = args.iter().map(|arg| arg.expand(&names)).collect();
            args.map(|args| format!("{:?} {args:?}", program.display().to_string()))
        }
        Transport::Sendmail { .. } => {
            return site.smapd.sendmail.as_ref().map(|path| path.0.display().to_string());
        }
        _ => return None,
    };
    Some(expanded.unwrap_or_else(|unsafe_name| format!("undeliverable: {unsafe_name}")))
}
