//! A network of a test's own: nobody else is in it, and every port of it is free.

use std::process::{Command, Stdio};

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

/// One more address of the network that the caller is in.
pub fn add(address: &str) {
    ip(&["address", "add", address, "dev", "lo"]);
}

fn ip(arguments: &[&str]) {
    let ended = run(Command::new(programs::peer("ip")).args(arguments), Stdio::null());
    assert_eq!(ended.code, 0, "{arguments:?}: {ended:#?}");
}
