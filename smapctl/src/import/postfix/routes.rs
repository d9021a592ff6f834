//! Which domains are accepted and where their mail goes: `relay_domains` and `transport_maps`, put together.
//!
//! In a netperm-table the first line that means a domain counts, so that the lines stand in order: names before what
//! is below them, the longer before the shorter.
#![deny(clippy::disallowed_methods)]

use std::cmp::Reverse;
use std::collections::HashMap;

use super::super::table::Draft;
use super::ways::Around;

const USERS: &str = "a way of one user: write it into a virtusertable";
const PROGRAMS: &str = "smap, smapd";

/// Who is accepted, and the ways.
#[derive(Debug, Default)]
pub(super) struct Routes {
    /// Domains that are accepted, and the line that says it.
    pub(super) accepted: Vec<(String, u32)>,
    /// Keys of transport maps with their ways, and the line that names the map.
    pub(super) ways: Vec<(String, String, u32)>,
    /// Whether smapd has a way for all other domains.
    pub(super) has_relay_host: bool,
}

struct Line {
    pattern: String,
    programs: &'static str,
    words: Vec<String>,
    from: u32,
}

impl Routes {
    /// The way of every domain that has none of its own.
    pub(super) fn of_all_others(&self) -> Option<&(String, String, u32)> {
        self.ways.iter().find(|(key, ..)| key == "*")
    }

    /// Says all of it.
    pub(super) fn say(&self, around: &Around, draft: &mut Draft) {
        // Of two rows with one key the first counts.
        let mut ways: HashMap<&str, &(String, String, u32)> = HashMap::new();
        for row in &self.ways {
            ways.entry(row.0.as_str()).or_insert(row);
        }
        let mut lines = Vec::new();
        let mut taken: HashMap<String, ()> = HashMap::new();
        for (domain, from) in &self.accepted {
            for pattern in
                [domain.trim_start_matches('.').to_owned(), format!(".{}", domain.trim_start_matches('.'))]
            {
                let is_name = !pattern.starts_with('.');
                if (is_name && domain.starts_with('.')) || taken.insert(pattern.clone(), ()).is_some() {
                    continue;
                }
                let way = found(&ways, &pattern);
                let (programs, words) = match way.map(|(_, way, _)| around.way(way)) {
                    Some(Ok(words)) => (PROGRAMS, words),
                    Some(Err(why)) => {
                        draft.leave(*from, &pattern, &why);
                        continue;
                    }
                    // The line of smapd's is relay-host then.
                    None if self.has_relay_host => ("smap", vec!["smtp:".to_owned()]),
                    None => (PROGRAMS, around.smtp("")),
                };
                lines.push(Line { pattern, programs, words, from: *from });
            }
        }
        for (key, way, from) in ways.values() {
            match around.way(way) {
                _ if key == "*" || taken.contains_key(key) => {}
                _ if key.contains('@') => draft.leave(*from, &format!("{key} {way}"), USERS),
                Ok(words) => lines.push(Line { pattern: key.clone(), programs: "smapd", words, from: *from }),
                Err(why) => draft.leave(*from, &format!("{key} {way}"), &why),
            }
        }
        let order = |line: &Line| {
            let is_below = line.pattern.starts_with('.');
            (
                is_below,
                Reverse(line.pattern.split('.').count() * usize::from(is_below)),
                line.from,
                line.pattern.clone(),
            )
        };
        lines.sort_by_cached_key(order);
        for line in lines {
            let words: Vec<&str> =
                [line.pattern.as_str()].into_iter().chain(line.words.iter().map(String::as_str)).collect();
            draft.say_to(line.from, line.programs, "domain", &words);
        }
    }
}

/// The row of a pattern: its own, that of the nearest domain above, or the one of all.
fn found<'a>(
    ways: &HashMap<&str, &'a (String, String, u32)>,
    pattern: &str,
) -> Option<&'a (String, String, u32)> {
    let above = pattern.match_indices('.').filter_map(|(dot, _)| pattern.get(dot..));
    let keys = [pattern].into_iter().chain(above).chain(["*"]);
    keys.filter_map(|key| ways.get(key).copied()).next()
}
