//! `smapctl replay`: the decisions of the log, made again by a table, and those that come out otherwise.
//!
//! Decides nothing: the policy does, on the facts in the log. What smap-lookup was asked then is not asked again: its
//! answer is that of the log, where the log has it.

use std::collections::BTreeMap;
use std::fmt;
use std::io::Write;
use std::path::{Path, PathBuf};

use netperm::policy::{self, Facts, Question, Verdict};
use netperm::recipients::{self, Answer};
use netperm::site::Site;
use netperm::{Client, ClientName};
use serde::Serialize;
use smap_common::address::{Address, ReversePath};
use smap_common::exit::Exit;

use crate::error::Error;
use crate::log;
use crate::show::{counted, printable};

mod decisions;

pub use self::decisions::{Decision, Decisions, Stage};

/// Facts of one change that are shown.
const EXAMPLES: usize = 5;
/// More questions than one recipient can lead to.
const MOST_QUESTIONS: usize = 10;

/// What the table would change.
#[derive(Debug, Default, Serialize)]
pub struct Replay {
    /// Decisions in the log.
    decisions: u64,
    /// Those that come out otherwise, the most frequent first.
    changes: Vec<Change>,
    /// Those of which the log does not tell enough.
    untold: u64,
}

/// Decisions that come out otherwise in the same way.
#[derive(Debug, Serialize)]
struct Change {
    stage: &'static str,
    was: Said,
    would_be: Said,
    decisions: u64,
    /// The facts of each, once.
    facts: Vec<String>,
}

/// A verdict and its rule.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize)]
struct Said {
    verdict: &'static str,
    rule: String,
}

/// Shows on `out` what the table would have decided otherwise.
///
/// # Errors
/// The table is wrong, a log cannot be read, or `out` fails.
pub fn run(
    table: &Path,
    logs: &[PathBuf],
    all: bool,
    json: bool,
    out: &mut impl Write,
) -> Result<Exit, Error> {
    let site = Site::load(table)?;
    let mut decisions = Decisions::default();
    log::read(logs, |line| decisions.line(line))?;
    let replay = Replay::of(&site, &decisions.made);
    if json {
        serde_json::to_writer_pretty(&mut *out, &replay)?;
        writeln!(out)?;
    } else {
        out.write_all(replay.show(if all { usize::MAX } else { EXAMPLES }).as_bytes())?;
    }
    Ok(Exit::Ok)
}

impl Replay {
    /// Makes these decisions again.
    #[must_use]
    pub fn of(site: &Site, made: &[Decision]) -> Self {
        let mut replay = Self { decisions: u64::try_from(made.len()).unwrap_or(u64::MAX), ..Self::default() };
        let mut changes: BTreeMap<(&str, Said, Said), BTreeMap<String, u64>> = BTreeMap::new();
        for decision in made {
            match again(site, decision) {
                None => replay.untold += 1,
                Some(would_be) if would_be.verdict == decision.verdict => {}
                Some(would_be) => {
                    let was = Said { verdict: decision.verdict, rule: decision.rule.clone() };
                    let facts = changes.entry((decision.stage.word(), was, would_be)).or_default();
                    *facts.entry(decision.facts()).or_default() += 1;
                }
            }
        }
        replay.changes = changes
            .into_iter()
            .map(|((stage, was, would_be), facts)| {
                let decisions = facts.values().sum();
                Change { stage, was, would_be, decisions, facts: facts.into_keys().collect() }
            })
            .collect();
        replay.changes.sort_by_key(|change| std::cmp::Reverse(change.decisions));
        replay
    }

    /// For people; so many facts of each change.
    #[must_use]
    pub fn show(&self, examples: usize) -> String {
        let mut text = String::new();
        for change in &self.changes {
            let count = counted(change.decisions, "decision", "decisions");
            text += &format!("{}: {} -> {}: {count}\n", change.stage, change.was, change.would_be);
            for facts in change.facts.iter().take(examples) {
                text += &format!("    {}\n", printable(facts));
            }
            let more = change.facts.len().saturating_sub(examples);
            if more > 0 {
                text += &format!("    and {more} more (--all shows them)\n");
            }
        }
        let changed: u64 = self.changes.iter().map(|change| change.decisions).sum();
        let decisions = counted(self.decisions, "decision", "decisions");
        text += &format!("{decisions} in the log, {changed} would be others\n");
        if self.untold > 0 {
            text += &format!(
                "{} cannot be told: they would need what was not asked for then\n",
                counted(self.untold, "decision", "decisions")
            );
        }
        text
    }
}

impl fmt::Display for Said {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.verdict)?;
        if self.rule.is_empty() { Ok(()) } else { write!(f, " ({})", printable(&self.rule)) }
    }
}

impl Stage {
    fn word(&self) -> &'static str {
        match self {
            Self::Connect => "connect",
            Self::Sender(_) => "sender",
            Self::Recipient(..) => "recipient",
        }
    }
}

impl Decision {
    /// In the words that `explain` takes.
    fn facts(&self) -> String {
        let address = self.client.address.map(|address| address.to_string()).unwrap_or_default();
        let client = match &self.client.name {
            ClientName::NotAsked | ClientName::Failed(_) => address,
            ClientName::Unknown => format!("unknown/{address}"),
            ClientName::Known(names) => {
                let names: Vec<&str> = names.iter().map(|name| name.as_str()).collect();
                format!("{}/{address}", names.join(","))
            }
        };
        let from = |from: &ReversePath| match from {
            ReversePath::Null => String::new(),
            ReversePath::Mailbox(from) => format!(" --from {}", quoted(from)),
        };
        match &self.stage {
            Stage::Connect => format!("--client {client}"),
            Stage::Sender(sender) => format!("--client {client}{}", from(sender)),
            Stage::Recipient(sender, to) => format!("--client {client}{} --to {}", from(sender), quoted(to)),
        }
    }

    /// The answer that smap-lookup gave then to a question about the recipient.
    fn answered(&self) -> Option<Answer> {
        match self.rule.split('@').next() {
            Some("answered") => Some(Answer::Yes),
            Some("unknown") => Some(Answer::No),
            Some("failed") => Some(Answer::Failed("as it was then".to_owned())),
            _ => None,
        }
    }
}

/// What the table says; nothing where that needs what the log does not have.
fn again(site: &Site, decision: &Decision) -> Option<Said> {
    let client: &Client = &decision.client;
    let mut answers: Vec<(recipients::Question, Answer)> = Vec::new();
    while answers.len() < MOST_QUESTIONS {
        let mut facts = Facts { helo: decision.helo.as_ref(), answers: &answers, ..Facts::of(client) };
        let verdict = match &decision.stage {
            Stage::Connect => policy::connect(&site.smap, &facts),
            Stage::Sender(from) => {
                facts.sender = Some(from);
                policy::sender(&site.smap, &facts)
            }
            Stage::Recipient(from, to) => {
                facts.sender = Some(from);
                policy::recipient(&site.smap, &site.hostname, &facts, to)
            }
        };
        match verdict {
            Verdict::Ask(Question::Name, _) => return None,
            Verdict::Ask(Question::Exists(question), _) => {
                let answer = decision.answered()?;
                answers.push((question, answer));
            }
            verdict => return Some(Said { verdict: verdict.word(), rule: verdict.reason().rule() }),
        }
    }
    None
}

/// An address as a shell takes it.
fn quoted(address: &Address) -> String {
    let shown = address.to_string();
    let is_plain = |c: char| c.is_ascii_alphanumeric() || "@.+-_=".contains(c);
    if shown.chars().all(is_plain) { shown } else { format!("'{}'", shown.replace('\'', "'\\''")) }
}
