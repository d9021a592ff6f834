//! What each program may be told: one struct a program, one field an attribute, with its safe default.
//!
//! The doc comment of a field is the meaning of the attribute, with its unit.

use std::fmt;
use std::num::NonZeroU32;
use std::path::PathBuf;
use std::time::Duration;

use serde::de::{Deserialize, Deserializer, Error as _, IgnoredAny};
use smap_common::address::{Address, Domain};

use crate::access::Access;
use crate::aliases::Aliases;
use crate::detail::Delimiter;
use crate::domains::DomainLine;
use crate::hosts::Rule;
use crate::mailertable::Mailertable;
use crate::names::Names;
use crate::paths;
use crate::place::{Located, Place};
use crate::recipients::Line;
use crate::table::{Words, parsed, word};
use crate::transport::Transport;
use crate::units;
use crate::virtusertable::Virtusertable;

mod addresses;
mod listen;
mod lookup;
mod masquerade;
mod outage;

pub use self::addresses::Addresses;
pub use self::listen::{Listen, ListenError};
pub use self::lookup::{DNS_PORT, Lookup, Nameservers};
pub use self::masquerade::{Face, Patterns, Said, Users};
pub use self::outage::Outage;

/// Where the spool is when no `directory` says otherwise.
pub const DEFAULT_SPOOL: &str = "/var/spool/smap";

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

/// What the table says to `smapd`.
#[derive(Debug, Clone, PartialEq, serde::Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields, default)]
pub struct Smapd {
    /// The user to become; needed when started as root.
    pub userid: Option<Located<Account>>,
    /// The group to become; without it, that of the user.
    pub groupid: Option<Located<Account>>,
    /// The spool.
    #[serde(deserialize_with = "folder")]
    pub directory: PathBuf,
    /// Our name in EHLO, `Received:` and notifications; without it, the system's own.
    #[serde(deserialize_with = "some_domain")]
    pub hostname: Option<Domain>,
    /// The domains that this gateway answers for, and where their mail goes.
    pub domain: Vec<Located<DomainLine>>,
    /// Further names of ours, in a file of sendmail's; their mail goes where that for our own name goes.
    pub local_host_names: Option<Located<Names>>,
    /// Where mail for other domains goes, in a file of sendmail's.
    pub mailertable: Option<Located<Mailertable>>,
    /// Where mail for every other domain goes; without it, to its mail exchangers.
    pub relay_host: Option<Located<Transport>>,
    /// The program of the transport `sendmail`; when no other transport is named, all mail goes to it.
    pub sendmail: Option<Located<FilePath>>,
    /// The toolkit's own; ignored.
    pub(crate) executable: Ignored,
    /// Where what can't be delivered or parsed goes; without it, `bad` in the spool.
    #[serde(deserialize_with = "some_folder")]
    pub baddir: Option<PathBuf>,
    /// Who is told of what went there.
    pub badadmin: Option<Address>,
    /// How long to sleep between two scans of the spool.
    #[serde(deserialize_with = "duration")]
    pub wakeup: Duration,
    /// Most programs running at a time.
    #[serde(deserialize_with = "count")]
    pub maxchildren: NonZeroU32,
    /// When to try again.
    pub retry: Retry,
    /// When to give up.
    #[serde(deserialize_with = "duration")]
    pub expire: Duration,
    /// When to tell the sender that there is a delay.
    #[serde(deserialize_with = "duration")]
    pub warn: Duration,
    /// The authorities whose certificates prove who a next host is; without it, those of the system.
    pub cacert: Option<Located<FilePath>>,
    /// Our certificate for next hosts that ask for one, and those between it and its authority.
    pub client_cert: Option<Located<FilePath>>,
    /// Its private key.
    pub client_key: Option<Located<FilePath>>,
    /// Most connections to other hosts at a time.
    #[serde(deserialize_with = "count")]
    pub max_connections: NonZeroU32,
    /// Most connections to one destination at a time.
    #[serde(deserialize_with = "count")]
    pub max_connections_per_destination: NonZeroU32,
    /// Addresses that lead to us, beside those of this machine.
    pub our_address: Vec<Located<Addresses>>,
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
    /// The domain that senders inside are seen with.
    pub masquerade_as: Option<Located<Face>>,
    /// Whose domain it takes the place of, beside our own names.
    pub masquerade_domain: Vec<Located<Patterns>>,
    /// Local parts whose domain stays.
    pub exposed_user: Vec<Located<Users>>,
    /// The sender of the envelope is masqueraded too.
    pub masquerade_envelope: Option<Said>,
    /// Recipients in the header are masqueraded too.
    pub masquerade_recipients: Option<Said>,
    /// Our own names are not masqueraded, unless `masquerade-domain` has them.
    pub masquerade_limited: Option<Said>,
    /// The domain of addresses in the header that have none.
    pub always_add_domain: Option<Located<Face>>,
}

const MINUTE: u64 = 60;
const HOUR: u64 = 60 * MINUTE;
const DAY: u64 = 24 * HOUR;

/// A default that must not be zero.
const fn at_most(limit: u32) -> NonZeroU32 {
    match NonZeroU32::new(limit) {
        Some(limit) => limit,
        None => NonZeroU32::MIN,
    }
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

impl Default for Smapd {
    fn default() -> Self {
        Self {
            userid: None,
            groupid: None,
            directory: PathBuf::from(DEFAULT_SPOOL),
            hostname: None,
            domain: Vec::new(),
            local_host_names: None,
            mailertable: None,
            relay_host: None,
            sendmail: None,
            executable: Ignored,
            baddir: None,
            badadmin: None,
            wakeup: Duration::from_secs(60),
            maxchildren: at_most(6),
            retry: Retry::default(),
            expire: Duration::from_secs(5 * DAY),
            warn: Duration::from_secs(4 * HOUR),
            cacert: None,
            client_cert: None,
            client_key: None,
            max_connections: at_most(200),
            max_connections_per_destination: at_most(20),
            our_address: Vec::new(),
            virtusertable: None,
            aliases: None,
            safe_programs: None,
            safe_files: None,
            recipients: Vec::new(),
            recipient_delimiter: Delimiter::default(),
            masquerade_as: None,
            masquerade_domain: Vec::new(),
            exposed_user: Vec::new(),
            masquerade_envelope: None,
            masquerade_recipients: None,
            masquerade_limited: None,
            always_add_domain: None,
        }
    }
}

impl Smapd {
    /// Where what can't be delivered or parsed goes.
    #[must_use]
    pub fn bad_directory(&self) -> PathBuf {
        self.baddir.clone().unwrap_or_else(|| self.directory.join("bad"))
    }

    /// Every transport that the table itself names, and where it names it.
    pub fn transports(&self) -> impl Iterator<Item = (&Place, &Transport)> {
        let lines = self.domain.iter().map(|line| (&line.place, &line.transport));
        lines.chain(self.relay_host.iter().map(|relay| (&relay.place, &relay.value)))
    }

    /// The TCP ports that transports name.
    pub fn ports(&self) -> impl Iterator<Item = u16> {
        let of_mailertable = self.mailertable.iter().flat_map(|mailertable| mailertable.ports());
        self.transports().flat_map(|(_, transport)| transport.ports()).chain(of_mailertable)
    }
}

/// A user or a group, by number or by a name that is not resolved here.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Account {
    /// A number.
    Id(u32),
    /// A name.
    Name(String),
}

impl Account {
    fn read(text: &str) -> Result<Self, String> {
        let of_name = |c: char| c.is_ascii_alphanumeric() || matches!(c, '_' | '-' | '.');
        if !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit()) {
            // The largest number means "leave as it is" to setresuid(2).
            let id = text.parse().ok().filter(|id| *id != u32::MAX);
            return id.map(Self::Id).ok_or_else(|| format!("\"{text}\" is too large"));
        }
        if text.starts_with(|c: char| c.is_ascii_alphabetic() || c == '_') && text.chars().all(of_name) {
            return Ok(Self::Name(text.to_owned()));
        }
        Err(format!("\"{text}\" is neither a number nor a name"))
    }
}

impl<'de> Deserialize<'de> for Account {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        word(deserializer, Self::read)
    }
}

impl fmt::Display for Account {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Id(id) => id.fmt(f),
            Self::Name(name) => name.fmt(f),
        }
    }
}

/// The absolute path of a file, of a program or of what one reads.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FilePath(pub PathBuf);

impl<'de> Deserialize<'de> for FilePath {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        word(deserializer, |text| paths::file(text).map(Self).map_err(|fault| named(text, fault)))
    }
}

/// An attribute that says nothing any more, whatever its arguments.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Ignored;

impl<'de> Deserialize<'de> for Ignored {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        IgnoredAny::deserialize(deserializer).map(|_| Self)
    }
}

/// How long to wait before each further try; the last one repeats. Never empty.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Retry(Vec<Duration>);

impl Default for Retry {
    fn default() -> Self {
        Self([5, 10, 20, 40, 60, 120, 240].map(|minutes| Duration::from_secs(minutes * MINUTE)).to_vec())
    }
}

impl Retry {
    /// The wait after that many failed tries, of which there has been at least one.
    #[must_use]
    pub fn after(&self, tries: u32) -> Duration {
        let index = usize::try_from(tries.saturating_sub(1)).unwrap_or(usize::MAX);
        self.0.get(index).or(self.0.last()).copied().unwrap_or(Duration::from_secs(HOUR))
    }

    /// Each of them.
    pub fn iter(&self) -> impl Iterator<Item = Duration> {
        self.0.iter().copied()
    }
}

impl<'de> Deserialize<'de> for Retry {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let Words(words) = Words::deserialize(deserializer)?;
        if words.is_empty() {
            return Err(D::Error::custom("a duration is missing"));
        }
        let read =
            |word: &String| units::duration(word).map_err(|fault| D::Error::custom(named(word, fault)));
        words.iter().map(read).collect::<Result<_, _>>().map(Self)
    }
}

/// A word and what is wrong with it, as one sentence.
fn named(word: &str, fault: impl fmt::Display) -> String {
    format!("\"{word}\" {fault}")
}

fn duration<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Duration, D::Error> {
    word(deserializer, |text| units::duration(text).map_err(|fault| named(text, fault)))
}

fn size<'de, D: Deserializer<'de>>(deserializer: D) -> Result<u64, D::Error> {
    word(deserializer, |text| units::size(text).map_err(|fault| named(text, fault)))
}

fn count<'de, D: Deserializer<'de>>(deserializer: D) -> Result<NonZeroU32, D::Error> {
    word(deserializer, |text| units::count(text).map_err(|fault| named(text, fault)))
}

fn folder<'de, D: Deserializer<'de>>(deserializer: D) -> Result<PathBuf, D::Error> {
    word(deserializer, |text| paths::absolute(text).map_err(|fault| named(text, fault)))
}

fn some_folder<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<PathBuf>, D::Error> {
    folder(deserializer).map(Some)
}

fn some_domain<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<Domain>, D::Error> {
    word(deserializer, parsed).map(Some)
}
