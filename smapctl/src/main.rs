//! smapctl: read the command line, do what it says.

use std::io::{self, BufWriter, Write};
use std::process::ExitCode;

use clap::Parser;
use smap_common::exit::Exit;
use smapctl::arguments::{Arguments, Command, Queue};
use smapctl::error::Error;
use smapctl::{check, compile, demo, explain, import, queue, replay, security, trace};

fn main() -> ExitCode {
    let arguments = match Arguments::try_parse() {
        Ok(arguments) => arguments,
        Err(said) => return say(&said),
    };
    let table = netperm::load::find(arguments.config.as_deref());
    let mut out = BufWriter::new(io::stdout().lock());
    let done = match arguments.command {
        Command::Check { security: false } => check::run(&table, &mut out),
        Command::Check { security: true } => security::run(&table, &mut out),
        Command::Compile { files } => compile::run(&table, &files, &mut out),
        Command::Explain(question) => explain::run(&table, &question, &mut out),
        Command::Import { file, kind } => import::run(&file, kind, &mut out),
        Command::Queue(Queue::List { filter, json }) => queue::list(&table, &filter, json, &mut out),
        Command::Queue(Queue::Show { id, body, json }) => queue::show(&table, id, body, json, &mut out),
        Command::Queue(order) => queue::order(&table, order, &mut out),
        Command::Replay { log, all, json } => replay::run(&table, &log, all, json, &mut out),
        Command::Trace { id, log, json } => trace::run(&table, id, &log, json, &mut out),
        Command::Demo(wishes) => demo::run(&wishes, &mut out),
    };
    // What was shown comes before what went wrong.
    let flushed = out.flush();
    match done.and_then(|exit| Ok(flushed.map(|()| exit)?)) {
        Ok(exit) => exit.into(),
        Err(error) => complain(&error),
    }
}

/// The command line was wrong, or asked for help.
fn say(said: &clap::Error) -> ExitCode {
    // If nobody reads it, nobody asked.
    let _unheard = said.print();
    if said.use_stderr() { Exit::Usage.into() } else { Exit::Ok.into() }
}

#[expect(clippy::print_stderr, reason = "the place for errors")]
fn complain(error: &Error) -> ExitCode {
    error.to_string().lines().for_each(|line| eprintln!("smapctl: {line}"));
    error.exit().into()
}
