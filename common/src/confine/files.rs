//! Landlock: which files and ports a process may still reach, whatever its user may.
//!
//! Guarantees that what is not named is closed: files, connections, signals to other processes. Where the kernel
//! has less of Landlock, it gives what it has, and says what is missing. By the crate of its authors, which knows
//! what each kernel can.

use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};
use std::path::{Path, PathBuf};

use landlock::{
    ABI, Access, AccessFs, AccessNet, BitFlags, CompatLevel, Compatible, LandlockStatus, NetPort,
    PathBeneath, PathFd, RestrictionStatus, Ruleset, RulesetAttr, RulesetCreated, RulesetCreatedAttr,
    RulesetError, RulesetStatus, Scope,
};
use nix::errno::Errno;
use nix::unistd::close;

use super::{ConfineError, Missing, Step, refuse};

#[cfg(test)]
mod tests;

/// What there is of Landlock now.
#[derive(Debug, Clone, Copy)]
pub(super) struct Landlocked {
    /// Its ABI, as far as it is used: 0 where there is none.
    pub(super) abi: u8,
    /// What of it this kernel lacks.
    pub(super) missing: Option<Missing>,
}

/// The Landlock that is asked for. Later ones add nothing that a process of ours could do.
const LANDLOCK: ABI = ABI::V6;

/// What smapd may reach.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Reach {
    /// Folders in which it may do everything but start programs.
    pub folders: Vec<PathBuf>,
    /// Folders in which it may read files.
    pub read: Vec<PathBuf>,
    /// TCP ports that it may connect to.
    pub ports: Vec<u16>,
}

impl Reach {
    /// The first thing that `wanted` has and this has not.
    #[must_use]
    pub fn lacks(&self, wanted: &Self) -> Option<String> {
        let within = |folders: &[PathBuf], path: &Path| folders.iter().any(|folder| path.starts_with(folder));
        let folder = wanted.folders.iter().find(|path| !within(&self.folders, path));
        let read = wanted.read.iter().find(|path| !within(&self.folders, path) && !within(&self.read, path));
        let port = wanted.ports.iter().find(|port| !self.ports.contains(port));
        let path = folder.or(read).map(|path| path.display().to_string());
        path.or_else(|| port.map(|port| format!("port {port}")))
    }
}

/// smap: files may be created and written in `incoming`, and nothing else.
pub(super) fn to_creating_in(incoming: BorrowedFd<'_>) -> Result<Landlocked, ConfineError> {
    enforce(creating_in(incoming)?)
}

/// The same, and the domain of one more process, below this one's.
pub(super) fn to_creating_in_twice(incoming: BorrowedFd<'_>) -> Result<(Landlocked, Once), ConfineError> {
    let rules = creating_in(incoming)?;
    let again = rules.try_clone().step("Landlock")?;
    Ok((enforce(rules)?, Once(again.into())))
}

fn creating_in(incoming: BorrowedFd<'_>) -> Result<RulesetCreated, ConfineError> {
    ruleset(&[(incoming, AccessFs::MakeReg | AccessFs::WriteFile)], Some(&[]))
}

/// Rules that are to be entered by one process; none where the kernel has no Landlock.
#[derive(Debug)]
pub(super) struct Once(Option<OwnedFd>);

impl Once {
    /// Enters them, by no call but the one that this takes: a process whose filter is up already can do it.
    #[expect(unsafe_code, reason = "the crate sets up first what this process has")]
    pub(super) fn enter(self) -> Result<(), ConfineError> {
        let Some(rules) = self.0 else { return Ok(()) };
        // SAFETY: landlock_restrict_self(2) takes two numbers and touches no memory of ours.
        let entered = unsafe { libc::syscall(libc::SYS_landlock_restrict_self, rules.as_raw_fd(), 0) };
        Errno::result(entered).step("Landlock")?;
        close(rules).step("Landlock")
    }
}

/// `smap-lookup`: what lies in these folders may be read, and hosts be connected to at these ports.
pub(super) fn to_reading(folders: &[&str], ports: &[u16]) -> Result<Landlocked, ConfineError> {
    let folders: Vec<PathFd> = folders.iter().filter_map(|path| PathFd::new(path).ok()).collect();
    let read = AccessFs::ReadFile | AccessFs::ReadDir;
    let rules: Vec<Rule<'_>> = folders.iter().map(|folder| (folder.as_fd(), read)).collect();
    enforce(ruleset(&rules, Some(ports))?)
}

/// A folder, and what may be done in it.
type Rule<'a> = (BorrowedFd<'a>, BitFlags<AccessFs>);

/// smapd: its reach.
pub(super) fn to(reach: &Reach) -> Result<Landlocked, ConfineError> {
    // What cannot even be found is closed to this process anyway.
    let open = |paths: &[PathBuf]| paths.iter().filter_map(|path| PathFd::new(path).ok()).collect::<Vec<_>>();
    let (folders, read) = (open(&reach.folders), open(&reach.read));
    let everything = AccessFs::from_all(LANDLOCK) & !(AccessFs::Execute | AccessFs::IoctlDev);
    let folders = folders.iter().map(|folder| (folder.as_fd(), everything));
    let read = read.iter().map(|folder| (folder.as_fd(), AccessFs::ReadFile.into()));
    let rules: Vec<Rule<'_>> = folders.chain(read).collect();
    enforce(ruleset(&rules, Some(&reach.ports))?)
}

/// Landlock: these folders, connections to these ports (`None`: any), and nothing else that Landlock knows of.
fn ruleset(folders: &[Rule<'_>], ports: Option<&[u16]>) -> Result<RulesetCreated, ConfineError> {
    let net = if ports.is_some() { AccessNet::from_all(LANDLOCK) } else { BitFlags::EMPTY };
    let folders =
        folders.iter().map(|(folder, access)| Ok::<_, RulesetError>(PathBeneath::new(folder, *access)));
    let ports = ports.into_iter().flatten().map(|port| Ok(NetPort::new(*port, AccessNet::ConnectTcp)));
    let rules = Ruleset::default().set_compatibility(CompatLevel::BestEffort);
    rules
        .handle_access(AccessFs::from_all(LANDLOCK))
        .and_then(|rules| if net.is_empty() { Ok(rules) } else { rules.handle_access(net) })
        .and_then(|rules| rules.scope(Scope::from_all(LANDLOCK)))
        .and_then(Ruleset::create)
        .and_then(|rules| rules.add_rules(folders))
        .and_then(|rules| rules.add_rules::<_, _, _, RulesetError>(ports))
        .step("Landlock")
}

/// For this thread and all that it starts.
fn enforce(rules: RulesetCreated) -> Result<Landlocked, ConfineError> {
    root_is_closed(Landlocked::of(&rules.restrict_self().step("Landlock")?))
}

/// Where Landlock is all there, what it must forbid is forbidden.
fn root_is_closed(landlocked: Landlocked) -> Result<Landlocked, ConfineError> {
    match std::fs::read_dir("/") {
        Ok(_) if landlocked.missing.is_none() => Err(refuse("Landlock", "the root folder can still be read")),
        _ => Ok(landlocked),
    }
}

impl Landlocked {
    fn of(status: &RestrictionStatus) -> Self {
        let (abi, missing) = match status.landlock {
            LandlockStatus::NotImplemented => (0, Missing::Landlock),
            LandlockStatus::NotEnabled => (0, Missing::LandlockAtBoot),
            LandlockStatus::Available { effective_abi, .. } => {
                (number(effective_abi), Missing::WholeLandlock(number(effective_abi)))
            }
        };
        let is_whole = status.ruleset == RulesetStatus::FullyEnforced;
        Self { abi, missing: if is_whole { None } else { Some(missing) } }
    }
}

/// Its number, up to the one that is asked for.
fn number(abi: ABI) -> u8 {
    let known = [ABI::V1, ABI::V2, ABI::V3, ABI::V4, ABI::V5, LANDLOCK];
    let reached = (1..).zip(known).take_while(|(_, known)| *known <= abi);
    reached.map(|(number, _)| number).last().unwrap_or_default()
}
