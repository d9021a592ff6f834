//! `smapctl compile`: makes `FILE.cdb` of the files that a netperm-table names, so that nobody has to read a million
//! rows to look one up.
//!
//! Decides nothing about rows: each file is read as the programs read it. Guarantees that a `FILE.cdb` appears whole or
//! not at all, even when the power goes, that whoever reads the old one meanwhile is not disturbed, and that nothing is
//! written where a text has a fault.

use std::cell::RefCell;
use std::collections::{BTreeMap, BTreeSet};
use std::fs::{File, Metadata, Permissions};
use std::io::{self, Write};
use std::os::unix::fs::{MetadataExt, PermissionsExt, fchown};
use std::path::{Path, PathBuf};

use netperm::load::{self, Source};
use netperm::tables::{Kind, Stamp, compiled_name};
use netperm::{Content, Fault, Faults, Place, Reader, Table};
use nix::sys::signal::{SigSet, Signal};
use smap_common::exit::Exit;
use tempfile::NamedTempFile;

use crate::error::Error;
use crate::show::{counted, octets};

mod progress;

use self::progress::Progress;

/// Of a mode, what is not asked for by name.
const PERMISSIONS: u32 = 0o777;

/// What is made of a file, beside the one that it is to replace.
struct Made {
    name: PathBuf,
    file: NamedTempFile,
    shown: String,
}

/// Compiles these files, or all that the netperm-table names, and says on `out` what was made.
///
/// # Errors
/// Everything that is wrong with the netperm-table or with one of the files, or one can't be written.
pub fn run(table: &Path, files: &[PathBuf], out: &mut impl Write) -> Result<Exit, Error> {
    let named = Table::load_alone(table)?.named();
    let chosen = chosen(table, &named, files)?;
    if chosen.is_empty() {
        writeln!(out, "{} names no file that can be compiled", table.display())?;
        return Ok(Exit::Ok);
    }
    let texts = Texts::new(&named, &chosen);
    let read = Table::load_with(table, &texts)?;
    let held = Held::hold();
    let mut made = Vec::new();
    for (file, kind) in &chosen {
        texts.progress.begin(file, "compiled");
        made.extend(make(&read, *kind, file, &texts)?);
    }
    texts.progress.end();
    for Made { name, file, shown } in made {
        file.persist(&name)
            .map_err(|error| error.error)
            .and_then(|_| synced_folder_of(&name))
            .map_err(unwritten(&name))?;
        writeln!(out, "{shown}")?;
    }
    drop(held);
    Ok(Exit::Ok)
}

/// What each of these files is, as the table has it; all that it names, where there are none.
fn chosen(
    table: &Path,
    named: &[(PathBuf, Kind)],
    files: &[PathBuf],
) -> Result<Vec<(PathBuf, Kind)>, Faults> {
    let (mut chosen, mut faults) = (Vec::new(), Vec::new());
    let all: BTreeSet<&PathBuf> = named.iter().map(|(file, _)| file).collect();
    for file in if files.is_empty() { all.into_iter().cloned().collect() } else { files.to_vec() } {
        let file = std::path::absolute(&file).unwrap_or(file);
        let kinds: Vec<Kind> =
            named.iter().filter(|(name, _)| *name == file).map(|(_, kind)| *kind).collect();
        let fault = |what: String| Fault::new(&Place::whole(&file), what);
        match kinds.as_slice() {
            [kind] => chosen.push((file, *kind)),
            [] => faults.push(fault(format!("no line of {} names this file", table.display()))),
            [one, other, ..] => faults.push(fault(format!(
                "{} names this file as {one} and as {other}: what is compiled can only be one of them",
                table.display()
            ))),
        }
    }
    Faults::none_of(faults)?;
    chosen.sort();
    chosen.dedup();
    Ok(chosen)
}

/// Reads the texts of the files of some kinds: what is judged among files of one kind needs them all.
struct Texts {
    read: BTreeSet<PathBuf>,
    states: RefCell<BTreeMap<PathBuf, Metadata>>,
    progress: Progress,
}

impl Texts {
    fn new(named: &[(PathBuf, Kind)], chosen: &[(PathBuf, Kind)]) -> Self {
        let is_chosen = |kind: Kind| chosen.iter().any(|(_, chosen)| *chosen == kind);
        let read = named.iter().filter(|(_, kind)| is_chosen(*kind)).map(|(file, _)| file.clone()).collect();
        Self { read, states: RefCell::default(), progress: Progress::new() }
    }

    /// What a text was when it was read.
    fn state(&self, file: &Path) -> Option<Metadata> {
        self.states.borrow().get(file).cloned()
    }
}

impl Reader for &Texts {
    fn content(&self, file: &Path) -> Result<Content, String> {
        if !self.read.contains(file) {
            return Ok(Content::default());
        }
        self.progress.begin(file, "read");
        let source = Source::read(file)?;
        self.states.borrow_mut().insert(file.to_owned(), source.metadata);
        Ok((source.bytes, source.notes))
    }

    fn is_program(&self, file: &Path) -> bool {
        load::is_program(file)
    }
}

/// Writes what a file comes to, by another name.
fn make(table: &Table, kind: Kind, file: &Path, texts: &Texts) -> Result<Option<Made>, Error> {
    let Some(text) = texts.state(file) else { return Ok(None) };
    let Some(compiled) = table.compile(kind, file, &Stamp::of(&text)) else { return Ok(None) };
    let (bytes, rows) =
        compiled.map_err(|too_large| Faults::from(Fault::new(&Place::whole(file), too_large)))?;
    let name = compiled_name(file);
    let rows = counted(u64::try_from(rows).unwrap_or(u64::MAX), "row", "rows");
    let size = octets(u64::try_from(bytes.len()).unwrap_or(u64::MAX));
    let shown = format!("{}: {rows}, {size}", name.display());
    let file = write(&name, &bytes, &text).map_err(unwritten(&name))?;
    Ok(Some(Made { name, file, shown }))
}

fn unwritten(name: &Path) -> impl FnOnce(io::Error) -> Error {
    |cause| Error::Compiled(name.to_owned(), cause)
}

/// With the owner and the mode of its text, and on the disk.
fn write(name: &Path, bytes: &[u8], text: &Metadata) -> io::Result<NamedTempFile> {
    let mut file = tempfile::Builder::new().prefix(".smapctl-compile-").tempfile_in(folder_of(name))?;
    file.write_all(bytes)?;
    fchown(file.as_file(), Some(text.uid()), Some(text.gid()))?;
    file.as_file().set_permissions(Permissions::from_mode(text.mode() & PERMISSIONS))?;
    file.as_file().sync_all()?;
    Ok(file)
}

fn folder_of(name: &Path) -> &Path {
    name.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."))
}

fn synced_folder_of(name: &Path) -> io::Result<()> {
    File::open(folder_of(name))?.sync_all()
}

/// Signals that would end this process and leave a half-written file wait until there is none.
struct Held(SigSet);

impl Held {
    fn hold() -> Self {
        let mut signals = SigSet::empty();
        [Signal::SIGINT, Signal::SIGTERM, Signal::SIGHUP].into_iter().for_each(|signal| signals.add(signal));
        // Where that is not to be had, they do as they always do.
        let _held = signals.thread_block();
        Self(signals)
    }
}

impl Drop for Held {
    fn drop(&mut self) {
        let _let_go = self.0.thread_unblock();
    }
}
