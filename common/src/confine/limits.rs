//! How much of the machine a process may use.

use std::io;

use nix::sys::resource::{Resource, getrlimit, setrlimit};

use super::{ConfineError, Step, refuse};

/// What a program that smapd starts may use: no core file, descriptors as usual, no more of the processor than it
/// has time. To be called between fork and exec: it is safe in a signal handler.
///
/// # Errors
/// The kernel refuses.
pub fn limit_program(seconds: u64) -> io::Result<()> {
    const DESCRIPTORS: u64 = 1024;
    for (resource, most) in
        [(Resource::RLIMIT_CORE, 0), (Resource::RLIMIT_NOFILE, DESCRIPTORS), (Resource::RLIMIT_CPU, seconds)]
    {
        let (_, hard) = getrlimit(resource)?;
        setrlimit(resource, most.min(hard), most.min(hard))?;
    }
    Ok(())
}

/// Limits, soft and hard: they can never be raised again.
pub(super) fn limit(limits: &[(Resource, u64)]) -> Result<(), ConfineError> {
    for (resource, most) in limits.iter().copied() {
        setrlimit(resource, most, most).step("limits")?;
        if getrlimit(resource).step("limits")? != (most, most) {
            return Err(refuse("limits", "the kernel does not keep them"));
        }
    }
    Ok(())
}
