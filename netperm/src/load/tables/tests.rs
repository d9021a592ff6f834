use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::PathBuf;

use tempfile::TempDir;

use super::*;
use crate::access::Access;
use crate::fault::{Faults, Note};
use crate::hosts::{Client, ClientName};
use crate::policy::{Facts, connect};
use crate::table::Table;

/// A folder with a text.
struct Folder(TempDir);

impl Folder {
    fn new(text: &str) -> Self {
        let folder = Self(tempfile::tempdir().unwrap());
        folder.write(text);
        folder
    }

    fn text(&self) -> PathBuf {
        self.0.path().join("access")
    }

    fn write(&self, text: &str) {
        fs::write(self.text(), text).unwrap();
    }

    fn compile(&self) {
        let source = Source::read(&self.text()).unwrap();
        let (access, _) = Access::parse(&self.text(), &source.bytes);
        let (map, shape) = access.rows_and_shape();
        self.put(&map.compile(Kind::Access, &shape, &Stamp::of(&source.metadata)).unwrap());
    }

    fn put(&self, compiled: &[u8]) {
        fs::write(compiled_name(&self.text()), compiled).unwrap();
    }

    fn table(&self, attribute: &str) -> Result<Table, Faults> {
        let table = self.0.path().join("netperm-table");
        fs::write(&table, format!("smap: {attribute} {}\n", self.text().display())).unwrap();
        fs::set_permissions(&table, fs::Permissions::from_mode(0o600)).unwrap();
        Table::load(&table)
    }

    fn shown(&self, notes: &[Note]) -> Vec<String> {
        let folder = format!("{}/", self.0.path().display());
        notes.iter().map(|note| note.to_string().replace(&folder, "")).collect()
    }

    /// What a client at 192.0.2.1 meets, and what is to be known.
    fn load(&self) -> (&'static str, Vec<String>) {
        let table = self.table("access").unwrap();
        let smap = table.smap().unwrap().0;
        let client = Client { address: Some([192, 0, 2, 1].into()), name: ClientName::Unknown };
        let met = if connect(&smap, &Facts::of(&client)).is_permit() { "OK" } else { "REJECT" };
        (met, self.shown(table.warnings()))
    }
}

/// A text, and another one.
const TEXT: &str = "192.0.2.1 OK\n";
const OTHER: &str = "192.0.2.1 REJECT\n";

#[test]
fn a_text_alone_is_read() {
    assert_eq!(Folder::new(TEXT).load(), ("OK", vec![]));
}

#[test]
fn what_was_compiled_of_the_text_is_used() {
    let folder = Folder::new(TEXT);
    folder.compile();
    // A reader of the text would not get this far.
    let made = compiled(Kind::Access, &folder.text());
    assert!(made.map.unwrap().is_compiled() && made.notes.is_empty());
    assert_eq!(folder.load(), ("OK", vec![]));
}

#[test]
fn what_was_compiled_of_another_text_is_used_and_said_to_be_stale() {
    let folder = Folder::new(TEXT);
    folder.compile();
    folder.write(OTHER);
    let stale = "netperm-table:1: note: access: access: access.cdb was made from another state of it, and is used as it \
                 is: smapctl compile access";
    assert_eq!(folder.load(), ("OK", vec![stale.to_owned()]));
    let notes = folder.table("access").unwrap().check().unwrap();
    assert!(folder.shown(&notes).iter().any(|note| note == stale), "{notes:?}");
}

/// The same octets with others from some position on.
fn with(whole: &[u8], text: &str, other: &str) -> Vec<u8> {
    let at = whole.windows(text.len()).position(|window| window == text.as_bytes()).unwrap();
    [&whole[..at], other.as_bytes(), &whole[at + other.len()..]].concat()
}

#[test]
fn what_cannot_be_used_gives_way_to_the_text() {
    let folder = Folder::new(OTHER);
    folder.compile();
    let whole = fs::read(compiled_name(&folder.text())).unwrap();
    folder.write(TEXT);
    let damaged = "it is damaged";
    for (bytes, why) in [
        (whole[..whole.len() - 1].to_vec(), damaged),
        (whole[..100].to_vec(), damaged),
        (Vec::new(), damaged),
        (b"a OK\n".to_vec(), damaged),
        (with(&whole, "access - - addresses-refuse", "access - - names-of-others"), damaged),
        (with(&whole, "access - - addresses-refuse", "access-----"), damaged),
        (with(&whole, "smap-table 1", "smap-table 2"), "it was not made by this version of smapctl"),
        (with(&whole, "access - - addresses-refuse", "ACCESS"), "it was not made for access"),
    ] {
        folder.put(&bytes);
        let not_used = format!(
            "netperm-table:1: note: access: access: access.cdb is not used: {why}: smapctl compile access"
        );
        assert_eq!(folder.load(), ("OK", vec![not_used]));
    }
}

#[test]
fn what_was_compiled_for_another_attribute_gives_way_to_the_text() {
    let folder = Folder::new("example.com\n");
    folder.write("user@example.com joe\n");
    let source = Source::read(&folder.text()).unwrap();
    let (map, _) = Map::parse(&folder.text(), &source.bytes);
    folder.put(&map.compile(Kind::Virtusertable, "", &Stamp::of(&source.metadata)).unwrap());
    assert!(folder.table("virtusertable").unwrap().warnings().is_empty());
    folder.write("example.com\n");
    let table = folder.table("relay-domains").unwrap();
    assert!(table.smap().unwrap().0.relay_domains.unwrap().has_domains());
    assert!(table.warnings()[0].text.contains("is not used: it was not made for relay-domains"));
}

#[test]
fn what_everyone_can_write_is_not_believed() {
    let folder = Folder::new(TEXT);
    folder.compile();
    folder.write(OTHER);
    fs::set_permissions(compiled_name(&folder.text()), fs::Permissions::from_mode(0o666)).unwrap();
    let (met, notes) = folder.load();
    assert_eq!(met, "REJECT");
    assert!(notes[0].contains("everyone can write this table: chmod go-w access.cdb"), "{notes:?}");
}

#[test]
fn a_fifo_beside_the_text_is_not_waited_for() {
    let folder = Folder::new(TEXT);
    nix::unistd::mkfifo(&compiled_name(&folder.text()), nix::sys::stat::Mode::S_IRWXU).unwrap();
    let (met, notes) = folder.load();
    assert_eq!((met, notes.len()), ("OK", 1));
}

#[test]
fn what_others_may_write_is_read_and_not_mapped() {
    let folder = Folder::new(TEXT);
    folder.compile();
    // The group may be root's: then it is believed.
    let name = compiled_name(&folder.text());
    fs::set_permissions(&name, fs::Permissions::from_mode(0o664)).unwrap();
    let map = compiled(Kind::Access, &folder.text()).map.unwrap();
    File::options().write(true).open(&name).unwrap().set_len(0).unwrap();
    assert_eq!(map.get("192.0.2.1").unwrap().value, "OK");
}

#[test]
fn a_text_that_cannot_be_believed_is_not_replaced_by_what_was_compiled() {
    let folder = Folder::new(TEXT);
    folder.compile();
    fs::set_permissions(folder.text(), fs::Permissions::from_mode(0o666)).unwrap();
    assert!(folder.table("access").unwrap_err().to_string().contains("everyone can write"));
    fs::remove_file(folder.text()).unwrap();
    assert!(folder.table("access").is_err());
}
