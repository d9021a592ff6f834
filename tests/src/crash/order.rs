//! The order of durability, as it stands in the spool's state table, looked for in every trace.
//!
//! It is a guard that needs no crash: whoever changes the order is told so by the next undisturbed run.

use super::scenario::Traced;
use super::tracer::{Call, Trace};

/// What a trace says against the order.
#[must_use]
pub fn violations(traced: Traced, trace: &Trace) -> Vec<String> {
    match traced {
        Traced::Session => acknowledged_before_it_was_durable(&trace.calls),
        Traced::Smapd => removed_before_it_was_durable(&trace.calls),
    }
}

/// Each 250 to a text comes behind a sync of a file that has not been written since.
fn acknowledged_before_it_was_durable(calls: &[Call]) -> Vec<String> {
    let mut wrong = Vec::new();
    let mut synced = false;
    for call in calls {
        match call.point.call {
            "write" | "pwrite64" if call.file.contains("/incoming/") => synced = false,
            "fsync" if call.file.contains("/incoming/") => synced = call.result == Some(0),
            "write" | "sendto" if call.text.starts_with("250 2.0.0 Mail accepted ") && !synced => {
                wrong.push(format!("I8 acknowledged before it was durable: {}", call.point));
            }
            "write" | "sendto" if call.text.starts_with("250 2.0.0 Mail accepted ") => synced = false,
            _ => {}
        }
    }
    wrong
}

/// A message leaves its folder only when nothing that was written for it waits for its sync: a file below `new/`, a
/// mailbox, a notification.
fn removed_before_it_was_durable(calls: &[Call]) -> Vec<String> {
    let mut wrong = Vec::new();
    let mut waiting: Vec<&str> = Vec::new();
    for call in calls {
        let file = call.file.as_str();
        match call.point.call {
            "write" if must_last(file) && !waiting.contains(&file) => waiting.push(file),
            "fsync" if call.result == Some(0) => waiting.retain(|one| *one != file),
            "linkat" if call.result == Some(0) => waiting.push("new/"),
            "unlinkat" if is_message(file) && !waiting.is_empty() => {
                wrong.push(format!("I8 {file} removed before {waiting:?} was durable: {}", call.point));
            }
            _ => {}
        }
        if call.point.call == "fsync" && file.ends_with("/new") {
            waiting.retain(|one| *one != "new/");
        }
    }
    wrong
}

fn must_last(file: &str) -> bool {
    let notification = file.contains("/queue/") && !file.ends_with(".state") && !file.ends_with(" (deleted)");
    notification || file.ends_with(".mbox") || file.contains("/tmp/1")
}

/// Names in the spool's folders are given without them.
fn is_message(file: &str) -> bool {
    !file.is_empty() && !file.contains(['/', '.'])
}
