//! The netperm-table: from bytes to located entries, and from those to what each program asked for.
//!
//! Decides which lines speak to which program and which of them are wrong. Trusts nothing in the file.
//! Guarantees that every line that names one of our programs was understood in full, or is a [`Fault`]; and
//! that both syntaxes, the toolkit's own and TOML, come out as the same entries.

mod de;
mod files;
mod netperm;
mod toml;
mod words;

use std::collections::BTreeSet;
use std::path::Path;
use std::sync::Arc;

use serde::Deserialize;

use crate::callout;
use crate::check;
use crate::fault::{Fault, Faults, Note};
use crate::hosts::Effect;
use crate::nearest;
use crate::place::Place;
use crate::schema::{Lookup, Smap, Smapd};

use self::files::Files;
pub(crate) use self::files::Unread;
pub use self::files::{Content, Found, Reader};
pub(crate) use de::{Words, parsed, word};
pub(crate) use words::{Written, split};

/// One line: these programs, this attribute, these arguments.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Entry {
    programs: Vec<String>,
    /// The attribute, without the `permit-` or `deny-` of a rule.
    attribute: String,
    /// That `permit-` or `deny-`.
    effect: Option<Effect>,
    words: Vec<String>,
    place: Place,
}

/// The attributes that are sets of rules: they are only ever written with `permit-` or `deny-`.
const RULE_SETS: [&str; 2] = ["hosts", "relay"];

/// The attributes that may stand on several lines which all count.
const REPEATABLE: [&str; 9] = [
    "hosts",
    "relay",
    "domain",
    "listen",
    "nameserver",
    "our-address",
    "recipients",
    "masquerade-domain",
    "exposed-user",
];

impl Entry {
    fn new(programs: Vec<String>, written: &str, words: Vec<String>, place: Place) -> Result<Self, String> {
        if written.is_empty() {
            return Err("the name of the attribute is empty".to_owned());
        }
        let rule = |effect: Effect| {
            let set = written.strip_prefix(effect.word())?.strip_prefix('-')?;
            RULE_SETS.contains(&set).then_some((Some(effect), set))
        };
        let (effect, attribute) =
            rule(Effect::Permit).or_else(|| rule(Effect::Deny)).unwrap_or((None, written));
        Ok(Self { programs, attribute: attribute.to_owned(), effect, words, place })
    }

    /// The attribute as it is written.
    fn written(&self) -> String {
        match self.effect {
            Some(effect) => format!("{}-{}", effect.word(), self.attribute),
            None => self.attribute.clone(),
        }
    }

    fn names(&self, program: Program) -> bool {
        self.programs.iter().any(|name| name == program.name())
    }

    /// Whether it speaks to every program.
    fn names_all(&self) -> bool {
        self.programs.iter().any(|name| name == "*")
    }

    fn known_to(&self, program: Program) -> bool {
        program.attributes().contains(&self.attribute.as_str())
            && self.effect.is_some() == RULE_SETS.contains(&self.attribute.as_str())
    }
}

/// The programs whose lines are ours to understand.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Program {
    Smap,
    Smapd,
    Lookup,
    Smapctl,
    /// The old place of smap's `permit-hosts` and `deny-hosts`.
    NetaclSmap,
}

impl Program {
    const ALL: [Self; 5] = [Self::Smap, Self::Smapd, Self::Lookup, Self::Smapctl, Self::NetaclSmap];

    const fn name(self) -> &'static str {
        match self {
            Self::Smap => "smap",
            Self::Smapd => "smapd",
            Self::Lookup => "smap-lookup",
            Self::Smapctl => "smapctl",
            Self::NetaclSmap => "netacl-smap",
        }
    }

    fn attributes(self) -> &'static [&'static str] {
        match self {
            Self::Smap => de::attributes_of::<Smap>(),
            Self::Smapd => de::attributes_of::<Smapd>(),
            Self::Lookup => de::attributes_of::<Lookup>(),
            Self::Smapctl => &[],
            Self::NetaclSmap => &["hosts"],
        }
    }

    /// What a line means to this program, tried on its own.
    fn try_line(self, entry: &Entry) -> Result<(), de::Error> {
        let view = de::View::new([entry]);
        match self {
            Self::Smap | Self::NetaclSmap => Smap::deserialize(view).map(drop),
            Self::Smapd => Smapd::deserialize(view).map(drop),
            Self::Lookup => Lookup::deserialize(view).map(drop),
            Self::Smapctl => Ok(()),
        }
    }
}

/// Whether a line that names these programs is ours to understand.
fn is_ours(programs: &[String]) -> bool {
    programs.iter().any(|name| name == "*" || Program::ALL.iter().any(|program| program.name() == name))
}

/// Programs of the toolkit whose names are near to ours, and theirs all the same.
const TOOLKIT: [&str; 4] = ["netacl-imap", "netacl-imapd", "netacl-nntp", "netacl-pop"];

/// How the file is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Syntax {
    /// The toolkit's own.
    Netperm,
    /// TOML.
    Toml,
}

impl Syntax {
    /// A name that ends in `.toml` is TOML.
    #[must_use]
    pub fn of(file: &Path) -> Self {
        if file.extension().is_some_and(|extension| extension == "toml") { Self::Toml } else { Self::Netperm }
    }
}

/// A table in which every line that is ours is well formed.
#[derive(Debug, Clone)]
pub struct Table {
    file: Arc<Path>,
    entries: Vec<Entry>,
    notes: Vec<Note>,
    /// What of the compiled tables is not as it should be.
    warnings: Vec<Note>,
    files: Files,
}

impl Table {
    /// Reads a table from its bytes; `file` is only named in messages. The files that it names are taken to be
    /// empty.
    ///
    /// # Errors
    /// Everything that is wrong with it.
    pub fn parse(file: &Path, bytes: &[u8], syntax: Syntax) -> Result<Self, Faults> {
        Self::parse_with(file, bytes, syntax, Unread)
    }

    /// The same, with the files that it names, for which `read` is asked.
    ///
    /// # Errors
    /// Everything that is wrong with it and with them.
    pub fn parse_with(file: &Path, bytes: &[u8], syntax: Syntax, read: impl Reader) -> Result<Self, Faults> {
        let file: Arc<Path> = Arc::from(file);
        let (mut entries, mut faults) = match syntax {
            Syntax::Netperm => netperm::parse(&file, bytes),
            Syntax::Toml => toml::parse(&file, bytes),
        };
        let mut notes = Vec::new();
        for entry in &mut entries {
            faults.extend(without_netacl_options(entry, &mut notes));
            faults.extend(wrong_with(entry));
            notes.extend(strange_names(entry));
        }
        let mut table = Self { file, entries, notes, warnings: Vec::new(), files: Files::default() };
        faults.extend(table.read_files(&read));
        if !faults.is_empty() {
            faults.extend(table.contradictions());
        }
        Faults::none_of(faults).map(|()| table)
    }

    /// Adds what was seen of the file itself.
    pub(crate) fn with_notes(mut self, notes: Vec<Note>) -> Self {
        self.notes.splice(0..0, notes);
        self
    }

    /// The file it came from.
    #[must_use]
    pub fn file(&self) -> &Path {
        &self.file
    }

    /// What the operator should know whatever the program: the file's mode, names that are nearly ours.
    #[must_use]
    pub fn notes(&self) -> &[Note] {
        &self.notes
    }

    /// What of the compiled tables is not what the operator means it to be.
    #[must_use]
    pub fn warnings(&self) -> &[Note] {
        &self.warnings
    }

    /// What the table says to `smap`, and what the operator should know about that.
    ///
    /// # Errors
    /// What keeps smap from running with it.
    pub fn smap(&self) -> Result<(Smap, Vec<Note>), Faults> {
        let mut smap = Smap::deserialize(self.view(Program::Smap)).map_err(|error| self.whole(&error))?;
        self.files.fill_smap(&mut smap);
        let mut notes = self.never_used(Program::Smap);
        notes.extend(check::smap_notes(&smap, |attribute| self.place_of(Program::Smap, attribute)));
        Ok((smap, notes))
    }

    /// What the table says to `smapd`, and what the operator should know about that.
    ///
    /// # Errors
    /// What keeps smapd from running with it.
    pub fn smapd(&self) -> Result<(Smapd, Vec<Note>), Faults> {
        let mut smapd = Smapd::deserialize(self.view(Program::Smapd)).map_err(|error| self.whole(&error))?;
        self.files.fill_smapd(&mut smapd);
        Faults::none_of(check::smapd_faults(&smapd))?;
        let mut notes = self.never_used(Program::Smapd);
        notes.extend(check::smapd_notes(&smapd, |attribute| self.place_of(Program::Smapd, attribute)));
        Ok((smapd, notes))
    }

    /// What the table says to `smap-lookup`, and what the operator should know about that.
    ///
    /// # Errors
    /// What keeps smap-lookup from running with it.
    pub fn lookup(&self) -> Result<(Lookup, Vec<Note>), Faults> {
        let lookup = Lookup::deserialize(self.view(Program::Lookup)).map_err(|error| self.whole(&error))?;
        Ok((lookup, self.never_used(Program::Lookup)))
    }

    /// Everything that the operator should know, for all programs: what `smapctl check` shows.
    ///
    /// # Errors
    /// What keeps any of the programs from running with it.
    pub fn check(&self) -> Result<Vec<Note>, Faults> {
        Faults::none_of(self.contradictions())?;
        let ((smap, of_smap), (smapd, of_smapd)) = (self.smap()?, self.smapd()?);
        let hostname =
            smap.hostname.clone().or_else(|| smapd.hostname.clone()).unwrap_or_else(check::nowhere);
        Faults::none_of(callout::faults(&smap.recipients, &smapd, &hostname))?;
        let people = check::people_notes(&smap, &smapd);
        let own = [of_smap, of_smapd, self.lookup()?.1, check::both_notes(&smap, &smapd), people];
        let files = self.notes.iter().chain(&self.warnings).cloned();
        let notes: BTreeSet<Note> = files.chain(own.into_iter().flatten()).collect();
        Ok(notes.into_iter().collect())
    }

    /// What is wrong beyond single lines, as far as the lines that are right tell.
    fn contradictions(&self) -> Vec<Fault> {
        self.right(Program::Smapd).map(|smapd: Smapd| check::smapd_faults(&smapd)).unwrap_or_default()
    }

    /// What the lines that are right say to a program.
    fn right<'de, T: Deserialize<'de>>(&self, program: Program) -> Result<T, de::Error> {
        T::deserialize(de::View::new(self.lines(program).filter(|entry| program.try_line(entry).is_ok())))
    }

    fn whole(&self, error: &de::Error) -> Faults {
        Fault::new(&Place::whole(&self.file), error).into()
    }

    /// The line that says an attribute; the file as a whole when none does.
    fn place_of(&self, program: Program, attribute: &str) -> Place {
        let line = self.lines(program).find(|entry| entry.attribute == attribute);
        line.map_or_else(|| Place::whole(&self.file), |entry| entry.place.clone())
    }

    /// The lines that a program takes into account, in order.
    fn lines(&self, program: Program) -> impl Iterator<Item = &Entry> {
        self.entries.iter().filter(move |entry| {
            let named = (entry.names(program) || entry.names_all()) && entry.known_to(program);
            let netacl = entry.names(Program::NetaclSmap) && entry.known_to(Program::NetaclSmap);
            named || (program == Program::Smap && netacl)
        })
    }

    fn view(&self, program: Program) -> de::View<'_> {
        de::View::new(self.lines(program))
    }

    /// The lines that an earlier one hides although they name the program.
    fn never_used(&self, program: Program) -> Vec<Note> {
        let mut seen: Vec<&Entry> = Vec::new();
        let mut notes = Vec::new();
        for entry in self.lines(program).filter(|entry| !REPEATABLE.contains(&entry.attribute.as_str())) {
            match seen.iter().find(|first| first.attribute == entry.attribute) {
                Some(first) if entry.names(program) => notes.push(Note::new(
                    &entry.place,
                    format_args!(
                        "{} does not use this {}: the first line wins, {}",
                        program.name(),
                        entry.attribute,
                        first.place
                    ),
                )),
                Some(_) => {}
                None => seen.push(entry),
            }
        }
        notes
    }
}

/// netacl started the programs that it permitted; smap is not started that way.
fn without_netacl_options(entry: &mut Entry, notes: &mut Vec<Note>) -> Option<Fault> {
    if !entry.names(Program::NetaclSmap) {
        return None;
    }
    let place = entry.place.clone();
    let mut kept = Vec::new();
    let mut words = std::mem::take(&mut entry.words).into_iter();
    let mut fault = None;
    while let Some(word) = words.next() {
        let ignored = match word.as_str() {
            // -exec takes the rest of the line: the program and its arguments.
            "-exec" => words.by_ref().reduce(|all, word| all + " " + &word),
            "-user" | "-chroot" => words.next(),
            _ => {
                kept.push(word);
                continue;
            }
        };
        match ignored {
            Some(value) => {
                notes.push(Note::new(&place, format_args!("{word} {value} is netacl's, and is ignored")))
            }
            None => fault = Some(Fault::new(&place, format_args!("{word} lacks its argument"))),
        }
    }
    entry.words = kept;
    fault
}

/// What is wrong with a line on its own; nothing when it is right, or not ours.
fn wrong_with(entry: &Entry) -> Vec<Fault> {
    let ours = || Program::ALL.into_iter().filter(|program| entry.names(*program));
    let all = Program::ALL.into_iter().filter(|program| entry.names_all() || entry.names(*program));
    let knowing: Vec<Program> = all.filter(|program| entry.known_to(*program)).collect();
    if knowing.is_empty() && ours().next().is_some() {
        return vec![unknown_attribute(entry, &ours().collect::<Vec<_>>())];
    }
    let tried = knowing.into_iter().filter_map(|program| program.try_line(entry).err());
    tried.map(|error| Fault::new(&entry.place, format_args!("{}: {error}", entry.written()))).collect()
}

fn unknown_attribute(entry: &Entry, named: &[Program]) -> Fault {
    let written = entry.written();
    let known: Vec<String> = named.iter().flat_map(|program| written_attributes(*program)).collect();
    let names: Vec<&str> = named.iter().map(|program| program.name()).collect();
    let what = format!("{} has no attribute \"{written}\"", names.join(" or "));
    if let Some(set) = RULE_SETS.into_iter().find(|set| *set == written) {
        return Fault::new(&entry.place, what + &nearest::did_you_mean(format_args!("permit-{set}")));
    }
    let elsewhere = Program::ALL.into_iter().find(|program| entry.known_to(*program));
    Fault::new(
        &entry.place,
        match elsewhere {
            Some(program) => format!("{what}: it is one of {}'s", program.name()),
            None => what + &nearest::hint(&written, known.iter().map(String::as_str)),
        },
    )
}

/// The attributes of a program as they are written.
fn written_attributes(program: Program) -> impl Iterator<Item = String> {
    program.attributes().iter().flat_map(|attribute| {
        if RULE_SETS.contains(attribute) {
            vec![format!("permit-{attribute}"), format!("deny-{attribute}")]
        } else {
            vec![(*attribute).to_owned()]
        }
    })
}

/// Names of programs that are nearly ours: such a line is read over, which is hardly what was meant.
fn strange_names(entry: &Entry) -> Vec<Note> {
    let ours = || Program::ALL.map(Program::name);
    let strange = |name: &&String| !ours().contains(&name.as_str()) && !TOOLKIT.contains(&name.as_str());
    let near = |name: &str| ours().into_iter().map(|our| (nearest::distance(name, our), our)).min();
    let names = entry.programs.iter().filter(strange);
    names
        .filter_map(|name| near(name).filter(|(edits, _)| *edits <= 2).map(|(_, our)| (name, our)))
        .map(|(name, our)| {
            let meant = nearest::did_you_mean(our);
            Note::new(
                &entry.place,
                format_args!("this line is read over: \"{name}\" is none of our programs{meant}"),
            )
        })
        .collect()
}
