//! The life of the runner: take a request when there is room for a program, start it, hear it out, see it end,
//! say how. When smapd is gone nothing more is started, and what runs is told to end: it will be asked for again.

use std::io::{self, PipeReader, Read};
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::process::{CommandExt, ExitStatusExt};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use nix::errno::Errno;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sys::signal::{SigSet, Signal, killpg};
use nix::sys::signalfd::{SfdFlags, SignalFd};
use nix::sys::wait::{Id, WaitPidFlag, WaitStatus, waitid};
use nix::unistd::Pid;
use smap_common::confine;
use smap_common::helper::set_nonblocking;
use smap_common::link::{Link, Parcel};

use super::{Ending, KEPT, Request, Response};

/// Octets that are read from a program at a time.
const CHUNK: usize = 64 * 1024;

/// What every program has in its environment; the request may say otherwise.
const ENVIRONMENT: [(&str, &str); 3] = [("PATH", "/usr/bin:/bin"), ("SHELL", "/bin/sh"), ("HOME", "/")];

/// Runs programs until smapd is gone and the last of them has ended.
pub(super) fn live(link: Link, max_children: usize, grace: Duration) {
    let Ok(signals) = children_signals() else { return };
    let mut runner = Life { link: Some(link), signals, jobs: Vec::new(), max_children, grace };
    while runner.link.is_some() || !runner.jobs.is_empty() {
        let Ok(news) = runner.wait() else { return };
        runner.follow_smapd(news);
        runner.hear();
        runner.reap();
        runner.end_overdue();
    }
}

/// The end of a program is an event like any other.
fn children_signals() -> nix::Result<SignalFd> {
    let signals: SigSet = [Signal::SIGCHLD].into_iter().collect();
    signals.thread_block()?;
    SignalFd::with_flags(&signals, SfdFlags::SFD_CLOEXEC | SfdFlags::SFD_NONBLOCK)
}

struct Life {
    /// None when smapd is gone.
    link: Option<Link>,
    signals: SignalFd,
    jobs: Vec<Job>,
    max_children: usize,
    grace: Duration,
}

/// What smapd's end of the link says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum News {
    Nothing,
    Request,
    Gone,
}

impl Life {
    /// Waits until something happens. Requests for which there is no room are left in the socket: its buffer is
    /// the queue, and smapd sees when it is full.
    fn wait(&self) -> nix::Result<News> {
        let room = self.jobs.len() < self.max_children;
        let wanted = if room { PollFlags::POLLIN } else { PollFlags::empty() };
        let mut fds = vec![PollFd::new(self.signals.as_fd(), PollFlags::POLLIN)];
        fds.extend(self.jobs.iter().filter_map(Job::poll));
        if let Some(link) = &self.link {
            fds.push(PollFd::new(link.as_fd(), wanted));
        }
        match poll(&mut fds, self.until_next()) {
            Ok(_) | Err(Errno::EINTR) => {}
            Err(errno) => return Err(errno),
        }
        while self.signals.read_signal()?.is_some() {}
        let events = fds.last().filter(|_| self.link.is_some()).and_then(PollFd::revents);
        Ok(match events.unwrap_or(PollFlags::empty()) {
            events if events.intersects(PollFlags::POLLHUP | PollFlags::POLLERR) => News::Gone,
            events if events.contains(PollFlags::POLLIN) => News::Request,
            _ => News::Nothing,
        })
    }

    /// To the next deadline, rounded up so that it has passed then.
    fn until_next(&self) -> PollTimeout {
        let Some(next) = self.jobs.iter().filter_map(Job::due).min() else { return PollTimeout::NONE };
        let left = next.saturating_duration_since(Instant::now()) + Duration::from_millis(1);
        PollTimeout::try_from(left).unwrap_or(PollTimeout::MAX)
    }

    fn follow_smapd(&mut self, news: News) {
        match (news, &self.link) {
            (News::Request, Some(link)) => match link.receive() {
                Ok(Some(parcel)) => self.take(parcel),
                Ok(None) | Err(_) => self.smapd_is_gone(),
            },
            (News::Gone, Some(_)) => self.smapd_is_gone(),
            (News::Nothing | News::Request | News::Gone, _) => {}
        }
    }

    fn take(&mut self, parcel: Parcel) {
        let Some(request) = Request::decode(&parcel.packet) else {
            self.link = None;
            return;
        };
        let not_started = |error: &io::Error| {
            // An argument with a NUL in it is refused before the kernel sees it.
            Ending::NotStarted(error.raw_os_error().unwrap_or(nix::libc::EINVAL))
        };
        // The kernel drops a descriptor that the receiver has no room for.
        let body = parcel.descriptor.ok_or_else(|| io::Error::from(Errno::EMFILE));
        match body.and_then(|body| Job::start(&request, body)) {
            Ok(job) => self.jobs.push(job),
            Err(error) => self.answer(request.job, not_started(&error), &[]),
        }
    }

    fn answer(&mut self, job: u64, ending: Ending, output: &[u8]) {
        let output = String::from_utf8_lossy(output).into_owned();
        let packet = Response { job, ending, output }.encode();
        if self.link.as_ref().is_some_and(|link| link.send(&packet, None).is_err()) {
            self.link = None;
        }
    }

    fn hear(&mut self) {
        self.jobs.iter_mut().for_each(Job::hear);
    }

    fn reap(&mut self) {
        for mut job in std::mem::take(&mut self.jobs) {
            match job.end() {
                Some(ending) => {
                    job.hear_the_rest();
                    self.answer(job.number, ending, &job.output);
                }
                None => self.jobs.push(job),
            }
        }
    }

    /// Nobody hears any more how a program ends, and what it does will be asked for again: it is told to end, so
    /// that it need not be done twice.
    fn smapd_is_gone(&mut self) {
        self.link = None;
        let soon = Instant::now() + self.grace;
        self.jobs
            .iter_mut()
            .filter(|job| matches!(job.stage, Stage::Running(_)))
            .for_each(|job| job.press(soon));
    }

    fn end_overdue(&mut self) {
        let now = Instant::now();
        for job in self.jobs.iter_mut().filter(|job| job.due().is_some_and(|due| due <= now)) {
            job.press(now + self.grace);
        }
    }
}

/// A program starts with nothing blocked, whatever the runner is deaf to, and with limits of its own.
#[expect(unsafe_code, reason = "the standard library passes the runner's own signal mask and limits on")]
fn prepare(command: &mut Command, processor_seconds: u64) {
    let own = move || {
        SigSet::empty().thread_set_mask()?;
        confine::limit_program(processor_seconds)
    };
    // SAFETY: between fork and exec only what is safe in a signal handler may be done; sigprocmask and setrlimit
    // are.
    unsafe { command.pre_exec(own) };
}

/// What it leaves in the background has no more of the processor than it had time.
fn until_the_end(deadline: Duration) -> u64 {
    deadline.as_secs().saturating_add(1)
}

/// A program that runs.
struct Job {
    number: u64,
    child: Child,
    group: Pid,
    stage: Stage,
    /// What it says; none once it has closed it.
    pipe: Option<PipeReader>,
    output: Vec<u8>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Stage {
    /// It may run until then.
    Running(Instant),
    /// It was asked to end, and may take until then.
    Asked(Instant),
    /// It was killed.
    Killed,
}

impl Job {
    fn start(request: &Request, body: OwnedFd) -> io::Result<Self> {
        let invalid = || io::Error::from(Errno::EINVAL);
        let (program, arguments) = request.argv.split_first().ok_or_else(invalid)?;
        let (pipe, output) = io::pipe()?;
        set_nonblocking(pipe.as_fd())?;
        let mut command = Command::new(program);
        command
            .args(arguments)
            .env_clear()
            .envs(ENVIRONMENT)
            .envs(request.env.iter().map(|(name, value)| (name, value)))
            .current_dir("/")
            .process_group(0)
            .stdin(Stdio::from(body))
            .stdout(output.try_clone()?)
            .stderr(output);
        prepare(&mut command, until_the_end(request.deadline));
        let child = command.spawn()?;
        let group = Pid::from_raw(i32::try_from(child.id()).map_err(|_| invalid())?);
        // A deadline beyond the clock's end is none that anyone will see.
        let far = Duration::from_hours(24 * 365);
        let until = Instant::now() + request.deadline.min(far);
        let stage = Stage::Running(until);
        Ok(Self { number: request.job, child, group, stage, pipe: Some(pipe), output: Vec::new() })
    }

    fn poll(&self) -> Option<PollFd<'_>> {
        self.pipe.as_ref().map(|pipe| PollFd::new(pipe.as_fd(), PollFlags::POLLIN))
    }

    fn due(&self) -> Option<Instant> {
        match self.stage {
            Stage::Running(until) | Stage::Asked(until) => Some(until),
            Stage::Killed => None,
        }
    }

    /// Reads what it says now, and keeps the beginning; false when there is no more.
    fn hear_some(&mut self) -> bool {
        let mut chunk = [0; CHUNK];
        let Some(pipe) = &mut self.pipe else { return false };
        match pipe.read(&mut chunk) {
            Ok(length) if length > 0 => {
                let missing = KEPT.saturating_sub(self.output.len()).min(length);
                self.output.extend_from_slice(chunk.get(..missing).unwrap_or_default());
                true
            }
            Err(error) if error.kind() == io::ErrorKind::Interrupted => true,
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => false,
            Ok(_) | Err(_) => {
                self.pipe = None;
                false
            }
        }
    }

    fn hear(&mut self) {
        self.hear_some();
    }

    /// It has ended; what it left in the background may hold the pipe open, and is not waited for.
    fn hear_the_rest(&mut self) {
        while self.output.len() < KEPT && self.hear_some() {}
    }

    /// How it ended, if it has.
    fn end(&mut self) -> Option<Ending> {
        let overdue = !matches!(self.stage, Stage::Running(_));
        if overdue && self.has_ended() {
            // Its number is not given to another group before it is reaped below.
            let _what_is_left_of_it = killpg(self.group, Signal::SIGKILL);
        }
        let status = match self.child.try_wait() {
            Ok(None) => return None,
            Ok(Some(status)) => Some(status),
            // Somebody else reaped it.
            Err(_) => None,
        };
        let code = status.and_then(|status| status.code()).and_then(|code| u8::try_from(code).ok());
        Some(match code {
            _ if overdue => Ending::Deadline,
            Some(code) => Ending::Exited(code),
            None => Ending::Signaled(status.and_then(|status| status.signal()).unwrap_or_default()),
        })
    }

    fn has_ended(&self) -> bool {
        let look = WaitPidFlag::WEXITED | WaitPidFlag::WNOHANG | WaitPidFlag::WNOWAIT;
        waitid(Id::Pid(self.group), look).is_ok_and(|status| status != WaitStatus::StillAlive)
    }

    /// Asks it to end, or makes it.
    fn press(&mut self, patience: Instant) {
        let (signal, next) = match self.stage {
            Stage::Running(_) => (Signal::SIGTERM, Stage::Asked(patience)),
            Stage::Asked(_) | Stage::Killed => (Signal::SIGKILL, Stage::Killed),
        };
        // It fails only where the group has just ended.
        let _seen_when_reaped = killpg(self.group, signal);
        self.stage = next;
    }
}
