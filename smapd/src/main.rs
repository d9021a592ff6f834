//! smapd: delivers mail. Its own user, never root after the start.

use std::path::PathBuf;
use std::process::ExitCode;

use clap::Parser;
use netperm::site::Site;
use nix::sys::resource::{Resource, getrlimit, setrlimit};
use nix::unistd::{daemon, geteuid};
use smap_common::confine::{self, ConfineError, Missing};
use smap_common::exit::{self, Exit, Refusal};
use smap_common::interfaces;
use smap_common::log::{self, Event, Target};
use smapd::content;
use smapd::control::Control;
use smapd::engine::{Engine, Start, block_signals};
use smapd::lookup::Lookup;
use smapd::privileges;
use smapd::queue::{Queue, QueueError};
use smapd::reach;
use smapd::runner::Runner;
use smapd::settings::Settings;

/// Delivers the mail that smap has put into the spool.
#[derive(Debug, Parser)]
#[command(version)]
struct Arguments {
    /// The netperm-table (/etc/smap/netperm-table, then /usr/local/etc/netperm-table)
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,
    /// Stay in the foreground and log to descriptor 2
    #[arg(long)]
    foreground: bool,
    /// One pass over all that is due, then exit
    #[arg(long)]
    once: bool,
}

fn main() -> ExitCode {
    confine::clear_environment();
    confine::close_inherited_descriptors();
    confine::own_umask(0o077);
    let arguments = match Arguments::try_parse() {
        Ok(arguments) => arguments,
        Err(error) => return exit::after_command_line(&error, error.use_stderr()),
    };
    let to_stderr =
        log::init("smapd", if arguments.foreground { Target::Stderr } else { Target::SyslogOrStderr });
    let exit = run(&arguments).unwrap_or_else(|refusal| refusal.complain("smapd", to_stderr));
    exit.into()
}

/// The life of smapd: read, prepare, find its smap-lookup, drop, fork the runner, deliver.
fn run(arguments: &Arguments) -> Result<Exit, Refusal> {
    // A daemon works in another folder.
    let table = netperm::load::find(arguments.config.as_deref());
    let table = std::path::absolute(&table).unwrap_or(table);
    let site = Site::load(&table).map_err(|faults| Refusal(faults.to_string(), Exit::Config))?;
    if geteuid().is_root() && site.smapd_account.is_none() {
        return Err(Refusal(
            format!("{}: smapd is started as root and has no userid", table.display()),
            Exit::Config,
        ));
    }
    prepare_spool(&site)?;
    if let Some(program) = privileges::set_id_program(&site) {
        let text = format!("{} is set-id: programs may gain privileges by it", program.display());
        Event::Warning { text: &text }.log();
    }
    // Keys may be root's.
    let settings = Settings::of(site).map_err(|faults| Refusal(faults, Exit::Config))?;
    let site = &settings.site;
    let lookup = Lookup::start(site, &table, arguments.foreground).map_err(no_lookup)?;
    let set_id = privileges::set_id(site);
    let missing = privileges::take(site).map_err(not_confined)?;
    let queue = Queue::open(&site.layout).map_err(|error| {
        let exit = if matches!(error, QueueError::Locked) { Exit::TempFail } else { Exit::Config };
        Refusal(error.to_string(), exit)
    })?;
    if !arguments.foreground && !arguments.once {
        daemon(false, false).map_err(|errno| Refusal(format!("daemon: {errno}"), Exit::TempFail))?;
    }
    let start = Start {
        reach: reach::at_start(site, &table),
        set_id,
        table,
        interfaces: interfaces::addresses(),
        once: arguments.once,
    };
    let control = if arguments.once { None } else { listen_to_operators(site) };
    deliver(start, settings, queue, lookup, missing, control)
}

fn deliver(
    start: Start,
    settings: Settings,
    queue: Queue,
    lookup: Lookup,
    missing: Vec<Missing>,
    control: Option<Control>,
) -> Result<Exit, Refusal> {
    let failed = |error: std::io::Error| Refusal(error.to_string(), Exit::TempFail);
    allow_many_descriptors().map_err(|errno| failed(errno.into()))?;
    let site = &settings.site;
    let children = usize::try_from(site.smapd.maxchildren.get()).unwrap_or(usize::MAX);
    let signals = block_signals().map_err(|errno| failed(errno.into()))?;
    let runner = Runner::start(children, start.set_id).map_err(failed)?;
    warn_of_missing_folders(site);
    content::read_time_zone();
    let root = site.layout.root().to_owned();
    let reach = start.reach.clone();
    let (confined, engine) = confine::confine_delivery(&reach, missing, || {
        Engine::new(start, settings, queue, runner, lookup, signals, control)
    })
    .map_err(not_confined)?;
    for wall in confined.missing().iter().filter(|wall| **wall != Missing::BoundingSetForPrograms) {
        Event::Warning { text: &format_args!("not to be had: {wall}") }.log();
    }
    Event::Said { text: &format!("started; the spool is {}", root.display()) }.log();
    engine.life(&confined).map_err(failed)
}

/// Mail flows without an operator too.
fn listen_to_operators(site: &Site) -> Option<Control> {
    let control = Control::listen(&site.layout);
    if let Err(error) = &control {
        let socket = site.layout.socket();
        Event::Warning { text: &format_args!("{}: no orders can be given: {error}", socket.display()) }.log();
    }
    control.ok()
}

fn no_lookup(error: std::io::Error) -> Refusal {
    let exit = if error.kind() == std::io::ErrorKind::NotFound { Exit::Config } else { Exit::TempFail };
    Refusal(format!("smap-lookup cannot be started: {error}"), exit)
}

fn not_confined(error: ConfineError) -> Refusal {
    Refusal(error.to_string(), Exit::NoPerm)
}

fn warn_of_missing_folders(site: &Site) {
    for (folder, within) in reach::missing_folders(site) {
        let until = within.map_or_else(
            || "no mail can be delivered there until smapd is started anew".to_owned(),
            |within| format!("until smapd is started anew it may write in all of {}", within.display()),
        );
        Event::Warning { text: &format_args!("{} is missing: {until}", folder.display()) }.log();
    }
}

/// Messages and connections that are open at the same time need more than the 1024 that are usual.
fn allow_many_descriptors() -> nix::Result<()> {
    let (_, most) = getrlimit(Resource::RLIMIT_NOFILE)?;
    setrlimit(Resource::RLIMIT_NOFILE, most.min(65_536), most)
}

/// Makes the folders that are missing, and refuses a spool that is not fit for use.
fn prepare_spool(site: &Site) -> Result<(), Refusal> {
    let made = site.layout.create_missing();
    let faults = site.layout.faults_for_smapd();
    if faults.iter().any(|fault| fault.fatal) {
        let lines: Vec<String> = faults.iter().filter(|fault| fault.fatal).map(ToString::to_string).collect();
        return Err(Refusal(lines.join("\n"), Exit::Config));
    }
    made.map_err(|(path, error)| Refusal(format!("{}: {error}", path.display()), Exit::Config))?;
    faults.iter().for_each(|fault| Event::Warning { text: fault }.log());
    if geteuid().is_root() && site.layout.accounts().are_one() {
        let text = "smap and smapd have one userid: smap could read and remove the mail in the spool";
        Event::Warning { text: &text }.log();
    }
    Ok(())
}
