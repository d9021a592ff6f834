//! Whatever the tables say of who somebody is: an answer that ends and names lines that exist.

use std::path::Path;

use netperm::expand::{MOST_STEPS, expand};
use netperm::recipients::exists;
use netperm::{Syntax, Table};
use proptest::prelude::*;
use smap_common::address::{Address, Domain};

/// Pieces of all three kinds of tables.
const PIECES: [&str; 36] = [
    "a",
    "b",
    "u",
    "a@x",
    "b@x",
    "@x",
    "+*@x",
    "a+*",
    "++@x",
    "%1",
    "%2",
    "%3",
    "%",
    "@",
    "@y",
    "\t",
    " ",
    "\n",
    "\n ",
    ":",
    ",",
    "#",
    "\"",
    "\\",
    "\\\n",
    "|p ",
    "|",
    "/f",
    ":include:/i",
    "error:",
    "nouser ",
    "5.1.1:550 no",
    "(",
    ")",
    "<",
    ">",
];

const TABLE: &[u8] = b"smap, smapd: virtusertable /v\nsmap, smapd: aliases /a\n\
    smap, smapd: recipients x aliases file:/u passwd\nsmapd: safe-programs /p\nsmapd: safe-files /f\n";

fn holds(virtusertable: &[u8], aliases: &[u8], included: &[u8], to: &str) {
    let read = |file: &Path| {
        let text = match file.to_str() {
            Some("/v") => virtusertable,
            Some("/a") => aliases,
            _ => included,
        };
        Ok((text.to_vec(), Vec::new()))
    };
    let lines = |bytes: &[u8]| bytes.split(|byte| *byte == b'\n').count();
    let most = lines(virtusertable).max(lines(aliases)).max(lines(included)).max(lines(TABLE));
    let table = match Table::parse_with(Path::new("t"), TABLE, Syntax::Netperm, read) {
        Ok(table) => table,
        Err(faults) => {
            let named = |line: u32| usize::try_from(line).unwrap();
            assert!(faults.iter().all(|fault| named(fault.place.line_number().unwrap()) <= most));
            return;
        }
    };
    let hostname: Domain = "x".parse().unwrap();
    let to: Address = to.parse().unwrap();
    let (smap, smapd) = (table.smap().unwrap().0, table.smapd().unwrap().0);
    assert!(!exists(&smap.people(&hostname), &[], &to).to_string().is_empty());
    let found = expand(&smapd.people(&hostname), &to, &mut |_| Ok(included.to_vec()));
    assert!(!(found.recipients.is_empty() && found.refused.is_empty()), "mail for {to} would be lost");
    for chain in found.recipients.iter().map(|found| &found.chain) {
        assert!(chain.len() <= MOST_STEPS && chain.steps().len() == chain.len());
    }
    let mut shown: Vec<String> = found.recipients.iter().map(|found| found.to.to_string()).collect();
    assert!(shown.iter().all(|to| !to.contains(char::is_control)));
    let all = shown.len();
    shown.sort();
    shown.dedup();
    assert_eq!(shown.len(), all, "somebody is named twice");
}

fn pieces() -> impl Strategy<Value = String> {
    prop::collection::vec(prop::sample::select(PIECES.to_vec()), 0..14).prop_map(|pieces| pieces.concat())
}

/// Aliases that are right, and lead to each other as they like.
fn rows() -> impl Strategy<Value = String> {
    let names =
        || prop::sample::select(vec!["a", "b", "c", "a+x", "a@x", "b@x", "c@y", "\\a", ":include:/i"]);
    let row = (prop::sample::select(vec!["a", "b", "c"]), prop::collection::vec(names(), 1..4));
    prop::collection::hash_map(row.0, row.1, 0..4).prop_map(|rows| {
        rows.into_iter().map(|(name, targets)| format!("{name}: {}\n", targets.join(", "))).collect()
    })
}

proptest! {
    #[test]
    fn arbitrary_bytes_never_bring_the_readers_down(bytes in prop::collection::vec(any::<u8>(), 0..300)) {
        holds(&bytes, &bytes, &bytes, "a@x");
    }

    #[test]
    fn pieces_of_tables_never_bring_the_readers_down(
        texts in (pieces(), pieces(), pieces()),
        to in prop::sample::select(vec!["a@x", "a+b@x", "u@y", "postmaster"]),
    ) {
        holds(texts.0.as_bytes(), texts.1.as_bytes(), texts.2.as_bytes(), to);
    }

    #[test]
    fn aliases_that_lead_to_each_other_lose_nobody(
        aliases in rows(),
        included in prop::collection::vec(prop::sample::select(vec!["a", "b@x", "c", "d@y", ":include:/j"]), 1..4),
        to in prop::sample::select(vec!["a@x", "b@x", "a+x@x", "c@x"]),
    ) {
        holds(b"c@y a@x\n", aliases.as_bytes(), included.join("\n").as_bytes(), to);
    }
}
