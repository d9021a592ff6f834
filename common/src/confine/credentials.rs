//! Users, groups and capabilities: every change of them is here.

use std::io;
use std::os::unix::fs::MetadataExt;
use std::path::Path;

use caps::{CapSet, Capability};
use nix::errno::Errno;
use nix::unistd::{self, Gid, Uid};

use super::{ConfineError, Missing, Step, refuse};
use crate::account::Account;

/// Whether programs that this process may start gain what their set-id bits say.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SetId {
    /// They do: one of them is a `sendmail`.
    Honoured,
    /// They do not, for good.
    Ignored,
}

/// Changes to `account` for good, and gives up every capability; or, started as that user or without one named,
/// verifies.
///
/// # Errors
/// This process is neither root nor that user, or the kernel refuses.
pub fn become_account(account: Option<&Account>, set_id: SetId) -> Result<Vec<Missing>, ConfineError> {
    let mut missing = Vec::new();
    match account {
        Some(account) if has(Capability::CAP_SETUID) && has(Capability::CAP_SETGID) => {
            match set_id {
                SetId::Ignored => missing.extend(empty_bounding_set()?),
                SetId::Honoured => missing.push(Missing::BoundingSetForPrograms),
            }
            change_ids(account)?;
        }
        _ => missing.extend(empty_bounding_set()?),
    }
    drop_capabilities()?;
    match account {
        Some(account) => verify_ids(account)?,
        None => missing.push(Missing::OwnUser),
    }
    no_way_back()?;
    Ok(missing)
}

/// Does something as `account`, where this process may become it: with its rights to files and seen as it by
/// others. Afterwards this process is what it was. To be called while there is one thread.
///
/// # Errors
/// The kernel refuses; nothing was done.
pub fn as_account<T>(account: Option<&Account>, act: impl FnOnce() -> T) -> Result<T, ConfineError> {
    let may_change = has(Capability::CAP_SETUID) && has(Capability::CAP_SETGID);
    let Some(account) = account.filter(|_| may_change) else { return Ok(act()) };
    let (own_user, own_group) = (unistd::geteuid(), unistd::getegid());
    let become_it = unistd::setegid(Gid::from_raw(account.gid))
        .step("setegid")
        .and_then(|()| unistd::seteuid(Uid::from_raw(account.uid)).step("seteuid"));
    let result = become_it.map(|()| act());
    if unistd::seteuid(own_user).and_then(|()| unistd::setegid(own_group)).is_err() {
        // A process that is no longer who it takes itself for does not go on.
        std::process::abort();
    }
    result
}

fn change_ids(account: &Account) -> Result<(), ConfineError> {
    let (uid, gid) = (Uid::from_raw(account.uid), Gid::from_raw(account.gid));
    let groups: Vec<Gid> = account.groups.iter().map(|gid| Gid::from_raw(*gid)).collect();
    unistd::setgroups(&groups).step("setgroups")?;
    unistd::setresgid(gid, gid, gid).step("setresgid")?;
    unistd::setresuid(uid, uid, uid).step("setresuid")
}

fn verify_ids(account: &Account) -> Result<(), ConfineError> {
    let (uids, gids) = (unistd::getresuid().step("getresuid")?, unistd::getresgid().step("getresgid")?);
    if [uids.real, uids.effective, uids.saved].map(Uid::as_raw) != [account.uid; 3] {
        return Err(refuse("userid", "this process has another user, and only root can change it"));
    }
    if [gids.real, gids.effective, gids.saved].map(Gid::as_raw) != [account.gid; 3] {
        return Err(refuse("groupid", "this process has another group, and only root can change it"));
    }
    let groups = unistd::getgroups().step("getgroups")?;
    let is_known = |gid: &Gid| gid.as_raw() == account.gid || account.groups.contains(&gid.as_raw());
    if groups.iter().all(is_known) {
        Ok(())
    } else {
        Err(refuse("setgroups", "this process has groups of others"))
    }
}

/// Gives up all capabilities but those that confining a child in `root` needs: the listener's state after its
/// ports are bound. A spool that only its one user may enter, as in old tables, takes one more than others. None can
/// be had by starting a program: what this process does once, its children need not do each.
///
/// # Errors
/// The kernel refuses.
pub fn keep_only_what_children_need(root: &Path) -> Result<(), ConfineError> {
    use Capability::{CAP_DAC_READ_SEARCH, CAP_SETGID, CAP_SETPCAP, CAP_SETUID, CAP_SYS_CHROOT};
    let mut needed = vec![CAP_SETGID, CAP_SETPCAP, CAP_SETUID, CAP_SYS_CHROOT];
    if is_closed_to_others(root) {
        needed.push(CAP_DAC_READ_SEARCH);
    }
    // What could not be had, each session finds and names.
    let _missing = empty_bounding_set()?;
    let kept = caps::read(None, CapSet::Permitted).step("capabilities")?;
    let kept = kept.into_iter().filter(|capability| needed.contains(capability)).collect();
    caps::set(None, CapSet::Effective, &kept).step("effective capabilities")?;
    caps::set(None, CapSet::Permitted, &kept).step("permitted capabilities")?;
    caps::clear(None, CapSet::Inheritable).step("inheritable capabilities")
}

/// Whether a listener that has kept only what its children needed can confine children in `root`, too.
#[must_use]
pub fn can_confine_in(root: &Path) -> bool {
    let may_enter = !is_closed_to_others(root) || has(Capability::CAP_DAC_READ_SEARCH);
    may_enter || !has(Capability::CAP_SYS_CHROOT)
}

fn is_closed_to_others(root: &Path) -> bool {
    root.metadata().is_ok_and(|facts| facts.mode() & 0o001 == 0)
}

pub(super) fn has(capability: Capability) -> bool {
    caps::has_cap(None, CapSet::Effective, capability).unwrap_or(false)
}

/// To be emptied before the user changes, or it can't be any more.
fn empty_bounding_set() -> Result<Option<Missing>, ConfineError> {
    let left = || caps::read(None, CapSet::Bounding).step("bounding set");
    if left()?.is_empty() {
        return Ok(None);
    }
    if !has(Capability::CAP_SETPCAP) {
        return Ok(Some(Missing::BoundingSet));
    }
    caps::clear(None, CapSet::Bounding).step("bounding set")?;
    lock_securebits().step("securebits")?;
    if left()?.is_empty() { Ok(None) } else { Err(refuse("bounding set", "some capabilities are left")) }
}

/// The ambient set needs no call of its own: it never holds what is not both permitted and inheritable
/// (capabilities(7)).
fn drop_capabilities() -> Result<(), ConfineError> {
    for set in [CapSet::Effective, CapSet::Permitted, CapSet::Inheritable] {
        caps::clear(None, set).step("capabilities")?;
        if !caps::read(None, set).step("capabilities")?.is_empty() {
            return Err(refuse("capabilities", "some are left"));
        }
    }
    Ok(())
}

/// Root gets nothing from being root any more, and none of this can be undone (capabilities(7)).
#[expect(unsafe_code, reason = "no crate of ours wraps PR_SET_SECUREBITS")]
fn lock_securebits() -> io::Result<()> {
    const NOROOT_KEEP_CAPS_AMBIENT_LOCKED: libc::c_ulong = 1 | 1 << 1 | 1 << 5 | 1 << 6 | 1 << 7;
    // SAFETY: prctl(PR_SET_SECUREBITS) takes one number and touches no memory of ours.
    let result = unsafe { libc::prctl(libc::PR_SET_SECUREBITS, NOROOT_KEEP_CAPS_AMBIENT_LOCKED, 0, 0, 0) };
    if result == 0 { Ok(()) } else { Err(io::Error::last_os_error()) }
}

/// Tries what must not work any more.
fn no_way_back() -> Result<(), ConfineError> {
    if unistd::getuid().is_root() || unistd::setuid(Uid::from_raw(0)) != Err(Errno::EPERM) {
        return Err(refuse("setuid", "it is still possible to become root"));
    }
    // Not `.`: where this process was started may be a folder closed to its user, and that is another refusal.
    if unistd::chroot("/") != Err(Errno::EPERM) {
        return Err(refuse("chroot", "it is still possible to leave the root folder"));
    }
    Ok(())
}
