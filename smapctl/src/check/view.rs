//! The table and the findings as text.
//!
//! Pure: it decides nothing but how things look; where mail goes it asks the policy.
#![deny(clippy::disallowed_methods)]

use std::path::Path;

use netperm::domains::{DomainLine, first_line};
use netperm::policy::{self, Reason, Route, RuleSet};
use netperm::site::Site;
use netperm::{Located, Place};
use smap_common::address::{Address, Domain};

use super::{Finding, Level};
use crate::show::{columns, counted};

mod files;

/// Attributes with sections of their own.
const SHOWN_ELSEWHERE: [&str; 6] =
    ["domain", "relay-host", "permit-hosts", "deny-hosts", "permit-relay", "deny-relay"];

/// A domain that nobody's table names (RFC 2606): what becomes of mail for the rest of the world.
const ELSEWHERE: &str = "elsewhere.invalid";

/// All of it.
#[must_use]
pub fn show(file: &Path, site: &Site, findings: &[Finding]) -> String {
    let sections = [
        ("What the programs are told", attributes(site)),
        ("Whose mail is accepted from anyone, and where it goes", columns(&domains(site))),
        ("Who may connect", hosts(site)),
        ("Who may send to any domain", relay(site)),
    ];
    let mut text = format!("{}\n", file.display());
    for (title, content) in sections {
        text += &format!("\n{title}\n{content}");
    }
    text += "\n";
    for finding in findings {
        text += &format!("{finding}\n");
    }
    text + &summary(findings)
}

fn summary(findings: &[Finding]) -> String {
    let count = |level| {
        let count = findings.iter().filter(|finding| finding.level == level).count();
        u64::try_from(count).unwrap_or(u64::MAX)
    };
    format!(
        "{}, {}\n",
        counted(count(Level::Error), "error", "errors"),
        counted(count(Level::Warning), "warning", "warnings")
    )
}

/// The attributes in force, those first that both programs share.
fn attributes(site: &Site) -> String {
    let smap = lines(&site.smap.to_string());
    let smapd = lines(&site.smapd.to_string());
    let row = |programs: &str, (attribute, value): &(String, String)| {
        [attribute.clone(), programs.to_owned(), value.clone()]
    };
    let mut rows = vec![row("both", &("hostname".to_owned(), site.hostname.to_string()))];
    rows.extend(smap.iter().filter(|line| smapd.contains(line)).map(|line| row("both", line)));
    rows.extend(smap.iter().filter(|line| !smapd.contains(line)).map(|line| row("smap", line)));
    rows.extend(smapd.iter().filter(|line| !smap.contains(line)).map(|line| row("smapd", line)));
    columns(&rows)
}

/// `PROGRAM: ATTRIBUTE VALUE` lines, as a table shows itself, without those that are shown elsewhere.
fn lines(shown: &str) -> Vec<(String, String)> {
    let words = shown.lines().filter_map(|line| line.split_once(": ")?.1.split_once(' '));
    words
        .filter(|(attribute, _)| *attribute != "hostname" && !SHOWN_ELSEWHERE.contains(attribute))
        .map(|(attribute, value)| (attribute.to_owned(), value.to_owned()))
        .collect()
}

fn domains(site: &Site) -> Vec<[String; 2]> {
    let known = |lines: &[Located<DomainLine>], line: &Located<DomainLine>| {
        lines.iter().any(|other| other.place == line.place)
    };
    let (smap, smapd) = (&site.smap.domain, &site.smapd.domain);
    let accepted = smap.iter().map(|line| match known(smapd, line) {
        true => (line, ""),
        false if in_mailertable(site, line) => (line, "; smapd goes by its mailertable"),
        false => (line, ", of which smapd is not told"),
    });
    let others = smapd.iter().filter(|line| !known(smap, line));
    let lines = accepted.chain(others.map(|line| (line, ", from those who may send to any domain")));
    let mut rows: Vec<[String; 2]> = lines
        .map(|(line, who)| {
            let patterns: Vec<String> = line.patterns.iter().map(ToString::to_string).collect();
            [patterns.join(" "), format!("{} ({}{who})", line.transport, line_of(&line.place))]
        })
        .collect();
    if first_line(&site.smap.domain, &site.hostname).is_none() {
        rows.push([site.hostname.to_string(), format!("{}, our own name", way(site, &site.hostname))]);
    }
    rows.extend(files::accepted(site));
    let elsewhere = ELSEWHERE.parse().map(|domain| way(site, &domain)).unwrap_or_default();
    rows.push(["any other".to_owned(), format!("{elsewhere}, refused from strangers")]);
    rows
}

/// Whether the mailertable names every domain of a line.
fn in_mailertable(site: &Site, line: &DomainLine) -> bool {
    let entries: Vec<_> =
        site.smapd.mailertable.iter().flat_map(|mailertable| mailertable.entries()).collect();
    line.patterns.iter().all(|pattern| entries.iter().any(|entry| entry.key.covers(pattern)))
}

/// Where mail for a domain goes.
fn way(site: &Site, domain: &Domain) -> String {
    let Ok(postmaster) = "postmaster".parse::<Address>() else { return String::new() };
    match policy::route(&site.smapd, &site.hostname, &postmaster.at(domain.clone())) {
        Route::Through { transport, reason: Reason::ByMx } => format!("{transport} (by its mail exchangers)"),
        Route::Through { transport, .. } => transport.to_string(),
        Route::Nowhere { add, .. } => format!("nowhere (add: {add})"),
    }
}

fn hosts(site: &Site) -> String {
    let rules = site.smap.hosts.iter().map(|rule| Reason::Rule(RuleSet::Hosts, rule)).map(rule);
    let rows: Vec<[String; 2]> = rules.collect();
    match rows.is_empty() {
        true => columns(&[["everyone".to_owned()]]),
        false => columns(&rows) + &columns(&[["nobody else".to_owned()]]),
    }
}

fn relay(site: &Site) -> String {
    let rules = site.smap.relay.iter().map(|rule| Reason::Rule(RuleSet::Relay, rule)).map(rule);
    let (rules, files): (Vec<_>, _) = (rules.collect(), files::relaying(site));
    let nobody = |who: &str| columns(&[[who.to_owned()]]);
    match (rules.is_empty(), files.is_empty()) {
        (true, true) => nobody("nobody"),
        (false, true) => columns(&rules) + &nobody("nobody else"),
        (_, false) => columns(&[rules, files].concat()),
    }
}

fn rule(reason: Reason<'_>) -> [String; 2] {
    let place = match reason {
        Reason::Rule(_, rule) => Some(&rule.place),
        _ => None,
    };
    let shown = reason.to_string();
    let text = place.and_then(|place| shown.strip_prefix(&format!("{place}: ")));
    [
        text.unwrap_or(&shown).to_owned(),
        place.map(|place| format!("({})", line_of(place))).unwrap_or_default(),
    ]
}

fn line_of(place: &Place) -> String {
    place.line_number().map_or_else(|| place.to_string(), |line| format!("line {line}"))
}
