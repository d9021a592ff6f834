//! The table applied to this machine: users resolved to numbers, our name found, the spool's folders named.
//!
//! What smap, smapd and smapctl all begin with.

use std::path::Path;

use smap_common::account::{Account, UnknownAccount};
use smap_common::address::Domain;
use smap_common::spool::{Accounts, Layout};

use crate::callout;
use crate::fault::{Fault, Faults, Note};
use crate::place::{Located, Place};
use crate::schema::{self, Lookup, Smap, Smapd};
use crate::table::Table;

/// What the programs need to know before they begin.
#[derive(Debug, Clone)]
pub struct Site {
    /// What the table says to smap.
    pub smap: Smap,
    /// What another table would say to smap, whose answers are logged and not obeyed.
    pub shadow: Option<Result<Smap, Faults>>,
    /// What the table says to smapd.
    pub smapd: Smapd,
    /// What the table says to smap-lookup.
    pub lookup: Lookup,
    /// Our name.
    pub hostname: Domain,
    /// smap's user; `None` where the table names none.
    pub smap_account: Option<Account>,
    /// smapd's user; `None` where the table names none.
    pub smapd_account: Option<Account>,
    /// smap-lookup's user; `None` where the table names none.
    pub lookup_account: Option<Account>,
    /// The spool.
    pub layout: Layout,
    /// What the operator should know of the table.
    pub notes: Vec<Note>,
    /// What of the compiled tables is not what the operator means it to be.
    pub warnings: Vec<String>,
}

impl Site {
    /// Reads the table and looks up what it names.
    ///
    /// # Errors
    /// Everything that is wrong with the table, or a user that does not exist.
    pub fn load(file: &Path) -> Result<Self, Faults> {
        let resolve = |user: Option<&Named>, group: Option<&Named>| resolve(user, group, Account::resolve);
        Self::of(&Table::load(file)?, resolve)
    }

    /// The same for a process of one thread that has many children: what looking users up leaves behind, it does
    /// not get.
    ///
    /// # Errors
    /// As of [`Self::load`].
    pub fn load_for_children(file: &Path) -> Result<Self, Faults> {
        let resolve =
            |user: Option<&Named>, group: Option<&Named>| resolve(user, group, Account::resolve_apart);
        Self::of(&Table::load(file)?, resolve)
    }

    /// The same for a program that delivers nothing: the files that the table names beside are not read.
    ///
    /// # Errors
    /// Everything that is wrong with the table, or a user that does not exist.
    pub fn load_alone(file: &Path) -> Result<Self, Faults> {
        Self::of(&Table::load_alone(file)?, |user, group| resolve(user, group, Account::resolve))
    }

    /// The TCP ports of smap-lookup: those of name servers, and of next hosts that are asked for recipients.
    #[must_use]
    pub fn lookup_ports(&self) -> Vec<u16> {
        let mut ports = self.lookup.ports();
        ports.extend(callout::ports(&self.smap.recipients, &self.smapd, &self.hostname));
        ports.sort_unstable();
        ports.dedup();
        ports
    }

    /// Reads the table again for a process that has its user for good, and can look up none any more.
    ///
    /// # Errors
    /// Everything that is wrong with the table, or other users than before.
    pub fn load_again(&self, file: &Path) -> Result<Self, Faults> {
        let known = [
            (&self.smap.userid, &self.smap.groupid, &self.smap_account),
            (&self.smapd.userid, &self.smapd.groupid, &self.smapd_account),
            (&self.lookup.userid, &self.lookup.groupid, &self.lookup_account),
        ];
        Self::of(&Table::load(file)?, |user, group| {
            let is_same = |a: Option<&Named>, b: Option<&Named>| a.map(|a| &a.value) == b.map(|b| &b.value);
            let same = known.iter().find(|(u, g, _)| is_same(u.as_ref(), user) && is_same(g.as_ref(), group));
            match (same, user) {
                (Some((.., account)), _) => Ok((*account).clone()),
                (None, None) => Ok(None),
                (None, Some(user)) => {
                    Err(Fault::new(&user.place, "a running program keeps its user: start it anew"))
                }
            }
        })
    }

    /// The same with the other table, for whoever says what that one would say. What is wrong with it keeps nobody
    /// from obeying this one.
    #[must_use]
    pub fn with_shadow(mut self) -> Self {
        let Some(named) = &self.smap.shadow else { return self };
        let shadow = Table::load(&named.value.0).and_then(|table| {
            self.warnings.extend(warnings_of(&table));
            table.smap()
        });
        self.shadow = Some(shadow.map(|(shadow, _)| shadow));
        self
    }

    fn of(
        table: &Table,
        resolve: impl Fn(Option<&Named>, Option<&Named>) -> Result<Option<Account>, Fault>,
    ) -> Result<Self, Faults> {
        let whole = Place::whole(table.file());
        let (smap, mut notes) = table.smap()?;
        let (smapd, more) = table.smapd()?;
        let (lookup, most) = table.lookup()?;
        for note in more.into_iter().chain(most) {
            if !notes.contains(&note) {
                notes.push(note);
            }
        }
        let accounts = [
            resolve(smap.userid.as_ref(), smap.groupid.as_ref()),
            resolve(smapd.userid.as_ref(), smapd.groupid.as_ref()),
            resolve(lookup.userid.as_ref(), lookup.groupid.as_ref()),
        ];
        Faults::none_of(accounts.iter().filter_map(|account| account.as_ref().err()).cloned().collect())?;
        let [smap_account, smapd_account, lookup_account] = accounts.map(|account| account.unwrap_or(None));
        if smap.directory != smapd.directory {
            let what = format!(
                "smap and smapd have different spools: directory {} and {}",
                smap.directory.display(),
                smapd.directory.display()
            );
            return Err(Fault::new(&whole, what).into());
        }
        let warnings = warnings_of(table);
        let current = Account::current();
        let layout = Layout::new(
            &smap.directory,
            Accounts {
                smap_uid: smap_account.as_ref().map_or(current.uid, |account| account.uid),
                smap_gid: smap_account.as_ref().map_or(current.gid, |account| account.gid),
                smapd_uid: smapd_account.as_ref().map_or(current.uid, |account| account.uid),
            },
        )
        .with_bad(smapd.bad_directory());
        let hostname = smap.hostname.clone().or_else(|| smapd.hostname.clone()).unwrap_or_else(system_name);
        Ok(Self {
            smap,
            shadow: None,
            smapd,
            lookup,
            hostname,
            smap_account,
            smapd_account,
            lookup_account,
            layout,
            notes,
            warnings,
        })
    }
}

fn warnings_of(table: &Table) -> Vec<String> {
    table.warnings().iter().map(|note| format!("{}: {}", note.place, note.text)).collect()
}

/// A user or group as the table names it.
type Named = Located<schema::Account>;

fn resolve(
    user: Option<&Named>,
    group: Option<&Named>,
    look_up: impl Fn(&str, Option<&str>) -> Result<Account, UnknownAccount>,
) -> Result<Option<Account>, Fault> {
    let Some(user) = user else { return Ok(None) };
    let group_name = group.map(|group| group.value.to_string());
    let account = look_up(&user.value.to_string(), group_name.as_deref()).map_err(|unknown| {
        let place = match (&unknown, group) {
            (UnknownAccount::Group(_), Some(group)) => &group.place,
            (UnknownAccount::Group(_) | UnknownAccount::User(_), _) => &user.place,
        };
        Fault::new(place, unknown)
    })?;
    if account.uid == 0 {
        return Err(Fault::new(&user.place, "this userid is root's, and a mail gateway never runs as root"));
    }
    Ok(Some(account))
}

/// The name of this machine; `localhost` where it has none that is a domain name.
#[must_use]
pub fn system_name() -> Domain {
    let name = nix::unistd::gethostname().ok().and_then(|name| name.into_string().ok());
    name.and_then(|name| name.parse().ok())
        .unwrap_or_else(|| Domain::from_ip(std::net::IpAddr::V4(std::net::Ipv4Addr::LOCALHOST)))
}
