//! `smapctl explain`: what becomes of a message, and which line of the table decides it.

use std::fmt;
use std::io::Write;
use std::path::Path;

use netperm::masquerade::Masquerade;
use netperm::policy::{self, Facts};
use netperm::site::Site;
use netperm::{Client, ClientName};
use serde::Serialize;
use smap_common::address::ReversePath;
use smap_common::exit::Exit;

use crate::arguments::Question;
use crate::error::Error;
use crate::show;

mod people;
mod route;
mod stage;

use self::people::Branch;
use self::route::{Step, route};
use self::stage::Stage;

/// The answer, in the order in which a message meets it.
#[derive(Debug, Serialize)]
pub struct Explanation {
    client: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    helo: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    tls: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    auth: Option<String>,
    from: String,
    to: String,
    connect: Stage,
    sender: Stage,
    recipient: Stage,
    /// None: neither a `recipients` line nor a virtusertable speaks of him.
    #[serde(skip_serializing_if = "Option::is_none")]
    exists: Option<Stage>,
    /// None: there is neither a virtusertable nor an alias, and he stands for nobody else.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    expansion: Vec<Branch>,
    /// None: the sender stays as he is.
    #[serde(skip_serializing_if = "Option::is_none")]
    masquerade: Option<String>,
    /// Of each mailbox, one after the other.
    route: Vec<Step>,
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
        let facts = Facts {
            helo: question.helo.as_ref(),
            sender: question.from.as_ref(),
            tls: question.tls.as_deref(),
            auth: question.auth.as_deref(),
            ..Facts::of(&client)
        };
        let sender = question.from.as_ref().and_then(|from| from.address());
        let (smap, hostname) = (&site.smap, &site.hostname);
        let seen = seen_sender(site, &facts);
        let seen_by = seen.as_ref().or(facts.sender).and_then(ReversePath::address);
        let outcome = people::outcome(site, &question.to);
        let mailboxes = people::mailboxes(&outcome, &question.to, seen_by);
        Self {
            client: shown(&question.client),
            helo: question.helo.as_ref().map(ToString::to_string),
            tls: question.tls.clone(),
            auth: question.auth.clone(),
            from: sender.map_or("<>".to_owned(), |address| format!("<{address}>")),
            to: format!("<{}>", question.to),
            connect: Stage::of(smap, &policy::connect(smap, &facts)),
            sender: Stage::of(smap, &policy::sender(smap, &facts)),
            recipient: Stage::of(smap, &policy::relay(smap, hostname, &facts, &question.to)),
            exists: people::exists(site, &question.to),
            expansion: people::branches(site, &outcome, seen_by),
            masquerade: seen.as_ref().map(ToString::to_string),
            route: mailboxes.into_iter().flat_map(|(to, from)| route(site, from, to.clone())).collect(),
        }
    }

    /// What is done with such a recipient, where that is not to deliver to somebody.
    fn outcome(&self) -> Option<&'static str> {
        let exists = self.exists.as_ref().map_or("permit", |exists| exists.verdict);
        Some(match [self.connect.verdict, self.sender.verdict, self.recipient.verdict, exists] {
            ["refuse", ..] => "smap turns this client away, so nothing else happens.\n",
            ["defer", ..] => "smap tells this client to come back later, so nothing else happens.\n",
            ["ask", ..] => HOW_TO_SAY_THE_NAME,
            ["discard", ..] => "smap takes all that this client sends, and throws it away.\n",
            [_, "refuse" | "defer", ..] => "smap refuses this sender, so nothing else happens.\n",
            [_, "discard", ..] => "smap takes all that this sender sends, and throws it away.\n",
            [_, _, "ask", _] => HOW_TO_SAY_THE_NAME,
            [_, _, "discard", _] => "smap takes this recipient, and throws his mail away.\n",
            [_, _, "defer", _] | [.., "defer"] => "smap lets this recipient be tried again later.\n",
            [_, _, "refuse", _] | [.., "refuse"] => "smap refuses this recipient, so smapd never sees it.\n",
            [.., "ask"] => "smap asks smap-lookup whether this recipient exists.\n",
            _ if self.expansion.iter().any(Branch::is_deferred) => NOBODY_YET,
            _ => return None,
        })
    }
}

/// What the sender of the envelope becomes, where he does.
fn seen_sender(site: &Site, facts: &Facts<'_>) -> Option<ReversePath> {
    let sender = facts.sender.filter(|_| policy::may_relay(&site.smap, facts).is_permit())?;
    let seen = Masquerade::of(&site.smapd, &site.hostname).envelope(sender);
    (seen != *sender).then_some(seen)
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
        let masquerade =
            |sender: &String| ["masquerade".to_owned(), "sender".to_owned(), format!("-> {sender}")];
        rows.extend(self.masquerade.iter().map(masquerade));
        for step in &self.route {
            let label = if step.recipient == self.to { "route" } else { step.recipient.as_str() };
            rows.extend(step.rows(label));
        }
        write!(f, "from {} at {} to {}", self.from, self.client, self.to)?;
        let facts = [("helo", &self.helo), ("tls", &self.tls), ("auth", &self.auth)];
        facts
            .iter()
            .try_for_each(|(name, fact)| fact.iter().try_for_each(|fact| write!(f, " {name} {fact}")))?;
        f.write_str("\n")?;
        f.write_str(&show::columns(&rows))?;
        f.write_str(self.outcome().unwrap_or_default())
    }
}

const SAID_BY_ACCESS: &str = "access";
const NOBODY_YET: &str = "\
smapd tries this recipient again later: nobody gets the message before all whom
he stands for can be found.
";
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
