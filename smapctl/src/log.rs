//! The log, as smap and smapd have written it: its lines, and the fields in them.
//!
//! Trusts the log no further than that its lines are lines.

use std::fs::File;
use std::io::{self, BufRead, BufReader, Read};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use crate::error::Error;

/// Where syslogd writes mail's lines, the older file first.
const LOGS: [&str; 2] = ["/var/log/mail.log.1", "/var/log/mail.log"];
/// Octets of a line that are read: ours have 2000 at most, and a head.
const MAX_LINE: u64 = 8192;

/// Gives every line to `each`: of these logs, or of what this machine has.
pub(crate) fn read(logs: &[PathBuf], mut each: impl FnMut(&str)) -> Result<(), Error> {
    for log in logs {
        let failed = |cause| Error::Log(log.clone(), cause);
        read_lines(File::open(log).map_err(failed)?, &mut each).map_err(failed)?;
    }
    if !logs.is_empty() {
        return Ok(());
    }
    if Path::new(LOGS[1]).exists() {
        for log in LOGS {
            let failed = |cause| Error::Log(log.into(), cause);
            match File::open(log) {
                Ok(file) => read_lines(file, &mut each).map_err(failed)?,
                // There may be no older one.
                Err(error) if error.kind() == io::ErrorKind::NotFound => {}
                Err(error) => return Err(failed(error)),
            }
        }
        return Ok(());
    }
    let Ok(mut journal) = journal() else { return Ok(()) };
    let read = journal.stdout.take().map_or(Ok(()), |lines| read_lines(lines, &mut each));
    let ended = journal.wait();
    read.and_then(|()| ended.map(drop)).map_err(|cause| Error::Log("journalctl".into(), cause))
}

/// The journal in the form of syslogd's files: the process stands in each line.
fn journal() -> io::Result<Child> {
    let arguments = ["--no-pager", "--quiet", "-o", "short-iso", "-t", "smap", "-t", "smapd"];
    Command::new("journalctl").args(arguments).stdin(Stdio::null()).stdout(Stdio::piped()).spawn()
}

/// A line that is too long is not ours: it is given in pieces.
fn read_lines(log: impl Read, each: &mut impl FnMut(&str)) -> io::Result<()> {
    let mut log = BufReader::new(log);
    let mut line = Vec::new();
    while log.by_ref().take(MAX_LINE).read_until(b'\n', &mut line)? > 0 {
        each(String::from_utf8_lossy(&line).trim_end());
        line.clear();
    }
    Ok(())
}

/// The process and what it said, of a line of ours: `... smap[PID]: TEXT`.
pub(crate) fn parse(line: &str) -> Option<(&str, &str)> {
    let (before, text) = line.split_once("]: ")?;
    let process = before.rsplit(' ').next()?;
    (process.starts_with("smap[") || process.starts_with("smapd[")).then_some((process, text))
}

/// The value of a field, as it was before it was escaped; of the first field of that name.
pub(crate) fn field(text: &str, name: &str) -> Option<String> {
    let mut rest = text;
    while !rest.is_empty() {
        let end = end_of_field(rest);
        let (word, after) = rest.split_at(end);
        if let Some(value) = word.strip_prefix(name).and_then(|value| value.strip_prefix('=')) {
            return unescaped(value.trim_matches('"'));
        }
        rest = after.trim_start_matches(' ');
    }
    None
}

/// A blank ends a field, unless it stands in quotes; a quote in a value is escaped.
fn end_of_field(text: &str) -> usize {
    let mut quoted = false;
    text.find(|c| {
        quoted ^= c == '"';
        c == ' ' && !quoted
    })
    .unwrap_or(text.len())
}

/// `\\xNN` stands for an octet.
pub(crate) fn unescaped(value: &str) -> Option<String> {
    let mut octets = Vec::new();
    let mut pieces = value.split("\\x");
    octets.extend_from_slice(pieces.next()?.as_bytes());
    for piece in pieces {
        let (digits, rest) = piece.split_at_checked(2)?;
        octets.push(u8::from_str_radix(digits, 16).ok()?);
        octets.extend_from_slice(rest.as_bytes());
    }
    String::from_utf8(octets).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fields_are_found_and_words_of_others_are_not() {
        let text = r#"refused host=a/192.0.2.1 command="MAIL FROM:<\x22host=x\x22@y>" reply="550 rule=z" rule=a\x2cb@t:1"#;
        assert_eq!(field(text, "host").as_deref(), Some("a/192.0.2.1"));
        assert_eq!(field(text, "command").as_deref(), Some("MAIL FROM:<\"host=x\"@y>"));
        assert_eq!(field(text, "rule").as_deref(), Some("a,b@t:1"));
        assert_eq!(field(text, "reason"), None);
    }

    #[test]
    fn escapes_that_are_none_make_no_value() {
        for value in ["\\x4", "\\xzz", "\\xff"] {
            assert_eq!(unescaped(value), None, "{value}");
        }
    }
}
