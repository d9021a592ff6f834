//! An hour of mixed load, kills and clock jumps: see the module `soak`.
//!
//!     cargo run --release -p smap-tests --bin soak -- --minutes 60
#![expect(clippy::print_stderr, reason = "who starts it wrongly is told")]

use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

use smap_tests::soak::{Settings, run};
use smap_tests::{process, programs};

const USAGE: &str = "soak [--minutes N | --seconds N] [--clients N] [--seed N] [--report FILE] [--log FILE]";

fn main() -> ExitCode {
    let Some(settings) = settings(std::env::args().skip(1)) else {
        eprintln!("{USAGE}");
        return ExitCode::from(64);
    };
    programs::build();
    process::adopt_orphans();
    if run(&settings) { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

fn settings(mut arguments: impl Iterator<Item = String>) -> Option<Settings> {
    let mut settings =
        Settings { length: Duration::from_mins(60), seed: 1, clients: 6, report: None, log: None };
    while let Some(name) = arguments.next() {
        let value = arguments.next()?;
        match name.as_str() {
            "--minutes" => settings.length = Duration::from_mins(value.parse().ok()?),
            "--seconds" => settings.length = Duration::from_secs(value.parse().ok()?),
            "--clients" => settings.clients = value.parse().ok()?,
            "--seed" => settings.seed = value.parse().ok()?,
            "--log" => settings.log = Some(PathBuf::from(value)),
            "--report" => settings.report = Some(PathBuf::from(value)),
            _ => return None,
        }
    }
    Some(settings)
}
