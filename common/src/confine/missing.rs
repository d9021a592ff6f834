//! Walls that cannot be had everywhere.

use std::fmt;

/// A wall that is not there.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Missing {
    /// The root folder is the system's.
    Chroot,
    /// The user is the one that started it.
    OwnUser,
    /// The capability bounding set is not empty.
    BoundingSet,
    /// It is not, because programs that are set-id need it: the table wants it so.
    BoundingSetForPrograms,
    /// Landlock is not built into this kernel.
    Landlock,
    /// It is, but it was not enabled at boot.
    LandlockAtBoot,
    /// It is older than what is asked of it: its ABI.
    WholeLandlock(u8),
}

impl Missing {
    /// One word for the log.
    #[must_use]
    pub const fn word(self) -> &'static str {
        match self {
            Self::Chroot => "chroot",
            Self::OwnUser => "own-user",
            Self::BoundingSet | Self::BoundingSetForPrograms => "empty-bounding-set",
            Self::Landlock | Self::LandlockAtBoot => "landlock",
            Self::WholeLandlock(_) => "whole-landlock",
        }
    }
}

impl fmt::Display for Missing {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Chroot => "chroot (needs root)",
            Self::OwnUser => "own user (needs root)",
            Self::BoundingSet => "empty capability bounding set (needs root)",
            Self::BoundingSetForPrograms => {
                "empty capability bounding set (a sendmail may be set-id; smapd itself starts nothing)"
            }
            Self::Landlock => "Landlock (this kernel is built without it)",
            Self::LandlockAtBoot => "Landlock (this kernel was booted without landlock in lsm=)",
            Self::WholeLandlock(abi) => {
                let since = match abi {
                    ..2 => "moving files needs Linux 5.19, so it is off where files are moved;",
                    2 => "truncation is not held before Linux 6.2,",
                    _ => "",
                };
                let connections = if *abi < 4 { " connections not before 6.7," } else { "" };
                let signals = " signals not before 6.12";
                return write!(
                    f,
                    "all of Landlock (this kernel has ABI {abi}; {since}{connections}{signals})"
                );
            }
        })
    }
}
