//! What the ending of a program means for the message: pure, and total.
#![deny(clippy::disallowed_methods, clippy::wildcard_enum_match_arm)]

use nix::errno::Errno;
use smap_common::status::Status;

use crate::delivery::Report;

/// Most characters of what a program said that stand in a reply.
const MAX_SAID: usize = 300;

/// How a program ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Ending {
    /// By itself, with this code.
    Exited(u8),
    /// By this signal, which was not ours; 0 where the kernel did not say.
    Signaled(i32),
    /// At its deadline, by us.
    Deadline,
    /// It never began, for this reason (errno).
    NotStarted(i32),
}

impl Ending {
    /// As it stands in a response.
    pub(super) fn to_numbers(self) -> (u64, u64) {
        let number = |n: i32| u64::from(n.unsigned_abs());
        match self {
            Self::Exited(code) => (0, code.into()),
            Self::Signaled(signal) => (1, number(signal)),
            Self::Deadline => (2, 0),
            Self::NotStarted(errno) => (3, number(errno)),
        }
    }

    pub(super) fn from_numbers(kind: u64, detail: u64) -> Option<Self> {
        match kind {
            0 => Some(Self::Exited(detail.try_into().ok()?)),
            1 => Some(Self::Signaled(detail.try_into().ok()?)),
            2 => Some(Self::Deadline),
            3 => Some(Self::NotStarted(detail.try_into().ok()?)),
            _ => None,
        }
    }
}

/// What this ending means for the recipients whom the program was run for. The table at the head of
/// [`runner`](crate::runner) says why.
pub fn judge(ending: &Ending, output: &str) -> Report {
    match *ending {
        Ending::Exited(code) => judge_code(code, output),
        Ending::Signaled(signal) => {
            Report::deferred(Status::transient(3, 0), reply(&format!("killed by signal {signal}"), output))
        }
        Ending::Deadline => Report::deferred(Status::transient(3, 0), reply("did not end in time", output)),
        Ending::NotStarted(errno) => not_started(Errno::from_raw(errno)),
    }
}

/// The codes of sysexits(3), and those of a shell.
fn judge_code(code: u8, output: &str) -> Report {
    let said = |name: &str| reply(&format!("exit status {code} ({name})"), output);
    let failed = |name: &str, subject, detail| Report::failed(Status::permanent(subject, detail), said(name));
    let deferred =
        |name: &str, subject, detail| Report::deferred(Status::transient(subject, detail), said(name));
    match code {
        0 => Report::delivered(reply("delivered", output)),
        64 => deferred("EX_USAGE", 3, 5),
        65 => failed("EX_DATAERR", 6, 0),
        66 => deferred("EX_NOINPUT", 3, 0),
        67 => failed("EX_NOUSER", 1, 1),
        68 => failed("EX_NOHOST", 1, 2),
        69 => failed("EX_UNAVAILABLE", 0, 0),
        70 => deferred("EX_SOFTWARE", 3, 0),
        71 => deferred("EX_OSERR", 3, 0),
        72 => deferred("EX_OSFILE", 3, 5),
        73 => failed("EX_CANTCREAT", 2, 0),
        74 => deferred("EX_IOERR", 3, 0),
        75 => deferred("EX_TEMPFAIL", 3, 0),
        76 => failed("EX_PROTOCOL", 5, 0),
        77 => failed("EX_NOPERM", 7, 0),
        78 => deferred("EX_CONFIG", 3, 5),
        126 => deferred("cannot be executed", 3, 5),
        127 => deferred("not found", 3, 5),
        _ => deferred("not of sysexits(3)", 3, 0),
    }
}

/// A table that names a wrong program is the administrator's to mend (RFC 3463: X.3.5, system incorrectly
/// configured); a machine without room recovers by itself.
#[expect(clippy::wildcard_enum_match_arm, reason = "the system has more than a hundred reasons")]
fn not_started(errno: Errno) -> Report {
    let status = match errno {
        Errno::ENOMEM | Errno::EAGAIN | Errno::EMFILE | Errno::ENFILE | Errno::ETXTBSY => {
            Status::transient(3, 0)
        }
        _ => Status::transient(3, 5),
    };
    Report::deferred(status, format!("cannot be started: {}", errno.desc()))
}

/// What we say, then the first line that the program said, if it said any.
fn reply(ours: &str, output: &str) -> String {
    match output.lines().map(str::trim).find(|line| !line.is_empty()) {
        Some(line) => format!("{ours}: {}", printable(line)),
        None => ours.to_owned(),
    }
}

/// Text that can stand in a log, a state file and a notification.
fn printable(line: &str) -> String {
    let safe = |c: char| if c.is_ascii_graphic() || c == ' ' { c } else { '?' };
    line.chars().take(MAX_SAID).map(safe).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use smap_common::spool::Outcome;
    use smap_common::status::Class;

    fn verdict(ending: Ending) -> (Outcome, String) {
        let report = judge(&ending, "");
        (report.outcome, report.status.to_string())
    }

    #[test]
    fn the_codes_that_fail_are_these_and_no_others() {
        let failed: Vec<(u8, String)> = (0..=u8::MAX)
            .map(|code| (code, verdict(Ending::Exited(code))))
            .filter(|(_, (outcome, _))| *outcome == Outcome::Failed)
            .map(|(code, (_, status))| (code, status))
            .collect();
        let wanted = [
            (65, "5.6.0"),
            (67, "5.1.1"),
            (68, "5.1.2"),
            (69, "5.0.0"),
            (73, "5.2.0"),
            (76, "5.5.0"),
            (77, "5.7.0"),
        ];
        assert_eq!(failed, wanted.map(|(code, status)| (code, status.to_owned())));
    }

    #[test]
    fn only_exit_0_is_a_delivery() {
        assert_eq!(verdict(Ending::Exited(0)), (Outcome::Delivered, "2.0.0".to_owned()));
        let others = (1..=u8::MAX)
            .map(Ending::Exited)
            .chain((0..=64).map(Ending::Signaled))
            .chain((0..=133).map(Ending::NotStarted))
            .chain([Ending::Deadline]);
        for ending in others {
            assert_ne!(judge(&ending, "").outcome, Outcome::Delivered, "{ending:?}");
        }
    }

    #[test]
    fn what_is_not_the_programs_verdict_is_tried_again() {
        for ending in [Ending::Signaled(9), Ending::Signaled(15), Ending::Signaled(0), Ending::Deadline] {
            assert_eq!(verdict(ending), (Outcome::Deferred, "4.3.0".to_owned()), "{ending:?}");
        }
        for code in [1, 2, 79, 111, 128 + 9, 255] {
            assert_eq!(verdict(Ending::Exited(code)), (Outcome::Deferred, "4.3.0".to_owned()), "{code}");
        }
    }

    #[test]
    fn the_administrators_mistakes_wait_until_they_are_mended() {
        for ending in [64, 72, 78, 126, 127].map(Ending::Exited) {
            assert_eq!(verdict(ending), (Outcome::Deferred, "4.3.5".to_owned()), "{ending:?}");
        }
        assert_eq!(verdict(Ending::NotStarted(nix::libc::ENOENT)).1, "4.3.5");
        assert_eq!(verdict(Ending::NotStarted(nix::libc::EMFILE)).1, "4.3.0");
    }

    #[test]
    fn outcome_and_status_agree() {
        for code in 0..=u8::MAX {
            let report = judge(&Ending::Exited(code), "");
            let class = match report.outcome {
                Outcome::Delivered => Class::Success,
                Outcome::Failed => Class::Permanent,
                Outcome::Deferred => Class::Transient,
            };
            assert_eq!(report.status.class(), class, "{code}");
        }
    }

    #[test]
    fn the_first_line_that_is_not_empty_stands_in_the_reply() {
        let report = judge(&Ending::Exited(67), "\r\n \nno \u{1b}[31msuch\tuser \u{e4}\r\nsecond line\n");
        assert_eq!(report.reply, "exit status 67 (EX_NOUSER): no ?[31msuch?user ?");
        assert_eq!(judge(&Ending::Exited(0), "").reply, "delivered");
        assert!(judge(&Ending::Exited(1), &"x".repeat(5000)).reply.len() < 400);
    }

    #[test]
    fn endings_read_back_as_they_were_written() {
        for ending in [Ending::Exited(255), Ending::Signaled(9), Ending::Deadline, Ending::NotStarted(2)] {
            let (kind, detail) = ending.to_numbers();
            assert_eq!(Ending::from_numbers(kind, detail), Some(ending));
        }
        assert_eq!(Ending::from_numbers(0, 256), None);
        assert_eq!(Ending::from_numbers(4, 0), None);
    }
}
