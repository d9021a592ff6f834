//! The netperm-table, in both syntaxes.
//!
//! Oracle: a table is read or refused, twice the same, and each fault names a line of the file on one line of text.
//! What is printed of a table reads back to the same structs, as lines of the toolkit's grammar and, written as
//! TOML here, as TOML. Comments, empty lines, white space at the end of a line, other line ends and a line that
//! goes on with the next change nothing but the numbers of lines. As a mailertable the same octets are read or
//! refused in the same way, and what a recipient's domain puts into a line is never an address.
#![no_main]

use std::path::Path;

use libfuzzer_sys::fuzz_target;
use netperm::{Faults, Smap, Smapd, Syntax, Table};
use smap_common::address::Address;

fuzz_target!(|bytes: &[u8]| {
    for syntax in [Syntax::Netperm, Syntax::Toml] {
        let read = read(bytes, syntax);
        assert_eq!(self::read(bytes, syntax), read);
        if let Err(faults) = &read {
            assert_named(faults, bytes);
        }
        if let Ok(Meaning { smap, smapd, .. }) = &read {
            assert_prints(smap.as_ref().ok(), smapd.as_ref().ok());
        }
    }
    assert_mailertable(bytes);
    // One change at a time, so that many inputs are tried: which one is left to their length.
    let netperm = read(bytes, Syntax::Netperm);
    match bytes.len() % 4 {
        0 => assert_eq!(unplaced(&read(&with_blanks(bytes), Syntax::Netperm)), unplaced(&netperm)),
        1 => assert_eq!(unplaced(&read(&with_comments(bytes), Syntax::Netperm)), unplaced(&netperm)),
        2 if !bytes.contains(&b'\r') => assert_eq!(read(&with_crlf(bytes), Syntax::Netperm), netperm),
        _ => {
            if let Some(continued) = with_continuations(bytes) {
                assert_eq!(unplaced(&read(&continued, Syntax::Netperm)), unplaced(&netperm));
            }
        }
    }
});

/// The recipients of the mailertable: each puts something else into `%1`.
const RECIPIENTS: [&str; 3] = ["x@a.example", "x@10.0.0.1.example", "x@25"];

fn assert_mailertable(bytes: &[u8]) {
    let named = |_: &Path| Ok((bytes.to_vec(), Vec::new()));
    match Table::parse_with(Path::new("t"), b"smapd: mailertable /m", Syntax::Netperm, named) {
        Err(faults) => assert_named(&faults, bytes),
        Ok(table) => {
            let mailertable = table.smapd().unwrap().0.mailertable.unwrap();
            for to in RECIPIENTS {
                let to: Address = to.parse().unwrap();
                let Some((entry, wildcard)) = mailertable.find(to.domain().unwrap()) else { continue };
                let leads_there =
                    |wildcard| entry.transport(&to, wildcard).to_string().contains("[10.0.0.1]");
                assert!(!leads_there(wildcard) || leads_there("a"), "{entry:?}");
            }
        }
    }
}

/// What a table says to each program, and of itself.
#[derive(Debug, PartialEq)]
struct Meaning {
    smap: Result<Smap, Faults>,
    smapd: Result<Smapd, Faults>,
    notes: usize,
}

fn read(bytes: &[u8], syntax: Syntax) -> Result<Meaning, Faults> {
    let table = Table::parse(Path::new("t"), bytes, syntax)?;
    let (smap, smapd) = (table.smap(), table.smapd());
    let checked = table.check();
    assert_eq!(checked.is_ok(), smap.is_ok() && smapd.is_ok());
    let notes = table.notes().len() + smap.as_ref().map_or(0, |(_, notes)| notes.len());
    Ok(Meaning { smap: smap.map(|(smap, _)| smap), smapd: smapd.map(|(smapd, _)| smapd), notes })
}

/// What does not depend on the numbers of lines: every fault, the structs, how many notes there are.
#[derive(Debug, PartialEq)]
struct Unplaced<'a> {
    faults: Vec<&'a str>,
    smap: Option<&'a Smap>,
    smapd: Option<&'a Smapd>,
    notes: usize,
}

fn unplaced(read: &Result<Meaning, Faults>) -> Unplaced<'_> {
    let (smap, smapd, notes) = match read {
        Ok(Meaning { smap, smapd, notes }) => (smap.as_ref(), smapd.as_ref(), *notes),
        Err(faults) => (Err(faults), Err(faults), 0),
    };
    let faults = [smap.err(), smapd.err()].into_iter().flatten().flatten();
    let faults = faults.map(|fault| fault.what.as_str()).collect();
    Unplaced { faults, smap: smap.ok(), smapd: smapd.ok(), notes }
}

fn assert_named(faults: &Faults, bytes: &[u8]) {
    let lines = bytes.split(|byte| *byte == b'\n').count();
    assert!(faults.iter().count() > 0);
    for fault in faults {
        let line = usize::try_from(fault.place.line_number().unwrap()).unwrap();
        assert!((1..=lines).contains(&line), "{fault}");
        assert!(!fault.what.contains(char::is_control) && !fault.what.is_empty(), "{fault}");
    }
}

fn assert_prints(smap: Option<&Smap>, smapd: Option<&Smapd>) {
    let lines = smap.map(ToString::to_string).into_iter().chain(smapd.map(ToString::to_string));
    let text: String = lines.collect();
    for (text, syntax) in [(as_toml(&text), Syntax::Toml), (text, Syntax::Netperm)] {
        let again = Table::parse(Path::new("t"), text.as_bytes(), syntax)
            .unwrap_or_else(|faults| panic!("{faults}\n{text}"));
        if let Some(smap) = smap {
            let smap_again = again.smap().unwrap().0;
            assert_eq!(&smap_again, smap, "{text}");
            assert_eq!(smap_again.to_string(), smap.to_string());
        }
        if let Some(smapd) = smapd {
            // What is printed names the folder that was understood.
            let mut smapd_again = again.smapd().unwrap().0;
            assert_eq!(smapd_again.to_string(), smapd.to_string());
            assert_eq!(smapd_again.baddir, Some(smapd.bad_directory()));
            smapd_again.baddir.clone_from(&smapd.baddir);
            assert_eq!(&smapd_again, smapd, "{text}");
        }
    }
}

/// `program: attribute value...`, a section for each line.
fn as_toml(text: &str) -> String {
    let section = |line: &str| {
        let (program, rest) = line.split_once(": ").unwrap();
        let (attribute, value) = rest.split_once(' ').unwrap_or((rest, ""));
        let value = value.replace('\\', "\\\\").replace('"', "\\\"").replace('\t', "\\t");
        format!("[[{program}]]\n{attribute} = \"{value}\"\n")
    };
    text.lines().map(section).collect()
}

fn lines(bytes: &[u8]) -> impl Iterator<Item = &[u8]> {
    bytes.split(|byte| *byte == b'\n')
}

fn joined(lines: impl Iterator<Item = Vec<u8>>) -> Vec<u8> {
    lines.collect::<Vec<_>>().join(b"\n".as_slice())
}

/// A `\` at the end continues a line, so that nothing may stand between it and the end.
fn may_go_on(line: &[u8]) -> bool {
    line.trim_ascii_end().ends_with(b"\\")
}

fn with_blanks(bytes: &[u8]) -> Vec<u8> {
    let mut lines = lines(bytes).peekable();
    joined(std::iter::from_fn(|| {
        let line = lines.next()?;
        let nothing_follows = line.is_empty() && lines.peek().is_none();
        let blank = !(may_go_on(line) || line.ends_with(b"\r") || nothing_follows);
        Some(if blank { [line, b" \t "].concat() } else { line.to_vec() })
    }))
}

fn with_comments(bytes: &[u8]) -> Vec<u8> {
    // A mark of the encoding counts at the head of the file alone.
    let mut head = bytes.starts_with("\u{feff}".as_bytes());
    let mut after_open = false;
    joined(lines(bytes).map(|line| {
        let text =
            if after_open || head { line.to_vec() } else { [b"# a \" comment: \\\n\n \t\n", line].concat() };
        (head, after_open) = (false, may_go_on(line));
        text
    }))
}

fn with_crlf(bytes: &[u8]) -> Vec<u8> {
    lines(bytes).collect::<Vec<_>>().join(b"\r\n".as_slice())
}

/// Breaks each line at its first space behind the colon. Not where a part of a line is judged alone: its octets, its
/// quotes, its comment.
fn with_continuations(bytes: &[u8]) -> Option<Vec<u8>> {
    let plain = |c: char| !(c.is_ascii_control() && c != '\n' && c != '\t' || "\\\"#".contains(c));
    if !str::from_utf8(bytes).ok()?.chars().all(plain) {
        return None;
    }
    Some(joined(lines(bytes).map(|line| {
        let colon = line.iter().position(|byte| *byte == b':').unwrap_or(line.len());
        match line.iter().skip(colon).position(|byte| *byte == b' ') {
            Some(space) => {
                let (before, after) = line.split_at(colon + space);
                [before, b" \\\n", after].concat()
            }
            None => line.to_vec(),
        }
    })))
}
