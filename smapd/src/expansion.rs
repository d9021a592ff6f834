//! Whom the recipients of a message stand for, as the tables say now.
//!
//! Decides whether a recipient stands for others, what becomes of him where nobody can be found, and who stands in
//! several places. Pure but for what reads an included file, which the caller hands in. What it finds is to be recorded
//! before anybody of it is delivered to.
#![deny(clippy::disallowed_methods)]

use std::collections::HashSet;
use std::path::Path;
use std::sync::Arc;

use netperm::expand::{self, Final, Nobody, Outcome, Recipient, administrator};
use netperm::site::Site;
use smap_common::address::Address;
use smap_common::spool::{Everyone, Expansion, Member, Target};

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
    let is_administrators = || administrator(&site.smapd, &site.hostname, recipient).is_some();
    (has_tables && tables.speak_of(recipient)) || is_administrators()
}

/// Whom a recipient stands for, if no file has to be read for it and they are few.
#[must_use]
pub fn at_once(site: &Site, recipient: &Address) -> Option<Found> {
    Outcome::at_once(&site.smapd, &site.hostname, recipient).map(found)
}

/// Whom a recipient stands for.
pub fn whatever_it_takes(
    site: &Site,
    recipient: &Address,
    include: &mut dyn FnMut(&Path) -> Result<Vec<u8>, String>,
) -> Found {
    found(Outcome::of(&site.smapd, &site.hostname, recipient, include))
}

fn found(outcome: Outcome) -> Found {
    match outcome {
        Outcome::Himself(_) => Found::Himself,
        Outcome::Others { members, refused } => {
            let first = members.first().and_then(|first| first.found.chain.steps().first().copied());
            let rule = first.map_or("badadmin".to_owned(), |step| step.place.to_string());
            let refused = refused
                .iter()
                .map(|one| Member { to: Target::Refused(one.status(), one.reply()), owner: None });
            Found::Others(members.into_iter().map(member).chain(refused).collect(), rule)
        }
        Outcome::NotNow(Nobody { why, .. }) | Outcome::No(Nobody { why, .. }) => {
            Found::Nobody(plan::error(why.status(), why.reply()))
        }
    }
}

fn member(expand::Member { found: Final { to, owner, .. }, .. }: expand::Member) -> Member {
    let to = match to {
        Recipient::Mailbox(address) => Target::Mailbox(address),
        Recipient::Program(program) => {
            Target::Program(std::iter::once(program.name).chain(program.arguments).collect())
        }
        Recipient::File(file) => Target::File(file),
        Recipient::Nobody => Target::Nobody,
    };
    Member { to, owner: owner.map(|owner| Arc::clone(&owner)) }
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
