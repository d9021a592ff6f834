//! Confinement: every change of what a process may do, in one place.
//!
//! Decides nothing; carries out a [`Plan`], in the order in which each step is still possible, and looks
//! afterwards whether it took. Guarantees that a [`Confined`] exists only in a process that has no way back:
//! smap's `serve` takes one, so that no byte of the network is read before.
//!
//! Started without root it does all that needs none, and [`Confined::missing`] names the rest. What can always be
//! had (no-new-privileges, limits, the system call filter) must be had.

use std::collections::BTreeMap;
use std::fmt;
use std::io;
use std::os::fd::{AsFd, BorrowedFd};
use std::os::unix::fs::MetadataExt;
use std::path::Path;

use crate::account::Account;
use caps::{CapSet, Capability};
use landlock::{
    ABI, Access, AccessFs, AccessNet, BitFlags, CompatLevel, Compatible, PathBeneath, Ruleset, RulesetAttr,
    RulesetCreatedAttr, RulesetStatus, Scope,
};
use nix::errno::Errno;
use nix::fcntl::OFlag;
use nix::sys::prctl;
use nix::sys::resource::{Resource, setrlimit};
use nix::sys::signal::{SigSet, Signal};
use nix::unistd::{self, Gid, Uid};
use seccompiler::{
    BpfProgram, SeccompAction, SeccompCmpArgLen, SeccompCmpOp, SeccompCondition, SeccompFilter, SeccompRule,
    TargetArch,
};

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
}

impl Confined {
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
    /// Landlock is not there, or not all that we ask of it.
    Landlock,
}

impl Missing {
    /// One word for the log.
    #[must_use]
    pub const fn word(self) -> &'static str {
        match self {
            Self::Chroot => "chroot",
            Self::OwnUser => "own-user",
            Self::BoundingSet => "empty-bounding-set",
            Self::Landlock => "landlock",
        }
    }
}

impl fmt::Display for Missing {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Chroot => "chroot (needs root)",
            Self::OwnUser => "own user (needs root)",
            Self::BoundingSet => "empty capability bounding set (needs root)",
            Self::Landlock => "Landlock (needs a newer kernel)",
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

/// Confines this process for good. To be called when everything that the session needs is open.
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
    match plan.account {
        Some(account) => missing.extend(become_account(account, SetId::Ignored)?),
        None => {
            drop_capabilities(&mut missing)?;
            missing.push(Missing::OwnUser);
        }
    }
    no_way_back()?;
    prctl::set_no_new_privs().step("no-new-privileges")?;
    prctl::set_dumpable(false).step("not dumpable")?;
    limit(plan.max_file)?;
    if !restrict_files(plan.incoming)? {
        missing.push(Missing::Landlock);
    }
    seccompiler::apply_filter(&session_filter()?).step("seccomp")?;
    Ok(Confined { missing })
}

/// Files get exactly the modes that they are made with, whoever started this process.
pub fn own_umask(mask: u32) {
    nix::sys::stat::umask(nix::sys::stat::Mode::from_bits_truncate(mask));
}

/// Closes every descriptor but 0, 1 and 2: what whoever started this process had open is not ours. To be called
/// first of all, before anything is opened.
#[expect(unsafe_code, reason = "no crate of ours wraps close_range")]
pub fn close_inherited_descriptors() {
    // SAFETY: nothing of this process owns a descriptor above 2 yet. Where the kernel is too old, they stay.
    let _best_effort = unsafe { libc::close_range(3, libc::c_uint::MAX, 0) };
}

/// Whether programs that this process may start gain what their set-id bits say.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SetId {
    /// They do: one of them is a `sendmail`.
    Honoured,
    /// They do not, for good.
    Ignored,
}

/// Changes to `account` for good, and gives up every capability; or, started as that user, verifies.
///
/// # Errors
/// This process is neither root nor that user, or the kernel refuses.
pub fn become_account(account: &Account, set_id: SetId) -> Result<Vec<Missing>, ConfineError> {
    let mut missing = Vec::new();
    let (uid, gid) = (Uid::from_raw(account.uid), Gid::from_raw(account.gid));
    if account.uid == 0 {
        return Err(refuse("userid", "it is root"));
    }
    if has(Capability::CAP_SETUID) && has(Capability::CAP_SETGID) {
        if set_id == SetId::Ignored {
            empty_bounding_set(&mut missing)?;
        }
        let groups: Vec<Gid> = account.groups.iter().map(|gid| Gid::from_raw(*gid)).collect();
        unistd::setgroups(&groups).step("setgroups")?;
        unistd::setresgid(gid, gid, gid).step("setresgid")?;
        unistd::setresuid(uid, uid, uid).step("setresuid")?;
        drop_effective_capabilities()?;
    } else {
        drop_capabilities(&mut missing)?;
    }
    let (uids, gids) = (unistd::getresuid().step("getresuid")?, unistd::getresgid().step("getresgid")?);
    if [uids.real, uids.effective, uids.saved] != [uid; 3] {
        return Err(refuse("userid", "this process has another user, and only root can change it"));
    }
    if [gids.real, gids.effective, gids.saved] != [gid; 3] {
        return Err(refuse("groupid", "this process has another group, and only root can change it"));
    }
    Ok(missing)
}

/// Gives up all capabilities but those that confining a child in `root` needs: the listener's state after its
/// ports are bound. A spool that only its one user may enter, as in old tables, takes one more than others.
///
/// # Errors
/// The kernel refuses.
pub fn keep_only_what_children_need(root: &Path) -> Result<(), ConfineError> {
    use Capability::{CAP_DAC_READ_SEARCH, CAP_SETGID, CAP_SETPCAP, CAP_SETUID, CAP_SYS_CHROOT};
    let mut needed = vec![CAP_SETGID, CAP_SETPCAP, CAP_SETUID, CAP_SYS_CHROOT];
    if root.metadata().is_ok_and(|facts| facts.mode() & 0o001 == 0) {
        needed.push(CAP_DAC_READ_SEARCH);
    }
    let kept = caps::read(None, CapSet::Permitted).step("capabilities")?;
    let kept = kept.into_iter().filter(|capability| needed.contains(capability)).collect();
    caps::set(None, CapSet::Effective, &kept).step("effective capabilities")?;
    caps::set(None, CapSet::Permitted, &kept).step("permitted capabilities")?;
    caps::clear(None, CapSet::Inheritable).step("inheritable capabilities")
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
pub fn no_new_privileges() -> Result<(), ConfineError> {
    prctl::set_no_new_privs().step("no-new-privileges")
}

fn has(capability: Capability) -> bool {
    caps::has_cap(None, CapSet::Effective, capability).unwrap_or(false)
}

fn drop_capabilities(missing: &mut Vec<Missing>) -> Result<(), ConfineError> {
    empty_bounding_set(missing)?;
    drop_effective_capabilities()
}

fn empty_bounding_set(missing: &mut Vec<Missing>) -> Result<(), ConfineError> {
    if caps::read(None, CapSet::Bounding).step("bounding set")?.is_empty() {
        return Ok(());
    }
    if !has(Capability::CAP_SETPCAP) {
        missing.push(Missing::BoundingSet);
        return Ok(());
    }
    caps::clear(None, CapSet::Bounding).step("bounding set")?;
    lock_securebits().step("securebits")
}

fn drop_effective_capabilities() -> Result<(), ConfineError> {
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
    if unistd::chroot(".") != Err(Errno::EPERM) {
        return Err(refuse("chroot", "it is still possible to leave the root folder"));
    }
    Ok(())
}

/// No process, no core, no large file; a file that grows too large is an error, not a signal.
fn limit(max_file: u64) -> Result<(), ConfineError> {
    let limits = [
        (Resource::RLIMIT_NPROC, 0),
        (Resource::RLIMIT_CORE, 0),
        (Resource::RLIMIT_FSIZE, max_file),
        (Resource::RLIMIT_NOFILE, MAX_DESCRIPTORS),
    ];
    for (resource, most) in limits {
        setrlimit(resource, most, most).step("limits")?;
    }
    let mut blocked = SigSet::empty();
    blocked.add(Signal::SIGXFSZ);
    blocked.add(Signal::SIGPIPE);
    blocked.thread_block().step("signals")
}

/// Landlock: files may be created and written in `incoming`, and nothing else that Landlock knows of may be done.
/// Says whether all of it is in force.
fn restrict_files(incoming: BorrowedFd<'_>) -> Result<bool, ConfineError> {
    let abi = ABI::V6;
    let allowed: BitFlags<AccessFs> = AccessFs::MakeReg | AccessFs::WriteFile;
    let status = Ruleset::default()
        .set_compatibility(CompatLevel::BestEffort)
        .handle_access(AccessFs::from_all(abi))
        .and_then(|rules| rules.handle_access(AccessNet::from_all(abi)))
        .and_then(|rules| rules.scope(Scope::from_all(abi)))
        .and_then(Ruleset::create)
        .and_then(|rules| rules.add_rule(PathBeneath::new(incoming.as_fd(), allowed)))
        .and_then(landlock::RulesetCreated::restrict_self)
        .step("Landlock")?;
    Ok(status.ruleset == RulesetStatus::FullyEnforced)
}

/// System calls of a session in progress. Everything else kills the process.
const SESSION_CALLS: [libc::c_long; 28] = [
    // The client, the log.
    libc::SYS_read,
    libc::SYS_write,
    libc::SYS_recvfrom,
    libc::SYS_sendto,
    libc::SYS_poll,
    libc::SYS_ppoll,
    libc::SYS_setsockopt,
    libc::SYS_shutdown,
    // One message.
    libc::SYS_flock,
    libc::SYS_fsync,
    libc::SYS_fstat,
    libc::SYS_newfstatat,
    libc::SYS_lseek,
    libc::SYS_close,
    libc::SYS_getrandom,
    // Memory and time.
    libc::SYS_brk,
    libc::SYS_mmap,
    libc::SYS_munmap,
    libc::SYS_mremap,
    libc::SYS_madvise,
    libc::SYS_futex,
    libc::SYS_clock_gettime,
    libc::SYS_getpid,
    // The end.
    libc::SYS_sigaltstack,
    libc::SYS_rt_sigreturn,
    libc::SYS_restart_syscall,
    libc::SYS_exit,
    libc::SYS_exit_group,
];

fn session_filter() -> Result<BpfProgram, ConfineError> {
    let mut rules: BTreeMap<i64, Vec<SeccompRule>> =
        SESSION_CALLS.into_iter().map(|call| (call, Vec::new())).collect();
    rules.insert(libc::SYS_openat, vec![create_only().step("seccomp")?]);
    if cfg!(debug_assertions) {
        // The standard library of a debug build looks at each descriptor that it closes.
        rules
            .insert(libc::SYS_fcntl, vec![rule(1, u64::from(libc::F_GETFD.unsigned_abs())).step("seccomp")?]);
    }
    let arch = TargetArch::try_from(std::env::consts::ARCH).step("seccomp")?;
    SeccompFilter::new(rules, SeccompAction::KillProcess, SeccompAction::Allow, arch)
        .and_then(TryInto::try_into)
        .step("seccomp")
}

/// `openat` with the flags that create a spool file, and no others.
fn create_only() -> Result<SeccompRule, seccompiler::BackendError> {
    let flags = OFlag::O_WRONLY | OFlag::O_CREAT | OFlag::O_EXCL | OFlag::O_NOFOLLOW | OFlag::O_CLOEXEC;
    let flags = u64::from(flags.bits().unsigned_abs());
    rule(2, flags)
}

/// A call whose argument of that number has that value.
fn rule(argument: u8, value: u64) -> Result<SeccompRule, seccompiler::BackendError> {
    SeccompRule::new(vec![SeccompCondition::new(argument, SeccompCmpArgLen::Dword, SeccompCmpOp::Eq, value)?])
}
