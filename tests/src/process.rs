//! A program that is being tested: its log is read as it comes, its end is waited for, and nothing of it is left.

use std::io::{BufRead, BufReader, Read};
use std::os::unix::process::CommandExt;
use std::process::{Child, Command, Stdio};
use std::sync::mpsc::{Receiver, channel};
use std::sync::{Arc, Condvar, Mutex};
use std::time::{Duration, Instant};

use nix::sys::signal::{Signal, kill, killpg};
use nix::sys::wait::{Id, WaitPidFlag, WaitStatus, waitid};
use nix::unistd::Pid;

use crate::PATIENCE;

/// A started program and all that it starts, in a process group of their own.
#[derive(Debug)]
pub struct Process {
    child: Child,
    log: Arc<Log>,
    end: Receiver<WaitStatus>,
}

#[derive(Debug, Default)]
struct Log {
    lines: Mutex<Vec<String>>,
    grown: Condvar,
}

impl Log {
    fn read(&self, stream: impl Read) {
        for line in BufReader::new(stream).split(b'\n').map_while(Result::ok) {
            self.lines.lock().unwrap().push(String::from_utf8_lossy(&line).into_owned());
            self.grown.notify_all();
        }
    }
}

/// How a program ended that was run to its end.
#[derive(Debug)]
pub struct Ended {
    /// Its exit code; of a signal, 128 and its number.
    pub code: i32,
    /// What it wrote to descriptor 1.
    pub output: Vec<u8>,
    /// What it wrote to descriptor 2, in lines.
    pub log: Vec<String>,
}

impl Process {
    /// Starts it; what it writes to descriptor 2 is its log. Descriptor 1 goes nowhere.
    ///
    /// # Panics
    /// It cannot be started.
    pub fn start(command: &mut Command) -> Self {
        let child = command
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::piped())
            .process_group(0)
            .spawn()
            .unwrap_or_else(|error| panic!("{command:?}: {error}"));
        Self::watch(child)
    }

    fn watch(mut child: Child) -> Self {
        let (log, (sender, end)) = (Arc::new(Log::default()), channel());
        let (stderr, pid) = (child.stderr.take().unwrap(), pid_of(&child));
        let reader = Arc::clone(&log);
        std::thread::spawn(move || reader.read(stderr));
        // It is only looked at, not reaped: its number stays its own until it is dropped here.
        std::thread::spawn(move || {
            let status = waitid(Id::Pid(pid), WaitPidFlag::WEXITED | WaitPidFlag::WNOWAIT);
            sender.send(status.unwrap_or(WaitStatus::StillAlive))
        });
        Self { child, log, end }
    }

    /// Its number.
    #[must_use]
    pub fn pid(&self) -> Pid {
        pid_of(&self.child)
    }

    /// Sends it a signal.
    ///
    /// # Panics
    /// It is gone.
    pub fn signal(&self, signal: Signal) {
        kill(self.pid(), signal).expect("the process is there");
    }

    /// The time that it has worked so far; of a process that has ended, too.
    ///
    /// # Panics
    /// There is no /proc.
    #[must_use]
    pub fn worked(&self) -> Duration {
        let stat = std::fs::read_to_string(format!("/proc/{}/stat", self.pid())).expect("it is there");
        let fields: Vec<&str> = stat.rsplit(") ").next().unwrap().split(' ').collect();
        // proc(5): utime and stime, in hundredths of a second.
        let ticks: u64 = fields[11..=12].iter().map(|ticks| ticks.parse::<u64>().expect("a number")).sum();
        Duration::from_millis(10 * ticks)
    }

    /// Its log so far.
    ///
    /// # Panics
    /// Never, but for another test that panicked here.
    #[must_use]
    pub fn log(&self) -> Vec<String> {
        self.log.lines.lock().unwrap().clone()
    }

    /// The first line of its log that is wanted, waited for.
    ///
    /// # Panics
    /// It does not come.
    #[must_use]
    pub fn wait_for_log(&self, wanted: impl Fn(&str) -> bool) -> String {
        self.wait_for_logs(1, wanted).swap_remove(0)
    }

    /// The first so many lines of its log that are wanted, waited for.
    ///
    /// # Panics
    /// They do not come.
    #[must_use]
    pub fn wait_for_logs(&self, count: usize, wanted: impl Fn(&str) -> bool) -> Vec<String> {
        let until = Instant::now() + PATIENCE;
        let mut lines = self.log.lines.lock().unwrap();
        loop {
            let found: Vec<String> = lines.iter().filter(|line| wanted(line)).take(count).cloned().collect();
            if found.len() == count {
                return found;
            }
            let left = until.saturating_duration_since(Instant::now());
            let (again, waited) = self.log.grown.wait_timeout(lines, left).unwrap();
            assert!(!waited.timed_out(), "not said in the log: {:#?}", *again);
            lines = again;
        }
    }

    /// Whether it has ended.
    ///
    /// # Panics
    /// Never.
    #[must_use]
    pub fn has_ended(&self) -> bool {
        let look = WaitPidFlag::WEXITED | WaitPidFlag::WNOWAIT | WaitPidFlag::WNOHANG;
        waitid(Id::Pid(self.pid()), look) != Ok(WaitStatus::StillAlive)
    }

    /// Its exit code; of a signal, 128 and its number.
    ///
    /// # Panics
    /// It does not end.
    pub fn wait(&mut self) -> i32 {
        match self.end.recv_timeout(PATIENCE) {
            Ok(WaitStatus::Exited(_, code)) => code,
            Ok(WaitStatus::Signaled(_, signal, _)) => 128 + signal_number(signal),
            other => panic!("{other:?}: {:#?}", self.log()),
        }
    }

    /// Waits for its end, and for the end of its log.
    ///
    /// # Panics
    /// It does not end.
    pub fn end(&mut self) -> Ended {
        let code = self.wait();
        crate::eventually("descriptor 2 is read to its end", || {
            (Arc::strong_count(&self.log) == 1).then_some(())
        });
        Ended { code, output: Vec::new(), log: self.log() }
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        // What it started may outlive it, and is ours then.
        let _all_gone = killpg(self.pid(), Signal::SIGKILL);
        while waitid(Id::PGid(self.pid()), WaitPidFlag::WEXITED).is_ok() {}
    }
}

/// Runs a program to its end, with `input` on descriptor 0.
///
/// # Panics
/// It cannot be started, or does not end.
pub fn run(command: &mut Command, input: Stdio) -> Ended {
    let mut child = command
        .stdin(input)
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .process_group(0)
        .spawn()
        .unwrap_or_else(|error| panic!("{command:?}: {error}"));
    let mut stdout = child.stdout.take().unwrap();
    let reader = std::thread::spawn(move || {
        let mut output = Vec::new();
        stdout.read_to_end(&mut output).map(|_| output)
    });
    let mut process = Process::watch(child);
    let ended = process.end();
    Ended { output: reader.join().unwrap().unwrap(), ..ended }
}

/// KiB of memory that a process has had at most; `None` when it has ended.
#[must_use]
pub fn peak_of(pid: Pid) -> Option<u64> {
    let status = std::fs::read_to_string(format!("/proc/{pid}/status")).ok()?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"))?;
    line.trim().strip_suffix(" kB")?.parse().ok()
}

fn pid_of(child: &Child) -> Pid {
    Pid::from_raw(i32::try_from(child.id()).unwrap())
}

#[expect(clippy::as_conversions, reason = "the number of a signal is what its variant is")]
fn signal_number(signal: Signal) -> i32 {
    signal as i32
}

/// Has every process that outlives its parent given to this one, which ends it.
///
/// # Panics
/// Never on Linux.
pub fn adopt_orphans() {
    nix::sys::prctl::set_child_subreaper(true).expect("the kernel knows it");
}
