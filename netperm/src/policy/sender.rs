//! Whether mail from a sender is accepted.

use smap_common::address::ReversePath;

use super::{Facts, Reason, Verdict};
use crate::access::Tag;
use crate::schema::Smap;

/// Whether mail from the session's sender is accepted. It is never a reason to relay.
pub fn sender<'a>(smap: &'a Smap, facts: &Facts<'a>) -> Verdict<'a> {
    let Some(ReversePath::Mailbox(sender)) = facts.sender else {
        return Verdict::Permit(Reason::NullSender);
    };
    let Some(access) = &smap.access else { return Verdict::Permit(Reason::NoAccess) };
    Verdict::of_row(Tag::From, access.sender(sender))
        .unwrap_or_else(|tried| Verdict::Permit(Reason::NoRow(&access.place, tried)))
}
