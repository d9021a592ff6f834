//! What sendmail's files let in, a row for each that smap is told of, in the order in which they are asked.
//!
//! Pure: it reads the tables as the policy does, and decides nothing.
#![deny(clippy::disallowed_methods)]

use std::path::Path;

use netperm::Place;
use netperm::access::Tag;
use netperm::mailertable::Key;
use netperm::site::Site;

use super::line_of;
use crate::show::counted;

/// What of a file lets something in.
struct Part {
    /// How much of it: `2 rows`.
    count: String,
    /// The file.
    of: String,
    /// Where the table names it, and where the first of them stands.
    at: String,
    /// There are some.
    is_any: bool,
}

impl Part {
    fn new(
        (one, many): (&str, &str),
        file: &Path,
        named: &Place,
        found: impl Iterator<Item = Place>,
    ) -> Self {
        let places: Vec<Place> = found.collect();
        let count = match u64::try_from(places.len()).unwrap_or(u64::MAX) {
            0 => format!("no {one}"),
            count => counted(count, one, many),
        };
        let first = places.iter().min().map(|place| format!("; the first is {place}")).unwrap_or_default();
        Self {
            count,
            of: format!("of {}", file.display()),
            at: format!("({}{first})", line_of(named)),
            is_any: !places.is_empty(),
        }
    }

    /// In a list of domains.
    fn lets_in(self, whom: &str) -> [String; 2] {
        let whom = if self.is_any { format!(": {whom}") } else { String::new() };
        [self.count, format!("{} {}{whom}", self.of, self.at)]
    }

    /// In a list of clients.
    fn lets_relay(self) -> [String; 2] {
        [format!("{} {}", self.count, self.of), self.at]
    }
}

const LINES: (&str, &str) = ("line", "lines");
const ROWS: (&str, &str) = ("row", "rows");

/// The files by which mail is accepted from anyone.
pub(super) fn accepted(site: &Site) -> Vec<[String; 2]> {
    let smap = &site.smap;
    let names = smap.local_host_names.iter().map(|names| {
        let lines = names.lines().map(|(_, place)| place);
        Part::new(LINES, names.file(), &names.place, lines).lets_in("names of ours")
    });
    let mailertable = smap.mailertable.iter().map(|table| {
        let entries = table.entries().into_iter().filter(|entry| entry.key != Key::Every);
        let part = Part::new(LINES, table.file(), &table.place, entries.map(|entry| entry.place));
        part.lets_in("these domains")
    });
    let virtual_users = smap.virtusertable.iter().map(|table| {
        Part::new(ROWS, table.file(), &table.place, table.leading())
            .lets_in("recipients whom they lead to somebody")
    });
    let relay_domains = smap.relay_domains.iter().map(|names| {
        let part = Part::new(LINES, names.file(), &names.place, names.relaying(Tag::To));
        part.lets_in("these domains and all below")
    });
    let access = smap.access.iter().map(|access| {
        let part = Part::new(ROWS, access.file(), &access.place, access.relaying(Tag::To));
        part.lets_in("these domains and recipients")
    });
    names.chain(mailertable).chain(virtual_users).chain(relay_domains).chain(access).collect()
}

/// The files by which a client may send to any domain.
pub(super) fn relaying(site: &Site) -> Vec<[String; 2]> {
    let names =
        site.smap.relay_domains.iter().map(|names| {
            Part::new(LINES, names.file(), &names.place, names.relaying(Tag::Connect)).lets_relay()
        });
    let access = site.smap.access.iter().map(|access| {
        Part::new(ROWS, access.file(), &access.place, access.relaying(Tag::Connect)).lets_relay()
    });
    names.chain(access).collect()
}
