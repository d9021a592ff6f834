//! What the table means for a client or a recipient.
//!
//! Decides who may connect, whose mail is accepted and where mail goes. Trusts the table and the addresses
//! that `smap-common` parsed; a local part is never looked into, so that no `%`, `!` or quoted `@` in it can
//! name another domain. Guarantees that every answer names the line, or the default, that gave it.
#![deny(clippy::disallowed_methods)]

use std::borrow::Cow;
use std::fmt;
use std::sync::LazyLock;

use smap_common::address::{Address, Domain};

use crate::domains::{self, DomainLine};
use crate::hosts::{self, Client, ClientName, Effect, Judgement, Rule};
use crate::mailertable;
use crate::place::Located;
use crate::schema::{FilePath, Smap, Smapd};
use crate::transport::{NextHop, Tls, Transport};

#[cfg(test)]
mod tests;

/// Whether, and why.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[must_use]
pub enum Verdict<'a> {
    /// Yes.
    Permit(Reason<'a>),
    /// No.
    Refuse(Reason<'a>),
    /// Neither, before the name of the client has been asked for.
    Ask(Reason<'a>),
    /// Neither, because the name of the client cannot be looked up now: the client may come back.
    NotNow(Reason<'a>),
}

impl<'a> Verdict<'a> {
    /// Why.
    pub fn reason(self) -> Reason<'a> {
        match self {
            Self::Permit(reason) | Self::Refuse(reason) | Self::Ask(reason) | Self::NotNow(reason) => reason,
        }
    }

    /// Whether it is a yes.
    #[must_use]
    pub fn is_permit(self) -> bool {
        matches!(self, Self::Permit(_))
    }
}

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

/// A set of rules.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RuleSet {
    /// `permit-hosts`, `deny-hosts`
    Hosts,
    /// `permit-relay`, `deny-relay`
    Relay,
}

impl RuleSet {
    const fn word(self) -> &'static str {
        match self {
            Self::Hosts => "hosts",
            Self::Relay => "relay",
        }
    }
}

/// What decided.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[must_use]
pub enum Reason<'a> {
    /// This rule means the client.
    Rule(RuleSet, &'a Located<Rule>),
    /// There are no such rules.
    NoRules(RuleSet),
    /// There are such rules, and none means the client.
    NoRuleMeant(RuleSet),
    /// This rule needs the name of the client, and nobody asked for it.
    NeedsName(RuleSet, &'a Located<Rule>),
    /// This rule needs the name of the client, which is not known now, and why.
    NameFailed(RuleSet, &'a Located<Rule>, &'a str),
    /// This line names the domain.
    OurDomain(&'a Located<DomainLine>),
    /// The domain is our own host name.
    OwnHostname,
    /// The bare `postmaster`, who is always accepted (RFC 5321 section 4.5.1).
    Postmaster,
    /// This line of the mailertable names the domain.
    Mailertable(&'a Located<mailertable::Entry>),
    /// The `relay-host` line.
    RelayHost(&'a Located<Transport>),
    /// The `sendmail` line: the toolkit's own way.
    Sendmail(&'a Located<FilePath>),
    /// No line speaks of the domain: by MX.
    ByMx,
    /// No line says where mail for our own host name goes.
    NoTransport,
    /// This line leads a local user to himself.
    LocalLoop(&'a Located<DomainLine>),
}

impl Reason<'_> {
    /// One word for the log.
    #[must_use]
    pub const fn id(&self) -> &'static str {
        match self {
            Self::Rule(..) => "rule",
            Self::NoRules(_) => "no-rules",
            Self::NoRuleMeant(_) => "no-rule-meant",
            Self::NeedsName(..) => "needs-name",
            Self::NameFailed(..) => "name-failed",
            Self::OurDomain(_) => "domain",
            Self::OwnHostname => "own-hostname",
            Self::Postmaster => "postmaster",
            Self::Mailertable(_) => "mailertable",
            Self::RelayHost(_) => "relay-host",
            Self::Sendmail(_) => "sendmail",
            Self::ByMx => "by-mx",
            Self::NoTransport => "no-transport",
            Self::LocalLoop(_) => "local-loop",
        }
    }
}

impl fmt::Display for Reason<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Rule(set, rule) => write!(f, "{}: {}", rule.place, rule.show(set.word())),
            Self::NoRules(set) => write!(f, "there is no permit-{0} or deny-{0} line", set.word()),
            Self::NoRuleMeant(set) => {
                write!(f, "no permit-{0} or deny-{0} line means this client", set.word())
            }
            Self::NeedsName(set, rule) => {
                write!(f, "{}: {} needs the name of the client", rule.place, rule.show(set.word()))
            }
            Self::NameFailed(set, rule, why) => {
                write!(f, "{}: {} needs the name of the client: {why}", rule.place, rule.show(set.word()))
            }
            Self::OurDomain(line) => write!(f, "{}: domain {}", line.place, line.value),
            Self::OwnHostname => f.write_str("the domain is our own host name"),
            Self::Postmaster => f.write_str("postmaster is always accepted"),
            Self::Mailertable(entry) => write!(f, "{}: mailertable {}", entry.place, entry.value),
            Self::RelayHost(relay) => write!(f, "{}: relay-host {}", relay.place, relay.value),
            Self::Sendmail(program) => write!(f, "{}: sendmail {}", program.place, program.0.display()),
            Self::ByMx => f.write_str("no line speaks of this domain, so its mail exchangers do"),
            Self::NoTransport => f.write_str("no line says where mail for our own host name goes"),
            Self::LocalLoop(line) => write!(f, "{}: domain {} leads to itself", line.place, line.value),
        }
    }
}

/// Whether a client may connect at all.
pub fn connect<'a>(smap: &'a Smap, client: &'a Client) -> Verdict<'a> {
    if smap.hosts.is_empty() {
        return Verdict::Permit(Reason::NoRules(RuleSet::Hosts));
    }
    ruled(RuleSet::Hosts, &smap.hosts, client)
}

/// Whether mail for a recipient is accepted. `hostname` is our own name, from the table or the system.
pub fn recipient<'a>(
    smap: &'a Smap,
    hostname: &Domain,
    client: &'a Client,
    recipient: &Address,
) -> Verdict<'a> {
    let Some(domain) = recipient.domain() else {
        return Verdict::Permit(Reason::Postmaster);
    };
    if let Some(line) = domains::first_line(&smap.domain, domain) {
        return Verdict::Permit(Reason::OurDomain(line));
    }
    if domain == hostname {
        return Verdict::Permit(Reason::OwnHostname);
    }
    ruled(RuleSet::Relay, &smap.relay, client)
}

/// Why the name of this client may have to be asked for, if it may: what its address alone decides is decided.
#[must_use]
pub fn may_need_name<'a>(smap: &'a Smap, client: &'a Client) -> Option<Reason<'a>> {
    let needs = |verdict| match verdict {
        Verdict::Ask(reason) => Some(reason),
        Verdict::Permit(_) | Verdict::Refuse(_) | Verdict::NotNow(_) => None,
    };
    match connect(smap, client) {
        Verdict::Permit(_) => needs(ruled(RuleSet::Relay, &smap.relay, client)),
        verdict => needs(verdict),
    }
}

/// Only a rule that permits is a yes.
fn ruled<'a>(set: RuleSet, rules: &'a [Located<Rule>], client: &'a Client) -> Verdict<'a> {
    match hosts::judge(rules, client) {
        Judgement::NoRules => Verdict::Refuse(Reason::NoRules(set)),
        Judgement::NoneMeant => Verdict::Refuse(Reason::NoRuleMeant(set)),
        Judgement::NeedsName(rule) => match &client.name {
            ClientName::Failed(why) => Verdict::NotNow(Reason::NameFailed(set, rule, why)),
            ClientName::NotAsked | ClientName::Unknown | ClientName::Known(_) => {
                Verdict::Ask(Reason::NeedsName(set, rule))
            }
        },
        Judgement::Decided(rule) => match rule.effect {
            Effect::Permit => Verdict::Permit(Reason::Rule(set, rule)),
            Effect::Deny => Verdict::Refuse(Reason::Rule(set, rule)),
        },
    }
}

/// The default of `relay-host`.
static BY_MX: LazyLock<Transport> = LazyLock::new(|| Transport::Smtp {
    hops: vec![NextHop::RecipientDomain],
    tls: Tls::default(),
    timeout: None,
});

/// Where all mail goes in the toolkit's own tables.
static SENDMAIL: Transport = Transport::Sendmail { timeout: None };

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
    if domain == hostname {
        return match &smapd.sendmail {
            Some(program) => through(&SENDMAIL, Reason::Sendmail(program)),
            None => nowhere(Reason::NoTransport, domain),
        };
    }
    if let Some((entry, wildcard)) = smapd.mailertable.as_ref().and_then(|table| table.find(domain)) {
        let transport = entry.transport(recipient, wildcard);
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
