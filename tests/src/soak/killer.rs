//! Who keeps the programs running, as a supervisor does, and kills them, as a supervisor does not.

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io::Write;
use std::sync::Arc;
use std::time::{Duration, Instant};

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

use super::book::Book;
use super::chance::Chance;
use super::clients::Traffic;
use super::lives::Life;
use super::watch::Watch;
use crate::clock::Clock;
use crate::gateway::{Gateway, Listener};
use crate::process::Process;

/// How long what has lost its head may go on before it is ended.
const AFTERLIFE: Duration = Duration::from_secs(8);
/// Last lines of the log of a program that ended by itself.
const LAST_WORDS: usize = 5;

pub(super) struct Keeper<'a> {
    gateway: &'a Gateway,
    clock: &'a Clock,
    book: Arc<Book>,
    traffic: Arc<Traffic>,
    chance: Chance,
    listener: Option<Listener>,
    smapd: Option<Process>,
    ghosts: Vec<(Instant, Ghost)>,
    next_kill: Instant,
    /// Whether the ones that run were killed, or a helper of theirs.
    listener_is_hurt: bool,
    smapd_is_hurt: bool,
    pub(super) kills: BTreeMap<&'static str, u64>,
    pub(super) watch: Watch,
    pub(super) log: Option<File>,
}

/// What is left of a program that was killed; ended when it is dropped.
#[expect(dead_code, reason = "they are kept only to be dropped")]
enum Ghost {
    Listener(Listener),
    Smapd(Process),
}

impl<'a> Keeper<'a> {
    pub(super) fn new(
        gateway: &'a Gateway,
        clock: &'a Clock,
        book: Arc<Book>,
        traffic: Arc<Traffic>,
        seed: u64,
    ) -> Self {
        Self {
            gateway,
            clock,
            book,
            traffic,
            chance: Chance::new(seed),
            listener: None,
            smapd: None,
            ghosts: Vec::new(),
            next_kill: Instant::now() + Duration::from_secs(2),
            listener_is_hurt: false,
            smapd_is_hurt: false,
            kills: BTreeMap::new(),
            watch: Watch::default(),
            log: None,
        }
    }

    /// Starts what is not there.
    pub(super) fn keep(&mut self) {
        self.ghosts.retain(|(since, _)| since.elapsed() < AFTERLIFE);
        if let Some(listener) = self.listener.take_if(|listener| listener.process.has_ended()) {
            self.judge("smap", self.listener_is_hurt, &listener.process.log());
            self.listener_is_hurt = false;
            self.ghosts.push((Instant::now(), Ghost::Listener(listener)));
        }
        if self.listener.is_none() {
            *self.traffic.address.lock().unwrap() = None;
            let smap = || self.clock.for_program(self.gateway.program("smap"));
            let listener = self.gateway.listen_as(&["127.0.0.1"], smap);
            *self.traffic.address.lock().unwrap() = Some(listener.address());
            self.listener = Some(listener);
        }
        if self.smapd.as_ref().is_some_and(Process::has_ended) {
            self.write_log();
        }
        if let Some(smapd) = self.smapd.take_if(|smapd| smapd.has_ended()) {
            let log = smapd.log();
            // One that found the lock taken has delivered nothing.
            if !self.judge("smapd", self.smapd_is_hurt, &log) {
                self.book.over(Life::over(&log));
            }
            self.smapd_is_hurt = false;
            self.ghosts.push((Instant::now(), Ghost::Smapd(smapd)));
        }
        if self.smapd.is_none() {
            let mut smapd = self.clock.for_program(self.gateway.program("smapd"));
            self.smapd = Some(Process::start(smapd.arg("--foreground")));
        }
    }

    /// Writes down what the smapd that runs has said.
    pub(super) fn write_log(&mut self) {
        let (Some(file), Some(smapd)) = (&mut self.log, &self.smapd) else { return };
        for line in smapd.log() {
            writeln!(file, "{line}").expect("the log can be written");
        }
    }

    /// Keeps them, watches them, and kills one when it is time.
    pub(super) fn tend(&mut self, is_rough: bool) {
        self.keep();
        let lookup = self.helpers().into_iter().find(|(_, name)| name == "smap-lookup").map(|(pid, _)| pid);
        let listener = self.listener.as_ref().map(|listener| listener.process.pid());
        let smapd = self.smapd.as_ref().map(Process::pid);
        let long_lived = [("smap --listen", listener), ("smapd", smapd), ("smap-lookup", lookup)];
        self.watch.look(&long_lived);
        if self.next_kill < Instant::now() {
            self.next_kill = Instant::now() + Duration::from_millis(500 + self.chance.next() % 3500);
            let victim = if is_rough { self.chance.below(20) } else { 0 };
            match victim {
                17 => self.kill("smap --listen", listener),
                18 => self.kill("smapd", smapd),
                19 => {
                    let runner =
                        self.helpers().into_iter().find(|(_, name)| name == "smapd").map(|(pid, _)| pid);
                    match self.chance.one_in(2) {
                        true => self.kill("runner", runner),
                        false => self.kill("smap-lookup", lookup),
                    }
                }
                _ => {
                    let sessions = listener.map(children).unwrap_or_default();
                    let session = (!sessions.is_empty()).then(|| self.chance.pick(&sessions).0);
                    self.kill("session", session);
                }
            }
        }
    }

    fn kill(&mut self, what: &'static str, pid: Option<Pid>) {
        let Some(pid) = pid else { return };
        match what {
            "session" => {}
            "smap --listen" => self.listener_is_hurt = true,
            _ => self.smapd_is_hurt = true,
        }
        if kill(pid, Signal::SIGKILL).is_ok() {
            *self.kills.entry(what).or_default() += 1;
        }
    }

    fn helpers(&self) -> Vec<(Pid, String)> {
        self.smapd.as_ref().map(|smapd| children(smapd.pid())).unwrap_or_default()
    }

    /// Whoever ended was killed, or has lost a helper; or waits for his dead predecessor's lock, which it says.
    fn judge(&mut self, what: &str, is_hurt: bool, log: &[String]) -> bool {
        let is_locked_out = log.iter().any(|line| line.contains("another smapd works in this spool"));
        if is_locked_out {
            *self.kills.entry("(started before its predecessor's lock was free)").or_default() += 1;
        } else if !is_hurt {
            let last = log.get(log.len().saturating_sub(LAST_WORDS)..).unwrap_or_default();
            self.book.fault(format!("{what} ended by itself: {last:#?}"));
        }
        is_locked_out
    }

    /// Lines of the log that are errors, of the programs that run.
    pub(super) fn errors(&self) -> Vec<String> {
        let logs = [self.smapd.as_ref(), self.listener.as_ref().map(|listener| &listener.process)];
        let lines = logs.into_iter().flatten().flat_map(Process::log);
        lines.filter(|line| line.contains("error: ")).collect()
    }
}

/// The living children of a process, and the names of their programs.
fn children(parent: Pid) -> Vec<(Pid, String)> {
    let child = |name: String| {
        let stat = fs::read_to_string(format!("/proc/{name}/stat")).ok()?;
        let (head, rest) = stat.rsplit_once(") ")?;
        let mut fields = rest.split(' ');
        let (state, of) = (fields.next()?, fields.next()?);
        let program = head.split_once('(')?.1.to_owned();
        (state != "Z" && of == parent.to_string()).then_some((Pid::from_raw(name.parse().ok()?), program))
    };
    let names = fs::read_dir("/proc").into_iter().flatten().flatten();
    names.filter_map(|entry| child(entry.file_name().into_string().ok()?)).collect()
}
