//! Whether this machine is as the table needs it: users, our name, the spool, programs, mailboxes.
//!
//! Looks only; what it says to run is for the operator to run.

use std::fs::Metadata;
use std::io;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use netperm::Transport;
use netperm::site::Site;
use netperm::transport::LmtpTarget;
use nix::sys::statfs::{self, FsType, statfs};
use nix::unistd::geteuid;
use smap_common::account::Account;
use smap_common::interfaces;
use smapd::tls;

use super::{Finding, Level, lookup};

const WRITE_AND_SEARCH: u32 = 0o3;
const SEARCH: u32 = 0o1;

/// Where one fsync of a new file is known to make its name durable too.
const KNOWN: [(FsType, &str); 3] = [
    (statfs::EXT4_SUPER_MAGIC, "ext4"),
    (statfs::XFS_SUPER_MAGIC, "XFS"),
    (statfs::BTRFS_SUPER_MAGIC, "btrfs"),
];

/// Everything, in the order in which a message meets it.
pub(super) fn findings(site: &Site) -> Vec<Finding> {
    let mut findings = users(site);
    findings.push(hostname(site));
    findings.extend(toolkit(site));
    findings.extend(spool(site));
    let smapd = site.smapd_account.clone().unwrap_or_else(Account::current);
    findings.extend(tls_files(site));
    findings.extend(programs(site).into_iter().map(|program| judge_program(&program, &smapd)));
    findings.extend(folders(site).into_iter().map(|folder| judge_folder(&folder, &smapd)));
    findings.extend(sockets(site).into_iter().map(|socket| judge_socket(&socket, &smapd)));
    findings.push(lookup::finding(site));
    findings.extend(relaying_for_ourselves(site));
    findings
}

/// Rows of `access` that let an address of this machine relay: behind a NAT or a proxy every client has it.
fn relaying_for_ourselves(site: &Site) -> Vec<Finding> {
    let Some(access) = &site.smap.access else { return Vec::new() };
    let ours = interfaces::addresses().into_iter().filter(|address| !address.is_loopback());
    let rows = ours.filter_map(|address| Some((address, access.relays_alone(address)?)));
    rows.map(|(address, row)| {
        let text = format!(
            "{row}: {address} is this machine's: behind a NAT or a proxy every client has it, which is an open \
             relay then"
        );
        Finding::new(Level::Warning, text)
    })
    .collect()
}

/// The files that TLS needs, as smapd reads them when it starts.
fn tls_files(site: &Site) -> Vec<Finding> {
    match tls::Client::load(site) {
        Ok(client) => client.notes.into_iter().map(|text| Finding::new(Level::Warning, text)).collect(),
        Err(faults) => faults.iter().map(|fault| Finding::new(Level::Error, fault.to_string())).collect(),
    }
}

fn users(site: &Site) -> Vec<Finding> {
    let lacking = |program: &str| {
        let level = if geteuid().is_root() { Level::Error } else { Level::Note };
        let text = format!(
            "{program} has no userid and does not run when started as root; add: {program}: userid {program}"
        );
        Finding::new(level, text)
    };
    let root = |program: &str| {
        let text = format!("{program} would run as root; give it a user: {program}: userid {program}");
        Finding::new(Level::Error, text)
    };
    let mut findings = Vec::new();
    for (program, account) in [("smap", &site.smap_account), ("smapd", &site.smapd_account)] {
        match account {
            None => findings.push(lacking(program)),
            Some(Account { uid: 0, .. }) => findings.push(root(program)),
            Some(Account { uid, gid, .. }) => {
                findings.push(Finding::new(Level::Ok, format!("{program} runs as uid {uid}, gid {gid}")));
            }
        }
    }
    if site.smap_account.is_some() && site.layout.accounts().are_one() {
        let text = "smap and smapd are one user: a smap that is taken over can read and destroy mail; \
                    give each its own userid";
        findings.push(Finding::new(Level::Warning, text));
    }
    findings
}

fn hostname(site: &Site) -> Finding {
    let warning = |what: &str| {
        let text = format!(
            "our name, {}, {what}; other mail hosts may refuse it; add: smap, smapd: hostname mail.example.com",
            site.hostname
        );
        Finding::new(Level::Warning, text)
    };
    match site.hostname.name() {
        None => warning("is an address"),
        Some(name) if !name.contains('.') => warning("has no domain"),
        Some(name) if name.ends_with(".localdomain") || name.ends_with(".local") => {
            warning("is known on this network only")
        }
        Some(name) => Finding::new(Level::Ok, format!("our name is {name}")),
    }
}

/// A table of the toolkit's own names no domain: it gave every message to sendmail, whoever it was for.
fn toolkit(site: &Site) -> Option<Finding> {
    if !site.smap.domain.is_empty() || site.smapd.sendmail.is_none() {
        return None;
    }
    let text = "this is a table of the old toolkit's: smap must be told which domains are yours; \
                add: smap, smapd: domain example.com sendmail";
    Some(Finding::new(Level::Warning, text))
}

fn spool(site: &Site) -> Vec<Finding> {
    let faults = site.layout.faults_for_smapd();
    let mut findings: Vec<Finding> = faults
        .iter()
        .map(|fault| Finding::new(if fault.fatal { Level::Error } else { Level::Warning }, fault.to_string()))
        .collect();
    let root = site.layout.root();
    if findings.is_empty() {
        findings.push(Finding::new(Level::Ok, format!("the spool {}", root.display())));
    }
    if let Ok(facts) = statfs(root) {
        findings.push(filesystem(root, facts.filesystem_type()));
    }
    findings
}

fn filesystem(root: &Path, found: FsType) -> Finding {
    match KNOWN.into_iter().find(|(known, _)| *known == found) {
        Some((_, name)) => Finding::new(Level::Ok, format!("{} is on {name}", root.display())),
        None => {
            let text = format!(
                "{} is on {}: mail is safe from a power cut where one fsync makes a file and its name durable, as on \
                 ext4, XFS and btrfs",
                root.display(),
                name_of(found)
            );
            Finding::new(Level::Warning, text)
        }
    }
}

fn name_of(found: FsType) -> String {
    let known = [
        (statfs::TMPFS_MAGIC, "tmpfs, which is gone with the power"),
        (statfs::OVERLAYFS_SUPER_MAGIC, "overlayfs"),
        (statfs::NFS_SUPER_MAGIC, "NFS"),
        (statfs::FUSE_SUPER_MAGIC, "FUSE"),
    ];
    let name = known.into_iter().find(|(known, _)| *known == found).map(|(_, name)| name.to_owned());
    name.unwrap_or_else(|| format!("a filesystem of type {:#x}", found.0))
}

/// Every transport that the table names.
fn transports(site: &Site) -> impl Iterator<Item = &Transport> {
    let lines = site.smapd.domain.iter().map(|line| &line.transport);
    lines.chain(site.smapd.relay_host.iter().map(|relay| &relay.value))
}

fn programs(site: &Site) -> Vec<PathBuf> {
    let piped = transports(site).filter_map(|transport| match transport {
        Transport::Pipe { program, .. } => Some(program.clone()),
        _ => None,
    });
    unique(site.smapd.sendmail.iter().map(|path| path.0.clone()).chain(piped))
}

fn folders(site: &Site) -> Vec<PathBuf> {
    unique(transports(site).filter_map(|transport| match transport {
        Transport::Maildir(path) | Transport::Mbox(path) => Some(path.root().to_owned()),
        _ => None,
    }))
}

fn sockets(site: &Site) -> Vec<PathBuf> {
    unique(transports(site).filter_map(|transport| match transport {
        Transport::Lmtp { to: LmtpTarget::Unix(path), .. } => Some(path.clone()),
        _ => None,
    }))
}

fn unique(paths: impl Iterator<Item = PathBuf>) -> Vec<PathBuf> {
    let mut seen = Vec::new();
    paths.for_each(|path| {
        if !seen.contains(&path) {
            seen.push(path);
        }
    });
    seen
}

fn judge_program(path: &Path, smapd: &Account) -> Finding {
    let shown = path.display();
    let error = |what: String| Finding::new(Level::Error, what);
    match look(path, smapd) {
        Err(unreachable) => error(unreachable),
        Ok(facts) if !facts.is_file() => error(format!("{shown} is not a program")),
        Ok(facts) if !may(&facts, smapd, SEARCH) => {
            error(format!("{shown}: smapd's user (uid {}) may not run it: chmod a+x {shown}", smapd.uid))
        }
        Ok(facts) if facts.mode() & 0o022 != 0 => Finding::new(
            Level::Warning,
            format!("{shown}: others may change this program: chmod go-w {shown}"),
        ),
        Ok(_) => Finding::new(Level::Ok, format!("the program {shown}")),
    }
}

fn judge_folder(path: &Path, smapd: &Account) -> Finding {
    let shown = path.display();
    let error = |what: String| Finding::new(Level::Error, what);
    match look(path, smapd) {
        Err(unreachable) => {
            error(format!("{unreachable}; to make it: install -d -o {} -m 0700 {shown}", smapd.uid))
        }
        Ok(facts) if !facts.is_dir() => error(format!("{shown} is not a folder")),
        Ok(facts) if !may(&facts, smapd, WRITE_AND_SEARCH) => error(format!(
            "{shown}: smapd's user (uid {}) may not write mailboxes here: chown {} {shown}",
            smapd.uid, smapd.uid
        )),
        Ok(_) => Finding::new(Level::Ok, format!("the mailboxes in {shown}")),
    }
}

fn judge_socket(path: &Path, smapd: &Account) -> Finding {
    match look(path, smapd) {
        Err(unreachable) => {
            Finding::new(Level::Warning, format!("{unreachable}; is the mail store running?"))
        }
        Ok(facts) if !may_connect(&facts, smapd) => {
            let text = format!("{}: smapd's user (uid {}) may not connect to it", path.display(), smapd.uid);
            Finding::new(Level::Error, text)
        }
        Ok(_) => Finding::new(Level::Ok, format!("the socket {}", path.display())),
    }
}

/// What lies at `path`, if `account` can get there.
fn look(path: &Path, account: &Account) -> Result<Metadata, String> {
    let above: Vec<&Path> = path.ancestors().skip(1).collect();
    for folder in above.into_iter().rev() {
        if folder.metadata().is_ok_and(|facts| !may(&facts, account, SEARCH)) {
            let folder = folder.display();
            return Err(format!(
                "{}: smapd's user (uid {}) cannot pass through {folder}: chmod a+x {folder}",
                path.display(),
                account.uid
            ));
        }
    }
    path.metadata().map_err(|cause| match cause.kind() {
        io::ErrorKind::NotFound => format!("{} does not exist", path.display()),
        _ => format!("{} cannot be looked at: {cause}", path.display()),
    })
}

/// Whether `account` may connect to a socket.
pub(super) fn may_connect(facts: &Metadata, account: &Account) -> bool {
    may(facts, account, 0o2)
}

/// Whether the mode gives `account` all of these rights (of one octal digit).
fn may(facts: &Metadata, account: &Account, rights: u32) -> bool {
    let mode = facts.mode();
    let granted = match account {
        Account { uid: 0, .. } => mode | mode >> 3 | mode >> 6 | 0o6,
        Account { uid, .. } if *uid == facts.uid() => mode >> 6,
        Account { gid, groups, .. } if *gid == facts.gid() || groups.contains(&facts.gid()) => mode >> 3,
        _ => mode,
    };
    granted & rights == rights
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::PermissionsExt;

    fn file(mode: u32) -> (tempfile::TempDir, PathBuf) {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("program");
        std::fs::write(&path, "").unwrap();
        std::fs::set_permissions(&path, PermissionsExt::from_mode(mode)).unwrap();
        (folder, path)
    }

    fn stranger() -> Account {
        Account { uid: 4_000_000, gid: 4_000_000, groups: Vec::new() }
    }

    #[test]
    fn the_mode_speaks_to_the_owner_or_the_group_or_the_rest() {
        let (_folder, path) = file(0o751);
        let facts = path.metadata().unwrap();
        let owner = Account { uid: facts.uid(), gid: facts.gid(), groups: Vec::new() };
        let member = Account { uid: 4_000_000, groups: vec![facts.gid()], ..stranger() };
        assert!(may(&facts, &owner, WRITE_AND_SEARCH));
        assert!(may(&facts, &member, 0o5) && !may(&facts, &member, WRITE_AND_SEARCH));
        assert!(may(&facts, &stranger(), SEARCH) && !may(&facts, &stranger(), 0o5));
    }

    #[test]
    fn root_may_all_but_run_what_nobody_may_run() {
        let root = Account { uid: 0, gid: 0, groups: Vec::new() };
        let (_folder, path) = file(0o600);
        let facts = path.metadata().unwrap();
        assert!(!may(&facts, &root, SEARCH) && may(&facts, &root, 0o6));
    }

    #[test]
    fn a_program_that_is_not_there_or_cannot_be_run_is_an_error() {
        let me = Account::current();
        let (_folder, path) = file(0o644);
        assert_eq!(judge_program(&path, &me).level, Level::Error);
        assert_eq!(judge_program(&path.with_extension("gone"), &me).level, Level::Error);
        let (_folder, path) = file(0o755);
        assert_eq!(judge_program(&path, &me).level, Level::Ok);
    }

    #[test]
    fn a_folder_that_cannot_be_reached_names_the_one_in_the_way() {
        let folder = tempfile::tempdir().unwrap();
        let inside = folder.path().join("mail");
        std::fs::create_dir(&inside).unwrap();
        std::fs::set_permissions(folder.path(), PermissionsExt::from_mode(0o700)).unwrap();
        let found = judge_folder(&inside, &stranger());
        assert_eq!(found.level, Level::Error);
        assert!(
            found.text.contains(&format!("cannot pass through {}: chmod", folder.path().display())),
            "{found}"
        );
    }

    #[test]
    fn only_known_filesystems_are_ok() {
        let spool = Path::new("/spool");
        assert_eq!(filesystem(spool, statfs::EXT4_SUPER_MAGIC).level, Level::Ok);
        assert_eq!(filesystem(spool, statfs::TMPFS_MAGIC).level, Level::Warning);
        assert!(filesystem(spool, FsType(0x1234)).text.contains("of type 0x1234"));
    }
}
