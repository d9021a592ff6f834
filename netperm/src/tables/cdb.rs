//! Constant databases (<https://cr.yp.to/cdb.html>): a hash table in a file that is written once.
//!
//! Decides where a record stands, and nothing of what it means. Trusts nothing in a file: each position and length is
//! held against the octets that are there when it is used, and no search takes more steps than its table has slots.
//!
//! A file is 256 pointers, then the records, then 256 tables of slots. A pointer is the position of a table and how
//! many slots it has; a slot is the hash of a key and the position of its record, 0 where it is free; a record is the
//! length of its key, that of its value, the key, the value. Every number has 32 bits, the lowest octet first.
//! Stricter than the format: the tables fill the file to its end, in order, and each has a free slot.

use std::fmt;

#[cfg(test)]
mod tests;

/// How many tables there are.
const TABLES: usize = 256;

/// The octets of two numbers.
const PAIR: usize = 8;

/// Where the records begin.
const HEAD: usize = TABLES * PAIR;

/// A file that cannot be what was written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Broken;

/// More than 32 bits can say.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct TooLarge;

impl fmt::Display for TooLarge {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a compiled table has less than 4 GB")
    }
}

impl std::error::Error for TooLarge {}

type Record<'a> = (&'a [u8], &'a [u8]);

/// The octets of a file, in memory or mapped.
pub type Bytes = Box<dyn AsRef<[u8]> + Send + Sync>;

/// A file, by its octets.
pub(super) struct Cdb(Bytes);

impl Cdb {
    /// Looks whether the tables fill the file to its end, so that one cut short is found at once.
    pub(super) fn new(bytes: Bytes) -> Result<Self, Broken> {
        let cdb = Self(bytes);
        let mut expected = cdb.table(0)?.0;
        if expected < HEAD {
            return Err(Broken);
        }
        for number in 0..TABLES {
            let (at, slots) = cdb.table(number)?;
            if at != expected {
                return Err(Broken);
            }
            expected = slots.checked_mul(PAIR).and_then(|octets| at.checked_add(octets)).ok_or(Broken)?;
        }
        if expected == cdb.bytes().len() { Ok(cdb) } else { Err(Broken) }
    }

    /// The value of the first record with this key.
    pub(super) fn get(&self, key: &[u8]) -> Result<Option<&[u8]>, Broken> {
        let hash = hash(key);
        let (table, slots) = self.table(table_of(hash)?)?;
        for slot in probed(hash, slots)? {
            let (of_key, at) = pair(self.bytes(), slot * PAIR + table)?;
            if at == 0 {
                return Ok(None);
            }
            if of_key != usize_of(hash)? {
                continue;
            }
            let (found, value, _) = self.record(at)?;
            if found == key {
                return Ok(Some(value));
            }
        }
        if slots == 0 { Ok(None) } else { Err(Broken) }
    }

    /// Every record, in the order in which they were written; it ends with the first that is broken.
    pub(super) fn records(&self) -> impl Iterator<Item = Result<Record<'_>, Broken>> {
        let end = self.table(0).map_or(HEAD, |(at, _)| at);
        let mut next = Some(HEAD).filter(|at| *at < end);
        std::iter::from_fn(move || {
            let record = self.record(next?);
            next = record.ok().map(|(.., behind)| behind).filter(|at| *at < end);
            Some(record.map(|(key, value, _)| (key, value)))
        })
    }

    fn bytes(&self) -> &[u8] {
        (*self.0).as_ref()
    }

    /// The position of a table, and its slots.
    fn table(&self, number: usize) -> Result<(usize, usize), Broken> {
        pair(self.bytes(), number * PAIR)
    }

    /// The key and the value of the record at a position, and the position behind it.
    fn record(&self, at: usize) -> Result<(&[u8], &[u8], usize), Broken> {
        let (end, _) = self.table(0)?;
        let records = self.bytes().get(..end).ok_or(Broken)?;
        if at < HEAD {
            return Err(Broken);
        }
        let (key, value) = pair(records, at)?;
        let rest = records.get(at..).and_then(|rest| rest.get(PAIR..)).ok_or(Broken)?;
        let (key, rest) = rest.split_at_checked(key).ok_or(Broken)?;
        let (value, _) = rest.split_at_checked(value).ok_or(Broken)?;
        Ok((key, value, at + PAIR + key.len() + value.len()))
    }
}

fn usize_of(number: u32) -> Result<usize, Broken> {
    usize::try_from(number).map_err(|_| Broken)
}

fn pair(bytes: &[u8], at: usize) -> Result<(usize, usize), Broken> {
    let octets = bytes.get(at..).and_then(|rest| rest.first_chunk::<PAIR>()).ok_or(Broken)?;
    let [a, b, c, d, e, f, g, h] = *octets;
    Ok((usize_of(u32::from_le_bytes([a, b, c, d]))?, usize_of(u32::from_le_bytes([e, f, g, h]))?))
}

fn hash(key: &[u8]) -> u32 {
    key.iter().fold(5381, |hash: u32, octet| (hash << 5).wrapping_add(hash) ^ u32::from(*octet))
}

fn table_of(hash: u32) -> Result<usize, Broken> {
    usize_of(hash % 256)
}

/// The slots of a table in the order in which a key is looked for, each once.
fn probed(hash: u32, slots: usize) -> Result<impl Iterator<Item = usize>, Broken> {
    let first = usize_of(hash / 256)?.checked_rem(slots).unwrap_or(0);
    Ok((first..slots).chain(0..first))
}

/// Makes a file.
#[derive(Debug)]
pub(super) struct Writer {
    bytes: Vec<u8>,
    /// The hash and the position of each record.
    records: Vec<Slot>,
}

type Slot = (u32, u32);

/// No record stands there.
const FREE: Slot = (0, 0);

impl Writer {
    pub(super) fn new() -> Self {
        Self { bytes: vec![0; HEAD], records: Vec::new() }
    }

    pub(super) fn add(&mut self, key: &[u8], value: &[u8]) -> Result<(), TooLarge> {
        self.records.push((hash(key), length(&self.bytes)?));
        push(&mut self.bytes, (length(key)?, length(value)?));
        self.bytes.extend_from_slice(key);
        self.bytes.extend_from_slice(value);
        Ok(())
    }

    pub(super) fn finish(mut self) -> Result<Vec<u8>, TooLarge> {
        let mut tables = vec![Vec::new(); TABLES];
        for record in self.records {
            let table = table_of(record.0).ok().and_then(|number| tables.get_mut(number));
            table.ok_or(TooLarge)?.push(record);
        }
        let mut head = Vec::with_capacity(HEAD);
        for records in tables {
            let slots = slots_of(&records)?;
            push(&mut head, (length(&self.bytes)?, length(&slots)?));
            slots.into_iter().for_each(|slot| push(&mut self.bytes, slot));
        }
        // The last table ends where 32 bits can still say it.
        length(&self.bytes)?;
        self.bytes.splice(..HEAD, head);
        Ok(self.bytes)
    }
}

fn length<T>(things: &[T]) -> Result<u32, TooLarge> {
    u32::try_from(things.len()).map_err(|_| TooLarge)
}

fn push(bytes: &mut Vec<u8>, (one, other): Slot) {
    bytes.extend_from_slice(&one.to_le_bytes());
    bytes.extend_from_slice(&other.to_le_bytes());
}

/// Twice as many slots as records, each record in the first free one.
fn slots_of(records: &[Slot]) -> Result<Vec<Slot>, TooLarge> {
    let mut slots = vec![FREE; records.len() * 2];
    for record in records {
        let mut probed = probed(record.0, slots.len()).map_err(|_| TooLarge)?;
        let free = probed.find(|slot| slots.get(*slot) == Some(&FREE));
        *free.and_then(|slot| slots.get_mut(slot)).ok_or(TooLarge)? = *record;
    }
    Ok(slots)
}
