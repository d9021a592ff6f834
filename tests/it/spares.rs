//! Processes of `smap --listen` that are confined before they have a client.

use std::collections::BTreeSet;
use std::fs;

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use smap_common::confine::HANDOVER;
use smap_tests::client::Client;
use smap_tests::eventually;
use smap_tests::gateway::{Gateway, Listener};
use smap_tests::needs::Need::Root;
use smap_tests::tests;

use crate::confinement::{assert_is_smap, assert_walls, descriptors, session_of};

tests! {
    a_process_that_waits_has_every_wall_already: [Root];
    a_client_is_served_by_a_process_that_waited: [Root];
    a_session_that_was_handed_a_client_is_handed_no_other: [Root];
    more_clients_than_processes_that_wait_are_served_at_once;
    a_client_is_served_although_those_that_waited_were_killed;
    those_that_wait_end_with_a_listener_that_is_killed;
    a_new_table_is_for_the_next_client_whoever_waits;
    the_session_of_a_client_that_was_handed_over_counts;
    no_library_that_looks_users_up_is_forked_with_each_session: [Root];
}

/// How many are to wait.
pub(crate) const SPARES: usize = 8;

/// Those that wait for a client, as many as there are to be.
pub(crate) fn waiting(listener: &Listener) -> BTreeSet<Pid> {
    eventually("processes wait", || {
        let waiting = filtered_twice(listener);
        (waiting.len() == SPARES).then_some(waiting)
    })
}

/// Those that wait, and sessions that did.
pub(crate) fn filtered_twice(listener: &Listener) -> BTreeSet<Pid> {
    children(listener).into_iter().filter(|pid| filters(*pid) == 2).collect()
}

/// The process that makes them, when all of them wait.
pub(crate) fn template(listener: &Listener) -> Pid {
    let _all = waiting(listener);
    template_among(listener)
}

/// The process that makes them, while it makes none and no session was forked by the listener itself.
pub(crate) fn template_among(listener: &Listener) -> Pid {
    children(listener).into_iter().find(|pid| filters(*pid) == 1).expect("it is there")
}

fn children(listener: &Listener) -> Vec<Pid> {
    let listener = listener.process.pid();
    let children = fs::read_to_string(format!("/proc/{listener}/task/{listener}/children")).unwrap();
    children.split_whitespace().map(|pid| Pid::from_raw(pid.parse().unwrap())).collect()
}

/// How many filters of system calls a process has: what a template makes has the template's, and one that takes away
/// what only a template may.
pub(crate) fn filters(pid: Pid) -> u32 {
    let status = fs::read_to_string(format!("/proc/{pid}/status")).unwrap_or_default();
    let count = status.lines().find_map(|line| line.strip_prefix("Seccomp_filters:"));
    count.map_or(0, |count| count.trim().parse().unwrap())
}

pub(crate) fn is_gone(pid: Pid) -> bool {
    !fs::read_to_string(format!("/proc/{pid}/stat")).is_ok_and(|stat| !stat.contains(") Z "))
}

fn a_process_that_waits_has_every_wall_already() {
    let gateway = Gateway::new("");
    let listener = gateway.listen();
    for pid in waiting(&listener) {
        assert_walls(pid);
        assert_is_smap(pid);
        assert_eq!(fs::read_link(format!("/proc/{pid}/root")).unwrap(), gateway.spool());
        let sockets =
            descriptors(pid).into_iter().filter(|(number, link)| *number > 2 && link.starts_with("socket:"));
        let numbers: Vec<u32> = sockets.map(|(number, _)| number).collect();
        assert_eq!(numbers, [HANDOVER.unsigned_abs()]);
    }
}

fn a_client_is_served_by_a_process_that_waited() {
    let gateway = Gateway::new("");
    let listener = gateway.listen();
    let waited = waiting(&listener);
    let mut client = listener.extended_client();
    assert!(waited.contains(&session_of(&listener)));
    client.mail("hello", "250 ");
    assert_eq!(
        gateway.incoming()[0].envelope.origin.client.map(|client| client.ip()),
        Some(listener.address().ip())
    );
    client.quit();
    listener.wait_for_sessions(1);
    eventually("another waits in its place", || (waiting(&listener) != waited).then_some(()));
}

fn a_session_that_was_handed_a_client_is_handed_no_other() {
    let listener = Gateway::new("").listen();
    let _waited = waiting(&listener);
    let _client = listener.client();
    let links = descriptors(session_of(&listener));
    assert!(links.iter().all(|(number, _)| *number != HANDOVER.unsigned_abs()), "{links:?}");
}

fn more_clients_than_processes_that_wait_are_served_at_once() {
    const CLIENTS: usize = 40;
    let gateway = Gateway::new("smap: max-sessions-per-host 100");
    let listener = gateway.listen();
    let mut clients: Vec<Client> = (0..CLIENTS).map(|_| Client::connect(listener.address())).collect();
    clients.iter_mut().for_each(|client| drop(client.expect("220 ")));
    clients.iter_mut().for_each(|client| drop(client.say("EHLO client.example", "250-")));
    clients.iter_mut().for_each(|client| drop(client.mail("hello", "250 ")));
    assert_eq!(gateway.incoming().len(), CLIENTS);
}

fn a_client_is_served_although_those_that_waited_were_killed() {
    let gateway = Gateway::new("");
    let listener = gateway.listen();
    waiting(&listener).into_iter().for_each(|pid| kill(pid, Signal::SIGKILL).unwrap());
    let _said = listener.process.wait_for_logs(SPARES, |line| line.contains("died of SIGKILL"));
    listener.extended_client().mail("hello", "250 ");
    assert_eq!(gateway.incoming().len(), 1);
}

fn those_that_wait_end_with_a_listener_that_is_killed() {
    let listener = Gateway::new("").listen();
    let waited = waiting(&listener);
    kill(listener.process.pid(), Signal::SIGKILL).unwrap();
    for pid in waited {
        eventually("it has ended", || is_gone(pid).then_some(()));
    }
}

fn a_new_table_is_for_the_next_client_whoever_waits() {
    let gateway = Gateway::new("");
    let listener = gateway.listen();
    let waited = waiting(&listener);
    gateway.write_table("smap: maxbytes 12345");
    listener.process.signal(Signal::SIGHUP);
    let _said = listener.process.wait_for_log(|line| line.contains("the table was read again"));
    let mut client = listener.client();
    assert!(client.say("EHLO client.example", "250-").contains("SIZE 12345"));
    for pid in waited {
        eventually("it has ended", || is_gone(pid).then_some(()));
    }
}

fn the_session_of_a_client_that_was_handed_over_counts() {
    let listener = Gateway::new("smap: max-sessions 1").listen();
    let waited = waiting(&listener);
    let _client = listener.client();
    assert!(waited.contains(&session_of(&listener)));
    Client::connect(listener.address()).expect("421 4.3.2 ");
}

fn no_library_that_looks_users_up_is_forked_with_each_session() {
    let gateway = Gateway::new("");
    let listener = gateway.listen();
    let assert_has_none = || {
        let maps = fs::read_to_string(format!("/proc/{}/maps", listener.process.pid())).unwrap();
        assert!(!maps.contains("/libnss_"), "{maps}");
    };
    assert_has_none();
    gateway.write_table("");
    listener.process.signal(Signal::SIGHUP);
    let _said = listener.process.wait_for_log(|line| line.contains("the table was read again"));
    assert_has_none();
}
