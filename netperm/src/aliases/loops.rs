//! Rows that lead back to themselves.
//!
//! A walk over every row once, without recursion: chains may be as long as the file.

use std::collections::HashMap;
use std::sync::Arc;

use super::{Aliases, Row, Target};
use crate::detail::Delimiter;
use crate::fault::Fault;
use crate::place::Located;

/// How many steps of a circle are told.
const SHOWN: usize = 4;

/// Where the walk stands in a row: its next target.
struct Step<'a> {
    row: &'a Located<Arc<Row>>,
    next: usize,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Mark {
    OnTheWay,
    Done,
}

/// One fault for each target that closes a circle. `name: name` is none: it is the user of that name.
pub(super) fn find(aliases: &Aliases, delimiter: Delimiter) -> Vec<Fault> {
    let mut rows: Vec<&Located<Arc<Row>>> = aliases.rows().collect();
    rows.sort_by(|a, b| a.place.cmp(&b.place));
    let (mut marks, mut faults) = (HashMap::<*const Row, Mark>::new(), Vec::new());
    for row in rows {
        if marks.contains_key(&Arc::as_ptr(row)) {
            continue;
        }
        let mut way = vec![Step { row, next: 0 }];
        marks.insert(Arc::as_ptr(row), Mark::OnTheWay);
        while let Some(step) = way.last_mut() {
            let here = step.row;
            let Some(target) = here.targets.get(step.next) else {
                marks.insert(Arc::as_ptr(here), Mark::Done);
                way.pop();
                continue;
            };
            step.next += 1;
            let Target::Name(name) = &target.value else { continue };
            let Some(found) = aliases.find(name, delimiter) else { continue };
            let itself = Arc::ptr_eq(found, here);
            match marks.get(&Arc::as_ptr(found)) {
                Some(Mark::OnTheWay) if !itself => {
                    faults.push(Fault::new(&target.place, circle(&way, found)));
                }
                Some(_) => {}
                None => {
                    marks.insert(Arc::as_ptr(found), Mark::OnTheWay);
                    way.push(Step { row: found, next: 0 });
                }
            }
        }
    }
    faults
}

/// The circle that comes back to `first`.
fn circle(way: &[Step<'_>], first: &Located<Arc<Row>>) -> String {
    let names = way.iter().map(|step| step.row).skip_while(|row| !Arc::ptr_eq(row, first));
    let names: Vec<String> = names.map(|row| format!("{} ({})", row.name, row.place)).collect();
    let more = if names.len() > SHOWN { "... -> " } else { "" };
    let shown: String = names.iter().take(SHOWN).map(|name| format!("{name} -> ")).collect();
    format!("this alias leads back to itself: {shown}{more}{}", first.name)
}
