//! Compiled tables of which a row cannot be read any more: nobody is told for good what may not be so.

use std::path::Path;

use netperm::expand::{Why, expand};
use netperm::policy::{Facts, Route, recipient, route};
use netperm::recipients::exists;
use netperm::{Client, ClientName, Syntax, Table};
use smap_common::address::{Address, Domain};

use crate::compiled::Compiled;

/// A table whose only file has this row, compiled, and then damaged so that it has no line any more.
fn damaged(lines: &str, row: &str, value: &str) -> Table {
    let text = |_: &Path| Ok((format!("{row}\n").into_bytes(), Vec::new()));
    let (file, syntax) = (Path::new("t"), Syntax::Netperm);
    let mut made = Compiled::of(&Table::parse_with(file, lines.as_bytes(), syntax, text).unwrap());
    made.0.values_mut().for_each(|bytes| damage(bytes, &format!("1 {value}")));
    Table::parse_with(file, lines.as_bytes(), syntax, made).unwrap()
}

/// Puts another octet wherever a text begins.
fn damage(bytes: &mut [u8], text: &str) {
    let found = (0..bytes.len()).filter(|at| bytes[*at..].starts_with(text.as_bytes()));
    let found: Vec<usize> = found.collect();
    assert!(!found.is_empty(), "{text:?} stands nowhere");
    found.into_iter().for_each(|at| bytes[at] = b'?');
}

fn hostname() -> Domain {
    "gw.example".parse().unwrap()
}

fn address(text: &str) -> Address {
    text.parse().unwrap()
}

/// What a recipient is told, of a client at 192.0.2.1.
fn told(table: &Table, to: &str) -> String {
    let smap = table.smap().unwrap().0;
    let client = Client { address: Some([192, 0, 2, 1].into()), name: ClientName::Unknown };
    let hostname = hostname();
    let verdict = recipient(&smap, &hostname, &Facts::of(&client), &address(to));
    assert!(!verdict.is_permit());
    verdict.reason().reply().unwrap().to_string()
}

fn existence(table: &Table, of: &str) -> String {
    let smap = table.smap().unwrap().0;
    exists(&smap.people(&hostname()), &[], &address(of)).to_string()
}

/// Why nobody is delivered to.
fn refused(table: &Table, to: &str) -> Why {
    let smapd = table.smapd().unwrap().0;
    let mut found = expand(&smapd.people(&hostname()), &address(to), &mut |_| Err("none".to_owned()));
    assert!(found.recipients.is_empty(), "{found:?}");
    found.refused.remove(0).why
}

fn way(table: &Table, to: &str) -> String {
    let smapd = table.smapd().unwrap().0;
    match route(&smapd, &hostname(), &address(to)) {
        Route::Through { transport, .. } => transport.to_string(),
        Route::Nowhere { reason, .. } => panic!("{reason}"),
    }
}

const LATER: &str = "451 4.3.5 Local configuration error, try again later";
const NO_WAY_YET: &str = "error:4.3.5:451 Local configuration error, try again later";
const MENDED: &str = "/f: /f.cdb is damaged: smapctl compile /f";

#[test]
fn a_row_of_access_refuses_for_now() {
    let table = damaged("smap: access /f\nsmap: domain a.example discard", "To:u@a.example OK", "OK");
    assert_eq!(told(&table, "u@a.example"), LATER);
    let table = damaged("smap: access /f", "192.0.2 RELAY", "RELAY");
    assert_eq!(told(&table, "u@b.example"), LATER);
}

#[test]
fn a_row_of_a_virtusertable_makes_nobody_unknown() {
    let lines = "smap, smapd: virtusertable /f\nsmap, smapd: recipients a.example virtusertable";
    let table = damaged(lines, "u@a.example joe", "joe");
    assert!(existence(&table, "u@a.example").starts_with("not now: "));
    assert!(matches!(refused(&table, "u@a.example"), Why::Error(later) if later.to_string() == NO_WAY_YET));
    assert!(existence(&table, "v@a.example").starts_with("no: "));
}

#[test]
fn a_row_of_aliases_makes_nobody_unknown_and_reaches_nobody() {
    let lines = "smap, smapd: aliases /f\nsmap, smapd: recipients a.example aliases";
    let table = damaged(lines, "u: joe", "0 joe");
    assert_eq!(existence(&table, "u@a.example"), format!("not now: {MENDED}"));
    assert_eq!(refused(&table, "u@a.example"), Why::Unreadable(MENDED.to_owned()));
}

#[test]
fn a_line_of_users_makes_nobody_unknown() {
    let table = damaged("smap: recipients a.example file:/f", "u", "-");
    assert_eq!(existence(&table, "u@a.example"), format!("not now: {MENDED}"));
    let table = damaged("smap: recipients a.example file:/f any", "u", "-");
    assert!(existence(&table, "u@a.example").starts_with("yes: "));
}

#[test]
fn mail_waits_for_a_line_of_a_mailertable() {
    let table = damaged("smap: mailertable /f", "a.example smtp:[10.0.0.5]", "smtp");
    assert_eq!(told(&table, "u@a.example"), LATER);
    let table = damaged("smapd: mailertable /f", ".a.example smtp:[10.0.0.5]", "smtp");
    assert_eq!(way(&table, "u@b.a.example"), NO_WAY_YET);
}

#[test]
fn a_name_of_ours_is_not_taken_for_a_strangers() {
    let table = damaged("smap, smapd: local-host-names /f", "a.example", "-");
    assert_eq!(told(&table, "u@a.example"), LATER);
    assert_eq!(way(&table, "u@a.example"), NO_WAY_YET);
}

#[test]
fn who_may_relay_is_not_refused_for_good() {
    for (row, to) in [("a.example", "u@a.example"), ("192.0.2", "u@b.example")] {
        let table = damaged("smap: relay-domains /f", row, "-");
        assert_eq!(told(&table, to), LATER);
    }
}
