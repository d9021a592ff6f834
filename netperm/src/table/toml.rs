//! The same table as TOML: a section for each program, a key for each attribute.
//!
//! ```toml
//! ["smap, smapd"]
//! userid = 5
//! domain = ["example.com smtp:[10.0.0.5]", ".example.com smtp:[10.0.0.6]"]
//! ```
//!
//! A string holds what would stand after the attribute, an array of strings several such lines. Entries are
//! taken in the order of the file, so that permit and deny rules keep theirs.

use std::ops::Range;
use std::path::Path;
use std::sync::Arc;

use toml::Spanned;
use toml::de::{DeTable, DeValue};

use super::{Entry, is_ours, netperm, words};
use crate::fault::Fault;
use crate::place::Place;

/// Every entry of a file, and everything that is wrong with its form.
pub(super) fn parse(file: &Arc<Path>, bytes: &[u8]) -> (Vec<Entry>, Vec<Fault>) {
    let text = match str::from_utf8(bytes) {
        Ok(text) => text,
        Err(fault) => {
            let place = place_at(file, bytes, fault.valid_up_to());
            return (Vec::new(), vec![Fault::new(&place, "this line is not UTF-8")]);
        }
    };
    let (table, errors) = DeTable::parse_recoverable(text);
    let mut reader = Reader { file, text, entries: Vec::new(), faults: Vec::new() };
    for error in errors {
        let span = error.span().unwrap_or_default();
        reader.fault(span, error.message());
    }
    for (name, value) in table.get_ref() {
        reader.top_level(name.get_ref(), name.span(), value);
    }
    // The reader of TOML sorts by name, the rules need the order of the file.
    reader.entries.sort_by_key(|(at, _)| *at);
    (reader.entries.into_iter().map(|(_, entry)| entry).collect(), reader.faults)
}

fn place_at(file: &Arc<Path>, text: &[u8], at: usize) -> Place {
    let ends = text.iter().take(at).filter(|byte| **byte == b'\n').count();
    Place::line(file, u32::try_from(ends).unwrap_or(u32::MAX).saturating_add(1))
}

struct Reader<'a> {
    file: &'a Arc<Path>,
    text: &'a str,
    entries: Vec<(usize, Entry)>,
    faults: Vec<Fault>,
}

impl Reader<'_> {
    fn place(&self, span: &Range<usize>) -> Place {
        place_at(self.file, self.text.as_bytes(), span.start)
    }

    fn fault(&mut self, span: Range<usize>, what: impl std::fmt::Display) {
        self.faults.push(Fault::new(&self.place(&span), what));
    }

    fn top_level(&mut self, name: &str, span: Range<usize>, value: &Spanned<DeValue<'_>>) {
        let programs = match netperm::programs(name) {
            Ok(programs) => programs,
            Err(what) => return self.fault(span, what),
        };
        let sections = match value.get_ref().as_array() {
            // [[smap]]: the same program in several places of the file.
            Some(sections) => sections.iter().collect(),
            None => vec![value],
        };
        for section in sections {
            match section.get_ref().as_table() {
                Some(section) => self.section(&programs, section),
                None => self.fault(span.clone(), outside(name)),
            }
        }
    }

    fn section(&mut self, programs: &[String], section: &DeTable<'_>) {
        for (attribute, value) in section {
            match value.get_ref().as_array() {
                Some(lines) => lines.iter().for_each(|line| self.attribute(programs, attribute, line)),
                None => self.attribute(programs, attribute, value),
            }
        }
    }

    fn attribute(
        &mut self,
        programs: &[String],
        name: &Spanned<std::borrow::Cow<'_, str>>,
        value: &Spanned<DeValue<'_>>,
    ) {
        let span = value.span();
        let place = self.place(&span);
        let entry = words_of(value.get_ref())
            .and_then(|words| Entry::new(programs.to_vec(), name.get_ref(), words, place));
        match entry {
            Ok(entry) => self.entries.push((span.start, entry)),
            Err(what) if is_ours(programs) => self.fault(span, format_args!("{}: {what}", name.get_ref())),
            Err(_) => {}
        }
    }
}

fn outside(name: &str) -> String {
    format!("\"{name}\" stands outside a section: write it below the name of a program, such as [smap]")
}

fn words_of(value: &DeValue<'_>) -> Result<Vec<String>, String> {
    match value {
        DeValue::String(text) if text.contains(|c: char| c.is_control() && !c.is_ascii_whitespace()) => {
            Err("a control character stands in this value".to_owned())
        }
        DeValue::String(text) => words::split(text).map_err(|fault| fault.to_string()),
        DeValue::Integer(number) => Ok(vec![number.to_string()]),
        DeValue::Float(_)
        | DeValue::Boolean(_)
        | DeValue::Datetime(_)
        | DeValue::Array(_)
        | DeValue::Table(_) => {
            let found = value.type_str();
            Err(format!(
                "a string, a whole number or an array of strings is needed here (this is of type {found})"
            ))
        }
    }
}
