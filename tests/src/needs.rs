//! What a test needs of the machine, and what happens where that is missing.
//!
//! A test is skipped by name and says why. Where the variable `CI` is set it fails instead: there everything is
//! installed, and a test that quietly stops running is a fault.

use std::env;
use std::fmt;
use std::path::PathBuf;

use libtest_mimic::Trial;

use crate::programs;

/// Something that not every machine has.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Need {
    /// To be started by root.
    Root,
    /// A program of somebody else.
    Program(&'static str),
    /// The IPv6 loopback address.
    Ipv6,
    /// The folder of collected mail; its absence is no fault of the machine, even with `CI`.
    Corpus,
}

impl fmt::Display for Need {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Root => "root",
            Self::Program(name) => name,
            Self::Ipv6 => "IPv6",
            Self::Corpus => "the corpus (SMAP_CORPUS)",
        })
    }
}

impl Need {
    fn is_met(self) -> bool {
        match self {
            Self::Root => is_root(),
            Self::Program(name) => programs::find_peer(name).is_some(),
            Self::Ipv6 => std::net::TcpListener::bind("[::1]:0").is_ok(),
            Self::Corpus => corpus().is_dir(),
        }
    }

    fn must_be_met(self) -> bool {
        self != Self::Corpus && env::var_os("CI").is_some()
    }
}

/// Whether root runs the tests.
#[must_use]
pub fn is_root() -> bool {
    nix::unistd::geteuid().is_root()
}

/// The folder of collected mail.
#[must_use]
pub fn corpus() -> PathBuf {
    let beside = || programs::workspace().join("../shared/corpus");
    env::var_os("SMAP_CORPUS").map_or_else(beside, PathBuf::from)
}

/// One test: a function and what it needs.
#[derive(Debug)]
pub struct Test {
    /// Its name, with the module's.
    pub name: &'static str,
    /// What it needs.
    pub needs: &'static [Need],
    /// What it does.
    pub run: fn(),
}

impl Test {
    /// The test, or its being skipped, or its failing.
    #[must_use]
    pub fn into_trial(self) -> Trial {
        let name = self.name.split_once("::").map_or(self.name, |(_, name)| name);
        let missing: Vec<Need> = self.needs.iter().copied().filter(|need| !need.is_met()).collect();
        let (fatal, run) = (missing.iter().any(|need| need.must_be_met()), self.run);
        let what = missing.iter().map(ToString::to_string).collect::<Vec<_>>().join(", ");
        if missing.is_empty() {
            return Trial::test(name, move || {
                run();
                Ok(())
            });
        }
        let why = format!("{what} missing");
        Trial::test(name, move || Err(why.into()))
            .with_kind(format!("needs {what}"))
            .with_ignored_flag(!fatal)
    }
}

/// The tests of a module, each with what it needs: `a_name: [Need::Root];`
#[macro_export]
macro_rules! tests {
    ($($name:ident $(: [$($need:expr),+])?;)*) => {
        pub(crate) fn tests() -> Vec<$crate::needs::Test> {
            vec![$($crate::needs::Test {
                name: concat!(module_path!(), "::", stringify!($name)),
                needs: &[$($($need),+)?],
                run: $name,
            }),*]
        }
    };
}
