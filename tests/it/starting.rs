//! What stops smap before it serves: one clear line, and the exit code of sysexits(3).

use std::fs;
use std::net::TcpListener;
use std::os::unix::fs::chown;
use std::os::unix::process::CommandExt;
use std::process::{Command, Stdio};

use smap_tests::client::Client;
use smap_tests::gateway::{Gateway, SMAP_UID, chmod, free_port};
use smap_tests::needs::Need::Root;
use smap_tests::process::{Ended, Process, run};
use smap_tests::tests;

use crate::confinement;

tests! {
    help_and_version_are_said;
    an_unknown_flag_is_a_usage_error;
    an_address_that_is_none_is_a_usage_error;
    nowhere_to_listen_is_a_usage_error;
    an_address_may_stand_behind_an_equals_sign;
    the_table_says_where_to_listen;
    a_missing_table_is_named;
    every_fault_of_a_table_is_named_with_its_line;
    a_fault_is_said_once;
    a_missing_user_is_named;
    two_missing_users_are_named_at_once_each_with_its_line;
    root_without_userid_is_refused: [Root];
    root_as_userid_is_refused: [Root];
    another_user_cannot_become_smap: [Root];
    a_table_that_others_can_write_is_refused;
    a_missing_spool_is_refused_with_what_makes_it: [Root];
    a_spool_of_another_owner_is_refused_with_what_mends_it: [Root];
    a_spool_that_others_can_write_is_refused_with_what_mends_it;
    a_spool_that_smap_cannot_write_is_refused_with_what_mends_it: [Root];
    a_spool_that_smap_could_empty_is_refused_with_what_mends_it: [Root];
    a_port_in_use_is_temporary;
}

/// `smap --listen`, which is not expected to listen.
fn start(gateway: &Gateway) -> Ended {
    let address = format!("127.0.0.1:{}", free_port());
    let mut smap = Process::start(gateway.program("smap").args(["--foreground", "--listen", &address]));
    let first = smap.wait_for_log(|_| true);
    assert!(!first.contains("listening on"), "{first}");
    smap.end()
}

fn assert_stops(gateway: &Gateway, code: i32, words: &str) {
    let ended = start(gateway);
    assert_eq!(ended.code, code, "{ended:?}");
    assert!(ended.log.iter().any(|line| line.contains(words)), "{words:?} is not in {:#?}", ended.log);
}

fn help_and_version_are_said() {
    let gateway = Gateway::without_spool("");
    let help = run(gateway.program("smap").arg("--help"), Stdio::null());
    assert_eq!(help.code, 0);
    assert!(String::from_utf8_lossy(&help.output).contains("Usage: smap"));
    let version = run(gateway.program("smap").arg("--version"), Stdio::null());
    assert_eq!(version.code, 0);
    assert!(String::from_utf8_lossy(&version.output).starts_with("smap "));
}

fn an_unknown_flag_is_a_usage_error() {
    let ended = run(Gateway::new("").program("smap").arg("--bogus"), Stdio::null());
    assert_eq!(ended.code, 64, "{ended:?}");
}

fn an_address_that_is_none_is_a_usage_error() {
    for address in ["nonsense", "127.0.0.1", "127.0.0.1:0", "127.0.0.1:99999"] {
        let ended = run(Gateway::new("").program("smap").args(["--listen", address]), Stdio::null());
        assert_eq!(ended.code, 64, "{address}: {ended:?}");
    }
}

fn nowhere_to_listen_is_a_usage_error() {
    let ended = run(Gateway::new("").program("smap").args(["--foreground", "--listen"]), Stdio::null());
    assert_eq!(ended.code, 64, "{ended:?}");
    assert!(ended.log.iter().any(|line| line.contains("listen")), "{ended:?}");
}

fn an_address_may_stand_behind_an_equals_sign() {
    let (gateway, port) = (Gateway::new(""), free_port());
    let mut smap = gateway.program("smap");
    let smap = Process::start(smap.arg("--foreground").arg(format!("--listen=127.0.0.1:{port}")));
    let _there = smap.wait_for_log(|line| line.ends_with(&format!("listening on 127.0.0.1:{port}")));
    Client::greeted(([127, 0, 0, 1], port).into()).quit();
}

fn the_table_says_where_to_listen() {
    let port = free_port();
    let gateway = Gateway::new(&format!("smap: listen 127.0.0.1:{port} role=mx"));
    let mut smap = gateway.program("smap");
    let smap = Process::start(smap.args(["--foreground", "--listen"]));
    let _there = smap.wait_for_log(|line| line.ends_with(&format!("listening on 127.0.0.1:{port}")));
    Client::greeted(([127, 0, 0, 1], port).into()).quit();
}

fn a_missing_table_is_named() {
    let gateway = Gateway::new("");
    fs::remove_file(gateway.table()).unwrap();
    assert_stops(&gateway, 78, &format!("{}: the table can't be read", gateway.table().display()));
}

fn every_fault_of_a_table_is_named_with_its_line() {
    let gateway = Gateway::new("smap: maxrecpt 5\nsmap: timeout soon\nsmap: permit-hosts");
    let ended = start(&gateway);
    assert_eq!(ended.code, 78);
    for (line, words) in [(1, "maxrecip"), (2, "soon"), (3, "")] {
        let place = format!("{}:{line}: ", gateway.table().display());
        let said = ended.log.iter().any(|said| said.contains(&place) && said.contains(words));
        assert!(said, "{place}{words} is not in {:#?}", ended.log);
    }
}

fn a_fault_is_said_once() {
    let ended = start(&Gateway::new("smap: maxrecpt 5"));
    assert_eq!(ended.log.len(), 1, "{:#?}", ended.log);
}

fn a_missing_user_is_named() {
    assert_stops(&Gateway::new("smap: userid no-such-user"), 78, "there is no user \"no-such-user\"");
}

fn two_missing_users_are_named_at_once_each_with_its_line() {
    let gateway = Gateway::new("smap: userid no-such-user\nsmapd: userid no-such-other");
    let ended = start(&gateway);
    assert_eq!(ended.code, 78, "{ended:?}");
    for (line, user) in [(1, "no-such-user"), (2, "no-such-other")] {
        let place = format!("{}:{line}: ", gateway.table().display());
        let what = format!("there is no user \"{user}\"");
        let said = ended.log.iter().any(|said| said.contains(&place) && said.contains(&what));
        assert!(said, "{place}{what} is not in {:#?}", ended.log);
    }
}

fn root_without_userid_is_refused() {
    let gateway = Gateway::new("");
    gateway.write_whole_table(&format!("smap, smapd: directory {}\n", gateway.spool().display()));
    assert_stops(&gateway, 78, "userid");
}

fn root_as_userid_is_refused() {
    let gateway = Gateway::new("");
    let spool = gateway.spool();
    fs::remove_dir_all(&spool).unwrap();
    let table = format!("smap, smapd: userid root\nsmap, smapd: directory {}\n", spool.display());
    gateway.write_whole_table(&table);
    fs::create_dir_all(gateway.layout().incoming()).unwrap();
    assert_stops(&gateway, 78, "userid");
}

fn another_user_cannot_become_smap() {
    let gateway = Gateway::new("");
    let smap = confinement::copy_of_smap(&gateway);
    let other = SMAP_UID + 2;
    let mut command = Command::new(smap);
    let ended = run(command.arg("--config").arg(gateway.table()).uid(other).gid(other), Stdio::null());
    assert_eq!(ended.code, 77, "{ended:?}");
    let said = String::from_utf8_lossy(&ended.output).into_owned();
    assert!(said.starts_with("421 4.3.5 ") && said.lines().count() == 1, "{said:?}");
}

fn a_table_that_others_can_write_is_refused() {
    let gateway = Gateway::new("");
    chmod(&gateway.table(), 0o666);
    assert_stops(&gateway, 78, "chmod go-w");
}

/// The spool is refused; the command that the line names makes it good.
fn assert_mended(gateway: &Gateway, words: &str) {
    for _ in 0..3 {
        let ended = start_until_it_listens(gateway);
        let Some(ended) = ended else { return };
        assert_eq!(ended.code, 78, "{ended:?}");
        let line = ended.log.first().unwrap();
        let (what, mend) = line.split_once("; to mend it: ").expect("the line says what mends it");
        assert!(what.contains(words) || gateway.spool().exists(), "{line}");
        assert_eq!(run(Command::new("sh").args(["-c", mend]), Stdio::null()).code, 0, "{mend}");
    }
    panic!("mended again and again, and still not good");
}

/// `None` when it listens.
fn start_until_it_listens(gateway: &Gateway) -> Option<Ended> {
    let check = run(&mut gateway.program("smap"), Stdio::null());
    let greeted = check.output.starts_with(b"220 ");
    (!greeted).then(|| start(gateway))
}

fn a_missing_spool_is_refused_with_what_makes_it() {
    let gateway = Gateway::without_spool("");
    assert_stops(&gateway, 78, "the folder does not exist");
    assert_mended(&gateway, "the folder does not exist");
}

fn a_spool_of_another_owner_is_refused_with_what_mends_it() {
    let gateway = Gateway::new("");
    chown(gateway.layout().incoming(), Some(SMAP_UID), None).unwrap();
    assert_stops(&gateway, 78, "it does not belong to smapd");
    assert_mended(&gateway, "it does not belong to smapd");
}

fn a_spool_that_others_can_write_is_refused_with_what_mends_it() {
    let gateway = Gateway::new("");
    chmod(&gateway.spool(), 0o777);
    assert_stops(&gateway, 78, "others may write in the spool");
    assert_mended(&gateway, "others may write in the spool");
    chmod(&gateway.layout().incoming(), 0o1733);
    assert_stops(&gateway, 78, "anyone may write here");
    assert_mended(&gateway, "anyone may write here");
}

fn a_spool_that_smap_cannot_write_is_refused_with_what_mends_it() {
    let gateway = Gateway::new("");
    chmod(&gateway.layout().incoming(), 0o1700);
    assert_stops(&gateway, 78, "smap cannot create messages here");
    assert_mended(&gateway, "smap cannot create messages here");
}

fn a_spool_that_smap_could_empty_is_refused_with_what_mends_it() {
    let gateway = Gateway::new("");
    chmod(&gateway.layout().incoming(), 0o730);
    assert_stops(&gateway, 78, "smap could remove messages here");
    assert_mended(&gateway, "smap could remove messages here");
}

fn a_port_in_use_is_temporary() {
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = taken.local_addr().unwrap().to_string();
    let gateway = Gateway::new("");
    let ended = run(gateway.program("smap").args(["--foreground", "--listen", &address]), Stdio::null());
    assert_eq!(ended.code, 75, "{ended:?}");
    let said = |line: &String| line.contains(&address) && line.contains("in use");
    assert!(ended.log.iter().any(said), "{ended:?}");
}
