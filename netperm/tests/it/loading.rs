//! Which files are believed.

use std::fs::{self, Permissions};
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::{Path, PathBuf};

use netperm::{Faults, Table, load};

const TABLE: &str = "smap, smapd: domain example.com smtp:[10.0.0.5]\n";

fn load_with_mode(name: &str, mode: u32) -> (PathBuf, Result<Table, Faults>) {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join(name);
    fs::write(&file, TABLE).unwrap();
    fs::set_permissions(&file, Permissions::from_mode(mode)).unwrap();
    let table = Table::load(&file);
    (file, table)
}

fn fault(result: Result<Table, Faults>) -> String {
    result.unwrap_err().to_string()
}

#[test]
fn a_private_table_is_read_without_a_word() {
    let (_, table) = load_with_mode("netperm-table", 0o640);
    assert_eq!(table.unwrap().notes(), []);
}

#[test]
fn a_table_that_everyone_can_read_gets_a_note() {
    let (file, table) = load_with_mode("netperm-table", 0o644);
    let notes = table.unwrap().check().unwrap();
    let file = file.display();
    assert_eq!(
        notes.first().unwrap().to_string(),
        format!(
            "{file}: note: everyone can read this table, which must not hold secrets then: chmod o-r {file}"
        )
    );
}

#[test]
fn a_table_that_everyone_can_write_is_refused_with_the_command_that_mends_it() {
    let (file, table) = load_with_mode("netperm-table", 0o602);
    let file = file.display();
    assert_eq!(fault(table), format!("{file}: everyone can write this table: chmod go-w {file}"));
}

#[test]
fn a_table_that_a_strange_group_can_write_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("netperm-table");
    fs::write(&file, TABLE).unwrap();
    if std::os::unix::fs::chown(&file, None, Some(12_345)).is_err() {
        return; // Only root gives files away.
    }
    fs::set_permissions(&file, Permissions::from_mode(0o660)).unwrap();
    let shown = file.display();
    assert_eq!(
        fault(Table::load(&file)),
        format!("{shown}: the group 12345 can write this table: chmod g-w {shown}")
    );
}

#[test]
fn our_own_group_may_write() {
    let (_, table) = load_with_mode("netperm-table", 0o660);
    assert!(table.is_ok());
}

#[test]
fn only_a_regular_file_is_a_table() {
    let folder = tempfile::tempdir().unwrap();
    let fifo = folder.path().join("fifo");
    nix::unistd::mkfifo(&fifo, nix::sys::stat::Mode::S_IRUSR).unwrap();
    for file in [folder.path(), &fifo, Path::new("/dev/null")] {
        assert_eq!(fault(Table::load(file)), format!("{}: this is not a regular file", file.display()));
    }
}

#[test]
fn a_missing_table_is_named() {
    let text = fault(Table::load(Path::new("/nonexistent/netperm-table")));
    assert!(text.starts_with("/nonexistent/netperm-table: the table can't be read: No such file"), "{text}");
}

#[test]
fn a_link_is_judged_by_what_it_leads_to() {
    let folder = tempfile::tempdir().unwrap();
    let (file, link) = (folder.path().join("real"), folder.path().join("netperm-table"));
    fs::write(&file, TABLE).unwrap();
    fs::set_permissions(&file, Permissions::from_mode(0o606)).unwrap();
    symlink(&file, &link).unwrap();
    assert!(fault(Table::load(&link)).contains("everyone can write this table"));
}

#[test]
fn the_name_says_which_syntax() {
    let (_, table) = load_with_mode("netperm-table.toml", 0o600);
    assert!(fault(table).contains("netperm-table.toml:1: "));
}

/// A table that names a mailertable of these octets and this mode.
fn load_with_mailertable(text: &str, mode: u32) -> (PathBuf, Result<Table, Faults>) {
    let folder = tempfile::tempdir().unwrap();
    let (file, mailertable) = (folder.path().join("netperm-table"), folder.path().join("mailertable"));
    fs::write(&mailertable, text).unwrap();
    fs::set_permissions(&mailertable, Permissions::from_mode(mode)).unwrap();
    fs::write(&file, format!("{TABLE}smapd: mailertable {}\n", mailertable.display())).unwrap();
    fs::set_permissions(&file, Permissions::from_mode(0o600)).unwrap();
    let table = Table::load(&file);
    (mailertable, table)
}

#[test]
fn a_mailertable_is_read_with_the_table() {
    let (_, table) = load_with_mailertable("example.org smtp:[10.0.0.6]\n", 0o644);
    let table = table.unwrap();
    assert_eq!(table.notes(), []);
    assert_eq!(table.smapd().unwrap().0.mailertable.unwrap().entries().len(), 1);
}

#[test]
fn a_mailertable_that_everyone_can_write_is_refused() {
    let (mailertable, table) = load_with_mailertable("", 0o646);
    let (text, mailertable) = (fault(table), mailertable.display());
    let wanted =
        format!(":2: mailertable: {mailertable}: everyone can write this table: chmod go-w {mailertable}");
    assert!(text.ends_with(&wanted), "{text}");
}

#[test]
fn a_mailertable_that_is_not_there_is_named() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("netperm-table");
    fs::write(&file, "smapd: mailertable /nonexistent/mailertable\n").unwrap();
    let text = fault(Table::load(&file));
    assert!(
        text.contains(":1: mailertable: /nonexistent/mailertable: the table can't be read: No such"),
        "{text}"
    );
}

#[test]
fn a_wrong_line_of_a_mailertable_is_named_by_file_and_number() {
    let (mailertable, table) = load_with_mailertable("# ways\nexample.org smpt:a\n", 0o600);
    let wanted = format!("{}:2: unknown mailer \"smpt\", did you mean \"smtp\"?", mailertable.display());
    assert_eq!(fault(table), wanted);
}

#[test]
fn the_command_line_comes_before_the_default_places() {
    assert_eq!(load::find(Some(Path::new("here"))), PathBuf::from("here"));
    assert!(load::DEFAULT_TABLES.map(PathBuf::from).contains(&load::find(None)));
}

#[test]
fn a_wrong_line_is_named_by_file_and_number() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("netperm-table");
    fs::write(&file, format!("{TABLE}\nsmap: timeout never\n")).unwrap();
    let shown = file.display();
    assert_eq!(
        fault(Table::load(&file)),
        format!("{shown}:3: timeout: \"never\" is not a duration (such as 90, 30s, 15m, 1h30m or 5d)")
    );
}

/// A table that names aliases with these rows, in a folder with a program `safe/archive` and a file `list`.
fn load_with_aliases(rows: &str, mode: u32) -> (tempfile::TempDir, Result<Table, Faults>) {
    let folder = tempfile::tempdir().unwrap();
    let path = |name: &str| folder.path().join(name);
    fs::create_dir(path("safe")).unwrap();
    for (name, mode) in [("safe/archive", 0o755), ("safe/notes", 0o644)] {
        fs::write(path(name), "").unwrap();
        fs::set_permissions(path(name), Permissions::from_mode(mode)).unwrap();
    }
    fs::write(path("aliases"), format!("postmaster: root\n{rows}\n")).unwrap();
    fs::set_permissions(path("aliases"), Permissions::from_mode(mode)).unwrap();
    let at = folder.path().display();
    let text = format!("{TABLE}smapd: aliases {at}/aliases\nsmapd: safe-programs {at}/safe\n");
    fs::write(path("netperm-table"), text).unwrap();
    fs::set_permissions(path("netperm-table"), Permissions::from_mode(0o600)).unwrap();
    let table = Table::load(&path("netperm-table"));
    (folder, table)
}

#[test]
fn a_program_of_an_alias_must_be_there_and_may_be_run() {
    let (_folder, table) = load_with_aliases("list: \"|/anywhere/archive list\"", 0o644);
    assert_eq!(table.unwrap().notes(), []);
    for missing in ["sh", "notes", "safe"] {
        let (folder, table) = load_with_aliases(&format!("list: \"|/bin/{missing}\""), 0o644);
        let at = folder.path().display();
        assert_eq!(
            fault(table),
            format!(
                "{at}/aliases:2: |{missing}: no program {missing} that can be run stands in {at}/safe (safe-programs)"
            )
        );
    }
}

#[test]
fn aliases_that_everyone_can_write_are_refused() {
    let (folder, table) = load_with_aliases("list: joe", 0o646);
    let (text, file) = (fault(table), folder.path().join("aliases").display().to_string());
    assert!(
        text.ends_with(&format!(":2: aliases: {file}: everyone can write this table: chmod go-w {file}")),
        "{text}"
    );
}

#[test]
fn a_list_that_everyone_can_write_is_not_believed() {
    let folder = tempfile::tempdir().unwrap();
    let list = folder.path().join("list");
    fs::write(&list, "joe\n").unwrap();
    for (mode, said) in [(0o644, Ok(b"joe\n".to_vec())), (0o646, Err("everyone can write this table"))] {
        fs::set_permissions(&list, Permissions::from_mode(mode)).unwrap();
        match (load::included(&list), said) {
            (Ok(found), Ok(said)) => assert_eq!(found, said),
            (Err(found), Err(said)) => assert!(found.starts_with(said), "{found}"),
            (found, _) => panic!("{mode:o}: {found:?}"),
        }
    }
}
