//! Where mail for a recipient goes.

use std::borrow::Cow;
use std::sync::LazyLock;

use smap_common::address::{Address, Domain};

use super::Reason;
use crate::domains;
use crate::schema::Smapd;
use crate::transport::{NextHop, Tls, Transport};

/// Most transports that are looked up for one recipient: `local:` leads to the next one, and may lead in a circle.
pub const MOST_LOCAL: usize = 5;

/// Where mail goes, and why.
#[derive(Debug, Clone, PartialEq, Eq)]
#[must_use]
pub enum Route<'a> {
    /// Through this transport. After a [`Transport::Local`] the caller asks again for [`at_home`]; that ends,
    /// because a name that leads to itself is [`Route::Nowhere`].
    Through {
        /// The transport.
        transport: Cow<'a, Transport>,
        /// Why this one.
        reason: Reason<'a>,
    },
    /// The table does not say where.
    Nowhere {
        /// Why not.
        reason: Reason<'a>,
        /// A line that would say it.
        add: String,
    },
}

/// The default of `relay-host`.
static BY_MX: LazyLock<Transport> = LazyLock::new(|| Transport::Smtp {
    hops: vec![NextHop::RecipientDomain],
    tls: Tls::default(),
    timeout: None,
});

/// Where all mail goes in the toolkit's own tables.
static SENDMAIL: Transport = Transport::Sendmail { timeout: None };

/// Where mail goes that a damaged table may speak of.
static LATER: LazyLock<Transport> = LazyLock::new(Transport::later);

/// Where mail for a recipient goes. `hostname` is our own name, from the table or the system; the bare
/// `postmaster` is at home there.
pub fn route<'a>(smapd: &'a Smapd, hostname: &Domain, recipient: &Address) -> Route<'a> {
    let domain = recipient.domain().unwrap_or(hostname);
    if let Some(line) = domains::first_line(&smapd.domain, domain) {
        let transport = &line.transport;
        let itself = matches!(transport, Transport::Local(user) if user == recipient.local_part());
        if itself && domain == hostname {
            return nowhere(Reason::LocalLoop(line), domain);
        }
        return through(transport, Reason::OurDomain(line));
    }
    let ours = match smapd.local_host_names.as_ref().map_or(Ok(None), |names| names.has(domain)) {
        Ok(ours) => ours,
        Err(damaged) => return through(&LATER, Reason::Damaged(damaged)),
    };
    if let (Some(line), Some(name)) = (domains::first_line(&smapd.domain, hostname), &ours) {
        return through(&line.transport, Reason::OurName(line, name.clone()));
    }
    if domain == hostname || ours.is_some() {
        return match (&smapd.sendmail, ours) {
            (Some(program), _) => through(&SENDMAIL, Reason::Sendmail(program)),
            (None, Some(line)) if domain != hostname => nowhere(Reason::NoLocalTransport(line), domain),
            (None, _) => nowhere(Reason::NoTransport, domain),
        };
    }
    if let Some((entry, wildcard)) = smapd.mailertable.as_ref().and_then(|table| table.find(domain)) {
        let transport = Cow::Owned(entry.transport(recipient, wildcard).into_owned());
        return Route::Through { transport, reason: Reason::Mailertable(entry) };
    }
    match (&smapd.sendmail, &smapd.relay_host) {
        (Some(program), _) if !names_another_way(smapd) => through(&SENDMAIL, Reason::Sendmail(program)),
        (_, Some(relay)) => through(relay, Reason::RelayHost(relay)),
        (_, None) => through(&BY_MX, Reason::ByMx),
    }
}

/// The recipient after a [`Transport::Local`]: that user at our own host name.
#[must_use]
pub fn at_home(recipient: &Address, user: &str, hostname: &Domain) -> Option<Address> {
    if user == recipient.local_part() {
        // It may need quotes.
        return Some(recipient.at(hostname.clone()));
    }
    format!("{user}@{hostname}").parse().ok()
}

/// Whether any line sends mail elsewhere than to the `sendmail` program.
fn names_another_way(smapd: &Smapd) -> bool {
    let mut transports = smapd.transports().map(|(_, transport)| transport);
    let mut mailertable = smapd.mailertable.iter();
    transports.any(Transport::is_another_way) || mailertable.any(|table| table.is_another_way())
}

fn through<'a>(transport: &'a Transport, reason: Reason<'a>) -> Route<'a> {
    Route::Through { transport: Cow::Borrowed(transport), reason }
}

fn nowhere<'a>(reason: Reason<'a>, domain: &Domain) -> Route<'a> {
    Route::Nowhere { reason, add: format!("smap, smapd: domain {domain} smtp:[10.0.0.5]") }
}
