//! What stands behind a name as one text: each item as it is written, with the number of its line behind the first.

use super::target::Target;
use crate::place::{Located, Place};

/// What no item has in it: an item is a part of a line.
const BETWEEN: char = '\n';

pub(super) fn write(row: &Place, items: &[(Place, String)]) -> String {
    let mut text = String::new();
    for (place, item) in items {
        let lines = place.line_number().unwrap_or(0).saturating_sub(row.line_number().unwrap_or(0));
        if !text.is_empty() {
            text.push(BETWEEN);
        }
        text += &format!("{lines} {item}");
    }
    text
}

/// The items of a row; nothing where the text is none of them.
pub(super) fn read(row: &Place, text: &str) -> Option<Vec<Located<Target>>> {
    let target = |text: &str| {
        let (lines, item) = text.split_once(' ')?;
        let place = row.below(lines.parse().ok()?);
        Target::read(item).ok().map(|value| Located { place, value })
    };
    text.split(BETWEEN).map(target).collect()
}
