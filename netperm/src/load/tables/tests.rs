use std::fs;
use std::os::unix::fs::PermissionsExt;

use tempfile::TempDir;

use super::*;

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
        let (map, _) = Map::parse(&self.text(), &source.bytes);
        self.put(&map.compile(&Stamp::of(&source.metadata)).unwrap());
    }

    fn put(&self, compiled: &[u8]) {
        fs::write(compiled_name(&self.text()), compiled).unwrap();
    }

    /// What stands behind a key, whether it was compiled, and what is to be known.
    fn load(&self, key: &str) -> (Option<String>, bool, Vec<String>) {
        let (map, notes) = Map::load(&self.text()).unwrap();
        let value = map.get(key).map(|row| row.value.to_owned());
        let folder = format!("{}/", self.0.path().display());
        let notes = notes.iter().map(|note| note.to_string().replace(&folder, "")).collect();
        (value, map.is_compiled(), notes)
    }
}

fn ok() -> Option<String> {
    Some("OK".to_owned())
}

#[test]
fn a_text_alone_is_read() {
    assert_eq!(Folder::new("a OK\n").load("a"), (ok(), false, vec![]));
}

#[test]
fn what_was_compiled_of_the_text_is_used() {
    let folder = Folder::new("a OK\n");
    folder.compile();
    assert_eq!(folder.load("a"), (ok(), true, vec![]));
}

#[test]
fn what_was_compiled_of_another_text_is_used_and_said_to_be_stale() {
    let folder = Folder::new("a OK\n");
    folder.compile();
    folder.write("a REJECT\n");
    let stale = "access: note: access.cdb was made from another state of this file, and is used as it is: smapctl \
                 compile access";
    assert_eq!(folder.load("a"), (ok(), true, vec![stale.to_owned()]));
}

#[test]
fn what_cannot_be_used_gives_way_to_the_text() {
    let folder = Folder::new("a OK\n");
    folder.compile();
    let whole = fs::read(compiled_name(&folder.text())).unwrap();
    let version = String::from_utf8_lossy(&whole).find("table 1").unwrap();
    assert_eq!(version, 2048 + 8 + "smap-".len());
    let newer = [&whole[..version + 6], b"2", &whole[version + 7..]].concat();
    let damaged = "it is damaged";
    for (bytes, why) in [
        (&whole[..whole.len() - 1], damaged),
        (&whole[..100], damaged),
        (&[], damaged),
        (b"a OK\n", damaged),
        (&newer, "it was not made by this version of smapctl"),
    ] {
        folder.put(bytes);
        let (value, compiled, notes) = folder.load("a");
        assert_eq!((value, compiled), (ok(), false));
        assert_eq!(notes, [format!("access: note: access.cdb is not used: {why}: smapctl compile access")]);
    }
}

#[test]
fn what_everyone_can_write_is_not_believed() {
    let folder = Folder::new("a OK\n");
    folder.compile();
    fs::set_permissions(compiled_name(&folder.text()), fs::Permissions::from_mode(0o666)).unwrap();
    let (value, compiled, notes) = folder.load("a");
    assert_eq!((value, compiled), (ok(), false));
    assert!(notes[0].contains("everyone can write this table: chmod go-w access.cdb"), "{notes:?}");
}

#[test]
fn a_fifo_beside_the_text_is_not_waited_for() {
    let folder = Folder::new("a OK\n");
    nix::unistd::mkfifo(&compiled_name(&folder.text()), nix::sys::stat::Mode::S_IRWXU).unwrap();
    let (value, compiled, notes) = folder.load("a");
    assert_eq!((value, compiled, notes.len()), (ok(), false, 1));
}

#[test]
fn what_others_may_write_is_read_and_not_mapped() {
    let folder = Folder::new("a OK\n");
    folder.compile();
    // The group may be root's: then it is believed.
    let name = compiled_name(&folder.text());
    fs::set_permissions(&name, fs::Permissions::from_mode(0o664)).unwrap();
    assert_eq!(folder.load("a"), (ok(), true, vec![]));
    let (map, _) = Map::load(&folder.text()).unwrap();
    File::options().write(true).open(&name).unwrap().set_len(0).unwrap();
    assert_eq!(map.get("a").unwrap().value, "OK");
}

#[test]
fn a_text_that_cannot_be_believed_is_not_replaced_by_what_was_compiled() {
    let folder = Folder::new("a OK\n");
    folder.compile();
    fs::set_permissions(folder.text(), fs::Permissions::from_mode(0o666)).unwrap();
    assert!(Map::load(&folder.text()).unwrap_err().to_string().contains("everyone can write"));
    fs::remove_file(folder.text()).unwrap();
    assert!(Map::load(&folder.text()).is_err());
}
