//! `smapctl compile`: what it makes of tables, and what it leaves alone.

use std::fs;
use std::os::unix::fs::{MetadataExt, PermissionsExt, chown};
use std::path::PathBuf;
use std::process::{Command, Stdio};

use netperm::tables::Map;
use smap_tests::gateway::{Gateway, SMAP_UID, SMAPD_UID, chmod};
use smap_tests::needs::Need::{Program, Root};
use smap_tests::process::{Ended, run};
use smap_tests::{programs, tests};

tests! {
    what_is_compiled_says_what_the_text_says;
    without_a_file_the_tables_of_the_netperm_table_are_compiled;
    a_netperm_table_that_names_none_is_no_fault;
    a_fault_is_told_with_its_line_and_nothing_is_written;
    what_is_compiled_has_the_owner_and_the_mode_of_its_text: [Root];
    what_cannot_be_written_is_named_and_leaves_nothing: [Root, Program("setpriv")];
    who_reads_the_old_one_is_not_disturbed;
    other_programs_read_what_is_compiled: [Program("cdb")];
}

/// A gateway with a table of rows beside its netperm-table.
struct Site {
    gateway: Gateway,
}

impl Site {
    fn new(text: &str) -> Self {
        let site = Self { gateway: Gateway::without_spool("") };
        fs::write(site.file("access"), text).unwrap();
        site
    }

    fn file(&self, name: &str) -> PathBuf {
        self.gateway.folder().join(name)
    }

    fn compile(&self, files: &[&str]) -> Ended {
        let files = files.iter().map(|file| self.file(file));
        run(self.gateway.program("smapctl").arg("compile").args(files), Stdio::null())
    }

    /// What is there beside the netperm-table.
    fn files(&self) -> Vec<String> {
        let entries = fs::read_dir(self.gateway.folder()).unwrap();
        let mut names: Vec<String> =
            entries.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
        names.retain(|name| name != "netperm-table");
        names.sort();
        names
    }

    /// What stands behind a key, and where.
    fn say(&self, key: &str) -> Option<String> {
        let (map, notes) = Map::load(&self.file("access")).unwrap();
        assert!(map.is_compiled() && notes.is_empty(), "{notes:?}");
        map.get(key).map(|row| format!("{} {}", row.place.line_number().unwrap(), row.value))
    }
}

fn assert_done(ended: &Ended) {
    assert!(ended.code == 0 && ended.log.is_empty(), "{ended:?}");
}

fn what_is_compiled_says_what_the_text_says() {
    let site = Site::new("# who may send\nExample.COM REJECT\n\nother.example\t550 5.7.1 Not here \n");
    let ended = site.compile(&["access"]);
    assert_done(&ended);
    let shown = String::from_utf8(ended.output).unwrap();
    assert_eq!(shown, format!("{}: 2 rows, 2 KB\n", site.file("access.cdb").display()));
    assert_eq!(site.say("example.com").unwrap(), "2 REJECT");
    assert_eq!(site.say("other.example").unwrap(), "4 550 5.7.1 Not here");
    assert_eq!(site.say("no.example"), None);
    assert_eq!(site.files(), ["access", "access.cdb"]);
}

fn without_a_file_the_tables_of_the_netperm_table_are_compiled() {
    let site = Site::new("a OK\n");
    fs::write(site.file("users"), "b@c d\n").unwrap();
    let [access, users] = ["access", "users"].map(|name| site.file(name).display().to_string());
    site.gateway.write_table(&format!("*: access {access}\n*: virtusertable {users}\n"));
    assert_done(&site.compile(&[]));
    assert_eq!(site.files(), ["access", "access.cdb", "users", "users.cdb"]);
    assert_eq!(site.say("a").unwrap(), "1 OK");
}

fn a_netperm_table_that_names_none_is_no_fault() {
    let site = Site::new("");
    let ended = site.compile(&[]);
    assert_done(&ended);
    assert!(String::from_utf8_lossy(&ended.output).contains("names no table that can be compiled"));
}

fn a_fault_is_told_with_its_line_and_nothing_is_written() {
    let site = Site::new("a OK\n");
    fs::write(site.file("users"), "a b\nalone\nA c\n").unwrap();
    let ended = site.compile(&["access", "users", "missing"]);
    assert_eq!(ended.code, 78, "{ended:?}");
    let users = site.file("users").display().to_string();
    for line in [
        format!("smapctl: {users}:2: \"alone\": nothing stands behind this key"),
        format!("smapctl: {users}:3: \"a\" stands here already: {users}:1"),
    ] {
        assert!(ended.log.contains(&line), "{line:?} is not in {:#?}", ended.log);
    }
    assert!(ended.log.iter().any(|line| line.contains("/missing: the table can't be read")), "{ended:?}");
    assert_eq!(site.files(), ["access", "users"]);
}

fn what_is_compiled_has_the_owner_and_the_mode_of_its_text() {
    let site = Site::new("a OK\n");
    chown(site.file("access"), Some(SMAP_UID), Some(SMAPD_UID)).unwrap();
    chmod(&site.file("access"), 0o640);
    assert_done(&site.compile(&["access"]));
    let compiled = fs::metadata(site.file("access.cdb")).unwrap();
    assert_eq!((compiled.uid(), compiled.gid()), (SMAP_UID, SMAPD_UID));
    assert_eq!(compiled.permissions().mode() & 0o7777, 0o640);
}

fn what_cannot_be_written_is_named_and_leaves_nothing() {
    let site = Site::new("a OK\n");
    let mut smapctl = Command::new(programs::peer("setpriv"));
    smapctl.args(["--reuid", "65534", "--clear-groups"]).arg(programs::ours("smapctl"));
    let ended = run(smapctl.arg("compile").arg(site.file("access")), Stdio::null());
    assert_eq!(ended.code, 77, "{ended:?}");
    let named = format!("smapctl: {}: ", site.file("access.cdb").display());
    assert!(ended.log.iter().any(|line| line.starts_with(&named)), "{ended:?}");
    assert_eq!(site.files(), ["access"]);
}

fn who_reads_the_old_one_is_not_disturbed() {
    let site = Site::new("a OK\n");
    assert_done(&site.compile(&["access"]));
    let (old, _) = Map::load(&site.file("access")).unwrap();
    fs::write(site.file("access"), "a REJECT\nb OK\n").unwrap();
    let (stale, notes) = Map::load(&site.file("access")).unwrap();
    assert_eq!((stale.get("a").unwrap().value, notes.len()), ("OK", 1));
    assert_done(&site.compile(&["access"]));
    assert_eq!((old.get("a").unwrap().value, old.get("b")), ("OK", None));
    assert_eq!(site.say("a").unwrap(), "1 REJECT");
}

fn other_programs_read_what_is_compiled() {
    let site = Site::new("a OK\nexample.com REJECT\n");
    assert_done(&site.compile(&["access"]));
    let asked = |key: &str| {
        let mut cdb = Command::new(programs::peer("cdb"));
        let ended = run(cdb.arg("-q").arg(site.file("access.cdb")).arg(key), Stdio::null());
        String::from_utf8(ended.output).unwrap().trim_end().to_owned()
    };
    assert_eq!([asked("a"), asked("example.com"), asked("b")], ["1 OK", "2 REJECT", ""]);
}
