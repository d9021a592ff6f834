//! Sets as words, in which a compiled table says what its rows are taken together.

use std::collections::BTreeSet;
use std::fmt::Display;
use std::str::FromStr;

/// What stands for an empty set.
const NONE: &str = "-";

/// `8,16,24`
pub(crate) fn listed(items: impl IntoIterator<Item = impl Display>) -> String {
    let items: Vec<String> = items.into_iter().map(|item| item.to_string()).collect();
    if items.is_empty() { NONE.to_owned() } else { items.join(",") }
}

/// The set of such a word, if it is one.
pub(crate) fn read_list<T: FromStr + Ord>(word: &str) -> Option<BTreeSet<T>> {
    if word == NONE {
        return Some(BTreeSet::new());
    }
    word.split(',').map(|item| item.parse().ok()).collect()
}
