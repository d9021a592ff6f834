//! What an import comes to: lines of a netperm-table, and comments for what could not become one.
//!
//! Trusts nothing of the file that is imported. Guarantees that every line that is no comment is taken by the table
//! on its own, and that no text of the source can begin a line.
#![deny(clippy::disallowed_methods)]

use std::fmt;
use std::path::Path;

use netperm::{Syntax, Table};

use crate::show::printable;

/// Characters of the source that a comment quotes.
const MOST_QUOTED: usize = 100;
/// Characters of a reason: some quote the source.
const MOST_SAID: usize = 300;

/// Every attribute that an import writes, and the programs that it is for.
const CARRIED: [(&str, &str); 33] = [
    ("hostname", "smap, smapd"),
    ("domain", "smap, smapd"),
    ("mailertable", "smapd"),
    ("relay-host", "smapd"),
    ("permit-relay", "smap"),
    ("deny-relay", "smap"),
    ("listen", "smap"),
    ("maxbytes", "smap"),
    ("maxrecip", "smap"),
    ("maxerrors", "smap"),
    ("timeout", "smap"),
    ("max-sessions", "smap"),
    ("max-sessions-per-host", "smap"),
    ("retry", "smapd"),
    ("expire", "smapd"),
    ("warn", "smapd"),
    ("badadmin", "smapd"),
    ("max-connections-per-destination", "smapd"),
    ("cacert", "smapd"),
    ("client-cert", "smapd"),
    ("client-key", "smapd"),
    ("access", "smap"),
    ("relay-domains", "smap"),
    ("local-host-names", "smap, smapd"),
    ("virtusertable", "smap, smapd"),
    ("aliases", "smap, smapd"),
    ("masquerade-as", "smapd"),
    ("masquerade-domain", "smapd"),
    ("masquerade-envelope", "smapd"),
    ("masquerade-recipients", "smapd"),
    ("masquerade-limited", "smapd"),
    ("exposed-user", "smapd"),
    ("always-add-domain", "smapd"),
];

/// A line of the table, and the line of the source that it comes from.
#[derive(Debug)]
struct Line {
    text: String,
    from: u32,
}

/// What could not be carried over.
#[derive(Debug)]
struct Left {
    from: u32,
    what: String,
    why: String,
    /// Lines that the operator may want instead.
    instead: Vec<String>,
}

/// A table that is being made.
#[derive(Debug)]
pub struct Draft {
    source: String,
    lines: Vec<Line>,
    left: Vec<Left>,
}

impl Draft {
    /// Nothing yet; `source` is the file that it comes from.
    #[must_use]
    pub fn new(source: &Path) -> Self {
        let source = printable(&source.display().to_string());
        Self { source, lines: Vec::new(), left: Vec::new() }
    }

    /// Says this, because of that line of the source; what the table does not take is left.
    pub(super) fn say<W: AsRef<str>>(&mut self, from: u32, attribute: &str, words: &[W]) {
        let carried = CARRIED.iter().find(|(name, _)| *name == attribute);
        self.say_to(from, carried.map_or("smap, smapd", |(_, programs)| programs), attribute, words);
    }

    /// The same to other programs than the usual ones.
    pub(super) fn say_to<W: AsRef<str>>(&mut self, from: u32, programs: &str, attribute: &str, words: &[W]) {
        let mut text = format!("{programs}: {attribute}");
        for word in words {
            text.push(' ');
            text.push_str(word.as_ref());
        }
        let plain = words.iter().flat_map(|word| word.as_ref().split(' ')).all(is_plain);
        let wrong = if plain { wrong_with(&text) } else { Some("this cannot stand in a table".to_owned()) };
        match wrong {
            Some(why) => self.leave(from, &text, &why),
            None => self.lines.push(Line { text, from }),
        }
    }

    /// Leaves something of that line of the source, and says why.
    pub(super) fn leave(&mut self, from: u32, what: &str, why: &str) {
        self.leave_for(from, what, why, Vec::new());
    }

    /// The same, with lines that the operator may want instead.
    pub(super) fn leave_for(&mut self, from: u32, what: &str, why: &str, instead: Vec<String>) {
        let instead = instead.iter().map(|line| printable(line)).collect();
        self.left.push(Left { from, what: quoted(what, MOST_QUOTED), why: quoted(why, MOST_SAID), instead });
    }
}

/// A word that is one word of a line of its own, whatever stands around it.
fn is_plain(word: &str) -> bool {
    let ends = word.starts_with('#') || word.ends_with('\\');
    !word.is_empty()
        && !ends
        && !word.contains(|c: char| c.is_whitespace() || c.is_control() || matches!(c, '"' | '\u{fffd}'))
}

/// What the table has against a line.
fn wrong_with(line: &str) -> Option<String> {
    let faults = Table::parse(Path::new("netperm-table"), line.as_bytes(), Syntax::Netperm).err()?;
    faults.into_iter().next().map(|fault| fault.what)
}

/// On one line, and not too long.
fn quoted(text: &str, most: usize) -> String {
    let one_line = text.split_whitespace().collect::<Vec<_>>().join(" ");
    let mut quoted: String = printable(&one_line).chars().take(most).collect();
    if quoted.len() < one_line.len() {
        quoted.push_str("...");
    }
    quoted
}

/// The name of a file without its folders.
fn base(source: &str) -> &str {
    source.rsplit('/').next().unwrap_or(source)
}

const HEAD: &str = "\
# Read every line, and see what smapctl check says of it, before it is used. Behind each line, or before it, stands
# the line of the source that it comes from. Nothing is said here of users and of the spool:
#smap: userid smap
#smapd: userid smapd
#smap-lookup: userid smap-lookup
#smap, smapd: directory /var/spool/smap
";

impl fmt::Display for Draft {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let base = base(&self.source);
        writeln!(f, "# Made by smapctl import from {}.", self.source)?;
        writeln!(f, "{HEAD}")?;
        self.lines.iter().try_for_each(|line| writeln!(f, "{}    # {base}:{}", line.text, line.from))?;
        if !self.left.is_empty() {
            writeln!(f, "\n# --- Not carried over ---\n")?;
        }
        let mut left: Vec<&Left> = self.left.iter().collect();
        left.sort_by_key(|left| (left.from, &left.what));
        for Left { from, what, why, instead } in left {
            writeln!(f, "# {base}:{from}: {what}\n#     {why}")?;
            instead.iter().try_for_each(|line| writeln!(f, "#{line}"))?;
        }
        Ok(())
    }
}
