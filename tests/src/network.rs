//! A network of a test's own: every port and address of it is free, and nothing leaves it.

use std::fs;
use std::panic::resume_unwind;
use std::process::{Command, Stdio};
use std::thread;

use nix::sched::{CloneFlags, unshare};

use crate::process::run;
use crate::programs;

/// Runs this in a network that has the loopback addresses and nothing else. What it starts, threads and programs,
/// is in there too. Needs root and the program `ip`.
///
/// # Panics
/// There can be none; and where `body` does.
pub fn apart<T: Send>(body: impl FnOnce() -> T + Send) -> T {
    let inside = || {
        unshare(CloneFlags::CLONE_NEWNET).expect("root may have a network");
        ip("link set lo up");
        body()
    };
    thread::scope(|scope| scope.spawn(inside).join()).unwrap_or_else(|panic| resume_unwind(panic))
}

/// Has the program `ip` do this.
///
/// # Panics
/// It does not.
pub fn ip(arguments: &str) {
    let ended = run(Command::new(programs::peer("ip")).args(arguments.split(' ')), Stdio::null());
    assert_eq!(ended.code, 0, "ip {arguments}: {:?}", ended.log);
}

/// Gives this machine an address of its network.
pub fn add_address(address: &str) {
    let bits = if address.contains(':') { "128 dev lo nodad" } else { "32 dev lo" };
    ip(&format!("address add {address}/{bits}"));
}

/// Has everything vanish that is sent to this IPv4 address.
pub fn add_silent(address: &str) {
    ip("link add hole type veth peer name bottom");
    ip("link set hole up");
    ip("link set bottom up");
    ip(&format!("route add {address}/32 dev hole"));
    ip(&format!("neigh add {address} lladdr 02:00:00:00:00:01 nud permanent dev hole"));
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
