//! Which messages are listed.
#![deny(clippy::disallowed_methods)]

use netperm::hosts::glob_matches;
use smap_common::address::Domain;
use smap_common::clock::Timestamp;

use super::entry::Entry;
use crate::arguments::Filter;

impl Filter {
    /// Whether nothing is left out, also what is no message.
    #[must_use]
    pub fn wants_all(&self) -> bool {
        let Self { sender, recipient, domain, older, held } = self;
        sender.is_none() && recipient.is_none() && domain.is_none() && older.is_none() && !held
    }

    /// Whether this one is wanted; an address without a domain is in ours.
    #[must_use]
    pub fn wants(&self, entry: &Entry, hostname: &Domain, now: Timestamp) -> bool {
        let Entry::Message { arrived, sender, recipients, held, .. } = entry else { return self.wants_all() };
        let is_like = |pattern: &Option<String>, address: &str| {
            pattern.as_deref().is_none_or(|pattern| glob_matches(&plain(pattern), &plain(address)))
        };
        let has = |wanted: &dyn Fn(&str) -> bool| {
            recipients
                .iter()
                .flat_map(|one| std::iter::once(&one.address).chain(&one.original))
                .any(|it| wanted(it))
        };
        is_like(&self.sender, sender)
            && (self.recipient.is_none() || has(&|one| is_like(&self.recipient, one)))
            && self.domain.as_deref().is_none_or(|domain| has(&|one| is_in(domain, one, hostname)))
            && self.older.is_none_or(|older| now.since(*arrived) >= older)
            && (!self.held || *held)
    }
}

/// Without angle brackets, in small letters.
fn plain(address: &str) -> String {
    let inside = address.strip_prefix('<').and_then(|rest| rest.strip_suffix('>'));
    inside.unwrap_or(address).to_lowercase()
}

fn is_in(domain: &str, address: &str, hostname: &Domain) -> bool {
    match plain(address).rsplit_once('@') {
        Some((_, its)) => its == domain.to_lowercase(),
        None => hostname.to_string().eq_ignore_ascii_case(domain),
    }
}
