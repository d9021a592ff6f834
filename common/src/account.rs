//! Users and groups, resolved to numbers before a process can no longer look them up.

use std::ffi::CString;
use std::fmt;

use nix::unistd::{Gid, Group, Uid, User, getegid, geteuid, getgrouplist};

mod apart;

/// A user and its groups.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Account {
    /// The user.
    pub uid: u32,
    /// The group.
    pub gid: u32,
    /// Supplementary groups.
    pub groups: Vec<u32>,
}

/// No such user or group on this machine.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum UnknownAccount {
    /// The user.
    User(String),
    /// The group.
    Group(String),
}

impl fmt::Display for UnknownAccount {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::User(name) => write!(f, "there is no user \"{name}\" on this machine"),
            Self::Group(name) => write!(f, "there is no group \"{name}\" on this machine"),
        }
    }
}

impl std::error::Error for UnknownAccount {}

impl Account {
    /// The account that this process has.
    #[must_use]
    pub fn current() -> Self {
        Self { uid: geteuid().as_raw(), gid: getegid().as_raw(), groups: Vec::new() }
    }

    /// A user by name or number, with its groups. A number needs no entry in the user database; its group is then
    /// of the same number.
    ///
    /// # Errors
    /// No such user, or no such group.
    pub fn resolve(user: &str, group: Option<&str>) -> Result<Self, UnknownAccount> {
        let number = user.parse().ok();
        let entry = match number {
            Some(number) => User::from_uid(Uid::from_raw(number)),
            None => User::from_name(user),
        };
        let entry = entry.ok().flatten();
        let uid = number.or(entry.as_ref().map(|entry| entry.uid.as_raw()));
        let uid = uid.ok_or_else(|| UnknownAccount::User(user.to_owned()))?;
        let own_gid = entry.as_ref().map_or(uid, |entry| entry.gid.as_raw());
        let gid = group.map(resolve_group).transpose()?.unwrap_or(own_gid);
        let groups = entry.map(|entry| supplementary(&entry, gid)).unwrap_or_default();
        Ok(Self { uid, gid, groups })
    }
}

fn resolve_group(group: &str) -> Result<u32, UnknownAccount> {
    let unknown = || UnknownAccount::Group(group.to_owned());
    match group.parse() {
        Ok(number) => Ok(number),
        Err(_) => {
            let entry = Group::from_name(group).ok().flatten().ok_or_else(unknown)?;
            Ok(entry.gid.as_raw())
        }
    }
}

fn supplementary(user: &User, gid: u32) -> Vec<u32> {
    CString::new(user.name.as_str())
        .ok()
        .and_then(|name| getgrouplist(&name, Gid::from_raw(gid)).ok())
        .map(|groups| groups.into_iter().map(Gid::as_raw).collect())
        .unwrap_or_default()
}
