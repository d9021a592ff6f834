//! Users looked up by a process that ends with it.
//!
//! To look somebody up the C library loads libraries of the system, which stay: a process that has them hands them to
//! each of its children, and each fork takes longer for it.

use std::io::{PipeReader, PipeWriter, Read, Write, pipe};

use nix::errno::Errno;
use nix::sys::wait::waitpid;
use nix::unistd::{ForkResult, Pid, fork};

use super::{Account, UnknownAccount};
use crate::exit::Exit;

/// Begins what is said of a user who is not there, and of a group.
const NO_USER: &str = "user ";
const NO_GROUP: &str = "group ";

type Answer = Result<Account, UnknownAccount>;

impl Account {
    /// The same as [`Self::resolve`], by a process of its own. To be called while there is one thread.
    ///
    /// # Errors
    /// No such user, or no such group.
    pub fn resolve_apart(user: &str, group: Option<&str>) -> Answer {
        // Where no process can be had, or what it says is cut short, libraries are the lesser evil.
        apart(|| Self::resolve(user, group)).unwrap_or_else(|| Self::resolve(user, group))
    }
}

fn apart(resolve: impl FnOnce() -> Answer) -> Option<Answer> {
    let (heard, say) = pipe().ok()?;
    match fork_asker().ok()? {
        ForkResult::Child => {
            drop(heard);
            answer(resolve, say)
        }
        ForkResult::Parent { child } => {
            drop(say);
            hear(heard, child)
        }
    }
}

#[expect(unsafe_code, reason = "what is loaded is loaded for good: it takes a process of its own")]
fn fork_asker() -> nix::Result<ForkResult> {
    // SAFETY: there is one thread, so the child may do all that its parent might.
    unsafe { fork() }
}

/// The life of the process.
fn answer(resolve: impl FnOnce() -> Answer, mut say: PipeWriter) -> ! {
    // Whoever does not hear all of it sees that the end is not there.
    let _unheard = say.write_all(encode(&resolve()).as_bytes());
    Exit::Ok.at_once()
}

fn hear(mut heard: PipeReader, child: Pid) -> Option<Answer> {
    let mut said = String::new();
    let read = heard.read_to_string(&mut said);
    while waitpid(child, None) == Err(Errno::EINTR) {}
    read.ok()?;
    decode(&said)
}

/// One line: what is not there, or the numbers.
fn encode(answer: &Answer) -> String {
    match answer {
        Ok(Account { uid, gid, groups }) => {
            let groups: String = groups.iter().map(|group| format!(" {group}")).collect();
            format!("{uid} {gid}{groups}\n")
        }
        Err(UnknownAccount::User(name)) => format!("{NO_USER}{name}\n"),
        Err(UnknownAccount::Group(name)) => format!("{NO_GROUP}{name}\n"),
    }
}

fn decode(said: &str) -> Option<Answer> {
    let line = said.strip_suffix('\n')?;
    if let Some(name) = line.strip_prefix(NO_USER) {
        return Some(Err(UnknownAccount::User(name.to_owned())));
    }
    if let Some(name) = line.strip_prefix(NO_GROUP) {
        return Some(Err(UnknownAccount::Group(name.to_owned())));
    }
    let mut numbers = line.split(' ').map(str::parse);
    let (uid, gid) = (numbers.next()?.ok()?, numbers.next()?.ok()?);
    let groups = numbers.collect::<Result<_, _>>().ok()?;
    Some(Ok(Account { uid, gid, groups }))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_found_comes_over_whole() {
        let answers = [
            Ok(Account { uid: 40_001, gid: 40_002, groups: vec![] }),
            Ok(Account { uid: 1, gid: u32::MAX, groups: vec![5, 0, 7] }),
            Err(UnknownAccount::User("no body".to_owned())),
            Err(UnknownAccount::Group("user ".to_owned())),
        ];
        for answer in answers {
            assert_eq!(apart(|| answer.clone()), Some(answer));
        }
    }

    #[test]
    fn what_was_cut_short_is_no_answer() {
        for said in ["", "\n", "1", "1 2", "1 2 3", "1\n", "1 \n", "1 2 \n", "1 2 x\n", "user x"] {
            assert_eq!(decode(said), None, "{said:?}");
        }
    }

    #[test]
    fn a_process_that_dies_of_it_is_no_answer() {
        assert_eq!(apart(|| Exit::TempFail.at_once()), None);
    }

    #[test]
    fn a_user_is_the_same_looked_up_here_or_there() {
        for (user, group) in
            [("root", None), ("0", Some("root")), ("4000000000", None), ("no-such-user", None)]
        {
            assert_eq!(Account::resolve_apart(user, group), Account::resolve(user, group), "{user}");
        }
    }
}
