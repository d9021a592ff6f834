//! What single lines can't tell: contradictions between them, and what is worth a word.
//!
//! Pure: it sees the structs, not the machine. Whether folders exist and users resolve is for the programs
//! themselves.
#![deny(clippy::disallowed_methods)]

use std::net::IpAddr;

use crate::access;
use crate::domains::{DomainLine, DomainPattern};
use crate::fault::{Fault, Note};
use crate::hosts::{self, Client, ClientName, Effect, Judgement};
use crate::mailertable::{Key, Mailertable};
use crate::place::{Located, Place};
use crate::schema::{Smap, Smapd};
use crate::transport::Transport;

mod people;

pub(crate) use self::people::{nowhere, people_faults, people_notes};

/// What a sender may count on (RFC 5321 section 4.5.3.1.8).
const RECIPIENTS_OF_RFC_5321: u32 = 100;

const ADD_A_DOMAIN: &str = "add a line such as \"smap, smapd: domain example.com smtp:[10.0.0.5]\"";

/// What the operator should know of what smap was told.
pub(crate) fn smap_notes(smap: &Smap, place_of: impl Fn(&str) -> Place) -> Vec<Note> {
    let mut notes = Vec::new();
    let elsewhere = [
        smap.local_host_names.is_some(),
        smap.relay_domains.is_some(),
        smap.mailertable.is_some(),
        smap.virtusertable.is_some(),
    ];
    if smap.domain.is_empty() && !elsewhere.contains(&true) {
        notes.push(Note::new(
            &place_of("domain"),
            format_args!(
                "smap has no domain line and accepts mail for our own host name only: {ADD_A_DOMAIN}"
            ),
        ));
    }
    notes.extend(rule_notes(smap));
    if smap.maxrecip.get() < RECIPIENTS_OF_RFC_5321 {
        notes.push(Note::new(
            &place_of("maxrecip"),
            format_args!(
                "maxrecip {}: RFC 5321 section 4.5.3.1.8 lets senders count on {RECIPIENTS_OF_RFC_5321} recipients",
                smap.maxrecip
            ),
        ));
    }
    notes
}

/// Addresses that belong to nobody (RFC 5737): a rule that means them all means everyone.
const STRANGERS: [[u8; 4]; 3] = [[192, 0, 2, 1], [198, 51, 100, 1], [203, 0, 113, 1]];

/// Rules that hardly say what was meant.
fn rule_notes(smap: &Smap) -> Vec<Note> {
    let mut notes = Vec::new();
    match smap.hosts.first() {
        Some(rule) if smap.hosts.iter().all(|rule| rule.effect == Effect::Deny) => notes.push(Note::new(
            &rule.place,
            "no permit-hosts line follows, so nobody may connect: end with \"smap: permit-hosts *\"",
        )),
        Some(_) | None => {}
    }
    let permits = STRANGERS.map(|address| {
        // Nor has a stranger to have a name.
        let client = Client { address: Some(address.into()), name: ClientName::Unknown };
        match hosts::judge(&smap.relay, &client) {
            Judgement::Decided(rule) if rule.effect == Effect::Permit => Some(rule),
            Judgement::Decided(_) | Judgement::NoRules | Judgement::NoneMeant | Judgement::NeedsName(_) => {
                None
            }
        }
    });
    if let [Some(rule), Some(_), Some(_)] = permits {
        notes.push(Note::new(
            &rule.place,
            "strangers may send to any domain through us: this is an open relay",
        ));
    }
    notes
}

/// What keeps smapd from running.
pub(crate) fn smapd_faults(smapd: &Smapd) -> Vec<Fault> {
    let mut faults = half_a_certificate(smapd);
    faults.extend(sendmail_without_program(smapd));
    faults
}

/// A certificate is of no use without its key, nor a key without its certificate.
fn half_a_certificate(smapd: &Smapd) -> Vec<Fault> {
    let (place, missing) = match (&smapd.client_cert, &smapd.client_key) {
        (Some(certificate), None) => (&certificate.place, "client-cert lacks its key: add a client-key line"),
        (None, Some(key)) => (&key.place, "client-key lacks its certificate: add a client-cert line"),
        (Some(_), Some(_)) | (None, None) => return Vec::new(),
    };
    vec![Fault::new(place, missing)]
}

fn sendmail_without_program(smapd: &Smapd) -> Vec<Fault> {
    let without_program = || smapd.sendmail.is_none();
    smapd
        .transports()
        .filter(|(_, transport)| matches!(transport, Transport::Sendmail { .. }) && without_program())
        .map(|(place, _)| {
            Fault::new(
                place,
                "the transport sendmail lacks its program: add a line such as \"smapd: sendmail /usr/sbin/sendmail\"",
            )
        })
        .collect()
}

/// What the operator should know of what smapd was told.
pub(crate) fn smapd_notes(smapd: &Smapd, place_of: impl Fn(&str) -> Place) -> Vec<Note> {
    let mut notes = Vec::new();
    if smapd.domain.is_empty() && smapd.sendmail.is_none() {
        notes.push(Note::new(
            &place_of("domain"),
            format_args!(
                "smapd has no domain line and nowhere to deliver mail for our own host: {ADD_A_DOMAIN}"
            ),
        ));
    }
    notes.extend(hidden_domains(smapd));
    if smapd.warn >= smapd.expire {
        let text = "warn is not before expire: the sender hears of a delay only when it is over";
        notes.push(Note::new(&place_of("warn"), text));
    }
    notes
}

/// Domains that an earlier line already takes: the first line that matches counts.
fn hidden_domains(smapd: &Smapd) -> Vec<Note> {
    let mut notes = Vec::new();
    for (number, line) in smapd.domain.iter().enumerate() {
        for pattern in &line.patterns {
            let earlier = smapd.domain.iter().take(number);
            if let Some(first) =
                earlier.into_iter().find(|first| first.patterns.iter().any(|taken| taken.covers(pattern)))
            {
                let text =
                    format!("{pattern} is already taken by {}, and the first line counts", first.place);
                notes.push(Note::new(&line.place, text));
            }
        }
    }
    notes
}

/// What the operator should know of what both were told.
pub(crate) fn both_notes(smap: &Smap, smapd: &Smapd) -> Vec<Note> {
    let mut notes = half_told(smap, smapd);
    notes
        .extend(smapd.mailertable.iter().flat_map(|mailertable| mailertable_notes(smap, smapd, mailertable)));
    let ours: Vec<IpAddr> = smapd.our_address.iter().flat_map(|line| &line.value.0).copied().collect();
    notes.extend(smap.access.iter().flat_map(|access| access::notes(access, &ours)));
    notes.extend(smap.relay_domains.iter().flat_map(|names| access::notes_of_names(names, &ours)));
    notes.extend(names_notes(smap, smapd));
    notes
}

/// Names of ours that one program knows and the other does not, and names that say more than they seem to.
fn names_notes(smap: &Smap, smapd: &Smapd) -> Vec<Note> {
    let mut notes = Vec::new();
    match (&smap.local_host_names, &smapd.local_host_names) {
        (Some(names), None) | (None, Some(names)) => notes.push(Note::new(
            &names.place,
            "smap and smapd are to know the same names: begin the line with \"smap, smapd:\"",
        )),
        (Some(names), Some(_)) if smapd.sendmail.is_none() => notes.push(Note::new(
            &names.place,
            "nothing says where mail for these names goes: add a \"domain\" line for them, or \"smapd: sendmail\"",
        )),
        (Some(_), Some(_)) | (None, None) => {}
    }
    if let Some(names) = smap.relay_domains.as_ref().filter(|names| names.has_domains()) {
        let text = "hosts whose confirmed names are in these domains may send to any domain too, as in sendmail: \
                    where only mail for the domains is meant, write To: rows in access";
        notes.push(Note::new(&names.place, text));
    }
    notes
}

/// Domains whose mail smap accepts and smapd would send on by MX, most likely back to us.
fn half_told(smap: &Smap, smapd: &Smapd) -> Vec<Note> {
    if smapd.sendmail.is_some() || smapd.relay_host.is_some() {
        return Vec::new();
    }
    let entries: Vec<_> = smapd.mailertable.iter().flat_map(|mailertable| mailertable.entries()).collect();
    let in_mailertable = |pattern: &DomainPattern| entries.iter().any(|entry| entry.key.covers(pattern));
    smap.domain
        .iter()
        .filter(|line| !smapd.domain.iter().any(|other| other.place == line.place))
        .filter(|line| !line.patterns.iter().all(in_mailertable))
        .map(|line| {
            Note::new(&line.place, "smapd is not told of this domain: begin the line with \"smap, smapd:\"")
        })
        .collect()
}

/// Lines of a mailertable that no mail comes to, as far as the table itself can tell: smap is not told of it, and of no
/// other file that may let mail in.
fn mailertable_notes(smap: &Smap, smapd: &Smapd, mailertable: &Mailertable) -> Vec<Note> {
    let taker = |lines: &[Located<DomainLine>], pattern: &DomainPattern| {
        let taken = |line: &&Located<DomainLine>| line.patterns.iter().any(|taken| taken.covers(pattern));
        lines.iter().find(taken).map(|line| line.place.clone())
    };
    let other_files = smap.access.is_some()
        || smap.mailertable.is_some()
        || smap.local_host_names.is_some()
        || smap.relay_domains.is_some()
        || smap.virtusertable.is_some();
    let more_may_come = other_files || smap.relay.iter().any(|rule| rule.effect == Effect::Permit);
    let mut notes = Vec::new();
    for entry in mailertable.entries() {
        let Key::Of(pattern) = &entry.key else { continue };
        if let Some(line) = taker(&smapd.domain, pattern) {
            let text = format!("{pattern} is already taken by {line}, and domain lines come first");
            notes.push(Note::new(&entry.place, text));
        } else if !more_may_come && taker(&smap.domain, pattern).is_none() {
            let text = format!(
                "smap accepts no mail for {pattern}: add a line such as \"smap: domain {pattern} smtp:\", or begin \
                 that of this file with \"smap, smapd:\""
            );
            notes.push(Note::new(&entry.place, text));
        }
    }
    notes
}
