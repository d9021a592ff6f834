//! `smapctl queue`: the messages in the spool, read as smapd reads them; no running smapd is needed.
//!
//! Trusts nothing that it finds in a file. Holds the names of all messages, and one message at a time.

use std::collections::BTreeMap;
use std::io::{self, Write};
use std::os::fd::{AsFd, OwnedFd};
use std::path::Path;

use netperm::site::Site;
use nix::dir::Dir;
use nix::errno::Errno;
use nix::fcntl::{OFlag, open};
use nix::sys::stat::Mode;
use smap_common::clock::Timestamp;
use smap_common::exit::Exit;
use smap_common::spool::{Expected, Message, Opened, QueueId, QueueState};

use crate::error::Error;

mod entry;
mod text;

pub use entry::{Attempt, Entry, Pending, Place};
pub use text::{Summary, header, lines};

/// Lists every message on `out`, in the order in which they came.
///
/// # Errors
/// The table is wrong, the spool cannot be read, or `out` fails.
pub fn list(table: &Path, json: bool, out: &mut impl Write) -> Result<Exit, Error> {
    let site = Site::load(table)?;
    let spool = Spool::open(&site)?;
    let format = if json { Format::Json } else { Format::Text };
    let mut summary = Summary { set_aside: count_of_bad(&site.smapd.bad_directory()), ..Summary::default() };
    let (names, strangers) = spool.names()?;
    summary.bad += strangers;
    let mut opening = format.opening();
    for (id, place) in names {
        let Some(entry) = spool.entry(id, place)? else { continue };
        summary.add(&entry);
        out.write_all(std::mem::replace(&mut opening, format.between()).as_bytes())?;
        format.entry(&entry, out)?;
    }
    match format {
        Format::Text => writeln!(out, "{summary}")?,
        Format::Json if opening == format.opening() => out.write_all(b"[]\n")?,
        Format::Json => out.write_all(b"\n]\n")?,
    }
    Ok(Exit::Ok)
}

/// How the list is shown.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Format {
    /// For people.
    Text,
    /// One array, for programs.
    Json,
}

impl Format {
    /// What stands before the first entry.
    fn opening(self) -> String {
        match self {
            Self::Text => header(),
            Self::Json => "[\n".to_owned(),
        }
    }

    /// What stands before each other.
    fn between(self) -> String {
        match self {
            Self::Text => String::new(),
            Self::Json => ",\n".to_owned(),
        }
    }

    fn entry(self, entry: &Entry, out: &mut impl Write) -> Result<(), Error> {
        match self {
            Self::Text => out.write_all(lines(entry, Timestamp::now()).as_bytes())?,
            Self::Json => serde_json::to_writer(out, entry)?,
        }
        Ok(())
    }
}

/// The two folders that hold messages.
struct Spool<'a> {
    site: &'a Site,
    incoming: OwnedFd,
    queue: OwnedFd,
}

impl<'a> Spool<'a> {
    fn open(site: &'a Site) -> Result<Self, Error> {
        Ok(Self { site, incoming: folder(&site.layout.incoming())?, queue: folder(&site.layout.queue())? })
    }

    /// Every message and where it was seen, and how many names are none of a message.
    fn names(&self) -> Result<(BTreeMap<QueueId, Place>, u64), Error> {
        let mut names = BTreeMap::new();
        let mut strangers = 0;
        for place in [Place::Incoming, Place::Queue] {
            let path = self.path(place);
            let failed = |errno: Errno| Error::Spool(path.clone(), errno.into());
            let again = OFlag::O_RDONLY | OFlag::O_DIRECTORY | OFlag::O_CLOEXEC;
            let mut dir = Dir::openat(self.fd(place), ".", again, Mode::empty()).map_err(failed)?;
            for found in dir.iter() {
                let found = found.map_err(failed)?;
                let name = found.file_name().to_string_lossy();
                match name.parse() {
                    Ok(id) => drop(names.insert(id, place)),
                    Err(_) if name.starts_with('.') || is_state(&name, place) => {}
                    Err(_) => strangers += 1,
                }
            }
        }
        Ok((names, strangers))
    }

    /// One message; none if it is gone by now.
    fn entry(&self, id: QueueId, seen: Place) -> Result<Option<Entry>, Error> {
        let accounts = self.site.layout.accounts();
        let owners = [accounts.smap_uid, accounts.smapd_uid];
        let expected = Expected { owners, maxbytes: self.site.smap.maxbytes };
        // smapd may have moved it in the meantime.
        for place in [seen, Place::Queue] {
            let failed = |cause: io::Error| Error::Spool(self.path(place).join(id.as_str()), cause);
            let found = match Message::open(self.fd(place).as_fd(), id.as_str(), &expected).map_err(failed)? {
                Opened::Gone => continue,
                Opened::Busy => Entry::Writing { id },
                Opened::Unfinished => Entry::Unfinished { id },
                Opened::Poison(poison) => Entry::Bad { id, why: poison.to_string() },
                Opened::Message(message) => {
                    let state = QueueState::load(self.queue.as_fd(), id).map_err(failed)?;
                    Entry::of(place, &message, &state.unwrap_or_default())
                }
            };
            return Ok(Some(found));
        }
        Ok(None)
    }

    fn fd(&self, place: Place) -> &OwnedFd {
        match place {
            Place::Incoming => &self.incoming,
            Place::Queue => &self.queue,
        }
    }

    fn path(&self, place: Place) -> std::path::PathBuf {
        match place {
            Place::Incoming => self.site.layout.incoming(),
            Place::Queue => self.site.layout.queue(),
        }
    }
}

fn folder(path: &Path) -> Result<OwnedFd, Error> {
    let flags = OFlag::O_RDONLY | OFlag::O_DIRECTORY | OFlag::O_NOFOLLOW | OFlag::O_CLOEXEC;
    open(path, flags, Mode::empty()).map_err(|errno| Error::Spool(path.to_owned(), errno.into()))
}

fn is_state(name: &str, place: Place) -> bool {
    let id = name.strip_suffix(".state").map(str::parse::<QueueId>);
    place == Place::Queue && id.is_some_and(|id| id.is_ok())
}

/// What smapd has set aside; a folder that is not there holds nothing.
fn count_of_bad(folder: &Path) -> u64 {
    let Ok(names) = std::fs::read_dir(folder) else { return 0 };
    let bad = names.flatten().filter(|entry| !entry.file_name().to_string_lossy().ends_with(".reason"));
    u64::try_from(bad.count()).unwrap_or(u64::MAX)
}
