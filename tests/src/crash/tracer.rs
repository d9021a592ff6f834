//! Runs a program and all that it starts under ptrace(2), and has one system call of it go wrong.
//!
//! strace counts the calls of each thread by itself, so that the third fsync of the main loop cannot be told from the
//! third of a worker. Here a call is named by a role, which is the same in every run, and everything dies in one
//! instant, as it does when the power goes. A call that is to fail is exchanged for one that does nothing, so that the
//! filters of the programs stay as they are.

use std::collections::{BTreeMap, HashMap};
use std::fmt;
use std::fs;
use std::os::unix::process::CommandExt;
use std::process::Command;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use nix::errno::Errno;
use nix::libc::{self, user_regs_struct};
use nix::sys::ptrace::{self, Options};
use nix::sys::signal::{Signal, kill};
use nix::sys::wait::{WaitPidFlag, WaitStatus, waitpid};
use nix::unistd::Pid;
use syscalls::Sysno;

/// The threads of smapd that wait for mailboxes: whichever of them is free takes the next delivery, so that they are
/// one role.
const INTERCHANGEABLE: std::ops::RangeInclusive<usize> = 1..=4;

/// Octets that are kept of what is written.
const BEGINNING: u64 = 40;

/// A system call of a role, the first being number one.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Point {
    /// `PROCESS.THREAD`, in the order in which they were started, and the name of the program.
    pub role: String,
    /// Its name.
    pub call: &'static str,
    /// How many of them the role had made then.
    pub number: usize,
}

impl fmt::Display for Point {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}:{}", self.role, self.call, self.number)
    }
}

/// What goes wrong.
#[derive(Debug, Clone)]
pub enum Fault {
    /// Everything is killed when this call is entered.
    Kill(Point),
    /// This call fails, and, if that is said, every later one of the same role and name.
    Error(Point, Errno, bool),
    /// This call writes half of what it is given; with an error, nothing more can be written to the same file.
    Short(Point, Option<Errno>),
}

/// What a call does instead of what it was made for.
#[derive(Debug, Clone, Copy)]
enum Instead {
    Fail(Errno),
    /// The same, with half of the octets.
    Half,
}

/// A call that was made.
#[derive(Debug, Clone)]
pub struct Call {
    /// Who, what and when.
    pub point: Point,
    /// Its first four arguments.
    pub arguments: [u64; 4],
    /// The file that its first argument stands for, or its second names.
    pub file: String,
    /// What it gave; none if it never came back.
    pub result: Option<i64>,
    /// Of what is written, the beginning.
    pub text: String,
}

/// What a program did.
#[derive(Debug, Default)]
pub struct Trace {
    /// In the order in which they were entered.
    pub calls: Vec<Call>,
    /// The fault came about.
    pub hit: bool,
    /// It had to be killed because it did not end.
    pub stuck: bool,
    /// Its exit code; 128 and more of a signal.
    pub code: i32,
}

/// A thread that is traced.
struct Tracee {
    role: String,
    /// It is in this call, which does something else, and entered it with these registers.
    inside: Option<(usize, Option<(user_regs_struct, Instead)>)>,
}

struct Tracer<'a> {
    fault: Option<&'a Fault>,
    root: Pid,
    tracees: HashMap<Pid, Tracee>,
    processes: Vec<Pid>,
    threads: HashMap<Pid, usize>,
    counts: BTreeMap<(String, &'static str), usize>,
    trace: Trace,
    /// The file to which nothing more can be written.
    full: Option<String>,
    alive: Arc<Mutex<Vec<Pid>>>,
    power_goes: &'a (dyn Fn() + Sync),
}

/// Runs the program, and all that it starts, to the end. Where everything is to be killed, the power goes first: the dying
/// would free what they hold.
///
/// # Panics
/// It cannot be started or traced.
#[must_use]
pub fn run(
    command: &mut Command,
    fault: Option<&Fault>,
    patience: Duration,
    power_goes: &(dyn Fn() + Sync),
) -> Trace {
    let root = spawn(command);
    let (over, alive) = (Arc::new(AtomicBool::new(false)), Arc::new(Mutex::new(vec![root])));
    let watch = std::thread::spawn({
        let (over, alive) = (Arc::clone(&over), Arc::clone(&alive));
        move || watch(&over, &alive, patience)
    });
    let mut tracer = Tracer {
        fault,
        root,
        tracees: HashMap::new(),
        processes: Vec::new(),
        threads: HashMap::new(),
        counts: BTreeMap::new(),
        trace: Trace::default(),
        full: None,
        alive,
        power_goes,
    };
    tracer.begin();
    tracer.live();
    over.store(true, Ordering::SeqCst);
    watch.thread().unpark();
    tracer.trace.stuck = watch.join().unwrap();
    tracer.trace
}

/// It stops itself where its program begins.
#[expect(unsafe_code, reason = "a child asks to be traced between fork and exec")]
#[expect(clippy::zombie_processes, reason = "it is waited for by its number, with all that it starts")]
fn spawn(command: &mut Command) -> Pid {
    // SAFETY: ptrace(2) may be called in a forked child.
    unsafe { command.pre_exec(|| Ok(ptrace::traceme()?)) };
    let child = command.process_group(0).spawn().unwrap_or_else(|error| panic!("{command:?}: {error}"));
    Pid::from_raw(i32::try_from(child.id()).unwrap())
}

/// Kills everything when the time is over; says whether it had to.
fn watch(over: &AtomicBool, alive: &Mutex<Vec<Pid>>, patience: Duration) -> bool {
    let until = Instant::now() + patience;
    while !over.load(Ordering::SeqCst) {
        let left = until.saturating_duration_since(Instant::now());
        if left.is_zero() {
            kill_all(alive);
            return true;
        }
        std::thread::park_timeout(left);
    }
    false
}

fn kill_all(alive: &Mutex<Vec<Pid>>) {
    for pid in alive.lock().unwrap().iter() {
        let _dead_already = kill(*pid, Signal::SIGKILL);
    }
}

impl Tracer<'_> {
    fn begin(&mut self) {
        let stopped = waitpid(self.root, Some(WaitPidFlag::__WALL)).expect("it was started");
        assert!(matches!(stopped, WaitStatus::Stopped(_, Signal::SIGTRAP)), "{stopped:?}");
        let options = Options::PTRACE_O_TRACESYSGOOD
            | Options::PTRACE_O_TRACECLONE
            | Options::PTRACE_O_TRACEFORK
            | Options::PTRACE_O_TRACEVFORK
            | Options::PTRACE_O_TRACEEXEC
            | Options::PTRACE_O_EXITKILL;
        ptrace::setoptions(self.root, options).expect("it is traced");
        self.know(self.root);
        go_on(self.root, None);
    }

    /// Until nothing of it is left.
    fn live(&mut self) {
        // Only what this thread has started: the tests have children of their own.
        let mine = WaitPidFlag::__WALL | WaitPidFlag::__WNOTHREAD;
        loop {
            match waitpid(None, Some(mine)) {
                Ok(status) => self.happened(status),
                Err(Errno::EINTR | Errno::EINVAL) => {}
                Err(_) => return,
            }
        }
    }

    fn happened(&mut self, status: WaitStatus) {
        match status {
            WaitStatus::PtraceSyscall(pid) => {
                self.know(pid);
                if self.entered_or_left(pid) {
                    go_on(pid, None);
                }
            }
            WaitStatus::PtraceEvent(pid, _, event) => {
                self.know(pid);
                if event != libc::PTRACE_EVENT_EXEC
                    && let Ok(new) = ptrace::getevent(pid)
                {
                    self.know(Pid::from_raw(i32::try_from(new).unwrap()));
                }
                go_on(pid, None);
            }
            WaitStatus::Stopped(pid, Signal::SIGSTOP) => {
                self.know(pid);
                go_on(pid, None);
            }
            WaitStatus::Stopped(pid, signal) => go_on(pid, Some(signal)),
            WaitStatus::Exited(pid, code) => self.ended(pid, code),
            WaitStatus::Signaled(pid, signal, _) => self.ended(pid, 128 + number_of(signal)),
            WaitStatus::Continued(_) | WaitStatus::StillAlive => {}
        }
    }

    fn ended(&mut self, pid: Pid, code: i32) {
        self.tracees.remove(&pid);
        self.alive.lock().unwrap().retain(|alive| *alive != pid);
        if pid == self.root {
            self.trace.code = code;
        }
    }

    /// Gives a thread that is new its role.
    fn know(&mut self, pid: Pid) {
        if self.tracees.contains_key(&pid) {
            return;
        }
        let process = process_of(pid).unwrap_or(pid);
        let number = self.processes.iter().position(|known| *known == process).unwrap_or_else(|| {
            self.processes.push(process);
            self.alive.lock().unwrap().push(process);
            self.processes.len() - 1
        });
        let thread = if process == pid {
            0
        } else {
            let threads = self.threads.entry(process).or_default();
            *threads += 1;
            if INTERCHANGEABLE.contains(threads) { *INTERCHANGEABLE.start() } else { *threads }
        };
        self.tracees.insert(pid, Tracee { role: format!("{number}.{thread}"), inside: None });
    }

    /// Says whether it may go on.
    fn entered_or_left(&mut self, pid: Pid) -> bool {
        let Ok(registers) = ptrace::getregs(pid) else { return true };
        let Some(tracee) = self.tracees.get_mut(&pid) else { return true };
        match tracee.inside.take() {
            Some((index, instead)) => {
                let mut result = i64::from_ne_bytes(registers.rax.to_ne_bytes());
                if let Some((mut before, instead)) = instead {
                    if let Instead::Fail(errno) = instead {
                        result = -i64::from(number_of_error(errno));
                    }
                    before.rax = u64::from_ne_bytes(result.to_ne_bytes());
                    let _dead = ptrace::setregs(pid, before);
                }
                if let Some(call) = self.trace.calls.get_mut(index) {
                    call.result = Some(result);
                }
                true
            }
            None => self.entered(pid, registers),
        }
    }

    fn entered(&mut self, pid: Pid, registers: user_regs_struct) -> bool {
        let name =
            usize::try_from(registers.orig_rax).ok().and_then(Sysno::new).map_or("?", |call| call.name());
        let Some(tracee) = self.tracees.get_mut(&pid) else { return true };
        let count = self.counts.entry((tracee.role.clone(), name)).or_default();
        *count += 1;
        let point = Point { role: tracee.role.clone(), call: name, number: *count };
        let index = self.trace.calls.len();
        let call = call(pid, point, &registers);
        if matches!(self.fault, Some(Fault::Kill(at)) if *at == call.point) {
            self.trace.hit = true;
            self.trace.calls.push(call);
            (self.power_goes)();
            kill_all(&self.alive);
            return false;
        }
        let instead = self.instead(&call);
        self.trace.calls.push(call);
        let Some(tracee) = self.tracees.get_mut(&pid) else { return true };
        tracee.inside = Some((index, instead.map(|instead| (registers, instead))));
        if let Some(instead) = instead {
            self.trace.hit = true;
            let nobody = u64::MAX;
            let changed = match instead {
                Instead::Fail(_) => user_regs_struct {
                    orig_rax: Sysno::close.id().unsigned_abs().into(),
                    rdi: nobody,
                    ..registers
                },
                Instead::Half => user_regs_struct { rdx: registers.rdx / 2, ..registers },
            };
            let _dead = ptrace::setregs(pid, changed);
        }
        true
    }

    fn instead(&mut self, call: &Call) -> Option<Instead> {
        let point = &call.point;
        match self.fault? {
            Fault::Error(at, errno, on)
                if at.role == point.role
                    && at.call == point.call
                    && (at.number == point.number || (*on && at.number < point.number)) =>
            {
                Some(Instead::Fail(*errno))
            }
            Fault::Short(at, errno) if at == point => {
                self.full = errno.is_some().then(|| call.file.clone());
                Some(Instead::Half)
            }
            Fault::Short(_, Some(errno)) if call.is_write() && self.full.as_ref() == Some(&call.file) => {
                Some(Instead::Fail(*errno))
            }
            Fault::Kill(_) | Fault::Error(..) | Fault::Short(..) => None,
        }
    }
}

impl Call {
    /// Whether it writes to what it has opened itself, which may take less than it is given.
    #[must_use]
    pub fn is_write(&self) -> bool {
        let opened = self.arguments[0] > 2 && self.file.starts_with('/');
        opened && ["write", "pwrite64"].contains(&self.point.call)
    }
}

fn call(pid: Pid, point: Point, registers: &user_regs_struct) -> Call {
    let arguments = [registers.rdi, registers.rsi, registers.rdx, registers.r10];
    let file = match point.call {
        "openat" | "unlinkat" | "mkdirat" => text_at(pid, registers.rsi, 4096),
        "linkat" | "renameat2" => text_at(pid, registers.rsi, 4096),
        "write" | "pwrite64" | "fsync" | "fdatasync" | "ftruncate" | "sendto" => file_of(pid, registers.rdi),
        _ => String::new(),
    };
    let text = match point.call {
        "write" | "sendto" => text_at(pid, registers.rsi, registers.rdx.min(BEGINNING)),
        _ => String::new(),
    };
    Call { point, arguments, file, result: None, text }
}

fn file_of(pid: Pid, descriptor: u64) -> String {
    fs::read_link(format!("/proc/{pid}/fd/{descriptor}")).unwrap_or_default().to_string_lossy().into_owned()
}

/// A text in its memory, up to a NUL.
fn text_at(pid: Pid, address: u64, length: u64) -> String {
    let mut text = Vec::new();
    for at in (address..address.saturating_add(length)).step_by(8) {
        let place = std::ptr::with_exposed_provenance_mut(usize::try_from(at).unwrap_or_default());
        let Ok(word) = ptrace::read(pid, place) else { break };
        let word = word.to_ne_bytes();
        let octets = word.iter().take_while(|octet| **octet != 0);
        let before = text.len();
        text.extend(octets);
        if text.len() < before + word.len() {
            break;
        }
    }
    text.truncate(usize::try_from(length).unwrap_or_default());
    String::from_utf8_lossy(&text).into_owned()
}

/// The process that a thread is of.
fn process_of(thread: Pid) -> Option<Pid> {
    let status = fs::read_to_string(format!("/proc/{thread}/status")).ok()?;
    let line = status.lines().find_map(|line| line.strip_prefix("Tgid:"))?;
    line.trim().parse().ok().map(Pid::from_raw)
}

fn go_on(pid: Pid, signal: Option<Signal>) {
    // It may have been killed meanwhile.
    let _dead = ptrace::syscall(pid, signal);
}

#[expect(clippy::as_conversions, reason = "the number of a signal is what its variant is")]
fn number_of(signal: Signal) -> i32 {
    signal as i32
}

#[expect(clippy::as_conversions, reason = "the number of an error is what its variant is")]
fn number_of_error(errno: Errno) -> i32 {
    errno as i32
}
