//! What decided, as the log and the administrator are told it.

use std::fmt;

use smap_common::status::Status;

use crate::access::{Row, Tag, Value};
use crate::domains::DomainLine;
use crate::hosts::Rule;
use crate::mailertable;
use crate::names::NameLine;
use crate::place::{Located, Place};
use crate::recipients;
use crate::reply::Reply;
use crate::schema::FilePath;
use crate::tables::Damaged;
use crate::transport::Transport;
use crate::virtusertable;

/// A set of rules.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RuleSet {
    /// `permit-hosts`, `deny-hosts`
    Hosts,
    /// `permit-relay`, `deny-relay`
    Relay,
}

impl RuleSet {
    /// The word behind `permit-` and `deny-`.
    #[must_use]
    pub const fn word(self) -> &'static str {
        match self {
            Self::Hosts => "hosts",
            Self::Relay => "relay",
        }
    }
}

/// A row of `access`, and how it was found.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Judged {
    /// Whom it was looked up for.
    pub asked: Tag,
    /// The row.
    pub row: Row,
    /// The keys that were looked up, in that order.
    pub tried: Vec<String>,
}

impl Judged {
    /// What the client is told, where the row refuses.
    #[must_use]
    pub fn reply(&self) -> Option<Reply> {
        let denied = |(subject, detail), text: &str| Reply {
            code: 550,
            status: Status::permanent(subject, detail),
            text: text.to_owned(),
        };
        match (&self.row.value, self.asked) {
            (Value::Error(reply), _) => Some(reply.clone()),
            (Value::Reject, Tag::To) => Some(denied((2, 1), "This recipient takes no mail")),
            (Value::Reject, _) => Some(denied((7, 1), "Access denied")),
            (Value::Relay | Value::Ok | Value::Skip | Value::Discard, _) => None,
        }
    }
}

/// What decided.
#[derive(Debug, Clone, PartialEq, Eq)]
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
    Mailertable(Located<mailertable::Entry>),
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
    /// This row of `access`.
    Access(Judged),
    /// No row of `access` speaks of it; these keys were looked up.
    NoRow(&'a Place, Vec<String>),
    /// There is no `access` line.
    NoAccess,
    /// The null sender of notifications, which is always accepted (RFC 5321 section 6.1).
    NullSender,
    /// Neither a rule nor a file lets this client send to any domain; these keys were looked up.
    MayNotRelay(Vec<String>),
    /// Only the name of the client can tell whether this line's file lets it send to any domain.
    FileNeedsName(&'a Place),
    /// The same, and the name is not known now, and why.
    FileNameFailed(&'a Place, &'a str),
    /// This line of `local-host-names`.
    LocalHostName(NameLine),
    /// This line of `relay-domains`.
    RelayDomain(NameLine),
    /// The domain is one that we take mail for, but its local part names a further host.
    Routed,
    /// This line names our host name, and this one a further name of ours.
    OurName(&'a Located<DomainLine>, NameLine),
    /// No line says where mail for this name of ours goes.
    NoLocalTransport(NameLine),
    /// This row of the virtusertable means the recipient.
    Virtusertable(Located<virtusertable::Row>),
    /// Whether the recipient exists.
    Exists(recipients::Reason<'a>),
    /// A row that may speak of it cannot be read any more.
    Damaged(Damaged),
}

impl Reason<'_> {
    /// What the client is told, where the table itself says it.
    #[must_use]
    pub fn reply(&self) -> Option<Reply> {
        match self {
            Self::Access(judged) => judged.reply(),
            Self::Exists(reason) => reason.reply(),
            Self::Damaged(_) => Some(Reply::later()),
            _ => None,
        }
    }

    /// Where the rule stands that decided, if one did.
    #[must_use]
    pub fn place(&self) -> Option<&Place> {
        match self {
            Self::Rule(_, rule) | Self::NeedsName(_, rule) | Self::NameFailed(_, rule, _) => {
                Some(&rule.place)
            }
            Self::OurDomain(line) | Self::LocalLoop(line) | Self::OurName(line, _) => Some(&line.place),
            Self::Mailertable(entry) => Some(&entry.place),
            Self::RelayHost(relay) => Some(&relay.place),
            Self::Sendmail(program) => Some(&program.place),
            Self::Access(judged) => Some(&judged.row.place),
            Self::LocalHostName(line) | Self::RelayDomain(line) | Self::NoLocalTransport(line) => {
                Some(&line.place)
            }
            Self::FileNeedsName(place) | Self::FileNameFailed(place, _) => Some(place),
            Self::Virtusertable(row) => Some(&row.place),
            Self::Exists(reason) => reason.place(),
            Self::Damaged(damaged) => Some(damaged.place()),
            Self::NoRules(_)
            | Self::NoRuleMeant(_)
            | Self::OwnHostname
            | Self::Postmaster
            | Self::ByMx
            | Self::NoTransport
            | Self::NoRow(..)
            | Self::NoAccess
            | Self::NullSender
            | Self::MayNotRelay(_)
            | Self::Routed => None,
        }
    }

    /// The rule as the log names it: its id, and where it stands.
    #[must_use]
    pub fn rule(&self) -> String {
        let place = self.place().map(|place| format!("@{place}"));
        format!("{}{}", self.id(), place.unwrap_or_default())
    }

    /// The keys that were looked up in `access`, in that order.
    #[must_use]
    pub fn tried(&self) -> &[String] {
        match self {
            Self::Access(judged) => &judged.tried,
            Self::NoRow(_, tried) | Self::MayNotRelay(tried) => tried,
            _ => &[],
        }
    }

    /// One word for the log.
    #[must_use]
    pub const fn id(&self) -> &'static str {
        match self {
            Self::Rule(..) => "rule",
            Self::NoRules(_) => "no-rules",
            Self::NoRuleMeant(_) => "no-rule-meant",
            Self::NeedsName(..) => "needs-name",
            Self::NameFailed(..) => "name-failed",
            Self::OurDomain(_) | Self::OurName(..) => "domain",
            Self::OwnHostname => "own-hostname",
            Self::Postmaster => "postmaster",
            Self::Mailertable(_) => "mailertable",
            Self::RelayHost(_) => "relay-host",
            Self::Sendmail(_) => "sendmail",
            Self::ByMx => "by-mx",
            Self::NoTransport => "no-transport",
            Self::LocalLoop(_) => "local-loop",
            Self::Access(_) => "access",
            Self::NoRow(..) => "no-row",
            Self::NoAccess => "no-access",
            Self::NullSender => "null-sender",
            Self::MayNotRelay(_) => "may-not-relay",
            Self::FileNeedsName(_) => "file-needs-name",
            Self::FileNameFailed(..) => "file-name-failed",
            Self::LocalHostName(_) => "local-host-name",
            Self::RelayDomain(_) => "relay-domain",
            Self::Routed => "routed",
            Self::NoLocalTransport(_) => "no-local-transport",
            Self::Virtusertable(_) => "virtusertable",
            Self::Exists(reason) => reason.id(),
            Self::Damaged(_) => "damaged",
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
            Self::OurName(line, name) => {
                write!(f, "{}: domain {}; {}: {} is ours too", line.place, line.value, name.place, name.name)
            }
            Self::OwnHostname => f.write_str("the domain is our own host name"),
            Self::Postmaster => f.write_str("postmaster is always accepted"),
            Self::Mailertable(entry) => write!(f, "{}: mailertable {}", entry.place, entry.value),
            Self::RelayHost(relay) => write!(f, "{}: relay-host {}", relay.place, relay.value),
            Self::Sendmail(program) => write!(f, "{}: sendmail {}", program.place, program.0.display()),
            Self::ByMx => f.write_str("no line speaks of this domain, so its mail exchangers do"),
            Self::NoTransport => f.write_str("no line says where mail for our own host name goes"),
            Self::LocalLoop(line) => write!(f, "{}: domain {} leads to itself", line.place, line.value),
            Self::Access(judged) => judged.row.fmt(f),
            Self::NoRow(place, _) => write!(f, "{place}: no row of access speaks of it"),
            Self::NoAccess => f.write_str("there is no access line"),
            Self::NullSender => f.write_str("the null sender is always accepted"),
            Self::MayNotRelay(_) => {
                f.write_str("no permit-relay line, no row of access and no relay-domain means this client")
            }
            Self::FileNeedsName(place) => write!(f, "{place}: this file needs the name of the client"),
            Self::FileNameFailed(place, why) => {
                write!(f, "{place}: this file needs the name of the client: {why}")
            }
            Self::LocalHostName(line) => write!(f, "{}: local-host-names {}", line.place, line.name),
            Self::RelayDomain(line) => write!(f, "{}: relay-domains {}", line.place, line.name),
            Self::Routed => {
                f.write_str("the local part names a further host, which only those may who may relay")
            }
            Self::Virtusertable(row) => write!(f, "{}: virtusertable {}", row.place, row.value),
            Self::Exists(reason) => reason.fmt(f),
            Self::Damaged(damaged) => damaged.fmt(f),
            Self::NoLocalTransport(line) => {
                write!(f, "{}: no line says where mail for our own {} goes", line.place, line.name)
            }
        }
    }
}
