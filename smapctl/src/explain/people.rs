//! Whether a recipient exists, and whom he stands for.

use netperm::expand::{self, Chain, Recipient};
use netperm::load;
use netperm::recipients::{self, Exists};
use netperm::site::Site;
use serde::Serialize;
use smap_common::address::Address;

use super::Stage;

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
    if site.smap.recipients.is_empty() {
        return None;
    }
    let exists = recipients::exists(&site.smap.people(&site.hostname), &[], recipient);
    let (reason, why) = match &exists {
        Exists::Yes(reason) | Exists::No(reason) | Exists::NotNow(reason) => {
            (reason.id(), reason.to_string())
        }
        Exists::Ask(question, line) => {
            ("question", format!("{}: recipients {}: {question}", line.place, line.value))
        }
    };
    Some(Stage { verdict: exists.word(), reason, why, reply: None, tried: Vec::new() })
}

/// Whom smapd would deliver to.
pub(super) fn expansion(site: &Site, recipient: &Address) -> Vec<Branch> {
    let people = site.smapd.people(&site.hostname);
    if people.virtusertable.is_none() && people.aliases.is_none() {
        return Vec::new();
    }
    let found = expand::expand(&people, recipient, &mut load::included);
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
