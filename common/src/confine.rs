//! Confinement: every change of what a process may do, in one place; of who it is, in `credentials`.
//!
//! Decides nothing; carries out a [`Plan`], in the order in which each step is still possible, and looks
//! afterwards whether it took. Guarantees that a [`Confined`] exists only in a process that has no way back:
//! smap's `serve` takes one, so that no byte of the network is read before.
//!
//! Started without root it does all that needs none, and [`Confined::missing`] names the rest. What can always be
//! had (no-new-privileges, limits, the system call filter) must be had.

use std::fmt;
use std::io;
use std::os::fd::BorrowedFd;
use std::path::Path;

use caps::Capability;
use nix::sys::prctl;
use nix::sys::resource::{Resource, getrlimit};
use nix::sys::signal::{SigSet, Signal};
use nix::unistd;

use crate::account::Account;
use crate::log;

pub mod calls;
mod credentials;
mod files;
mod limits;
mod missing;
mod template;

use self::credentials::has;
use self::limits::limit;

pub use self::calls::{CREATE_ONLY, Filter, HANDOVER};
pub use self::credentials::{
    SetId, as_account, become_account, can_confine_in, keep_only_what_children_need,
};
pub use self::files::Reach;
pub use self::limits::limit_program;
pub use self::missing::Missing;
pub use self::template::Template;

/// What a session's process is confined to.
#[derive(Debug)]
pub struct Plan<'a> {
    /// Its user from now on; `None` keeps the user that it has.
    pub account: Option<&'a Account>,
    /// Its root folder, where it may change it.
    pub root: &'a Path,
    /// The one folder that it may create files in.
    pub incoming: BorrowedFd<'a>,
    /// Octets of the largest file that it may write.
    pub max_file: u64,
    /// The system calls that it may make.
    pub filter: &'a Filter,
}

/// Proof that this process is confined, and what could not be had.
#[derive(Debug)]
#[must_use]
pub struct Confined {
    missing: Vec<Missing>,
    landlock: u8,
}

impl Confined {
    /// The ABI of Landlock that is used; 0 where there is none.
    #[must_use]
    pub fn landlock(&self) -> u8 {
        self.landlock
    }

    /// What could not be had without root, or on this kernel.
    #[must_use]
    pub fn missing(&self) -> &[Missing] {
        &self.missing
    }
}

/// The step that failed.
#[derive(Debug)]
pub struct ConfineError {
    step: &'static str,
    cause: Box<dyn std::error::Error + Send + Sync>,
}

impl fmt::Display for ConfineError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "cannot confine this process: {}: {}", self.step, self.cause)
    }
}

impl std::error::Error for ConfineError {}

/// Names the step in its error.
trait Step<T> {
    fn step(self, step: &'static str) -> Result<T, ConfineError>;
}

impl<T, E: Into<Box<dyn std::error::Error + Send + Sync>>> Step<T> for Result<T, E> {
    fn step(self, step: &'static str) -> Result<T, ConfineError> {
        self.map_err(|cause| ConfineError { step, cause: cause.into() })
    }
}

fn refuse(step: &'static str, why: &'static str) -> ConfineError {
    ConfineError { step, cause: why.into() }
}

/// Confines this process for one session, for good. To be called when everything that the session needs is open, but
/// for the client's connection where that is handed over later.
///
/// # Errors
/// A wall that must be there is not; the process must not read from the network.
pub fn confine(plan: &Plan<'_>) -> Result<Confined, ConfineError> {
    let mut missing = walls(plan)?;
    limit(&[(Resource::RLIMIT_NPROC, 0)])?;
    let landlocked = files::to_creating_in(plan.incoming)?;
    missing.extend(landlocked.missing);
    log::settle();
    plan.filter.apply()?;
    Ok(Confined { missing, landlock: landlocked.abi })
}

/// What a process of sessions puts up before Landlock and the filter.
fn walls(plan: &Plan<'_>) -> Result<Vec<Missing>, ConfineError> {
    let mut missing = Vec::new();
    if has(Capability::CAP_SYS_CHROOT) {
        unistd::chroot(plan.root).step("chroot")?;
        unistd::chdir("/").step("chdir")?;
    } else {
        missing.push(Missing::Chroot);
    }
    missing.extend(become_account(plan.account, SetId::Ignored)?);
    no_new_privileges()?;
    not_dumpable()?;
    limit(&[
        (Resource::RLIMIT_CORE, 0),
        (Resource::RLIMIT_FSIZE, plan.max_file),
        (Resource::RLIMIT_NOFILE, calls::MAX_DESCRIPTORS.unsigned_abs().into()),
    ])?;
    block(&[Signal::SIGXFSZ, Signal::SIGPIPE])?;
    Ok(missing)
}

/// Confines smapd for good, all its threads, once it has its user and its helpers: `start` starts the threads,
/// and there will be no others. `missing` is what [`become_account`] could not give it.
///
/// # Errors
/// A wall that must be there is not, or the threads could not be started.
pub fn confine_delivery<T>(
    reach: &Reach,
    mut missing: Vec<Missing>,
    start: impl FnOnce() -> io::Result<T>,
) -> Result<(Confined, T), ConfineError> {
    no_new_privileges()?;
    not_dumpable()?;
    let landlocked = files::to(reach)?;
    missing.extend(landlocked.missing);
    let started = start().step("threads")?;
    limit(&[(Resource::RLIMIT_NPROC, 0), (Resource::RLIMIT_CORE, 0)])?;
    Filter::of(calls::DELIVERY)?.apply_to_all_threads()?;
    Ok((Confined { missing, landlock: landlocked.abi }, started))
}

/// What `smap-lookup` may read: the system's files of names, and what the C library wants.
pub const NAMES: [&str; 5] = ["/etc", "/usr", "/lib", "/lib64", "/run"];

/// Confines `smap-lookup` for good, once it has its user, its socket and its runtime: one thread, files that are
/// read only, TCP to name servers and next hosts at these ports only. `missing` is what [`become_account`] could not give it.
///
/// # Errors
/// A wall that must be there is not.
pub fn confine_lookup(ports: &[u16], mut missing: Vec<Missing>) -> Result<Confined, ConfineError> {
    no_new_privileges()?;
    not_dumpable()?;
    limit(&[(Resource::RLIMIT_NPROC, 0), (Resource::RLIMIT_CORE, 0)])?;
    let landlocked = files::to_reading(&NAMES, ports)?;
    missing.extend(landlocked.missing);
    log::settle();
    Filter::of(calls::LOOKUP)?.apply()?;
    Ok(Confined { missing, landlock: landlocked.abi })
}

/// What the helper that asks for users may read beside [`NAMES`]: what modules of `nsswitch.conf` keep.
const USERS: [&str; 2] = ["/var/lib/extrausers", "/var/lib/sss"];

/// Confines the helper of `smap-lookup` that asks for users, with the user that this process has: files that are read
/// only, no TCP, no programs. Modules of the C library load what they like and call what they like, so that no list of
/// calls can be kept.
///
/// # Errors
/// A wall that must be there is not.
pub fn confine_users() -> Result<(), ConfineError> {
    no_new_privileges()?;
    not_dumpable()?;
    limit(&[(Resource::RLIMIT_CORE, 0)])?;
    files::to_reading(&[NAMES.as_slice(), USERS.as_slice()].concat(), &[]).map(drop)
}

/// Confines the runner as far as one can be that starts programs of others: they could not look into it, and gain
/// nothing by a set-id bit unless they are to.
///
/// # Errors
/// A wall that must be there is not.
pub fn confine_runner(set_id: SetId) -> Result<(), ConfineError> {
    if set_id == SetId::Ignored {
        no_new_privileges()?;
    }
    not_dumpable()
}

/// Files get exactly the modes that they are made with, whoever started this process.
pub fn own_umask(mask: u32) {
    nix::sys::stat::umask(nix::sys::stat::Mode::from_bits_truncate(mask));
}

/// Closes every descriptor but 0, 1 and 2: what whoever started this process had open is not ours. To be called
/// first of all, before anything is opened.
#[expect(unsafe_code, reason = "no crate of ours wraps close_range")]
pub fn close_inherited_descriptors() {
    // SAFETY: nothing of this process owns a descriptor above 2 yet.
    if unsafe { libc::close_range(3, libc::c_uint::MAX, 0) } == 0 {
        return;
    }
    // The kernel is older than that call, or a filter around us does not know it.
    let (most, _) = getrlimit(Resource::RLIMIT_NOFILE).unwrap_or((1024, 1024));
    for descriptor in 3..libc::c_int::try_from(most).unwrap_or(65_536) {
        // SAFETY: as above.
        unsafe { libc::close(descriptor) };
    }
}

/// Forgets the environment: nothing of it is trusted, and a chrooted process has no use for it. To be called
/// first of all, while there is one thread.
#[expect(unsafe_code, reason = "changing the environment is unsafe where there are threads")]
pub fn clear_environment() {
    // SAFETY: the programs call this before they start any thread.
    let _nothing_to_do = unsafe { nix::env::clearenv() };
}

/// No program that this process starts gains anything by a set-id bit.
///
/// # Errors
/// The kernel refuses.
fn no_new_privileges() -> Result<(), ConfineError> {
    prctl::set_no_new_privs().step("no-new-privileges")?;
    let taken = prctl::get_no_new_privs().step("no-new-privileges")?;
    if taken { Ok(()) } else { Err(refuse("no-new-privileges", "the kernel does not keep it")) }
}

/// No other process of this user may look into this one, nor stop it.
fn not_dumpable() -> Result<(), ConfineError> {
    prctl::set_dumpable(false).step("not dumpable")?;
    if prctl::get_dumpable().step("not dumpable")? {
        return Err(refuse("not dumpable", "the kernel does not keep it"));
    }
    Ok(())
}

/// What these signals say is said by an error too.
fn block(signals: &[Signal]) -> Result<(), ConfineError> {
    let blocked: SigSet = signals.iter().copied().collect();
    blocked.thread_block().step("signals")
}
