//! Who may do what in the spool's folders, and the command that mends it.
//!
//! Decides whether a spool is fit to be used. The wall between smap and smapd is made of these owners and
//! modes; where both have one user it is not there, and mail flows all the same.

use std::fmt;
use std::fs::{DirBuilder, File, Metadata};
use std::io;
use std::os::unix::fs::{DirBuilderExt, MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use super::{BAD, CONTROL, INCOMING, LOCK, QUEUE};

#[cfg(test)]
mod tests;

/// The users that share the spool.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Accounts {
    /// smap's user.
    pub smap_uid: u32,
    /// smap's group.
    pub smap_gid: u32,
    /// smapd's user.
    pub smapd_uid: u32,
}

impl Accounts {
    /// Whether smap and smapd are one user, as in the toolkit's own tables.
    #[must_use]
    pub fn are_one(&self) -> bool {
        self.smap_uid == self.smapd_uid
    }
}

/// Something about a folder that is not as it should be.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LayoutFault {
    /// The folder.
    pub path: PathBuf,
    /// What is wrong.
    pub what: &'static str,
    /// The command that mends it.
    pub mend: String,
    /// Whether the programs refuse to run with it.
    pub fatal: bool,
}

impl fmt::Display for LayoutFault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}; to mend it: {}", self.path.display(), self.what, self.mend)
    }
}

/// What can be wrong with a folder: what, the command that mends it, before its path, and whether the programs
/// refuse to run with it.
struct Finding(&'static str, String, bool);

/// Of a folder, what is looked at.
struct Facts {
    mode: u32,
    uid: u32,
    gid: u32,
}

impl From<&Metadata> for Facts {
    fn from(facts: &Metadata) -> Self {
        Self { mode: facts.mode(), uid: facts.uid(), gid: facts.gid() }
    }
}

/// The spool's folders, as paths.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Layout {
    root: PathBuf,
    bad: PathBuf,
    accounts: Accounts,
}

impl Layout {
    /// The spool in `root`, shared by `accounts`.
    #[must_use]
    pub fn new(root: &Path, accounts: Accounts) -> Self {
        Self { root: root.to_owned(), bad: root.join(BAD), accounts }
    }

    /// The same, with another folder for what is set aside (`baddir`).
    #[must_use]
    pub fn with_bad(self, bad: PathBuf) -> Self {
        Self { bad, ..self }
    }

    /// The spool itself.
    #[must_use]
    pub fn root(&self) -> &Path {
        &self.root
    }

    /// Where smap creates messages.
    #[must_use]
    pub fn incoming(&self) -> PathBuf {
        self.root.join(INCOMING)
    }

    /// Where smapd keeps what is deferred.
    #[must_use]
    pub fn queue(&self) -> PathBuf {
        self.root.join(QUEUE)
    }

    /// Where smapd sets things aside.
    #[must_use]
    pub fn bad(&self) -> &Path {
        &self.bad
    }

    /// The folder for that in the spool itself: always there, on the same filesystem.
    #[must_use]
    pub fn own_bad(&self) -> PathBuf {
        self.root.join(BAD)
    }

    /// What the one smapd that runs holds.
    #[must_use]
    pub fn lock(&self) -> PathBuf {
        self.root.join(LOCK)
    }

    /// The folder of the operator's socket: smapd's, so that it can make one whenever it starts.
    #[must_use]
    pub fn control(&self) -> PathBuf {
        self.root.join(CONTROL)
    }

    /// The operator's socket.
    #[must_use]
    pub fn socket(&self) -> PathBuf {
        self.control().join("socket")
    }

    /// The users that share it.
    #[must_use]
    pub fn accounts(&self) -> Accounts {
        self.accounts
    }

    /// Makes the folders that are missing, with their owners where this process may give them.
    ///
    /// # Errors
    /// The folder and why it could not be made.
    pub fn create_missing(&self) -> Result<(), (PathBuf, io::Error)> {
        let smapd = Some(self.accounts.smapd_uid);
        let (group, mode) =
            if self.accounts.are_one() { (None, 0o700) } else { (Some(self.accounts.smap_gid), 0o1730) };
        for (path, mode, owner, group) in [
            (self.root.clone(), 0o755, None, None),
            (self.incoming(), mode, smapd, group),
            (self.queue(), 0o700, smapd, None),
            (self.own_bad(), 0o700, smapd, None),
            (self.bad.clone(), 0o700, smapd, None),
        ] {
            create(&path, mode, owner, group).map_err(|cause| (path, cause))?;
        }
        let lock = self.lock();
        create_file(&lock, smapd).map_err(|cause| (lock, cause))?;
        // Mail flows without it: that it is missing is a fault of its own.
        let _without = create(&self.control(), 0o700, smapd, None);
        Ok(())
    }

    /// All that is wrong with what smap needs: the root and `incoming/`.
    #[must_use]
    pub fn faults_for_smap(&self) -> Vec<LayoutFault> {
        let mut faults = self.judge(&self.root, |layout, facts| layout.judge_root(facts));
        if faults.iter().all(|fault| !fault.fatal) {
            faults.extend(self.judge(&self.incoming(), |layout, facts| layout.judge_incoming(facts)));
        }
        faults
    }

    /// All that is wrong with what smapd needs: everything.
    #[must_use]
    pub fn faults_for_smapd(&self) -> Vec<LayoutFault> {
        let mut faults = self.faults_for_smap();
        if faults.iter().all(|fault| !fault.fatal) {
            let mut folders = vec![self.queue(), self.own_bad(), self.bad.clone()];
            folders.dedup();
            for private in folders {
                faults.extend(self.judge(&private, |layout, facts| layout.judge_private(facts)));
            }
            let control = self.judge(&self.control(), |layout, facts| layout.judge_private(facts));
            faults.extend(control.into_iter().map(|fault| LayoutFault { fatal: false, ..fault }));
        }
        faults
    }

    fn judge(&self, path: &Path, rules: impl Fn(&Self, &Facts) -> Vec<Finding>) -> Vec<LayoutFault> {
        let fault = |Finding(what, command, fatal)| LayoutFault {
            path: path.to_owned(),
            what,
            mend: format!("{command} {}", path.display()),
            fatal,
        };
        match path.symlink_metadata() {
            Ok(facts) if facts.is_dir() => rules(self, &Facts::from(&facts)).into_iter().map(fault).collect(),
            Ok(_) => vec![fault(Finding("not a folder", "rm -i".into(), true))],
            Err(cause) if cause.kind() == io::ErrorKind::NotFound => {
                vec![fault(Finding("the folder does not exist", self.install_command(path), true))]
            }
            Err(_) => vec![fault(Finding("the folder cannot be looked at", "ls -ld".into(), true))],
        }
    }

    fn install_command(&self, path: &Path) -> String {
        let Accounts { smap_gid, smapd_uid, .. } = self.accounts;
        match path {
            _ if path == self.root => "install -d -m 0755".into(),
            _ if path == self.incoming() && !self.accounts.are_one() => {
                format!("install -d -o {smapd_uid} -g {smap_gid} -m 1730")
            }
            _ => format!("install -d -o {smapd_uid} -m 0700"),
        }
    }

    fn judge_root(&self, facts: &Facts) -> Vec<Finding> {
        let Accounts { smap_uid, smapd_uid, .. } = self.accounts;
        let mut faults = Vec::new();
        if facts.mode & 0o022 != 0 {
            faults.push(Finding("others may write in the spool", "chmod go-w".into(), true));
        }
        if ![0, smap_uid, smapd_uid].contains(&facts.uid) {
            faults.push(Finding("the spool belongs to a stranger", "chown 0:0".into(), true));
        } else if facts.uid == smap_uid && !self.accounts.are_one() {
            faults.push(Finding(
                "the spool belongs to smap, which could change it",
                "chown 0:0".into(),
                false,
            ));
        }
        if !self.accounts.are_one() && facts.mode & 0o001 == 0 {
            faults.push(Finding("smap cannot enter the spool", "chmod 0755".into(), true));
        }
        faults
    }

    fn judge_incoming(&self, facts: &Facts) -> Vec<Finding> {
        let Accounts { smap_gid, smapd_uid, .. } = self.accounts;
        let mut faults = Vec::new();
        if facts.mode & 0o002 != 0 {
            faults.push(Finding("anyone may write here", "chmod o-w".into(), true));
        }
        if facts.uid != smapd_uid {
            faults.push(Finding("it does not belong to smapd", format!("chown {smapd_uid}"), true));
        }
        if self.accounts.are_one() {
            if facts.mode & 0o020 != 0 {
                faults.push(Finding("a group may write here", "chmod g-w".into(), true));
            }
            return faults;
        }
        if facts.gid != smap_gid {
            faults.push(Finding("its group is not smap's", format!("chgrp {smap_gid}"), true));
        }
        if facts.mode & 0o030 != 0o030 {
            faults.push(Finding("smap cannot create messages here", "chmod 1730".into(), true));
        }
        if facts.mode & 0o1000 == 0 {
            faults.push(Finding("smap could remove messages here", "chmod 1730".into(), true));
        }
        if facts.mode & 0o044 != 0 {
            faults.push(Finding("smap could list the messages here", "chmod 1730".into(), false));
        }
        faults
    }

    fn judge_private(&self, facts: &Facts) -> Vec<Finding> {
        let mut faults = Vec::new();
        if facts.uid != self.accounts.smapd_uid {
            faults.push(Finding(
                "it does not belong to smapd",
                format!("chown {}", self.accounts.smapd_uid),
                true,
            ));
        }
        if facts.mode & 0o022 != 0 {
            faults.push(Finding("others may write here", "chmod 0700".into(), true));
        } else if facts.mode & 0o077 != 0 {
            faults.push(Finding("others may look in here", "chmod 0700".into(), false));
        }
        faults
    }
}

fn create_file(path: &Path, owner: Option<u32>) -> io::Result<()> {
    match File::options().write(true).create_new(true).mode(0o600).open(path) {
        Ok(file) => std::os::unix::fs::fchown(file, owner, None),
        Err(cause) if cause.kind() == io::ErrorKind::AlreadyExists => Ok(()),
        Err(cause) => Err(cause),
    }
}

fn create(path: &Path, mode: u32, owner: Option<u32>, group: Option<u32>) -> io::Result<()> {
    // Nobody else may enter it before it has its owner.
    match DirBuilder::new().mode(0o700).create(path) {
        Ok(()) => {}
        Err(cause) if cause.kind() == io::ErrorKind::AlreadyExists => return Ok(()),
        Err(cause) => return Err(cause),
    }
    std::os::unix::fs::chown(path, owner, group)?;
    std::fs::set_permissions(path, std::os::unix::fs::PermissionsExt::from_mode(mode))
}
