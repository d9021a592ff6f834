//! Whether a client may connect at all.

use super::{Facts, Question, Reason, RuleSet, Verdict, ruled};
use crate::access::Tag;
use crate::hosts::ClientName;
use crate::schema::Smap;

/// Whether a client may connect at all: `permit-hosts` and `deny-hosts` have the first word, and then `access` has one.
/// As in sendmail a name that cannot be looked up is for `access` as none.
pub fn connect<'a>(smap: &'a Smap, facts: &Facts<'a>) -> Verdict<'a> {
    let by_rules = match smap.hosts.is_empty() {
        true => Verdict::Permit(Reason::NoRules(RuleSet::Hosts)),
        false => ruled(RuleSet::Hosts, &smap.hosts, facts.client),
    };
    let (Some(access), true) = (&smap.access, by_rules.is_permit()) else { return by_rules };
    if facts.client.name == ClientName::NotAsked
        && facts.client.address.is_some()
        && access.connect_needs_name()
    {
        return Verdict::Ask(Question::Name, Reason::FileNeedsName(&access.place));
    }
    match Verdict::of_row(Tag::Connect, access.connect(facts.client)) {
        Ok(verdict) => verdict,
        Err(tried) if smap.hosts.is_empty() => Verdict::Permit(Reason::NoRow(&access.place, tried)),
        Err(_) => by_rules,
    }
}
