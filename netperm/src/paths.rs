//! Absolute paths, as a table may name them.

use std::fmt;
use std::path::{Component, Path, PathBuf};

/// Why a word is no path for a table.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum PathError {
    /// It does not begin with `/`.
    Relative,
    /// It has `..` in it.
    Parent,
    /// It names the root itself, or a folder where a file is needed.
    NoFile,
    /// It lies in the root itself, or in whatever is put into it.
    NoFolder,
    /// It has a control character in it.
    Control,
}

impl fmt::Display for PathError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Relative => "must be an absolute path",
            Self::Parent => "must not have .. in it",
            Self::NoFile => "is not the path of a file",
            Self::NoFolder => "must begin with a folder that has a name",
            Self::Control => "must not have control characters in it",
        })
    }
}

impl std::error::Error for PathError {}

/// An absolute path that goes nowhere but down.
pub(crate) fn absolute(text: &str) -> Result<PathBuf, PathError> {
    let path = Path::new(text);
    if !path.is_absolute() {
        return Err(PathError::Relative);
    }
    if text.contains(char::is_control) {
        return Err(PathError::Control);
    }
    if path.components().any(|component| component == Component::ParentDir) {
        return Err(PathError::Parent);
    }
    Ok(path.to_owned())
}

/// The absolute path of a file.
pub(crate) fn file(text: &str) -> Result<PathBuf, PathError> {
    if text.ends_with('/') { Err(PathError::NoFile) } else { absolute(text) }
}
