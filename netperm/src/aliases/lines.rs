//! The lines of aliases(5): which of them belong together, and the words between their commas.

use std::path::Path;
use std::sync::Arc;

use super::target::BadTarget;
use crate::place::Place;

/// A name and everything behind it, each with its place; or what is wrong there.
pub(super) struct Entry {
    pub(super) place: Place,
    pub(super) name: String,
    pub(super) items: Vec<(Place, String)>,
}

type Wrong = Vec<(Place, String)>;

/// The rows of a file.
pub(super) fn entries(file: &Path, bytes: &[u8]) -> (Vec<Entry>, Wrong) {
    let mut reader = Reader::default();
    each_line(file, bytes, |place, line| reader.line(place, line));
    reader.entries.extend(reader.open);
    (reader.entries, reader.wrong)
}

/// The words of an included file, which has one or several on each line.
pub(super) fn list(file: &Path, bytes: &[u8]) -> (Vec<(Place, String)>, Wrong) {
    let (mut all, mut wrong) = (Vec::new(), Vec::new());
    each_line(file, bytes, |place, line| {
        let line = line.map(str::trim_ascii).map(|line| if line.starts_with('#') { "" } else { line });
        match line.and_then(|line| items(line).map_err(|fault| fault.to_string())) {
            Ok(Items { items, .. }) => all.extend(items.into_iter().map(|item| (place.clone(), item))),
            Err(what) => wrong.push((place, what)),
        }
    });
    (all, wrong)
}

fn each_line(file: &Path, bytes: &[u8], mut take: impl FnMut(Place, Result<&str, String>)) {
    let shared: Arc<Path> = Arc::from(file);
    for (line, number) in bytes.split_inclusive(|byte| *byte == b'\n').zip(1..) {
        take(Place::line(&shared, number), text(line));
    }
}

/// A line with its white space: what begins with it continues the line before.
fn text(line: &[u8]) -> Result<&str, String> {
    let line = line.strip_suffix(b"\n").unwrap_or(line);
    let line = line.strip_suffix(b"\r").unwrap_or(line);
    if let Some(byte) = line.iter().find(|byte| byte.is_ascii_control() && **byte != b'\t') {
        return Err(format!("a control character (0x{byte:02x}) stands in this line"));
    }
    str::from_utf8(line).map_err(|_| "this line is not UTF-8".to_owned())
}

#[derive(Default)]
struct Reader {
    entries: Vec<Entry>,
    wrong: Wrong,
    /// The row that the next line may continue.
    open: Option<Entry>,
    /// Whether a comma, or nothing yet, stands before what comes next.
    comma: bool,
    /// Whether a `\` continues the line.
    backslash: bool,
    /// Whether the row before was wrong: its continuations are not looked at.
    skipping: bool,
}

impl Reader {
    fn line(&mut self, place: Place, line: Result<&str, String>) {
        match line {
            Ok(line) => self.text(place, line),
            Err(what) => self.fail(place, what),
        }
    }

    fn text(&mut self, place: Place, line: &str) {
        let continues = std::mem::take(&mut self.backslash) || line.starts_with([' ', '\t']);
        let line = line.trim_ascii_end();
        let (line, backslash) = line.strip_suffix('\\').map_or((line, false), |line| (line, true));
        if line.trim_ascii().is_empty() && !backslash {
            return self.close(continues);
        }
        if !continues && line.starts_with('#') {
            return self.close(false);
        }
        self.backslash = backslash;
        match continues {
            true if self.skipping => {}
            true if self.open.is_none() => {
                self.fail(place, "this line begins with white space, but continues no row".to_owned());
            }
            true => self.items(&place, line),
            false => self.begin(place, line),
        }
    }

    /// A line of white space alone may stand within a row.
    fn close(&mut self, continues: bool) {
        if !continues {
            self.entries.extend(self.open.take());
            self.skipping = false;
        }
    }

    fn begin(&mut self, place: Place, line: &str) {
        self.close(false);
        match name_of(line) {
            Ok((name, rest)) => {
                let entry = Entry { place: place.clone(), name: name.to_owned(), items: Vec::new() };
                self.open = Some(entry);
                self.comma = true;
                self.items(&place, rest);
            }
            Err(what) => self.fail(place, what),
        }
    }

    fn items(&mut self, place: &Place, text: &str) {
        match items(text.trim_ascii()) {
            Ok(Items { items, .. }) if items.is_empty() && text.trim_ascii().is_empty() => {}
            Ok(Items { begins, .. }) if !self.comma && !begins => {
                self.fail(
                    place.clone(),
                    "a comma must stand between this line and the one before".to_owned(),
                );
            }
            Ok(Items { items, ends, .. }) => {
                self.comma = ends;
                let placed = items.into_iter().map(|item| (place.clone(), item));
                self.open.iter_mut().for_each(|open| open.items.extend(placed.clone()));
            }
            Err(fault) => self.fail(place.clone(), fault.to_string()),
        }
    }

    fn fail(&mut self, place: Place, what: String) {
        self.wrong.push((place, what));
        self.open = None;
        self.skipping = true;
    }
}

/// What stands before the colon, which quotes may hide, and what behind.
fn name_of(line: &str) -> Result<(&str, &str), String> {
    let mut quoted = false;
    let mut escaped = false;
    for (at, c) in line.char_indices() {
        match c {
            _ if escaped => escaped = false,
            '\\' => escaped = true,
            '"' => quoted = !quoted,
            ':' if !quoted => {
                let (name, rest) = line.split_at_checked(at).unwrap_or((line, ""));
                return Ok((name.trim_ascii(), rest.strip_prefix(':').unwrap_or(rest)));
            }
            _ => {}
        }
    }
    Err(format!("\"{line}\" is not of the form \"name: address, address\""))
}

/// The words of a line, and whether a comma stands before and behind them.
struct Items {
    items: Vec<String>,
    begins: bool,
    ends: bool,
}

/// Splits at commas; quotes and brackets hide them, and what stands in parentheses is a comment (RFC 5322 section
/// 3.2.2).
fn items(line: &str) -> Result<Items, BadTarget> {
    let mut items = vec![String::new()];
    let (mut quoted, mut bracket, mut depth) = (false, false, 0_u32);
    let mut chars = line.chars();
    while let Some(c) = chars.next() {
        let command = items.last().is_some_and(|item| item.trim_ascii_start().starts_with('|'));
        match c {
            '\\' if depth > 0 => drop(chars.next()),
            '\\' => push(&mut items, [Some(c), chars.next()]),
            '(' if !quoted && !command => depth = depth.saturating_add(1),
            ')' if !quoted && !command && depth > 0 => depth = depth.saturating_sub(1),
            _ if depth > 0 => {}
            ',' if !quoted && !bracket => items.push(String::new()),
            _ => {
                quoted ^= c == '"';
                bracket = !quoted && !command && (bracket || c == '<') && c != '>';
                push(&mut items, [Some(c), None]);
            }
        }
    }
    match (quoted, bracket, depth) {
        (true, ..) => return Err(BadTarget::Open('"')),
        (_, true, _) => return Err(BadTarget::Open('<')),
        (.., 1..) => return Err(BadTarget::Open('(')),
        _ => {}
    }
    let is_empty = |item: Option<&String>| item.is_none_or(|item| item.trim_ascii().is_empty());
    let several = items.len() > 1;
    Ok(Items {
        begins: several && is_empty(items.first()),
        ends: several && is_empty(items.last()),
        items: items
            .iter()
            .map(|item| item.trim_ascii().to_owned())
            .filter(|item| !item.is_empty())
            .collect(),
    })
}

fn push(items: &mut [String], chars: [Option<char>; 2]) {
    if let Some(item) = items.last_mut() {
        item.extend(chars.into_iter().flatten());
    }
}
