//! The process of `smap --listen` that makes those that wait for a client.

use std::collections::BTreeSet;
use std::thread;

use nix::libc;
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use smap_common::confine::{HANDOVER, calls};
use smap_tests::client::Client;
use smap_tests::eventually;
use smap_tests::gateway::{Gateway, Listener};
use smap_tests::needs::Need::Root;
use smap_tests::taken::Taken;
use smap_tests::tests;

use crate::confinement::{assert_is_smap, assert_walls, descriptors, session_of};
use crate::inside::{SIBLING, assert_golden, flags, number};
use crate::spares::{filters, is_gone, template, waiting};

tests! {
    a_template_has_every_wall: [Root];
    a_template_holds_no_client: [Root];
    the_calls_of_a_template_are_the_golden_ones: [Root];
    a_template_has_the_calls_of_a_session_and_few_more: [Root];
    a_template_forks_in_one_way_only: [Root];
    a_session_of_a_template_has_the_calls_of_every_session: [Root];
    processes_of_one_template_give_their_messages_different_ids;
    clients_are_served_although_the_template_was_killed;
    clients_of_a_burst_are_served_although_the_template_is_killed;
    a_template_that_was_told_to_end_takes_no_session_with_it;
    a_new_table_has_a_template_of_its_own;
    a_template_ends_with_a_listener_that_is_killed;
    a_template_that_is_stopped_holds_nobody_up;
    who_is_made_for_a_listener_that_ends_says_nothing;
}

fn a_template_has_every_wall() {
    let gateway = Gateway::new("");
    let listener = gateway.listen();
    let pid = template(&listener);
    assert_walls(pid);
    assert_is_smap(pid);
    for link in ["root", "cwd"] {
        assert_eq!(std::fs::read_link(format!("/proc/{pid}/{link}")).unwrap(), gateway.spool());
    }
}

fn a_template_holds_no_client() {
    let listener = Gateway::new("").listen();
    let (pid, _clients) = (template(&listener), [listener.client(), listener.client()]);
    let _again = waiting_beside(&listener, 2);
    let sockets =
        descriptors(pid).into_iter().filter(|(number, link)| *number > 2 && link.starts_with("socket:"));
    let numbers: Vec<u32> = sockets.map(|(number, _)| number).collect();
    assert_eq!(numbers, [HANDOVER.unsigned_abs()]);
}

/// Waits until there are as many that wait as there are to be, beside so many sessions that did.
fn waiting_beside(listener: &Listener, sessions: usize) -> BTreeSet<Pid> {
    eventually("processes wait again", || {
        let all = crate::spares::filtered_twice(listener);
        (all.len() == crate::spares::SPARES + sessions).then_some(all)
    })
}

fn the_calls_of_a_template_are_the_golden_ones() {
    let listener = Gateway::new("").listen();
    assert_golden("template.calls", &Taken::over(template(&listener)).filter());
}

fn a_template_has_the_calls_of_a_session_and_few_more() {
    let of = |calls: calls::Calls| calls.iter().map(|(call, _)| call).collect::<BTreeSet<_>>();
    let more: Vec<_> = of(calls::TEMPLATE).difference(&of(calls::SESSION)).copied().collect();
    let mut known = vec![
        libc::SYS_clone,
        libc::SYS_dup3,
        libc::SYS_getpid,
        libc::SYS_landlock_restrict_self,
        libc::SYS_prctl,
        libc::SYS_prlimit64,
        libc::SYS_seccomp,
    ];
    known.sort_unstable();
    assert_eq!(more, known);
    assert!(of(calls::SESSION).is_subset(&of(calls::TEMPLATE)));
}

fn a_template_forks_in_one_way_only() {
    let listener = Gateway::new("").listen();
    let filter = Taken::over(template(&listener)).filter();
    let lets = |flags: u64| filter.lets_through(number(libc::SYS_clone), [flags, 0, 0, 0, 0, 0]);
    for bit in 0..32 {
        assert!(!lets(flags(SIBLING) ^ (1 << bit)), "bit {bit}");
    }
    for call in [libc::SYS_clone3, libc::SYS_fork, libc::SYS_vfork] {
        assert!(!filter.lets_through(number(call), [0; 6]), "{call}");
    }
}

fn a_session_of_a_template_has_the_calls_of_every_session() {
    let listener = Gateway::new("").listen();
    let _waited = waiting(&listener);
    let _client = listener.client();
    let session = session_of(&listener);
    assert_eq!(filters(session), 2);
    assert_golden("session.calls", &Taken::over(session).filter());
}

fn processes_of_one_template_give_their_messages_different_ids() {
    const CLIENTS: usize = 30;
    let gateway = Gateway::new("smap: max-sessions-per-host 100");
    let listener = gateway.listen();
    let clients = (0..CLIENTS).map(|_| {
        let address = listener.address();
        thread::spawn(move || {
            let mut client = Client::greeted(address);
            client.say("EHLO client.example", "250-");
            client.mail("hello", "250 ");
        })
    });
    clients.collect::<Vec<_>>().into_iter().for_each(|client| client.join().unwrap());
    let ids: BTreeSet<String> =
        gateway.incoming().iter().map(|stored| stored.envelope.id.to_string()).collect();
    assert_eq!(ids.len(), CLIENTS);
    // Whatever the time: the last thirteen digits are chance.
    let chances: BTreeSet<&str> = ids.iter().filter_map(|id| id.get(9..)).collect();
    assert_eq!(chances.len(), CLIENTS);
}

/// Ends a template; the listener has heard of it.
fn end(listener: &Listener, how: Signal) {
    let pid = template(listener);
    kill(pid, how).unwrap();
    let died = format!("session process {pid} died of {how}");
    let _said = listener.process.wait_for_log(|line| line.ends_with(&died));
}

fn clients_are_served_although_the_template_was_killed() {
    const CLIENTS: usize = 10;
    let gateway = Gateway::new("");
    let listener = gateway.listen();
    end(&listener, Signal::SIGKILL);
    for _ in 0..CLIENTS {
        listener.extended_client().mail("hello", "250 ");
    }
    assert_eq!(gateway.incoming().len(), CLIENTS);
}

fn clients_of_a_burst_are_served_although_the_template_is_killed() {
    const CLIENTS: usize = 40;
    let gateway = Gateway::new("smap: max-sessions-per-host 100");
    let listener = gateway.listen();
    let victim = template(&listener);
    let mut clients: Vec<Client> = (0..CLIENTS)
        .map(|number| {
            if number == CLIENTS / 4 {
                kill(victim, Signal::SIGKILL).unwrap();
            }
            Client::connect(listener.address())
        })
        .collect();
    clients.iter_mut().for_each(|client| drop(client.expect("220 ")));
    clients.iter_mut().for_each(|client| drop(client.say("EHLO client.example", "250-")));
    clients.iter_mut().for_each(|client| drop(client.mail("hello", "250 ")));
    assert_eq!(gateway.incoming().len(), CLIENTS);
}

fn a_template_that_was_told_to_end_takes_no_session_with_it() {
    let gateway = Gateway::new("");
    let listener = gateway.listen();
    let waited = waiting(&listener);
    let mut client = listener.extended_client();
    assert!(waited.contains(&session_of(&listener)));
    let _again = waiting_beside(&listener, 1);
    let pid = crate::spares::template_among(&listener);
    kill(pid, Signal::SIGTERM).unwrap();
    eventually("it has ended", || is_gone(pid).then_some(()));
    client.mail("hello", "250 ");
    client.quit();
    listener.extended_client().mail("hello", "250 ");
    assert_eq!(gateway.incoming().len(), 2);
}

fn a_new_table_has_a_template_of_its_own() {
    let gateway = Gateway::new("");
    let listener = gateway.listen();
    let (old, its) = (template(&listener), waiting(&listener));
    gateway.write_table("smap: maxbytes 12345");
    listener.process.signal(Signal::SIGHUP);
    eventually("it has ended", || is_gone(old).then_some(()));
    // Those that it has made end at their own pace.
    let waited =
        eventually("others wait", || Some(waiting(&listener)).filter(|others| others.is_disjoint(&its)));
    let mut client = listener.client();
    assert!(client.say("EHLO client.example", "250-").contains("SIZE 12345"));
    assert!(waited.contains(&session_of(&listener)));
}

fn a_template_ends_with_a_listener_that_is_killed() {
    let listener = Gateway::new("").listen();
    let pid = template(&listener);
    kill(listener.process.pid(), Signal::SIGKILL).unwrap();
    eventually("it has ended", || is_gone(pid).then_some(()));
}

fn a_template_that_is_stopped_holds_nobody_up() {
    const CLIENTS: usize = 10;
    let gateway = Gateway::new("");
    let listener = gateway.listen();
    let pid = template(&listener);
    kill(pid, Signal::SIGSTOP).unwrap();
    let mut clients: Vec<Client> = (0..CLIENTS).map(|_| listener.extended_client()).collect();
    clients.iter_mut().for_each(|client| drop(client.mail("hello", "250 ")));
    assert_eq!(gateway.incoming().len(), CLIENTS);
    kill(pid, Signal::SIGCONT).unwrap();
}

fn who_is_made_for_a_listener_that_ends_says_nothing() {
    let gateway = Gateway::new("");
    for _ in 0..20 {
        let mut listener = gateway.listen();
        listener.process.signal(Signal::SIGTERM);
        let ended = listener.process.end();
        let errors: Vec<&String> = ended.log.iter().filter(|line| line.contains("error: ")).collect();
        assert!(ended.code == 0 && errors.is_empty(), "{errors:?}");
    }
}
