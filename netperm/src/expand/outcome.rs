//! What an expansion means for a message: to whom it is delivered in the place of a recipient.
//!
//! Pure. Decides who reads mail for a postmaster of whom the table says nothing, and whether what was found is enough
//! to begin with. Guarantees that nobody is delivered to before all are known, and that nobody is named twice.
#![deny(clippy::disallowed_methods)]

use std::collections::HashSet;
use std::path::Path;

use smap_common::address::{Address, Domain};

use super::{Chain, Expansion, Final, Recipient, Refused, Why};
use crate::policy::{Route, route};
use crate::schema::Smapd;

/// To whom a message for a recipient is delivered.
#[derive(Debug, Clone, PartialEq, Eq)]
#[must_use]
pub enum Outcome {
    /// To himself alone.
    Himself(Member),
    /// To others.
    Others {
        /// They, in the order of the rows. Never empty.
        members: Vec<Member>,
        /// What could not be followed, now or ever.
        refused: Vec<Refused>,
    },
    /// To nobody before this can be followed.
    NotNow(Nobody),
    /// To nobody, now or ever.
    No(Nobody),
}

/// One of those to whom it is delivered.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Member {
    /// He, and what led to him.
    pub found: Final,
    /// The postmaster whose mail he reads as the administrator, where he does.
    pub postmaster: Option<Address>,
}

/// Why it is delivered to nobody.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Nobody {
    /// What is said of it.
    pub why: Refused,
    /// What else stands in the way.
    pub more: Vec<Refused>,
}

impl Outcome {
    /// What becomes of a recipient. `include` reads an included file, or tells why it cannot be read.
    pub fn of(
        smapd: &Smapd,
        hostname: &Domain,
        recipient: &Address,
        include: &mut dyn FnMut(&Path) -> Result<Vec<u8>, String>,
    ) -> Self {
        let found = super::expand(&smapd.people(hostname), recipient, include);
        Self::judge(smapd, hostname, recipient, found)
    }

    /// The same where no file has to be read for it and they are few; nothing otherwise.
    #[must_use]
    pub fn at_once(smapd: &Smapd, hostname: &Domain, recipient: &Address) -> Option<Self> {
        let found = super::at_once(&smapd.people(hostname), recipient)?;
        Some(Self::judge(smapd, hostname, recipient, found))
    }

    fn judge(smapd: &Smapd, hostname: &Domain, recipient: &Address, found: Expansion) -> Self {
        let Expansion { recipients, refused } = found;
        let (later, never): (Vec<_>, Vec<_>) = refused.into_iter().partition(Refused::is_for_now);
        // Nothing is begun with before all of it is known.
        if let Some(nobody) = Nobody::of(later) {
            return Self::NotNow(nobody);
        }
        if recipients.is_empty() {
            let nobody = || Refused { chain: Chain::default(), why: Why::Nobody };
            let no = Nobody::of(never);
            return Self::No(no.unwrap_or_else(|| Nobody { why: nobody(), more: Vec::new() }));
        }
        let members: Vec<Member> =
            recipients.into_iter().map(|found| Member::of(smapd, hostname, found)).collect();
        match members.as_slice() {
            [one] if never.is_empty() && one.is(hostname, recipient) => Self::Himself(one.clone()),
            _ => Self::Others { members: each_once(members), refused: never },
        }
    }
}

impl Member {
    fn of(smapd: &Smapd, hostname: &Domain, found: Final) -> Self {
        let administrator = match &found.to {
            Recipient::Mailbox(address) => administrator(smapd, hostname, address).cloned(),
            _ => None,
        };
        match (administrator, found) {
            (Some(administrator), Final { to: Recipient::Mailbox(postmaster), chain, owner }) => {
                let found = Final { to: Recipient::Mailbox(administrator), chain, owner };
                Self { found, postmaster: Some(postmaster) }
            }
            (_, found) => Self { found, postmaster: None },
        }
    }

    /// Whether he is this one, to whom nothing changes.
    fn is(&self, hostname: &Domain, recipient: &Address) -> bool {
        let whole = |address: &Address| address.at(address.domain().unwrap_or(hostname).clone());
        let Final { to: Recipient::Mailbox(address), owner: None, .. } = &self.found else { return false };
        whole(address) == whole(recipient)
    }
}

impl Nobody {
    fn of(refused: Vec<Refused>) -> Option<Self> {
        let mut refused = refused.into_iter();
        Some(Self { why: refused.next()?, more: refused.collect() })
    }
}

/// The administrator may stand there as himself, too.
fn each_once(mut members: Vec<Member>) -> Vec<Member> {
    if members.iter().any(|member| member.postmaster.is_some()) {
        let mut known = HashSet::new();
        members.retain(|member| known.insert(member.found.to.to_string()));
    }
    members
}

/// Who reads mail for the postmaster of this host, where the table says nothing of him (RFC 5321 section 4.5.1).
#[must_use]
pub fn administrator<'a>(smapd: &'a Smapd, hostname: &Domain, recipient: &Address) -> Option<&'a Address> {
    let is_ours = recipient.domain().is_none_or(|domain| domain == hostname);
    let administrator = smapd.badadmin.as_ref().filter(|_| is_ours && recipient.is_postmaster())?;
    let leads_nowhere = |to| matches!(route(smapd, hostname, to), Route::Nowhere { .. });
    (leads_nowhere(recipient) && !leads_nowhere(administrator)).then_some(administrator)
}
