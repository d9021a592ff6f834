//! What the next host cannot take, and what becomes of a message then.

use std::io;

use smap_common::smtp::client::{Offers, Transaction, Verdict};
use smap_common::status::Status;

use super::Errand;
use crate::content::{Obstacle, Plan, Reader};

/// The transaction and the text that this host is given. The message is looked at only where the host lacks
/// something.
///
/// # Errors
/// The verdict for all recipients of a message that this host cannot be given.
pub(super) fn fit(
    errand: &Errand,
    offers: Offers,
    buffer: &mut [u8],
) -> Result<(Transaction, Reader), Verdict> {
    let mut transaction = errand.transaction.clone();
    let plan = plan(errand, offers)?;
    let reader = |plan| Reader::new(errand.content.clone(), plan);
    if let Some(plan) = &plan {
        transaction.mail.parameters.body = None;
        transaction.octets =
            reader(Some(plan.clone())).measure(buffer).map_err(|error| unreadable(&error))?;
    }
    Ok((transaction, reader(plan)))
}

fn plan(errand: &Errand, offers: Offers) -> Result<Option<Plan>, Verdict> {
    let international = errand.transaction.mail.parameters.smtputf8;
    if offers.takes_eight_bit() && (offers.smtputf8 || !international) {
        return Ok(None);
    }
    let needs = errand.content.needs().map_err(|error| unreadable(&error))?;
    // RFC 6531 section 3.2; what was never declared to be UTF-8 is only 8-bit.
    if international && !offers.smtputf8 && needs.header {
        let reply = "the next host does not take internationalized headers (SMTPUTF8)".to_owned();
        return Err(Verdict::ours(Status::permanent(6, 9), reply));
    }
    if offers.takes_eight_bit() {
        return Ok(None);
    }
    match &needs.plan {
        Ok(plan) => Ok(plan.clone()),
        Err(obstacle) if needs.header || needs.body => Err(inconvertible(*obstacle)),
        Err(_) => Ok(None),
    }
}

/// RFC 6152 section 3: then it is returned.
fn inconvertible(obstacle: Obstacle) -> Verdict {
    let reply = format!(
        "the next host takes no 8-bit text (8BITMIME), and the message cannot be converted: {obstacle}"
    );
    Verdict::ours(Status::permanent(6, 3), reply)
}

fn unreadable(error: &io::Error) -> Verdict {
    Verdict::ours(Status::transient(3, 0), format!("the spool cannot be read: {error}"))
}
