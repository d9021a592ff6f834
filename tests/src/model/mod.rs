//! What a crash may leave of the spool, tried in memory: every prefix of what was done, and every legal subset of what
//! was not yet durable.

pub mod disk;
pub mod judge;
pub mod trace;

use std::collections::{BTreeMap, BTreeSet};

use self::disk::{Disk, Profile, Step, Tree};
use self::judge::{Event, Judge, Known};

/// What a run of the model has found.
#[derive(Debug, Default)]
pub struct Findings {
    /// Disks that were looked at.
    pub disks: usize,
    /// What did not hold, with one example of when, and what was lost on that disk: the least.
    pub wrong: BTreeMap<String, Example>,
    /// What did not hold where one thing alone was lost, and what that was.
    pub alone: BTreeSet<(String, String)>,
}

/// When something did not hold.
#[derive(Debug, Clone)]
pub struct Example {
    /// So many steps were done.
    pub steps: usize,
    /// The last of them.
    pub last: String,
    /// What was lost.
    pub lost: Vec<String>,
    /// The files that were there.
    pub files: Vec<String>,
}

impl Findings {
    /// Whether something did not hold whose description begins so.
    #[must_use]
    pub fn has(&self, invariant: &str) -> bool {
        self.wrong.keys().any(|wrong| wrong.starts_with(invariant))
    }
}

/// How a run of the model goes.
#[derive(Debug, Clone, Copy)]
pub struct Run<'a> {
    /// What syncs carry.
    pub profile: Profile,
    /// What is on the disk at first, durably.
    pub tree: &'a Tree,
    /// What is done.
    pub steps: &'a [Step<Event>],
    /// What is known before.
    pub known: &'a Known,
}

impl Run<'_> {
    /// Goes through all of it.
    #[must_use]
    pub fn explore(&self) -> Findings {
        self.look(&mut |_, _| {}, None)
    }

    /// The same, and shows each disk.
    #[must_use]
    pub fn show(&self, visit: &mut dyn FnMut(&Tree, &Known)) -> Findings {
        self.look(visit, None)
    }

    /// Whether something does not hold whose description begins so; stops where it is found.
    #[must_use]
    pub fn finds(&self, invariant: &str) -> bool {
        self.look(&mut |_, _| {}, Some(invariant)).has(invariant)
    }

    fn look(&self, visit: &mut dyn FnMut(&Tree, &Known), until: Option<&str>) -> Findings {
        let (judge, mut disk) = (Judge::default(), Disk::new(self.profile, self.tree.clone()));
        let (mut known, mut findings) = (self.known.clone(), Findings::default());
        for (number, step) in self.steps.iter().enumerate() {
            disk.step(step);
            if let Step::Event(event) = step {
                known.learn(event);
            }
            let at_rest = number + 1 == self.steps.len();
            let only_new = !at_rest && !matches!(step, Step::Event(_));
            disk.crashes(only_new, |tree, lost| {
                visit(tree, &known);
                let wrong = judge.judge(tree, &known, at_rest);
                findings.note(wrong, (number + 1, step), tree, lost);
                until.is_none_or(|until| !findings.has(until))
            });
            if until.is_some_and(|until| findings.has(until)) {
                break;
            }
        }
        findings
    }
}

impl Findings {
    fn note(
        &mut self,
        wrong: Vec<String>,
        (steps, last): (usize, &Step<Event>),
        tree: &Tree,
        lost: &[String],
    ) {
        self.disks += 1;
        for wrong in wrong {
            if let [alone] = lost {
                self.alone.insert((wrong.clone(), alone.clone()));
            }
            if self.wrong.get(&wrong).is_some_and(|example| example.lost.len() <= lost.len()) {
                continue;
            }
            let files = ["spool", "mail"].iter().flat_map(|folder| tree.files(folder));
            let files = files.map(|(path, text)| format!("{path} ({})", text.len())).collect();
            self.wrong.insert(wrong, Example { steps, last: shown(last), lost: lost.to_vec(), files });
        }
    }
}

fn shown(step: &Step<Event>) -> String {
    match step {
        Step::Write(path, at, octets) => {
            format!("write {path} at {at:?}: {:?}", String::from_utf8_lossy(octets))
        }
        other => format!("{other:?}"),
    }
}
