//! smap-lookup as a service: its socket, those who may ask, and what it does with those who ask too much.

use std::fs;
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::os::unix::process::CommandExt;
use std::process::{Command, Stdio};
use std::time::Instant;

use nix::sys::signal::Signal;
use smap_tests::asker::Asker;
use smap_tests::dns::Dns;
use smap_tests::gateway::{Gateway, SMAP_UID, SMAPD_UID};
use smap_tests::needs::Need::{Program, Root};
use smap_tests::needs::is_root;
use smap_tests::process::run;
use smap_tests::{assert_rested, eventually, programs, tests};

use super::{Desk, LOOKUP_UID, addresses, assert_addresses, socket, start, table, userid};

tests! {
    many_questions_at_once_are_all_answered;
    a_packet_that_is_none_ends_the_connection_and_no_other;
    a_client_that_reads_nothing_stops_nobody_else;
    the_socket_is_for_its_group_and_replaced_when_stale;
    a_second_one_is_temporary;
    what_is_no_socket_is_not_replaced;
    a_stranger_may_not_ask: [Root, Program(PYTHON)];
    smap_and_smapd_may_ask: [Root, Program(PYTHON)];
    a_broken_mailertable_does_not_concern_it;
    root_without_userid_is_refused: [Root];
    help_version_and_usage_are_as_everywhere;
    it_rests_when_nobody_asks;
}

/// One that every user may start.
const PYTHON: &str = "/usr/bin/python3";

fn many_questions_at_once_are_all_answered() {
    let zone: Vec<String> = (0..300).map(|n| format!("h{n}.example A 192.0.2.1")).collect();
    let desk = Desk::new(&zone.join("\n"));
    let asker = desk.asker();
    for id in 0..300 {
        asker.send(id, addresses(&format!("h{id}.example"))).unwrap();
    }
    let mut ids: Vec<u64> = (0..300)
        .map(|_| {
            let answered = asker.next().expect("it is there");
            assert_addresses(answered.answer, &["192.0.2.1"]);
            answered.id
        })
        .collect();
    ids.sort_unstable();
    assert!(ids.into_iter().eq(0..300));
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
