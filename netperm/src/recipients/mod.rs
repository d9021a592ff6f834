//! Who exists: what each `recipients` line names is looked at, in its order, until somebody is found.
//!
//! Decides whether a recipient exists, or what has to be asked to know it. Trusts the tables. Guarantees that only a
//! source that knows him makes a recipient exist where there is one, and that every answer names the line that gave it;
//! a domain that no line speaks of takes everybody. Whoever the virtusertable makes of him is who is looked for.
#![deny(clippy::disallowed_methods)]

mod line;
mod reason;
mod users;

use std::fmt;
use std::path::Path;

use smap_common::address::{Address, Domain};

pub use self::line::{Line, Source};
pub use self::reason::Reason;
pub use self::users::Users;
use crate::aliases::{self, Aliases, Target};
use crate::detail::Delimiter;
use crate::expand::MOST_STEPS;
use crate::names::Names;
use crate::place::Located;
use crate::schema::{FilePath, Smap, Smapd};
use crate::tables::Damaged;
use crate::virtusertable::{self, Meaning, Virtusertable};

#[cfg(test)]
mod tests;

/// The tables that say who somebody is.
#[derive(Debug, Clone, Copy)]
pub struct Tables<'a> {
    /// Our own name.
    pub hostname: &'a Domain,
    /// `virtusertable`
    pub virtusertable: Option<&'a Virtusertable>,
    /// `aliases`
    pub aliases: Option<&'a Aliases>,
    /// `local-host-names`
    pub local_host_names: Option<&'a Names>,
    /// `recipients`
    pub recipients: &'a [Located<Line>],
    /// `recipient-delimiter`
    pub delimiter: Delimiter,
    /// `safe-programs`
    pub safe_programs: Option<&'a Path>,
    /// `safe-files`
    pub safe_files: Option<&'a Path>,
}

impl Smap {
    /// The tables that say who somebody is.
    #[must_use]
    pub fn people<'a>(&'a self, hostname: &'a Domain) -> Tables<'a> {
        Tables {
            hostname,
            virtusertable: self.virtusertable.as_ref().map(|named| &named.value),
            aliases: self.aliases.as_ref().map(|named| &named.value),
            local_host_names: self.local_host_names.as_ref().map(|named| &named.value),
            recipients: &self.recipients,
            delimiter: self.recipient_delimiter,
            safe_programs: path(self.safe_programs.as_ref()),
            safe_files: path(self.safe_files.as_ref()),
        }
    }

    /// The first line by which smap-lookup is asked whether a recipient exists.
    #[must_use]
    pub fn asks_of_recipients(&self) -> Option<&Located<Line>> {
        self.recipients.iter().find(|line| line.asks())
    }
}

impl Smapd {
    /// The tables that say who somebody is.
    #[must_use]
    pub fn people<'a>(&'a self, hostname: &'a Domain) -> Tables<'a> {
        Tables {
            hostname,
            virtusertable: self.virtusertable.as_ref().map(|named| &named.value),
            aliases: self.aliases.as_ref().map(|named| &named.value),
            local_host_names: self.local_host_names.as_ref().map(|named| &named.value),
            recipients: &self.recipients,
            delimiter: self.recipient_delimiter,
            safe_programs: path(self.safe_programs.as_ref()),
            safe_files: path(self.safe_files.as_ref()),
        }
    }
}

fn path(named: Option<&Located<FilePath>>) -> Option<&Path> {
    named.map(|named| named.value.0.as_path())
}

impl<'a> Tables<'a> {
    /// The first line that speaks of a domain.
    #[must_use]
    pub fn line(&self, domain: &Domain) -> Option<&'a Located<Line>> {
        self.recipients.iter().find(|line| line.matches(domain))
    }

    /// Whether names of a domain are names at home, which aliases may mean: our own name, those of `local-host-names`,
    /// and what a `recipients` line gives the source `aliases`.
    ///
    /// # Errors
    /// The compiled table of names is damaged there.
    pub fn is_home(&self, domain: &Domain) -> Result<bool, Damaged> {
        let by_line = || self.line(domain).is_some_and(|line| line.sources.contains(&Source::Aliases));
        if domain == self.hostname || by_line() {
            return Ok(true);
        }
        self.local_host_names.map_or(Ok(false), |names| names.has(domain).map(|line| line.is_some()))
    }

    /// Whether a row speaks of somebody: he may stand for others.
    #[must_use]
    pub fn speak_of(&self, address: &Address) -> bool {
        let bare = address.domain().is_none().then(|| address.at(self.hostname.clone()));
        let address = bare.as_ref().unwrap_or(address);
        self.virtual_row(address).is_some() || self.alias(address) != Ok(None)
    }

    pub(crate) fn virtual_row(&self, address: &Address) -> Option<(Located<virtusertable::Row>, Meaning)> {
        self.virtusertable?.find(address, self.delimiter, self.hostname)
    }

    pub(crate) fn alias(&self, address: &Address) -> aliases::Found {
        let at_home = address.domain().map_or(Ok(true), |domain| self.is_home(domain));
        let aliases = match self.aliases {
            Some(aliases) if at_home? => Some(aliases),
            Some(_) | None => None,
        };
        aliases.map_or(Ok(None), |aliases| aliases.find(address.local_part(), self.delimiter))
    }

    /// The address of a name or an address.
    pub(crate) fn address(&self, target: &Target) -> Option<Address> {
        match target {
            Target::Name(name) => Address::new(name, self.hostname.clone()).ok(),
            Target::Address(address) => Some(address.clone()),
            _ => None,
        }
    }

    /// Whom what a list sends on seems to come from.
    pub(crate) fn owner(&self, list: &str) -> Result<Option<Address>, Damaged> {
        let owner = self.aliases.map_or(Ok(None), |aliases| aliases.owner(list))?;
        Ok(owner.and_then(|owner| self.address(&owner)))
    }

    /// By which two addresses are one: case says nothing of a name at home.
    pub(crate) fn key(&self, address: &Address) -> String {
        let shown = address.to_string();
        let folds = address.domain().is_none_or(|domain| self.is_home(domain) == Ok(true));
        if folds { shown.to_lowercase() } else { shown }
    }
}

/// What has to be asked.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum Question {
    /// Whether this machine has a user of this name.
    Passwd(String),
    /// Whether the host that his mail goes to takes this recipient.
    CallOut(Address),
}

/// What became of a question.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Answer {
    /// He exists.
    Yes,
    /// He does not.
    No,
    /// It cannot be told now, and why.
    Failed(String),
}

/// Whether a recipient exists, and why.
#[derive(Debug, Clone, PartialEq, Eq)]
#[must_use]
pub enum Exists<'a> {
    /// He does, or nothing says that he does not.
    Yes(Reason<'a>),
    /// He does not.
    No(Reason<'a>),
    /// To be asked again with the answer to this, of which that line speaks.
    Ask(Question, &'a Located<Line>),
    /// It cannot be told now.
    NotNow(Reason<'a>),
}

impl Exists<'_> {
    /// One word for it.
    #[must_use]
    pub const fn word(&self) -> &'static str {
        match self {
            Self::Yes(_) => "yes",
            Self::No(_) => "no",
            Self::Ask(..) => "ask",
            Self::NotNow(_) => "not now",
        }
    }
}

impl fmt::Display for Exists<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Yes(reason) | Self::No(reason) | Self::NotNow(reason) => {
                write!(f, "{}: {reason}", self.word())
            }
            Self::Ask(question, _) => write!(f, "{}: {question}", self.word()),
        }
    }
}

/// Whether a recipient exists, as far as the answers so far tell.
pub fn exists<'a>(tables: &Tables<'a>, answers: &[(Question, Answer)], recipient: &Address) -> Exists<'a> {
    // RFC 5321 section 4.5.1: at every domain that mail is taken for.
    if recipient.is_postmaster() {
        return Exists::Yes(Reason::Postmaster);
    }
    let mut address = recipient.clone();
    let mut by = None;
    for _ in 0..MOST_STEPS {
        let Some((row, meaning)) = tables.virtual_row(&address) else {
            return himself(tables, answers, &address, by);
        };
        match meaning {
            Meaning::Error(transport) => return Reason::error(row, transport),
            Meaning::NoAddress => return Exists::No(Reason::NoAddress(row)),
            Meaning::Address(next) => address = next,
        }
        by = Some(row);
    }
    match by {
        Some(row) => Exists::No(Reason::Loop(row)),
        None => Exists::Yes(Reason::NoLine),
    }
}

/// The same for someone whom no row of the virtusertable makes another.
fn himself<'a>(
    tables: &Tables<'a>,
    answers: &[(Question, Answer)],
    address: &Address,
    by: Option<Located<virtusertable::Row>>,
) -> Exists<'a> {
    let domain = address.domain().unwrap_or(tables.hostname);
    let Some(line) = tables.line(domain) else {
        return Exists::Yes(by.map_or(Reason::NoLine, Reason::Virtusertable));
    };
    let mut open = None;
    let mut failed = None;
    for source in &line.sources {
        match known(tables, line, source, address) {
            Known::Yes(reason) => return Exists::Yes(reason),
            Known::No => {}
            Known::NotNow(reason) => failed = failed.or(Some(reason)),
            Known::Ask(questions) => {
                for question in questions {
                    match answers.iter().find(|(asked, _)| *asked == question) {
                        Some((_, Answer::Yes)) => return Exists::Yes(Reason::Answered(line, question)),
                        Some((_, Answer::No)) => {}
                        Some((_, Answer::Failed(why))) => {
                            failed = failed.or(Some(Reason::Failed(line, question, why.clone())));
                        }
                        None => open = open.or(Some(question)),
                    }
                }
            }
        }
    }
    match (open, failed) {
        (Some(question), _) => Exists::Ask(question, line),
        (None, Some(reason)) => Exists::NotNow(reason),
        (None, None) => Exists::No(Reason::Unknown(line, address.clone())),
    }
}

enum Known<'a> {
    Yes(Reason<'a>),
    No,
    NotNow(Reason<'a>),
    /// Any of them will do.
    Ask(Vec<Question>),
}

/// What a single source says, of somebody without a row in the virtusertable.
fn known<'a>(
    tables: &Tables<'a>,
    line: &'a Located<Line>,
    source: &'a Source,
    address: &Address,
) -> Known<'a> {
    let found = |reason: Result<Option<Reason<'a>>, Damaged>| match reason {
        Ok(reason) => reason.map_or(Known::No, Known::Yes),
        Err(damaged) => Known::NotNow(Reason::Damaged(damaged)),
    };
    match source {
        Source::Any => Known::Yes(Reason::Any(line)),
        Source::Virtusertable => Known::No,
        Source::File(users) => {
            found(users.find(address, tables.delimiter).map(|place| place.map(Reason::Named)))
        }
        Source::Aliases => found(tables.alias(address).map(|row| row.map(Reason::Alias))),
        Source::CallOut => Known::Ask(vec![Question::CallOut(address.clone())]),
        Source::Passwd => {
            let names = tables.delimiter.names(address.local_part());
            Known::Ask(names.map(|name| Question::Passwd(name.to_lowercase())).collect())
        }
    }
}
