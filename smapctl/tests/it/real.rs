//! Tables and spools on the disk of this machine.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use netperm::site::Site;
use smap_common::clock::Timestamp;
use smap_common::envelope::{Envelope, Origin};
use smap_common::exit::Exit;
use smap_common::smtp::command::{Mail, Recipient};
use smap_common::spool::{Draft, Incoming, Mark, Outcome, QueueId, StateFile};
use smapctl::arguments::Filter;
use smapctl::{check, queue};
use tempfile::TempDir;

/// A folder with a table and the spool that it names.
struct Place {
    folder: TempDir,
}

impl Place {
    fn new(table: &str) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let spool = folder.path().join("spool");
        let place = Self { folder };
        let table = format!("smap, smapd: directory {}\n{table}", spool.display());
        fs::write(place.table(), table).unwrap();
        if let Ok(site) = Site::load(&place.table()) {
            site.layout.create_missing().unwrap();
        }
        place
    }

    fn table(&self) -> PathBuf {
        self.folder.path().join("netperm-table")
    }

    fn spool(&self, folder: &str) -> PathBuf {
        self.folder.path().join("spool").join(folder)
    }

    fn list(&self, json: bool) -> String {
        let mut out = Vec::new();
        assert_eq!(queue::list(&self.table(), &Filter::default(), json, &mut out).unwrap(), Exit::Ok);
        String::from_utf8(out).unwrap()
    }

    fn check(&self) -> (Exit, String) {
        let mut out = Vec::new();
        let exit = check::run(&self.table(), &mut out).unwrap();
        (exit, String::from_utf8(out).unwrap())
    }
}

const TABLE: &str = "smap, smapd: hostname gw.example.com\nsmap, smapd: domain example.com smtp:[10.0.0.5]\n";

fn envelope(number: u64) -> Envelope {
    Envelope {
        id: QueueId::new(Timestamp::from_micros(1_795_247_311_000_000), number),
        arrived: Timestamp::now(),
        origin: Origin::default(),
        mail: Mail::parse(b"<a@example.org>").unwrap(),
        recipients: vec![
            Recipient::parse(b"<c@example.com>").unwrap(),
            Recipient::parse(b"<d@example.com>").unwrap(),
        ],
    }
}

fn draft(folder: &Path, number: u64) -> Draft<impl smap_common::spool::SpoolFile> {
    let folder = Incoming::new(fs::File::open(folder).unwrap().into());
    let mut draft = Draft::begin(&folder, &envelope(number)).unwrap();
    draft.write(b"Subject: x\r\n\r\n").unwrap();
    draft
}

fn store(folder: &Path, number: u64) -> QueueId {
    draft(folder, number).commit().unwrap().id()
}

fn ids(text: &str) -> Vec<QueueId> {
    text.lines().filter_map(|line| line.split(' ').next()?.parse().ok()).collect()
}

#[test]
fn an_empty_spool_is_an_empty_queue() {
    let place = Place::new(TABLE);
    assert_eq!(place.list(false), "the queue is empty\n");
    assert_eq!(place.list(true), "[]\n");
}

#[test]
fn messages_of_both_folders_are_listed_in_the_order_of_their_ids() {
    let place = Place::new(TABLE);
    let second = store(&place.spool("incoming"), 2);
    let (first, third) = (store(&place.spool("queue"), 1), store(&place.spool("queue"), 3));
    let text = place.list(false);
    assert_eq!(ids(&text), [first, second, third], "{text}");
    assert!(text.ends_with("3 messages, 42 B\n"), "{text}");
}

#[test]
fn only_recipients_who_do_not_have_it_yet_are_shown() {
    let place = Place::new(TABLE);
    let id = store(&place.spool("queue"), 1);
    let folder = fs::File::open(place.spool("queue")).unwrap();
    let mark = |recipient, outcome, status: &str| Mark {
        recipient,
        at: Timestamp::now(),
        outcome,
        status: status.parse().unwrap(),
        relay: "mail.inside".to_owned(),
        reply: "451 come back later".to_owned(),
    };
    let mut state = StateFile::open(std::os::fd::AsFd::as_fd(&folder), id).unwrap();
    state.mark(&[mark(0, Outcome::Delivered, "2.0.0"), mark(1, Outcome::Deferred, "4.3.0")]).unwrap();
    state.next(1, Timestamp::now().after(std::time::Duration::from_secs(7200))).unwrap();
    let text = place.list(false);
    assert!(text.contains("\n    <d@example.com>: 4.3.0 mail.inside: 451 come back later\n"), "{text}");
    assert!(text.contains(" in 1h59m ") && !text.contains("<c@example.com>"), "{text}");
    let json: serde_json::Value = serde_json::from_str(&place.list(true)).unwrap();
    assert_eq!(json[0]["id"], id.as_str());
    assert_eq!(json[0]["recipients"][0]["last"]["status"], "4.3.0");
    assert_eq!(json[0]["of"], 2);
}

#[test]
fn what_is_no_message_is_counted_and_stops_nothing() {
    let place = Place::new(TABLE);
    let incoming = place.spool("incoming");
    let writing = draft(&incoming, 1);
    drop(draft(&incoming, 2));
    std::os::unix::fs::symlink("/etc/passwd", incoming.join(envelope(3).id.as_str())).unwrap();
    fs::write(incoming.join("stranger"), "").unwrap();
    fs::write(place.spool("bad").join("x"), "").unwrap();
    fs::write(place.spool("bad").join("x.reason"), "").unwrap();
    store(&incoming, 4);
    let text = place.list(false);
    let summary = "1 message, 14 B; 1 never finished; 2 bad; 1 set aside in bad/\n";
    // The unwritten draft holds no octet yet, but it is locked.
    assert!(
        text.contains(" being written\n")
            && text.ends_with(&summary.replace("; 1 n", "; 1 being written; 1 n")),
        "{text}"
    );
    drop(writing);
}

#[test]
fn a_spool_that_is_not_there_is_a_fault_of_the_configuration() {
    let place = Place::new(TABLE);
    fs::remove_dir(place.spool("incoming")).unwrap();
    let error = queue::list(&place.table(), &Filter::default(), false, &mut Vec::new()).unwrap_err();
    assert_eq!(error.exit(), Exit::Config);
    let (exit, text) = place.check();
    assert_eq!(exit, Exit::Config);
    assert!(text.contains("incoming: the folder does not exist; to mend it: install -d"), "{text}");
}

#[test]
fn check_names_programs_and_folders_that_are_missing() {
    let place = Place::new(
        "smap, smapd: hostname gw.example.com\nsmap, smapd: domain a.example pipe:/nowhere/deliver %u\n\
         smap, smapd: domain b.example maildir:/nowhere/%u/\n",
    );
    let (exit, text) = place.check();
    assert_eq!(exit, Exit::Config);
    assert!(text.contains("error    /nowhere/deliver does not exist\n"), "{text}");
    assert!(text.contains("error    /nowhere/ does not exist; to make it: install -d -o "), "{text}");
}

#[test]
fn check_names_folders_of_aliases_that_are_missing() {
    let place = Place::new(&format!(
        "{TABLE}smapd: safe-programs /nowhere/programs\nsmapd: safe-files /nowhere/files\n"
    ));
    let (exit, text) = place.check();
    assert_eq!(exit, Exit::Config);
    assert!(text.contains("error    /nowhere/programs does not exist\n"), "{text}");
    assert!(text.contains("error    /nowhere/files does not exist; to make it: install -d -o "), "{text}");
}

#[test]
fn check_looks_at_the_programs_that_aliases_may_run_and_at_nothing_beside_them() {
    let folder = tempfile::tempdir().unwrap();
    let programs = folder.path().join("programs");
    fs::create_dir(&programs).unwrap();
    let set_mode = |path: &Path, mode| fs::set_permissions(path, PermissionsExt::from_mode(mode)).unwrap();
    for (name, mode) in [("filter", 0o755), ("open", 0o777), ("README", 0o666)] {
        fs::write(programs.join(name), "").unwrap();
        set_mode(&programs.join(name), mode);
    }
    set_mode(&programs, 0o777);
    let at = programs.display();
    let (_, text) = Place::new(&format!("{TABLE}smapd: safe-programs {at}\n")).check();
    assert!(text.contains(&format!("warning  {at}: others may put programs here")), "{text}");
    assert!(text.contains(&format!("ok       the program {at}/filter\n")), "{text}");
    assert!(text.contains(&format!("warning  {at}/open: others may change this program")), "{text}");
    assert!(!text.contains("README"), "{text}");
}

#[test]
fn every_fault_of_a_table_is_named_with_its_line() {
    let place = Place::new("smap: maxrecpi 5\nsmapd: retry soon\n");
    let error = check::run(&place.table(), &mut Vec::new()).unwrap_err();
    assert_eq!(error.exit(), Exit::Config);
    let text = error.to_string();
    assert_eq!(text.lines().count(), 2, "{text}");
    assert!(text.contains("netperm-table:2: ") && text.contains("netperm-table:3: "), "{text}");
}
