//! A process that is confined once, and from which sessions are forked that are so from their first instruction.
//!
//! It holds what a session holds, and no client. Beyond a session's calls it has those that a new session closes its
//! last doors with, each of which only takes something away, and one that makes a process: with exactly the flags that
//! make it a child of this one's parent, who counts it and hears of its end. Guarantees that a session of it is
//! [`Confined`] only with the filter of every session, behind which none of these calls is left, and with a Landlock
//! domain of its own: as far away from the template and from other sessions as one that was confined by itself. A
//! session that is taken over has no call that names another process, and no descriptor that the template has but the
//! log, `incoming/` and 0 to 2. Nothing is drawn before the fork that two sessions could have in common: random
//! numbers are asked of the kernel one by one, and the clock has no state.

use nix::errno::Errno;
use nix::sys::resource::Resource;
use nix::unistd::{ForkResult, Pid};

use super::files::{self, Landlocked, Once};
use super::{ConfineError, Confined, Filter, Plan, calls, limit, walls};
use crate::log;

/// A confined process that may make sessions; and what a session that it has made is yet to do.
#[derive(Debug)]
pub struct Template {
    confined: Confined,
    /// The domain of one session.
    domain: Once,
    /// Leaves the calls of a session.
    filter: Filter,
}

impl Template {
    /// Confines this process for sessions that it will make, for good. Whoever it is to make them for must be able to
    /// reach it on [`HANDOVER`](super::HANDOVER) by now.
    ///
    /// # Errors
    /// A wall that must be there is not; no session must be made.
    pub fn confine(plan: &Plan<'_>) -> Result<Self, ConfineError> {
        let own = Filter::of(calls::TEMPLATE)?;
        let filter = Filter::against(calls::LAST_DOORS)?;
        let mut missing = walls(plan)?;
        let (Landlocked { abi: landlock, missing: lacking }, domain) =
            files::to_creating_in_twice(plan.incoming)?;
        missing.extend(lacking);
        log::settle();
        own.apply()?;
        Ok(Self { confined: Confined { missing, landlock }, domain, filter })
    }

    /// Makes a process like this one: a child of this one's parent.
    ///
    /// # Errors
    /// The kernel has no room for one more.
    #[expect(unsafe_code, reason = "the C library makes children of this process only")]
    pub fn fork(&self) -> nix::Result<ForkResult> {
        // SAFETY: without CLONE_VM and with no stack named this is a fork. There is one thread, and nothing of ours
        // asks the C library for the number of this thread, the one thing that it would have set right.
        let child = unsafe { libc::syscall(libc::SYS_clone, calls::SIBLING, 0, 0, 0, 0) };
        match i32::try_from(Errno::result(child)?) {
            Ok(0) => Ok(ForkResult::Child),
            Ok(child) => Ok(ForkResult::Parent { child: Pid::from_raw(child) }),
            Err(_) => Err(Errno::EOVERFLOW),
        }
    }

    /// Closes the last doors: this process is a session's for good.
    ///
    /// # Errors
    /// One of them cannot be closed; the process must not read from the network.
    pub fn close(self) -> Result<Confined, ConfineError> {
        limit(&[(Resource::RLIMIT_NPROC, 0)])?;
        self.domain.enter()?;
        log::settle();
        self.filter.apply()?;
        Ok(self.confined)
    }
}
