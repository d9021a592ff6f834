//! From the table to the moment before confinement: everything that a session needs, read, resolved and opened.

use std::fmt;
use std::fs::File;
use std::net::SocketAddr;
use std::os::fd::AsFd;
use std::path::Path;
use std::time::Duration;

use netperm::Faults;
use netperm::hosts::{Client, ClientName};
use netperm::policy::{self, Facts};
use netperm::site::Site;
use nix::fcntl::{OFlag, open};
use nix::sys::stat::Mode;
use nix::unistd::geteuid;
use smap_common::confine::{ConfineError, Confined, Filter, Plan, Template, as_account, calls, confine};
use smap_common::envelope::MAX_ENVELOPE;
use smap_common::log::Event;
use smap_common::spool::Incoming;

use crate::lookup::Asker;
use crate::session::Limits;

/// How long smap-lookup may take to take a session's connection.
const FOR_A_SESSION: Duration = Duration::from_secs(5);
/// The same while nobody else is served meanwhile.
const FOR_A_GLANCE: Duration = Duration::from_millis(100);

/// What sessions are begun with.
#[derive(Debug)]
pub struct Prepared {
    /// The table and what it means on this machine.
    pub site: Site,
    /// `incoming/`, opened.
    pub incoming: Incoming,
    /// The system calls of a session.
    filter: Filter,
}

/// Why no session can begin: each line names a file and what is wrong with it.
#[derive(Debug)]
pub struct NotReady(Vec<String>);

impl fmt::Display for NotReady {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0.join("\n"))
    }
}

impl NotReady {
    /// One line each.
    pub fn lines(&self) -> impl Iterator<Item = &String> {
        self.0.iter()
    }
}

impl Prepared {
    /// Reads the table and opens the spool.
    ///
    /// # Errors
    /// All that is wrong with the table, or with the spool.
    pub fn load(table: &Path) -> Result<Self, NotReady> {
        Self::of(table, Site::load(table))
    }

    /// The same for a process of one thread that forks its sessions.
    ///
    /// # Errors
    /// As of [`Self::load`].
    pub fn load_for_children(table: &Path) -> Result<Self, NotReady> {
        Self::of(table, Site::load_for_children(table))
    }

    fn of(table: &Path, site: Result<Site, Faults>) -> Result<Self, NotReady> {
        let lines = |text: String| NotReady(text.lines().map(str::to_owned).collect());
        let site = site.map_err(|faults| lines(faults.to_string()))?.with_shadow();
        site.warnings.iter().for_each(|text| Event::Warning { text }.log());
        if geteuid().is_root() && site.smap_account.is_none() {
            return Err(lines(format!("{}: smap is started as root and has no userid", table.display())));
        }
        let faults: Vec<String> = site
            .layout
            .faults_for_smap()
            .into_iter()
            .filter(|fault| fault.fatal)
            .map(|fault| fault.to_string())
            .collect();
        if !faults.is_empty() {
            return Err(NotReady(faults));
        }
        if let Some(Err(faults)) = &site.shadow {
            faults.to_string().lines().for_each(|line| {
                Event::Warning { text: &format_args!("shadow is not used: {line}") }.log();
            });
        }
        let path = site.layout.incoming();
        // Without a right to list it smap's own user cannot open the folder for reading, and need not.
        let flags = OFlag::O_PATH | OFlag::O_DIRECTORY | OFlag::O_NOFOLLOW | OFlag::O_CLOEXEC;
        let incoming = open(&path, flags, Mode::empty())
            .map_err(|errno| lines(format!("{}: {}", path.display(), errno.desc())))?;
        let filter = Filter::of(calls::SESSION).map_err(|error| lines(error.to_string()))?;
        Ok(Self { site, incoming: Incoming::new(incoming), filter })
    }

    /// What the table allows a session.
    #[must_use]
    pub fn limits(&self) -> Limits {
        let smap = &self.site.smap;
        Limits {
            max_octets: smap.maxbytes,
            max_recipients: smap.maxrecip.get(),
            max_messages: smap.maxmessages.get(),
            max_errors: smap.maxerrors.get(),
        }
    }

    /// Whom the name of this client can be asked of, where a rule may need it, and whether recipients exist; what an
    /// address decides needs nobody. Where it is not needed to connect and there is nobody to ask, the session goes on
    /// without: not all mail depends on it.
    ///
    /// # Errors
    /// There is nobody to ask whether the client may connect: the rule, and why.
    pub fn asker_for(&self, client: Option<SocketAddr>) -> Result<Option<Asker>, String> {
        let client = without_name(client);
        let rule = policy::may_need_name(&self.site.smap, &client).map(|rule| rule.to_string());
        let line = || self.site.smap.asks_of_recipients().map(|line| line.place.to_string());
        let Some(rule) = rule.or_else(line) else { return Ok(None) };
        let asker = self.asker(FOR_A_SESSION).map(Some).map_err(|why| format!("{rule}: {why}"));
        match asker {
            Err(why) if policy::connect(&self.site.smap, &Facts::of(&without(&client))).is_permit() => {
                Event::Warning { text: &why }.log();
                Ok(None)
            }
            asker => asker,
        }
    }

    /// Whether a session of this client may need somebody to ask.
    #[must_use]
    pub fn may_ask(&self, client: SocketAddr) -> bool {
        self.may_need_name(client) || self.site.smap.asks_of_recipients().is_some()
    }

    /// Whether a rule may need the name of this client.
    #[must_use]
    pub fn may_need_name(&self, client: SocketAddr) -> bool {
        policy::may_need_name(&self.site.smap, &without_name(Some(client))).is_some()
    }

    /// Whether this client may connect, as far as its address decides it.
    #[must_use]
    pub fn permits(&self, client: SocketAddr) -> bool {
        policy::connect(&self.site.smap, &Facts::of(&without_name(Some(client)))).is_permit()
    }

    /// Why nothing can be looked up, where there is a rule that may need it: the rule, and why.
    #[must_use]
    pub fn why_no_answers(&self) -> Option<String> {
        let (place, what) = self.site.smap.needs_lookup().next()?;
        let why = self.asker(FOR_A_GLANCE).err()?;
        Some(format!("{place}: {what} needs smap-lookup: {why}"))
    }

    /// As the user of the session: it is who smap-lookup lets ask.
    fn asker(&self, patience: Duration) -> Result<Asker, String> {
        let path = &self.site.lookup.socket;
        let connected = as_account(self.site.smap_account.as_ref(), || Asker::connect(path, patience));
        let connected = connected.map_err(|error| error.to_string())?;
        connected.map_err(|error| format!("smap-lookup cannot be asked at {}: {error}", path.display()))
    }

    /// Confines this process for one session.
    ///
    /// # Errors
    /// A wall that must be there is not.
    pub fn confine(&self) -> Result<Confined, ConfineError> {
        confine(&self.plan())
    }

    /// Confines this process for the sessions that it will make.
    ///
    /// # Errors
    /// As of [`Self::confine`].
    pub(crate) fn confine_template(&self) -> Result<Template, ConfineError> {
        Template::confine(&self.plan())
    }

    fn plan(&self) -> Plan<'_> {
        let envelope = u64::try_from(MAX_ENVELOPE).unwrap_or(u64::MAX);
        Plan {
            account: self.site.smap_account.as_ref(),
            root: self.site.layout.root(),
            incoming: self.incoming.as_fd(),
            max_file: self.site.smap.maxbytes.saturating_add(envelope),
            filter: &self.filter,
        }
    }
}

/// As the client is where nobody can be asked.
fn without(client: &Client) -> Client {
    Client { name: ClientName::Failed("there is nobody to ask".to_owned()), ..client.clone() }
}

fn without_name(client: Option<SocketAddr>) -> Client {
    Client { address: client.map(|client| client.ip()), name: ClientName::NotAsked }
}

/// Descriptors 0 and 1 of a program that serves no client on them.
///
/// # Errors
/// There is no `/dev/null`, or no room for it.
pub fn close_standard_input_and_output() -> std::io::Result<()> {
    let null = File::options().read(true).write(true).open("/dev/null")?;
    nix::unistd::dup2_stdin(null.as_fd())?;
    nix::unistd::dup2_stdout(null.as_fd())?;
    Ok(())
}
