use super::*;

fn written(records: &[(&str, &str)]) -> Vec<u8> {
    let mut writer = Writer::new();
    for (key, value) in records {
        writer.add(key.as_bytes(), value.as_bytes()).unwrap();
    }
    writer.finish().unwrap()
}

fn read(bytes: &[u8]) -> Result<Cdb, Broken> {
    Cdb::new(Box::new(bytes.to_vec()))
}

fn put(bytes: &mut [u8], at: usize, number: u32) {
    bytes[at..at + 4].copy_from_slice(&number.to_le_bytes());
}

/// Where the table and the first slot of a key are.
fn slot(bytes: &[u8], key: &str) -> usize {
    let hash = hash(key.as_bytes());
    let (table, slots) = pair(bytes, table_of(hash).unwrap() * PAIR).unwrap();
    table + probed(hash, slots).unwrap().next().unwrap() * PAIR
}

#[test]
fn the_hash_is_that_of_the_format() {
    assert_eq!((hash(b""), hash(b"one"), hash(b"two")), (5381, 0x0b87_5b81, 0x0b87_6029));
}

#[test]
fn each_key_leads_to_its_value() {
    let keys: Vec<String> = (0..5000).map(|n| format!("key{n}")).collect();
    let records: Vec<(&str, &str)> =
        keys.iter().map(|key| (key.as_str(), key.trim_start_matches("key"))).collect();
    let cdb = read(&written(&records)).unwrap();
    for (key, value) in &records {
        assert_eq!(cdb.get(key.as_bytes()), Ok(Some(value.as_bytes())));
    }
    for key in ["", "key", "key5000", "KEY1", "key11\0"] {
        assert_eq!(cdb.get(key.as_bytes()), Ok(None));
    }
    let read: Vec<_> = cdb.records().map(Result::unwrap).collect();
    assert_eq!(read, records.iter().map(|(k, v)| (k.as_bytes(), v.as_bytes())).collect::<Vec<_>>());
}

#[test]
fn a_file_without_records_has_none() {
    let cdb = read(&written(&[])).unwrap();
    assert_eq!((cdb.get(b"a"), cdb.records().count()), (Ok(None), 0));
}

#[test]
fn keys_of_one_hash_are_told_apart() {
    let (one, other) = ("k16ff", "k1868");
    assert_eq!(hash(one.as_bytes()), hash(other.as_bytes()));
    let cdb = read(&written(&[(one, "1"), (other, "2")])).unwrap();
    assert_eq!(cdb.get(one.as_bytes()), Ok(Some(&b"1"[..])));
    assert_eq!(cdb.get(other.as_bytes()), Ok(Some(&b"2"[..])));
}

#[test]
fn no_file_that_is_cut_short_or_goes_on_is_read() {
    let whole = written(&[("a", "1"), ("b", "2")]);
    for length in 0..whole.len() {
        assert!(read(&whole[..length]).is_err(), "cut to {length}");
    }
    assert!(read(&[whole.as_slice(), &[0]].concat()).is_err());
}

#[test]
fn a_table_that_lies_elsewhere_is_no_table() {
    let whole = written(&[("a", "1")]);
    for pointer in 0..TABLES {
        for lie in [0, 1, 2047, 0x7fff_ffff, u32::MAX] {
            for half in [0, 4] {
                let mut bytes = whole.clone();
                put(&mut bytes, pointer * PAIR + half, lie);
                if bytes != whole {
                    assert!(read(&bytes).is_err(), "{pointer} {lie} {half}");
                }
            }
        }
    }
}

#[test]
fn a_slot_that_leads_to_no_record_is_no_absence() {
    let whole = written(&[("a", "1")]);
    let end = u32::try_from(whole.len()).unwrap();
    for lie in [1, 2047, end - 4, end, u32::MAX] {
        let mut bytes = whole.clone();
        put(&mut bytes, slot(&whole, "a") + 4, lie);
        assert_eq!(read(&bytes).unwrap().get(b"a"), Err(Broken), "{lie}");
    }
}

#[test]
fn a_record_that_is_longer_than_the_records_is_broken() {
    for half in [0, 4] {
        for lie in [4, 1000, 0x7fff_ffff, u32::MAX] {
            let mut bytes = written(&[("a", "1")]);
            put(&mut bytes, HEAD + half, lie);
            let cdb = read(&bytes).unwrap();
            assert_eq!(cdb.get(b"a"), Err(Broken), "{half} {lie}");
            assert_eq!(cdb.records().collect::<Vec<_>>(), [Err(Broken)], "{half} {lie}");
        }
    }
}

#[test]
fn a_table_without_a_free_slot_is_not_searched_forever() {
    let mut bytes = written(&[("a", "1")]);
    let (table, slots) = pair(&bytes, table_of(hash(b"a")).unwrap() * PAIR).unwrap();
    for slot in 0..slots {
        put(&mut bytes, table + slot * PAIR, 7);
        put(&mut bytes, table + slot * PAIR + 4, 2048);
    }
    assert_eq!(read(&bytes).unwrap().get(b"a"), Err(Broken));
}

#[test]
fn no_octet_that_is_changed_brings_the_reader_down() {
    let whole = written(&[("a", "1"), ("b", "2"), ("c", "")]);
    let room = (whole.len() - HEAD) / PAIR;
    for at in 0..whole.len() {
        for change in [1, 0x80, 0xff] {
            let mut bytes = whole.clone();
            bytes[at] ^= change;
            let Ok(cdb) = read(&bytes) else { continue };
            let _read = ["a", "b", "c", "d"].map(|key| cdb.get(key.as_bytes()).is_ok());
            assert!(cdb.records().count() <= room);
        }
    }
}
