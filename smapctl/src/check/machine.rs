//! Whether this machine is as the table needs it: users, our name, the spool.
//!
//! Looks only; what it says to run is for the operator to run.

use std::path::Path;

use netperm::site::Site;
use nix::sys::statfs::{self, FsType, statfs};
use nix::unistd::geteuid;
use smap_common::account::Account;
use smap_common::interfaces;
use smapd::tls;

use super::{Finding, Level, lookup, paths};

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
    findings.extend(paths::findings(site, &smapd));
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_known_filesystems_are_ok() {
        let spool = Path::new("/spool");
        assert_eq!(filesystem(spool, statfs::EXT4_SUPER_MAGIC).level, Level::Ok);
        assert_eq!(filesystem(spool, statfs::TMPFS_MAGIC).level, Level::Warning);
        assert!(filesystem(spool, FsType(0x1234)).text.contains("of type 0x1234"));
    }
}
