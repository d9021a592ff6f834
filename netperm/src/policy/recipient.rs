//! Whether a recipient is accepted: everything that is asked at RCPT, in its order.

use smap_common::address::{Address, Domain};

use super::relay::relay;
use super::{Facts, Question, Reason, Verdict};
use crate::recipients::{self, Exists};
use crate::schema::{Outage, Smap};

/// Whether a recipient is accepted: mail for him has to be taken from this client, and then he has to exist.
/// `hostname` is our own name, from the table or the system.
pub fn recipient<'a>(
    smap: &'a Smap,
    hostname: &'a Domain,
    facts: &Facts<'a>,
    recipient: &Address,
) -> Verdict<'a> {
    let relayed = relay(smap, hostname, facts, recipient);
    if !relayed.is_permit() {
        return relayed;
    }
    match recipients::exists(&smap.people(hostname), facts.answers, recipient) {
        Exists::Yes(recipients::Reason::NoLine | recipients::Reason::Postmaster) => relayed,
        Exists::Yes(reason) => Verdict::Permit(Reason::Exists(reason)),
        Exists::No(reason) => Verdict::Refuse(Reason::Exists(reason)),
        Exists::NotNow(reason @ recipients::Reason::Failed(_, recipients::Question::CallOut(_), _))
            if smap.callout_outage == Outage::Accept =>
        {
            Verdict::Permit(Reason::Exists(reason))
        }
        Exists::NotNow(reason) => Verdict::NotNow(Reason::Exists(reason)),
        Exists::Ask(question, line) => Verdict::Ask(
            Question::Exists(question.clone()),
            Reason::Exists(recipients::Reason::Asked(line, question)),
        ),
    }
}
