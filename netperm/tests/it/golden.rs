//! Tables as files: every `tables/*.in` and every `tables/*.toml` without an `.in` beside it comes out as
//! its `.ref`; a `.toml` beside an `.in` comes out as the same configuration.
//!
//! `UPDATE_REFS=1 cargo test` writes the `.ref` files anew; read the diff.

use std::fmt::Write as _;
use std::path::{Path, PathBuf};

use netperm::{Faults, Syntax, Table};

use crate::compiled::Compiled;

/// The name that stands in every message.
const FILE: &str = "netperm-table";

/// What a table names as `/etc/mail/NAME` is `tables/mail/NAME`.
fn read(file: &Path) -> Result<Table, Faults> {
    let named = |named: &Path| {
        let name = named.strip_prefix("/etc/mail").map_err(|_| "there is no such file".to_owned())?;
        Ok((std::fs::read(folder().join("mail").join(name)).unwrap(), Vec::new()))
    };
    Table::parse_with(Path::new(FILE), &std::fs::read(file).unwrap(), Syntax::of(file), named)
}

fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/tables")
}

fn configuration(table: &Table) -> Result<String, Faults> {
    Ok(format!("{}{}{}", table.smap()?.0, table.smapd()?.0, table.lookup()?.0))
}

/// The lines of the mailertable, each with the transport that it comes to for this user of any domain.
fn mailertable(table: &Table) -> Result<String, Faults> {
    let (smapd, _) = table.smapd()?;
    let recipient = "user@any.domain".parse().unwrap();
    let entries = smapd.mailertable.iter().flat_map(|mailertable| mailertable.entries());
    Ok(entries.map(|entry| format!("{} -> {}\n", entry.value, entry.transport(&recipient, "any"))).collect())
}

/// Configuration and notes, or everything that is wrong; the same whether the files that it names were compiled or not.
fn rendered(file: &Path) -> String {
    let table = match read(file) {
        Ok(table) => table,
        Err(faults) => return format!("{faults}\n"),
    };
    let compiled = Compiled::of(&table);
    let bytes = std::fs::read(file).unwrap();
    let compiled = Table::parse_with(Path::new(FILE), &bytes, Syntax::of(file), compiled);
    let said = shown(&table);
    assert_eq!(shown(&compiled.unwrap()), said, "{}", file.display());
    said
}

fn shown(table: &Table) -> String {
    match configuration(table).and_then(|text| Ok((text + &mailertable(table)?, table.check()?))) {
        Ok((mut text, notes)) => {
            notes.iter().for_each(|note| writeln!(text, "{note}").unwrap());
            text
        }
        Err(faults) => format!("{faults}\n"),
    }
}

fn tables(extension: &str) -> Vec<PathBuf> {
    let mut files: Vec<PathBuf> = std::fs::read_dir(folder())
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .filter(|file| file.extension().is_some_and(|found| found == extension))
        .collect();
    files.sort();
    assert!(!files.is_empty());
    files
}

fn differs_from_its_ref(file: &Path) -> Option<String> {
    let reference = file.with_extension("ref");
    let found = rendered(file);
    if std::env::var_os("UPDATE_REFS").is_some() {
        std::fs::write(&reference, &found).unwrap();
    }
    let wanted = std::fs::read_to_string(&reference).unwrap_or_default();
    (found != wanted).then(|| format!("{}: found\n{found}wanted\n{wanted}", file.display()))
}

#[test]
fn every_table_comes_out_as_its_ref_says() {
    let lone_toml = tables("toml").into_iter().filter(|file| !file.with_extension("in").exists());
    let wrong: Vec<String> =
        tables("in").into_iter().chain(lone_toml).filter_map(|file| differs_from_its_ref(&file)).collect();
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn a_table_says_the_same_as_its_toml_twin() {
    let twins: Vec<PathBuf> =
        tables("toml").into_iter().filter(|file| file.with_extension("in").exists()).collect();
    assert!(twins.len() >= 3);
    for twin in twins {
        let toml = configuration(&read(&twin).unwrap()).unwrap();
        let netperm = configuration(&read(&twin.with_extension("in")).unwrap()).unwrap();
        assert_eq!(toml, netperm, "{}", twin.display());
    }
}

#[test]
fn what_is_shown_of_a_table_is_a_table_that_says_the_same() {
    for file in tables("in") {
        let Ok(shown) = read(&file).and_then(|table| configuration(&table)) else { continue };
        let again = Table::parse(Path::new(FILE), shown.as_bytes(), Syntax::Netperm).unwrap();
        assert_eq!(configuration(&again).unwrap(), shown, "{}", file.display());
    }
}
