//! What is shown while it runs, and what is said at its end.

use std::fs;
use std::path::PathBuf;
use std::process::Command;
use std::time::{Duration, Instant};

use super::Settings;
use super::book::Book;
use super::killer::Keeper;

/// Lines of one kind that are shown.
const SHOWN: usize = 20;

pub(super) struct Report {
    head: String,
    path: Option<PathBuf>,
    begun: Instant,
    /// Faults that were shown.
    shown: usize,
    pub(super) jumps: u64,
    pub(super) drained: Duration,
}

impl Report {
    pub(super) fn begin(settings: &Settings) -> Self {
        let cores = std::thread::available_parallelism().map_or(0, usize::from);
        let command: Vec<String> = std::env::args().collect();
        let head = format!(
            "machine: {}, {cores} cores, Linux {}\ncommit:  {}\ncommand: {}\nseed:    {}\n",
            model(),
            fs::read_to_string("/proc/sys/kernel/osrelease").unwrap_or_default().trim(),
            commit(),
            command.join(" "),
            settings.seed,
        );
        say(&head);
        let path = settings.report.clone();
        Self { head, path, begun: Instant::now(), shown: 0, jumps: 0, drained: Duration::ZERO }
    }

    pub(super) fn progress(&mut self, book: &Book, keeper: &Keeper<'_>) {
        let counts = book.counts();
        let of = |what| {
            let none = || "-".to_owned();
            keeper
                .watch
                .now(what)
                .map_or_else(none, |now| format!("{} KiB, {} files", now.kib, now.descriptors))
        };
        say(&format!(
            "{:5.0} s  accepted {} refused {} cut {}  copies {} told {} waiting {} again {}  kills {}  smapd {}  listener {}  faults {}",
            self.begun.elapsed().as_secs_f64(),
            counts.accepted,
            counts.refused,
            counts.cut,
            counts.copies,
            counts.told,
            counts.waiting,
            counts.second_copies,
            keeper.kills.values().sum::<u64>(),
            of("smapd"),
            of("smap --listen"),
            book.faults().len()
        ));
        let faults = book.faults();
        faults.iter().skip(self.shown).take(SHOWN).for_each(|fault| say(&format!("    {fault}")));
        self.shown = faults.len();
    }

    fn figures(&self, book: &Book, keeper: &Keeper<'_>) -> String {
        let counts = book.counts();
        let kills: Vec<String> = keeper.kills.iter().map(|(what, count)| format!("{what} {count}")).collect();
        format!(
            "{}\nmessages: accepted {}, refused {}, of unknown fate {}; recipients of those accepted {}\n\
             arrived:  copies {} ({} MiB), senders told of recipients {}\n\
             again:    second copies {}, told twice {}, told and delivered {} (each with an excuse, unless it is a fault below)\n\
             kills:    {}; clock jumps {}\n\
             spool:    empty after {:.0} s\n",
            self.head,
            counts.accepted,
            counts.refused,
            counts.cut,
            counts.recipients,
            counts.copies,
            counts.octets >> 20,
            counts.told,
            counts.second_copies,
            counts.told_twice,
            counts.told_and_copied,
            kills.join(", "),
            self.jumps,
            self.drained.as_secs_f64(),
        )
    }

    /// Writes it; says whether everything held.
    pub(super) fn end(&self, book: &Book, keeper: &Keeper<'_>, left: Vec<String>) -> bool {
        let (counts, mut faults) = (book.counts(), book.faults());
        faults.extend(book.missing());
        faults.extend(left.into_iter().map(|name| format!("left in the spool: {name}")));
        if counts.accepted == 0 || counts.copies == 0 {
            faults.push("nothing was sent".to_owned());
        }
        let mut text = self.figures(book, keeper);
        for trend in keeper.watch.trends() {
            let (early, late, most) = (trend.early, trend.late, trend.most);
            text.push_str(&format!(
                "{:<14} lived {} s: {} -> {} KiB (most {}), {} -> {} files (most {})\n",
                trend.what,
                trend.seconds,
                early.kib,
                late.kib,
                most.kib,
                early.descriptors,
                late.descriptors,
                most.descriptors
            ));
            if !trend.is_flat() {
                faults.push(format!("{} grows", trend.what));
            }
        }
        let errors = keeper.errors();
        text.push_str(&format!("errors in the last logs: {}\n", errors.len()));
        errors.iter().take(SHOWN).for_each(|line| text.push_str(&format!("    {line}\n")));
        text.push_str(&format!("faults:   {}\n", faults.len()));
        faults.iter().take(SHOWN).for_each(|fault| text.push_str(&format!("    {fault}\n")));
        say(&text);
        if let Some(path) = &self.path {
            fs::write(path, &text).expect("the report can be written");
        }
        faults.is_empty()
    }
}

#[expect(clippy::print_stdout, reason = "it is watched while it runs")]
fn say(text: &str) {
    println!("{text}");
}

fn model() -> String {
    let text = fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
    let line = text.lines().find_map(|line| line.strip_prefix("model name"));
    line.map_or("unknown", |line| line.trim_start_matches([':', '\t', ' '])).to_owned()
}

fn commit() -> String {
    let git = |arguments: &[&str]| {
        let output = Command::new("git").current_dir(crate::programs::workspace()).args(arguments).output();
        output.map(|output| String::from_utf8_lossy(&output.stdout).trim().to_owned()).unwrap_or_default()
    };
    let changed = if git(&["status", "--porcelain"]).is_empty() { "" } else { " and changes" };
    git(&["rev-parse", "--short", "HEAD"]) + changed
}
