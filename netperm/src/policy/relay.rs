//! Whether mail for a recipient is taken: because his domain is ours, or because the client may relay.

use smap_common::address::{Address, Domain};

use super::{Facts, Judged, Question, Reason, RuleSet, Verdict, ruled};
use crate::access::{Search, Tag};
use crate::domains;
use crate::hosts::ClientName;
use crate::mailertable::Key;
use crate::names;
use crate::schema::Smap;
use crate::tables::Damaged;

/// Whether mail for a recipient is taken from this client, whether he exists or not. `hostname` is our own name, from
/// the table or the system.
pub fn relay<'a>(
    smap: &'a Smap,
    hostname: &'a Domain,
    facts: &Facts<'a>,
    recipient: &Address,
) -> Verdict<'a> {
    let Some(domain) = recipient.domain() else {
        return Verdict::Permit(Reason::Postmaster);
    };
    let ours = match ours(smap, hostname, recipient, domain) {
        Ok(ours) => ours,
        Err(damaged) => return Verdict::NotNow(Reason::Damaged(damaged)),
    };
    if let Some(access) = &smap.access {
        let said = Verdict::of_row(Tag::To, access.recipient(recipient, ours.is_some()));
        if let Ok(verdict @ (Verdict::Refuse(_) | Verdict::Discard(_))) = said {
            return verdict;
        }
    }
    let taken = match ours {
        Some(reason) => Ok(Some(reason)),
        None => relayed_to(smap, recipient, domain),
    };
    let taken = match taken {
        Ok(taken) => taken,
        Err(damaged) => return Verdict::NotNow(Reason::Damaged(damaged)),
    };
    match taken {
        None => may_relay(smap, facts),
        Some(reason) if !names_a_further_host(recipient) => Verdict::Permit(reason),
        Some(_) => match may_relay(smap, facts) {
            Verdict::Refuse(_) => Verdict::Refuse(Reason::Routed),
            verdict => verdict,
        },
    }
}

/// Why, if there is a reason, as far as that can be told.
type Why<'a> = Result<Option<Reason<'a>>, Damaged>;

/// Why we answer for a domain.
fn ours<'a>(smap: &'a Smap, hostname: &'a Domain, recipient: &Address, domain: &Domain) -> Why<'a> {
    if let Some(line) = domains::first_line(&smap.domain, domain) {
        return Ok(Some(Reason::OurDomain(line)));
    }
    if domain == hostname {
        return Ok(Some(Reason::OwnHostname));
    }
    let line = smap.local_host_names.as_ref().map_or(Ok(None), |names| names.has(domain))?;
    if let Some(line) = line {
        return Ok(Some(Reason::LocalHostName(line)));
    }
    let in_mailertable = smap.mailertable.as_ref().and_then(|table| table.find(domain));
    if let Some((entry, _)) = in_mailertable {
        if let Some(damaged) = &entry.damaged {
            return Err(damaged.clone());
        }
        if entry.key != Key::Every {
            return Ok(Some(Reason::Mailertable(entry)));
        }
    }
    let virtual_row = smap.people(hostname).virtual_row(recipient);
    Ok(virtual_row.map(|(row, _)| Reason::Virtusertable(row)))
}

/// Why everyone may send to a domain although it is not ours.
fn relayed_to<'a>(smap: &'a Smap, recipient: &Address, domain: &Domain) -> Why<'a> {
    let line = smap.relay_domains.as_ref().map_or(Ok(None), |names| names.covers(domain))?;
    if let Some(line) = line {
        return Ok(Some(Reason::RelayDomain(line)));
    }
    let Some(access) = &smap.access else { return Ok(None) };
    let Search { row, tried, damaged } = access.relay_to(recipient);
    match damaged {
        Some(damaged) => Err(damaged),
        None => Ok(row.map(|row| Reason::Access(Judged { asked: Tag::To, row, tried }))),
    }
}

/// What sendmail takes for a route in a local part, and the next host may: `victim%example.net@example.org`.
fn names_a_further_host(recipient: &Address) -> bool {
    recipient.local_part().contains(['%', '!', '@', ':'])
}

/// Whether a client may send to any domain: `permit-relay` and `deny-relay` have the first word; then what knows it by
/// its address; at last what knows it by its name, which must have been confirmed.
pub fn may_relay<'a>(smap: &'a Smap, facts: &Facts<'a>) -> Verdict<'a> {
    let by_rules = ruled(RuleSet::Relay, &smap.relay, facts.client);
    match &by_rules {
        Verdict::Refuse(Reason::NoRules(_) | Reason::NoRuleMeant(_)) => {}
        _ => return by_rules,
    }
    if smap.access.is_none() && smap.relay_domains.is_none() {
        return by_rules;
    }
    let mut tried = Vec::new();
    by_address(smap, facts, &mut tried)
        .or_else(|| by_name(smap, facts, &mut tried))
        .unwrap_or(Verdict::Refuse(Reason::MayNotRelay(tried)))
}

fn by_address<'a>(smap: &'a Smap, facts: &Facts<'a>, tried: &mut Vec<String>) -> Option<Verdict<'a>> {
    let address = facts.client.address?;
    match smap.relay_domains.as_ref().map_or(Ok(None), |names| names.covers_address(address)) {
        Ok(None) => {}
        found => return of_line(found),
    }
    found(smap.access.as_ref()?.relay_from(address), tried)
}

fn by_name<'a>(smap: &'a Smap, facts: &Facts<'a>, tried: &mut Vec<String>) -> Option<Verdict<'a>> {
    facts.client.address?;
    let of_domains = smap.relay_domains.as_ref().filter(|names| names.has_domains());
    let of_access = smap.access.as_ref().filter(|access| access.relay_needs_name());
    let place = of_access.map(|access| &access.place).or(of_domains.map(|names| &names.place))?;
    match &facts.client.name {
        ClientName::NotAsked => Some(Verdict::Ask(Question::Name, Reason::FileNeedsName(place))),
        ClientName::Failed(why) => Some(Verdict::NotNow(Reason::FileNameFailed(place, why))),
        ClientName::Unknown => None,
        ClientName::Known(names) => {
            let mut lines = names.iter().filter_map(|name| of_line(of_domains?.covers_name(name.as_str())));
            lines.next().or_else(|| found(of_access?.relay_from_names(names), tried))
        }
    }
}

fn of_line<'a>(line: names::Found) -> Option<Verdict<'a>> {
    match line {
        Ok(line) => line.map(|line| Verdict::Permit(Reason::RelayDomain(line))),
        Err(damaged) => Some(Verdict::NotNow(Reason::Damaged(damaged))),
    }
}

fn found<'a>(search: Search, tried: &mut Vec<String>) -> Option<Verdict<'a>> {
    tried.extend(search.tried);
    if let Some(damaged) = search.damaged {
        return Some(Verdict::NotNow(Reason::Damaged(damaged)));
    }
    let row = search.row?;
    let tried = std::mem::take(tried);
    Some(Verdict::Permit(Reason::Access(Judged { asked: Tag::Connect, row, tried })))
}
