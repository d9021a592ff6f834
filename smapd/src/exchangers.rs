#![deny(clippy::disallowed_methods)]
//! Which hosts take the mail of a domain, and what becomes of mail where none does.

use std::borrow::Cow;
use std::collections::HashMap;
use std::net::IpAddr;

use netperm::exchangers::{self, Nowhere};
pub use netperm::exchangers::{Exchanger, Failure, Ourselves, Outcome};
use netperm::site::Site;
use smap_common::spool::Outcome as Ending;
use smap_common::status::{Class, Status};

use crate::delivery::Report;
use crate::plan::labels;

#[cfg(test)]
mod tests;

/// What of the network is this gateway.
#[must_use]
pub fn ourselves(site: &Site, interfaces: &[IpAddr]) -> Ourselves {
    let name = site.hostname.to_string();
    let name = labels::to_ascii(&name).map(Cow::into_owned).unwrap_or(name);
    Ourselves::of(site, name, interfaces)
}

impl From<Nowhere> for Report {
    fn from(Nowhere { status, text }: Nowhere) -> Self {
        match status.class() {
            Class::Permanent => Self::failed(status, text),
            Class::Transient | Class::Success => Self::deferred(status, text),
        }
    }
}

/// Mail for this domain comes back to us.
pub fn loops_back(domain: &str) -> Report {
    exchangers::loops_back(domain).into()
}

/// The hosts to look up for a domain, in the order in which they are to be tried, by what is said of its exchangers.
///
/// # Errors
/// What becomes of its mail if there are none.
pub fn hosts(
    domain: &str,
    answer: &Outcome<Exchanger>,
    ours: &Ourselves,
    seed: u64,
) -> Result<Vec<Exchanger>, Report> {
    exchangers::hosts(domain, answer, ours, seed).map_err(Report::from)
}

/// Where to connect to, in order, once everything is known of the addresses of the hosts.
///
/// # Errors
/// What becomes of the mail if there is nowhere to connect to.
pub fn places(
    domain: &str,
    hosts: &[Exchanger],
    found: &HashMap<String, Outcome<IpAddr>>,
    ours: &Ourselves,
) -> Result<Vec<(String, IpAddr)>, Report> {
    exchangers::places(domain, hosts, found, ours).map_err(Report::from)
}

/// The same, for mail whose next host the table has named: mail does not suffer for a slip of the administrator's.
pub fn to_be_mended(report: Report) -> Report {
    match report.outcome {
        Ending::Failed => Report::deferred(Status::transient(3, 5), report.reply),
        Ending::Deferred | Ending::Delivered => report,
    }
}
