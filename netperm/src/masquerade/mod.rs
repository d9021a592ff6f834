//! Masquerading: hosts inside appear as one domain outside, as sendmail's features of these names have it
//! (`MASQUERADE_AS`, `MASQUERADE_DOMAIN`, `EXPOSED_USER`, `masquerade_envelope`, `allmasquerade`,
//! `limited_masquerade`, `always_add_domain`; its ruleset MasqHdr).
//!
//! Decides the domain of an address, and of the addresses in header fields. It is for mail of clients inside: the
//! caller knows who they are. Trusts nothing of a message. Guarantees that only domains change, or are added where
//! there are none; every other octet stays, and a field that cannot be read stays whole.
#![deny(clippy::disallowed_methods)]

mod fields;
mod list;

use std::collections::HashSet;

use smap_common::address::{Address, Domain, ReversePath};

use crate::domains::DomainPattern;
use crate::schema::Smapd;

pub use self::fields::{Direction, direction};

#[cfg(test)]
mod tests;

/// What is to be made of addresses.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Masquerade {
    /// Our own name: of exposed users who have no domain.
    hostname: Domain,
    /// The names that this host is itself known by (sendmail's class w).
    ours: HashSet<Domain>,
    /// `masquerade-as`
    domain: Option<Domain>,
    /// `masquerade-domain`
    hidden: Vec<DomainPattern>,
    /// `exposed-user`, as written: case does not matter.
    exposed: Vec<String>,
    /// `masquerade-envelope`
    envelope: bool,
    /// `masquerade-recipients`
    recipients: bool,
    /// `masquerade-limited`
    limited: bool,
    /// `always-add-domain`
    added: Option<Domain>,
}

impl Masquerade {
    /// What the table says. `ours` are the names that this host is known by, beside its `hostname`.
    #[must_use]
    pub fn new(smapd: &Smapd, hostname: &Domain, ours: impl IntoIterator<Item = Domain>) -> Self {
        Self {
            hostname: hostname.clone(),
            ours: ours.into_iter().chain([hostname.clone()]).collect(),
            domain: smapd.masquerade_as.as_ref().map(|line| line.value.0.clone()),
            hidden: smapd.masquerade_domain.iter().flat_map(|line| &line.value.0).cloned().collect(),
            exposed: smapd.exposed_user.iter().flat_map(|line| &line.value.0).cloned().collect(),
            envelope: smapd.masquerade_envelope.is_some(),
            recipients: smapd.masquerade_recipients.is_some(),
            limited: smapd.masquerade_limited.is_some(),
            added: smapd.always_add_domain.as_ref().map(|line| line.value.0.clone()),
        }
    }

    /// The same with the names of `local-host-names`.
    #[must_use]
    pub fn of(smapd: &Smapd, hostname: &Domain) -> Self {
        let lines = smapd.local_host_names.iter().flat_map(|names| names.lines());
        Self::new(smapd, hostname, lines.filter_map(|(name, _)| name.parse().ok()))
    }

    /// Whether no address would be changed.
    #[must_use]
    pub fn is_idle(&self) -> bool {
        self.domain.is_none() && self.added.is_none()
    }

    /// The sender of the envelope: only where `masquerade-envelope` says so.
    #[must_use]
    pub fn envelope(&self, sender: &ReversePath) -> ReversePath {
        let address = sender.address().filter(|_| self.envelope);
        let changed = address.and_then(|address| self.sender(address));
        changed.map_or_else(|| sender.clone(), ReversePath::Mailbox)
    }

    /// A sender in a header field; nothing where it stays as it is.
    #[must_use]
    pub fn sender(&self, address: &Address) -> Option<Address> {
        let domain = self.domain_of(Direction::Sender, address.local_part(), address.domain())?;
        Some(address.at(domain.clone()))
    }

    /// A recipient in a header field; nothing where it stays as it is.
    #[must_use]
    pub fn recipient(&self, address: &Address) -> Option<Address> {
        let domain = self.domain_of(Direction::Recipient, address.local_part(), address.domain())?;
        Some(address.at(domain.clone()))
    }

    /// The value of a header field, from behind its colon to its end, folded as it is; nothing where it stays as it
    /// is.
    #[must_use]
    pub fn field(&self, name: &[u8], value: &[u8]) -> Option<Vec<u8>> {
        let direction = direction(name).filter(|_| !self.is_idle())?;
        fields::rewrite(value, |local, domain| self.domain_of(direction, local, domain))
    }

    /// The domain that takes the place of this one, if any does.
    fn domain_of(&self, direction: Direction, local: &str, domain: Option<&Domain>) -> Option<&Domain> {
        let masquerading = match direction {
            Direction::Sender => self.domain.as_ref(),
            Direction::Recipient => self.domain.as_ref().filter(|_| self.recipients),
        };
        let is_exposed = self.exposed.iter().any(|user| user.eq_ignore_ascii_case(local));
        let Some(domain) = domain else {
            // always_add_domain adds a name that sendmail takes for another host's: it is not hidden any more.
            let qualified = masquerading.map(|hidden| if is_exposed { &self.hostname } else { hidden });
            return self.added.as_ref().or(qualified);
        };
        let masked = masquerading.filter(|_| !is_exposed && self.is_hidden(domain))?;
        (masked != domain).then_some(masked)
    }

    fn is_hidden(&self, domain: &Domain) -> bool {
        let listed = || self.hidden.iter().any(|pattern| pattern.matches(domain));
        listed() || (!self.limited && (self.ours.contains(domain) || domain.name() == Some("localhost")))
    }
}
