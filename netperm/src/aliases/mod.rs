//! sendmail's `aliases`, in its own plain text: whom a name at home stands for.
//!
//! Decides what a row means (aliases(5)) and which row means a name. Trusts the operator's intent, as a table does, and
//! an included file only to name addresses. Guarantees that a program is one of the folder that `safe-programs` names,
//! by its base name as smrsh(8) takes it and never by way of a shell; that a file lies below the folder that
//! `safe-files` names; and that no row leads back to itself by way of others.
#![deny(clippy::disallowed_methods)]

mod lines;
mod loops;
mod target;
mod written;

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use serde::de::{Deserialize, Deserializer, Error as _};

use self::lines::Entry;
pub use self::target::{BadTarget, Program, Target};
use crate::detail::Delimiter;
use crate::fault::{Fault, Note};
use crate::paths;
use crate::place::{Located, Place};
use crate::table::Words;
use crate::tables::{Builder, Damaged, Map, Unusable};

#[cfg(test)]
mod tests;

/// A name, and whom it stands for.
#[derive(Debug, PartialEq, Eq)]
pub struct Row {
    /// The name, in lower case.
    pub name: String,
    /// Never empty.
    pub targets: Vec<Located<Target>>,
}

/// The row of a name, if there is one, as far as that can be told.
pub type Found = Result<Option<Located<Arc<Row>>>, Damaged>;

/// One file of aliases. What stands behind a name is kept as it is written, and read when the name is looked up.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct AliasFile {
    rows: Map,
    /// The lists that rows name by their files.
    includes: BTreeSet<PathBuf>,
}

/// What no path has in it that a line can name.
const BETWEEN: &str = "\n";

impl AliasFile {
    /// Reads a file, and tells everything that is wrong with its rows.
    pub(crate) fn parse(file: &Path, bytes: &[u8]) -> (Self, Vec<Fault>) {
        let (entries, wrong) = lines::entries(file, bytes);
        let mut faults: Vec<Fault> =
            wrong.into_iter().map(|(place, what)| Fault::new(&place, what)).collect();
        let (mut rows, mut includes) = (Builder::new(file), BTreeSet::new());
        for Entry { place, name, items } in entries {
            let key = name_of(&name);
            let value = written::write(&place, &items);
            if items.is_empty() {
                let what = format!("\"{name}\": nobody stands behind the colon");
                faults.push(Fault::new(&place, what));
                continue;
            }
            includes.extend(read_all(items, &mut faults).into_iter().filter_map(list_of));
            let added = key.and_then(|name| rows.add(name, &place, value));
            faults.extend(added.err().map(|what| Fault::new(&place, what)));
        }
        (Self { rows: rows.done(), includes }, faults)
    }

    /// What was compiled of it.
    pub(crate) fn of(rows: Map) -> Result<Self, Unusable> {
        let shape = rows.shape().ok_or(Unusable::Broken)?;
        let includes = shape.split(BETWEEN).filter(|path| !path.is_empty()).map(PathBuf::from).collect();
        Ok(Self { rows, includes })
    }

    pub(crate) fn rows_and_shape(&self) -> (&Map, String) {
        let includes: Vec<String> = self.includes.iter().map(|path| path.display().to_string()).collect();
        (&self.rows, includes.join(BETWEEN))
    }

    fn row(&self, name: &str) -> Found {
        self.rows.find(name)?.map(|row| self.read(name, row.place, row.value)).transpose()
    }

    fn read(&self, name: &str, place: Place, value: &str) -> Result<Located<Arc<Row>>, Damaged> {
        let targets = written::read(&place, value).ok_or_else(|| self.rows.damaged())?;
        Ok(Located { place, value: Arc::new(Row { name: name.to_owned(), targets }) })
    }
}

fn list_of(target: Located<Target>) -> Option<PathBuf> {
    match target.value {
        Target::Include(file) => Some(file),
        _ => None,
    }
}

/// A name as it is looked up.
fn name_of(written: &str) -> Result<String, String> {
    if written.contains('@') && !written.starts_with('"') {
        return Err(format!(
            "\"{written}\": only names at home have aliases: name a user of a domain in a virtusertable"
        ));
    }
    let name = target::local_part(written).map_err(|fault| format!("\"{written}\": {fault}"))?;
    Ok(name.to_lowercase())
}

fn read_all(items: Vec<(Place, String)>, faults: &mut Vec<Fault>) -> Vec<Located<Target>> {
    let mut targets = Vec::new();
    for (place, item) in items {
        match Target::read(&item) {
            Ok(value) => targets.push(Located { place, value }),
            Err(fault) => faults.push(Fault::new(&place, fault)),
        }
    }
    targets
}

/// What an included file says: addresses and names, one or several on a line; a line that begins with `#` says
/// nothing. Programs and files are not for its author to name.
#[must_use]
pub fn included(file: &Path, bytes: &[u8]) -> (Vec<Located<Target>>, Vec<Fault>) {
    let (items, wrong) = lines::list(file, bytes);
    let mut faults = wrong.into_iter().map(|(place, what)| Fault::new(&place, what)).collect();
    let mut targets = read_all(items, &mut faults);
    targets.retain(|target| {
        let allowed = !matches!(target.value, Target::Program(_) | Target::File(_));
        if !allowed {
            faults.push(Fault::new(&target.place, "an included file may name neither programs nor files"));
        }
        allowed
    });
    (targets, faults)
}

/// `aliases FILE...`, and what the files say. The first file that has a name decides.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Aliases {
    files: Vec<PathBuf>,
    read: Vec<Arc<AliasFile>>,
}

impl Aliases {
    /// The files.
    #[must_use]
    pub fn files(&self) -> &[PathBuf] {
        &self.files
    }

    /// Takes what each file says, as far as that could be read.
    pub(crate) fn fill(&mut self, read: impl Fn(&Path) -> Option<Arc<AliasFile>>) {
        self.read = self.files.iter().filter_map(|file| read(file)).collect();
    }

    /// The row of a local part: as a whole, then `user+*`, then without its detail.
    ///
    /// # Errors
    /// A compiled table is damaged there.
    pub fn find(&self, local_part: &str, delimiter: Delimiter) -> Found {
        let name = local_part.to_lowercase();
        let split = delimiter.split(&name);
        let keys = split.map(|split| [format!("{}{}*", split.user, split.delimiter), split.user.to_owned()]);
        for key in std::iter::once(name.clone()).chain(keys.into_iter().flatten()) {
            if let Some(row) = self.row(&key)? {
                return Ok(Some(row));
            }
        }
        Ok(None)
    }

    fn row(&self, name: &str) -> Found {
        for file in &self.read {
            if let Some(row) = file.row(name)? {
                return Ok(Some(row));
            }
        }
        Ok(None)
    }

    /// The envelope's sender for what a list sends on: whoever stands behind `owner-LIST`, or that name itself where
    /// several do or he is a program, a file or a list.
    ///
    /// # Errors
    /// A compiled table is damaged there.
    pub fn owner(&self, name: &str) -> Result<Option<Target>, Damaged> {
        let name = if name.starts_with("owner-") { "owner" } else { name };
        let owner = self.row(&format!("owner-{name}"))?;
        Ok(owner.map(|owner| match owner.targets.as_slice() {
            [Located { value: one @ (Target::Name(_) | Target::Address(_)), .. }] => one.clone(),
            _ => Target::Name(owner.name.clone()),
        }))
    }

    /// The lists that rows name by their files.
    pub fn includes(&self) -> impl Iterator<Item = &Path> {
        self.read.iter().flat_map(|file| file.includes.iter().map(PathBuf::as_path))
    }

    /// Every row that was not judged when it was compiled.
    fn unjudged(&self) -> impl Iterator<Item = Located<Arc<Row>>> {
        let rows = |file: &'_ Arc<AliasFile>| {
            let row = |(name, place, value)| file.read(name, place, value).ok();
            file.rows.unjudged().filter_map(row).collect::<Vec<_>>()
        };
        self.read.iter().flat_map(rows)
    }

    /// What the rows name that may not be named, and those that lead back to themselves. `exists` tells whether a
    /// program is there.
    pub(crate) fn faults(
        &self,
        programs: Option<&Path>,
        files: Option<&Path>,
        exists: &dyn Fn(&Path) -> bool,
    ) -> Vec<Fault> {
        let judged = |target: &Located<Target>| {
            let what = match &target.value {
                Target::Program(program) => not_run(program, programs, exists),
                Target::File(file) => not_written(file, files),
                _ => None,
            };
            what.map(|what| Fault::new(&target.place, what))
        };
        self.unjudged().flat_map(|row| row.targets.iter().filter_map(judged).collect::<Vec<_>>()).collect()
    }

    /// The rows that lead back to themselves by way of others.
    pub(crate) fn loops(&self, delimiter: Delimiter) -> Vec<Fault> {
        loops::find(self, delimiter)
    }

    /// What the operator should know; `line` is the one that names the files.
    pub(crate) fn notes(&self, line: &Place) -> Vec<Note> {
        let mut notes = Vec::new();
        if !self.read.is_empty() && self.row("postmaster") == Ok(None) {
            notes.push(Note::new(
                line,
                "no alias says who reads mail for postmaster (RFC 5321 section 4.5.1): add a row such as \
                 \"postmaster: root\"",
            ));
        }
        for (number, file) in self.read.iter().enumerate() {
            let earlier = || self.read.iter().take(number).rev();
            for (name, place, _) in file.rows.iter() {
                if let Some(first) = earlier().find_map(|file| file.rows.get(name)) {
                    let text =
                        format!("{name} is already taken by {}, and the first file counts", first.place);
                    notes.push(Note::new(&place, text));
                }
            }
        }
        notes
    }
}

/// Why a program may not be run.
pub(crate) fn not_run(
    program: &Program,
    folder: Option<&Path>,
    exists: &dyn Fn(&Path) -> bool,
) -> Option<String> {
    let Some(folder) = folder else {
        return Some(format!(
            "|{}: no program may be run: add a line such as \"smapd: safe-programs /etc/smap/programs\"",
            program.name
        ));
    };
    let missing = !exists(&program.path(folder));
    missing.then(|| {
        let folder = folder.display();
        format!("|{0}: no program {0} that can be run stands in {folder} (safe-programs)", program.name)
    })
}

/// Why a file may not be written.
#[must_use]
pub fn not_written(file: &Path, folder: Option<&Path>) -> Option<String> {
    let shown = file.display();
    match folder {
        None => Some(format!(
            "{shown}: no file may be written: add a line such as \"smapd: safe-files /var/mail/archive\""
        )),
        Some(folder) if !file.starts_with(folder) || file == folder => {
            Some(format!("{shown} does not lie below {} (safe-files)", folder.display()))
        }
        Some(_) => None,
    }
}

impl<'de> Deserialize<'de> for Aliases {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let Words(words) = Words::deserialize(deserializer)?;
        if words.is_empty() {
            return Err(D::Error::custom("a file is missing"));
        }
        let file = |word: &String| {
            paths::file(word).map_err(|fault| D::Error::custom(format!("\"{word}\" {fault}")))
        };
        Ok(Self { files: words.iter().map(file).collect::<Result<_, _>>()?, read: Vec::new() })
    }
}
