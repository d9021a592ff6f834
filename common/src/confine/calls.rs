//! Which system calls each process may make: everything else kills it.
//!
//! Decides by allow-lists, one for each kind of process, with conditions on arguments where the call alone says
//! too little. `seccompiler` turns them into programs for the kernel: it is pure Rust, links and loads nothing,
//! and compares arguments as `libseccomp` does. Numbers of another architecture or of the x32 calls match
//! nothing. The lists are committed once more as the kernel enforces them (`tests/golden/*.calls`).

use std::collections::BTreeMap;
use std::os::fd::RawFd;

use nix::fcntl::OFlag;
use seccompiler::SeccompCmpArgLen::Dword;
use seccompiler::{
    BackendError, BpfProgram, SeccompAction, SeccompCmpOp, SeccompCondition, SeccompFilter, SeccompRule,
    TargetArch,
};

use super::{ConfineError, Step};

/// The number of a system call.
pub type Number = libc::c_long;

/// The flags by which smap opens a file, and the only ones by which it can: what it makes is new, and can only
/// be written.
pub const CREATE_ONLY: OFlag = OFlag::O_WRONLY
    .union(OFlag::O_CREAT)
    .union(OFlag::O_EXCL)
    .union(OFlag::O_NOFOLLOW)
    .union(OFlag::O_CLOEXEC);

/// All that a kind of process may call, in lists that have nothing in common.
#[derive(Debug, Clone, Copy)]
pub struct Calls(&'static [&'static [(Number, When)]]);

impl Calls {
    /// Each of them.
    pub fn iter(self) -> impl Iterator<Item = (Number, When)> {
        self.0.iter().copied().flatten().copied()
    }
}

/// A session in progress.
pub const SESSION: Calls = Calls(&[OF_SESSION]);

/// The descriptor on which a process that was confined before there was a client is handed the connection: the last
/// one that it may have. It is closed before the client is heard, and could be opened again only as a file, on which
/// nobody hands over anything.
pub const HANDOVER: RawFd = MAX_DESCRIPTORS - 1;

/// Descriptors that a session needs at most: client, log, folder, one message, and a few to come.
pub(super) const MAX_DESCRIPTORS: RawFd = 32;

const OF_SESSION: &[(Number, When)] = &[
    // The client, the log.
    (libc::SYS_recvmsg, When::OnHandover),
    (libc::SYS_read, When::Always),
    (libc::SYS_write, When::Always),
    (libc::SYS_ppoll, When::Always),
    (libc::SYS_shutdown, When::Always),
    // One message.
    (libc::SYS_openat, When::CreatesOnly),
    (libc::SYS_flock, When::Always),
    (libc::SYS_fstat, When::Always),
    (libc::SYS_fsync, When::Always),
    (libc::SYS_pwrite64, When::Always),
    (libc::SYS_close, When::Always),
    (libc::SYS_getrandom, When::Always),
    // Memory and time.
    (libc::SYS_brk, When::Always),
    (libc::SYS_mmap, When::NotExecutable),
    (libc::SYS_munmap, When::Always),
    (libc::SYS_mremap, When::Always),
    (libc::SYS_clock_gettime, When::Always),
    // The end.
    (libc::SYS_exit_group, When::Always),
];

/// A process from which sessions are forked.
pub const TEMPLATE: Calls = Calls(&[OF_SESSION, OF_TEMPLATE]);

/// How it forks: what it makes is its sibling.
pub(super) const SIBLING: libc::c_int = libc::CLONE_PARENT | libc::SIGCHLD;

/// What a template has and a session has not: how it forks, and how a new session closes its last doors.
pub(super) const LAST_DOORS: Calls = Calls(&[OF_TEMPLATE]);

const OF_TEMPLATE: &[(Number, When)] = &[
    (libc::SYS_clone, When::ForksSibling),
    // A new session closes its last doors.
    (libc::SYS_dup3, When::ToHandover),
    (libc::SYS_getpid, When::Always),
    (libc::SYS_prlimit64, When::LimitsOwnProcesses),
    (libc::SYS_landlock_restrict_self, When::Always),
    (libc::SYS_prctl, When::NoNewPrivileges),
    (libc::SYS_seccomp, When::AddsFilter),
];

/// smapd's own process, and its threads: programs are another's business.
pub const DELIVERY: Calls = Calls(&[LOOP, OF_DELIVERY]);

/// `smap-lookup`: name servers, those who ask, and the files that say which servers to ask.
pub const LOOKUP: Calls = Calls(&[LOOP, OF_LOOKUP]);

/// What everyone may who waits for files, sockets and time in one loop.
const LOOP: &[(Number, When)] = &[
    // Files.
    (libc::SYS_openat, When::Always),
    (libc::SYS_close, When::Always),
    (libc::SYS_read, When::Always),
    (libc::SYS_write, When::Always),
    (libc::SYS_lseek, When::Always),
    (libc::SYS_fstat, When::Always),
    (libc::SYS_newfstatat, When::Always),
    (libc::SYS_statx, When::Always),
    (libc::SYS_fcntl, When::Always),
    // Sockets: what was asked for by `socket`, which is each one's own, and the log.
    (libc::SYS_connect, When::Always),
    (libc::SYS_accept4, When::Always),
    (libc::SYS_recvfrom, When::Always),
    (libc::SYS_getsockopt, When::Always),
    (libc::SYS_setsockopt, When::Always),
    (libc::SYS_epoll_ctl, When::Always),
    #[cfg(target_arch = "x86_64")]
    (libc::SYS_epoll_wait, When::Always),
    #[cfg(not(target_arch = "x86_64"))]
    (libc::SYS_epoll_pwait, When::Always),
    // Memory, threads and time.
    (libc::SYS_brk, When::Always),
    (libc::SYS_mmap, When::NotExecutable),
    (libc::SYS_mprotect, When::NotExecutable),
    (libc::SYS_munmap, When::Always),
    (libc::SYS_mremap, When::Always),
    (libc::SYS_madvise, When::Always),
    (libc::SYS_futex, When::Always),
    (libc::SYS_clock_gettime, When::Always),
    (libc::SYS_getrandom, When::Always),
    (libc::SYS_getpid, When::Always),
    (libc::SYS_uname, When::Always),
    // The end.
    (libc::SYS_rt_sigprocmask, When::Always),
    (libc::SYS_sigaltstack, When::Always),
    (libc::SYS_restart_syscall, When::Always),
    (libc::SYS_exit_group, When::Always),
];

const OF_DELIVERY: &[(Number, When)] = &[
    // Files.
    (libc::SYS_pread64, When::Always),
    (libc::SYS_pwrite64, When::Always),
    (libc::SYS_getdents64, When::Always),
    (libc::SYS_flock, When::Always),
    (libc::SYS_fsync, When::Always),
    (libc::SYS_fdatasync, When::Always),
    (libc::SYS_ftruncate, When::Always),
    (libc::SYS_linkat, When::Always),
    (libc::SYS_mkdirat, When::Always),
    (libc::SYS_renameat2, When::Always),
    (libc::SYS_unlinkat, When::Always),
    // Sockets: other hosts, mail stores, the helpers, the operator.
    (libc::SYS_socket, When::Socket),
    (libc::SYS_sendto, When::NotFastOpen { flags: 3 }),
    (libc::SYS_sendmsg, When::NotFastOpen { flags: 2 }),
    (libc::SYS_recvmsg, When::Always),
    (libc::SYS_getpeername, When::Always),
    // Threads and time.
    (libc::SYS_sched_yield, When::Always),
    (libc::SYS_clock_nanosleep, When::Always),
    (libc::SYS_geteuid, When::Always),
    (libc::SYS_getegid, When::Always),
    // The end of a thread.
    (libc::SYS_exit, When::Always),
];

const OF_LOOKUP: &[(Number, When)] = &[
    // Sockets: name servers, those who ask.
    (libc::SYS_socket, When::InternetSocket),
    (libc::SYS_bind, When::Always),
    (libc::SYS_sendto, When::Always),
    (libc::SYS_writev, When::Always),
    (libc::SYS_shutdown, When::Always),
];

/// When a call is allowed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum When {
    /// Whatever its arguments are.
    Always,
    /// `openat` with exactly [`CREATE_ONLY`].
    CreatesOnly,
    /// On [`HANDOVER`] only.
    OnHandover,
    /// `dup3` to [`HANDOVER`] only.
    ToHandover,
    /// `clone` that makes a sibling, and shares nothing with it.
    ForksSibling,
    /// `prlimit64` of how many processes this process's user may have.
    LimitsOwnProcesses,
    /// `prctl` that takes the way to privileges away.
    NoNewPrivileges,
    /// `seccomp` that adds a filter to this thread.
    AddsFilter,
    /// `mmap` and `mprotect` of memory that is not code.
    NotExecutable,
    /// `socket` for TCP, or of the machine: Landlock judges connections of TCP, and no datagram or other stream.
    Socket,
    /// `socket` of the Internet or of the machine, for datagrams too: names are asked for by UDP.
    InternetSocket,
    /// Without the flag that has a connection begin with its first octets, past Landlock; which argument has flags.
    NotFastOpen {
        /// Its index.
        flags: u8,
    },
}

impl When {
    fn rules(self) -> Result<Vec<SeccompRule>, BackendError> {
        match self {
            Self::Always => Ok(Vec::new()),
            Self::CreatesOnly => Ok(vec![rule(&[is(2, CREATE_ONLY.bits())])?]),
            Self::OnHandover => Ok(vec![rule(&[is(0, HANDOVER)])?]),
            Self::ToHandover => Ok(vec![rule(&[is(1, HANDOVER)])?]),
            Self::ForksSibling => Ok(vec![rule(&[is(0, SIBLING)])?]),
            Self::LimitsOwnProcesses => Ok(vec![rule(&[is(0, 0), is(1, NPROC)])?]),
            Self::NoNewPrivileges => Ok(vec![rule(&[is(0, libc::PR_SET_NO_NEW_PRIVS)])?]),
            Self::AddsFilter => Ok(vec![rule(&[is(0, SET_MODE_FILTER), is(1, 0)])?]),
            Self::NotExecutable => Ok(vec![rule(&[has(2, libc::PROT_EXEC, 0)])?]),
            Self::NotFastOpen { flags } => Ok(vec![rule(&[has(flags, libc::MSG_FASTOPEN, 0)])?]),
            Self::InternetSocket => [libc::AF_UNIX, libc::AF_INET, libc::AF_INET6]
                .map(|family| rule(&[is(0, family)]))
                .into_iter()
                .collect(),
            Self::Socket => {
                let tcp = [has(1, SOCKET_TYPE, libc::SOCK_STREAM), is(2, 0)];
                let of_family = |family| rule(&[&[is(0, family)], tcp.as_slice()].concat());
                Ok(vec![
                    rule(&[is(0, libc::AF_UNIX)])?,
                    of_family(libc::AF_INET)?,
                    of_family(libc::AF_INET6)?,
                ])
            }
        }
    }
}

/// The type of a socket, without the flags that may be added to it: Linux's own mask.
const SOCKET_TYPE: libc::c_int = 0xf;

/// Constants that the C library has as numbers without a sign.
const NPROC: libc::c_int = 6;
const SET_MODE_FILTER: libc::c_int = 1;
const _: () = assert!(libc::RLIMIT_NPROC == 6 && libc::SECCOMP_SET_MODE_FILTER == 1);

/// What must hold of an argument: its index, the comparison, the value.
type Condition = (u8, SeccompCmpOp, libc::c_int);

fn is(argument: u8, value: libc::c_int) -> Condition {
    (argument, SeccompCmpOp::Eq, value)
}

/// Of the bits of `mask` exactly these.
fn has(argument: u8, mask: libc::c_int, value: libc::c_int) -> Condition {
    (argument, SeccompCmpOp::MaskedEq(mask.unsigned_abs().into()), value)
}

/// All of them must hold.
fn rule(conditions: &[Condition]) -> Result<SeccompRule, BackendError> {
    let conditions = conditions.iter().map(|(argument, operator, value)| {
        SeccompCondition::new(*argument, Dword, operator.clone(), value.unsigned_abs().into())
    });
    SeccompRule::new(conditions.collect::<Result<_, _>>()?)
}

/// The program for the kernel that lets calls through, or kills the process.
#[derive(Debug)]
pub struct Filter(BpfProgram);

impl Filter {
    /// Lets exactly these through. It takes memory and time, and is made best before there is a process for each
    /// client.
    ///
    /// # Errors
    /// There is none for this architecture.
    pub fn of(calls: Calls) -> Result<Self, ConfineError> {
        let rules = calls.iter().map(|(call, when)| Ok((call, when.rules()?))).collect();
        program(rules, SeccompAction::KillProcess, SeccompAction::Allow).step("seccomp")
    }

    /// Lets none of these through, whatever their arguments are: for a process that has a filter of allowed calls, as
    /// the kernel does the strictest of what its filters say. A shorter one is ready sooner.
    ///
    /// # Errors
    /// As of [`Self::of`].
    pub(super) fn against(calls: Calls) -> Result<Self, ConfineError> {
        let rules = calls.iter().map(|(call, _)| Ok((call, Vec::new()))).collect();
        program(rules, SeccompAction::Allow, SeccompAction::KillProcess).step("seccomp")
    }

    /// For this thread and all that it starts, for good.
    pub(super) fn apply(&self) -> Result<(), ConfineError> {
        seccompiler::apply_filter(&self.0).step("seccomp")
    }

    /// For all threads of this process.
    pub(super) fn apply_to_all_threads(&self) -> Result<(), ConfineError> {
        seccompiler::apply_filter_all_threads(&self.0).step("seccomp")
    }
}

type Rules = BTreeMap<Number, Vec<SeccompRule>>;

/// What is done with calls that no rule is for, and with those that one is.
fn program(
    rules: Result<Rules, BackendError>,
    others: SeccompAction,
    these: SeccompAction,
) -> Result<Filter, BackendError> {
    let architecture = TargetArch::try_from(std::env::consts::ARCH)?;
    SeccompFilter::new(rules?, others, these, architecture)?.try_into().map(Filter)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_call_is_listed_twice() {
        for calls in [SESSION, TEMPLATE, DELIVERY, LOOKUP] {
            let mut numbers: Vec<Number> = calls.iter().map(|(call, _)| call).collect();
            let listed = numbers.len();
            numbers.sort_unstable();
            numbers.dedup();
            assert_eq!(numbers.len(), listed);
        }
    }
}
