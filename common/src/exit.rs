//! Exit codes of sysexits(3), the only ones that the programs of this project use.

use std::process::ExitCode;

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
