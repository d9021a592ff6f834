//! The files that a table names and that are read with it.

use std::path::{Path, PathBuf};

use super::{Content, Entry, Program, Table};
use crate::access::Access;
use crate::fault::{Fault, Note};
use crate::mailertable::Mailertable;
use crate::names::{Kind, Names};
use crate::place::Place;
use crate::schema::{Smap, Smapd};

/// What they say, as far as they are named.
#[derive(Debug, Clone, Default)]
pub(super) struct Files {
    mailertable: Option<Mailertable>,
    access: Option<Access>,
    relay_domains: Option<Names>,
    /// Each program may have its own.
    local_host_names: [Option<Names>; 2],
}

impl Files {
    pub(super) fn fill_smap(&self, smap: &mut Smap) {
        let [names, _] = &self.local_host_names;
        if let (Some(named), Some(read)) = (&mut smap.access, &self.access) {
            named.value = read.clone();
        }
        if let (Some(named), Some(read)) = (&mut smap.relay_domains, &self.relay_domains) {
            named.value = read.clone();
        }
        if let (Some(named), Some(read)) = (&mut smap.local_host_names, names) {
            named.value = read.clone();
        }
    }

    pub(super) fn fill_smapd(&self, smapd: &mut Smapd) {
        let [_, names] = &self.local_host_names;
        if let (Some(named), Some(read)) = (&mut smapd.mailertable, &self.mailertable) {
            named.value = read.clone();
        }
        if let (Some(named), Some(read)) = (&mut smapd.local_host_names, names) {
            named.value = read.clone();
        }
    }
}

/// Reads one file after the other, and gathers what is wrong with them and what the operator should know.
struct Reader<F> {
    read: F,
    faults: Vec<Fault>,
    notes: Vec<Note>,
}

impl<F: Fn(&Path) -> Result<Content, String>> Reader<F> {
    fn read<T>(
        &mut self,
        attribute: &str,
        named: Option<(Place, PathBuf)>,
        parse: impl FnOnce(&Path, &[u8]) -> (T, Vec<Fault>),
    ) -> Option<T> {
        let (place, file) = named?;
        let about = |what: String| format!("{attribute}: {}: {what}", file.display());
        match (self.read)(&file) {
            Err(what) => {
                self.faults.push(Fault::new(&place, about(what)));
                None
            }
            Ok((bytes, notes)) => {
                self.notes.extend(notes.into_iter().map(|note| Note::new(&place, about(note))));
                let (parsed, faults) = parse(&file, &bytes);
                self.faults.extend(faults);
                Some(parsed)
            }
        }
    }
}

impl Table {
    /// Reads the files that its lines name, and tells everything that is wrong with them.
    pub(super) fn read_files(&mut self, read: impl Fn(&Path) -> Result<Content, String>) -> Vec<Fault> {
        let mut reader = Reader { read, faults: Vec::new(), notes: Vec::new() };
        let local = |file: &Path, bytes: &[u8]| Names::parse(Kind::Local, file, bytes);
        let relay = |file: &Path, bytes: &[u8]| Names::parse(Kind::Relay, file, bytes);
        let named = |program, attribute| self.named_file(program, attribute);
        let files = Files {
            mailertable: reader.read("mailertable", named(Program::Smapd, "mailertable"), Mailertable::parse),
            access: reader.read("access", named(Program::Smap, "access"), Access::parse),
            relay_domains: reader.read("relay-domains", named(Program::Smap, "relay-domains"), relay),
            local_host_names: [Program::Smap, Program::Smapd]
                .map(|program| reader.read("local-host-names", named(program, "local-host-names"), local)),
        };
        self.files = files;
        self.notes.extend(reader.notes);
        reader.faults
    }

    /// The file that the first line of an attribute names, where that line is right.
    fn named_file(&self, program: Program, attribute: &str) -> Option<(Place, PathBuf)> {
        let line: &Entry = self.lines(program).find(|entry| entry.attribute == attribute)?;
        let right = program.try_line(line).is_ok();
        line.words.first().filter(|_| right).map(|file| (line.place.clone(), PathBuf::from(file)))
    }
}
