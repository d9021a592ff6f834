//! Whether smap-lookup listens and answers, and what there is without it.

use std::fs::Metadata;
use std::io;
use std::net::{IpAddr, Ipv4Addr};
use std::time::Duration;

use netperm::ClientName;
use netperm::site::Site;
use nix::unistd::geteuid;
use smap::lookup::Asker;
use smap_common::account::Account;

use super::{Finding, Level, paths};

/// How long an answer may take for which no name server is asked.
const PATIENCE: Duration = Duration::from_secs(5);

/// What smap-lookup is like for those who have something to ask.
pub(super) fn finding(site: &Site) -> Finding {
    let path = &site.lookup.socket;
    match (answers(site), site.smap.needs_lookup().next()) {
        (Ok(()), Some(_)) if !may_ask(site) => Finding::new(
            Level::Error,
            format!("{}: smap's user may not ask smap-lookup: let it have smap's group", path.display()),
        ),
        (Ok(()), _) => Finding::new(Level::Ok, format!("smap-lookup answers at {}", path.display())),
        (Err(Trouble::NotForUs), _) => Finding::new(
            Level::Note,
            format!("{}: only smap, smapd and root can say whether smap-lookup answers", path.display()),
        ),
        (Err(Trouble::Silent(why)), Some((place, what))) => Finding::new(
            Level::Warning,
            format!(
                "{place}: {what} needs smap-lookup, which does not answer at {}: {why}; smap \
                 tells clients to come back until it is started",
                path.display()
            ),
        ),
        (Err(Trouble::Silent(why)), None) => Finding::new(
            Level::Note,
            format!(
                "smap-lookup does not answer at {}: {why}; smapd looks up hosts and mail exchangers by one of its \
                 own",
                path.display()
            ),
        ),
    }
}

/// Why nothing is answered.
enum Trouble {
    /// This user may not ask.
    NotForUs,
    /// Nobody does.
    Silent(String),
}

fn answers(site: &Site) -> Result<(), Trouble> {
    let mut asker = Asker::connect(&site.lookup.socket, PATIENCE).map_err(|error| match error.kind() {
        io::ErrorKind::PermissionDenied if !is_welcome(site) => Trouble::NotForUs,
        _ => Trouble::Silent(error.to_string()),
    })?;
    match asker.name_of(IpAddr::V4(Ipv4Addr::LOCALHOST), PATIENCE) {
        ClientName::Failed(_) if !is_welcome(site) => Err(Trouble::NotForUs),
        ClientName::Failed(why) => Err(Trouble::Silent(why)),
        ClientName::NotAsked | ClientName::Unknown | ClientName::Known(_) => Ok(()),
    }
}

fn is_welcome(site: &Site) -> bool {
    let (own, accounts) = (geteuid().as_raw(), site.layout.accounts());
    [0, accounts.smap_uid, accounts.smapd_uid].contains(&own)
}

fn may_ask(site: &Site) -> bool {
    let smap = site.smap_account.clone().unwrap_or_else(Account::current);
    site.lookup.socket.metadata().is_ok_and(|facts: Metadata| paths::may_connect(&facts, &smap))
}
