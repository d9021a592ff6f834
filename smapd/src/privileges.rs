//! Who smapd is by its table, and whether the programs that it has run may be more.

use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use netperm::site::Site;
use netperm::transport::Transport;
use smap_common::account::Account;
use smap_common::confine::{ConfineError, Missing, SetId, become_account};

/// Becomes it, for good; says what could not be had.
///
/// # Errors
/// This process is neither root nor that user, or the kernel refuses.
pub fn take(site: &Site) -> Result<Vec<Missing>, ConfineError> {
    become_account(account(site).as_ref(), set_id(site))
}

/// Its user, who reads what smap wrote by smap's group; `None` where the table names none.
fn account(site: &Site) -> Option<Account> {
    let mut account = site.smapd_account.clone()?;
    account.groups.push(site.layout.accounts().smap_gid);
    Some(account)
}

/// A `sendmail` may be set-id; nothing else that the table names needs to be.
#[must_use]
pub fn set_id(site: &Site) -> SetId {
    if site.smapd.sendmail.is_some() || set_id_program(site).is_some() {
        SetId::Honoured
    } else {
        SetId::Ignored
    }
}

/// The programs that aliases may run.
fn safe_programs(site: &Site) -> impl Iterator<Item = PathBuf> {
    let folder = site.smapd.safe_programs.iter().filter_map(|folder| folder.value.0.read_dir().ok());
    folder.flatten().filter_map(|entry| Some(entry.ok()?.path()))
}

/// The first program of the table that is set-id.
#[must_use]
pub fn set_id_program(site: &Site) -> Option<PathBuf> {
    let pipes = site.smapd.transports().filter_map(|(_, transport)| match transport {
        Transport::Pipe { program, .. } => Some(program),
        _ => None,
    });
    let is_set_id = |program: &Path| program.metadata().is_ok_and(|facts| facts.mode() & 0o6000 != 0);
    let named = pipes.chain(site.smapd.sendmail.iter().map(|program| &program.0));
    named.cloned().chain(safe_programs(site)).find(|program| is_set_id(program))
}
