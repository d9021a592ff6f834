//! The spool, read as smapd reads it; no running smapd is needed. Trusts nothing that it finds in a file.

use std::collections::BTreeMap;
use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::path::Path;

use netperm::site::Site;
use nix::dir::Dir;
use nix::errno::Errno;
use nix::fcntl::{OFlag, open};
use nix::sys::stat::Mode;
use smap_common::spool::{Expected, Message, Opened, QueueId, QueueState};

use crate::error::Error;
use crate::queue::{Entry, Place};

/// What lies there under an id.
pub(crate) enum Found {
    /// A whole message, the folder that it is in, and the text of its state.
    Message(Place, Box<Message>, Option<Vec<u8>>),
    /// Something else.
    Other(Entry),
}

/// The two folders that hold messages.
pub(crate) struct Spool<'a> {
    pub(crate) site: &'a Site,
    incoming: OwnedFd,
    queue: OwnedFd,
}

impl<'a> Spool<'a> {
    pub(crate) fn open(site: &'a Site) -> Result<Self, Error> {
        Ok(Self { site, incoming: folder(&site.layout.incoming())?, queue: folder(&site.layout.queue())? })
    }

    /// Every message and where it was seen, and how many names are none of a message.
    pub(crate) fn names(&self) -> Result<(BTreeMap<QueueId, Place>, u64), Error> {
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

    /// One message and what is known of it; none if it is gone by now.
    pub(crate) fn entry(&self, id: QueueId, seen: Place) -> Result<Option<Entry>, Error> {
        Ok(self.look(id, seen)?.map(|found| match found {
            Found::Message(place, message, state) => {
                Entry::of(place, &message, &QueueState::parse(&state.unwrap_or_default()))
            }
            Found::Other(entry) => entry,
        }))
    }

    /// The file of a message and the text of its state; none if it is gone by now.
    pub(crate) fn look(&self, id: QueueId, seen: Place) -> Result<Option<Found>, Error> {
        let accounts = self.site.layout.accounts();
        let owners = [accounts.smap_uid, accounts.smapd_uid];
        let expected = Expected { owners, maxbytes: self.site.smap.maxbytes };
        // smapd may have moved it in the meantime.
        for place in [seen, Place::Queue] {
            let failed = |cause: io::Error| Error::Spool(self.path(place).join(id.as_str()), cause);
            let found = match Message::open(self.fd(place).as_fd(), id.as_str(), &expected).map_err(failed)? {
                Opened::Gone => continue,
                Opened::Busy => Found::Other(Entry::Writing { id }),
                Opened::Unfinished => Found::Other(Entry::Unfinished { id }),
                Opened::Poison(poison) => Found::Other(Entry::Bad { id, why: poison.to_string() }),
                Opened::Message(message) => {
                    let state = QueueState::load_text(self.queue.as_fd(), id).map_err(failed)?;
                    Found::Message(place, message, state)
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
