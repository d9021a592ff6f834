//! Decisions as files: every `policy/*.in` is a table, the files that it names and questions; each question comes out
//! as in the `.ref`.
//!
//! `UPDATE_REFS=1 cargo test` writes the `.ref` files anew; read the diff.

use std::fmt::Write as _;
use std::path::{Path, PathBuf};

use netperm::policy::{Facts, Verdict, connect, recipient, sender};
use netperm::{Client, ClientName, Smap, Syntax, Table};
use smap_common::address::{Domain, ReversePath, parse_path};

use crate::compiled::Compiled;

/// Begins a part of a file: the table, what it names, or the questions.
const PART: &str = "== ";

fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/policy")
}

fn part<'a>(text: &'a str, name: &str) -> Option<&'a str> {
    let parts = text.split(PART).filter_map(|part| part.split_once('\n'));
    parts.into_iter().find(|(title, _)| *title == name).map(|(_, content)| content)
}

/// What the table names as `/etc/mail/NAME` is the part of that name; and the same by what is compiled of it.
fn tables(text: &str) -> [Smap; 2] {
    let named = |file: &Path| {
        let name = file.file_name().unwrap().to_str().unwrap();
        let content = part(text, name).ok_or_else(|| "there is no such file".to_owned())?;
        Ok((content.as_bytes().to_vec(), Vec::new()))
    };
    let lines = part(text, "netperm-table").unwrap();
    let table = Table::parse_with(Path::new("t"), lines.as_bytes(), Syntax::Netperm, named);
    let table = table.unwrap_or_else(|faults| panic!("{faults}"));
    let compiled = Compiled::of(&table);
    let compiled = Table::parse_with(Path::new("t"), lines.as_bytes(), Syntax::Netperm, compiled).unwrap();
    [table, compiled].map(|table| table.smap().unwrap().0)
}

/// `ADDRESS`, `NAME[,NAME]/ADDRESS`, `unknown/ADDRESS`, `fails/ADDRESS`
fn client(text: &str) -> Client {
    let (name, address) = text.rsplit_once('/').map_or((None, text), |(name, address)| (Some(name), address));
    let name = match name {
        None => ClientName::NotAsked,
        Some("unknown") => ClientName::Unknown,
        Some("fails") => ClientName::Failed("no answer".to_owned()),
        Some(names) => ClientName::Known(names.split(',').map(|name| name.parse().unwrap()).collect()),
    };
    Client { address: Some(address.parse().unwrap()), name }
}

fn said(verdict: &Verdict<'_>) -> String {
    let word = match verdict {
        Verdict::Permit(_) => "permit",
        Verdict::Refuse(_) => "refuse",
        Verdict::Discard(_) => "discard",
        Verdict::Ask(..) => "ask",
        Verdict::NotNow(_) => "not now",
    };
    let reason = verdict.reason();
    let reply = reason.reply().filter(|_| matches!(verdict, Verdict::Refuse(_)));
    let reply = reply.map(|reply| format!(" -> {reply}")).unwrap_or_default();
    format!("{word}: {reason} ({}){reply}", reason.id())
}

/// `connect CLIENT`, `from PATH`, `to CLIENT PATH`
fn answered(smap: &Smap, question: &str) -> String {
    let hostname: Domain = "gw.example.com".parse().unwrap();
    let (kind, rest) = question.split_once(' ').unwrap();
    match kind {
        "connect" => said(&connect(smap, &Facts::of(&client(rest)))),
        "from" => {
            let (path, _) = ReversePath::parse_prefix(rest.as_bytes()).unwrap();
            let client = client("192.0.2.1");
            said(&sender(smap, &Facts { sender: Some(&path), ..Facts::of(&client) }))
        }
        "to" => {
            let (who, path) = rest.split_once(' ').unwrap();
            match parse_path(path.as_bytes()) {
                Ok((to, b"")) => said(&recipient(smap, &hostname, &Facts::of(&client(who)), &to)),
                Ok((_, rest)) => format!("no address: {:?} follows", String::from_utf8_lossy(rest)),
                Err(fault) => format!("no address: {fault}"),
            }
        }
        _ => panic!("{question}"),
    }
}

fn answers(file: &Path) -> String {
    let text = std::fs::read_to_string(file).unwrap();
    let [smap, compiled] = tables(&text);
    let mut answers = String::new();
    for line in part(&text, "questions").unwrap().lines() {
        match line.is_empty() || line.starts_with('#') {
            true => writeln!(answers, "{line}").unwrap(),
            false => {
                let said = answered(&smap, line);
                assert_eq!(answered(&compiled, line), said);
                writeln!(answers, "{line}\n    {said}").unwrap();
            }
        }
    }
    answers
}

#[test]
fn every_question_is_answered_as_its_ref_says() {
    let files = std::fs::read_dir(folder()).unwrap().map(|entry| entry.unwrap().path());
    let files: Vec<PathBuf> =
        files.filter(|file| file.extension().is_some_and(|found| found == "in")).collect();
    assert!(files.len() >= 3);
    for file in files {
        let (found, reference) = (answers(&file), file.with_extension("ref"));
        if std::env::var_os("UPDATE_REFS").is_some() {
            std::fs::write(&reference, &found).unwrap();
        }
        let wanted = std::fs::read_to_string(&reference).unwrap_or_default();
        assert!(found == wanted, "{}: found\n{found}wanted\n{wanted}", file.display());
    }
}
