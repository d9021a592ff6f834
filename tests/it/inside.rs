//! Somebody else's code in our processes: what it can do there.
//!
//! Each try is a system call of a real session, or of the real smapd, that was taken over. The calls that get
//! through each filter are golden files: with `UPDATE_REFS` in the environment they are written anew.

use std::fs;
use std::net::TcpListener;
use std::os::unix::process::CommandExt;
use std::path::PathBuf;
use std::process::{Command, Stdio};

use nix::errno::Errno;
use nix::libc;
use nix::unistd::Pid;
use smap_common::confine::{HANDOVER, calls};
use smap_tests::gateway::{Gateway, Listener, SMAP_UID, SMAPD_UID};
use smap_tests::needs::Need::Root;
use smap_tests::post::Post;
use smap_tests::process::{Process, run};
use smap_tests::taken::{Filter, Outcome, Taken};
use smap_tests::{programs, tests};
use syscalls::Sysno;

use crate::confinement::session_of;
use crate::lookup;

tests! {
    the_calls_of_a_session_are_the_golden_ones: [Root];
    the_calls_of_smapd_are_the_golden_ones: [Root];
    the_texts_count_the_calls_as_the_golden_files_do;
    the_calls_of_smap_lookup_are_the_golden_ones: [Root];
    a_session_opens_files_with_one_set_of_flags_only: [Root];
    a_session_is_handed_nothing: [Root];
    no_memory_becomes_code: [Root];
    smapd_has_sockets_of_tcp_and_of_the_machine_only: [Root];
    smapd_sends_nothing_before_it_is_connected: [Root];
    calls_of_another_architecture_are_killed: [Root];
    a_session_lists_nothing: [Root];
    a_session_opens_no_message_again: [Root];
    a_session_changes_no_name: [Root];
    a_session_makes_nothing_but_files: [Root];
    a_session_starts_nothing_and_speaks_to_nobody: [Root];
    a_session_creates_in_incoming_only: [Root];
    a_session_overwrites_nothing: [Root];
    smapd_reaches_nothing_that_its_table_does_not_name: [Root];
    smapd_starts_nothing: [Root];
    smap_lookup_reads_names_and_writes_nothing: [Root];
    smap_lookup_starts_nothing: [Root];
    smap_lookup_connects_to_the_next_hosts_that_it_asks_only: [Root];
    the_user_of_smap_alone_can_neither_list_nor_remove: [Root];
}

/// A session that has accepted a message, and waits.
struct Victim {
    gateway: Gateway,
    listener: Listener,
    _client: smap_tests::client::Client,
    taken: Taken,
    message: String,
    incoming: u64,
}

impl Victim {
    fn new() -> Self {
        let gateway = Gateway::new("");
        let listener = gateway.listen();
        let mut client = listener.extended_client();
        client.mail("hello", "250 ");
        let pid = session_of(&listener);
        let message = gateway.incoming()[0].envelope.id.to_string();
        let incoming = descriptor(pid, &gateway.layout().incoming());
        Self { taken: Taken::over(pid), _client: client, listener, gateway, message, incoming }
    }

    fn filter(&self) -> Filter {
        self.taken.filter()
    }
}

/// The number of the descriptor by which a process has that file.
fn descriptor(pid: Pid, path: &std::path::Path) -> u64 {
    let entries = fs::read_dir(format!("/proc/{pid}/fd")).unwrap().map(Result::unwrap);
    let mut found = entries.filter(|entry| fs::read_link(entry.path()).is_ok_and(|link| link == path));
    found.next().expect("it is open").file_name().to_str().unwrap().parse().unwrap()
}

pub(crate) fn flags(flags: libc::c_int) -> u64 {
    u64::from(flags.unsigned_abs())
}

const CREATE_ONLY: libc::c_int =
    libc::O_WRONLY | libc::O_CREAT | libc::O_EXCL | libc::O_NOFOLLOW | libc::O_CLOEXEC;

/// Of a path from here on, not of a descriptor.
const CWD: u64 = u64::MAX - 99;

const _: () = assert!(libc::AT_FDCWD == -100);

/// How a template forks.
pub(crate) const SIBLING: libc::c_int = libc::CLONE_PARENT | libc::SIGCHLD;

/// A system call, and its arguments in what is taken over.
type Try<T> = (libc::c_long, fn(&mut T) -> Vec<u64>);

/// One try a session, because most are its last.
fn assert_killed(tries: &[Try<Victim>]) {
    for (number, arguments) in tries {
        let mut victim = Victim::new();
        let arguments = arguments(&mut victim);
        assert_eq!(victim.taken.call(*number, &arguments), Outcome::Killed, "system call {number}");
        assert_eq!(victim.gateway.incoming().len(), 1, "system call {number}");
        drop(victim.listener);
    }
}

/// The calls that get through with some of these arguments, each with whether with all.
fn calls_through(filter: &Filter) -> Vec<(u64, bool)> {
    const X32: u64 = 0x4000_0000;
    let arguments = [
        [0, u64::from(libc::RLIMIT_NPROC), 0, 0, 0, 0],
        [u64::MAX; 6],
        [0, flags(HANDOVER), flags(CREATE_ONLY), 0, 0, 0],
        [flags(libc::AF_UNIX), 0, 0, 0, 0, 0],
        [flags(HANDOVER), 0, 0, 0, 0, 0],
        [flags(SIBLING), 0, 0, 0, 0, 0],
        [flags(libc::PR_SET_NO_NEW_PRIVS), 0, 0, 0, 0, 0],
    ];
    let numbers = (0..600).chain(X32..X32 + 600).chain([u64::from(u32::MAX)]);
    let tried = numbers.map(|number| {
        let through = arguments.iter().filter(|arguments| filter.lets_through(number, **arguments)).count();
        (number, through)
    });
    tried
        .filter(|(_, through)| *through > 0)
        .map(|(number, through)| (number, through == arguments.len()))
        .collect()
}

/// What a line of a golden file says of calls that kernels since Linux 6.14 answer before any filter is asked; by
/// themselves they end in SIGILL.
const PAST_EVERY_FILTER: &str = " (past every filter)";

pub(crate) fn assert_golden(name: &str, filter: &Filter) {
    let lines = calls_through(filter).into_iter().map(|(number, always)| {
        let call = usize::try_from(number).ok().and_then(Sysno::new).map_or("?", |call| call.name());
        let how = match call {
            "uprobe" | "uretprobe" => PAST_EVERY_FILTER,
            _ if always => "",
            _ => " (some arguments)",
        };
        format!("{call}{how}")
    });
    let found: Vec<String> = lines.collect();
    let path = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("golden").join(name);
    if std::env::var_os("UPDATE_REFS").is_some() {
        fs::write(&path, found.join("\n") + "\n").unwrap();
    }
    let golden = fs::read_to_string(&path).unwrap();
    let is_wanted = |line: &&str| !line.ends_with(PAST_EVERY_FILTER) || found.iter().any(|call| call == line);
    assert_eq!(found, golden.lines().filter(is_wanted).collect::<Vec<_>>(), "{}", path.display());
}

fn the_calls_of_a_session_are_the_golden_ones() {
    assert_golden("session.calls", &Victim::new().filter());
}

fn the_calls_of_smapd_are_the_golden_ones() {
    let post = Post::with_maildirs("");
    let smapd = post.smapd();
    assert_golden("delivery.calls", &Taken::over(smapd.process().pid()).filter());
}

fn the_texts_count_the_calls_as_the_golden_files_do() {
    let read = |path: &str| fs::read_to_string(programs::workspace().join(path)).unwrap();
    let count = |name: &str| {
        let golden = read(&format!("tests/golden/{name}"));
        golden.lines().filter(|line| !line.ends_with(PAST_EVERY_FILTER)).count()
    };
    let (session, delivery) = (count("session.calls"), count("delivery.calls"));
    assert!(read("README.md").contains(&format!("{session} system calls")));
    assert!(read("etc/man/smapd.8").contains(&format!("the {delivery} of\ndelivering")));
    assert_eq!((calls::SESSION.iter().count(), calls::DELIVERY.iter().count()), (session, delivery));
}

/// A smap-lookup that listens.
fn lookup_of(gateway: &Gateway) -> Process {
    gateway.write_table("smap-lookup: userid 40003");
    lookup::start(gateway)
}

fn the_calls_of_smap_lookup_are_the_golden_ones() {
    let gateway = Gateway::new("");
    let lookup = lookup_of(&gateway);
    assert_golden("lookup.calls", &Taken::over(lookup.pid()).filter());
}

pub(crate) fn number(call: libc::c_long) -> u64 {
    u64::try_from(call).unwrap()
}

fn a_session_opens_files_with_one_set_of_flags_only() {
    let filter = Victim::new().filter();
    let lets = |flags: u64| filter.lets_through(number(libc::SYS_openat), [u64::MAX, 0, flags, 0, 0, 0]);
    assert!(lets(flags(CREATE_ONLY)));
    for bit in 0..32 {
        assert!(!lets(flags(CREATE_ONLY) ^ (1 << bit)), "bit {bit}");
    }
}

/// Its own connection was handed to it perhaps, on a descriptor that is closed since.
fn a_session_is_handed_nothing() {
    let mut victim = Victim::new();
    let filter = victim.filter();
    let lets = |descriptor: u64| filter.lets_through(number(libc::SYS_recvmsg), [descriptor, 0, 0, 0, 0, 0]);
    assert!(
        (0..1024).chain([u64::MAX]).all(|descriptor| lets(descriptor) == (descriptor == flags(HANDOVER)))
    );
    let room = victim.taken.room();
    let handed = victim.taken.call(libc::SYS_recvmsg, &[flags(HANDOVER), room, 0]);
    assert_eq!(handed, Outcome::Refused(Errno::EBADF));
}

fn no_memory_becomes_code() {
    let post = Post::with_maildirs("");
    let smapd = post.smapd();
    for filter in [Victim::new().filter(), Taken::over(smapd.process().pid()).filter()] {
        for protection in 0..8 {
            let code = protection & flags(libc::PROT_EXEC) != 0;
            let arguments = [0, 0, protection, 0, 0, 0];
            assert_eq!(filter.lets_through(number(libc::SYS_mmap), arguments), !code);
            assert!(!code || !filter.lets_through(number(libc::SYS_mprotect), arguments));
            assert!(!filter.lets_through(number(libc::SYS_pkey_mprotect), arguments));
        }
    }
}

fn smapd_has_sockets_of_tcp_and_of_the_machine_only() {
    let post = Post::with_maildirs("");
    let smapd = post.smapd();
    let filter = Taken::over(smapd.process().pid()).filter();
    let internet = [libc::AF_INET, libc::AF_INET6].map(flags);
    let tcp = [(libc::SOCK_STREAM, 0), (libc::SOCK_STREAM | libc::SOCK_CLOEXEC | libc::SOCK_NONBLOCK, 0)];
    let others = [
        (libc::SOCK_DGRAM, 0),
        (libc::SOCK_RAW, 0),
        (libc::SOCK_SEQPACKET, 0),
        (libc::SOCK_STREAM, libc::IPPROTO_MPTCP),
        (libc::SOCK_STREAM, libc::IPPROTO_SCTP),
    ];
    for family in 0..50 {
        let through = |(kind, protocol)| {
            filter.lets_through(number(libc::SYS_socket), [family, flags(kind), flags(protocol), 0, 0, 0])
        };
        let (local, wired) = (family == flags(libc::AF_UNIX), internet.contains(&family));
        assert!(tcp.into_iter().all(|kind| through(kind) == (local || wired)), "family {family}");
        assert!(others.into_iter().all(|kind| through(kind) == local), "family {family}");
    }
}

/// Data that goes with the beginning of a connection, to whatever port.
fn smapd_sends_nothing_before_it_is_connected() {
    let post = Post::with_maildirs("");
    let smapd = post.smapd();
    let filter = Taken::over(smapd.process().pid()).filter();
    for flags in [flags(libc::MSG_FASTOPEN), flags(libc::MSG_FASTOPEN | libc::MSG_NOSIGNAL)] {
        assert!(!filter.lets_through(number(libc::SYS_sendto), [u64::MAX, 0, 0, flags, 0, 0]));
        assert!(!filter.lets_through(number(libc::SYS_sendmsg), [u64::MAX, 0, flags, 0, 0, 0]));
    }
}

/// `int 0x80` and x32 have numbers of their own: 3 is `read` there, and 4 `write`.
fn calls_of_another_architecture_are_killed() {
    for number in [3, 4] {
        let outcome = Victim::new().taken.call_as_32_bit(number);
        assert!(matches!(outcome, Outcome::Killed | Outcome::NoWayIn), "int 0x80 with {number}: {outcome:?}");
    }
    let filter = Victim::new().filter();
    let x32_write = 0x4000_0000 | number(libc::SYS_write);
    assert!(!filter.lets_through(x32_write, [0; 6]));
    assert!(filter.lets_through(number(libc::SYS_write), [u64::MAX; 6]));
}

fn a_session_lists_nothing() {
    assert_killed(&[
        (libc::SYS_getdents64, |victim| vec![victim.incoming, victim.taken.room(), 1024]),
        (libc::SYS_getdents, |victim| vec![victim.incoming, victim.taken.room(), 1024]),
        (libc::SYS_openat, |victim| {
            let here = victim.taken.text(".");
            vec![victim.incoming, here, flags(libc::O_RDONLY | libc::O_DIRECTORY)]
        }),
        (libc::SYS_open, |victim| vec![victim.taken.text("/incoming"), flags(libc::O_RDONLY)]),
        (libc::SYS_stat, |victim| vec![victim.taken.text("/incoming"), victim.taken.room()]),
        (libc::SYS_newfstatat, |victim| {
            let name = victim.message.clone();
            vec![victim.incoming, victim.taken.text(&name), victim.taken.room(), 0]
        }),
        (libc::SYS_readlinkat, |victim| vec![CWD, victim.taken.text("/lock"), victim.taken.room(), 100]),
        (libc::SYS_inotify_init1, |_| vec![0]),
    ]);
}

fn a_session_opens_no_message_again() {
    fn open(victim: &mut Victim, how: libc::c_int) -> Vec<u64> {
        let name = victim.message.clone();
        vec![victim.incoming, victim.taken.text(&name), flags(how), 0]
    }
    assert_killed(&[
        (libc::SYS_openat, |victim| open(victim, libc::O_RDONLY)),
        (libc::SYS_openat, |victim| open(victim, libc::O_WRONLY)),
        (libc::SYS_openat, |victim| open(victim, libc::O_RDWR | libc::O_TRUNC)),
        (libc::SYS_openat, |victim| open(victim, libc::O_PATH)),
        (libc::SYS_openat2, |victim| open(victim, 0)),
        (libc::SYS_creat, |victim| vec![victim.taken.text("/incoming/x"), 0o644]),
        (libc::SYS_open_by_handle_at, |victim| vec![victim.incoming, victim.taken.room(), 0]),
        (libc::SYS_name_to_handle_at, |victim| vec![victim.incoming, victim.taken.room()]),
    ]);
}

fn a_session_changes_no_name() {
    fn its(victim: &mut Victim) -> Vec<u64> {
        let name = victim.message.clone();
        vec![victim.incoming, victim.taken.text(&name), victim.incoming, victim.taken.text("other"), 0]
    }
    assert_killed(&[
        (libc::SYS_unlinkat, |victim| its(victim)[..2].to_vec()),
        (libc::SYS_renameat, |victim| its(victim)),
        (libc::SYS_renameat2, |victim| its(victim)),
        (libc::SYS_linkat, |victim| its(victim)),
        (libc::SYS_fchmodat, |victim| vec![victim.incoming, its(victim)[1], 0o777]),
        (libc::SYS_fchownat, |victim| vec![victim.incoming, its(victim)[1], 0, 0, 0]),
        (libc::SYS_utimensat, |victim| vec![victim.incoming, its(victim)[1], 0, 0]),
        (libc::SYS_unlink, |victim| vec![victim.taken.text("/incoming/x")]),
        (libc::SYS_rename, |victim| vec![victim.taken.text("/incoming/x"), victim.taken.text("/x")]),
        (libc::SYS_truncate, |victim| vec![victim.taken.text("/incoming/x"), 0]),
        (libc::SYS_setxattr, |victim| vec![victim.taken.text("/incoming/x")]),
    ]);
}

fn a_session_makes_nothing_but_files() {
    fn at(victim: &mut Victim) -> Vec<u64> {
        vec![victim.incoming, victim.taken.text("made")]
    }
    assert_killed(&[
        (libc::SYS_mkdirat, |victim| at(victim)),
        (libc::SYS_mkdir, |victim| vec![victim.taken.text("/incoming/made")]),
        (libc::SYS_mknodat, |victim| [at(victim), vec![flags(libc::S_IFIFO.cast_signed()) | 0o666]].concat()),
        (libc::SYS_mknod, |victim| {
            vec![victim.taken.text("/incoming/made"), flags(libc::S_IFIFO.cast_signed())]
        }),
        (libc::SYS_symlinkat, |victim| [vec![victim.taken.text("/etc/passwd")], at(victim)].concat()),
        (libc::SYS_symlink, |victim| {
            vec![victim.taken.text("/etc/passwd"), victim.taken.text("/incoming/made")]
        }),
        (libc::SYS_link, |victim| vec![victim.taken.text("/lock"), victim.taken.text("/incoming/made")]),
        (libc::SYS_memfd_create, |victim| vec![victim.taken.text("made"), 0]),
        (libc::SYS_openat, |victim| {
            let mut arguments = vec![victim.incoming, victim.taken.text(".")];
            arguments.push(flags(libc::O_TMPFILE | libc::O_WRONLY));
            arguments
        }),
    ]);
}

fn a_session_starts_nothing_and_speaks_to_nobody() {
    assert_killed(&[
        (libc::SYS_execve, |victim| vec![victim.taken.text("/bin/sh"), 0, 0]),
        (libc::SYS_execveat, |victim| vec![victim.incoming, victim.taken.text("x"), 0, 0]),
        (libc::SYS_clone, |_| vec![0]),
        (libc::SYS_clone, |_| vec![flags(SIBLING)]),
        (libc::SYS_clone3, |victim| vec![victim.taken.room(), 64]),
        (libc::SYS_fork, |_| vec![]),
        (libc::SYS_vfork, |_| vec![]),
        (libc::SYS_socket, |_| vec![2, 1, 0]),
        (libc::SYS_socketpair, |victim| vec![1, 1, 0, victim.taken.room()]),
        (libc::SYS_connect, |victim| vec![0, victim.taken.room(), 16]),
        (libc::SYS_sendto, |victim| vec![0, victim.taken.room(), 1]),
        (libc::SYS_sendmsg, |victim| vec![0, victim.taken.room(), 0]),
        (libc::SYS_recvmsg, |victim| vec![0, victim.taken.room(), 0]),
        (libc::SYS_kill, |_| vec![1, 0]),
        (libc::SYS_tgkill, |_| vec![1, 1, 0]),
        (libc::SYS_pidfd_open, |_| vec![1, 0]),
        (libc::SYS_ptrace, |_| vec![0]),
        (libc::SYS_process_vm_readv, |_| vec![1]),
        (libc::SYS_prctl, |_| vec![flags(libc::PR_SET_DUMPABLE), 1]),
        (libc::SYS_ioctl, |_| vec![0]),
        (libc::SYS_fcntl, |_| vec![0]),
        (libc::SYS_dup, |_| vec![0]),
        (libc::SYS_bpf, |_| vec![0]),
        (libc::SYS_io_uring_setup, |victim| vec![1, victim.taken.room()]),
        (libc::SYS_unshare, |_| vec![flags(libc::CLONE_NEWUSER)]),
        (libc::SYS_chroot, |victim| vec![victim.taken.text("/")]),
        (libc::SYS_setuid, |_| vec![0]),
        (libc::SYS_setrlimit, |victim| vec![6, victim.taken.room()]),
        (libc::SYS_prlimit64, |_| vec![0, 6]),
        (libc::SYS_seccomp, |_| vec![1]),
        (libc::SYS_landlock_restrict_self, |_| vec![0, 0]),
        (libc::SYS_dup3, |_| vec![0, flags(HANDOVER)]),
        (libc::SYS_getpid, |_| vec![]),
    ]);
}

fn a_session_creates_in_incoming_only() {
    let mut victim = Victim::new();
    let incoming = victim.incoming;
    let create = |victim: &mut Victim, folder, name: &str| {
        let name = victim.taken.text(name);
        victim.taken.call(libc::SYS_openat, &[folder, name, flags(CREATE_ONLY), 0o644])
    };
    for name in ["/made", "/queue/made", "/bad/made", "/incoming/../made", "/lock"] {
        let outcome = create(&mut victim, CWD, name);
        assert!(matches!(outcome, Outcome::Refused(Errno::EACCES | Errno::EEXIST)), "{name}: {outcome:?}");
    }
    for name in ["../made", "../queue/made", ".."] {
        let outcome = create(&mut victim, incoming, name);
        assert!(
            matches!(outcome, Outcome::Refused(Errno::EACCES | Errno::EEXIST | Errno::EISDIR)),
            "{name}: {outcome:?}"
        );
    }
    assert!(matches!(create(&mut victim, incoming, "made"), Outcome::Done(_)));
    let found: Vec<bool> =
        ["made", "queue/made", "bad/made"].map(|name| victim.gateway.spool().join(name).exists()).to_vec();
    assert_eq!(found, [false; 3]);
}

fn a_session_overwrites_nothing() {
    let mut victim = Victim::new();
    let (name, incoming) = (victim.message.clone(), victim.incoming);
    let name = victim.taken.text(&name);
    let outcome = victim.taken.call(libc::SYS_openat, &[incoming, name, flags(CREATE_ONLY), 0o644]);
    assert_eq!(outcome, Outcome::Refused(Errno::EEXIST));
    // What it had open of the message is closed.
    for descriptor in 3..40 {
        let text = victim.taken.text("forged");
        let outcome = victim.taken.call(libc::SYS_pwrite64, &[descriptor, text, 6, 0]);
        assert!(matches!(outcome, Outcome::Refused(_)), "descriptor {descriptor}: {outcome:?}");
    }
    let [message] = &victim.gateway.incoming()[..] else { panic!("one message") };
    assert_eq!(message.body, b"hello\r\n");
}

fn smapd_reaches_nothing_that_its_table_does_not_name() {
    let post = Post::with_maildirs("");
    let smapd = post.smapd();
    let elsewhere = post.path("elsewhere");
    fs::create_dir(&elsewhere).unwrap();
    smap_tests::gateway::chmod(&elsewhere, 0o777);
    let mut taken = Taken::over(smapd.process().pid());
    let read = flags(libc::O_RDONLY);
    for path in ["/etc/passwd", "/etc", "/", "/proc/self/status", "/bin/sh"] {
        let name = taken.text(path);
        assert_eq!(
            taken.call(libc::SYS_openat, &[CWD, name, read]),
            Outcome::Refused(Errno::EACCES),
            "{path}"
        );
    }
    let name = taken.text(&elsewhere.join("made").display().to_string());
    let outcome = taken.call(libc::SYS_openat, &[CWD, name, flags(libc::O_WRONLY | libc::O_CREAT), 0o644]);
    assert_eq!(outcome, Outcome::Refused(Errno::EACCES));
    let name = taken.text(&post.gateway.table().display().to_string());
    assert!(matches!(taken.call(libc::SYS_openat, &[CWD, name, read]), Outcome::Done(_)));
    let name = taken.text(&post.path("mail/made").display().to_string());
    let outcome = taken.call(libc::SYS_openat, &[CWD, name, flags(libc::O_WRONLY | libc::O_CREAT), 0o644]);
    assert!(matches!(outcome, Outcome::Done(_)), "{outcome:?}");
}

fn smapd_starts_nothing() {
    let tries: [Try<Taken>; 7] = [
        (libc::SYS_execve, |taken| vec![taken.text("/bin/sh"), 0, 0]),
        (libc::SYS_clone, |_| vec![0]),
        (libc::SYS_fork, |_| vec![]),
        (libc::SYS_ptrace, |_| vec![0]),
        (libc::SYS_kill, |_| vec![1, 0]),
        (libc::SYS_fchmodat, |taken| vec![CWD, taken.text("/"), 0o777]),
        (libc::SYS_symlinkat, |taken| vec![taken.text("/etc/passwd"), CWD, taken.text("/tmp/x")]),
    ];
    for (number, arguments) in tries {
        let post = Post::with_maildirs("");
        let smapd = post.smapd();
        let mut taken = Taken::over(smapd.process().pid());
        let arguments = arguments(&mut taken);
        assert_eq!(taken.call(number, &arguments), Outcome::Killed, "system call {number}");
    }
}

fn smap_lookup_reads_names_and_writes_nothing() {
    let gateway = Gateway::new("");
    let lookup = lookup_of(&gateway);
    let open_to_all = gateway.folder().join("open");
    fs::write(&open_to_all, "").unwrap();
    smap_tests::gateway::chmod(&open_to_all, 0o666);
    let spool = gateway.spool().display().to_string();
    let mut taken = Taken::over(lookup.pid());
    let (read, write) = (flags(libc::O_RDONLY), flags(libc::O_WRONLY | libc::O_CREAT));
    let mut open = |path: &str, how: u64| {
        let name = taken.text(path);
        taken.call(libc::SYS_openat, &[CWD, name, how, 0o666])
    };
    for path in ["/etc/resolv.conf", "/etc/hosts"] {
        assert!(matches!(open(path, read), Outcome::Done(_)), "{path}");
    }
    let table = gateway.table().display().to_string();
    for path in ["/", "/proc/self/status", "/tmp", &spool, &format!("{spool}/incoming"), &table] {
        assert_eq!(open(path, read), Outcome::Refused(Errno::EACCES), "{path}");
    }
    for path in ["/etc/made", "/tmp/made", &format!("{spool}/made"), &open_to_all.display().to_string()] {
        assert_eq!(open(path, write), Outcome::Refused(Errno::EACCES), "{path}");
    }
}

fn smap_lookup_starts_nothing() {
    let tries: [Try<Taken>; 9] = [
        (libc::SYS_execve, |taken| vec![taken.text("/bin/sh"), 0, 0]),
        (libc::SYS_clone, |_| vec![0]),
        (libc::SYS_fork, |_| vec![]),
        (libc::SYS_ptrace, |_| vec![0]),
        (libc::SYS_kill, |_| vec![1, 0]),
        (libc::SYS_listen, |_| vec![0, 1]),
        (libc::SYS_unlinkat, |taken| vec![CWD, taken.text("/tmp/x")]),
        (libc::SYS_socket, |_| vec![flags(libc::AF_PACKET), flags(libc::SOCK_RAW), 0]),
        (libc::SYS_mprotect, |taken| vec![taken.room(), 4096, flags(libc::PROT_EXEC)]),
    ];
    for (number, arguments) in tries {
        let gateway = Gateway::new("");
        let lookup = lookup_of(&gateway);
        let mut taken = Taken::over(lookup.pid());
        let arguments = arguments(&mut taken);
        assert_eq!(taken.call(number, &arguments), Outcome::Killed, "system call {number}");
    }
}

fn smap_lookup_connects_to_the_next_hosts_that_it_asks_only() {
    let [asked, other] = [(); 2].map(|()| TcpListener::bind("127.0.0.1:0").unwrap());
    let [asked_port, other_port] = [&asked, &other].map(|listener| listener.local_addr().unwrap().port());
    let gateway = Gateway::new(&format!(
        "smap-lookup: userid 40003\n\
         smap, smapd: domain example.com smtp:[127.0.0.1]:{asked_port}\n\
         smap, smapd: domain example.net smtp:[127.0.0.1]:{other_port}\n\
         smap, smapd: recipients example.com callout\nsmap, smapd: recipients example.net any"
    ));
    let lookup = lookup::start(&gateway);
    let mut taken = Taken::over(lookup.pid());
    let mut connect = |port: u16| {
        let of_tcp = [flags(libc::AF_INET), flags(libc::SOCK_STREAM), 0];
        let Outcome::Done(socket) = taken.call(libc::SYS_socket, &of_tcp) else { panic!("no socket") };
        let [high, low] = port.to_be_bytes();
        let address = taken.octets(&[2, 0, high, low, 127, 0, 0, 1, 0, 0, 0, 0, 0, 0, 0, 0]);
        taken.call(libc::SYS_connect, &[socket.try_into().unwrap(), address, 16])
    };
    assert!(matches!(connect(asked_port), Outcome::Done(0)));
    assert_eq!(connect(other_port), Outcome::Refused(Errno::EACCES));
}

/// The wall of the folders themselves, without any of the others.
fn the_user_of_smap_alone_can_neither_list_nor_remove() {
    let gateway = Gateway::new("");
    let theirs = gateway.layout().incoming().join("theirs");
    fs::write(&theirs, "x").unwrap();
    std::os::unix::fs::chown(&theirs, Some(SMAPD_UID), Some(SMAPD_UID)).unwrap();
    let tries = "! ls . && ! rm -f theirs && ! mv theirs other && ! echo x >> theirs && ! ls ../queue && \
         ! ls ../bad && ! cat ../lock && ! echo x > ../made && ! mv ../queue ../other && touch made";
    let mut command = Command::new("sh");
    command.args(["-c", tries]).current_dir(gateway.layout().incoming()).uid(SMAP_UID).gid(SMAP_UID);
    let ended = run(&mut command, Stdio::null());
    assert_eq!(ended.code, 0, "{ended:?}");
}
