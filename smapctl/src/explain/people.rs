//! Whether a recipient exists, and whom he stands for.

use netperm::expand::{Chain, Final, Member, Nobody, Outcome, Recipient, Refused};
use netperm::load;
use netperm::recipients::{self, Exists};
use netperm::site::Site;
use serde::Serialize;
use smap_common::address::Address;

use super::stage::Stage;

const DEFERRED: &str = "deferred";

/// One of those whom a recipient stands for, or a way that ends with nobody.
#[derive(Debug, Serialize)]
pub(super) struct Branch {
    kind: &'static str,
    /// Who, or why nobody.
    to: String,
    /// The envelope's sender, where a list has an owner.
    #[serde(skip_serializing_if = "Option::is_none")]
    sender: Option<String>,
    /// The rows that led there.
    by: Vec<String>,
}

impl Branch {
    fn of(Member { found, postmaster }: &Member, sender: Option<&Address>) -> Self {
        let kind = match &found.to {
            Recipient::Mailbox(_) => "mailbox",
            Recipient::Program(_) => "program",
            Recipient::File(_) => "file",
            Recipient::Nobody => "nobody",
        };
        let administrator =
            |postmaster| format!("badadmin, because no line says where mail for <{postmaster}> goes");
        Self {
            kind,
            to: found.to.to_string(),
            sender: owner(found, sender).map(|owner| format!("<{owner}>")),
            by: rows(&found.chain).chain(postmaster.iter().map(administrator)).collect(),
        }
    }

    fn refused(refused: &Refused) -> Self {
        let kind = if refused.is_for_now() { DEFERRED } else { "refused" };
        Self { kind, to: refused.why.to_string(), sender: None, by: rows(&refused.chain).collect() }
    }

    /// Whether nobody gets anything before this can be followed.
    pub(super) fn is_deferred(&self) -> bool {
        self.kind == DEFERRED
    }

    pub(super) fn rows(&self) -> Vec<[String; 3]> {
        let mut whys = self.by.clone();
        let sender = self.sender.iter().map(|sender| format!(", from {sender}"));
        whys.push(format!("-> {}{}", self.to, sender.collect::<String>()));
        let mut head = Some(["expansion".to_owned(), self.kind.to_owned()]);
        whys.into_iter()
            .map(|why| {
                let [label, kind] = head.take().unwrap_or_default();
                [label, kind, why]
            })
            .collect()
    }
}

fn rows(chain: &Chain) -> impl Iterator<Item = String> {
    chain.steps().into_iter().map(ToString::to_string)
}

/// What smap would be told, before anything is asked.
pub(super) fn exists(site: &Site, recipient: &Address) -> Option<Stage> {
    if site.smap.recipients.is_empty() && site.smap.virtusertable.is_none() {
        return None;
    }
    let (verdict, reason) = match recipients::exists(&site.smap.people(&site.hostname), &[], recipient) {
        Exists::Yes(reason) => ("permit", reason),
        Exists::No(reason) => ("refuse", reason),
        Exists::NotNow(reason) => ("defer", reason),
        Exists::Ask(question, line) => ("ask", recipients::Reason::Asked(line, question)),
    };
    Some(Stage {
        verdict,
        reason: reason.id(),
        why: reason.to_string(),
        reply: reason.reply().map(|reply| reply.to_string()),
        tried: Vec::new(),
        passed: Vec::new(),
    })
}

/// To whom smapd would deliver.
pub(super) fn outcome(site: &Site, recipient: &Address) -> Outcome {
    Outcome::of(&site.smapd, &site.hostname, recipient, &mut load::included)
}

/// The same as it is shown: nothing where no file says who anybody is, and he is himself.
pub(super) fn branches(site: &Site, outcome: &Outcome, sender: Option<&Address>) -> Vec<Branch> {
    let people = site.smapd.people(&site.hostname);
    let any = people.virtusertable.is_some() || people.aliases.is_some();
    match outcome {
        Outcome::Himself(_) if !any => Vec::new(),
        Outcome::Himself(member) => vec![Branch::of(member, sender)],
        Outcome::Others { members, refused } => {
            let members = members.iter().map(|member| Branch::of(member, sender));
            members.chain(refused.iter().map(Branch::refused)).collect()
        }
        Outcome::NotNow(Nobody { why, more }) | Outcome::No(Nobody { why, more }) => {
            std::iter::once(why).chain(more).map(Branch::refused).collect()
        }
    }
}

/// Each mailbox that smapd would deliver to, and the sender of what it gets.
pub(super) fn mailboxes<'a>(
    outcome: &'a Outcome,
    recipient: &'a Address,
    sender: Option<&'a Address>,
) -> Vec<(&'a Address, Option<&'a Address>)> {
    match outcome {
        Outcome::Himself(_) => vec![(recipient, sender)],
        Outcome::Others { members, .. } => members
            .iter()
            .filter_map(|Member { found, .. }| match &found.to {
                Recipient::Mailbox(address) => Some((address, owner(found, sender).or(sender))),
                _ => None,
            })
            .collect(),
        Outcome::NotNow(_) | Outcome::No(_) => Vec::new(),
    }
}

/// Who takes the sender's place. What has no sender is never answered (RFC 5321 section 4.5.5), whoever gets it.
fn owner<'a>(found: &'a Final, sender: Option<&Address>) -> Option<&'a Address> {
    found.owner.as_deref().filter(|_| sender.is_some())
}
