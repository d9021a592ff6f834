//! What a campaign says while it runs, and at its end.

use std::fmt::Write as _;
use std::fs::File;
use std::io::{IsTerminal, Write};
use std::path::Path;
use std::process::Command;
use std::time::Instant;

/// Violations that are shown in full; beyond them they are only counted.
const SHOWN: usize = 50;

/// It is written as it comes, so that one that is broken off is a report too.
#[derive(Debug)]
pub struct Report {
    file: Option<File>,
    /// All of it, where it is not said at once.
    kept: Option<Vec<String>>,
    begun: Instant,
    /// Points that were run.
    pub points: usize,
    /// Points whose fault came about.
    pub hits: usize,
    /// What was found.
    pub violations: usize,
    /// Parts none of whose faults came about.
    idle: usize,
    part: (usize, usize, usize),
}

impl Report {
    /// A report that begins with machine, commit and command, and is written to this file too.
    ///
    /// # Panics
    /// The file cannot be made.
    #[must_use]
    pub fn new(file: Option<&Path>, command: &str) -> Self {
        let file = file.map(|path| File::create(path).expect("the report can be written"));
        let mut report = Self { file, ..Self::begun() };
        report.line(&format!("command: {command}"));
        report.line(&format!(
            "commit:  {}",
            said(Command::new("git").args(["describe", "--always", "--dirty", "--abbrev=12"]))
        ));
        report.line(&format!("machine: {}", machine()));
        report
    }

    /// A report that is kept, for a test to look at.
    #[must_use]
    pub fn quiet() -> Self {
        Self { kept: Some(Vec::new()), ..Self::begun() }
    }

    fn begun() -> Self {
        Self {
            file: None,
            kept: None,
            begun: Instant::now(),
            points: 0,
            hits: 0,
            violations: 0,
            idle: 0,
            part: (0, 0, 0),
        }
    }

    /// What was kept.
    #[must_use]
    pub fn text(&self) -> String {
        self.kept.iter().flatten().map(|line| format!("{line}\n")).collect()
    }

    /// Something was tried, some of each part of it came about, and nothing was found.
    #[must_use]
    pub fn is_good(&self) -> bool {
        self.hits > 0 && self.idle == 0 && self.violations == 0
    }

    /// A line of it.
    #[expect(clippy::print_stdout, reason = "it is what was asked for")]
    pub fn line(&mut self, text: &str) {
        if let Some(kept) = &mut self.kept {
            return kept.push(text.to_owned());
        }
        println!("{text}");
        if let Some(file) = &mut self.file {
            // What cannot be written was at least shown.
            let _full = writeln!(file, "{text}");
        }
    }

    /// A point was run.
    pub fn point(&mut self, name: &str, hit: bool, wrong: &[String], log: &str) {
        self.points += 1;
        self.hits += usize::from(hit);
        self.progress(name);
        for what in wrong {
            self.violations += 1;
            if self.violations <= SHOWN {
                self.line(&format!("VIOLATION at {name}: {what}"));
            }
        }
        if !wrong.is_empty() && self.violations <= SHOWN {
            log.lines().for_each(|line| self.line(&format!("    {line}")));
        }
    }

    #[expect(clippy::print_stderr, reason = "whoever waits wants to see that it goes on")]
    fn progress(&self, name: &str) {
        if self.kept.is_none() && std::io::stderr().is_terminal() {
            eprint!("\r\x1b[K{} points, {} violations, at {name}\r", self.points, self.violations);
        }
    }

    /// A part is over: its points and violations on one line.
    pub fn part(&mut self, name: &str) {
        let (points, hits, violations) = self.part;
        self.part = (self.points, self.hits, self.violations);
        let text = format!(
            "{name}: {} points, {} faults came about, {} violations",
            self.points - points,
            self.hits - hits,
            self.violations - violations
        );
        self.line(&text);
        if self.hits == hits {
            self.idle += 1;
            self.line(&format!("NOTHING WAS TRIED by {name}"));
        }
    }

    /// The last lines; says whether all is well.
    pub fn end(&mut self) -> bool {
        let mut text = String::new();
        let _infallible = write!(
            text,
            "total: {} points, {} faults came about, {} violations, {} s",
            self.points,
            self.hits,
            self.violations,
            self.begun.elapsed().as_secs()
        );
        self.line(&text);
        let verdict = match self.violations {
            0 if self.is_good() => "everything held".to_owned(),
            0 => "NOTHING WAS TRIED, of all or of a part".to_owned(),
            found => format!(
                "{found} VIOLATIONS; each is above, up to {SHOWN} of them, with the fault to try it again"
            ),
        };
        self.line(&format!("verdict: {verdict}"));
        self.is_good()
    }
}

fn machine() -> String {
    let processors = std::thread::available_parallelism().map_or(0, std::num::NonZero::get);
    format!("{}, {processors} processors", said(Command::new("uname").arg("-srm")))
}

fn said(command: &mut Command) -> String {
    let output = command.output().map(|output| output.stdout).unwrap_or_default();
    String::from_utf8_lossy(&output).trim().to_owned()
}
