//! What the table says to `smap`.

use std::num::NonZeroU32;
use std::path::PathBuf;
use std::time::Duration;

use smap_common::address::Domain;

use super::values::{HOUR, at_most, count, duration, folder, size, some_domain};
use super::{Account, DEFAULT_SPOOL, FilePath, Listen, Outage};
use crate::access::Access;
use crate::aliases::Aliases;
use crate::detail::Delimiter;
use crate::domains::DomainLine;
use crate::hosts::Rule;
use crate::mailertable::Mailertable;
use crate::names::Names;
use crate::place::{Located, Place};
use crate::recipients::Line;
use crate::virtusertable::Virtusertable;

/// What the table says to `smap`.
#[derive(Debug, Clone, PartialEq, serde::Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields, default)]
pub struct Smap {
    /// The user to become; needed when started as root.
    pub userid: Option<Located<Account>>,
    /// The group to become; without it, that of the user.
    pub groupid: Option<Located<Account>>,
    /// The spool.
    #[serde(deserialize_with = "folder")]
    pub directory: PathBuf,
    /// Our name in greeting and log; without it, the system's own.
    #[serde(deserialize_with = "some_domain")]
    pub hostname: Option<Domain>,
    /// The domains that this gateway answers for; mail for them is accepted from anyone.
    pub domain: Vec<Located<DomainLine>>,
    /// Further names of ours, in a file of sendmail's; mail for them is accepted from anyone.
    pub local_host_names: Option<Located<Names>>,
    /// Where smapd sends mail for other domains; with this smap accepts mail for the domains that it names.
    pub mailertable: Option<Located<Mailertable>>,
    /// Who may connect, send and relay, in a file of sendmail's.
    pub access: Option<Located<Access>>,
    /// The domains that everyone may send to through us, and the clients that may send to any domain, in a file of
    /// sendmail's.
    pub relay_domains: Option<Located<Names>>,
    /// How long a client may be silent.
    #[serde(deserialize_with = "duration")]
    pub timeout: Duration,
    /// How long a session may last.
    #[serde(deserialize_with = "duration")]
    pub session_timeout: Duration,
    /// Largest message, in bytes; announced in SIZE.
    #[serde(deserialize_with = "size")]
    pub maxbytes: u64,
    /// Most recipients of one message.
    #[serde(deserialize_with = "count")]
    pub maxrecip: NonZeroU32,
    /// Most messages in one session.
    #[serde(deserialize_with = "count")]
    pub maxmessages: NonZeroU32,
    /// Most errors of the client in one session.
    #[serde(deserialize_with = "count")]
    pub maxerrors: NonZeroU32,
    /// `permit-hosts`, `deny-hosts`: who may connect at all. None: everyone.
    pub hosts: Vec<Located<Rule>>,
    /// `permit-relay`, `deny-relay`: who may send to any domain. None: nobody.
    pub relay: Vec<Located<Rule>>,
    /// Where `--listen` listens when the command line does not say.
    pub listen: Vec<Located<Listen>>,
    /// Most sessions at a time, for `--listen`.
    #[serde(deserialize_with = "count")]
    pub max_sessions: NonZeroU32,
    /// Most sessions at a time of one address, for `--listen`.
    #[serde(deserialize_with = "count")]
    pub max_sessions_per_host: NonZeroU32,
    /// Who somebody in a domain is, in a file of sendmail's.
    pub virtusertable: Option<Located<Virtusertable>>,
    /// Whom names at home stand for, in files of sendmail's.
    pub aliases: Option<Located<Aliases>>,
    /// The folder of the programs that aliases may run.
    pub safe_programs: Option<Located<FilePath>>,
    /// The folder of the files that aliases may write.
    pub safe_files: Option<Located<FilePath>>,
    /// Where it is known who exists in which domain; everybody does in the others.
    pub recipients: Vec<Located<Line>>,
    /// What stands between a user and his detail.
    pub recipient_delimiter: Delimiter,
    /// What becomes of a recipient while the next host cannot be asked for him.
    pub callout_outage: Outage,
    /// Another netperm-table: the log says where its answers would have been others.
    pub shadow: Option<Located<FilePath>>,
}

impl Default for Smap {
    fn default() -> Self {
        Self {
            userid: None,
            groupid: None,
            directory: PathBuf::from(DEFAULT_SPOOL),
            hostname: None,
            domain: Vec::new(),
            local_host_names: None,
            mailertable: None,
            access: None,
            relay_domains: None,
            timeout: Duration::from_secs(300),
            session_timeout: Duration::from_secs(HOUR),
            maxbytes: 15_728_640,
            maxrecip: at_most(100),
            maxmessages: at_most(1000),
            maxerrors: at_most(20),
            hosts: Vec::new(),
            relay: Vec::new(),
            listen: Vec::new(),
            max_sessions: at_most(500),
            max_sessions_per_host: at_most(20),
            virtusertable: None,
            aliases: None,
            safe_programs: None,
            safe_files: None,
            recipients: Vec::new(),
            recipient_delimiter: Delimiter::default(),
            callout_outage: Outage::default(),
            shadow: None,
        }
    }
}

impl Smap {
    /// What only the name of the client can decide: the line, and what in it does.
    pub fn needs_lookup(&self) -> impl Iterator<Item = (&Place, String)> {
        let rules = self.hosts.iter().chain(&self.relay).filter_map(|rule| {
            let pattern = rule.patterns.iter().find(|pattern| pattern.needs_name())?;
            Some((&rule.place, format!("the pattern \"{pattern}\"")))
        });
        let by_name = |access: &&Located<Access>| access.connect_needs_name() || access.relay_needs_name();
        let access = self.access.iter().filter(by_name).map(|access| (&access.place, access.file()));
        let domains = self.relay_domains.iter().filter(|names| names.has_domains());
        let files = access.chain(domains.map(|names| (&names.place, names.file())));
        let files = files.map(|(place, file)| (place, format!("a row of {}", file.display())));
        let asked = self.recipients.iter().filter(|line| line.asks());
        rules.chain(files).chain(asked.map(|line| (&line.place, format!("recipients {}", line.value))))
    }
}
