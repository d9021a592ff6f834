//! Where mail for a recipient goes, step by step, and what was looked at on the way.

use netperm::Transport;
use netperm::policy::{self, Reason, Route};
use netperm::site::Site;
use netperm::transport::{Host, LmtpTarget, Names, NextHop};
use serde::Serialize;
use smap_common::address::Address;

use super::stage::passed_domains;

/// One step on the way out.
#[derive(Debug, Serialize)]
pub(super) struct Step {
    pub(super) recipient: String,
    /// None: the table does not say where.
    transport: Option<String>,
    /// The hosts, the file or the arguments that the transport comes to for this recipient.
    #[serde(skip_serializing_if = "Option::is_none")]
    target: Option<String>,
    reason: &'static str,
    why: String,
    /// The lines before that do not mean him.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    passed: Vec<String>,
    /// A line that would say where.
    #[serde(skip_serializing_if = "Option::is_none")]
    add: Option<String>,
}

impl Step {
    pub(super) fn rows(&self, label: &str) -> Vec<[String; 3]> {
        let kind = self.transport.as_ref().and_then(|transport| transport.split([':', ' ']).next());
        let mut rows = vec![[label.to_owned(), kind.unwrap_or("nowhere").to_owned(), self.why.clone()]];
        let more = self.target.iter().map(|target| format!("-> {target}"));
        let more = more.chain(self.add.iter().map(|add| format!("add: {add}")));
        let more = more.chain(self.passed.iter().map(|line| format!("not: {line}")));
        rows.extend(more.map(|more| [String::new(), String::new(), more]));
        rows
    }
}

/// Every step: `local:` leads to another address, which is routed again.
pub(super) fn route(site: &Site, sender: Option<&Address>, recipient: Address) -> Vec<Step> {
    let mut steps = Vec::new();
    let mut next = Some(recipient);
    while let Some(recipient) = next.take().filter(|_| steps.len() < policy::MOST_LOCAL) {
        let step = |transport: Option<&Transport>, reason: Reason<'_>, add| Step {
            passed: passed_domains(&site.smapd.domain, reason.place()),
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
        Transport::Smtp { hops, .. } => {
            return Some(hops.iter().map(|hop| next_hop(hop, &domain)).collect::<Vec<_>>().join(", then "));
        }
        Transport::Lmtp { to: LmtpTarget::Tcp { host, port }, .. } => {
            return Some(format!("{} port {port}", shown(host)));
        }
        Transport::Lmtp { to: LmtpTarget::Unix(socket), .. } => {
            return Some(socket.display().to_string());
        }
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

fn next_hop(hop: &NextHop, domain: &str) -> String {
    match hop {
        NextHop::RecipientDomain => format!("the mail exchangers of {domain}"),
        NextHop::ByMx { host, port } => format!("the mail exchangers of {host}, port {port}"),
        NextHop::Direct { host, port } => format!("{} port {port}", shown(host)),
    }
}

fn shown(host: &Host) -> String {
    match host {
        Host::Name(name) => name.clone(),
        Host::Address(address) => address.to_string(),
    }
}
