//! Whom the recipients of a message stand for, as the tables say now.
//!
//! Decides whether a recipient stands for others, what becomes of him where nobody can be found, and who stands in
//! several places. Pure but for what reads an included file, which the caller hands in. What it finds is to be recorded
//! before anybody of it is delivered to.
#![deny(clippy::disallowed_methods)]

use std::collections::HashSet;
use std::path::Path;
use std::sync::Arc;

use netperm::expand::{self, Final, Refused, Why};
use netperm::policy::{Route, route};
use netperm::site::Site;
use netperm::transport::Transport;
use smap_common::address::Address;
use smap_common::spool::{Everyone, Expansion, Member, Target};
use smap_common::status::Status;

use crate::delivery::Report;
use crate::plan;

#[cfg(test)]
mod tests;

/// What was found for a recipient.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Found {
    /// Himself alone.
    Himself,
    /// Others, by this row.
    Others(Vec<Member>, String),
    /// Nobody, now or ever.
    Nobody(Report),
}

/// Whether a recipient may stand for others.
#[must_use]
pub fn may_stand_for_others(site: &Site, recipient: &Address) -> bool {
    let tables = site.smapd.people(&site.hostname);
    let has_tables = tables.virtusertable.is_some() || tables.aliases.is_some();
    (has_tables && tables.speak_of(recipient)) || administrator(site, recipient).is_some()
}

/// Who reads mail for the postmaster of this host, where the table says nothing of him (RFC 5321 section 4.5.1).
fn administrator<'a>(site: &'a Site, recipient: &Address) -> Option<&'a Address> {
    let is_ours = recipient.domain().is_none_or(|domain| *domain == site.hostname);
    let administrator = site.smapd.badadmin.as_ref().filter(|_| is_ours && recipient.is_postmaster())?;
    let leads_nowhere = |to| matches!(route(&site.smapd, &site.hostname, to), Route::Nowhere { .. });
    (leads_nowhere(recipient) && !leads_nowhere(administrator)).then_some(administrator)
}

/// Whom a recipient stands for, if no file has to be read for it and they are few.
#[must_use]
pub fn at_once(site: &Site, recipient: &Address) -> Option<Found> {
    let found = expand::at_once(&site.smapd.people(&site.hostname), recipient)?;
    Some(judge(site, recipient, found))
}

/// Whom a recipient stands for.
pub fn whatever_it_takes(
    site: &Site,
    recipient: &Address,
    include: &mut dyn FnMut(&Path) -> Result<Vec<u8>, String>,
) -> Found {
    judge(site, recipient, expand::expand(&site.smapd.people(&site.hostname), recipient, include))
}

fn judge(site: &Site, recipient: &Address, found: expand::Expansion) -> Found {
    let expand::Expansion { recipients, refused } = found;
    // Nothing is begun with before all of it is known.
    if let Some(later) = refused.iter().map(report).find(|report| !report.outcome.is_final()) {
        return Found::Nobody(later);
    }
    let Some(first) = recipients.first() else {
        let nobody = || Report::failed(Status::permanent(1, 1), "nobody stands for this recipient");
        return Found::Nobody(refused.first().map_or_else(nobody, report));
    };
    let rule = first.chain.steps().first().map_or("badadmin".to_owned(), |step| step.place.to_string());
    let found = recipients.into_iter().map(|found| member(site, found));
    let refused = refused.iter().map(|one| {
        let Report { status, reply, .. } = report(one);
        Member { to: Target::Refused(status, reply), owner: None }
    });
    let members: Vec<Member> = found.chain(refused).collect();
    match members.as_slice() {
        [Member { to: Target::Mailbox(address), owner: None }] if is_same(site, address, recipient) => {
            Found::Himself
        }
        _ => Found::Others(members, rule),
    }
}

fn is_same(site: &Site, a: &Address, b: &Address) -> bool {
    let whole = |address: &Address| address.at(address.domain().unwrap_or(&site.hostname).clone());
    whole(a) == whole(b)
}

fn member(site: &Site, Final { to, owner, .. }: Final) -> Member {
    let to = match to {
        expand::Recipient::Mailbox(address) => {
            Target::Mailbox(administrator(site, &address).cloned().unwrap_or(address))
        }
        expand::Recipient::Program(program) => {
            Target::Program(std::iter::once(program.name).chain(program.arguments).collect())
        }
        expand::Recipient::File(file) => Target::File(file),
        expand::Recipient::Nobody => Target::Nobody,
    };
    Member { to, owner: owner.map(|owner| Arc::clone(&owner)) }
}

/// What becomes of a branch that leads to nobody, and by which row.
fn report(Refused { chain, why }: &Refused) -> Report {
    let status = match why {
        Why::Error(Transport::Error { status, code, text }) => {
            return plan::error(*status, format!("{code} {status} {text}"));
        }
        Why::Unreadable(_) => Status::transient(3, 0),
        Why::Error(_) | Why::Bad(_) => Status::permanent(3, 5),
        Why::NoAddress => Status::permanent(1, 3),
        Why::Loop(_) | Why::TooDeep => Status::permanent(4, 6),
        Why::TooMany => Status::permanent(5, 3),
    };
    let reply = match chain.steps().last() {
        Some(step) => format!("{}: {why}", step.place),
        None => why.to_string(),
    };
    plan::error(status, reply)
}

/// What is to be recorded of what was found: nobody gets a message twice because he stands in two places.
#[must_use]
pub fn to_record(everyone: Everyone<'_>, found: &[(u32, Found)]) -> Vec<Expansion> {
    let others: Vec<(u32, &[Member], &str)> = found
        .iter()
        .filter_map(|(of, found)| match found {
            Found::Others(members, rule) => Some((*of, members.as_slice(), rule.as_str())),
            Found::Himself | Found::Nobody(_) => None,
        })
        .collect();
    if others.is_empty() {
        return Vec::new();
    }
    let stand_for_others: HashSet<u32> = others.iter().map(|(of, ..)| *of).collect();
    let themselves = everyone.numbers().filter(|number| !stand_for_others.contains(number));
    let mut known: HashSet<String> =
        themselves.filter_map(|number| everyone.get(number).map(|one| one.to_string())).collect();
    let mut first = everyone.next_number();
    let mut expansions = Vec::with_capacity(others.len());
    for (of, members, rule) in others {
        let is_new = |member: &&Member| {
            matches!(member.to, Target::Refused(..)) || known.insert(member.to.to_string())
        };
        let members: Vec<Member> = members.iter().filter(is_new).cloned().collect();
        let expansion = Expansion { of, first, members, rule: rule.to_owned() };
        first = expansion.end();
        expansions.push(expansion);
    }
    expansions
}
