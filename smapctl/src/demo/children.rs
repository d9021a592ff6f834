//! The two programs: started, watched, stopped.

use std::ffi::OsString;
use std::io::{BufRead, BufReader, Write};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, channel};
use std::thread;
use std::time::{Duration, Instant};

use nix::sys::signal::{SigSet, Signal, kill};
use nix::unistd::Pid;

use super::place::Place;
use super::{DemoError, PATIENCE};
use crate::error::Error;
use crate::show::printable;

/// How often that is looked at which is waited for.
const GLANCE: Duration = Duration::from_millis(20);

/// Something that happened while we waited.
enum News {
    /// A program logged a line.
    Line(String),
    /// A program closed its log: it ended.
    Ended(&'static str),
    /// `^C`, or somebody else wants us to end.
    Interrupted,
}

/// A program of ours.
pub(super) struct Program {
    name: &'static str,
    path: PathBuf,
}

impl Program {
    /// The one that lies beside this one.
    pub(super) fn find(name: &'static str) -> Result<Self, DemoError> {
        let own = std::env::current_exe().map_err(|cause| DemoError::Start(name, cause))?;
        let path = own.with_file_name(name);
        if path.is_file() { Ok(Self { name, path }) } else { Err(DemoError::Missing(path)) }
    }
}

/// smap and smapd, stopped when dropped.
pub(super) struct Children {
    running: Vec<Child>,
    news: Receiver<News>,
}

impl Children {
    /// Starts both.
    pub(super) fn start(programs: &[Program; 2], place: &Place, port: u16) -> Result<Self, DemoError> {
        let (sender, news) = channel();
        let mut children = Self { running: Vec::new(), news };
        let listen = [OsString::from("--listen"), format!("127.0.0.1:{port}").into()];
        let mut logs = Vec::new();
        for (Program { name, path }, more) in programs.iter().zip([listen.as_slice(), &[]]) {
            let child = start(path, &place.table_file(), more);
            let mut child = child.map_err(|cause| DemoError::Start(name, cause))?;
            logs.extend(child.stderr.take().map(|log| (*name, log)));
            children.running.push(child);
        }
        watch_signals(sender.clone());
        for (name, log) in logs {
            let sender = sender.clone();
            thread::spawn(move || watch_log(name, BufReader::new(log), &sender));
        }
        Ok(children)
    }

    /// Shows what they log until `glance` sees something.
    pub(super) fn wait_for<T>(
        &mut self,
        out: &mut impl Write,
        otherwise: &'static str,
        mut glance: impl FnMut() -> Option<T>,
    ) -> Result<T, Error> {
        let deadline = Instant::now() + PATIENCE;
        loop {
            if let Some(seen) = glance() {
                self.show(out, Duration::ZERO)?;
                return Ok(seen);
            }
            if Instant::now() >= deadline {
                return Err(DemoError::TooLate(otherwise).into());
            }
            self.show(out, GLANCE)?;
        }
    }

    /// Shows what they log.
    pub(super) fn show_until_interrupted(&mut self, out: &mut impl Write) -> Result<(), Error> {
        loop {
            match self.show(out, Duration::from_secs(3600)) {
                Ok(()) => {}
                Err(Error::Demo(DemoError::Interrupted)) => return Ok(()),
                Err(error) => return Err(error),
            }
        }
    }

    /// Shows what they have logged; waits so long for the first line.
    pub(super) fn show(&mut self, out: &mut impl Write, wait: Duration) -> Result<(), Error> {
        let mut wait = wait;
        loop {
            match self.news.recv_timeout(wait) {
                Ok(News::Line(line)) => writeln!(out, "   {}", printable(&line))?,
                Ok(News::Ended(program)) => return Err(DemoError::Ended(program).into()),
                Ok(News::Interrupted) => return Err(DemoError::Interrupted.into()),
                Err(RecvTimeoutError::Timeout | RecvTimeoutError::Disconnected) => {
                    out.flush()?;
                    return Ok(());
                }
            }
            wait = Duration::ZERO;
        }
    }

    /// Tells both to end, and shows their last lines.
    pub(super) fn stop(&mut self, out: &mut impl Write) -> Result<(), Error> {
        let count = self.running.len();
        self.end();
        let mut ended = 0;
        while ended < count {
            match self.news.recv_timeout(PATIENCE) {
                Ok(News::Line(line)) => writeln!(out, "   {}", printable(&line))?,
                Ok(News::Ended(_)) => ended += 1,
                Ok(News::Interrupted) => {}
                Err(_) => break,
            }
        }
        Ok(())
    }

    fn end(&mut self) {
        for child in &self.running {
            if let Ok(pid) = i32::try_from(child.id()) {
                // It may have ended on its own.
                let _gone = kill(Pid::from_raw(pid), Signal::SIGTERM);
            }
        }
        let deadline = Instant::now() + PATIENCE;
        for mut child in self.running.drain(..) {
            while let Ok(None) = child.try_wait() {
                if Instant::now() >= deadline {
                    let _gone = child.kill();
                    let _status = child.wait();
                    break;
                }
                thread::sleep(GLANCE);
            }
        }
    }
}

impl Drop for Children {
    fn drop(&mut self) {
        self.end();
    }
}

/// In a process group of its own: a `^C` is for us, who end both in order.
fn start(program: &Path, table: &Path, more: &[OsString]) -> std::io::Result<Child> {
    Command::new(program)
        .arg("--config")
        .arg(table)
        .args(more)
        .arg("--foreground")
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::piped())
        .process_group(0)
        .spawn()
}

/// To be called when the programs are started, which must not inherit what it blocks, and before any thread is,
/// which must.
fn watch_signals(sender: Sender<News>) {
    let mut signals = SigSet::empty();
    [Signal::SIGINT, Signal::SIGTERM, Signal::SIGHUP].into_iter().for_each(|signal| signals.add(signal));
    if signals.thread_block().is_ok() {
        thread::spawn(move || while signals.wait().is_ok() && sender.send(News::Interrupted).is_ok() {});
    }
}

fn watch_log(program: &'static str, log: impl BufRead, sender: &Sender<News>) {
    let lines = log.split(b'\n').map_while(Result::ok);
    let lines = lines.map(|line| News::Line(String::from_utf8_lossy(&line).into_owned()));
    // Where nobody listens any more there is nobody to tell.
    let _unheard = lines.chain([News::Ended(program)]).try_for_each(|news| sender.send(news));
}
