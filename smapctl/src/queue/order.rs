//! Orders to the smapd that runs, and what it says of each message.

use std::collections::BTreeMap;
use std::io::Write;
use std::path::Path;

use netperm::site::Site;
use serde::Serialize;
use smap_common::exit::Exit;
use smap_common::spool::QueueId;
use smapd::control::{Effect, MAX_IDS, Operator, Request, Verb, Whom};

use crate::arguments::{Orders, Queue, These, Which};
use crate::error::Error;
use crate::show::{counted, printable};

/// What became of an order for one message.
#[derive(Serialize)]
struct Said<'a> {
    id: &'a str,
    order: &'static str,
    effect: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    reason: Option<&'a str>,
}

/// Gives an order, and shows on `out` what became of it, message by message.
///
/// # Errors
/// The table is wrong, smapd does not run, or `out` fails.
pub fn order(table: &Path, command: Queue, out: &mut impl Write) -> Result<Exit, Error> {
    let (verb, which, json) = match command {
        Queue::Hold(Orders { which, json }) => (Verb::Hold, which, json),
        Queue::Release(Orders { which, json }) => (Verb::Release, which, json),
        Queue::Retry(Orders { which, json }) => (Verb::Retry, which, json),
        Queue::Delete(These { ids, json }) => (Verb::Delete, named(ids), json),
        Queue::Bounce { these: These { ids, json }, text } => (Verb::Bounce(text), named(ids), json),
        Queue::List { .. } | Queue::Show { .. } => return Ok(Exit::Usage),
    };
    let site = Site::load(table)?;
    let operator = Operator::connect(&site.layout.socket(), site.layout.accounts().smapd_uid)?;
    let (mut counts, mut exit, mut opening) = (BTreeMap::new(), Exit::Ok, "[\n");
    for whom in requests(&which) {
        let named = matches!(whom, Whom::Ids(_));
        operator.order(&Request { verb: verb.clone(), whom }, |id, effect| {
            exit = worse(exit, &effect, named);
            if json {
                out.write_all(std::mem::replace(&mut opening, ",\n").as_bytes())?;
                serde_json::to_writer(&mut *out, &said(&id, &verb, &effect))?;
            } else if named || effect != Effect::Done {
                out.write_all(line(id, &verb, &effect).as_bytes())?;
            }
            *counts.entry(word(&effect)).or_insert(0) += 1;
            Ok::<(), Error>(())
        })?;
    }
    match (json, opening) {
        (true, "[\n") => out.write_all(b"[]\n")?,
        (true, _) => out.write_all(b"\n]\n")?,
        (false, _) => writeln!(out, "{}", total(&verb, &counts))?,
    }
    Ok(exit)
}

fn named(ids: Vec<QueueId>) -> Which {
    Which { ids, domain: None, all: false }
}

/// As many as it takes for all the ids.
fn requests(which: &Which) -> Vec<Whom> {
    match &which.domain {
        Some(domain) => vec![Whom::Domain(domain.clone())],
        None if which.all => vec![Whom::All],
        None => which.ids.chunks(MAX_IDS).map(|ids| Whom::Ids(ids.to_vec())).collect(),
    }
}

/// Of all of them, what is not in the queue any more or waits for something else is no fault; of those that were
/// named it is.
fn worse(exit: Exit, effect: &Effect, named: bool) -> Exit {
    match effect {
        Effect::Failed(_) => Exit::TempFail,
        Effect::Held if named => Exit::TempFail,
        Effect::Unknown if named && exit == Exit::Ok => Exit::NoInput,
        _ => exit,
    }
}

fn word(effect: &Effect) -> &'static str {
    match effect {
        Effect::Done => "done",
        Effect::AfterAttempt => "after-attempt",
        Effect::UnderWay => "under-way",
        Effect::Held => "held",
        Effect::NotHeld => "not-held",
        Effect::Unknown => "unknown",
        Effect::Failed(_) => "failed",
    }
}

fn said<'a>(id: &'a QueueId, verb: &Verb, effect: &'a Effect) -> Said<'a> {
    let reason = if let Effect::Failed(why) = effect { Some(why.as_str()) } else { None };
    Said { id: id.as_str(), order: verb.as_str(), effect: word(effect), reason }
}

/// What became of it for one message, for people.
#[must_use]
pub fn line(id: QueueId, verb: &Verb, effect: &Effect) -> String {
    let what = match (effect, verb) {
        (Effect::Done, _) => done(verb).to_owned(),
        (Effect::AfterAttempt, _) => {
            format!("an attempt is under way; what that leaves is {} when it is over", done(verb))
        }
        (Effect::UnderWay, _) => "it is being tried at this moment".to_owned(),
        (Effect::Held, _) => "it is held; release it to have it tried".to_owned(),
        (Effect::NotHeld, _) => "it is not held".to_owned(),
        (Effect::Unknown, _) => "no such message is in the queue".to_owned(),
        (Effect::Failed(why), _) => format!("not done: {}", printable(why)),
    };
    format!("{id} {what}\n")
}

fn done(verb: &Verb) -> &'static str {
    match verb {
        Verb::Hold => "held",
        Verb::Release => "released",
        Verb::Retry => "tried now",
        Verb::Delete => "removed",
        Verb::Bounce(_) => "returned",
    }
}

/// What all of it comes to.
#[must_use]
pub fn total(verb: &Verb, counts: &BTreeMap<&'static str, u64>) -> String {
    let count = |effect: &str| counts.get(effect).copied().unwrap_or_default();
    let mut text = format!("{} {}", counted(count("done"), "message", "messages"), done(verb));
    for (effect, what) in [
        ("after-attempt", "when the attempt is over"),
        ("under-way", "being tried"),
        ("held", "held"),
        ("not-held", "not held"),
        ("unknown", "not there"),
        ("failed", "not done"),
    ] {
        if count(effect) > 0 {
            text += &format!("; {} {what}", count(effect));
        }
    }
    text
}
