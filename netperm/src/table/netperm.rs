//! The toolkit's own grammar: `program[, program...]: attribute value...`
//!
//! `#` begins a comment where a word may begin, `\` at the end of a line continues it. A comment is not
//! continued. Nothing of a line that is wrong is used; the lines after it are read on. What only the
//! toolkit's other programs read may have any form after its colon.

use std::path::Path;
use std::sync::Arc;

use super::{Entry, is_ours, words};
use crate::fault::Fault;
use crate::place::Place;

/// Every entry of a file, and everything that is wrong with its form.
pub(super) fn parse(file: &Arc<Path>, bytes: &[u8]) -> (Vec<Entry>, Vec<Fault>) {
    let mut reader = Reader { entries: Vec::new(), faults: Vec::new(), open: None };
    let bytes = bytes.strip_prefix("\u{feff}".as_bytes()).unwrap_or(bytes);
    for (line, number) in bytes.split_inclusive(|byte| *byte == b'\n').zip(1..) {
        reader.line(Place::line(file, number), line);
    }
    if let Some(open) = reader.open {
        reader.faults.push(Fault::new(&open.place, "a \\ continues this line, but the file ends"));
    }
    (reader.entries, reader.faults)
}

struct Reader {
    entries: Vec<Entry>,
    faults: Vec<Fault>,
    /// The line that a `\` has left open.
    open: Option<Open>,
}

/// A line with all its continuations so far.
struct Open {
    /// Its first line.
    place: Place,
    text: String,
    /// What is wrong with it, if it turns out to be ours.
    faults: Vec<Fault>,
}

impl Reader {
    fn line(&mut self, place: Place, line: &[u8]) {
        let line = line.strip_suffix(b"\n").unwrap_or(line);
        let line = line.strip_suffix(b"\r").unwrap_or(line);
        if let Some(byte) = line.iter().find(|byte| byte.is_ascii_control() && **byte != b'\t') {
            // Whoever the line is for: an old line end would hide the lines behind it in a comment.
            let what = format_args!("a control character (0x{byte:02x}) stands in this line");
            self.faults.push(Fault::new(&place, what));
            self.open = None;
            return;
        }
        let (content, comment) = split_comment(line);
        let continued = (!comment).then(|| content.strip_suffix(b"\\")).flatten();
        let content = continued.unwrap_or(content);
        let fault = ill_formed(content).map(|what| Fault::new(&place, what));
        let mut open = self.open.take().unwrap_or(Open { place, text: String::new(), faults: Vec::new() });
        open.faults.extend(fault);
        open.text += &String::from_utf8_lossy(content);
        open.text.push(' ');
        if continued.is_some() {
            self.open = Some(open);
        } else {
            self.close(open);
        }
    }

    fn close(&mut self, line: Open) {
        let Open { place, text, faults } = line;
        if text.trim_ascii().is_empty() {
            return;
        }
        let (programs, rest) = match head(&text) {
            Ok(head) => head,
            Err(what) => return self.faults.push(Fault::new(&place, what)),
        };
        let ours = is_ours(&programs);
        if !faults.is_empty() {
            self.faults.extend(faults.into_iter().filter(|_| ours));
            return;
        }
        match entry(programs, rest, &place) {
            Ok(entry) => self.entries.push(entry),
            Err(what) if ours => self.faults.push(Fault::new(&place, what)),
            Err(_) => {}
        }
    }
}

/// What stands before the comment, and whether there is one.
fn split_comment(line: &[u8]) -> (&[u8], bool) {
    let mut quoted = false;
    let mut before = b' ';
    for (at, &byte) in line.iter().enumerate() {
        match byte {
            b'#' if !quoted && before.is_ascii_whitespace() => {
                return (line.get(..at).unwrap_or(line), true);
            }
            b'"' if !(quoted && before == b'\\') => quoted = !quoted,
            _ => {}
        }
        // The second of two backslashes quotes nothing.
        before = if quoted && before == b'\\' { b' ' } else { byte };
    }
    (line, false)
}

/// What is wrong with the form of a part of a line, before its words are looked at.
fn ill_formed(content: &[u8]) -> Option<String> {
    let Ok(text) = str::from_utf8(content) else {
        return Some("this line is not UTF-8".to_owned());
    };
    if text.trim_ascii_end().ends_with('\\') && text.ends_with([' ', '\t']) {
        return Some("white space stands after the \\ that is to continue this line".to_owned());
    }
    words::split(text).err().map(|fault| fault.to_string())
}

/// The programs of a line, and what stands after their colon.
fn head(text: &str) -> Result<(Vec<String>, &str), String> {
    let (head, rest) = text.split_once(':').ok_or_else(|| {
        "a line must be of the form \"program: attribute value\": the colon is missing".to_owned()
    })?;
    Ok((programs(head)?, rest))
}

fn entry(programs: Vec<String>, rest: &str, place: &Place) -> Result<Entry, String> {
    let mut words = words::split(rest).map_err(|fault| fault.to_string())?.into_iter();
    let attribute = words.next().ok_or_else(|| "an attribute must follow the colon".to_owned())?;
    Entry::new(programs, &attribute, words.collect(), place.clone())
}

/// The programs before the colon.
pub(super) fn programs(head: &str) -> Result<Vec<String>, String> {
    head.split(',').map(|name| program(name.trim_ascii())).collect()
}

fn program(name: &str) -> Result<String, String> {
    if name.is_empty() {
        return Err("the name of a program is missing".to_owned());
    }
    if name.contains(|c: char| c.is_ascii_whitespace() || c == '"') {
        return Err(format!("\"{name}\" is not the name of a program: a colon must follow the name"));
    }
    Ok(name.to_owned())
}
