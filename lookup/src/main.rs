//! smap-lookup: answers questions that need the network, or the users of this machine. Its own user, one thread, no
//! spool.
//!
//! Started by itself it listens at the socket of the table; started by smapd it has one as descriptor 0, answers
//! what is asked there, and ends with it.

mod answer;
mod callout;
mod dns;
mod judge;
mod server;
mod socket;
mod users;

use std::fmt::Display;
use std::io;
use std::path::{Path, PathBuf};
use std::pin::pin;
use std::process::ExitCode;
use std::sync::Arc;

use clap::Parser;
use futures_util::future::{Either, select};
use netperm::recipients::Source;
use netperm::site::Site;
use nix::sys::resource::{Resource, getrlimit, setrlimit};
use nix::sys::signal::{SigSet, Signal};
use nix::unistd::{daemon, geteuid};
use smap_common::account::Account;
use smap_common::confine::{self, Missing, SetId};
use smap_common::exit::{self, Exit, Refusal};
use smap_common::interfaces;
use smap_common::log::{self, Event, Target};

use crate::callout::CallOuts;
use crate::dns::Current;
use crate::server::{Server, Welcome};
use crate::socket::Unread;
use crate::users::Users;

/// Answers questions of smap and smapd that need the network: names, addresses, mail exchangers.
#[derive(Debug, Parser)]
#[command(version)]
struct Arguments {
    /// The netperm-table (/etc/smap/netperm-table, then /usr/local/etc/netperm-table)
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,
    /// Stay in the foreground and log to descriptor 2
    #[arg(long)]
    foreground: bool,
}

/// How it is asked.
enum Way {
    /// By whoever started it.
    Given(Unread),
    /// By everyone who may.
    Listening(Unread, Welcome),
}

fn main() -> ExitCode {
    confine::clear_environment();
    confine::close_inherited_descriptors();
    confine::own_umask(0o077);
    let arguments = match Arguments::try_parse() {
        Ok(arguments) => arguments,
        Err(error) => return exit::after_command_line(&error, error.use_stderr()),
    };
    let target = if arguments.foreground { Target::Stderr } else { Target::SyslogOrStderr };
    let to_stderr = log::init("smap-lookup", target);
    run(&arguments).unwrap_or_else(|refusal| refusal.complain("smap-lookup", to_stderr)).into()
}

/// The life of smap-lookup: read, listen, drop, confine, answer.
fn run(arguments: &Arguments) -> Result<Exit, Refusal> {
    let failed = |error: io::Error| Refusal(error.to_string(), Exit::TempFail);
    let table = netperm::load::find(arguments.config.as_deref());
    let site = load(&table)?;
    let given = Unread::standard_input();
    let account = account(&site, given.is_some())
        .ok_or_else(|| Refusal(format!("{}: no userid for smap-lookup", table.display()), Exit::Config))?;
    let way = match given {
        Some(socket) => {
            deaf_to_the_group().map_err(|errno| failed(errno.into()))?;
            Way::Given(socket)
        }
        None => listen(&site, account.as_ref(), arguments.foreground)?,
    };
    let missing = confine::become_account(account.as_ref(), SetId::Ignored).map_err(not_confined)?;
    let users = wants(&site, &Source::Passwd).then(users::start).transpose().map_err(failed)?;
    allow_many_descriptors().map_err(|errno| failed(errno.into()))?;
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().map_err(failed)?;
    let nameservers = site.lookup.nameservers().collect();
    let current = Current::read(nameservers).map_err(|error| failed(io::Error::other(error)))?;
    let current = Arc::new(current);
    let callouts = wants(&site, &Source::CallOut)
        .then(|| Arc::new(CallOuts::new(site.clone(), &interfaces::addresses(), Arc::clone(&current))));
    let confined = confine::confine_lookup(&site.lookup_ports(), missing).map_err(not_confined)?;
    for wall in confined.missing().iter().filter(|wall| is_missed(**wall, &way)) {
        Event::Warning { text: &format_args!("not to be had: {wall}") }.log();
    }
    runtime.block_on(live(current, callouts, users, way, &site)).map_err(failed)?;
    Ok(Exit::Ok)
}

/// The table, with the files that it names where next hosts are asked: they say where mail goes.
fn load(table: &Path) -> Result<Site, Refusal> {
    let refuse = |faults: netperm::Faults| Refusal(faults.to_string(), Exit::Config);
    let site = Site::load_alone(table).map_err(refuse)?;
    if !wants(&site, &Source::CallOut) {
        return Ok(site);
    }
    let site = Site::load(table).map_err(refuse)?;
    for fault in netperm::callout::faults(&site.smap.recipients, &site.smapd, &site.hostname) {
        Event::Error { text: &fault }.log();
    }
    Ok(site)
}

/// Whether a line has recipients looked for there.
fn wants(site: &Site, source: &Source) -> bool {
    site.smap.recipients.iter().any(|line| line.sources.contains(source))
}

/// Answers as long as its helper lives, if it has one.
async fn live(
    current: Arc<Current>,
    callouts: Option<Arc<CallOuts>>,
    users: Option<Unread>,
    way: Way,
    site: &Site,
) -> io::Result<()> {
    let users = users.map(Unread::attend).transpose()?.map(|link| Arc::new(Users::new(link)));
    let server = Arc::new(Server { current, callouts, users: users.clone() });
    let answering = answer(server, way, site);
    match users {
        None => answering.await,
        Some(users) => match select(pin!(answering), pin!(users.listen())).await {
            Either::Left((outcome, _)) => outcome,
            Either::Right((error, _)) => Err(error),
        },
    }
}

async fn answer(server: Arc<Server>, way: Way, site: &Site) -> io::Result<()> {
    match way {
        Way::Given(socket) => server.serve(socket).await,
        Way::Listening(listener, welcome) => {
            let listener = listener.attend()?;
            Event::Said { text: &format!("started; the socket is {}", site.lookup.socket.display()) }.log();
            server.listen(listener, welcome).await;
            Ok(())
        }
    }
}

/// The user to become, if any; `None` where root has been told none. Whoever is started by smapd and has no user of
/// its own in the table has smapd's: it is walled off from smapd all the same.
fn account(site: &Site, is_given: bool) -> Option<Option<Account>> {
    let is_root = geteuid().is_root();
    let account = match (&site.lookup_account, is_given) {
        (_, true) if !is_root => None,
        (None, true) => site.smapd_account.clone(),
        (account, _) => account.clone(),
    };
    let with_group = account.map(|mut account| {
        account.groups.push(site.layout.accounts().smap_gid);
        account
    });
    (with_group.is_some() || !is_root).then_some(with_group)
}

/// Listens where the table says, for smap, smapd and root.
fn listen(site: &Site, account: Option<&Account>, in_foreground: bool) -> Result<Way, Refusal> {
    let (path, accounts) = (&site.lookup.socket, site.layout.accounts());
    let owner = account.filter(|_| geteuid().is_root()).map(|account| account.uid);
    let socket = Unread::listen(path, owner, accounts.smap_gid).map_err(|error| {
        let exit = match error.kind() {
            io::ErrorKind::AddrInUse => Exit::TempFail,
            io::ErrorKind::PermissionDenied => Exit::NoPerm,
            _ => Exit::Config,
        };
        Refusal(format!("{}: {error}", path.display()), exit)
    })?;
    if !in_foreground {
        daemon(false, false).map_err(|errno| Refusal(format!("daemon: {errno}"), Exit::TempFail))?;
    }
    Ok(Way::Listening(socket, Welcome::new([accounts.smap_uid, accounts.smapd_uid, 0])))
}

/// It ends with smapd, which may have something to ask after a signal to all of its group.
fn deaf_to_the_group() -> nix::Result<()> {
    let signals: SigSet = [Signal::SIGTERM, Signal::SIGINT, Signal::SIGHUP].into_iter().collect();
    signals.thread_block()
}

/// Every question has a socket of its own, or several.
fn allow_many_descriptors() -> nix::Result<()> {
    let (_, most) = getrlimit(Resource::RLIMIT_NOFILE)?;
    setrlimit(Resource::RLIMIT_NOFILE, most.min(8192), most.min(8192))
}

/// Whoever smapd starts without being root has the user that smapd has.
fn is_missed(wall: Missing, way: &Way) -> bool {
    match (wall, way) {
        (Missing::OwnUser | Missing::BoundingSet, Way::Given(_)) => false,
        (_, Way::Given(_) | Way::Listening(..)) => true,
    }
}

fn not_confined(error: impl Display) -> Refusal {
    Refusal(error.to_string(), Exit::NoPerm)
}
