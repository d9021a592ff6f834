//! The form of a main.cf: `name = value`, continued by lines that begin with white space; `$name` in values.
//!
//! Trusts nothing: parameters may stand for themselves, or for ever longer text.
#![deny(clippy::disallowed_methods)]

use std::collections::HashMap;

/// How deep parameters may stand for parameters.
const DEEPEST: u32 = 20;
/// Octets that all parameters together may become.
const MOST_OCTETS: usize = 6 << 20;

/// What Postfix takes for parameters that are not set, as far as others are made of them.
const DEFAULTS: [(&str, &str); 9] = [
    ("mail_name", "Postfix"),
    ("config_directory", "/etc/postfix"),
    ("queue_directory", "/var/spool/postfix"),
    ("default_database_type", "hash"),
    ("mydestination", "$myhostname, localhost.$mydomain, localhost"),
    ("relay_transport", "relay"),
    ("virtual_transport", "virtual"),
    ("myorigin", "$myhostname"),
    ("relay_domains", ""),
];

/// A line with its continuations.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Logical {
    pub(super) line: u32,
    pub(super) text: String,
}

/// The logical lines of a main.cf or of a table of Postfix.
pub(super) fn logical_lines(source: &str) -> Vec<Logical> {
    let mut lines: Vec<Logical> = Vec::new();
    for (text, line) in source.lines().zip(1..) {
        let trimmed = text.trim_ascii();
        if trimmed.is_empty() || trimmed.starts_with('#') {
            continue;
        }
        match lines.last_mut().filter(|_| text.starts_with([' ', '\t'])) {
            Some(open) => {
                open.text.push(' ');
                open.text.push_str(trimmed);
            }
            None => lines.push(Logical { line, text: trimmed.to_owned() }),
        }
    }
    lines
}

/// A setting.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Setting {
    pub(super) line: u32,
    pub(super) name: String,
    pub(super) value: String,
}

/// Every setting of a file, and the values that they have in the end.
#[derive(Debug)]
pub(super) struct Settings {
    pub(super) all: Vec<Setting>,
    /// Lines that are no setting.
    pub(super) strange: Vec<Logical>,
    last: HashMap<String, usize>,
    left: usize,
}

impl Settings {
    pub(super) fn read(source: &str) -> Self {
        let mut settings =
            Self { all: Vec::new(), strange: Vec::new(), last: HashMap::new(), left: MOST_OCTETS };
        for logical in logical_lines(source) {
            match logical.text.split_once('=') {
                Some((name, value)) if is_name(name.trim_ascii()) => {
                    let (name, value) = (name.trim_ascii().to_owned(), value.trim_ascii().to_owned());
                    settings.last.insert(name.clone(), settings.all.len());
                    settings.all.push(Setting { line: logical.line, name, value });
                }
                _ => settings.strange.push(logical),
            }
        }
        settings
    }

    /// Whether this is what its parameter is in the end.
    pub(super) fn is_last(&self, number: usize, name: &str) -> bool {
        self.last.get(name) == Some(&number)
    }

    /// Whether the file says it.
    pub(super) fn has(&self, name: &str) -> bool {
        self.last.contains_key(name)
    }

    fn raw(&self, name: &str) -> Option<String> {
        let said = self.last.get(name).and_then(|at| self.all.get(*at)).map(|setting| setting.value.clone());
        said.or_else(|| {
            let default = DEFAULTS.iter().find(|(known, _)| *known == name);
            default.map(|(_, value)| (*value).to_owned())
        })
    }

    /// The value of a parameter; empty where nothing says it. Nothing where its references do not end.
    pub(super) fn value(&mut self, name: &str) -> Option<String> {
        let mut expanded = String::new();
        self.put(name, 0, &mut expanded)?;
        Some(expanded.trim_ascii().to_owned())
    }

    fn put(&mut self, name: &str, depth: u32, expanded: &mut String) -> Option<()> {
        if depth == DEEPEST {
            return None;
        }
        match (self.raw(name), name) {
            (Some(raw), _) => self.expand_into(&raw, depth, expanded),
            (None, "mydomain") => {
                let mut host = String::new();
                self.put("myhostname", depth + 1, &mut host)?;
                expanded.push_str(host.split_once('.').map_or("", |(_, domain)| domain));
                Some(())
            }
            (None, _) => Some(()),
        }
    }

    fn expand_into(&mut self, text: &str, depth: u32, expanded: &mut String) -> Option<()> {
        self.left = self.left.checked_sub(text.len() + 1)?;
        let mut rest = text;
        while let Some((before, after)) = rest.split_once('$') {
            expanded.push_str(before);
            rest = match after.chars().next() {
                Some('$') => {
                    expanded.push('$');
                    after.get(1..)?
                }
                Some(open @ ('{' | '(')) => {
                    let (inside, after) = enclosed(after.get(1..)?, open)?;
                    self.conditional(inside, depth, expanded)?;
                    after
                }
                _ => {
                    let (name, after) = after.split_at(after.find(|c| !of_name(c)).unwrap_or(after.len()));
                    self.put(name, depth + 1, expanded)?;
                    after
                }
            };
        }
        expanded.push_str(rest);
        Some(())
    }

    /// `name`, `name?value`, `name:value`, each value perhaps in braces.
    fn conditional(&mut self, inside: &str, depth: u32, expanded: &mut String) -> Option<()> {
        let (name, rest) = inside.split_at(inside.find(|c| !of_name(c)).unwrap_or(inside.len()));
        let mut value = String::new();
        self.put(name, depth + 1, &mut value)?;
        if rest.is_empty() {
            expanded.push_str(&value);
            return Some(());
        }
        let wanted = match rest.chars().next() {
            Some('?') => true,
            Some(':') => false,
            // Comparisons are rare, and not looked at.
            _ => return None,
        };
        let rest = rest.get(1..)?;
        let (then, otherwise) = match rest.strip_prefix('{') {
            Some(rest) => {
                let (then, after) = enclosed(rest, '{')?;
                let otherwise = after.strip_prefix(":{").and_then(|rest| enclosed(rest, '{'));
                (then, otherwise.map(|(otherwise, _)| otherwise))
            }
            None => (rest, None),
        };
        let chosen = if value.is_empty() != wanted { Some(then) } else { otherwise };
        chosen.map_or(Some(()), |chosen| self.expand_into(chosen, depth + 1, expanded))
    }
}

/// What stands before the brace that closes, and what behind it.
fn enclosed(text: &str, open: char) -> Option<(&str, &str)> {
    let close = if open == '{' { '}' } else { ')' };
    let mut depth = 0_usize;
    for (at, c) in text.char_indices() {
        match c {
            c if c == close && depth == 0 => return Some((text.get(..at)?, text.get(at + 1..)?)),
            c if c == close => depth -= 1,
            c if c == open => depth += 1,
            _ => {}
        }
    }
    None
}

fn of_name(c: char) -> bool {
    c.is_ascii_alphanumeric() || c == '_'
}

fn is_name(text: &str) -> bool {
    !text.is_empty() && text.chars().all(|c| of_name(c) || matches!(c, '.' | '/' | '-' | ':'))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn value(source: &str, name: &str) -> Option<String> {
        Settings::read(source).value(name)
    }

    #[test]
    fn lines_continue_over_comments() {
        let source = "a = b,\n# no\n\n  c\n\td\nb=x\n";
        assert_eq!(value(source, "a").unwrap(), "b, c d");
        assert_eq!(value(source, "b").unwrap(), "x");
    }

    #[test]
    fn references_stand_for_values() {
        let source =
            "myhostname = gw.example.com\nx = $myhostname|${mydomain}|$(nothing)|$$|${stress?{10}:{300}}s";
        assert_eq!(value(source, "x").unwrap(), "gw.example.com|example.com||$|300s");
        let source = "a = ${b?yes}${b:no}${c?yes}\nc = 1";
        assert_eq!(value(source, "a").unwrap(), "noyes");
    }

    #[test]
    fn references_without_end_end() {
        assert_eq!(value("a = $b\nb = x $a", "a"), None);
        assert_eq!(value("a = ${a?$a}", "a"), None);
        let wide: String = (0..19).map(|n| format!("n{n} = $n{0} $n{0} $n{0} $n{0}\n", n + 1)).collect();
        assert_eq!(value(&wide, "n0"), None);
        assert_eq!(value(&format!("a = {}", "${a?".repeat(100_000)), "a"), None);
        assert_eq!(value("a = ${b", "a"), None);
    }
}
