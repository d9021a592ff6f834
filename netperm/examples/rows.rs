//! `rows FILE [COUNT]`: how long a table takes to be opened and a row to be found, by its text and by what is compiled
//! of it. FILE is made, with so many rows (a million).
#![expect(
    clippy::expect_used,
    clippy::print_stdout,
    clippy::unwrap_used,
    reason = "a tool of the tests stops where it cannot go on"
)]

use std::fmt::Write;
use std::fs;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use netperm::load::{Source, compiled_name};
use netperm::tables::{Map, Stamp};

/// How often something short is done.
const TIMES: u32 = 1000;

fn main() {
    let mut arguments = std::env::args().skip(1);
    let file = PathBuf::from(arguments.next().expect("rows FILE [COUNT]"));
    let count = arguments.next().map_or(1_000_000, |count| count.parse().expect("rows FILE [COUNT]"));
    let mut text = String::new();
    (0..count).for_each(|n| writeln!(text, "{}\t\t550 5.7.1 Mail is refused", key(n)).unwrap());
    fs::write(&file, &text).unwrap();
    println!("{count} rows, {} KB of text", text.len() / 1024);
    let compiled = compiled_name(&file);
    if compiled.exists() {
        fs::remove_file(&compiled).unwrap();
    }
    measure(&file, "text", 3, count);
    let began = Instant::now();
    compile(&file, &compiled);
    println!("compile: {:?}, {} KB", began.elapsed(), fs::metadata(&compiled).unwrap().len() / 1024);
    measure(&file, "compiled", TIMES, count);
}

fn key(number: u32) -> String {
    format!("host{number}.customer{}.example.com", number % 1000)
}

fn compile(file: &Path, to: &Path) {
    let source = Source::read(file).unwrap();
    let (map, _) = Map::parse(file, &source.bytes);
    fs::write(to, map.compile(&Stamp::of(&source.metadata)).unwrap()).unwrap();
}

fn measure(file: &Path, kind: &str, times: u32, count: u32) {
    let (mut fastest, mut all) = (Duration::MAX, Duration::ZERO);
    for number in 0..times {
        let began = Instant::now();
        let (map, notes) = Map::load(file).unwrap();
        assert!(notes.is_empty() && map.get(&key(number % count)).is_some());
        let took = began.elapsed();
        (fastest, all) = (fastest.min(took), all + took);
    }
    println!("{kind}: {fastest:?} at best, {:?} on average to open it and look up one key", all / times);
    let (map, _) = Map::load(file).unwrap();
    let asked: Vec<String> = (0..TIMES).map(|n| key(n.wrapping_mul(7919) % count)).collect();
    for round in ["first", "second"] {
        let began = Instant::now();
        assert!(asked.iter().all(|key| map.get(key).is_some()));
        println!("{kind}: {:?} to look up a key, {round} time", began.elapsed() / TIMES);
    }
    let began = Instant::now();
    assert!(asked.iter().all(|key| map.get(&key.replace("host", "none")).is_none()));
    println!("{kind}: {:?} for a key that is not there", began.elapsed() / TIMES);
}
