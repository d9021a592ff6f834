//! One decision of smap, with what was looked at before it.

use netperm::domains::DomainLine;
use netperm::hosts::Rule;
use netperm::policy::{Reason, RuleSet, Verdict};
use netperm::{Located, Place, Smap};
use serde::Serialize;

/// One decision of smap.
#[derive(Debug, Serialize)]
pub(super) struct Stage {
    pub(super) verdict: &'static str,
    pub(super) reason: &'static str,
    pub(super) why: String,
    /// What the client is told, where the table says it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) reply: Option<String>,
    /// The keys that were looked up in `access`.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub(super) tried: Vec<String>,
    /// The lines before that do not mean this client or recipient.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub(super) passed: Vec<String>,
}

impl Stage {
    pub(super) fn of(smap: &Smap, verdict: &Verdict<'_>) -> Self {
        let reason = verdict.reason();
        Self {
            verdict: verdict.word(),
            reason: reason.id(),
            why: reason.to_string(),
            reply: reason.reply().map(|reply| reply.to_string()),
            tried: reason.tried().to_vec(),
            passed: passed(smap, reason),
        }
    }

    pub(super) fn rows(&self, label: &str) -> Vec<[String; 3]> {
        let mut rows = vec![[label.to_owned(), self.verdict.to_owned(), self.why.clone()]];
        let keys = (!self.tried.is_empty()).then(|| format!("looked up: {}", self.tried.join(" ")));
        let more = self.reply.iter().map(|reply| format!("-> {reply}")).chain(keys);
        let more = more.chain(self.passed.iter().map(|line| format!("not: {line}")));
        rows.extend(more.map(|more| [String::new(), String::new(), more]));
        rows
    }
}

/// The lines that were looked at before the one that decided.
fn passed(smap: &Smap, reason: &Reason<'_>) -> Vec<String> {
    match reason {
        Reason::Rule(set, rule) => passed_rules(smap, *set, Some(&rule.place)),
        Reason::NoRuleMeant(set) => passed_rules(smap, *set, None),
        Reason::OurDomain(line) => passed_domains(&smap.domain, Some(&line.place)),
        Reason::MayNotRelay(_) | Reason::NoRules(RuleSet::Relay) => passed_domains(&smap.domain, None),
        _ => Vec::new(),
    }
}

fn passed_rules(smap: &Smap, set: RuleSet, until: Option<&Place>) -> Vec<String> {
    let rules: &[Located<Rule>] = match set {
        RuleSet::Hosts => &smap.hosts,
        RuleSet::Relay => &smap.relay,
    };
    let before = rules.iter().take_while(|rule| Some(&rule.place) != until);
    before.map(|rule| format!("{}: {}", rule.place, rule.show(set.word()))).collect()
}

/// Of `domain` lines, those before the one that decided: all, where another one did.
pub(super) fn passed_domains(lines: &[Located<DomainLine>], until: Option<&Place>) -> Vec<String> {
    let before = lines.iter().take_while(|line| Some(&line.place) != until);
    before.map(|line| format!("{}: domain {}", line.place, line.value)).collect()
}
