//! Whether smapd can reach what the table names beside the spool: programs, folders of mailboxes, sockets.
//!
//! Looks only, with the eyes of smapd's user.

use std::fs::Metadata;
use std::io;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use netperm::Transport;
use netperm::site::Site;
use netperm::transport::LmtpTarget;
use smap_common::account::Account;

use super::{Finding, Level};

const WRITE_AND_SEARCH: u32 = 0o3;
const SEARCH: u32 = 0o1;

/// All of them.
pub(super) fn findings(site: &Site, smapd: &Account) -> Vec<Finding> {
    let safe_programs = site.smapd.safe_programs.iter().map(|folder| &folder.value.0);
    let mut findings: Vec<Finding> =
        safe_programs.map(|folder| judge_folder_of_programs(folder, smapd)).collect();
    findings.extend(programs(site).into_iter().map(|program| judge_program(&program, smapd)));
    findings.extend(folders(site).into_iter().map(|folder| judge_folder(&folder, smapd)));
    findings.extend(sockets(site).into_iter().map(|socket| judge_socket(&socket, smapd)));
    findings
}

/// The transports that the table names.
fn transports(site: &Site) -> impl Iterator<Item = &Transport> {
    site.smapd.transports().map(|(_, transport)| transport)
}

fn programs(site: &Site) -> Vec<PathBuf> {
    let piped = transports(site).filter_map(|transport| match transport {
        Transport::Pipe { program, .. } => Some(program.clone()),
        _ => None,
    });
    let sendmail = site.smapd.sendmail.iter().map(|path| path.0.clone());
    unique(sendmail.chain(piped).chain(safe_programs(site)))
}

/// What somebody may run in the folder of the programs that aliases name: whatever else lies there is none of them.
fn safe_programs(site: &Site) -> Vec<PathBuf> {
    let folder = site.smapd.safe_programs.iter().filter_map(|folder| folder.value.0.read_dir().ok());
    let files = folder.flatten().filter_map(|entry| Some(entry.ok()?.path()));
    let can_run = |facts: Metadata| facts.is_file() && facts.mode() & 0o111 != 0;
    let mut programs: Vec<PathBuf> = files.filter(|path| path.metadata().is_ok_and(can_run)).collect();
    programs.sort();
    programs
}

/// The folders that mailboxes lie in, and that of the files that aliases may write.
fn folders(site: &Site) -> Vec<PathBuf> {
    let mailboxes = transports(site).filter_map(Transport::mailboxes).map(Path::to_owned);
    unique(mailboxes.chain(site.smapd.safe_files.iter().map(|folder| folder.value.0.clone())))
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

fn judge_folder_of_programs(path: &Path, smapd: &Account) -> Finding {
    let shown = path.display();
    let error = |what: String| Finding::new(Level::Error, what);
    match look(path, smapd) {
        Err(unreachable) => error(unreachable),
        Ok(facts) if !facts.is_dir() => error(format!("{shown} is not a folder")),
        Ok(facts) if !may(&facts, smapd, SEARCH) => error(format!(
            "{shown}: smapd's user (uid {}) may not run what lies here: chmod a+x {shown}",
            smapd.uid
        )),
        Ok(facts) if facts.mode() & 0o022 != 0 => Finding::new(
            Level::Warning,
            format!("{shown}: others may put programs here that aliases can name: chmod go-w {shown}"),
        ),
        Ok(_) => Finding::new(Level::Ok, format!("the programs in {shown}")),
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
    use std::os::unix::fs::PermissionsExt;

    use super::*;

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
}
