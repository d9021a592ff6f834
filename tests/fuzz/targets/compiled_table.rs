//! A compiled table.
//!
//! Oracle: a text without faults, compiled, says of every key what the text says. Octets that are none, and a compiled
//! table of which some octets are others, are refused or read to an end: never more rows than there is room for, and
//! each with a place in the text.
#![no_main]

use std::path::Path;

use libfuzzer_sys::fuzz_target;
use netperm::tables::{Kind, Map, Stamp};

/// A table to be damaged.
const TEXT: &[u8] = b"a OK\nexample.com REJECT\nfrom:b@c 550 no\nk16ff 1\nk1868 2\n";

const KIND: Kind = Kind::Access;

fuzz_target!(|bytes: &[u8]| {
    let stamp = Stamp::of(&std::fs::metadata("/").unwrap());
    let (text, faults) = Map::parse(Path::new("t"), bytes);
    if faults.is_empty() {
        let compiled = read(text.compile(KIND, "shape", &stamp).unwrap()).unwrap();
        assert!(!compiled.is_stale(&stamp));
        assert_eq!(said(&compiled), said(&text));
        text.iter().for_each(|(key, ..)| assert_eq!(compiled.get(key), text.get(key)));
    }
    assert_read(bytes.to_vec());
    let (text, _) = Map::parse(Path::new("t"), TEXT);
    assert_read(damaged(text.compile(KIND, "shape", &stamp).unwrap(), bytes));
});

/// Three octets say where another stands, and which.
fn damaged(mut compiled: Vec<u8>, bytes: &[u8]) -> Vec<u8> {
    for change in bytes.chunks_exact(3) {
        let at = usize::from(u16::from_le_bytes([change[0], change[1]])) % compiled.len();
        compiled[at] = change[2];
    }
    compiled
}

fn read(bytes: Vec<u8>) -> Option<Map> {
    Map::compiled(KIND, Path::new("t"), Box::new(bytes)).ok()
}

fn assert_read(bytes: Vec<u8>) {
    let room = bytes.len() / 8;
    let Some(map) = read(bytes) else { return };
    assert!(map.iter().count() <= room);
    for key in ["", "\n", "a", "example.com", "from:b@c", "k16ff", "k1868", "none"] {
        let row = map.get(key);
        assert!(row.is_none_or(|row| row.place.line_number().is_some() || row.value.is_empty()));
    }
}

fn said(map: &Map) -> Vec<(String, Option<u32>, String)> {
    let row = |(key, place, value): (&str, netperm::Place, &str)| {
        (key.to_owned(), place.line_number(), value.to_owned())
    };
    let mut rows: Vec<_> = map.iter().map(row).collect();
    rows.sort();
    rows
}
