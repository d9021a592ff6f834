//! Rows that lead back to themselves.
//!
//! A walk over every row once, without recursion: chains may be as long as the file.

use std::collections::HashMap;
use std::sync::Arc;

use super::{Aliases, Row, Target};
use crate::detail::Delimiter;
use crate::fault::Fault;
use crate::place::{Located, Place};

/// How many steps of a circle are told.
const SHOWN: usize = 4;

/// Where the walk stands in a row: its next target.
struct Step {
    row: Located<Arc<Row>>,
    next: usize,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Mark {
    OnTheWay,
    Done,
}

/// One fault for each target that closes a circle. `name: name` is none: it is the user of that name.
pub(super) fn find(aliases: &Aliases, delimiter: Delimiter) -> Vec<Fault> {
    let mut rows: Vec<Located<Arc<Row>>> = aliases.unjudged().collect();
    rows.sort_by(|a, b| a.place.cmp(&b.place));
    let (mut marks, mut faults) = (HashMap::<Place, Mark>::new(), Vec::new());
    for row in rows {
        if marks.contains_key(&row.place) {
            continue;
        }
        marks.insert(row.place.clone(), Mark::OnTheWay);
        let mut way = vec![Step { row, next: 0 }];
        while let Some(step) = way.last_mut() {
            let Some(target) = step.row.targets.get(step.next) else {
                marks.insert(step.row.place.clone(), Mark::Done);
                way.pop();
                continue;
            };
            step.next += 1;
            let Target::Name(name) = &target.value else { continue };
            // What cannot be read leads nowhere now.
            let Ok(Some(found)) = aliases.find(name, delimiter) else { continue };
            let itself = found.place == step.row.place;
            match marks.get(&found.place) {
                Some(Mark::OnTheWay) if !itself => {
                    let place = target.place.clone();
                    faults.push(Fault::new(&place, circle(&way, &found)));
                }
                Some(_) => {}
                None => {
                    marks.insert(found.place.clone(), Mark::OnTheWay);
                    way.push(Step { row: found, next: 0 });
                }
            }
        }
    }
    faults
}

/// The circle that comes back to `first`.
fn circle(way: &[Step], first: &Located<Arc<Row>>) -> String {
    let names = way.iter().map(|step| &step.row).skip_while(|row| row.place != first.place);
    let names: Vec<String> = names.map(|row| format!("{} ({})", row.name, row.place)).collect();
    let more = if names.len() > SHOWN { "... -> " } else { "" };
    let shown: String = names.iter().take(SHOWN).map(|name| format!("{name} -> ")).collect();
    format!("this alias leads back to itself: {shown}{more}{}", first.name)
}
