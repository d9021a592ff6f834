//! smap-lookup as a service: who may ask, how much at a time, its socket, how it is started.

use std::fs;
use std::os::unix::fs::{MetadataExt, PermissionsExt, chown};
use std::os::unix::process::CommandExt;
use std::process::{Command, Stdio};
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Instant;

use nix::sys::signal::Signal;
use smap_common::lookup::{Answer, Failure};
use smap_tests::asker::Asker;
use smap_tests::dns::Dns;
use smap_tests::gateway::{Gateway, SMAP_UID, SMAPD_UID};
use smap_tests::needs::Need::{Program, Root};
use smap_tests::needs::is_root;
use smap_tests::process::{Process, run};
use smap_tests::{assert_rested, eventually, programs, tests};

use super::{Desk, LOOKUP_UID, addresses, assert_addresses, socket, start, table, userid};

tests! {
    a_thousand_questions_are_under_way_and_no_more;
    a_client_that_reads_nothing_stops_nobody_else;
    a_packet_that_is_none_ends_the_connection_and_no_other;
    the_socket_is_for_its_group_and_replaced_when_stale;
    a_second_one_is_temporary;
    what_is_no_socket_is_not_replaced;
    a_stranger_may_not_ask: [Root, Program(PYTHON)];
    smap_and_smapd_may_ask: [Root, Program(PYTHON)];
    one_user_has_a_thousand_connections_and_no_more: [Root];
    a_broken_mailertable_does_not_concern_it;
    root_without_userid_is_refused: [Root];
    the_unit_starts_it: [Program("setpriv")];
    help_version_and_usage_are_as_everywhere;
    it_rests_when_nobody_asks;
}

/// One that every user may start.
const PYTHON: &str = "/usr/bin/python3";

fn a_thousand_questions_are_under_way_and_no_more() {
    let zone: Vec<String> = (0..1000).map(|n| format!("h{n}.example SILENT\n")).collect();
    let desk = Desk::new(&zone.concat());
    let askers = [desk.asker(), desk.asker()];
    let ask = |asker: &Asker, id: u64| asker.send(id, addresses(&format!("h{id}.example"))).unwrap();
    (0..1000).for_each(|id| ask(&askers[usize::from(id >= 500)], id));
    // For this one no name server is asked.
    let (other, literal) = (desk.asker(), addresses("192.0.2.7"));
    let is_over = AtomicBool::new(false);
    std::thread::scope(|scope| {
        for asker in &askers {
            // What was given up is asked again: on a slow machine they would not all be under way at the same time.
            // Whoever takes his answers too slowly there is hung up on.
            scope.spawn(|| {
                while !is_over.load(Ordering::SeqCst) {
                    let Some(given_up) = asker.next() else { return };
                    let again = addresses(&format!("h{}.example", given_up.id));
                    if asker.send(given_up.id, again).is_err() {
                        return;
                    }
                }
            });
        }
        let why = eventually("there is no room", || match other.ask(literal.clone()) {
            Answer::Addresses(Err(Failure::Temporary(why))) => Some(why),
            _ => None,
        });
        is_over.store(true, Ordering::SeqCst);
        assert_eq!(why, "too many questions are under way");
    });
    eventually("there is room again", || match other.ask(literal.clone()) {
        Answer::Addresses(found) => found.ok(),
        _ => None,
    });
}

fn a_client_that_reads_nothing_stops_nobody_else() {
    let desk = Desk::new("mail.example A 192.0.2.1");
    let lazy = desk.asker();
    let question = addresses("mail.example");
    std::thread::scope(|scope| {
        scope.spawn(|| (0..5000).take_while(|id| lazy.send(*id, question.clone()).is_ok()).count());
        for _ in 0..20 {
            assert_addresses(desk.ask(addresses("mail.example")), &["192.0.2.1"]);
        }
        // It may go on when it reads.
        for _ in 0..5000 {
            assert!(lazy.next().is_some());
        }
    });
}

fn a_packet_that_is_none_ends_the_connection_and_no_other() {
    let desk = Desk::new("mail.example A 192.0.2.1");
    let good = desk.asker();
    for packet in [b"hello".to_vec(), vec![0; 10_000]] {
        let bad = desk.asker();
        bad.send_packet(&packet).unwrap();
        assert_eq!(bad.next(), None);
    }
    assert_addresses(good.ask(addresses("mail.example")), &["192.0.2.1"]);
}

fn the_socket_is_for_its_group_and_replaced_when_stale() {
    let mut desk = Desk::new("mail.example A 192.0.2.1");
    let path = socket(&desk.gateway);
    let facts = fs::metadata(&path).unwrap();
    assert_eq!(facts.permissions().mode() & 0o777, 0o660);
    if is_root() {
        assert_eq!((facts.uid(), facts.gid()), (LOOKUP_UID, SMAP_UID));
    }
    desk.process.signal(Signal::SIGKILL);
    desk.process.wait();
    assert!(Asker::connect(&path).is_err());
    desk.process = start(&desk.gateway);
    assert_addresses(desk.ask(addresses("mail.example")), &["192.0.2.1"]);
}

fn a_second_one_is_temporary() {
    let desk = Desk::new("");
    let ended = run(desk.gateway.program("smap-lookup").arg("--foreground"), Stdio::null());
    assert_eq!(ended.code, 75, "{ended:?}");
    assert!(ended.log[0].contains("in use"), "{ended:?}");
    let _still_there = desk.asker();
}

fn what_is_no_socket_is_not_replaced() {
    let gateway = Gateway::new(&userid());
    fs::write(socket(&gateway), "precious").unwrap();
    let ended = run(gateway.program("smap-lookup").arg("--foreground"), Stdio::null());
    assert_eq!(ended.code, 78, "{ended:?}");
    assert_eq!(fs::read(socket(&gateway)).unwrap(), b"precious");
}

/// What the Python of this machine is told, as another user, when it asks for nothing in particular.
fn told(desk: &Desk, uid: u32, gid: u32) -> String {
    let script = "import socket, sys\n\
                  s = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)\n\
                  s.connect(sys.argv[1])\n\
                  n = lambda x: x.to_bytes(8, 'little')\n\
                  s.send(n(1) + n(1) + n(7) + n(9) + b'192.0.2.1')\n\
                  print(len(s.recv(65536)))";
    let mut python = Command::new(programs::peer(PYTHON));
    let ended = run(python.args(["-c", script]).arg(socket(&desk.gateway)).uid(uid).gid(gid), Stdio::null());
    String::from_utf8_lossy(&ended.output).trim().to_owned()
}

fn a_stranger_may_not_ask() {
    let desk = Desk::new("");
    // Not even where the mode of the socket would let it.
    fs::set_permissions(socket(&desk.gateway), fs::Permissions::from_mode(0o666)).unwrap();
    assert!(matches!(told(&desk, 40009, 40009).as_str(), "0" | ""));
    let line = desk.process.wait_for_log(|line| line.contains("may not ask"));
    assert!(line.contains("user 40009"), "{line}");
    fs::set_permissions(socket(&desk.gateway), fs::Permissions::from_mode(0o660)).unwrap();
    assert_eq!(told(&desk, 40009, 40009), "");
}

fn smap_and_smapd_may_ask() {
    let desk = Desk::new("");
    for uid in [SMAP_UID, SMAPD_UID, 0] {
        assert_eq!(told(&desk, uid, SMAP_UID), "68", "{uid}");
    }
}

/// smap's sessions may be as many; smapd is let in all the same.
fn one_user_has_a_thousand_connections_and_no_more() {
    let desk = Desk::new("mail.example A 192.0.2.1");
    let path = socket(&desk.gateway);
    let askers: Vec<Asker> = (0..1000).map(|_| Asker::connect(&path).expect("it takes it")).collect();
    for asker in &askers {
        assert_addresses(asker.ask(addresses("mail.example")), &["192.0.2.1"]);
    }
    // Root's, that is, who runs this.
    assert_eq!(desk.asker().next(), None);
    let _line = desk.process.wait_for_log(|line| line.contains("user 0 ") && line.contains("too many"));
    for uid in [SMAP_UID, SMAPD_UID] {
        assert_eq!(told(&desk, uid, SMAP_UID), "68", "{uid}");
    }
    drop(askers);
    eventually("there is room again", || desk.asker().next_of(addresses("mail.example")));
}

/// The administrator may be editing it while smapd starts its own.
fn a_broken_mailertable_does_not_concern_it() {
    let dns = Dns::start("mail.example A 192.0.2.1");
    let gateway = Gateway::new("");
    let file = gateway.folder().join("mailertable");
    fs::write(&file, "half.a.li").unwrap();
    gateway.write_table(&format!("{}\nsmapd: mailertable {}", table(&dns), file.display()));
    for lack in [false, true] {
        if lack {
            fs::remove_file(&file).unwrap();
        }
        let _process = start(&gateway);
        let asker = Asker::connect(&socket(&gateway)).expect("it listens");
        assert_addresses(asker.ask(addresses("mail.example")), &["192.0.2.1"]);
    }
}

fn root_without_userid_is_refused() {
    let gateway = Gateway::new("");
    let ended = run(gateway.program("smap-lookup").arg("--foreground"), Stdio::null());
    assert_eq!(ended.code, 78, "{ended:?}");
    assert!(ended.log[0].contains("no userid for smap-lookup"), "{ended:?}");
}

/// The command line of the unit, its user and its groups; and its folder, as systemd makes it.
fn the_unit_starts_it() {
    let dns = Dns::start("mail.example A 192.0.2.1");
    let gateway = Gateway::new("");
    let folder = gateway.folder().join("run");
    fs::create_dir(&folder).unwrap();
    gateway.write_table(&format!("smap-lookup: socket {}/lookup\n{}", folder.display(), table(&dns)));
    let unit = fs::read_to_string(programs::workspace().join("etc/systemd/smap-lookup.service")).unwrap();
    let value = |key: &str| unit.lines().find_map(|line| line.strip_prefix(key)).expect(key);
    let mut words = value("ExecStart=").split(' ');
    assert_eq!(words.next(), Some("/usr/local/sbin/smap-lookup"));
    assert_eq!((value("User="), value("SupplementaryGroups=")), ("smap-lookup", "smap"));
    let mut command = Command::new(programs::peer("setpriv"));
    if is_root() {
        chown(&folder, Some(LOOKUP_UID), Some(LOOKUP_UID)).unwrap();
        command.arg(format!("--reuid={LOOKUP_UID}")).arg(format!("--regid={LOOKUP_UID}"));
        command.arg(format!("--groups={SMAP_UID}")).args(["--bounding-set=-all", "--inh-caps=-all"]);
    }
    command.arg("--no-new-privs").arg(programs::ours("smap-lookup")).args(words);
    let process = Process::start(command.arg("--config").arg(gateway.table()));
    let _there = process.wait_for_log(|line| line.contains("started; the socket is"));
    let facts = fs::metadata(folder.join("lookup")).unwrap();
    assert_eq!(facts.permissions().mode() & 0o777, 0o660);
    assert!(!is_root() || (facts.uid(), facts.gid()) == (LOOKUP_UID, SMAP_UID));
    let asker = Asker::connect(&folder.join("lookup")).unwrap();
    assert_addresses(asker.ask(addresses("mail.example")), &["192.0.2.1"]);
}

fn help_version_and_usage_are_as_everywhere() {
    let gateway = Gateway::new("");
    let said = |flag: &str| run(gateway.program("smap-lookup").arg(flag), Stdio::null());
    let (help, version) = (said("--help"), said("--version"));
    assert_eq!((help.code, version.code, said("--bogus").code), (0, 0, 64));
    assert!(String::from_utf8_lossy(&help.output).contains("Usage: smap-lookup"));
    assert!(String::from_utf8_lossy(&version.output).starts_with("smap-lookup "));
}

fn it_rests_when_nobody_asks() {
    let desk = Desk::new("mail.example A 192.0.2.1");
    let _asker = desk.asker();
    let _there = desk.ask(addresses("mail.example"));
    let (worked, since) = (desk.process.worked(), Instant::now());
    eventually("a while goes by", || (since.elapsed().as_millis() > 500).then_some(()));
    assert_rested(desk.process.worked() - worked, since.elapsed());
}
