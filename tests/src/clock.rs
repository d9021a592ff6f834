//! Clocks of a program that a test can move while it runs.

use std::fs::File;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::process::Command;

use crate::programs;

/// One day in seconds.
pub const DAY: i64 = 24 * 60 * 60;

/// How far the clocks of the programs that run by it are off. It needs the program `cc`.
#[derive(Debug)]
pub struct Clock {
    library: PathBuf,
    path: PathBuf,
    file: File,
}

impl Clock {
    /// A clock that is right, with its files in `folder`.
    ///
    /// # Panics
    /// There is no room for it.
    #[must_use]
    pub fn new(folder: &Path) -> Self {
        let (library, path) = (programs::library("clock", folder), folder.join("clock"));
        let file = File::create(&path).expect("there is room");
        let clock = Self { library, path, file };
        clock.set(0, 0);
        clock
    }

    /// The program runs by this clock.
    #[must_use]
    pub fn for_program(&self, mut program: Command) -> Command {
        program.env("LD_PRELOAD", &self.library).env("SMAP_TEST_CLOCK", &self.path);
        program
    }

    /// The time of day is off by so many seconds from now on.
    pub fn set_time_of_day(&self, seconds: i64) {
        self.write(0, seconds);
    }

    /// So many seconds more seem to have passed.
    pub fn let_pass(&self, seconds: i64) {
        self.write(8, seconds);
    }

    fn set(&self, time_of_day: i64, passed: i64) {
        self.write(0, time_of_day);
        self.write(8, passed);
    }

    fn write(&self, at: u64, seconds: i64) {
        self.file.write_all_at(&seconds.to_ne_bytes(), at).expect("there is room");
    }
}
