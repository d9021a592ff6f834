//! Memory and descriptors of the programs that live long.

use std::collections::BTreeMap;
use std::fs;
use std::time::{Duration, Instant};

use nix::unistd::Pid;

const EVERY: Duration = Duration::from_secs(1);
/// A life that is shorter says nothing: sessions and destinations find their number first.
const SAMPLES: usize = 240;
/// By how much the last quarter of a life may exceed the second, beside half of it again: what is on its way at the
/// time takes room too.
const ROOM: Figures = Figures { kib: 12 * 1024, descriptors: 100 };

/// What a process has.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Figures {
    pub(super) kib: u64,
    pub(super) descriptors: u64,
}

#[derive(Debug, Default)]
pub(super) struct Watch {
    last: Option<Instant>,
    lives: BTreeMap<(&'static str, i32), Vec<Figures>>,
}

/// How a life went: what it had in the middle of its second quarter, and of its last.
#[derive(Debug)]
pub(super) struct Trend {
    pub(super) what: &'static str,
    pub(super) seconds: usize,
    pub(super) early: Figures,
    pub(super) late: Figures,
    pub(super) most: Figures,
}

impl Trend {
    pub(super) fn is_flat(&self) -> bool {
        self.late.kib <= self.early.kib + self.early.kib / 2 + ROOM.kib
            && self.late.descriptors <= self.early.descriptors + self.early.descriptors / 2 + ROOM.descriptors
    }
}

impl Watch {
    pub(super) fn look(&mut self, at: &[(&'static str, Option<Pid>)]) {
        if self.last.is_some_and(|last| last.elapsed() < EVERY) {
            return;
        }
        self.last = Some(Instant::now());
        for (what, pid) in at {
            if let Some((pid, figures)) = pid.and_then(|pid| Some((pid, figures(pid)?))) {
                self.lives.entry((what, pid.as_raw())).or_default().push(figures);
            }
        }
    }

    /// The last of each kind.
    pub(super) fn now(&self, what: &str) -> Option<Figures> {
        let of_kind = self.lives.iter().filter(|((kind, _), _)| *kind == what);
        of_kind.max_by_key(|(_, samples)| samples.len()).and_then(|(_, samples)| samples.last().copied())
    }

    /// The longest life of each kind, where it was long enough.
    pub(super) fn trends(&self) -> Vec<Trend> {
        let mut longest: BTreeMap<&str, (&'static str, &Vec<Figures>)> = BTreeMap::new();
        for ((what, _), samples) in &self.lives {
            let best = longest.entry(what).or_insert((what, samples));
            if samples.len() > best.1.len() {
                *best = (what, samples);
            }
        }
        let long = longest.into_values().filter(|(_, samples)| samples.len() >= SAMPLES);
        long.map(|(what, samples)| Trend {
            what,
            seconds: samples.len(),
            early: middle(&samples[samples.len() / 4..samples.len() / 2]),
            late: middle(&samples[samples.len() * 3 / 4..]),
            most: Figures {
                kib: samples.iter().map(|one| one.kib).max().unwrap_or_default(),
                descriptors: samples.iter().map(|one| one.descriptors).max().unwrap_or_default(),
            },
        })
        .collect()
    }
}

fn middle(samples: &[Figures]) -> Figures {
    let median = |of: fn(&Figures) -> u64| {
        let mut values: Vec<u64> = samples.iter().map(of).collect();
        values.sort_unstable();
        values[values.len() / 2]
    };
    Figures { kib: median(|one| one.kib), descriptors: median(|one| one.descriptors) }
}

/// Its share of memory (PSS) and its descriptors; none if that may not be seen.
fn figures(pid: Pid) -> Option<Figures> {
    let text = fs::read_to_string(format!("/proc/{pid}/smaps_rollup")).ok()?;
    let line = text.lines().find_map(|line| line.strip_prefix("Pss:"))?;
    let kib = line.trim().strip_suffix(" kB")?.parse().ok()?;
    let descriptors = u64::try_from(fs::read_dir(format!("/proc/{pid}/fd")).ok()?.count()).ok()?;
    Some(Figures { kib, descriptors })
}
