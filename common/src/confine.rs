//! Confinement: every change of what a process may do, in one place.
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
use std::os::unix::fs::MetadataExt;
use std::path::Path;

use caps::{CapSet, Capability};
use nix::errno::Errno;
use nix::sys::prctl;
use nix::sys::resource::{Resource, getrlimit, setrlimit};
use nix::sys::signal::{SigSet, Signal};
use nix::unistd::{self, Gid, Uid};

use crate::account::Account;
use crate::log;

pub mod calls;
mod files;

pub use calls::CREATE_ONLY;
pub use files::Reach;

/// Descriptors that a session needs at most: client, log, folder, one message, and a few to come.
const MAX_DESCRIPTORS: u64 = 32;

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

/// A wall that is not there.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Missing {
    /// The root folder is the system's.
    Chroot,
    /// The user is the one that started it.
    OwnUser,
    /// The capability bounding set is not empty.
    BoundingSet,
    /// It is not, because programs that are set-id need it: the table wants it so.
    BoundingSetForPrograms,
    /// Landlock is not built into this kernel.
    Landlock,
    /// It is, but it was not enabled at boot.
    LandlockAtBoot,
    /// It is older than what is asked of it: its ABI.
    WholeLandlock(u8),
}

impl Missing {
    /// One word for the log.
    #[must_use]
    pub const fn word(self) -> &'static str {
        match self {
            Self::Chroot => "chroot",
            Self::OwnUser => "own-user",
            Self::BoundingSet | Self::BoundingSetForPrograms => "empty-bounding-set",
            Self::Landlock | Self::LandlockAtBoot => "landlock",
            Self::WholeLandlock(_) => "whole-landlock",
        }
    }
}

impl fmt::Display for Missing {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Chroot => "chroot (needs root)",
            Self::OwnUser => "own user (needs root)",
            Self::BoundingSet => "empty capability bounding set (needs root)",
            Self::BoundingSetForPrograms => {
                "empty capability bounding set (a sendmail may be set-id; smapd itself starts nothing)"
            }
            Self::Landlock => "Landlock (this kernel is built without it)",
            Self::LandlockAtBoot => "Landlock (this kernel was booted without landlock in lsm=)",
            Self::WholeLandlock(abi) => {
                let since = match abi {
                    ..2 => "moving files needs Linux 5.19, so it is off where files are moved;",
                    2 => "truncation is not held before Linux 6.2,",
                    _ => "",
                };
                let connections = if *abi < 4 { " connections not before 6.7," } else { "" };
                let signals = " signals not before 6.12";
                return write!(
                    f,
                    "all of Landlock (this kernel has ABI {abi}; {since}{connections}{signals})"
                );
            }
        })
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

/// Confines this process for one session, for good. To be called when everything that the session needs is open.
///
/// # Errors
/// A wall that must be there is not; the process must not read from the network.
pub fn confine(plan: &Plan<'_>) -> Result<Confined, ConfineError> {
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
        (Resource::RLIMIT_NPROC, 0),
        (Resource::RLIMIT_CORE, 0),
        (Resource::RLIMIT_FSIZE, plan.max_file),
        (Resource::RLIMIT_NOFILE, MAX_DESCRIPTORS),
    ])?;
    block(&[Signal::SIGXFSZ, Signal::SIGPIPE])?;
    let landlocked = files::to_creating_in(plan.incoming)?;
    missing.extend(landlocked.missing);
    log::settle();
    seccompiler::apply_filter(&calls::filter(calls::SESSION).step("seccomp")?).step("seccomp")?;
    Ok(Confined { missing, landlock: landlocked.abi })
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
    seccompiler::apply_filter_all_threads(&calls::filter(calls::DELIVERY).step("seccomp")?)
        .step("seccomp")?;
    Ok((Confined { missing, landlock: landlocked.abi }, started))
}

/// What `smap-lookup` may read: the system's files of names, and what the C library wants.
pub const NAMES: [&str; 5] = ["/etc", "/usr", "/lib", "/lib64", "/run"];

/// Confines `smap-lookup` for good, once it has its user, its socket and its runtime: one thread, files that are
/// read only, TCP to name servers at these ports only. `missing` is what [`become_account`] could not give it.
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
    seccompiler::apply_filter(&calls::filter(calls::LOOKUP).step("seccomp")?).step("seccomp")?;
    Ok(Confined { missing, landlock: landlocked.abi })
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

/// Whether programs that this process may start gain what their set-id bits say.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SetId {
    /// They do: one of them is a `sendmail`.
    Honoured,
    /// They do not, for good.
    Ignored,
}

/// Changes to `account` for good, and gives up every capability; or, started as that user or without one named,
/// verifies.
///
/// # Errors
/// This process is neither root nor that user, or the kernel refuses.
pub fn become_account(account: Option<&Account>, set_id: SetId) -> Result<Vec<Missing>, ConfineError> {
    let mut missing = Vec::new();
    match account {
        Some(account) if has(Capability::CAP_SETUID) && has(Capability::CAP_SETGID) => {
            match set_id {
                SetId::Ignored => missing.extend(empty_bounding_set()?),
                SetId::Honoured => missing.push(Missing::BoundingSetForPrograms),
            }
            change_ids(account)?;
        }
        _ => missing.extend(empty_bounding_set()?),
    }
    drop_capabilities()?;
    match account {
        Some(account) => verify_ids(account)?,
        None => missing.push(Missing::OwnUser),
    }
    no_way_back()?;
    Ok(missing)
}

fn change_ids(account: &Account) -> Result<(), ConfineError> {
    let (uid, gid) = (Uid::from_raw(account.uid), Gid::from_raw(account.gid));
    let groups: Vec<Gid> = account.groups.iter().map(|gid| Gid::from_raw(*gid)).collect();
    unistd::setgroups(&groups).step("setgroups")?;
    unistd::setresgid(gid, gid, gid).step("setresgid")?;
    unistd::setresuid(uid, uid, uid).step("setresuid")
}

fn verify_ids(account: &Account) -> Result<(), ConfineError> {
    let (uids, gids) = (unistd::getresuid().step("getresuid")?, unistd::getresgid().step("getresgid")?);
    if [uids.real, uids.effective, uids.saved].map(Uid::as_raw) != [account.uid; 3] {
        return Err(refuse("userid", "this process has another user, and only root can change it"));
    }
    if [gids.real, gids.effective, gids.saved].map(Gid::as_raw) != [account.gid; 3] {
        return Err(refuse("groupid", "this process has another group, and only root can change it"));
    }
    let groups = unistd::getgroups().step("getgroups")?;
    let is_known = |gid: &Gid| gid.as_raw() == account.gid || account.groups.contains(&gid.as_raw());
    if groups.iter().all(is_known) {
        Ok(())
    } else {
        Err(refuse("setgroups", "this process has groups of others"))
    }
}

/// Gives up all capabilities but those that confining a child in `root` needs: the listener's state after its
/// ports are bound. A spool that only its one user may enter, as in old tables, takes one more than others.
///
/// # Errors
/// The kernel refuses.
pub fn keep_only_what_children_need(root: &Path) -> Result<(), ConfineError> {
    use Capability::{CAP_DAC_READ_SEARCH, CAP_SETGID, CAP_SETPCAP, CAP_SETUID, CAP_SYS_CHROOT};
    let mut needed = vec![CAP_SETGID, CAP_SETPCAP, CAP_SETUID, CAP_SYS_CHROOT];
    if is_closed_to_others(root) {
        needed.push(CAP_DAC_READ_SEARCH);
    }
    let kept = caps::read(None, CapSet::Permitted).step("capabilities")?;
    let kept = kept.into_iter().filter(|capability| needed.contains(capability)).collect();
    caps::set(None, CapSet::Effective, &kept).step("effective capabilities")?;
    caps::set(None, CapSet::Permitted, &kept).step("permitted capabilities")?;
    caps::clear(None, CapSet::Inheritable).step("inheritable capabilities")
}

/// Whether a listener that has kept only what its children needed can confine children in `root`, too.
#[must_use]
pub fn can_confine_in(root: &Path) -> bool {
    let may_enter = !is_closed_to_others(root) || has(Capability::CAP_DAC_READ_SEARCH);
    may_enter || !has(Capability::CAP_SYS_CHROOT)
}

fn is_closed_to_others(root: &Path) -> bool {
    root.metadata().is_ok_and(|facts| facts.mode() & 0o001 == 0)
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

fn has(capability: Capability) -> bool {
    caps::has_cap(None, CapSet::Effective, capability).unwrap_or(false)
}

/// To be emptied before the user changes, or it can't be any more.
fn empty_bounding_set() -> Result<Option<Missing>, ConfineError> {
    let left = || caps::read(None, CapSet::Bounding).step("bounding set");
    if left()?.is_empty() {
        return Ok(None);
    }
    if !has(Capability::CAP_SETPCAP) {
        return Ok(Some(Missing::BoundingSet));
    }
    caps::clear(None, CapSet::Bounding).step("bounding set")?;
    lock_securebits().step("securebits")?;
    if left()?.is_empty() { Ok(None) } else { Err(refuse("bounding set", "some capabilities are left")) }
}

fn drop_capabilities() -> Result<(), ConfineError> {
    for set in [CapSet::Ambient, CapSet::Effective, CapSet::Permitted, CapSet::Inheritable] {
        caps::clear(None, set).step("capabilities")?;
        if !caps::read(None, set).step("capabilities")?.is_empty() {
            return Err(refuse("capabilities", "some are left"));
        }
    }
    Ok(())
}

/// Root gets nothing from being root any more, and none of this can be undone (capabilities(7)).
#[expect(unsafe_code, reason = "no crate of ours wraps PR_SET_SECUREBITS")]
fn lock_securebits() -> io::Result<()> {
    const NOROOT_KEEP_CAPS_AMBIENT_LOCKED: libc::c_ulong = 1 | 1 << 1 | 1 << 5 | 1 << 6 | 1 << 7;
    // SAFETY: prctl(PR_SET_SECUREBITS) takes one number and touches no memory of ours.
    let result = unsafe { libc::prctl(libc::PR_SET_SECUREBITS, NOROOT_KEEP_CAPS_AMBIENT_LOCKED, 0, 0, 0) };
    if result == 0 { Ok(()) } else { Err(io::Error::last_os_error()) }
}

/// Tries what must not work any more.
fn no_way_back() -> Result<(), ConfineError> {
    if unistd::getuid().is_root() || unistd::setuid(Uid::from_raw(0)) != Err(Errno::EPERM) {
        return Err(refuse("setuid", "it is still possible to become root"));
    }
    // Not `.`: where this process was started may be a folder closed to its user, and that is another refusal.
    if unistd::chroot("/") != Err(Errno::EPERM) {
        return Err(refuse("chroot", "it is still possible to leave the root folder"));
    }
    Ok(())
}

/// Limits, soft and hard: they can never be raised again.
fn limit(limits: &[(Resource, u64)]) -> Result<(), ConfineError> {
    for (resource, most) in limits.iter().copied() {
        setrlimit(resource, most, most).step("limits")?;
        if getrlimit(resource).step("limits")? != (most, most) {
            return Err(refuse("limits", "the kernel does not keep them"));
        }
    }
    Ok(())
}

/// What these signals say is said by an error too.
fn block(signals: &[Signal]) -> Result<(), ConfineError> {
    let blocked: SigSet = signals.iter().copied().collect();
    blocked.thread_block().step("signals")
}
