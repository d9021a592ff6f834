//! Exit codes of sysexits(3), the only ones that the programs of this project use.

use std::fmt::Display;
use std::process::ExitCode;

use crate::log::Event;

/// Why a program ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Exit {
    /// `EX_OK`.
    Ok,
    /// `EX_USAGE`: the command line is wrong.
    Usage,
    /// `EX_NOINPUT`: what was named is not there.
    NoInput,
    /// `EX_TEMPFAIL`: it may work the next time.
    TempFail,
    /// `EX_NOPERM`: the process could not be confined, or may not do what it was told.
    NoPerm,
    /// `EX_CONFIG`: the table, or what it names, is wrong.
    Config,
}

impl Exit {
    /// The number that the parent process sees.
    #[must_use]
    pub const fn code(self) -> u8 {
        match self {
            Self::Ok => 0,
            Self::Usage => 64,
            Self::NoInput => 66,
            Self::TempFail => 75,
            Self::NoPerm => 77,
            Self::Config => 78,
        }
    }

    /// Ends this process here, with one system call: what a session holds is given back by the kernel, and a
    /// confined process has no calls to tidy up with. The log is not buffered.
    #[expect(unsafe_code, reason = "the standard library tidies up before it ends")]
    pub fn at_once(self) -> ! {
        // SAFETY: it does not return, and runs nothing of this program.
        unsafe { libc::_exit(self.code().into()) }
    }
}

impl From<Exit> for ExitCode {
    fn from(exit: Exit) -> Self {
        Self::from(exit.code())
    }
}

/// Why a program does not run: what to say, and how to exit.
#[derive(Debug)]
pub struct Refusal(pub String, pub Exit);

impl Refusal {
    /// Says it in the log, and to the one who started the program, where that is another place.
    #[expect(clippy::print_stderr, reason = "whoever started it reads descriptor 2")]
    pub fn complain(&self, program: &str, log_is_stderr: bool) -> Exit {
        let Self(text, exit) = self;
        for line in text.lines() {
            Event::Error { text: &line }.log();
            if !log_is_stderr {
                eprintln!("{program}: {line}");
            }
        }
        *exit
    }
}

/// What the reader of a command line says: that it is wrong, or what it was asked for.
#[expect(clippy::print_stderr, clippy::print_stdout, reason = "asked for on a command line")]
pub fn after_command_line(said: &impl Display, is_wrong: bool) -> ExitCode {
    if is_wrong {
        eprint!("{said}");
        Exit::Usage.into()
    } else {
        print!("{said}");
        Exit::Ok.into()
    }
}
