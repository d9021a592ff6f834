//! Every `tables/*.in` comes out of `check` as its `.check`; every line `CLIENT FROM TO [OPTION]` of a `.ask` beside
//! it comes out of `explain` as in its `.explain`. `UPDATE_REFS=1 cargo test` writes them anew; read the diff.

use std::fmt::Write as _;
use std::path::{Path, PathBuf};

use clap::Parser;
use netperm::site::Site;
use netperm::{Syntax, Table};
use smap_common::clock::Timestamp;
use smap_common::spool::{Accounts, Draft, Incoming, Layout, Message, Opened, QueueId};
use smapctl::arguments::{Arguments, Command, Filter, Queue};
use smapctl::check::{Finding, Level, show};
use smapctl::explain::Explanation;
use smapctl::queue::{Attempt, Details, Entry, Pending, Place, Summary, details, header, line, lines, total};
use smapctl::trace::{self, Follower, Trace};
use smapd::control::{Effect, Verb};

pub(crate) fn file(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests").join(name)
}

pub(crate) fn assert_golden(reference: &Path, found: &str) {
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
pub(crate) fn site(table: &Table) -> Site {
    let ((smap, _), (smapd, _)) = (table.smap().unwrap(), table.smapd().unwrap());
    let (lookup, _) = table.lookup().unwrap();
    let accounts = Accounts { smap_uid: 501, smap_gid: 501, smapd_uid: 502 };
    Site {
        hostname: smap.hostname.clone().unwrap_or_else(|| "gw.example.com".parse().unwrap()),
        smap_account: None,
        smapd_account: None,
        lookup_account: None,
        layout: Layout::new(&smap.directory, accounts),
        notes: Vec::new(),
        warnings: Vec::new(),
        shadow: None,
        smap,
        smapd,
        lookup,
    }
}

/// What a table names as `/etc/mail/NAME` lies beside it.
pub(crate) fn read(path: &Path) -> Table {
    let bytes = std::fs::read(path).unwrap();
    let named = |named: &Path| {
        let beside = path.with_extension(named.file_name().unwrap());
        Ok((std::fs::read(beside).unwrap(), Vec::new()))
    };
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
    let mut words = line.split(' ');
    let [client, from, to] = std::array::from_fn(|_| words.next().unwrap());
    let asked = ["smapctl", "explain", "--client", client, "--from", from, "--to", to];
    Arguments::try_parse_from(asked.into_iter().chain(words)).unwrap().command
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

fn pending(address: &str, last: Option<Attempt>) -> Pending {
    Pending { address: address.to_owned(), original: None, last }
}

fn held() -> Entry {
    Entry::Message {
        id: id(6),
        folder: Place::Queue,
        size: 100,
        arrived: at(NOW - 90_000),
        sender: "<a@example.org>".to_owned(),
        recipients: vec![pending("<f@example.net>", None)],
        of: 1,
        attempts: 1,
        next: Some(at(NOW + 305)),
        held: true,
    }
}

fn entries() -> Vec<Entry> {
    let attempt = |relay: &str, reply: &str| Attempt {
        at: at(NOW - 60),
        status: "4.4.1".to_owned(),
        relay: relay.to_owned(),
        reply: reply.to_owned(),
    };
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
            held: false,
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
            held: false,
        },
        held(),
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

/// Those of [`entries`] that a filter wants.
fn wanted(arguments: &[&str]) -> Vec<usize> {
    let words = ["smapctl", "queue", "list"].iter().chain(arguments);
    let Command::Queue(Queue::List { filter, .. }) = Arguments::try_parse_from(words).unwrap().command else {
        panic!("{arguments:?}")
    };
    let hostname = "gw.example.com".parse().unwrap();
    let all = entries();
    let wanted = all.iter().enumerate().filter(|(_, entry)| filter.wants(entry, &hostname, at(NOW)));
    wanted.map(|(number, _)| number).collect()
}

#[test]
fn a_list_can_be_filtered() {
    assert_eq!(wanted(&[]), [0, 1, 2, 3, 4, 5]);
    assert!(Filter::default().wants_all());
    for (arguments, numbers) in [
        (&["--held"][..], &[2][..]),
        (&["--sender", "*@EXAMPLE.org"], &[0, 2]),
        (&["--sender", "<>"], &[1]),
        (&["--recipient", "e@*"], &[1]),
        (&["--domain", "Example.com"], &[0, 1]),
        (&["--domain", "ample.com"], &[]),
        (&["--older", "2h"], &[1, 2]),
        (&["--older", "2h", "--domain", "example.net"], &[2]),
    ] {
        assert_eq!(wanted(arguments), numbers, "{arguments:?}");
    }
}

const TEXT: &str = "Subject: =?utf-8?q?hello?=\r\nX-Bad: \u{1b}[2J \u{202e}txt\r\n\tfolded\r\n\r\nBody \u{7}.\r\n\r\nEnd\r\n";
const ENVELOPE: &str = "TIME 1795235786.0\nCLIENT 192.0.2.7:40112\nEHLO mail.example.org\nROLE mx\n\
                        FROM <a@example.org>\nRCPT <c@example.com>\nRCPT <d@example.com>\nRCPT <e@example.net>\n\n";
const STATE: [&str; 6] = [
    "mark 0 1795235787.0 delivered 2.0.0 relay=mail.inside[10.0.0.5]:25 reply=250 ok",
    "mark 1 1795235787.0 deferred 4.4.1 relay= reply=connection refused",
    "next 1 1795236087.0",
    "warned 1795240000.0",
    "mark 1 1795240000.0 deferred 4.3.0 relay=mail.inside[10.0.0.5]:25 reply=451 later",
    "order 1795247000.0 hold by=1000 text=",
];

fn known(body: bool) -> Details {
    known_of(TEXT, body)
}

fn known_of(text: &str, with_body: bool) -> Details {
    let folder = tempfile::tempdir().unwrap();
    let written = format!("smap 1\nID {}\n{ENVELOPE}", id(1));
    let (envelope, _) = smap_common::envelope::Envelope::parse(written.as_bytes()).unwrap();
    let open = || std::fs::File::open(folder.path()).unwrap();
    let mut draft = Draft::begin(&Incoming::new(open().into()), &envelope).unwrap();
    draft.write(text.as_bytes()).unwrap();
    let _committed = draft.commit().unwrap();
    let uid = nix::unistd::geteuid().as_raw();
    let expected = smap_common::spool::Expected { owners: [uid, uid], maxbytes: 1000 };
    let found = Message::open(std::os::fd::AsFd::as_fd(&open()), id(1).as_str(), &expected).unwrap();
    let Opened::Message(message) = found else { panic!("{found:?}") };
    let state: String =
        STATE.iter().map(|line| format!("{:08x} {line}\n", crc32fast::hash(line.as_bytes()))).collect();
    Details::of(Place::Queue, &message, state.as_bytes(), with_body).unwrap()
}

#[test]
fn a_message_that_begins_with_an_empty_line_has_no_header() {
    let known = known_of("\r\nA: b\r\n\r\nC\r\n", true);
    assert_eq!((known.header.as_str(), known.body.as_deref()), ("", Some("A: b\n\nC\n")));
}

#[test]
fn a_message_is_shown_as_its_reference() {
    assert_golden(&file("show.text"), &details(&known(false), at(NOW)));
    assert_golden(&file("show-body.text"), &details(&known(true), at(NOW)));
    assert_golden(&file("show.json"), &(serde_json::to_string_pretty(&known(true)).unwrap() + "\n"));
}

#[test]
fn what_became_of_an_order_is_shown_as_its_reference() {
    let effects = [
        Effect::Done,
        Effect::AfterAttempt,
        Effect::UnderWay,
        Effect::Held,
        Effect::NotHeld,
        Effect::Unknown,
        Effect::Failed("no room\u{1b}[2J".to_owned()),
    ];
    let mut text = String::new();
    for verb in [Verb::Hold, Verb::Release, Verb::Retry, Verb::Delete, Verb::Bounce(String::new())] {
        writeln!(text, "{}", verb.as_str()).unwrap();
        let can_be = |effect: &&Effect| match effect {
            Effect::Done | Effect::Unknown | Effect::Failed(_) => true,
            Effect::AfterAttempt => !matches!(verb, Verb::Release | Verb::Retry),
            Effect::UnderWay | Effect::Held => verb == Verb::Retry,
            Effect::NotHeld => verb == Verb::Release,
        };
        effects.iter().filter(can_be).for_each(|effect| text += &line(id(1), &verb, effect));
        let counts = [("done", 2), ("after-attempt", 1), ("unknown", 1)].into();
        writeln!(text, "{}\n{}\n", total(&verb, &counts), total(&verb, &[("done", 1)].into())).unwrap();
    }
    assert_golden(&file("orders.text"), &text);
}

#[test]
fn a_trace_is_shown_as_its_reference() {
    let log = std::fs::read_to_string(file("trace.log")).unwrap();
    for (number, name) in [(2, "trace-waiting.text"), (7, "trace-gone.text"), (9, "trace-unknown.text")] {
        let mut follower = Follower::new(id(number).as_str());
        let lines = log.lines().flat_map(|line| follower.lines(line)).collect();
        let spool = entries()
            .into_iter()
            .find(|entry| matches!(entry, Entry::Message { id: its, .. } if *its == id(number)));
        let trace = Trace { id: id(number).to_string(), lines, spool };
        assert_golden(&file(name), &trace::show(&trace, at(NOW)));
        if number == 2 {
            assert_golden(&file("trace.json"), &(serde_json::to_string_pretty(&trace).unwrap() + "\n"));
        }
    }
}
