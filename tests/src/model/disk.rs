//! A file system in memory: what was done to it, and what of that a crash may leave.
//!
//! Data of a file and each entry of a folder are durable one by one, and only once they were synced. What is not
//! durable may survive all the same, each piece alone: any subset of it, but that of one name nothing later survives
//! without what was earlier. A write is two pieces; where the first is missing there are zeros.

use std::collections::{BTreeMap, BTreeSet};
use std::rc::Rc;

/// What a sync carries.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Profile {
    /// The sync of a new file carries its name, and a rename survives as a whole or not at all: ext4, XFS and btrfs.
    FirstEntryWithFile,
    /// The sync of a file carries its data; each folder has to be synced for its own entries. A rename between two
    /// folders may survive in one of them.
    StrictPosix,
}

/// One step, in the order in which the system was asked for it. Paths are relative to the folder of everything.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Step<E> {
    /// A file that did not exist.
    Create(String),
    /// A folder that did not exist.
    Folder(String),
    /// At this offset, or at the end of the file.
    Write(String, Option<usize>, Vec<u8>),
    /// To this length.
    Truncate(String, usize),
    /// A second name.
    Link(String, String),
    /// Another name.
    Rename(String, String),
    /// A name less.
    Remove(String),
    /// A sync of a file or folder is asked for, under this number.
    SyncBegins(u64, String),
    /// That sync is over, and well if this says so.
    SyncEnds(u64, bool),
    /// Something that is not done to the disk.
    Event(E),
}

/// What is on the disk: names, and contents by number of file.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Tree {
    names: BTreeMap<String, usize>,
    folders: BTreeSet<usize>,
    contents: BTreeMap<usize, Rc<Vec<u8>>>,
}

impl Tree {
    /// A tree of these folders and files.
    #[must_use]
    pub fn of(folders: &[&str], files: &[(String, Vec<u8>)]) -> Self {
        let mut tree = Self::default();
        for (number, folder) in folders.iter().enumerate() {
            tree.apply(&Change::Put { name: (*folder).to_owned(), file: number, folder: true });
        }
        for (number, (name, text)) in (folders.len()..).zip(files) {
            tree.apply(&Change::Put { name: name.clone(), file: number, folder: false });
            tree.contents.insert(number, Rc::new(text.clone()));
        }
        tree
    }

    /// The files below a folder that can be reached, with their whole paths.
    pub fn files(&self, below: &str) -> impl Iterator<Item = (&str, &[u8])> {
        let from = format!("{below}/");
        let found = self.names.range(from.clone()..).take_while(move |(name, _)| name.starts_with(&from));
        found.filter(|(name, file)| !self.folders.contains(file) && self.is_reached(name)).map(
            |(name, file)| {
                (name.as_str(), self.contents.get(file).map(|text| text.as_slice()).unwrap_or_default())
            },
        )
    }

    /// What is in a file that can be reached.
    #[must_use]
    pub fn file(&self, name: &str) -> Option<&[u8]> {
        let file = self.names.get(name).filter(|_| self.is_reached(name))?;
        self.contents.get(file).map(|text| text.as_slice())
    }

    /// The folders that can be reached.
    pub fn folders(&self) -> impl Iterator<Item = &str> {
        self.names
            .iter()
            .filter(|(name, file)| self.folders.contains(file) && self.is_reached(name))
            .map(|(name, _)| name.as_str())
    }

    fn is_reached(&self, name: &str) -> bool {
        folder_of(name).is_none_or(|folder| {
            self.names.get(folder).is_some_and(|file| self.folders.contains(file)) && self.is_reached(folder)
        })
    }

    fn apply(&mut self, change: &Change) {
        match change {
            Change::Put { name, file, folder } => {
                self.names.insert(name.clone(), *file);
                if *folder {
                    self.folders.insert(*file);
                }
            }
            Change::Drop { name } => drop(self.names.remove(name)),
            Change::Move { from, to, file } => {
                self.names.remove(from);
                self.names.insert(to.clone(), *file);
            }
            Change::Data { file, at, octets } => {
                let text = Rc::make_mut(self.contents.entry(*file).or_default());
                text.resize(text.len().max(at + octets.len()), 0);
                text[*at..at + octets.len()].copy_from_slice(octets);
            }
            Change::Cut { file, length } => {
                Rc::make_mut(self.contents.entry(*file).or_default()).resize(*length, 0)
            }
        }
    }
}

#[derive(Debug, Clone)]
enum Change {
    Put { name: String, file: usize, folder: bool },
    Drop { name: String },
    Move { from: String, to: String, file: usize },
    Data { file: usize, at: usize, octets: Vec<u8> },
    Cut { file: usize, length: usize },
}

impl Change {
    fn names(&self) -> [Option<&str>; 2] {
        match self {
            Self::Put { name, .. } | Self::Drop { name } => [Some(name), None],
            Self::Move { from, to, .. } => [Some(from), Some(to)],
            Self::Data { .. } | Self::Cut { .. } => [None, None],
        }
    }

    fn of_file(&self, wanted: usize) -> bool {
        matches!(self, Self::Data { file, .. } | Self::Cut { file, .. } if *file == wanted)
    }

    /// In words, for whoever reads of a violation.
    fn describe(&self) -> String {
        match self {
            Self::Put { name, .. } => format!("the entry {name}"),
            Self::Drop { name } => format!("the removal of {name}"),
            Self::Move { from, to, .. } => format!("the move from {from} to {to}"),
            Self::Data { file, at, octets } => format!("{} octets at {at} of file {file}", octets.len()),
            Self::Cut { file, length } => format!("the length {length} of file {file}"),
        }
    }
}

#[derive(Debug, Clone)]
struct Done {
    change: Change,
    /// By it its file came into being.
    first_of: Option<usize>,
    durable: bool,
    /// A sync failed: the system believes that it is written, and no later sync writes it.
    stuck: bool,
}

/// The disk while something is done to it.
#[derive(Debug, Clone)]
pub struct Disk {
    profile: Profile,
    /// As programs see it.
    seen: Tree,
    /// What certainly survives.
    base: Tree,
    /// What was done since; the first has this number.
    done: Vec<Done>,
    first: usize,
    syncs: BTreeMap<u64, Vec<usize>>,
    files: usize,
    /// How much of what was done is of the last step.
    latest: usize,
}

/// Most pieces of which every subset is tried; of more, a sample.
const MOST: usize = 10;
/// How many subsets are drawn by lot.
const SAMPLE: usize = 150;

impl Disk {
    /// A disk on which all of this is durable.
    #[must_use]
    pub fn new(profile: Profile, tree: Tree) -> Self {
        let files = tree.names.values().max().map_or(0, |file| file + 1);
        Self {
            profile,
            seen: tree.clone(),
            base: tree,
            done: Vec::new(),
            first: 0,
            syncs: BTreeMap::new(),
            files,
            latest: 0,
        }
    }

    /// Does a step.
    ///
    /// # Panics
    /// It cannot be done: the record is not whole.
    pub fn step<E>(&mut self, step: &Step<E>) {
        let before = self.first + self.done.len();
        match step {
            Step::Create(name) => self.create(name, false),
            Step::Folder(name) => self.create(name, true),
            Step::Write(name, at, octets) => self.write(name, *at, octets),
            Step::Truncate(name, length) => {
                let file = self.file(name);
                self.change(Change::Cut { file, length: *length }, None);
            }
            Step::Link(from, to) => {
                let file = self.file(from);
                self.change(Change::Put { name: to.clone(), file, folder: false }, None);
            }
            Step::Rename(from, to) => self.rename(from, to),
            Step::Remove(name) => self.change(Change::Drop { name: name.clone() }, None),
            Step::SyncBegins(number, name) => {
                let covered = self.covered(name);
                self.syncs.insert(*number, covered);
            }
            Step::SyncEnds(number, well) => self.synced(*number, *well),
            Step::Event(_) => {}
        }
        let durable = self.done.iter().take_while(|done| done.durable).count();
        for done in self.done.drain(..durable) {
            self.base.apply(&done.change);
        }
        self.first += durable;
        self.latest = (self.first + self.done.len() - before).min(self.done.len());
    }

    fn file(&self, name: &str) -> usize {
        *self.seen.names.get(name).unwrap_or_else(|| panic!("{name} is not there"))
    }

    /// Whether programs see a file of this name.
    #[must_use]
    pub fn has(&self, name: &str) -> bool {
        self.seen.names.contains_key(name)
    }

    fn change(&mut self, change: Change, first_of: Option<usize>) {
        self.seen.apply(&change);
        // Nobody looks into these after a crash, and nobody syncs them.
        let of_no_account = |name: &str| name.ends_with(".lock") || name.contains("/tmp/");
        let durable = change.names().into_iter().flatten().any(of_no_account);
        self.done.push(Done { change, first_of, durable, stuck: false });
    }

    fn create(&mut self, name: &str, folder: bool) {
        if self.has(name) {
            return;
        }
        let file = self.files;
        self.files += 1;
        self.change(Change::Put { name: name.to_owned(), file, folder }, Some(file));
    }

    fn write(&mut self, name: &str, at: Option<usize>, octets: &[u8]) {
        let file = self.file(name);
        let at = at.unwrap_or_else(|| self.seen.contents.get(&file).map_or(0, |text| text.len()));
        let (head, tail) = octets.split_at(octets.len() / 2);
        for (at, octets) in [(at, head), (at + head.len(), tail)] {
            if !octets.is_empty() {
                self.change(Change::Data { file, at, octets: octets.to_vec() }, None);
            }
        }
    }

    fn rename(&mut self, from: &str, to: &str) {
        let file = self.file(from);
        match self.profile {
            Profile::FirstEntryWithFile => {
                self.change(Change::Move { from: from.to_owned(), to: to.to_owned(), file }, None);
            }
            Profile::StrictPosix => {
                self.change(Change::Put { name: to.to_owned(), file, folder: false }, None);
                self.change(Change::Drop { name: from.to_owned() }, None);
            }
        }
    }

    /// What a sync of this makes durable.
    fn covered(&self, name: &str) -> Vec<usize> {
        let Some(&file) = self.seen.names.get(name) else { return Vec::new() };
        let is_folder = self.seen.folders.contains(&file);
        let carries_name = self.profile == Profile::FirstEntryWithFile;
        let is_covered = |done: &&(usize, &Done)| {
            let (_, Done { change, first_of, durable, stuck }) = done;
            let covered = if is_folder {
                change.names().into_iter().flatten().any(|entry| folder_of(entry) == Some(name))
            } else {
                (change.of_file(file) && !stuck) || (carries_name && *first_of == Some(file))
            };
            covered && !durable
        };
        (self.first..).zip(&self.done).filter(|done| is_covered(&done)).map(|(number, _)| number).collect()
    }

    fn synced(&mut self, number: u64, well: bool) {
        for number in self.syncs.remove(&number).unwrap_or_default() {
            let Some(done) = number.checked_sub(self.first).and_then(|at| self.done.get_mut(at)) else {
                continue;
            };
            if well { done.durable = true } else { done.stuck = true }
        }
    }

    /// Every disk that a crash may leave now, with what is lost on it; a sample of them, where they are too many.
    /// `only_new`: those that it could not have left before the last step. `each` says whether to go on.
    pub fn crashes(&self, only_new: bool, mut each: impl FnMut(&Tree, &[String]) -> bool) {
        if only_new && self.latest == 0 {
            return;
        }
        let loose: Vec<usize> = (0..self.done.len()).filter(|at| !self.done[*at].durable).collect();
        for lost in subsets(loose.len()) {
            let is_lost =
                |at: usize| loose.iter().position(|other| *other == at).is_some_and(|which| lost[which]);
            let is_old = || (self.done.len() - self.latest..self.done.len()).all(is_lost);
            if (only_new && is_old()) || !self.is_legal(is_lost) {
                continue;
            }
            let mut tree = self.base.clone();
            (0..self.done.len()).filter(|at| !is_lost(*at)).for_each(|at| tree.apply(&self.done[at].change));
            let missing: Vec<String> =
                loose.iter().filter(|at| is_lost(**at)).map(|at| self.done[*at].change.describe()).collect();
            if !each(&tree, &missing) {
                return;
            }
        }
    }

    /// Of one name nothing later survives without what was earlier.
    fn is_legal(&self, is_lost: impl Fn(usize) -> bool) -> bool {
        let mut gone: BTreeSet<&str> = BTreeSet::new();
        self.done.iter().enumerate().all(|(at, done)| {
            let mut names = done.change.names().into_iter().flatten();
            if is_lost(at) {
                gone.extend(names);
                return true;
            }
            done.durable || names.all(|name| !gone.contains(name))
        })
    }
}

/// Which of so many are lost: all subsets, or a sample in which each is lost alone, survives alone, and more.
fn subsets(count: usize) -> Vec<Vec<bool>> {
    if count <= MOST {
        return (0..1_usize << count)
            .map(|mask| (0..count).map(|bit| mask >> bit & 1 == 1).collect())
            .collect();
    }
    let alone = |which: usize, lost: bool| (0..count).map(|other| (other == which) == lost).collect();
    let mut sets = vec![vec![false; count], vec![true; count]];
    sets.extend((0..count).flat_map(|which| [alone(which, true), alone(which, false)]));
    // The first few are lost, or the last: what a journal that is written in order leaves.
    sets.extend(
        (1..count)
            .flat_map(|at| [true, false].map(|lost| (0..count).map(|other| (other < at) == lost).collect())),
    );
    let mut lot = u64::try_from(count).unwrap();
    sets.extend((0..SAMPLE).map(|_| {
        (0..count)
            .map(|_| {
                lot = lot.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
                lot >> 63 == 1
            })
            .collect()
    }));
    sets
}

fn folder_of(name: &str) -> Option<&str> {
    name.rsplit_once('/').map(|(folder, _)| folder)
}
