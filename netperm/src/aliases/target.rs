//! Whom an alias names: an address, a user, a list, a program or a file.

use std::fmt;
use std::path::{Path, PathBuf};

use smap_common::address::{Address, AddressError};

use crate::paths::{self, PathError};
use crate::table::split;

/// One of those behind an alias.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Target {
    /// `user`: an alias or a user at home.
    Name(String),
    /// `user@domain`
    Address(Address),
    /// `\user`, `\user@domain`: not looked up any further.
    Exactly(Box<Target>),
    /// `:include:/path`: everybody in that file.
    Include(PathBuf),
    /// `|command`
    Program(Program),
    /// `/path`
    File(PathBuf),
    /// `/dev/null`
    Nobody,
}

/// A program, by its base name alone, and its arguments: no shell reads them.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Program {
    /// The base name: what stands before it is not looked at, as smrsh(8) does it.
    pub name: String,
    /// Its arguments.
    pub arguments: Vec<String>,
}

impl Program {
    /// The program itself, in the folder of those that may be run.
    #[must_use]
    pub fn path(&self, safe_programs: &Path) -> PathBuf {
        safe_programs.join(&self.name)
    }
}

/// Why a word names nobody.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum BadTarget {
    /// Not an address.
    Address(String, AddressError),
    /// `host!user`, `user%host`
    Route(String),
    /// Not the path of a file.
    Path(String, PathError),
    /// A command without a program.
    NoProgram,
    /// A command with a character that a shell would read as more than itself.
    Shell(char),
    /// A quote or a bracket that is not closed.
    Open(char),
    /// Something behind a quote or a bracket.
    Behind(String),
    /// A comment that does not stand on a line of its own.
    Comment,
}

impl std::error::Error for BadTarget {}

impl fmt::Display for BadTarget {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Address(text, fault) => write!(f, "\"{text}\": {fault}"),
            Self::Route(text) => write!(f, "\"{text}\" is a route: write it as user@domain"),
            Self::Path(text, fault) => write!(f, "\"{text}\" {fault}"),
            Self::NoProgram => f.write_str("a program must stand behind the |"),
            Self::Shell(c) => write!(f, "{c:?} may not stand in a command: no shell reads it"),
            Self::Open(c) => write!(f, "a {c} is not closed on its line"),
            Self::Behind(text) => write!(f, "\"{text}\": a comma must stand between two addresses"),
            Self::Comment => f.write_str("a comment stands on a line of its own, from its beginning"),
        }
    }
}

/// What a shell, or smrsh(8), would not take for a part of a word.
const SHELL: &str = "`<>|;&$()'\\*?[]";

impl Target {
    /// Reads what stands between two commas.
    ///
    /// # Errors
    /// What is wrong with it.
    pub fn read(item: &str) -> Result<Self, BadTarget> {
        if item.starts_with('#') {
            return Err(BadTarget::Comment);
        }
        if let Some(quoted) = item.strip_prefix('"') {
            let (inside, behind) = unquoted(quoted)?;
            // `"joe smith"@example.com` is an address.
            return match Self::delivery(&inside) {
                Some(_) if !behind.is_empty() => Err(BadTarget::Behind(item.to_owned())),
                Some(delivery) => delivery,
                None => Self::address(item),
            };
        }
        if let Some(rest) = item.strip_prefix('\\') {
            return Self::address(rest).map(|target| Self::Exactly(Box::new(target)));
        }
        match Self::delivery(item) {
            // X.400 begins its addresses with a slash.
            Some(_) if item.starts_with('/') && item.contains('@') => Self::address(item),
            Some(delivery) => delivery,
            None => Self::address(in_brackets(item)?),
        }
    }

    /// `|command`, `/path`, `:include:/path`
    fn delivery(text: &str) -> Option<Result<Self, BadTarget>> {
        if let Some(command) = text.strip_prefix('|') {
            return Some(program(command));
        }
        let include = text.split_at_checked(":include:".len());
        if let Some((_, path)) = include.filter(|(word, _)| word.eq_ignore_ascii_case(":include:")) {
            return Some(file(path.trim_ascii()).map(Self::Include));
        }
        match text {
            "/dev/null" => Some(Ok(Self::Nobody)),
            _ => text.starts_with('/').then(|| file(text).map(Self::File)),
        }
    }

    fn address(text: &str) -> Result<Self, BadTarget> {
        if !text.starts_with('"') && text.contains([' ', '\t']) {
            return Err(BadTarget::Behind(text.to_owned()));
        }
        let about = |fault| BadTarget::Address(text.to_owned(), fault);
        match text.parse::<Address>() {
            Ok(address) if address.domain().is_some() => Ok(Self::Address(address)),
            Ok(_) | Err(AddressError::NoDomain) => {
                let name = local_part(text).map_err(about)?;
                let is_route = !text.starts_with('"') && name.contains(['!', '%']);
                if is_route { Err(BadTarget::Route(text.to_owned())) } else { Ok(Self::Name(name)) }
            }
            Err(fault) => Err(about(fault)),
        }
    }
}

/// A local part without its quotes.
pub(super) fn local_part(text: &str) -> Result<String, AddressError> {
    format!("{text}@x").parse().map(|address: Address| address.local_part().to_owned())
}

fn file(path: &str) -> Result<PathBuf, BadTarget> {
    paths::file(path).map_err(|fault| BadTarget::Path(path.to_owned(), fault))
}

fn program(command: &str) -> Result<Target, BadTarget> {
    let command = command.trim_ascii();
    let command = match command.strip_prefix('"') {
        Some(quoted) => match unquoted(quoted)? {
            (inside, "") => inside,
            _ => command.to_owned(),
        },
        None => command.to_owned(),
    };
    if let Some(c) = command.chars().find(|c| SHELL.contains(*c)) {
        return Err(BadTarget::Shell(c));
    }
    let mut words = split(&command).map_err(|_| BadTarget::Open('"'))?.into_iter().peekable();
    // What tells a shell not to stay; smrsh(8) reads over it too.
    words.next_if_eq("exec");
    let program = words.next().ok_or(BadTarget::NoProgram)?;
    match program.rsplit('/').next() {
        None | Some("" | "." | "..") => Err(BadTarget::NoProgram),
        Some(name) => Ok(Target::Program(Program { name: name.to_owned(), arguments: words.collect() })),
    }
}

/// What stands before the closing quote, without its backslashes, and what behind it.
fn unquoted(text: &str) -> Result<(String, &str), BadTarget> {
    let mut inside = String::new();
    let mut chars = text.chars();
    loop {
        match chars.next().ok_or(BadTarget::Open('"'))? {
            '"' => return Ok((inside, chars.as_str())),
            '\\' => inside.push(chars.next().ok_or(BadTarget::Open('"'))?),
            c => inside.push(c),
        }
    }
}

/// What stands between `<` and `>`, whoever's name stands before it (RFC 5322 section 3.4).
fn in_brackets(item: &str) -> Result<&str, BadTarget> {
    let Some((_, rest)) = item.split_once('<') else { return Ok(item) };
    let (inside, behind) = rest.split_once('>').ok_or(BadTarget::Open('<'))?;
    if behind.is_empty() { Ok(inside.trim_ascii()) } else { Err(BadTarget::Behind(item.to_owned())) }
}
