//! `README.md` of the tests: its table says what each module of this binary is for.

use libtest_mimic::Trial;
use smap_tests::markdown::{self, quoted};

use crate::dialogues::trial;

pub(crate) fn trial_of_modules() -> Trial {
    trial("readme::every_module_is_named".to_owned(), every_module_is_named)
}

fn every_module_is_named() {
    let rows = markdown::rows(include_str!("../README.md"));
    let named: Vec<&str> = rows.iter().filter_map(|row| row.first()).flat_map(|cell| quoted(cell)).collect();
    let is_named = |module: &&str| {
        let rest = |name: &&str| name.strip_prefix("it/")?.strip_prefix(*module).map(str::to_owned);
        named.iter().filter_map(rest).any(|rest| rest.starts_with(['.', '/']))
    };
    let lines = include_str!("main.rs").lines();
    let modules: Vec<&str> = lines.filter_map(|line| line.strip_prefix("mod ")?.strip_suffix(';')).collect();
    assert!(!modules.is_empty(), "the list of modules was not understood");
    let missing: Vec<&&str> = modules.iter().filter(|module| !is_named(module)).collect();
    assert!(missing.is_empty(), "no row names these: {missing:?}");
}
