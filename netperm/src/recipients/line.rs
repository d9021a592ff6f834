//! `recipients DOMAIN... SOURCE...`: where it is known who exists in which domain.

use std::fmt;
use std::path::Path;

use serde::de::{Deserialize, Deserializer, Error as _};
use smap_common::address::Domain;

use super::users::Users;
use crate::domains::DomainPattern;
use crate::nearest;
use crate::paths;
use crate::table::{Words, Written};

/// What tells whether somebody exists.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Source {
    /// `file:/PATH`: a file that names them.
    File(Users),
    /// The rows of the virtusertable.
    Virtusertable,
    /// The aliases, by which names of this domain are expanded too.
    Aliases,
    /// The users of this machine.
    Passwd,
    /// The host that their mail goes to.
    CallOut,
    /// Everybody exists.
    Any,
}

const WORDS: [&str; 6] = ["file:", "virtusertable", "aliases", "passwd", "callout", "any"];

impl Source {
    /// Nothing when the word is none.
    fn read(word: &str) -> Option<Result<Self, String>> {
        if let Some(path) = word.strip_prefix("file:") {
            let file = paths::file(path).map_err(|fault| format!("file: \"{path}\" {fault}"));
            return Some(file.map(|file| Self::File(Users::unread(&file))));
        }
        Some(Ok(match word {
            "virtusertable" => Self::Virtusertable,
            "aliases" => Self::Aliases,
            "passwd" => Self::Passwd,
            "callout" => Self::CallOut,
            "any" => Self::Any,
            _ => return None,
        }))
    }
}

impl fmt::Display for Source {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::File(users) => {
                return Written(&format!("file:{}", users.file().display())).fmt(f);
            }
            Self::Virtusertable => "virtusertable",
            Self::Aliases => "aliases",
            Self::Passwd => "passwd",
            Self::CallOut => "callout",
            Self::Any => "any",
        })
    }
}

/// `recipients DOMAIN... SOURCE...`
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Line {
    /// The domains. Never empty.
    pub patterns: Vec<DomainPattern>,
    /// What is looked at, in this order, until somebody is found. Never empty.
    pub sources: Vec<Source>,
}

impl Line {
    /// Whether it speaks of a domain.
    #[must_use]
    pub fn matches(&self, domain: &Domain) -> bool {
        self.patterns.iter().any(|pattern| pattern.matches(domain))
    }

    /// Whether it speaks of every domain of a pattern.
    pub(crate) fn covers(&self, pattern: &DomainPattern) -> bool {
        self.patterns.iter().any(|own| own.covers(pattern))
    }

    /// Whether there is anybody in its domains of whom no file tells whether he exists.
    #[must_use]
    pub fn asks(&self) -> bool {
        self.sources.iter().any(|source| matches!(source, Source::Passwd | Source::CallOut))
    }

    /// The files that it names.
    pub fn files(&self) -> impl Iterator<Item = &Path> {
        self.sources.iter().filter_map(|source| match source {
            Source::File(users) => Some(users.file()),
            _ => None,
        })
    }

    /// Takes what each file says, as far as that could be read.
    pub(crate) fn fill(&mut self, read: impl Fn(&Path) -> Option<Users>) {
        for source in &mut self.sources {
            if let Source::File(users) = source {
                *users = read(users.file()).unwrap_or_else(|| users.clone());
            }
        }
    }

    fn from_words(words: &[String]) -> Result<Self, String> {
        let at = words.iter().position(|word| Source::read(word).is_some()).unwrap_or(words.len());
        let (patterns, sources) = words.split_at(at);
        if patterns.is_empty() {
            return Err("a domain must stand before what tells who exists in it".to_owned());
        }
        if sources.is_empty() {
            let hint = patterns.last().map(|last| nearest::hint(last, WORDS)).unwrap_or_default();
            return Err(format!(
                "what tells who exists is missing, such as file:/etc/smap/users, virtusertable, aliases, passwd, \
                 callout or any{hint}"
            ));
        }
        let pattern = |word: &String| word.parse().map_err(|fault| format!("\"{word}\": {fault}"));
        let source = |word: &String| {
            let hint = || nearest::hint(word, WORDS);
            Source::read(word)
                .unwrap_or_else(|| Err(format!("\"{word}\" does not tell who exists{}", hint())))
        };
        Ok(Self {
            patterns: patterns.iter().map(pattern).collect::<Result<_, _>>()?,
            sources: sources.iter().map(source).collect::<Result<_, _>>()?,
        })
    }
}

impl<'de> Deserialize<'de> for Line {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        Self::from_words(&Words::deserialize(deserializer)?.0).map_err(D::Error::custom)
    }
}

impl fmt::Display for Line {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let patterns: Vec<String> = self.patterns.iter().map(ToString::to_string).collect();
        write!(f, "{}", patterns.join(" "))?;
        self.sources.iter().try_for_each(|source| write!(f, " {source}"))
    }
}
