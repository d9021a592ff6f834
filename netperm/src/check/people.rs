//! The same for the tables that say who somebody is.

use std::net::{IpAddr, Ipv4Addr};
use std::path::Path;

use smap_common::address::Domain;

use crate::domains::{DomainLine, DomainPattern};
use crate::fault::{Fault, Note};
use crate::place::{Located, Place};
use crate::recipients::{Line, Source, Tables};
use crate::schema::{Smap, Smapd};
use crate::transport::Transport;

/// A domain that no row means, in place of a name of ours that the table does not say.
pub(crate) fn nowhere() -> Domain {
    Domain::from_ip(IpAddr::V4(Ipv4Addr::UNSPECIFIED))
}

/// What is wrong among the tables of a program. `exists` tells whether a program of an alias is there, for the one that
/// runs it.
pub(crate) fn people_faults(
    program: &str,
    people: &Tables<'_>,
    exists: Option<&dyn Fn(&Path) -> bool>,
) -> Vec<Fault> {
    let mut faults: Vec<Fault> =
        people.recipients.iter().flat_map(|line| sources_without_table(program, people, line)).collect();
    if let Some(virtusertable) = people.virtusertable {
        faults.extend(virtusertable.loops(people.delimiter, people.hostname));
    }
    if let Some(aliases) = people.aliases {
        faults.extend(aliases.loops(people.delimiter));
        let judged = exists.map(|exists| aliases.faults(people.safe_programs, people.safe_files, exists));
        faults.extend(judged.into_iter().flatten());
    }
    faults
}

/// Sources that a program is not told of.
fn sources_without_table(program: &str, people: &Tables<'_>, line: &Located<Line>) -> Vec<Fault> {
    let missing = line.sources.iter().filter_map(|source| match source {
        Source::Virtusertable if people.virtusertable.is_none() => Some(("virtusertable", "virtusertable")),
        Source::Aliases if people.aliases.is_none() => Some(("aliases", "aliases")),
        _ => None,
    });
    missing
        .map(|(source, file)| {
            let what = format!(
                "{program} has no {source}: add a line such as \"smap, smapd: {source} /etc/mail/{file}\""
            );
            Fault::new(&line.place, what)
        })
        .collect()
}

/// What the operator should know of them.
pub(crate) fn people_notes(smap: &Smap, smapd: &Smapd) -> Vec<Note> {
    let mut notes = everybody_exists(smap);
    notes.extend(half_told([
        (place(smap.virtusertable.as_ref()), place(smapd.virtusertable.as_ref())),
        (place(smap.aliases.as_ref()), place(smapd.aliases.as_ref())),
    ]));
    for aliases in smap.aliases.iter().chain(&smapd.aliases) {
        notes.extend(aliases.notes(&aliases.place));
    }
    notes
}

fn place<T>(named: Option<&Located<T>>) -> Option<&Place> {
    named.map(|named| &named.place)
}

/// Files that one program is told of and the other is not: what one takes somebody for, the other has to.
fn half_told(files: [(Option<&Place>, Option<&Place>); 2]) -> impl Iterator<Item = Note> {
    files.into_iter().filter_map(|pair| match pair {
        (Some(place), None) | (None, Some(place)) => Some(Note::new(
            place,
            "smap and smapd are to take everybody for the same: begin the line with \"smap, smapd:\"",
        )),
        (Some(_), Some(_)) | (None, None) => None,
    })
}

/// Domains in which everybody exists: what cannot be delivered there has to go back, to senders who may be forged.
fn everybody_exists(smap: &Smap) -> Vec<Note> {
    let goes_somewhere =
        |line: &&Located<DomainLine>| !matches!(line.transport, Transport::Discard | Transport::Error { .. });
    let unknown = |pattern: &&DomainPattern| !smap.recipients.iter().any(|line| line.covers(pattern));
    let mut notes = Vec::new();
    for line in smap.domain.iter().filter(goes_somewhere) {
        let patterns: Vec<String> = line.patterns.iter().filter(unknown).map(ToString::to_string).collect();
        if !patterns.is_empty() {
            let patterns = patterns.join(" ");
            let text = format!(
                "every recipient in {patterns} is accepted: say who exists there, such as \"smap, smapd: recipients \
                 {patterns} file:/etc/smap/users\""
            );
            notes.push(Note::new(&line.place, text));
        }
    }
    notes
}
