//! A network of a test's own: nobody else is in it, and every port of it is free.

use std::fs;
use std::process::{Command, Stdio};
use std::sync::mpsc::channel;

use nix::sched::{CloneFlags, unshare};

use crate::process::run;
use crate::programs;

/// Runs a test in a network that has nothing but a loopback interface, with these addresses beside its own. What the
/// test starts is in there with it.
///
/// # Panics
/// The test does, or there cannot be such a network.
pub fn alone(addresses: &[&str], test: impl FnOnce() + Send) {
    // A namespace belongs to a thread and to what that thread begins.
    let outcome = std::thread::scope(|scope| {
        let thread = scope.spawn(|| {
            unshare(CloneFlags::CLONE_NEWNET).expect("root may have a network of its own");
            ip(&["link", "set", "lo", "up"]);
            addresses.iter().for_each(|address| add(address));
            test();
        });
        thread.join()
    });
    if let Err(panic) = outcome {
        std::panic::resume_unwind(panic);
    }
}

/// Runs a test in another such network, whose only neighbour is the one that the caller is in: over a cable with these
/// two addresses at its ends, the caller's first.
///
/// # Panics
/// The test does, or there cannot be such a network.
pub fn outside(here: &str, there: &str, test: impl FnOnce() + Send) {
    let ((number, cable), (to_say, to_plug)) = (channel(), channel());
    let outcome = std::thread::scope(|scope| {
        let thread = scope.spawn(move || {
            unshare(CloneFlags::CLONE_NEWNET).expect("root may have a network of its own");
            number.send(nix::unistd::gettid()).unwrap();
            to_plug.recv().expect("the cable is there");
            ip(&["link", "set", "lo", "up"]);
            plug("there", there);
            test();
        });
        let thread_of_it = cable.recv().expect("it has a number").to_string();
        ip(&["link", "add", "here", "type", "veth", "peer", "name", "there", "netns", &thread_of_it]);
        plug("here", here);
        to_say.send(()).unwrap();
        thread.join()
    });
    if let Err(panic) = outcome {
        std::panic::resume_unwind(panic);
    }
}

fn plug(end: &str, address: &str) {
    ip(&["address", "add", &format!("{address}/24"), "dev", end]);
    ip(&["link", "set", end, "up"]);
    ip(&["route", "add", "default", "dev", end]);
}

/// One more address of the network that the caller is in.
pub fn add(address: &str) {
    ip(&["address", "add", address, "dev", "lo"]);
}

/// An address that servers of this network may have, and that no interface has: who asks for the machine's own
/// addresses is not told of it.
///
/// # Panics
/// There is no /proc.
pub fn add_foreign(address: &str) {
    fs::write("/proc/sys/net/ipv6/ip_nonlocal_bind", "1").expect("root may set it");
    ip(&["route", "add", "local", address, "dev", "lo"]);
}

/// Has everything vanish that is sent to this IPv4 address.
pub fn add_silent(address: &str) {
    ip(&["link", "add", "hole", "type", "veth", "peer", "name", "bottom"]);
    ["hole", "bottom"].iter().for_each(|end| ip(&["link", "set", end, "up"]));
    ip(&["route", "add", address, "dev", "hole"]);
    ip(&["neigh", "add", address, "lladdr", "02:00:00:00:00:01", "nud", "permanent", "dev", "hole"]);
}

/// Connections that were begun in this network so far, whoever took them.
///
/// # Panics
/// There is no /proc.
#[must_use]
pub fn connections() -> u64 {
    // Two lines begin with it: the names of the counters, and the counters.
    let text = fs::read_to_string("/proc/thread-self/net/snmp").expect("it is there");
    let lines: Vec<Vec<&str>> =
        text.lines().filter(|line| line.starts_with("Tcp:")).map(|line| line.split(' ').collect()).collect();
    let place = lines[0].iter().position(|name| *name == "ActiveOpens").expect("the kernel counts them");
    lines[1][place].parse().expect("a number")
}

/// Octets that went over the loopback device of this network so far.
///
/// # Panics
/// There is no /proc.
#[must_use]
pub fn octets() -> u64 {
    let text = fs::read_to_string("/proc/thread-self/net/dev").expect("it is there");
    let line = text.lines().find_map(|line| line.trim().strip_prefix("lo:")).expect("it has one");
    line.split_whitespace().next().unwrap().parse().expect("a number")
}

fn ip(arguments: &[&str]) {
    let ended = run(Command::new(programs::peer("ip")).args(arguments), Stdio::null());
    assert_eq!(ended.code, 0, "{arguments:?}: {ended:#?}");
}
