//! Whom a recipient stands for: the virtusertable first, then the aliases of names at home, until nobody is left to be
//! looked up.
//!
//! Pure: whoever asks hands in what reads an included file. Guarantees that it ends, whatever the tables say (no chain
//! is longer than [`MOST_STEPS`], no more than [`MOST_TARGETS`] are looked at, nobody is looked up twice); that each
//! outcome names every row that led to it; and that nobody is named twice.
#![deny(clippy::disallowed_methods)]

use std::collections::HashSet;
use std::fmt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use smap_common::address::Address;

use crate::aliases::{self, Program, Target};
use crate::place::{Located, Place};
use crate::recipients::Tables;
use crate::virtusertable::{self, Meaning};

mod outcome;
mod refused;
#[cfg(test)]
mod tests;

pub use self::outcome::{Member, Nobody, Outcome, administrator};
pub use self::refused::{Refused, Why};

/// The longest chain of rows.
pub const MOST_STEPS: usize = 32;
/// The most recipients, and rows on the way to them, of one expansion.
pub const MOST_TARGETS: usize = 250_000;
/// As many take no time worth speaking of.
const FEW: usize = 100;

/// One of those whom a recipient stands for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Recipient {
    /// A mailbox.
    Mailbox(Address),
    /// A program, in the folder of those that may be run.
    Program(Program),
    /// A file.
    File(PathBuf),
    /// `/dev/null`
    Nobody,
}

impl fmt::Display for Recipient {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Mailbox(address) => write!(f, "<{address}>"),
            Self::Program(program) => {
                write!(f, "|{}", program.name)?;
                program.arguments.iter().try_for_each(|argument| write!(f, " {argument:?}"))
            }
            Self::File(file) => file.display().fmt(f),
            Self::Nobody => f.write_str("/dev/null"),
        }
    }
}

/// What led to someone.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum By {
    /// A row of the virtusertable.
    Virtusertable(virtusertable::Row),
    /// The row of an alias.
    Alias(String),
    /// An included file.
    Include(PathBuf),
}

/// One step, and those before it.
#[derive(Debug, PartialEq, Eq)]
pub struct Step {
    /// The line that was followed.
    pub place: Place,
    /// Of what.
    pub by: By,
    before: Chain,
    length: usize,
    /// What was looked up.
    key: Arc<str>,
}

/// Every row that led to someone, the last one first in the making.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Chain(Option<Arc<Step>>);

impl Chain {
    fn then(&self, place: &Place, by: By, key: &Arc<str>) -> Self {
        let (length, key) = (self.len() + 1, Arc::clone(key));
        Self(Some(Arc::new(Step { place: place.clone(), by, before: self.clone(), length, key })))
    }

    /// How many there are.
    #[must_use]
    pub fn len(&self) -> usize {
        self.0.as_ref().map_or(0, |step| step.length)
    }

    /// Whether nothing led there.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0.is_none()
    }

    fn back(&self) -> impl Iterator<Item = &Step> {
        std::iter::successors(self.0.as_deref(), |step| step.before.0.as_deref())
    }

    /// Each of them, the first one first.
    #[must_use]
    pub fn steps(&self) -> Vec<&Step> {
        let mut steps: Vec<&Step> = self.back().collect();
        steps.reverse();
        steps
    }
}

impl fmt::Display for Step {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.by {
            By::Virtusertable(row) => write!(f, "{}: virtusertable {row}", self.place),
            By::Alias(name) => write!(f, "{}: aliases {name}", self.place),
            By::Include(file) => write!(f, "{}: of the list {}", self.place, file.display()),
        }
    }
}

/// Someone, and what led to him.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Final {
    /// He.
    pub to: Recipient,
    /// What led to him.
    pub chain: Chain,
    /// The envelope's sender in place of the message's own: the owner of the innermost list that has one.
    pub owner: Option<Arc<Address>>,
}

/// Everybody whom a recipient stands for.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Expansion {
    /// They, in the order of the rows.
    pub recipients: Vec<Final>,
    /// What could not be followed.
    pub refused: Vec<Refused>,
}

/// Whom a recipient stands for. `include` reads an included file, or tells why it cannot be read.
pub fn expand(
    tables: &Tables<'_>,
    recipient: &Address,
    include: &mut dyn FnMut(&Path) -> Result<Vec<u8>, String>,
) -> Expansion {
    within(MOST_TARGETS, tables, recipient, include)
}

/// The same where no file has to be read for it and there are only a few; nothing otherwise.
fn at_once(tables: &Tables<'_>, recipient: &Address) -> Option<Expansion> {
    let mut reads = false;
    let found = within(FEW, tables, recipient, &mut |_| {
        reads = true;
        Err(String::new())
    });
    let many = found.refused.iter().any(|refused| refused.why == Why::TooMany);
    (!reads && !many).then_some(found)
}

fn within(
    most: usize,
    tables: &Tables<'_>,
    recipient: &Address,
    include: &mut dyn FnMut(&Path) -> Result<Vec<u8>, String>,
) -> Expansion {
    let mut work = Work::new(tables);
    work.todo.push(Todo { what: What::Address(recipient.clone()), chain: Chain::default(), owner: None });
    let mut looked_at = 0;
    while let Some(todo) = work.todo.pop() {
        looked_at += usize::from(matches!(todo.what, What::Target(_)));
        if looked_at + work.todo.len() > most {
            let refused = Refused { chain: todo.chain, why: Why::TooMany };
            return Expansion { recipients: Vec::new(), refused: vec![refused] };
        }
        work.one(todo, include);
    }
    work.found
}

/// Someone who is still to be looked up.
struct Todo {
    what: What,
    chain: Chain,
    owner: Option<Arc<Address>>,
}

enum What {
    Address(Address),
    Target(Target),
    /// Not looked up any further.
    Final(Recipient),
}

struct Work<'a> {
    tables: &'a Tables<'a>,
    /// The next one last.
    todo: Vec<Todo>,
    looked_up: HashSet<Arc<str>>,
    named: HashSet<String>,
    found: Expansion,
}

impl<'a> Work<'a> {
    fn new(tables: &'a Tables<'a>) -> Self {
        let (todo, found) = (Vec::new(), Expansion::default());
        Self { tables, todo, looked_up: HashSet::new(), named: HashSet::new(), found }
    }

    fn one(&mut self, todo: Todo, include: &mut dyn FnMut(&Path) -> Result<Vec<u8>, String>) {
        if todo.chain.len() > MOST_STEPS {
            return self.refuse(todo.chain, Why::TooDeep);
        }
        match todo.what {
            What::Address(ref address) => {
                let address = address.clone();
                self.address(&address, todo);
            }
            What::Target(ref target) => {
                let target = target.clone();
                self.target(target, todo, include);
            }
            What::Final(to) => {
                let known = match &to {
                    Recipient::Mailbox(address) => self.tables.key(address),
                    _ => to.to_string(),
                };
                if self.named.insert(known) {
                    self.found.recipients.push(Final { to, chain: todo.chain, owner: todo.owner });
                }
            }
        }
    }

    fn address(&mut self, address: &Address, todo: Todo) {
        let tables = self.tables;
        let at_home;
        let address = match address.domain() {
            Some(_) => address,
            None => {
                at_home = address.at(tables.hostname.clone());
                &at_home
            }
        };
        let virtual_row = tables.virtual_row(address);
        let alias = if virtual_row.is_none() { tables.alias(address) } else { Ok(None) };
        let alias = match alias {
            Ok(alias) => alias,
            Err(damaged) => return self.refuse(todo.chain, Why::Unreadable(damaged.to_string())),
        };
        let mailbox = || What::Final(Recipient::Mailbox(address.clone()));
        if virtual_row.is_none() && alias.as_ref().is_none_or(|row| is_row_of(&todo.chain, row)) {
            // Nobody else, or an alias that names himself.
            return self.todo.push(Todo { what: mailbox(), ..todo });
        }
        if let Some((row, meaning)) = virtual_row {
            let Some(key) = self.first(format!("<{}>", tables.key(address)), &todo.chain) else { return };
            let chain = todo.chain.then(&row.place, By::Virtusertable(row.value), &key);
            match meaning {
                Meaning::Address(next) => {
                    self.todo.push(Todo { what: What::Address(next), chain, owner: todo.owner });
                }
                Meaning::Error(transport) => self.refuse(chain, Why::Error(transport)),
                Meaning::NoAddress => self.refuse(chain, Why::NoAddress),
            }
        } else if let Some(row) = alias {
            let Some(key) = self.first(format!("the alias {}", row.name), &todo.chain) else { return };
            let owner = match tables.owner(&row.name) {
                Ok(owner) => owner.map(Arc::new).or(todo.owner),
                Err(damaged) => return self.refuse(todo.chain, Why::Unreadable(damaged.to_string())),
            };
            for target in row.targets.iter().rev() {
                let chain = todo.chain.then(&target.place, By::Alias(row.name.clone()), &key);
                let (what, owner) = (What::Target(target.value.clone()), owner.clone());
                self.todo.push(Todo { what, chain, owner });
            }
        }
    }

    /// What is looked up, if it is for the first time; a way that comes back to it is refused.
    fn first(&mut self, key: String, chain: &Chain) -> Option<Arc<str>> {
        let key: Arc<str> = Arc::from(key);
        if self.looked_up.insert(Arc::clone(&key)) {
            return Some(key);
        }
        if chain.back().any(|step| *step.key == *key) {
            self.refuse(chain.clone(), Why::Loop(key.to_string()));
        }
        None
    }

    fn target(
        &mut self,
        target: Target,
        todo: Todo,
        include: &mut dyn FnMut(&Path) -> Result<Vec<u8>, String>,
    ) {
        let what = match target {
            Target::Name(_) | Target::Address(_) => {
                self.tables.address(&target).map(What::Address).ok_or(Why::NoAddress)
            }
            Target::Exactly(target) => self
                .tables
                .address(&target)
                .map(|address| What::Final(Recipient::Mailbox(address)))
                .ok_or(Why::NoAddress),
            Target::Nobody => Ok(What::Final(Recipient::Nobody)),
            Target::File(file) => match aliases::not_written(&file, self.tables.safe_files) {
                None => Ok(What::Final(Recipient::File(file))),
                Some(what) => Err(Why::Bad(what)),
            },
            Target::Program(program) => {
                match aliases::not_run(&program, self.tables.safe_programs, &|_| true) {
                    None => Ok(What::Final(Recipient::Program(program))),
                    Some(what) => Err(Why::Bad(what)),
                }
            }
            Target::Include(file) => return self.include(&file, &todo, include),
        };
        match what {
            Ok(what) => self.todo.push(Todo { what, ..todo }),
            Err(why) => self.refuse(todo.chain, why),
        }
    }

    fn include(
        &mut self,
        file: &Path,
        todo: &Todo,
        include: &mut dyn FnMut(&Path) -> Result<Vec<u8>, String>,
    ) {
        let key = format!("the list {}", file.display());
        let Some(key) = self.first(key, &todo.chain) else { return };
        let bytes = match include(file) {
            Ok(bytes) => bytes,
            Err(what) => {
                let what = format!("{}: {what}", file.display());
                return self.refuse(todo.chain.clone(), Why::Unreadable(what));
            }
        };
        let (targets, faults) = aliases::included(file, &bytes);
        if targets.is_empty() && faults.is_empty() {
            let what = format!("{}: nobody stands in this list", file.display());
            return self.refuse(todo.chain.clone(), Why::Bad(what));
        }
        let by = || By::Include(file.to_owned());
        for fault in faults {
            self.refuse(todo.chain.then(&fault.place, by(), &key), Why::Bad(fault.what));
        }
        for Located { place, value } in targets.into_iter().rev() {
            let chain = todo.chain.then(&place, by(), &key);
            self.todo.push(Todo { what: What::Target(value), chain, owner: todo.owner.clone() });
        }
    }

    fn refuse(&mut self, chain: Chain, why: Why) {
        self.found.refused.push(Refused { chain, why });
    }
}

/// Whether the last step is a target of this row: then whoever leads to the row again is the user of that name.
fn is_row_of(chain: &Chain, row: &aliases::Row) -> bool {
    let last = chain.0.as_deref();
    last.is_some_and(|step| matches!(&step.by, By::Alias(name) if *name == row.name))
}
