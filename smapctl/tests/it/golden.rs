//! Every `tables/*.in` comes out of `check` as its `.check`; every line `CLIENT FROM TO` of a `.ask` beside it
//! comes out of `explain` as in its `.explain`. `UPDATE_REFS=1 cargo test` writes them anew; read the diff.

use std::fmt::Write as _;
use std::path::{Path, PathBuf};

use clap::Parser;
use netperm::site::Site;
use netperm::{Syntax, Table};
use smap_common::clock::Timestamp;
use smap_common::spool::{Accounts, Layout, QueueId};
use smapctl::arguments::{Arguments, Command};
use smapctl::check::{Finding, Level, show};
use smapctl::explain::Explanation;
use smapctl::queue::{Attempt, Entry, Pending, Place, Summary, header, lines};

fn file(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests").join(name)
}

fn assert_golden(reference: &Path, found: &str) {
    if std::env::var_os("UPDATE_REFS").is_some() {
        std::fs::write(reference, found).unwrap();
    }
    let wanted = std::fs::read_to_string(reference).unwrap_or_default();
    assert_eq!(found, wanted, "{}", reference.display());
}

fn tables() -> Vec<PathBuf> {
    let entries = std::fs::read_dir(file("tables")).unwrap().map(|entry| entry.unwrap().path());
    let mut tables: Vec<PathBuf> =
        entries.filter(|path| path.extension().is_some_and(|e| e == "in")).collect();
    tables.sort();
    assert!(!tables.is_empty());
    tables
}

/// The table on a machine named gw.example.com.
fn site(table: &Table) -> Site {
    let ((smap, _), (smapd, _)) = (table.smap().unwrap(), table.smapd().unwrap());
    let accounts = Accounts { smap_uid: 501, smap_gid: 501, smapd_uid: 502 };
    Site {
        hostname: smap.hostname.clone().unwrap_or_else(|| "gw.example.com".parse().unwrap()),
        smap_account: None,
        smapd_account: None,
        layout: Layout::new(&smap.directory, accounts),
        notes: Vec::new(),
        smap,
        smapd,
    }
}

/// What a table names as a mailertable lies beside it.
fn read(path: &Path) -> Table {
    let bytes = std::fs::read(path).unwrap();
    let named = |_: &Path| Ok((std::fs::read(path.with_extension("mailertable")).unwrap(), Vec::new()));
    Table::parse_with(Path::new("netperm-table"), &bytes, Syntax::Netperm, named).unwrap()
}

#[test]
fn check_shows_each_table_as_its_reference() {
    for path in tables() {
        let table = read(&path);
        let noted = table.check().unwrap().into_iter();
        let mut findings: Vec<Finding> = noted
            .map(|note| Finding { level: Level::Note, text: format!("{}: {}", note.place, note.text) })
            .collect();
        findings.push(Finding { level: Level::Ok, text: "something that is right".to_owned() });
        findings.push(Finding { level: Level::Warning, text: "something that is not so good".to_owned() });
        let shown = show(Path::new("netperm-table"), &site(&table), &findings);
        assert_golden(&path.with_extension("check"), &shown);
    }
}

fn question(line: &str) -> Command {
    let [client, from, to] = line.split(' ').collect::<Vec<_>>().try_into().unwrap();
    let words = ["smapctl", "explain", "--client", client, "--from", from, "--to", to];
    Arguments::try_parse_from(words).unwrap().command
}

#[test]
fn explain_answers_each_question_as_its_reference() {
    for path in tables() {
        let site = site(&read(&path));
        let questions = std::fs::read_to_string(path.with_extension("ask")).unwrap();
        let mut answers = String::new();
        for line in questions.lines() {
            let Command::Explain(question) = question(line) else { panic!("{line}") };
            writeln!(answers, "{}", Explanation::of(&site, &question)).unwrap();
        }
        assert_golden(&path.with_extension("explain"), &answers);
    }
}

const NOW: u64 = 1_795_247_311;

fn at(seconds: u64) -> Timestamp {
    Timestamp::from_micros(seconds * 1_000_000)
}

fn id(number: u64) -> QueueId {
    QueueId::new(at(NOW), number)
}

fn entries() -> Vec<Entry> {
    let attempt = |relay: &str, reply: &str| Attempt {
        at: at(NOW - 60),
        status: "4.4.1".to_owned(),
        relay: relay.to_owned(),
        reply: reply.to_owned(),
    };
    let pending = |address: &str, last| Pending { address: address.to_owned(), last };
    vec![
        Entry::Message {
            id: id(1),
            folder: Place::Incoming,
            size: 812,
            arrived: at(NOW - 3),
            sender: "<a@example.org>".to_owned(),
            recipients: vec![pending("<c@example.com>", None)],
            of: 1,
            attempts: 0,
            next: None,
        },
        Entry::Message {
            id: id(2),
            folder: Place::Queue,
            size: 3_600_000,
            arrived: at(NOW - 11_525),
            sender: "<>".to_owned(),
            recipients: vec![
                pending("<d@example.com>", Some(attempt("mail.inside[10.0.0.5]:25", "451 later\u{1b}[2J"))),
                pending("<e@example.com>", Some(attempt("", "connection refused"))),
            ],
            of: 5,
            attempts: 4,
            next: Some(at(NOW + 305)),
        },
        Entry::Writing { id: id(3) },
        Entry::Unfinished { id: id(4) },
        Entry::Bad { id: id(5), why: "the checksum is wrong".to_owned() },
    ]
}

#[test]
fn the_queue_is_shown_in_columns() {
    let mut summary = Summary { set_aside: 2, ..Summary::default() };
    let mut text = header();
    for entry in entries() {
        text += &lines(&entry, at(NOW));
        summary.add(&entry);
    }
    assert_golden(&file("queue.text"), &format!("{text}{summary}\n"));
}

#[test]
fn the_queue_is_json() {
    let text: String = entries().iter().map(|entry| serde_json::to_string(entry).unwrap() + "\n").collect();
    assert_golden(&file("queue.json"), &text);
}

#[test]
fn an_empty_queue_says_so() {
    assert_eq!(Summary::default().to_string(), "the queue is empty");
}
