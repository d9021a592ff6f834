//! What the table says to `smapd`.

use std::num::NonZeroU32;
use std::path::PathBuf;
use std::time::Duration;

use smap_common::address::{Address, Domain};

use super::retry::Retry;
use super::values::{DAY, HOUR, Ignored, at_most, count, duration, folder, some_domain, some_folder};
use super::{Account, Addresses, DEFAULT_SPOOL, Face, FilePath, Patterns, Said, Users};
use crate::aliases::Aliases;
use crate::detail::Delimiter;
use crate::domains::DomainLine;
use crate::mailertable::Mailertable;
use crate::names::Names;
use crate::place::{Located, Place};
use crate::recipients::Line;
use crate::transport::Transport;
use crate::virtusertable::Virtusertable;

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
