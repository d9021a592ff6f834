//! Values of attributes that need no room of their own, and how they are read.

use std::fmt;
use std::num::NonZeroU32;
use std::path::PathBuf;
use std::time::Duration;

use serde::de::{Deserialize, Deserializer, IgnoredAny};
use smap_common::address::Domain;

use crate::table::{parsed, word};
use crate::{paths, units};

pub(super) const MINUTE: u64 = 60;
pub(super) const HOUR: u64 = 60 * MINUTE;
pub(super) const DAY: u64 = 24 * HOUR;

/// A default that must not be zero.
pub(super) const fn at_most(limit: u32) -> NonZeroU32 {
    match NonZeroU32::new(limit) {
        Some(limit) => limit,
        None => NonZeroU32::MIN,
    }
}

/// The absolute path of a file, of a program or of what one reads.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FilePath(pub PathBuf);

impl<'de> Deserialize<'de> for FilePath {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        word(deserializer, |text| paths::file(text).map(Self).map_err(|fault| named(text, fault)))
    }
}

/// An attribute that says nothing any more, whatever its arguments.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Ignored;

impl<'de> Deserialize<'de> for Ignored {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        IgnoredAny::deserialize(deserializer).map(|_| Self)
    }
}

/// A word and what is wrong with it, as one sentence.
pub(super) fn named(word: &str, fault: impl fmt::Display) -> String {
    format!("\"{word}\" {fault}")
}

pub(super) fn duration<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Duration, D::Error> {
    word(deserializer, |text| units::duration(text).map_err(|fault| named(text, fault)))
}

pub(super) fn size<'de, D: Deserializer<'de>>(deserializer: D) -> Result<u64, D::Error> {
    word(deserializer, |text| units::size(text).map_err(|fault| named(text, fault)))
}

pub(super) fn count<'de, D: Deserializer<'de>>(deserializer: D) -> Result<NonZeroU32, D::Error> {
    word(deserializer, |text| units::count(text).map_err(|fault| named(text, fault)))
}

pub(super) fn folder<'de, D: Deserializer<'de>>(deserializer: D) -> Result<PathBuf, D::Error> {
    word(deserializer, |text| paths::absolute(text).map_err(|fault| named(text, fault)))
}

pub(super) fn some_folder<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<PathBuf>, D::Error> {
    folder(deserializer).map(Some)
}

pub(super) fn some_domain<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<Domain>, D::Error> {
    word(deserializer, parsed).map(Some)
}
