//! Where in a file something was said.
//!
//! Decides nothing; it carries the file and line that every message and every verdict names.

use std::fmt;
use std::ops::Deref;
use std::path::Path;
use std::sync::Arc;

use serde::de::{self, Deserialize, Deserializer, SeqAccess, Visitor};

/// A line of a file, or a file as a whole. Shown as `FILE:LINE`.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Place {
    file: Arc<Path>,
    line: Option<u32>,
}

impl Place {
    /// A line of a file; the first one is 1.
    #[must_use]
    pub fn line(file: &Arc<Path>, line: u32) -> Self {
        Self { file: Arc::clone(file), line: Some(line) }
    }

    /// So many lines further on.
    pub(crate) fn below(&self, lines: u32) -> Self {
        Self { file: Arc::clone(&self.file), line: self.line.map(|line| line.saturating_add(lines)) }
    }

    /// A file as a whole.
    #[must_use]
    pub fn whole(file: &Path) -> Self {
        Self { file: Arc::from(file), line: None }
    }

    /// The file.
    #[must_use]
    pub fn file(&self) -> &Path {
        &self.file
    }

    /// The line, unless the file as a whole is meant.
    #[must_use]
    pub fn line_number(&self) -> Option<u32> {
        self.line
    }
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.file.display())?;
        match self.line {
            Some(line) => write!(f, ":{line}"),
            None => Ok(()),
        }
    }
}

/// A value, and the place that said it.
///
/// Two of them are equal when their values are, wherever they stand.
#[derive(Debug, Clone)]
pub struct Located<T> {
    /// Where it was said.
    pub place: Place,
    /// What was said.
    pub value: T,
}

impl<T> Deref for Located<T> {
    type Target = T;

    fn deref(&self) -> &T {
        &self.value
    }
}

impl<T: PartialEq> PartialEq for Located<T> {
    fn eq(&self, other: &Self) -> bool {
        self.value == other.value
    }
}

impl<T: Eq> Eq for Located<T> {}

/// The struct name by which a [`Located`] asks the table's deserializer for its place.
pub(crate) const LOCATED: &str = "$netperm::Located";

impl<'de, T: Deserialize<'de>> Deserialize<'de> for Located<T> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_tuple_struct(LOCATED, 3, LocatedVisitor(std::marker::PhantomData))
    }
}

struct LocatedVisitor<T>(std::marker::PhantomData<T>);

impl<'de, T: Deserialize<'de>> Visitor<'de> for LocatedVisitor<T> {
    type Value = Located<T>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a file, a line and a value")
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<Located<T>, A::Error> {
        let lacks = || de::Error::invalid_length(0, &"a file, a line and a value");
        let file: String = seq.next_element()?.ok_or_else(lacks)?;
        let line = seq.next_element()?.ok_or_else(lacks)?;
        let value = seq.next_element()?.ok_or_else(lacks)?;
        Ok(Located { place: Place { file: Arc::from(Path::new(&file)), line: Some(line) }, value })
    }
}
