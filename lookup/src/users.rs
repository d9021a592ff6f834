//! Users of this machine: whether there is one, as the C library knows it.
//!
//! A helper process asks the library, which may load modules, talk to their servers and wait for them as
//! `nsswitch.conf` says: nothing of that belongs into a process that is confined, or that others wait for. Each
//! question is a look at the files as they are then. Trusts the library. Guarantees that only its own "there is none"
//! is a no, and that a name that no user can have never comes to it.

use std::collections::HashMap;
use std::io;
use std::os::fd::AsFd;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::thread;

use nix::sys::resource::{Resource, setrlimit};
use nix::unistd::User;
use smap_common::confine;
use smap_common::helper::Helper;
use smap_common::link::Link;
use smap_common::lookup::{Answer, Answered, Asked, Failure, Found, Outcome, Question};
use tokio::sync::oneshot;

use crate::socket::{Packets, Unread};

/// Questions that the helper asks at a time.
const THREADS: usize = 4;
/// Questions that wait for it.
const MOST: usize = 2000;
/// Octets of a name, as `LOGIN_NAME_MAX` has it.
const MAX_NAME: usize = 255;

/// The helper, asked.
pub(crate) struct Users {
    link: Packets,
    waiting: Mutex<HashMap<u64, oneshot::Sender<Outcome<String>>>>,
    next: AtomicU64,
}

/// Starts the helper. To be called while this process has its user and one thread, before it is confined.
pub(crate) fn start() -> io::Result<Unread> {
    let helper = Helper::start(live)?;
    Ok(Unread::from(helper.link.as_fd().try_clone_to_owned()?))
}

impl Users {
    /// By the helper that was started.
    pub(crate) fn new(link: Packets) -> Self {
        Self { link, waiting: Mutex::default(), next: AtomicU64::new(0) }
    }

    /// The user of this name.
    pub(crate) async fn ask(&self, name: &str) -> Outcome<String> {
        if !can_be_user(name) {
            return Err(Failure::NoSuchName);
        }
        let failed = |why: &str| Err(Failure::Temporary(why.to_owned()));
        let (id, (tell, told)) = (self.next.fetch_add(1, Ordering::Relaxed), oneshot::channel());
        {
            let mut waiting = self.waiting();
            if waiting.len() >= MOST {
                return failed("too many questions for users are under way");
            }
            waiting.insert(id, tell);
        }
        let asked = Asked { id, question: Question::User { name: name.to_owned() } };
        if self.link.send(&asked.encode()).await.is_err() {
            self.waiting().remove(&id);
        }
        told.await.unwrap_or_else(|_| failed("users cannot be asked for"))
    }

    /// Passes its answers on, until it is gone: why.
    pub(crate) async fn listen(&self) -> io::Error {
        loop {
            let packet = match self.link.receive().await {
                Ok(Some(packet)) => packet,
                Ok(None) => return io::Error::other("the process that asks for users is gone"),
                Err(error) => return error,
            };
            match Answered::decode(&packet) {
                Some(Answered { id, answer: Answer::User(outcome) }) => {
                    let waiting = self.waiting().remove(&id);
                    let _nobody_waits = waiting.map(|waiting| waiting.send(outcome));
                }
                // Its last words.
                _ => return io::Error::other(String::from_utf8_lossy(&packet).into_owned()),
            }
        }
    }

    fn waiting(&self) -> MutexGuard<'_, HashMap<u64, oneshot::Sender<Outcome<String>>>> {
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The life of the helper.
fn live(link: Link) {
    if let Err(error) = confine::confine_users() {
        let _nobody_hears = link.send(error.to_string().as_bytes(), None);
        return;
    }
    thread::scope(|scope| {
        for _ in 1..THREADS {
            let _then_fewer = thread::Builder::new().spawn_scoped(scope, || serve(&link));
        }
        // From here on no library begins another.
        let _then_without = setrlimit(Resource::RLIMIT_NPROC, 0, 0);
        serve(&link);
    });
}

fn serve(link: &Link) {
    while let Ok(Some(parcel)) = link.receive() {
        let Some(Asked { id, question: Question::User { name } }) = Asked::decode(&parcel.packet) else {
            return;
        };
        let answered = Answered { id, answer: Answer::User(user(&name)) };
        if link.send(&answered.encode(), None).is_err() {
            return;
        }
    }
}

/// As the name is written, or in lower case.
fn user(name: &str) -> Outcome<String> {
    let lower = name.to_lowercase();
    for name in [Some(name), Some(lower.as_str()).filter(|lower| *lower != name)].into_iter().flatten() {
        match User::from_name(name) {
            Ok(Some(user)) => return Ok(Found { records: vec![user.name], secure: false, ttl: 0 }),
            Ok(None) => {}
            Err(errno) => return Err(Failure::Temporary(format!("the users of this machine: {errno}"))),
        }
    }
    Err(Failure::NoSuchName)
}

/// Whether a user can have this name: it is a field of passwd(5), and neither a path nor an option; `+` begins what
/// is no user there.
fn can_be_user(name: &str) -> bool {
    let bad = |c: char| c.is_control() || c.is_whitespace() || matches!(c, ':' | '/' | ',' | '@');
    (1..=MAX_NAME).contains(&name.len())
        && !name.starts_with(['-', '+'])
        && !matches!(name, "." | "..")
        && !name.contains(bad)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_no_user_can_be_called_is_not_asked_for() {
        for name in ["root", "Jane.Doe", "www-data", "_apt", "j\u{fc}rgen", "a+b", "a$"] {
            assert!(can_be_user(name), "{name}");
        }
        let long = "x".repeat(256);
        for name in
            ["", "-x", "+", "+nis", ".", "..", "a/b", "../x", "a:b", "a b", "a\0", "a\n", "a@b", &long]
        {
            assert!(!can_be_user(name), "{name:?}");
        }
    }

    #[test]
    fn a_user_is_found_in_any_case() {
        for name in ["root", "ROOT"] {
            assert_eq!(user(name).unwrap().records, ["root"]);
        }
        assert_eq!(user("no-such-user-here"), Err(Failure::NoSuchName));
    }
}
