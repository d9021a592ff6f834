//! What the table means for a client, a sender or a recipient.
//!
//! Decides who may connect, whose mail is accepted and where mail goes. Trusts the table, the files that it names and
//! the addresses that `smap-common` parsed; a local part never names another domain, whatever `%`, `!` or quoted `@`
//! is in it. Guarantees that every answer names the line, or the default, that gave it.
#![deny(clippy::disallowed_methods)]

mod connect;
mod reason;
mod recipient;
mod relay;
mod route;
mod sender;

use smap_common::address::ReversePath;
use smap_common::envelope::Role;
use smap_common::smtp::command::HeloName;

pub use self::connect::connect;
pub use self::reason::{Judged, Reason, RuleSet};
pub use self::recipient::recipient;
pub use self::relay::{may_relay, relay};
pub use self::route::{MOST_LOCAL, Route, at_home, route};
pub use self::sender::sender;
use crate::access::{Search, Tag, Value};
use crate::hosts::{self, Client, ClientName, Effect, Judgement, Rule};
use crate::place::Located;
use crate::recipients;
use crate::schema::Smap;

#[cfg(test)]
mod tests;

/// What is known of a session when a decision is asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Facts<'a> {
    /// The client.
    pub client: &'a Client,
    /// What the listener is for.
    pub role: Role,
    /// How the client greeted.
    pub helo: Option<&'a HeloName>,
    /// The sender.
    pub sender: Option<&'a ReversePath>,
    /// What the connection is encrypted with; no rule asks for it yet.
    pub tls: Option<&'a str>,
    /// Who the client has proved to be; no rule asks for it yet.
    pub auth: Option<&'a str>,
    /// What was asked about the recipient, and answered.
    pub answers: &'a [(recipients::Question, recipients::Answer)],
}

/// What has to be asked before there is a verdict.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Question {
    /// The name of the client.
    Name,
    /// Whether the recipient exists.
    Exists(recipients::Question),
}

impl<'a> Facts<'a> {
    /// A client that has not said anything.
    #[must_use]
    pub fn of(client: &'a Client) -> Self {
        Self { client, role: Role::Mx, helo: None, sender: None, tls: None, auth: None, answers: &[] }
    }
}

/// Whether, and why.
#[derive(Debug, Clone, PartialEq, Eq)]
#[must_use]
pub enum Verdict<'a> {
    /// Yes.
    Permit(Reason<'a>),
    /// No.
    Refuse(Reason<'a>),
    /// Yes, and what comes is thrown away.
    Discard(Reason<'a>),
    /// Neither, before this has been asked for.
    Ask(Question, Reason<'a>),
    /// Neither, because what was asked for cannot be known now: the client may come back.
    NotNow(Reason<'a>),
}

impl<'a> Verdict<'a> {
    /// Why.
    pub fn reason(&self) -> &Reason<'a> {
        match self {
            Self::Permit(reason)
            | Self::Refuse(reason)
            | Self::Discard(reason)
            | Self::Ask(_, reason)
            | Self::NotNow(reason) => reason,
        }
    }

    /// One word for the log.
    #[must_use]
    pub const fn word(&self) -> &'static str {
        match self {
            Self::Permit(_) => "permit",
            Self::Refuse(_) => "refuse",
            Self::Discard(_) => "discard",
            Self::Ask(..) => "ask",
            Self::NotNow(_) => "defer",
        }
    }

    /// Whether it is a yes.
    #[must_use]
    pub fn is_permit(&self) -> bool {
        matches!(self, Self::Permit(_))
    }

    /// What a row of `access` says, unless it says nothing for this tag.
    fn of_row(asked: Tag, search: Search) -> Result<Self, Vec<String>> {
        let Search { row, tried, .. } = search;
        let Some(row) = row else { return Err(tried) };
        let judged = |row| Reason::Access(Judged { asked, row, tried });
        Ok(match row.value {
            Value::Relay | Value::Ok | Value::Skip => Self::Permit(judged(row)),
            Value::Reject | Value::Error(_) => Self::Refuse(judged(row)),
            Value::Discard => Self::Discard(judged(row)),
        })
    }
}

/// Why the name of this client may have to be asked for, if it may: what its address alone decides is decided.
#[must_use]
pub fn may_need_name<'a>(smap: &'a Smap, client: &'a Client) -> Option<Reason<'a>> {
    let facts = Facts::of(client);
    let needs = |verdict| match verdict {
        Verdict::Ask(_, reason) => Some(reason),
        Verdict::Permit(_) | Verdict::Refuse(_) | Verdict::Discard(_) | Verdict::NotNow(_) => None,
    };
    match connect(smap, &facts) {
        Verdict::Permit(_) => needs(may_relay(smap, &facts)),
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
                Verdict::Ask(Question::Name, Reason::NeedsName(set, rule))
            }
        },
        Judgement::Decided(rule) => match rule.effect {
            Effect::Permit => Verdict::Permit(Reason::Rule(set, rule)),
            Effect::Deny => Verdict::Refuse(Reason::Rule(set, rule)),
        },
    }
}
