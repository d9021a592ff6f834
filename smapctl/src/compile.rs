//! `smapctl compile`: makes `FILE.cdb` of a table, so that nobody has to read a million rows to look one up.
//!
//! Decides nothing about rows. Guarantees that a `FILE.cdb` appears whole or not at all, even when the power goes, that
//! whoever reads the old one meanwhile is not disturbed, and that nothing is written where a text has a fault.

use std::fs::{File, Metadata, Permissions};
use std::io::{self, Write};
use std::os::unix::fs::{MetadataExt, PermissionsExt, fchown};
use std::path::{Path, PathBuf};

use netperm::load::{Source, compiled_name};
use netperm::tables::{Map, Stamp};
use netperm::{Fault, Faults, Place, Table};
use smap_common::exit::Exit;

use crate::error::Error;
use crate::show::{counted, octets};

mod progress;

use self::progress::Progress;

/// Of a mode, what is not asked for by name.
const PERMISSIONS: u32 = 0o777;

/// A table in memory, as it is to be written.
struct Compiled {
    name: PathBuf,
    bytes: Vec<u8>,
    rows: usize,
    text: Metadata,
}

/// Compiles these tables, or all that the netperm-table names, and says on `out` what was made.
///
/// # Errors
/// Everything that is wrong with the netperm-table or with one of the tables, or a file can't be written.
pub fn run(table: &Path, files: &[PathBuf], out: &mut impl Write) -> Result<Exit, Error> {
    let files = if files.is_empty() { named(table)? } else { files.to_vec() };
    if files.is_empty() {
        writeln!(out, "{} names no table that can be compiled", table.display())?;
        return Ok(Exit::Ok);
    }
    for compiled in compiled(&files)? {
        write(&compiled).map_err(|cause| Error::Compiled(compiled.name.clone(), cause))?;
        let rows = counted(u64::try_from(compiled.rows).unwrap_or(u64::MAX), "row", "rows");
        let size = octets(u64::try_from(compiled.bytes.len()).unwrap_or(u64::MAX));
        writeln!(out, "{}: {rows}, {size}", compiled.name.display())?;
    }
    Ok(Exit::Ok)
}

fn named(table: &Path) -> Result<Vec<PathBuf>, Error> {
    Ok(Table::load_alone(table)?.named_tables().into_iter().collect())
}

/// All of them, or all that is wrong with any.
fn compiled(files: &[PathBuf]) -> Result<Vec<Compiled>, Faults> {
    let (mut compiled, mut faults) = (Vec::new(), Vec::new());
    for file in files {
        match compile(file) {
            Ok(done) => compiled.push(done),
            Err(wrong) => faults.extend(wrong),
        }
    }
    Faults::none_of(faults).map(|()| compiled)
}

fn compile(file: &Path) -> Result<Compiled, Faults> {
    let mut progress = Progress::new(file);
    let source = Source::read(file)?;
    let (map, faults) = Map::parse_watched(file, &source.bytes, |place| progress.at(place));
    Faults::none_of(faults)?;
    let bytes = map
        .compile(&Stamp::of(&source.metadata))
        .map_err(|too_large| Fault::new(&Place::whole(file), too_large))?;
    Ok(Compiled { name: compiled_name(file), bytes, rows: map.iter().count(), text: source.metadata })
}

/// By another name, which is changed when all is on the disk.
fn write(compiled: &Compiled) -> io::Result<()> {
    let folder = compiled.name.parent().filter(|folder| !folder.as_os_str().is_empty());
    let folder = folder.unwrap_or(Path::new("."));
    let mut file = tempfile::Builder::new().prefix(".smapctl-compile-").tempfile_in(folder)?;
    file.write_all(&compiled.bytes)?;
    fchown(file.as_file(), Some(compiled.text.uid()), Some(compiled.text.gid()))?;
    file.as_file().set_permissions(Permissions::from_mode(compiled.text.mode() & PERMISSIONS))?;
    file.as_file().sync_all()?;
    file.persist(&compiled.name)?;
    File::open(folder)?.sync_all()
}
