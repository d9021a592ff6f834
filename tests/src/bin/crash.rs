//! The crash campaigns: has the power go, programs die and calls fail, and looks for mail that was lost. See
//! `tests/README.md`.
#![cfg_attr(
    target_arch = "x86_64",
    expect(clippy::print_stderr, reason = "a command says what is wrong with its command line")
)]

use std::process::ExitCode;

#[cfg(target_arch = "x86_64")]
fn main() -> ExitCode {
    options::main()
}

/// The tracer knows the registers of that one only.
#[cfg(not(target_arch = "x86_64"))]
fn main() -> ExitCode {
    ExitCode::from(69)
}

#[cfg(target_arch = "x86_64")]
mod options {
    use std::path::{Path, PathBuf};
    use std::process::ExitCode;

    use lexopt::prelude::*;
    use smap_tests::crash::campaign::{self, Sample};
    use smap_tests::crash::disk::{Filesystem, Lost};
    use smap_tests::crash::report::Report;
    use smap_tests::crash::scenario::{self, Scenario, Traced};
    use smap_tests::crash::tracer::Fault;
    use smap_tests::crash::world::{Ground, World};
    use smap_tests::crash::{controls, cuts};
    use smap_tests::{needs, programs};

    const HELP: &str = "\
Usage: crash CAMPAIGN [OPTION]...

  kill       kill -9 of everything at each system call with an effect
  pairs      the same twice: in a pass of smapd, and in the one that cleans up behind it
  power      as kill, and the power of spool and mailboxes goes at that instant
  cuts       the power goes right after a 250
  pause      the power goes when nothing has happened for two seconds
  errno      each system call fails, with each error, once and from then on
  short      each write to a file writes half, and then no more: the disk is full, or the file too large
  controls   programs with a fault: each has to be found
  trace      shows the system calls of a scenario

  --filesystem NAME   ext4, ext4-writeback, xfs or btrfs; more than once for more (all of them;
                      kill, pairs, errno and short: none, and no power goes)
  --mailboxes         only the mailboxes are on it, and what was done in the spool is durable at once
  --names-stay        somebody else's sync has just made all names durable, and only data is lost
  --scenario NAME     only this one; more than once for more
  --points N          no more than N of each (cuts: 1000, pairs: 200, pause: 10)
  --every K           one point of K
  --seed S            which of them (0)
  --at FAULT          only this one, as a report names it: 0.1:fsync:2:KILL
  --after FAULT       with this one before it
  --stop-at-first     the first violation is enough
  --preload LIBRARY   loaded into smap and smapd
  --control NAME      only this one
  --report FILE       what is said at the end goes there too

SMAP_BIN_DIR says where the programs are; without it they are built as this one was.
";

    #[derive(Debug, Default)]
    struct Options {
        campaign: String,
        filesystems: Vec<Filesystem>,
        mailboxes: bool,
        names_stay: bool,
        scenarios: Vec<Scenario>,
        points: Option<usize>,
        every: usize,
        seed: usize,
        at: Option<Fault>,
        after: Option<Fault>,
        stop_at_first: bool,
        preload: Option<PathBuf>,
        control: Option<String>,
        report: Option<PathBuf>,
    }

    pub(super) fn main() -> ExitCode {
        match Options::parse() {
            Ok(Some(options)) => options.run(),
            Ok(None) => {
                eprint!("{HELP}");
                ExitCode::SUCCESS
            }
            Err(error) => {
                eprintln!("crash: {error} (--help says how)");
                ExitCode::from(64)
            }
        }
    }

    fn fault(parser: &mut lexopt::Parser) -> Result<Fault, lexopt::Error> {
        let name = parser.value()?.string()?;
        campaign::fault_named(&name).ok_or_else(|| format!("{name}: no such fault").into())
    }

    impl Options {
        fn parse() -> Result<Option<Self>, lexopt::Error> {
            let mut options = Self { every: 1, ..Self::default() };
            let mut parser = lexopt::Parser::from_env();
            while let Some(argument) = parser.next()? {
                match argument {
                    Long("filesystem") => options.filesystems.push(parser.value()?.parse()?),
                    Long("mailboxes") => options.mailboxes = true,
                    Long("names-stay") => options.names_stay = true,
                    Long("scenario") => {
                        let name = parser.value()?.string()?;
                        options
                            .scenarios
                            .push(Scenario::named(&name).ok_or(format!("{name}: no such scenario"))?);
                    }
                    Long("points") => options.points = Some(parser.value()?.parse()?),
                    Long("every") => options.every = parser.value()?.parse()?,
                    Long("seed") => options.seed = parser.value()?.parse()?,
                    Long("at") => options.at = Some(fault(&mut parser)?),
                    Long("after") => options.after = Some(fault(&mut parser)?),
                    Long("stop-at-first") => options.stop_at_first = true,
                    Long("preload") => options.preload = Some(parser.value()?.into()),
                    Long("control") => options.control = Some(parser.value()?.string()?),
                    Long("report") => options.report = Some(parser.value()?.into()),
                    Long("help") => return Ok(None),
                    Value(campaign) if options.campaign.is_empty() => options.campaign = campaign.string()?,
                    other => return Err(other.unexpected()),
                }
            }
            let known = ["kill", "pairs", "power", "cuts", "pause", "errno", "short", "controls", "trace"];
            match options.campaign.as_str() {
                "" => Ok(None),
                campaign if known.contains(&campaign) => Ok(Some(options)),
                campaign => Err(format!("{campaign}: no such campaign").into()),
            }
        }

        fn run(&self) -> ExitCode {
            if !needs::is_root() {
                eprintln!("crash: only root may cut the power, and give a spool its owners");
                return ExitCode::from(77);
            }
            // Nothing there waits for a disk, and nobody else's sync makes anything durable.
            let memory = Path::new("/dev/shm");
            if memory.is_dir() {
                let _other = tempfile::env::override_temp_dir(memory);
            }
            if self.campaign != "controls" {
                programs::build();
            }
            let command: Vec<String> = std::env::args().collect();
            let mut report = Report::new(self.report.as_deref(), &command.join(" "));
            match self.campaign.as_str() {
                "controls" => controls::run(&mut report, self.control.as_deref()),
                "trace" => self.show(&mut report),
                "kill" | "pairs" | "errno" | "short" if self.filesystems.is_empty() => {
                    self.on(Ground::Firm, &mut report)
                }
                _ => self.on_each_disk(&mut report),
            }
            if report.end() { ExitCode::SUCCESS } else { ExitCode::FAILURE }
        }

        fn on_each_disk(&self, report: &mut Report) {
            let all = Filesystem::ALL.to_vec();
            for kind in if self.filesystems.is_empty() { all } else { self.filesystems.clone() } {
                let ground = if self.mailboxes { Ground::Mailboxes(kind) } else { Ground::Whole(kind) };
                self.on(ground, report);
                if self.sample(1).is_enough(report) {
                    return;
                }
            }
        }

        fn on(&self, ground: Ground, report: &mut Report) {
            let mut world = World::new(ground, self.preload.as_deref());
            world.lose(if self.names_stay { Lost::Data } else { Lost::All });
            match self.campaign.as_str() {
                "cuts" => cuts::after_replies(&mut world, self.sample(1000), report),
                "pause" => cuts::after_a_pause(&mut world, self.sample(10), report),
                _ => return self.scenarios(&mut world, report),
            }
            report.part(&format!("{} {ground}", self.campaign));
        }

        fn scenarios(&self, world: &mut World, report: &mut Report) {
            for scenario in self.chosen() {
                match self.campaign.as_str() {
                    _ if self.at.is_some() => {
                        let at = self.at.iter();
                        at.for_each(|at| campaign::one(world, &scenario, self.after.as_ref(), at, report));
                    }
                    "errno" => campaign::errors(world, &scenario, self.sample(usize::MAX), report),
                    "short" => campaign::short(world, &scenario, self.sample(usize::MAX), report),
                    "pairs" => campaign::pairs(world, &scenario, self.sample(200), report),
                    _ => campaign::kill(world, &scenario, self.sample(usize::MAX), report),
                }
                report.part(&format!("{} {} {}", self.campaign, world.ground(), scenario.name));
                if self.sample(1).is_enough(report) {
                    return;
                }
            }
        }

        fn chosen(&self) -> Vec<Scenario> {
            if !self.scenarios.is_empty() {
                return self.scenarios.clone();
            }
            let fits = |one: &Scenario| match self.campaign.as_str() {
                "pairs" => one.name == "partial",
                // There a message is read and removed, and nothing is written but to others.
                "short" => !["smtp", "lmtp"].contains(&one.name),
                _ => !self.mailboxes || (one.traced == Traced::Smapd && one.has_mailboxes()),
            };
            scenario::ALL.into_iter().filter(fits).collect()
        }

        fn sample(&self, most: usize) -> Sample {
            Sample {
                every: self.every,
                seed: self.seed,
                most: self.points.unwrap_or(most),
                stop_at_first: self.stop_at_first,
            }
        }

        fn show(&self, report: &mut Report) {
            let mut world = World::new(Ground::Firm, self.preload.as_deref());
            for scenario in self.chosen() {
                let tried = campaign::attempt(&mut world, &scenario, "shown", None, None);
                for call in &tried.trace.calls {
                    let result = call.result.map_or("-".to_owned(), |result| result.to_string());
                    report.line(&format!("{} {} = {result} {:?}", call.point, call.file, call.text));
                }
                report.point(scenario.name, true, &tried.wrong, &world.log());
            }
        }
    }
}
