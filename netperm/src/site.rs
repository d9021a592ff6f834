//! The table applied to this machine: users resolved to numbers, our name found, the spool's folders named.
//!
//! What smap, smapd and smapctl all begin with.

use std::path::Path;

use smap_common::account::{Account, UnknownAccount};
use smap_common::address::Domain;
use smap_common::spool::{Accounts, Layout};

use crate::fault::{Fault, Faults, Note};
use crate::place::Place;
use crate::schema::{self, Smap, Smapd};
use crate::table::Table;

/// What the programs need to know before they begin.
#[derive(Debug, Clone)]
pub struct Site {
    /// What the table says to smap.
    pub smap: Smap,
    /// What the table says to smapd.
    pub smapd: Smapd,
    /// Our name.
    pub hostname: Domain,
    /// smap's user; `None` where the table names none.
    pub smap_account: Option<Account>,
    /// smapd's user; `None` where the table names none.
    pub smapd_account: Option<Account>,
    /// The spool.
    pub layout: Layout,
    /// What the operator should know of the table.
    pub notes: Vec<Note>,
}

impl Site {
    /// Reads the table and looks up what it names.
    ///
    /// # Errors
    /// Everything that is wrong with the table, or a user that does not exist.
    pub fn load(file: &Path) -> Result<Self, Faults> {
        let table = Table::load(file)?;
        let whole = Place::whole(file);
        let (smap, mut notes) = table.smap()?;
        let (smapd, more) = table.smapd()?;
        notes.extend(more.into_iter().filter(|note| !notes.contains(note)).collect::<Vec<_>>());
        let fault = |unknown: UnknownAccount| Faults::from(Fault::new(&whole, unknown.to_string()));
        let smap_account = resolve(smap.userid.as_ref(), smap.groupid.as_ref()).map_err(&fault)?;
        let smapd_account = resolve(smapd.userid.as_ref(), smapd.groupid.as_ref()).map_err(&fault)?;
        for (program, account) in [("smap", &smap_account), ("smapd", &smapd_account)] {
            if account.as_ref().is_some_and(|account| account.uid == 0) {
                let what = format!("{program} never runs as root: give it a userid of its own");
                return Err(Fault::new(&whole, what).into());
            }
        }
        if smap.directory != smapd.directory {
            let what = format!(
                "smap and smapd have different spools: directory {} and {}",
                smap.directory.display(),
                smapd.directory.display()
            );
            return Err(Fault::new(&whole, what).into());
        }
        let current = Account::current();
        let layout = Layout::new(
            &smap.directory,
            Accounts {
                smap_uid: smap_account.as_ref().map_or(current.uid, |account| account.uid),
                smap_gid: smap_account.as_ref().map_or(current.gid, |account| account.gid),
                smapd_uid: smapd_account.as_ref().map_or(current.uid, |account| account.uid),
            },
        );
        let hostname = smap.hostname.clone().or_else(|| smapd.hostname.clone()).unwrap_or_else(system_name);
        Ok(Self { smap, smapd, hostname, smap_account, smapd_account, layout, notes })
    }
}

fn resolve(
    user: Option<&schema::Account>,
    group: Option<&schema::Account>,
) -> Result<Option<Account>, UnknownAccount> {
    let group = group.map(ToString::to_string);
    user.map(|user| Account::resolve(&user.to_string(), group.as_deref())).transpose()
}

/// The name of this machine; `localhost` where it has none that is a domain name.
#[must_use]
pub fn system_name() -> Domain {
    let name = nix::unistd::gethostname().ok().and_then(|name| name.into_string().ok());
    name.and_then(|name| name.parse().ok())
        .unwrap_or_else(|| Domain::from_ip(std::net::IpAddr::V4(std::net::Ipv4Addr::LOCALHOST)))
}
