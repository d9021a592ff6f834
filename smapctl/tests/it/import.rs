//! Every `import/*.mc` and `import/*.main.cf` comes out of `import` as its `.table`, which `check` takes.
//! `UPDATE_REFS=1 cargo test` writes them anew; read the diff.

use std::path::{Path, PathBuf};

use netperm::{Faults, Note, Syntax, Table};
use smapctl::import::{Kind, imported};

use crate::golden::{assert_golden, file};

/// A file that a source names lies in `import/files` under its own name.
fn named(path: &Path) -> Option<String> {
    let mine = path.starts_with("/etc").then(|| path.file_name()).flatten()?;
    std::fs::read_to_string(file("import/files").join(mine)).ok()
}

fn check(table: &str) -> Result<Vec<Note>, Faults> {
    // The others are empty.
    let content = |path: &Path| Ok((named(path).unwrap_or_default().into_bytes(), Vec::new()));
    Table::parse_with(Path::new("netperm-table"), table.as_bytes(), Syntax::Netperm, content)?.check()
}

fn kind(path: &Path) -> Kind {
    if path.extension().is_some_and(|extension| extension == "mc") { Kind::Sendmail } else { Kind::Postfix }
}

fn import(path: &Path, source: &str) -> String {
    let table = imported(Path::new(path.file_name().unwrap()), kind(path), source, &named).to_string();
    if let Err(faults) = check(&table) {
        panic!("{}\n{faults}\n{table}", path.display());
    }
    table
}

fn sources() -> Vec<PathBuf> {
    let entries = std::fs::read_dir(file("import")).unwrap().map(|entry| entry.unwrap().path());
    let is_source = |path: &PathBuf| path.extension().is_some_and(|found| found == "mc" || found == "cf");
    let mut sources: Vec<PathBuf> = entries.filter(is_source).collect();
    sources.sort();
    assert!(sources.len() >= 4);
    sources
}

#[test]
fn every_source_is_imported_as_its_reference() {
    for path in sources() {
        let table = import(&path, &std::fs::read_to_string(&path).unwrap());
        assert_golden(&PathBuf::from(format!("{}.table", path.display())), &table);
    }
}

#[test]
fn the_name_of_a_file_tells_what_it_is() {
    for (name, found) in [
        ("/etc/mail/sendmail.mc", Some(Kind::Sendmail)),
        ("/etc/postfix/main.cf", Some(Kind::Postfix)),
        ("main.cf.debian", Some(Kind::Postfix)),
        ("/etc/mail/sendmail.cf", None),
        ("mc", None),
    ] {
        assert_eq!(Kind::of(Path::new(name)).ok(), found, "{name}");
    }
}

/// Text that no administrator writes.
fn hostile() -> Vec<(&'static str, String)> {
    let million = 1 << 20;
    vec![
        ("x.mc", "`".repeat(million)),
        ("x.mc", format!("define(`confDOMAIN_NAME', `{}", "(`".repeat(million))),
        ("x.mc", format!("LOCAL_DOMAIN(`{}')", "example.com ".repeat(80_000))),
        ("x.mc", format!("RELAY_DOMAIN(`{}')", "a ".repeat(2000))),
        ("x.mc", format!("define(`SMART_HOST', `{}')", "[a]:".repeat(million / 4))),
        ("x.mc", "define(`SMART_HOST', `[a]\nsmap: permit-relay *')".to_owned()),
        ("x.mc", "MASQUERADE_AS(`a\nsmap: permit-relay *')\nEXPOSED_USER(`a\u{85}b\rc')".to_owned()),
        ("x.mc", "LOCAL_DOMAIN(`a\u{2028}b\u{1b}[2J')\nx\u{1b}y\r".to_owned()),
        ("x.mc", "define(`A', `A A A')\nFEATURE(A)\n".repeat(20_000)),
        ("x.mc", "FEATURE(`mailertable', `hash /etc/mail/mailertable # x')".to_owned()),
        ("x.cf", format!("myhostname = {}", "a".repeat(million))),
        ("x.cf", format!("mynetworks = {}", "$mynetworks ".repeat(80_000))),
        ("x.cf", format!("relay_domains = {}", "a,".repeat(10_000))),
        ("x.cf", "myhostname = gw\\\nsmtpd_timeout = 1s\\".to_owned()),
        ("x.cf", "relayhost = \"[a]\nrelay_domains = a\"b #c".to_owned()),
        ("x.cf", "relay_domains = \u{1b}[2J a\u{2028}b\u{85}smap:\n  permit-relay".to_owned()),
        ("x.cf", format!("mynetworks = {}", "${a?".repeat(million / 4))),
        ("x.cf", "\u{0}=\u{0}\n= b\n =\n  =\n".to_owned()),
    ]
}

#[test]
fn hostile_text_comes_to_a_table_that_says_nothing_of_it() {
    for (number, (name, source)) in hostile().into_iter().enumerate() {
        let table = import(Path::new(name), &source);
        let says = |line: &&str| line.contains("permit-relay") && !line.starts_with('#');
        let said: Vec<&str> =
            table.lines().filter(says).filter(|line| line.contains('*') && !line.contains("a *.a")).collect();
        assert!(said.is_empty(), "{number}: {said:?}");
        assert!(!table.contains(|c: char| c.is_control() && c != '\n'), "{number}");
    }
}
