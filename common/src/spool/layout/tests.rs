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
