//! What is tried: letters, and the program that is disturbed with them.

use super::letters::{Letter, Way};
use super::world::{LIST, ON_THE_LIST};

/// Which program is traced.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Traced {
    /// A session of smap that is given the letters.
    Session,
    /// A pass of smapd, when smap has taken them.
    Smapd,
}

/// One of them.
#[derive(Debug, Clone, Copy)]
pub struct Scenario {
    /// Its name.
    pub name: &'static str,
    /// Which program is traced.
    pub traced: Traced,
    /// The letters, of which each mark begins so.
    pub letters: fn(&str) -> Vec<Letter>,
    /// The host of the sender takes nothing at first.
    pub home_is_down: bool,
    /// A smapd before it was killed when it had made so many in a hundred of its calls, and a client went away in the
    /// middle of a text.
    pub after_a_crash: Option<usize>,
}

const fn accept(name: &'static str, letters: fn(&str) -> Vec<Letter>) -> Scenario {
    Scenario { name, traced: Traced::Session, letters, home_is_down: false, after_a_crash: None }
}

const fn deliver(name: &'static str, letters: fn(&str) -> Vec<Letter>) -> Scenario {
    Scenario { traced: Traced::Smapd, ..accept(name, letters) }
}

/// More than smap and smapd write at once.
const LARGE: usize = 300_000;
/// An ordinary one.
const SMALL: usize = 1000;

fn one(mark: &str, to: &[&str], octets: usize, way: Way) -> Vec<Letter> {
    vec![Letter::new(mark, to, octets, way)]
}

fn small(mark: &str, to: &[&str]) -> Vec<Letter> {
    one(mark, to, SMALL, Way::Data)
}

fn two(mark: &str, first: &str, second: &str) -> Vec<Letter> {
    let letter = |number, to, octets| Letter::new(&format!("{mark}-{number}"), &[to], octets, Way::Data);
    vec![letter(1, first, SMALL), letter(2, second, LARGE)]
}

fn mixed(mark: &str) -> Vec<Letter> {
    small(
        mark,
        &[
            "b@relay.example",
            "later@relay.example",
            "never@relay.example",
            "c@maildir.example",
            "d@lmtp.example",
            "e@mbox.example",
        ],
    )
}

/// All of them.
pub const ALL: [Scenario; 18] = [
    accept("accept-data", |mark| small(mark, &["b@relay.example"])),
    accept("accept-data-large", |mark| one(mark, &["b@relay.example"], LARGE, Way::Data)),
    accept("accept-bdat", |mark| {
        one(mark, &["b@relay.example", "c@relay.example"], SMALL, Way::Chunks(SMALL * 2))
    }),
    accept("accept-bdat-large", |mark| one(mark, &["b@relay.example"], LARGE, Way::Chunks(100_000))),
    accept("accept-two", |mark| two(mark, "b@relay.example", "c@relay.example")),
    deliver("smtp", |mark| two(mark, "b@relay.example", "c@relay.example")),
    deliver("lmtp", |mark| small(mark, &["b@lmtp.example", "c@lmtp.example"])),
    deliver("maildir", |mark| two(mark, "b@maildir.example", "c@maildir.example")),
    deliver("mbox", |mark| two(mark, "b@mbox.example", "b@mbox.example")),
    deliver("pipe", |mark| two(mark, "b@pipe.example", "c@pipe.example")),
    deliver("deferral", |mark| small(mark, &["later@relay.example"])),
    deliver("bounce", |mark| small(mark, &["never@relay.example"])),
    Scenario { home_is_down: true, ..deliver("bounce-waits", |mark| small(mark, &["never@relay.example"])) },
    deliver("bounce-of-nobody", |mark| {
        small(mark, &["never@relay.example"]).into_iter().map(Letter::without_sender).collect()
    }),
    deliver("partial", mixed),
    deliver("list", |mark| {
        small(mark, &ON_THE_LIST).into_iter().map(|letter| letter.by_list(LIST)).collect()
    }),
    Scenario { after_a_crash: Some(55), ..deliver("recovery", mixed) },
    Scenario { after_a_crash: Some(70), home_is_down: true, ..deliver("recovery-late", mixed) },
];

impl Scenario {
    /// The one of this name.
    #[must_use]
    pub fn named(name: &str) -> Option<Self> {
        ALL.into_iter().find(|one| one.name == name)
    }

    /// Whether mailboxes have a part in it.
    #[must_use]
    pub fn has_mailboxes(&self) -> bool {
        ["maildir", "mbox", "pipe", "partial", "list"].contains(&self.name)
    }
}
