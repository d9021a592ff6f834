//! What `define` has given a value, put in where its name stands.
//!
//! Trusts nothing: names may stand for themselves, or for ever longer text.
#![deny(clippy::disallowed_methods)]

use std::collections::{HashMap, HashSet};

use super::reader::{Call, Piece};

/// How deep names may stand for names.
const DEEPEST: u32 = 20;
/// Octets that all names together may become.
const MOST_OCTETS: usize = 6 << 20;

/// Where sendmail has its tables when nothing says otherwise.
const SETTINGS: &str = "/etc/mail/";

/// Every name that has a value: the last one, as m4 looks at most of them when all is read.
#[derive(Debug)]
pub(super) struct Names {
    values: HashMap<String, (u32, String)>,
    used: HashSet<String>,
    left: usize,
}

impl Names {
    pub(super) fn of(pieces: &[Piece]) -> Self {
        let mut values: HashMap<String, (u32, String)> =
            [("MAIL_SETTINGS_DIR".to_owned(), (0, SETTINGS.to_owned()))].into();
        for piece in pieces {
            let Piece::Call(call) = piece else { continue };
            let name = call.argument(0).to_owned();
            match call.name.as_str() {
                "define" => drop(values.insert(name, (call.line, call.argument(1).to_owned()))),
                "undefine" => drop(values.remove(&name)),
                _ => {}
            }
        }
        Self { values, used: HashSet::new(), left: MOST_OCTETS }
    }

    /// The value of a name, as it is written.
    pub(super) fn value(&self, name: &str) -> Option<&str> {
        self.values.get(name).map(|(_, value)| value.as_str())
    }

    /// Whether this call gives the name the value that it has in the end.
    pub(super) fn is_last(&self, call: &Call) -> bool {
        self.values.get(call.argument(0)).is_some_and(|(line, _)| *line == call.line)
    }

    /// Whether the name stood anywhere.
    pub(super) fn is_used(&self, name: &str) -> bool {
        self.used.contains(name)
    }

    /// A text with its names put in; nothing where that does not end.
    pub(super) fn expand(&mut self, text: &str) -> Option<String> {
        let mut expanded = String::new();
        self.expand_into(text, 0, &mut expanded)?;
        Some(expanded.trim_ascii().to_owned())
    }

    fn expand_into(&mut self, text: &str, depth: u32, expanded: &mut String) -> Option<()> {
        self.left = self.left.checked_sub(text.len() + 1)?;
        let of_name = |c: char| c.is_ascii_alphanumeric() || c == '_';
        let mut rest = text;
        while let Some(first) = rest.chars().next() {
            let is_name = of_name(first);
            let end = rest.find(|c| of_name(c) != is_name).unwrap_or(rest.len());
            let (part, after) = rest.split_at(end);
            rest = after;
            match self.values.get(part).filter(|_| is_name) {
                Some(_) if depth == DEEPEST => return None,
                Some((_, value)) => {
                    let value = value.clone();
                    self.used.insert(part.to_owned());
                    self.expand_into(&value, depth + 1, expanded)?;
                }
                None => expanded.extend(part.chars().filter(|c| !matches!(c, '`' | '\''))),
            }
        }
        Some(())
    }
}

#[cfg(test)]
mod tests {
    use super::super::reader;
    use super::*;

    fn expanded(source: &str, text: &str) -> Option<String> {
        Names::of(&reader::read(source)).expand(text)
    }

    #[test]
    fn a_name_stands_for_the_last_value_that_it_was_given() {
        let source = "define(`HUB', `a.example')\ndefine(`X', `relay:HUB')\ndefine(`HUB', `b.example')";
        assert_eq!(expanded(source, "X").unwrap(), "relay:b.example");
        assert_eq!(
            expanded(source, "XY.HUB_ MAIL_SETTINGS_DIR`'access").unwrap(),
            "XY.HUB_ /etc/mail/access"
        );
        assert_eq!(expanded("define(`A', `b')\nundefine(`A')", "A").unwrap(), "A");
    }

    #[test]
    fn names_without_end_end() {
        assert_eq!(expanded("define(`A', `B')\ndefine(`B', `x A')", "A"), None);
        let source: String =
            (0..30).map(|n| format!("define(`N{n}', `N{0} N{0} N{0} N{0}')\n", n + 1)).collect();
        assert_eq!(expanded(&source, "N12"), None);
        let source: String =
            (0..19).map(|n| format!("define(`N{n}', `N{0} N{0} N{0} N{0}')\n", n + 1)).collect();
        assert_eq!(expanded(&source, "N0"), None);
    }
}
