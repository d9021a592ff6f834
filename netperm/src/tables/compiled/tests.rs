use std::path::Path;

use super::super::Map;
use super::*;

const TEXT: &str =
    "# who may send\nExample.COM REJECT\n\nother.example\terror:5.7.1:550 Not here\nfrom:a@b OK\n";

fn stamp() -> Stamp {
    Stamp { inode: 7, size: 91, seconds: 1_795_247_311, nanoseconds: 5 }
}

fn text() -> Map {
    let (map, faults) = Map::parse(Path::new("/etc/mail/access"), TEXT.as_bytes());
    assert!(faults.is_empty(), "{faults:?}");
    map
}

fn open(bytes: Vec<u8>) -> Result<Compiled, Unusable> {
    Compiled::open(Kind::Access, Box::new(bytes))
}

fn map(bytes: Vec<u8>) -> Map {
    Map::compiled(Kind::Access, Path::new("/etc/mail/access"), Box::new(bytes)).unwrap()
}

fn made() -> Vec<u8> {
    text().compile(Kind::Access, "8 - names-refuse", &stamp()).unwrap()
}

#[test]
fn a_compiled_table_says_what_its_text_says_and_where() {
    let (text, compiled) = (text(), map(made()));
    assert!(compiled.is_compiled() && !text.is_compiled());
    let rows = |map: &Map| {
        let mut rows: Vec<_> =
            map.iter().map(|(key, place, value)| format!("{place} {key} {value}")).collect();
        rows.sort();
        rows
    };
    assert_eq!(rows(&compiled), rows(&text));
    for key in ["example.com", "other.example", "from:a@b", "Example.COM", "", "\n", "no.example"] {
        let said = |map: &Map| map.get(key).map(|row| (row.place.to_string(), row.value.to_owned()));
        assert_eq!(said(&compiled), said(&text), "{key}");
    }
}

#[test]
fn the_same_text_makes_the_same_file() {
    assert_eq!(made(), made());
}

#[test]
fn a_stamp_is_of_one_text_in_one_state() {
    let compiled = map(made());
    assert!(!compiled.is_stale(&stamp()));
    assert!(compiled.is_stale(&Stamp { inode: 8, ..stamp() }));
    assert!(compiled.is_stale(&Stamp { size: 92, ..stamp() }));
    assert!(compiled.is_stale(&Stamp { seconds: 0, ..stamp() }));
    assert!(compiled.is_stale(&Stamp { nanoseconds: 6, ..stamp() }));
    assert!(!text().is_stale(&stamp()));
}

fn with(records: &[(&[u8], &[u8])]) -> Vec<u8> {
    let mut writer = Writer::new();
    records.iter().for_each(|(key, value)| writer.add(key, value).unwrap());
    writer.finish().unwrap()
}

#[test]
fn a_file_of_another_format_is_not_used() {
    let stamp = stamp().to_string();
    let newer = stamp.replacen("table 1", "table 2", 1);
    assert_eq!(open(with(&[])).unwrap_err(), Unusable::Version);
    let others: [&[(&[u8], &[u8])]; 6] = [
        &[(b"a", b"1 OK")],
        &[(b"", newer.as_bytes()), (b"\n", b"access ")],
        &[(b"", b""), (b"\n", b"access ")],
        &[(b"", stamp.as_bytes())],
        &[(b"", stamp.as_bytes()), (b"a", b"1 OK")],
        &[(b"a", b"1 OK"), (b"", stamp.as_bytes())],
    ];
    for records in others {
        assert_eq!(open(with(records)).unwrap_err(), Unusable::Version);
    }
    assert_eq!(open(b"no database".to_vec()).unwrap_err(), Unusable::Broken);
    assert_eq!(open(Vec::new()).unwrap_err(), Unusable::Broken);
}

#[test]
fn a_table_is_of_one_kind_and_has_a_shape() {
    let compiled = map(made());
    assert_eq!(compiled.shape(), Some("8 - names-refuse"));
    let other = Map::compiled(Kind::Virtusertable, Path::new("t"), Box::new(made())).unwrap_err();
    assert_eq!(other.to_string(), "it was not made for virtusertable");
}

#[test]
fn a_damaged_row_is_never_as_if_there_were_none() {
    let stamp = stamp().to_string();
    for value in [&b"OK"[..], b"", b"x OK", b"-1 OK", b"1 \xff", b"99999999999 OK"] {
        let map = map(with(&[(b"", stamp.as_bytes()), (b"\n", b"access "), (b"a", value)]));
        let row = map.get("a").unwrap();
        assert_eq!((row.value, row.place.to_string().as_str()), ("", "/etc/mail/access"));
        assert_eq!(map.iter().map(|(_, _, value)| value).collect::<Vec<_>>(), [""]);
        assert!(map.get("b").is_none());
    }
}
