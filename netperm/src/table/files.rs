//! The files that a table names, read once for every program that names them.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::{Program, Table};
use crate::access::Access;
use crate::aliases::{AliasFile, Aliases};
use crate::check;
use crate::fault::{Fault, Note};
use crate::mailertable::Mailertable;
use crate::names::Names;
use crate::place::{Located, Place};
use crate::recipients::{Line, Users};
use crate::schema::{Smap, Smapd};
use crate::tables::{Kind, Map, Stamp, TooLarge, Unusable, unused};
use crate::virtusertable::Virtusertable;

/// What is in a file, and what the operator should know of the file.
pub type Content = (Vec<u8>, Vec<String>);

/// What was compiled of a file.
#[derive(Debug, Default)]
pub struct Found {
    /// The rows, where there is something that can be used.
    pub map: Option<Map>,
    /// What the operator should know of the files.
    pub notes: Vec<String>,
    /// Why it is not what the text says, or cannot be used.
    pub warning: Option<String>,
}

/// Reads what a table names.
pub trait Reader {
    /// What is in a file.
    ///
    /// # Errors
    /// Why it can't be read or believed.
    fn content(&self, file: &Path) -> Result<Content, String>;

    /// What was compiled of a file, which is looked at before the file itself.
    fn compiled(&self, _kind: Kind, _file: &Path) -> Found {
        Found::default()
    }

    /// Whether a program is there that an alias runs.
    fn is_program(&self, _file: &Path) -> bool {
        true
    }
}

/// Takes every file to be empty, whether it is there or not.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Unread;

impl Reader for Unread {
    fn content(&self, _file: &Path) -> Result<Content, String> {
        Ok(Content::default())
    }
}

impl<F: Fn(&Path) -> Result<Content, String>> Reader for F {
    fn content(&self, file: &Path) -> Result<Content, String> {
        self(file)
    }
}

/// Every file that lines name, with the first line that does.
#[derive(Default)]
struct Named(BTreeMap<(Kind, PathBuf), Place>);

impl Named {
    fn one<T: OfFile>(&mut self, kind: Kind, named: Option<&Located<T>>) {
        named.into_iter().for_each(|named| self.add(kind, named.value.file(), &named.place));
    }

    fn people(
        &mut self,
        virtusertable: Option<&Located<Virtusertable>>,
        aliases: Option<&Located<Aliases>>,
        recipients: &[Located<Line>],
    ) {
        self.one(Kind::Virtusertable, virtusertable);
        if let Some(named) = aliases {
            named.files().iter().for_each(|file| self.add(Kind::Aliases, file, &named.place));
        }
        for line in recipients {
            line.files().for_each(|file| self.add(Kind::Recipients, file, &line.place));
        }
    }

    fn add(&mut self, kind: Kind, file: &Path, place: &Place) {
        self.0.entry((kind, file.to_owned())).or_insert_with(|| place.clone());
    }
}

/// What is read from one file.
trait OfFile: Clone {
    fn file(&self) -> &Path;
}

macro_rules! of_file {
    ($($kind:ty),*) => {
        $(impl OfFile for $kind {
            fn file(&self) -> &Path {
                self.file()
            }
        })*
    };
}

of_file!(Access, Mailertable, Names, Virtusertable);

/// What was read, by the name of the file.
#[derive(Debug, Clone, Default)]
pub(super) struct Files {
    access: BTreeMap<PathBuf, Access>,
    aliases: BTreeMap<PathBuf, Arc<AliasFile>>,
    local_host_names: BTreeMap<PathBuf, Names>,
    mailertables: BTreeMap<PathBuf, Mailertable>,
    relay_domains: BTreeMap<PathBuf, Names>,
    users: BTreeMap<PathBuf, Users>,
    virtusertables: BTreeMap<PathBuf, Virtusertable>,
}

impl Files {
    /// Puts what was read where smap's lines name it.
    pub(super) fn fill_smap(&self, smap: &mut Smap) {
        put(&mut smap.access, &self.access);
        put(&mut smap.local_host_names, &self.local_host_names);
        put(&mut smap.mailertable, &self.mailertables);
        put(&mut smap.relay_domains, &self.relay_domains);
        put(&mut smap.virtusertable, &self.virtusertables);
        self.people(&mut smap.aliases, &mut smap.recipients);
    }

    /// The same for smapd.
    pub(super) fn fill_smapd(&self, smapd: &mut Smapd) {
        put(&mut smapd.local_host_names, &self.local_host_names);
        put(&mut smapd.mailertable, &self.mailertables);
        put(&mut smapd.virtusertable, &self.virtusertables);
        self.people(&mut smapd.aliases, &mut smapd.recipients);
    }

    fn people(&self, aliases: &mut Option<Located<Aliases>>, recipients: &mut [Located<Line>]) {
        if let Some(named) = aliases {
            named.value.fill(|file| self.aliases.get(file).cloned());
        }
        recipients.iter_mut().for_each(|line| line.value.fill(|file| self.users.get(file).cloned()));
    }

    /// Takes what a text says, and tells everything that is wrong with it.
    fn add(&mut self, kind: Kind, file: &Path, bytes: &[u8]) -> Vec<Fault> {
        match kind {
            Kind::Access => keep(&mut self.access, file, Access::parse(file, bytes)),
            Kind::Aliases => {
                let (read, faults) = AliasFile::parse(file, bytes);
                keep(&mut self.aliases, file, (Arc::new(read), faults))
            }
            Kind::LocalHostNames => keep(&mut self.local_host_names, file, Names::parse(kind, file, bytes)),
            Kind::Mailertable => keep(&mut self.mailertables, file, Mailertable::parse(file, bytes)),
            Kind::Recipients => keep(&mut self.users, file, Users::parse(file, bytes)),
            Kind::RelayDomains => keep(&mut self.relay_domains, file, Names::parse(kind, file, bytes)),
            Kind::Virtusertable => keep(&mut self.virtusertables, file, Virtusertable::parse(file, bytes)),
        }
    }

    /// Takes what was compiled of it instead.
    fn add_compiled(&mut self, kind: Kind, file: &Path, map: Map) -> Result<(), Unusable> {
        match kind {
            Kind::Access => place(&mut self.access, file, Access::of(map)),
            Kind::Aliases => place(&mut self.aliases, file, AliasFile::of(map).map(Arc::new)),
            Kind::LocalHostNames => place(&mut self.local_host_names, file, Names::of(map)),
            Kind::Mailertable => place(&mut self.mailertables, file, Mailertable::of(map)),
            Kind::Recipients => place(&mut self.users, file, Ok(Users::of(map))),
            Kind::RelayDomains => place(&mut self.relay_domains, file, Names::of(map)),
            Kind::Virtusertable => place(&mut self.virtusertables, file, Ok(Virtusertable::of(map))),
        }
    }

    /// The rows of a file, and what they are taken together.
    fn rows(&self, kind: Kind, file: &Path) -> Option<(&Map, String)> {
        let alone = |map| (map, String::new());
        match kind {
            Kind::Access => self.access.get(file).map(Access::rows_and_shape),
            Kind::Aliases => self.aliases.get(file).map(|aliases| aliases.rows_and_shape()),
            Kind::LocalHostNames => self.local_host_names.get(file).map(Names::rows_and_shape),
            Kind::Mailertable => self.mailertables.get(file).map(Mailertable::rows_and_shape),
            Kind::Recipients => self.users.get(file).map(|users| alone(users.rows())),
            Kind::RelayDomains => self.relay_domains.get(file).map(Names::rows_and_shape),
            Kind::Virtusertable => self.virtusertables.get(file).map(|users| alone(users.rows())),
        }
    }
}

fn put<T: OfFile>(named: &mut Option<Located<T>>, read: &BTreeMap<PathBuf, T>) {
    if let Some(named) = named
        && let Some(read) = read.get(named.value.file())
    {
        named.value = read.clone();
    }
}

fn keep<T>(read: &mut BTreeMap<PathBuf, T>, file: &Path, (parsed, faults): (T, Vec<Fault>)) -> Vec<Fault> {
    read.insert(file.to_owned(), parsed);
    faults
}

fn place<T>(read: &mut BTreeMap<PathBuf, T>, file: &Path, of: Result<T, Unusable>) -> Result<(), Unusable> {
    of.map(|of| drop(read.insert(file.to_owned(), of)))
}

impl Table {
    /// Reads the files that its lines name, and tells everything that is wrong with them and among them.
    pub(super) fn read_files(&mut self, reader: &impl Reader) -> Vec<Fault> {
        let mut faults = Vec::new();
        for ((kind, file), place) in self.named_files().0 {
            if self.read_compiled(reader, kind, &file, &place) {
                continue;
            }
            let about = |what: String| about(kind, &file, &what);
            match reader.content(&file) {
                Err(what) => faults.push(Fault::new(&place, about(what))),
                Ok((bytes, notes)) => {
                    self.notes.extend(notes.into_iter().map(|note| Note::new(&place, about(note))));
                    faults.extend(self.files.add(kind, &file, &bytes));
                }
            }
        }
        faults.extend(self.people_faults(&|program| reader.is_program(program)));
        faults
    }

    /// Whether what was compiled of a file stands for it.
    fn read_compiled(&mut self, reader: &impl Reader, kind: Kind, file: &Path, place: &Place) -> bool {
        let Found { map, notes, mut warning } = reader.compiled(kind, file);
        let added = map.map(|map| self.files.add_compiled(kind, file, map));
        if let Some(Err(why)) = &added {
            warning = Some(unused(file, why));
        }
        let note = |note: String| Note::new(place, about(kind, file, &note));
        self.warnings.extend(warning.map(note));
        let is_used = added.is_some_and(|added| added.is_ok());
        if is_used {
            self.notes.extend(notes.into_iter().map(note));
        }
        is_used
    }

    /// Every file that its lines name, and what it is.
    #[must_use]
    pub fn named(&self) -> Vec<(PathBuf, Kind)> {
        self.named_files().0.into_keys().map(|(kind, file)| (file, kind)).collect()
    }

    /// What is to be written beside a text in this state, and how many rows it has; nothing for a file that was not
    /// read.
    ///
    /// # Errors
    /// There are too many rows.
    pub fn compile(
        &self,
        kind: Kind,
        file: &Path,
        text: &Stamp,
    ) -> Option<Result<(Vec<u8>, usize), TooLarge>> {
        let (map, shape) = self.files.rows(kind, file)?;
        Some(map.compile(kind, &shape, text).map(|bytes| (bytes, map.iter().count())))
    }

    /// What is wrong among the files that say who somebody is.
    fn people_faults(&self, is_program: &dyn Fn(&Path) -> bool) -> Vec<Fault> {
        let mut faults = Vec::new();
        if let Ok(mut smap) = self.right::<Smap>(Program::Smap) {
            self.files.fill_smap(&mut smap);
            let hostname = smap.hostname.clone().unwrap_or_else(check::nowhere);
            faults.extend(check::people_faults("smap", &smap.people(&hostname), None));
        }
        if let Ok(mut smapd) = self.right::<Smapd>(Program::Smapd) {
            self.files.fill_smapd(&mut smapd);
            let hostname = smapd.hostname.clone().unwrap_or_else(check::nowhere);
            faults.extend(check::people_faults("smapd", &smapd.people(&hostname), Some(is_program)));
        }
        faults
    }

    fn named_files(&self) -> Named {
        let mut named = Named::default();
        if let Ok(smap) = self.right::<Smap>(Program::Smap) {
            named.one(Kind::Access, smap.access.as_ref());
            named.one(Kind::LocalHostNames, smap.local_host_names.as_ref());
            named.one(Kind::Mailertable, smap.mailertable.as_ref());
            named.one(Kind::RelayDomains, smap.relay_domains.as_ref());
            named.people(smap.virtusertable.as_ref(), smap.aliases.as_ref(), &smap.recipients);
        }
        if let Ok(smapd) = self.right::<Smapd>(Program::Smapd) {
            named.one(Kind::LocalHostNames, smapd.local_host_names.as_ref());
            named.one(Kind::Mailertable, smapd.mailertable.as_ref());
            named.people(smapd.virtusertable.as_ref(), smapd.aliases.as_ref(), &smapd.recipients);
        }
        named
    }
}

fn about(kind: Kind, file: &Path, what: &str) -> String {
    format!("{kind}: {}: {what}", file.display())
}
