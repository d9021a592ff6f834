//! `smapctl check --security`: what each program has left of this machine.
//!
//! A process of its own gives up what the program gives up, by the same function. The kernel is asked what it has
//! left; what the kernel does not tell (folders, ports, system calls) is what it was asked to leave.

use std::io::Write;
use std::path::Path;

use netperm::site::Site;
use smap::startup::Prepared;
use smap_common::confine::{self, NAMES, Reach, SetId, calls};
use smap_common::exit::Exit;
use smapd::{privileges, reach};

use crate::error::Error;
use crate::show::columns;
use trial::Trial;

mod trial;

/// A line of what a program has.
type Row = [String; 2];

/// Tries the confinement of each program that the table configures, and shows what is left on `out`.
///
/// # Errors
/// Everything that is wrong with the table, or `out` fails.
pub fn run(file: &Path, out: &mut impl Write) -> Result<Exit, Error> {
    let site = Site::load(file)?;
    let file = std::path::absolute(file).unwrap_or_else(|_| file.to_owned());
    let programs = [session(&site, &file), delivery(&site, &file), lookup(&site)];
    let mut exit = Exit::Ok;
    for (head, trial, rows) in programs {
        writeln!(out, "{head}")?;
        if trial.is_err() {
            exit = Exit::NoPerm;
        }
        out.write_all(columns(&[said(trial), rows].concat()).as_bytes())?;
        writeln!(out)?;
    }
    writeln!(out, "smapd's runner, of the same user")?;
    out.write_all(columns(&[runner(&site)]).as_bytes())?;
    Ok(exit)
}

fn row(name: &str, value: impl Into<String>) -> Row {
    [name.to_owned(), value.into()]
}

/// What the kernel says of the process that tried, and what could not be had.
fn said(trial: Result<Trial, String>) -> Vec<Row> {
    let trial = match trial {
        Ok(trial) => trial,
        Err(why) => return vec![row("not tried", why)],
    };
    let mut rows = trial.facts;
    let missing = match trial.missing.as_slice() {
        [] => vec!["nothing".to_owned()],
        _ => trial.missing,
    };
    rows.extend(missing.into_iter().map(|wall| row("missing", wall)));
    rows
}

fn session(site: &Site, file: &Path) -> (&'static str, Result<Trial, String>, Vec<Row>) {
    let trial = Prepared::load(file)
        .map_err(|faults| faults.to_string())
        .and_then(|prepared| Trial::of(|| prepared.confine().map_err(|error| error.to_string())));
    let rows = vec![
        row("creates files", format!("in {}", site.layout.incoming().display())),
        row("reads files", "none"),
        row("connects to", "nothing"),
        row("system calls", counted(calls::SESSION)),
    ];
    ("smap, one session", trial, rows)
}

fn delivery(site: &Site, file: &Path) -> (&'static str, Result<Trial, String>, Vec<Row>) {
    let reach = reach::at_start(site, file);
    let trial = Trial::of(|| {
        let missing = privileges::take(site).map_err(|error| error.to_string())?;
        let confined = confine::confine_delivery(&reach, missing, || Ok(()));
        confined.map(|(confined, ())| confined).map_err(|error| error.to_string())
    });
    ("smapd", trial, reached(&reach))
}

fn reached(reach: &Reach) -> Vec<Row> {
    let folders = reach.folders.iter().map(|folder| row("reads, writes", format!("in {}", folder.display())));
    let read = reach.read.iter().map(|folder| row("reads files", format!("in {}", folder.display())));
    let ports = reach.ports.iter().map(u16::to_string).collect::<Vec<_>>().join(", ");
    let ports = if ports.is_empty() { "nothing".to_owned() } else { format!("TCP ports {ports}") };
    let ports = [row("connects to", ports + ", Unix sockets"), row("system calls", counted(calls::DELIVERY))];
    folders.chain(read).chain(ports).collect()
}

/// As its own unit, or started by root's smapd.
fn lookup(site: &Site) -> (&'static str, Result<Trial, String>, Vec<Row>) {
    let ports = site.lookup_ports();
    let trial = Trial::of(|| {
        let account = site.lookup_account.as_ref().or(site.smapd_account.as_ref());
        let missing = confine::become_account(account, SetId::Ignored).map_err(|error| error.to_string())?;
        confine::confine_lookup(&ports, missing).map_err(|error| error.to_string())
    });
    let ports = ports.iter().map(u16::to_string).collect::<Vec<_>>().join(", ");
    let rows = vec![
        row("reads files", format!("in {}", NAMES.join(" "))),
        row("writes files", "none"),
        row("connects to", format!("TCP ports {ports}; UDP")),
        row("system calls", counted(calls::LOOKUP)),
    ];
    ("smap-lookup", trial, rows)
}

fn runner(site: &Site) -> Row {
    let programs = match (privileges::set_id_program(site), privileges::set_id(site)) {
        (Some(program), _) => format!("as that user, or more: {} is set-id", program.display()),
        (None, SetId::Honoured) => "as that user, or more where they are set-id".to_owned(),
        (None, SetId::Ignored) => "as that user, never more".to_owned(),
    };
    row("starts programs", programs)
}

/// How many there are.
fn counted(calls: calls::Calls) -> String {
    format!("{}, all others kill", calls.iter().count())
}
