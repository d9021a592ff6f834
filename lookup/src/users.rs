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

/// A question's place among those that wait, for as long as somebody asks it: whoever runs out of patience drops it,
/// wherever it is then.
struct Waiting<'a> {
    users: &'a Users,
    id: u64,
}

impl Drop for Waiting<'_> {
    fn drop(&mut self) {
        self.users.waiting().remove(&self.id);
    }
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
        let Some(_waiting) = self.wait(id, tell) else {
            return failed("too many questions for users are under way");
        };
        let asked = Asked { id, question: Question::User { name: name.to_owned() } };
        if self.link.send(&asked.encode()).await.is_err() {
            return failed("users cannot be asked for");
        }
        told.await.unwrap_or_else(|_| failed("users cannot be asked for"))
    }

    /// A place among those that wait, if there is one.
    fn wait(&self, id: u64, tell: oneshot::Sender<Outcome<String>>) -> Option<Waiting<'_>> {
        let mut waiting = self.waiting();
        (waiting.len() < MOST).then(|| waiting.insert(id, tell))?;
        Some(Waiting { users: self, id })
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
    use std::future::Future;
    use std::pin::pin;
    use std::time::Duration;

    use futures_util::future::{Either, select};
    use nix::sys::socket::{AddressFamily, SockFlag, SockType, socketpair};
    use tokio::runtime::Builder;
    use tokio::time::timeout;

    use super::*;

    fn run<T>(test: impl Future<Output = T>) -> T {
        Builder::new_current_thread().enable_all().build().unwrap().block_on(test)
    }

    /// What asks, and the helper's end of its link.
    fn users() -> (Users, Packets) {
        let flags = SockFlag::SOCK_CLOEXEC | SockFlag::SOCK_NONBLOCK;
        let (ours, theirs) = socketpair(AddressFamily::Unix, SockType::SeqPacket, None, flags).unwrap();
        (Users::new(Unread::from(ours).attend().unwrap()), Unread::from(theirs).attend().unwrap())
    }

    /// Asks, and waits for nothing.
    async fn give_up(users: &Users, name: &str) {
        assert!(timeout(Duration::ZERO, users.ask(name)).await.is_err(), "nobody answers");
    }

    #[test]
    fn a_question_that_was_given_up_leaves_its_place_though_the_helper_reads_none() {
        run(async {
            let (users, _reads_nothing) = users();
            // More than the link has room for.
            for _ in 0..500 {
                give_up(&users, "joe").await;
            }
            assert_eq!(users.waiting().len(), 0);
        });
    }

    #[test]
    fn an_answer_that_nobody_waits_for_any_more_is_no_harm() {
        run(async {
            let (users, helper) = users();
            give_up(&users, "late").await;
            for (id, name) in [(0, "late"), (1, "joe")] {
                let found = Found { records: vec![name.to_owned()], secure: false, ttl: 0 };
                let answered = Answered { id, answer: Answer::User(Ok(found)) };
                helper.send(&answered.encode()).await.unwrap();
            }
            match select(pin!(users.ask("joe")), pin!(users.listen())).await {
                Either::Left((outcome, _)) => assert_eq!(outcome.unwrap().records, ["joe"]),
                Either::Right((error, _)) => panic!("{error}"),
            }
            assert_eq!(users.waiting().len(), 0);
        });
    }

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
