//! `FAULTS.md`: what other programs got wrong, and the tests that hold it here. Every row names tests, and every test
//! that is named is there: one of this binary, a dialogue, or one of a crate.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

use libtest_mimic::Trial;
use smap_tests::markdown::{self, quoted};
use smap_tests::programs::workspace;

use crate::dialogues::trial;

const CRATES: [&str; 5] = ["common", "netperm", "smap", "smapd", "smapctl"];

/// `others` are the tests that this binary has.
pub(crate) fn trials(others: &[Trial]) -> [Trial; 2] {
    let known: BTreeSet<String> = others.iter().map(|trial| trial.name().to_owned()).collect();
    [
        trial("faults::every_test_that_is_named_exists".to_owned(), || {
            every_test_that_is_named_exists(known)
        }),
        trial("faults::every_row_names_a_test".to_owned(), every_row_names_a_test),
    ]
}

/// The rows of the tables in their order; the last cell names the tests.
fn rows() -> Vec<Vec<&'static str>> {
    markdown::rows(include_str!("../FAULTS.md"))
}

fn tests_of<'a>(row: &[&'a str]) -> Vec<&'a str> {
    row.last().map(|cell| quoted(cell)).unwrap_or_default()
}

fn every_row_names_a_test() {
    let rows = rows();
    assert!(!rows.is_empty(), "the tables were not understood");
    let silent: Vec<_> = rows.iter().filter(|row| tests_of(row).is_empty()).collect();
    assert!(silent.is_empty(), "no test holds these: {silent:#?}");
    let torn: Vec<_> = rows.iter().filter(|row| !(3..=4).contains(&row.len())).collect();
    assert!(torn.is_empty(), "these have another number of cells: {torn:#?}");
}

fn every_test_that_is_named_exists(mut known: BTreeSet<String>) {
    CRATES.iter().for_each(|name| add_tests_below(&workspace().join(name), &mut known));
    let dialogues = entries(&workspace().join("tests/transcripts"));
    known.extend(dialogues.iter().map(|file| file.file_stem().unwrap().to_string_lossy().into_owned()));
    let rows = rows();
    let named = rows.iter().flat_map(|row| tests_of(row));
    let missing: BTreeSet<&str> = named.filter(|name| !known.contains(*name)).collect();
    assert!(missing.is_empty(), "there are no such tests: {missing:#?}");
}

fn entries(folder: &Path) -> Vec<PathBuf> {
    fs::read_dir(folder).expect("the folder is there").map(|entry| entry.unwrap().path()).collect()
}

fn add_tests_below(folder: &Path, known: &mut BTreeSet<String>) {
    for path in entries(folder) {
        if path.is_dir() {
            add_tests_below(&path, known);
        } else if path.extension().is_some_and(|kind| kind == "rs") {
            known.extend(tests_in(&fs::read_to_string(&path).expect("a source is text")));
        }
    }
}

/// What stands behind `#[test]`, with at most two lines between.
fn tests_in(source: &str) -> Vec<String> {
    let lines: Vec<&str> = source.lines().map(str::trim).collect();
    let marked = lines.iter().enumerate().filter(|(_, line)| **line == "#[test]");
    let function = |at: usize| {
        let line = lines[at + 1..].iter().take(3).find_map(|line| line.strip_prefix("fn "))?;
        line.split_once('(').map(|(name, _)| name.to_owned())
    };
    marked.filter_map(|(at, _)| function(at)).collect()
}
