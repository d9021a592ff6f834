use super::*;
use std::fs::{Permissions, create_dir, set_permissions};
use std::os::unix::fs::PermissionsExt;

fn me() -> Accounts {
    let uid = nix::unistd::geteuid().as_raw();
    Accounts { smap_uid: uid, smap_gid: nix::unistd::getegid().as_raw(), smapd_uid: uid }
}

fn whats(faults: &[LayoutFault]) -> Vec<&'static str> {
    faults.iter().map(|fault| fault.what).collect()
}

#[test]
fn what_create_missing_makes_is_fit_for_use() {
    let folder = tempfile::tempdir().unwrap();
    let layout = Layout::new(&folder.path().join("spool"), me());
    layout.create_missing().unwrap();
    assert_eq!(layout.faults_for_smapd(), []);
    layout.create_missing().unwrap();
}

#[test]
fn a_spool_that_anyone_may_write_is_refused_with_the_command_that_mends_it() {
    let folder = tempfile::tempdir().unwrap();
    let layout = Layout::new(folder.path(), me());
    layout.create_missing().unwrap();
    set_permissions(folder.path(), Permissions::from_mode(0o777)).unwrap();
    let faults = layout.faults_for_smap();
    assert_eq!(whats(&faults), ["others may write in the spool"]);
    assert_eq!(faults[0].mend, format!("chmod go-w {}", folder.path().display()));
    assert!(faults[0].fatal);
}

#[test]
fn a_missing_folder_is_named() {
    let folder = tempfile::tempdir().unwrap();
    let layout = Layout::new(folder.path(), me());
    assert_eq!(whats(&layout.faults_for_smap()), ["the folder does not exist"]);
}

#[test]
fn with_two_users_the_wall_is_checked() {
    let folder = tempfile::tempdir().unwrap();
    set_permissions(folder.path(), Permissions::from_mode(0o755)).unwrap();
    let two = Accounts { smap_uid: 40001, ..me() };
    create_dir(folder.path().join(INCOMING)).unwrap();
    let layout = Layout::new(folder.path(), two);
    let cases: [(u32, &[&str]); 4] = [
        (0o1730, &[]),
        (0o730, &["smap could remove messages here"]),
        (0o1770, &["smap could list the messages here"]),
        (0o1700, &["smap cannot create messages here"]),
    ];
    for (mode, expected) in cases {
        set_permissions(layout.incoming(), Permissions::from_mode(mode)).unwrap();
        assert_eq!(whats(&layout.faults_for_smap()), expected, "{mode:o}");
    }
}

#[test]
fn a_queue_that_belongs_to_somebody_else_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    set_permissions(folder.path(), Permissions::from_mode(0o755)).unwrap();
    Layout::new(folder.path(), me()).create_missing().unwrap();
    let mut layout = Layout::new(folder.path(), me());
    layout.accounts.smapd_uid = 40002;
    layout.accounts.smap_uid = 40002;
    assert!(layout.faults_for_smapd().iter().any(|fault| fault.fatal));
}

const TWO: Accounts = Accounts { smap_uid: 11, smap_gid: 12, smapd_uid: 13 };
const ONE: Accounts = Accounts { smap_uid: 11, smap_gid: 12, smapd_uid: 11 };

/// Mode, owner and group of a folder.
type Kept = (u32, u32, u32);

/// What is said of a folder with that mode, owner and group; in capitals if the programs refuse to run with it.
fn said(
    accounts: Accounts,
    rules: impl Fn(&Layout, &Facts) -> Vec<Finding>,
    (mode, uid, gid): Kept,
) -> Vec<String> {
    let findings = rules(&Layout::new(Path::new("/spool"), accounts), &Facts { mode, uid, gid });
    let say = |Finding(what, mend, fatal): Finding| match fatal {
        true => format!("{}; {mend}", what.to_uppercase()),
        false => format!("{what}; {mend}"),
    };
    findings.into_iter().map(say).collect()
}

#[test]
fn the_spool_belongs_to_root_and_only_its_owner_writes_in_it() {
    let cases: [(Accounts, Kept, &[&str]); 10] = [
        (TWO, (0o755, 0, 0), &[]),
        (TWO, (0o755, 13, 0), &[]),
        (TWO, (0o711, 0, 99), &[]),
        (TWO, (0o775, 0, 0), &["OTHERS MAY WRITE IN THE SPOOL; chmod go-w"]),
        (TWO, (0o757, 0, 0), &["OTHERS MAY WRITE IN THE SPOOL; chmod go-w"]),
        (TWO, (0o755, 99, 0), &["THE SPOOL BELONGS TO A STRANGER; chown 0:0"]),
        (TWO, (0o755, 11, 0), &["the spool belongs to smap, which could change it; chown 0:0"]),
        (TWO, (0o750, 0, 0), &["SMAP CANNOT ENTER THE SPOOL; chmod 0755"]),
        (ONE, (0o755, 11, 0), &[]),
        (ONE, (0o700, 0, 0), &[]),
    ];
    for (accounts, facts, expected) in cases {
        assert_eq!(said(accounts, Layout::judge_root, facts), expected, "{facts:?}");
    }
}

#[test]
fn in_incoming_smap_may_create_and_nothing_else() {
    let cases: [(Accounts, Kept, &[&str]); 13] = [
        (TWO, (0o1730, 13, 12), &[]),
        (TWO, (0o1732, 13, 12), &["ANYONE MAY WRITE HERE; chmod o-w"]),
        (TWO, (0o1730, 11, 12), &["IT DOES NOT BELONG TO SMAPD; chown 13"]),
        (TWO, (0o1730, 13, 99), &["ITS GROUP IS NOT SMAP'S; chgrp 12"]),
        (TWO, (0o1720, 13, 12), &["SMAP CANNOT CREATE MESSAGES HERE; chmod 1730"]),
        (TWO, (0o1710, 13, 12), &["SMAP CANNOT CREATE MESSAGES HERE; chmod 1730"]),
        (TWO, (0o730, 13, 12), &["SMAP COULD REMOVE MESSAGES HERE; chmod 1730"]),
        (TWO, (0o1770, 13, 12), &["smap could list the messages here; chmod 1730"]),
        (TWO, (0o1734, 13, 12), &["smap could list the messages here; chmod 1730"]),
        (ONE, (0o700, 11, 99), &[]),
        (ONE, (0o755, 11, 12), &[]),
        (ONE, (0o770, 11, 12), &["A GROUP MAY WRITE HERE; chmod g-w"]),
        (
            ONE,
            (0o702, 13, 12),
            &["ANYONE MAY WRITE HERE; chmod o-w", "IT DOES NOT BELONG TO SMAPD; chown 11"],
        ),
    ];
    for (accounts, facts, expected) in cases {
        assert_eq!(said(accounts, Layout::judge_incoming, facts), expected, "{facts:?}");
    }
}

#[test]
fn what_smapd_keeps_nobody_else_may_see() {
    let cases: [(Kept, &[&str]); 7] = [
        ((0o700, 13, 99), &[]),
        ((0o700, 11, 99), &["IT DOES NOT BELONG TO SMAPD; chown 13"]),
        ((0o720, 13, 99), &["OTHERS MAY WRITE HERE; chmod 0700"]),
        ((0o702, 13, 99), &["OTHERS MAY WRITE HERE; chmod 0700"]),
        ((0o710, 13, 99), &["others may look in here; chmod 0700"]),
        ((0o704, 13, 99), &["others may look in here; chmod 0700"]),
        ((0o701, 13, 99), &["others may look in here; chmod 0700"]),
    ];
    for (facts, expected) in cases {
        assert_eq!(said(TWO, Layout::judge_private, facts), expected, "{facts:?}");
    }
}

#[test]
fn the_command_that_mends_a_missing_folder_makes_it_fit_for_use() {
    let folder = tempfile::tempdir().unwrap();
    let root = folder.path().join("spool");
    let mends = |layout: &Layout| -> Vec<String> {
        layout.faults_for_smapd().into_iter().map(|fault| fault.mend).collect()
    };
    let layout = Layout::new(&root, TWO);
    assert_eq!(mends(&layout), [format!("install -d -m 0755 {}", root.display())]);
    create_dir(&root).unwrap();
    set_permissions(&root, Permissions::from_mode(0o755)).unwrap();
    let two = Layout::new(&root, Accounts { smap_uid: 40001, ..me() });
    let Accounts { smap_gid, smapd_uid, .. } = two.accounts();
    let incoming = two.incoming();
    assert_eq!(
        mends(&two),
        [format!("install -d -o {smapd_uid} -g {smap_gid} -m 1730 {}", incoming.display())]
    );
    let one = Layout::new(&root, me());
    assert_eq!(mends(&one), [format!("install -d -o {smapd_uid} -m 0700 {}", incoming.display())]);
    create_dir(&incoming).unwrap();
    set_permissions(&incoming, Permissions::from_mode(0o700)).unwrap();
    let wanted = |folder: &Path| format!("install -d -o {smapd_uid} -m 0700 {}", folder.display());
    assert_eq!(mends(&one), [one.queue(), one.own_bad(), one.control()].each_ref().map(|path| wanted(path)));
}

#[test]
fn what_is_no_folder_is_named() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("file");
    std::fs::write(&file, b"").unwrap();
    assert_eq!(whats(&Layout::new(&file, me()).faults_for_smap()), ["not a folder"]);
    let below = Layout::new(&file.join("spool"), me());
    assert_eq!(whats(&below.faults_for_smap()), ["the folder cannot be looked at"]);
    assert!(below.faults_for_smap()[0].fatal);
    assert_eq!(below.create_missing().unwrap_err().0, file.join("spool"));
}

#[test]
fn a_fault_is_said_with_its_folder_and_the_command_that_mends_it() {
    let faults = Layout::new(Path::new("/nowhere/spool"), me()).faults_for_smap();
    let said = "/nowhere/spool: the folder does not exist; to mend it: install -d -m 0755 /nowhere/spool";
    assert_eq!(faults[0].to_string(), said);
}

#[test]
fn what_is_set_aside_may_have_a_folder_elsewhere() {
    let folder = tempfile::tempdir().unwrap();
    let (root, bad) = (folder.path().join("spool"), folder.path().join("elsewhere"));
    let layout = Layout::new(&root, me()).with_bad(bad.clone());
    assert_eq!((layout.root(), layout.bad()), (root.as_path(), bad.as_path()));
    layout.create_missing().unwrap();
    assert!(bad.is_dir() && layout.own_bad().is_dir());
    std::fs::remove_dir(&bad).unwrap();
    let faults = layout.faults_for_smapd();
    assert_eq!(faults.iter().map(|fault| &fault.path).collect::<Vec<_>>(), [&bad]);
}

#[test]
fn create_missing_makes_folders_with_their_modes_and_leaves_others_alone() {
    let folder = tempfile::tempdir().unwrap();
    let root = folder.path().join("spool");
    let layout = Layout::new(&root, Accounts { smap_uid: 40001, ..me() });
    create_dir(&root).unwrap();
    set_permissions(&root, Permissions::from_mode(0o711)).unwrap();
    layout.create_missing().unwrap();
    std::fs::write(layout.lock(), b"1").unwrap();
    layout.create_missing().unwrap();
    let mode = |path: &Path| path.symlink_metadata().unwrap().mode() & 0o7777;
    let made = [root, layout.incoming(), layout.queue(), layout.own_bad(), layout.lock(), layout.control()];
    assert_eq!(made.each_ref().map(|path| mode(path)), [0o711, 0o1730, 0o700, 0o700, 0o600, 0o700]);
    assert_eq!(std::fs::read(layout.lock()).unwrap(), b"1");
    assert_eq!(layout.incoming().metadata().unwrap().gid(), me().smap_gid);
}

#[test]
fn mail_flows_without_a_folder_for_the_operators_socket() {
    let folder = tempfile::tempdir().unwrap();
    let layout = Layout::new(&folder.path().join("spool"), me());
    layout.create_missing().unwrap();
    assert_eq!(layout.faults_for_smapd(), []);
    std::fs::remove_dir(layout.control()).unwrap();
    let faults = layout.faults_for_smapd();
    assert_eq!(
        faults.iter().map(|fault| (&fault.path, fault.fatal)).collect::<Vec<_>>(),
        [(&layout.control(), false)]
    );
}

#[test]
fn a_lock_that_cannot_be_made_is_a_failure() {
    let folder = tempfile::tempdir().unwrap();
    let lock = folder.path().join("missing/lock");
    assert_eq!(create_file(&lock, None).unwrap_err().kind(), io::ErrorKind::NotFound);
}
