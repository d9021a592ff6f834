//! smap: receives mail. One process, one session, no privilege.

use std::ffi::OsString;
use std::io::{stdin, stdout};
use std::net::SocketAddr;
use std::os::fd::AsFd;
use std::path::PathBuf;
use std::process::ExitCode;

use dlmalloc::GlobalDlmalloc;
use lexopt::prelude::*;
use netperm::schema::Listen;
use smap::startup::{Prepared, close_standard_input_and_output};
use smap::{listen, one, replies};
use smap_common::confine;
use smap_common::exit::{Exit, Refusal};
use smap_common::log::{self, Event, Target};

/// Sessions are forked, and share each page that they do not write: what they allocate must lie together, not in the
/// holes that reading the table has left.
#[global_allocator]
static ALLOCATOR: GlobalDlmalloc = GlobalDlmalloc;

const HELP: &str = "\
smap receives mail: one session on descriptors 0 and 1, or its own listener.

Usage: smap [--config FILE]
       smap [--config FILE] --listen [ADDR:PORT]...

  --config FILE       the netperm-table
                      (/etc/smap/netperm-table, then /usr/local/etc/netperm-table)
  --listen ADDR:PORT  listen there; more than once for more addresses;
                      without ADDR:PORT, where the table says
  --foreground        log to descriptor 2; only with --listen
  --help, --version   say this, or that
";

fn main() -> ExitCode {
    confine::clear_environment();
    confine::close_inherited_descriptors();
    confine::own_umask(0);
    let arguments = match Arguments::parse(std::env::args_os().skip(1)) {
        Ok(Parsed::Run(arguments)) => arguments,
        Ok(Parsed::Say(text)) => return say(&text, Exit::Ok),
        Err(error) => return misused(&error),
    };
    log_panics();
    let exit = match arguments.listen {
        Some(_) => listener(&arguments),
        None => inetd_session(&arguments),
    };
    exit.into()
}

/// A wrong command line. In a super-server's configuration the client would read what is printed: it reads that
/// the system is not configured, and the log has the mistake.
fn misused(error: &lexopt::Error) -> ExitCode {
    if one::is_socket(stdin().as_fd()) {
        log::init("smap", Target::Syslog);
        Event::Error { text: error }.log();
        not_configured(Exit::Usage).into()
    } else {
        Refusal(format!("{error} (smap --help says how)"), Exit::Usage).complain("smap", false).into()
    }
}

/// Descriptor 2 may be the client: from here on nothing is written to it but by `--listen`.
fn inetd_session(arguments: &Arguments) -> Exit {
    log::init("smap", Target::Syslog);
    let (input, output) = (stdin(), stdout());
    match Prepared::load(&arguments.table()) {
        Ok(prepared) => one::session(&prepared, input.as_fd(), output.as_fd(), one::peer(input.as_fd())),
        Err(faults) => {
            faults.lines().for_each(|line| Event::Error { text: line }.log());
            not_configured(Exit::Config)
        }
    }
}

fn not_configured(exit: Exit) -> Exit {
    let reply = replies::misconfigured(&netperm::site::system_name().to_string());
    // The log has the reasons; a client that is gone needs no reply.
    let _unheard = nix::unistd::write(stdout().as_fd(), reply.to_wire(true).as_bytes());
    exit
}

fn listener(arguments: &Arguments) -> Exit {
    let to_stderr =
        log::init("smap", if arguments.foreground { Target::Stderr } else { Target::SyslogOrStderr });
    listener_life(arguments).unwrap_or_else(|refusal| refusal.complain("smap", to_stderr))
}

fn listener_life(arguments: &Arguments) -> Result<Exit, Refusal> {
    let table = arguments.table();
    let prepared =
        Prepared::load_for_children(&table).map_err(|faults| Refusal(faults.to_string(), Exit::Config))?;
    let prepared = Box::new(prepared);
    let addresses = arguments.addresses(&prepared);
    if addresses.is_empty() {
        let what = "no address to listen on: --listen ADDR:PORT, or a listen line in the table";
        return Err(Refusal(what.to_owned(), Exit::Usage));
    }
    close_standard_input_and_output()
        .map_err(|error| Refusal(format!("/dev/null: {error}"), Exit::TempFail))?;
    listen::run(&table, prepared, &addresses).map_err(|error| Refusal(error.to_string(), Exit::TempFail))
}

#[derive(Debug, Default)]
struct Arguments {
    config: Option<PathBuf>,
    listen: Option<Vec<SocketAddr>>,
    foreground: bool,
}

enum Parsed {
    Run(Arguments),
    Say(String),
}

impl Arguments {
    fn parse(arguments: impl Iterator<Item = OsString>) -> Result<Parsed, lexopt::Error> {
        let mut parsed = Self::default();
        let mut parser = lexopt::Parser::from_args(arguments);
        while let Some(argument) = parser.next()? {
            match argument {
                Long("config") => parsed.config = Some(parser.value()?.into()),
                Long("listen") => parsed.listen.get_or_insert_default().extend(address(&mut parser)?),
                Long("foreground") => parsed.foreground = true,
                Long("help") => return Ok(Parsed::Say(HELP.to_owned())),
                Long("version") => return Ok(Parsed::Say(format!("smap {}\n", env!("CARGO_PKG_VERSION")))),
                Short(_) | Long(_) | Value(_) => return Err(argument.unexpected()),
            }
        }
        Ok(Parsed::Run(parsed))
    }

    fn table(&self) -> PathBuf {
        netperm::load::find(self.config.as_deref())
    }

    fn addresses(&self, prepared: &Prepared) -> Vec<SocketAddr> {
        match &self.listen {
            Some(named) if !named.is_empty() => named.clone(),
            _ => prepared.site.smap.listen.iter().map(|listen| listen.address).collect(),
        }
    }
}

/// The address after `--listen`, if what follows is one.
fn address(parser: &mut lexopt::Parser) -> Result<Option<SocketAddr>, lexopt::Error> {
    let attached = parser.optional_value();
    let follows =
        parser.try_raw_args().and_then(|raw| raw.peek().map(|next| !next.to_string_lossy().starts_with('-')));
    let value = match attached {
        Some(value) => value,
        None if follows == Some(true) => parser.value()?,
        None => return Ok(None),
    };
    let listen: Listen = value.parse()?;
    Ok(Some(listen.address))
}

/// A panic is a fault of ours: it goes to the log, never to descriptor 2, and the process ends.
fn log_panics() {
    std::panic::set_hook(Box::new(|panic| Event::Error { text: panic }.log()));
}

#[expect(clippy::print_stdout, reason = "asked for on a command line")]
fn say(text: &str, exit: Exit) -> ExitCode {
    print!("{text}");
    exit.into()
}
