//! `smapctl compile`: what it makes of tables, and what it leaves alone.

use std::fs::{self, File};
use std::os::unix::fs::{MetadataExt, PermissionsExt, chown};
use std::path::PathBuf;
use std::process::{Command, Stdio};

use netperm::tables::{Kind, Map};
use nix::sys::signal::Signal;
use smap_tests::gateway::{Gateway, SMAP_UID, SMAPD_UID, chmod};
use smap_tests::needs::Need::{Program, Root};
use smap_tests::process::{Ended, Process, run};
use smap_tests::{programs, tests};

tests! {
    what_is_compiled_says_what_the_text_says;
    without_a_file_all_that_the_netperm_table_names_is_compiled;
    a_netperm_table_that_names_none_is_no_fault;
    a_file_that_no_line_names_is_a_fault;
    a_file_of_two_kinds_is_a_fault;
    a_fault_is_told_with_its_line_and_nothing_is_written;
    what_keeps_a_text_from_being_used_keeps_it_from_being_compiled;
    what_is_compiled_has_the_owner_and_the_mode_of_its_text: [Root];
    what_cannot_be_written_is_named_and_leaves_nothing: [Root, Program("setpriv")];
    who_reads_the_old_one_is_not_disturbed;
    who_is_interrupted_leaves_nothing_half_written;
    other_programs_read_what_is_compiled: [Program("cdb")];
    smap_decides_by_what_is_compiled;
    what_is_stale_decides_and_is_warned_of;
    what_is_broken_gives_way_to_the_text_and_is_warned_of;
    a_row_that_cannot_be_read_any_more_is_refused_for_now;
    recipients_exist_by_what_is_compiled;
}

/// A gateway whose table names the file `access`, with a text.
struct Site {
    gateway: Gateway,
}

impl Site {
    fn new(text: &str) -> Self {
        Self::of(Gateway::without_spool(""), &[("access", text)])
    }

    /// The same with other files, each named by its attribute.
    fn of(gateway: Gateway, files: &[(&str, &str)]) -> Self {
        let site = Self { gateway };
        let mut table = String::new();
        for (attribute, text) in files {
            fs::write(site.file(attribute), text).unwrap();
            table += &site.line(attribute);
        }
        site.gateway.write_table(&table);
        site
    }

    /// The line of the table that names a file by its attribute.
    fn line(&self, attribute: &str) -> String {
        let file = self.file(attribute);
        let words = if attribute == "recipients" { " example.com file:" } else { " " };
        format!("*: {attribute}{words}{}\n", file.display())
    }

    fn file(&self, name: &str) -> PathBuf {
        self.gateway.folder().join(name)
    }

    fn compile(&self, files: &[&str]) -> Ended {
        let files = files.iter().map(|file| self.file(file));
        run(self.gateway.program("smapctl").arg("compile").args(files), Stdio::null())
    }

    /// Another text in the place of the first, which is of the same length: as it was, to whoever asks for its state.
    fn replace_unseen(&self, name: &str, text: &str) {
        let before = fs::metadata(self.file(name)).unwrap();
        assert_eq!(before.len(), u64::try_from(text.len()).unwrap());
        fs::write(self.file(name), text).unwrap();
        let file = File::options().write(true).open(self.file(name)).unwrap();
        file.set_modified(before.modified().unwrap()).unwrap();
    }

    /// What is there beside the netperm-table and the spool.
    fn files(&self) -> Vec<String> {
        let entries = fs::read_dir(self.gateway.folder()).unwrap();
        let mut names: Vec<String> =
            entries.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
        names.retain(|name| !["netperm-table", "spool"].contains(&name.as_str()));
        names.sort();
        names
    }

    fn access(&self) -> Map {
        let compiled = fs::read(self.file("access.cdb")).unwrap();
        Map::compiled(Kind::Access, &self.file("access"), Box::new(compiled)).unwrap()
    }

    /// What stands behind a key, and where.
    fn say(&self, key: &str) -> Option<String> {
        self.access().get(key).map(|row| format!("{} {}", row.place.line_number().unwrap(), row.value))
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

/// A text of each kind.
const ALL: [(&str, &str); 7] = [
    ("access", "a.example OK\n"),
    ("aliases", "a: b,\n  c@d.example\n"),
    ("local-host-names", "a.example\n"),
    ("mailertable", "a.example smtp:[192.0.2.1]\n"),
    ("recipients", "joe\n"),
    ("relay-domains", "a.example\n192.0.2\n"),
    ("virtusertable", "b@c.example d\n"),
];

fn without_a_file_all_that_the_netperm_table_names_is_compiled() {
    let site = Site::of(Gateway::without_spool(""), &ALL);
    assert_done(&site.compile(&[]));
    let both: Vec<String> =
        ALL.iter().flat_map(|(name, _)| [(*name).to_owned(), format!("{name}.cdb")]).collect();
    assert_eq!(site.files(), both);
    assert_eq!(site.say("a.example").unwrap(), "1 OK");
}

fn a_netperm_table_that_names_none_is_no_fault() {
    let site = Site { gateway: Gateway::without_spool("") };
    let ended = site.compile(&[]);
    assert_done(&ended);
    assert!(String::from_utf8_lossy(&ended.output).contains("names no file that can be compiled"));
}

fn assert_refused(ended: &Ended, words: &str) {
    assert_eq!(ended.code, 78, "{ended:?}");
    assert!(ended.log.iter().any(|line| line.contains(words)), "{words:?} is not in {:#?}", ended.log);
}

fn a_file_that_no_line_names_is_a_fault() {
    let site = Site::new("a.example OK\n");
    fs::write(site.file("other"), "a OK\n").unwrap();
    let table = site.gateway.table().display().to_string();
    assert_refused(
        &site.compile(&["access", "other"]),
        &format!("/other: no line of {table} names this file"),
    );
    assert_eq!(site.files(), ["access", "other"]);
}

fn a_file_of_two_kinds_is_a_fault() {
    let site = Site::new("a.example OK\n");
    let lines = site.line("access") + &site.line("access").replace("access ", "virtusertable ");
    site.gateway.write_table(&lines);
    fs::write(site.file("access"), "").unwrap();
    assert_refused(&site.compile(&[]), "names this file as access and as virtusertable");
}

fn a_fault_is_told_with_its_line_and_nothing_is_written() {
    let site = Site::of(
        Gateway::without_spool(""),
        &[("access", "a.example OK\n"), ("virtusertable", "a@b c\nalone\nA@b c\n"), ("mailertable", "")],
    );
    fs::remove_file(site.file("mailertable")).unwrap();
    let ended = site.compile(&[]);
    let users = site.file("virtusertable").display().to_string();
    for line in [
        format!("smapctl: {users}:2: \"alone\": nothing stands behind this key"),
        format!("smapctl: {users}:3: \"a@b\" stands here already: {users}:1"),
        "/mailertable: the table can't be read".to_owned(),
    ] {
        assert_refused(&ended, &line);
    }
    assert_eq!(site.files(), ["access", "virtusertable"]);
}

fn what_keeps_a_text_from_being_used_keeps_it_from_being_compiled() {
    for (attribute, text, words) in [
        ("access", "192.168.* OK\n", "access:1: "),
        ("access", "a.example REFUSE\n", "\"REFUSE\" is neither one of "),
        ("virtusertable", "a@b c@d\nc@d a@b\n", "leads back to itself"),
        ("aliases", "a: b\nb: a\n", "this alias leads back to itself"),
        ("aliases", "a: |program\n", "no program may be run"),
        ("aliases", "a: /var/file\n", "no file may be written"),
        ("mailertable", "a.example nowhere:b\n", "unknown mailer"),
        ("local-host-names", "a.example b.example\n", "one name a line"),
        ("recipients", "/file\n", "is neither an address nor a local part"),
    ] {
        let site =
            Site::of(Gateway::without_spool(""), &[("relay-domains", "a.example\n"), (attribute, text)]);
        assert_refused(&site.compile(&[]), words);
        assert!(site.files().iter().all(|name| !name.ends_with(".cdb")), "{attribute}");
        assert_done(&site.compile(&["relay-domains"]));
    }
}

fn what_is_compiled_has_the_owner_and_the_mode_of_its_text() {
    let site = Site::new("a.example OK\n");
    chown(site.file("access"), Some(SMAP_UID), Some(SMAPD_UID)).unwrap();
    chmod(&site.file("access"), 0o640);
    assert_done(&site.compile(&["access"]));
    let compiled = fs::metadata(site.file("access.cdb")).unwrap();
    assert_eq!((compiled.uid(), compiled.gid()), (SMAP_UID, SMAPD_UID));
    assert_eq!(compiled.permissions().mode() & 0o7777, 0o640);
}

fn what_cannot_be_written_is_named_and_leaves_nothing() {
    let site = Site::new("a.example OK\n");
    let mut smapctl = Command::new(programs::peer("setpriv"));
    smapctl.args(["--reuid", "65534", "--clear-groups"]).arg(programs::ours("smapctl"));
    smapctl.arg("--config").arg(site.gateway.table());
    let ended = run(smapctl.arg("compile").arg(site.file("access")), Stdio::null());
    assert_eq!(ended.code, 77, "{ended:?}");
    let named = format!("smapctl: {}: ", site.file("access.cdb").display());
    assert!(ended.log.iter().any(|line| line.starts_with(&named)), "{ended:?}");
    assert_eq!(site.files(), ["access"]);
}

fn who_reads_the_old_one_is_not_disturbed() {
    let site = Site::of(Gateway::new(""), &[("access", "To:a@example.com REJECT\n")]);
    assert_done(&site.compile(&[]));
    let listener = site.gateway.listen();
    let mut client = listener.extended_client();
    fs::write(site.file("access"), "To:b@example.com REJECT\n").unwrap();
    assert_done(&site.compile(&[]));
    assert_eq!(
        (site.say("to:a@example.com"), site.say("to:b@example.com").unwrap()),
        (None, "1 REJECT".into())
    );
    client.say("MAIL FROM:<>", "250 ");
    client.say("RCPT TO:<a@example.com>", "550 ");
    client.say("RCPT TO:<b@example.com>", "250 ");
}

fn who_is_interrupted_leaves_nothing_half_written() {
    let rows: String = (0..50_000).map(|number| format!("host{number}.example REJECT\n")).collect();
    let site = Site::new(&rows);
    let is_being_written = || site.files().iter().any(|name| name.starts_with(".smapctl-compile-"));
    let caught = (0..20).any(|_| {
        let mut smapctl = Process::start(site.gateway.program("smapctl").arg("compile"));
        while !is_being_written() && !smapctl.has_ended() {}
        let caught = !smapctl.has_ended();
        smapctl.signal(Signal::SIGINT);
        let _code = smapctl.wait();
        assert!(!is_being_written());
        caught
    });
    assert!(caught, "it was never seen to write");
    assert_eq!(site.say("host49999.example").unwrap(), "50000 REJECT");
}

fn other_programs_read_what_is_compiled() {
    let site = Site::new("a.example OK\nexample.com REJECT\n");
    assert_done(&site.compile(&["access"]));
    let asked = |key: &str| {
        let mut cdb = Command::new(programs::peer("cdb"));
        let ended = run(cdb.arg("-q").arg(site.file("access.cdb")).arg(key), Stdio::null());
        String::from_utf8(ended.output).unwrap().trim_end().to_owned()
    };
    assert_eq!([asked("a.example"), asked("example.com"), asked("b")], ["1 OK", "2 REJECT", ""]);
}

/// Rows by which the mailbox `a` of each of these domains is refused.
fn refusing(domain: &str) -> String {
    format!("To:a@{domain} ERROR:5.2.1:550 Not at {domain}\n")
}

fn smap_decides_by_what_is_compiled() {
    // Enough rows for a file of many pages, most of which nobody has seen before the session is confined.
    let filling: String = (0..20_000).map(|number| format!("host{number}.example OK\n")).collect();
    let text = |domain: &str| filling.clone() + &refusing(domain);
    let site = Site::of(Gateway::new(""), &[("access", &text("example.com"))]);
    assert_done(&site.compile(&[]));
    site.replace_unseen("access", &text("example.net"));
    let listener = site.gateway.listen();
    let mut client = listener.extended_client();
    client.say("MAIL FROM:<x@host7.example>", "250 ");
    client.say("RCPT TO:<a@example.com>", "550 5.2.1 Not at example.com");
    let line = listener.process.wait_for_log(|line| line.contains("to:a@example.com"));
    assert!(line.contains("access:20001: "), "{line}");
    client.say("RCPT TO:<b@example.com>", "250 ");
    assert!(!listener.process.log().iter().any(|line| line.contains("warning")));
}

/// Whether mail for `a` at example.com is refused by a smap that begins, and what it warns of.
fn refused(site: &Site) -> (bool, Vec<String>) {
    let listener = site.gateway.listen();
    let mut client = listener.extended_client();
    client.say("MAIL FROM:<>", "250 ");
    let reply = client.say("RCPT TO:<a@example.com>", "");
    let mut warned = listener.process.log();
    warned.retain(|line| line.contains(" warning: "));
    (reply.starts_with("550 5.2.1 Not at example.com"), warned)
}

fn what_is_stale_decides_and_is_warned_of() {
    let site = Site::of(Gateway::new(""), &[("access", &refusing("example.com"))]);
    assert_done(&site.compile(&[]));
    assert_eq!(refused(&site), (true, vec![]));
    fs::write(site.file("access"), "").unwrap();
    let (refused_yet, warned) = refused(&site);
    assert!(refused_yet);
    let [line] = warned.try_into().unwrap();
    let access = site.file("access").display().to_string();
    assert!(line.contains(&format!("{access}.cdb was made from another state of it")), "{line}");
    assert!(line.contains(&format!("smapctl compile {access}")), "{line}");
    assert_done(&site.compile(&[]));
    assert_eq!(refused(&site), (false, vec![]));
}

fn what_is_broken_gives_way_to_the_text_and_is_warned_of() {
    let site = Site::of(Gateway::new(""), &[("access", "")]);
    assert_done(&site.compile(&[]));
    fs::write(site.file("access"), refusing("example.com")).unwrap();
    let compiled = fs::read(site.file("access.cdb")).unwrap();
    fs::write(site.file("access.cdb"), &compiled[..compiled.len() - 1]).unwrap();
    let (refused, warned) = refused(&site);
    assert!(refused);
    let [line] = warned.try_into().unwrap();
    assert!(line.contains("access.cdb is not used: it is damaged: smapctl compile "), "{line}");
}

fn a_row_that_cannot_be_read_any_more_is_refused_for_now() {
    let site =
        Site::of(Gateway::new(""), &[("access", "To:a@example.com OK\n"), ("recipients", "joe\njim\n")]);
    assert_done(&site.compile(&[]));
    for (name, row) in [("access.cdb", "1 OK"), ("recipients.cdb", "1 -")] {
        let mut compiled = fs::read(site.file(name)).unwrap();
        let at = compiled.windows(4).position(|window| window.starts_with(row.as_bytes())).unwrap();
        compiled[at] = b'x';
        fs::write(site.file(name), compiled).unwrap();
    }
    let listener = site.gateway.listen();
    let mut client = listener.extended_client();
    client.say("MAIL FROM:<>", "250 ");
    client.say("RCPT TO:<a@example.com>", "451 4.3.5 ");
    client.say("RCPT TO:<joe@example.com>", "451 4.3.5 ");
    let line = listener.process.wait_for_log(|line| line.contains("joe@example.com"));
    assert!(line.contains("recipients.cdb is damaged: smapctl compile "), "{line}");
    client.say("RCPT TO:<jim@example.com>", "250 ");
    client.say("RCPT TO:<jack@example.com>", "550 5.1.1 ");
}

fn recipients_exist_by_what_is_compiled() {
    let gateway = Gateway::new("");
    let site = Site::of(
        gateway,
        &[("recipients", "joe\n"), ("aliases", "list: a, b\n"), ("virtusertable", "u@example.com joe\n")],
    );
    let lines = [
        site.line("aliases"),
        site.line("virtusertable"),
        site.line("recipients").replace("file:", "aliases file:"),
    ];
    site.gateway.write_table(&lines.concat());
    assert_done(&site.compile(&[]));
    for (name, text) in
        [("recipients", "jim\n"), ("aliases", "mist: a, b\n"), ("virtusertable", "v@example.com joe\n")]
    {
        site.replace_unseen(name, text);
    }
    let listener = site.gateway.listen();
    let mut client = listener.extended_client();
    client.say("MAIL FROM:<>", "250 ");
    for (user, reply) in [
        ("joe", "250 "),
        ("list", "250 "),
        ("u", "250 "),
        ("jim", "550 5.1.1 "),
        ("mist", "550 5.1.1 "),
        ("v", "550 5.1.1 "),
    ] {
        client.say(&format!("RCPT TO:<{user}@example.com>"), reply);
    }
}
