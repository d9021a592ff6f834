//! Whether a recipient exists, and whom he stands for.

use netperm::expand::{self, Chain, Expansion, Recipient};
use netperm::load;
use netperm::recipients::{self, Exists};
use netperm::site::Site;
use serde::Serialize;
use smap_common::address::Address;

use super::stage::Stage;

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

/// Whom smapd would deliver to, where any file says who somebody is.
pub(super) fn expanded(site: &Site, recipient: &Address) -> Option<Expansion> {
    let people = site.smapd.people(&site.hostname);
    let any = people.virtusertable.is_some() || people.aliases.is_some();
    any.then(|| expand::expand(&people, recipient, &mut load::included))
}

/// The same as it is shown.
pub(super) fn branches(found: Expansion) -> Vec<Branch> {
    let by = |chain: &Chain| chain.steps().into_iter().map(ToString::to_string).collect();
    let recipients = found.recipients.into_iter().map(|found| Branch {
        kind: match &found.to {
            Recipient::Mailbox(_) => "mailbox",
            Recipient::Program(_) => "program",
            Recipient::File(_) => "file",
            Recipient::Nobody => "nobody",
        },
        to: found.to.to_string(),
        sender: found.owner.map(|owner| format!("<{owner}>")),
        by: by(&found.chain),
    });
    let refused = found.refused.into_iter().map(|refused| Branch {
        kind: "refused",
        to: refused.why.to_string(),
        sender: None,
        by: by(&refused.chain),
    });
    recipients.chain(refused).collect()
}
