//! One message: its envelope, each recipient, all that happened, its header.

use std::fmt::Write as _;
use std::io::{self, Write};
use std::path::Path;

use netperm::site::Site;
use serde::Serialize;
use smap_common::clock::Timestamp;
use smap_common::exit::Exit;
use smap_common::spool::{Body, Mark, Message, Ordered, QueueId, QueueState, Record};

use super::entry::{Attempt, Place, as_seconds, as_some_seconds, as_text, original};
use super::text::{lines, named, next_try, said};
use crate::error::Error;
use crate::show::{columns, counted, duration, octets, printable, printable_lines};
use crate::spool::{Found, Spool};

/// Octets of a header that are shown.
const MAX_HEADER: usize = 64 * 1024;

/// A message and all that is known of it.
#[derive(Debug, Serialize)]
pub struct Details {
    /// Its id.
    #[serde(serialize_with = "as_text")]
    pub id: QueueId,
    /// Which folder it is in.
    pub folder: Place,
    /// Octets of its body.
    pub size: u64,
    /// Seconds since the epoch.
    #[serde(serialize_with = "as_seconds")]
    pub arrived: Timestamp,
    /// Who brought it: address and port; none for a notification of ours.
    pub client: Option<String>,
    /// How it greeted.
    pub greeting: Option<String>,
    /// In angle brackets.
    pub sender: String,
    /// How often it was tried.
    pub attempts: u32,
    /// When it is tried next, in seconds since the epoch.
    #[serde(serialize_with = "as_some_seconds")]
    pub next: Option<Timestamp>,
    /// What the operator ordered, if it is not done yet.
    pub order: Option<StandingOrder>,
    /// All of them.
    pub recipients: Vec<RecipientState>,
    /// What happened, in its order.
    pub history: Vec<Happening>,
    /// Its header.
    pub header: String,
    /// The rest of it, where that was asked for.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub body: Option<String>,
}

/// What an operator ordered.
#[derive(Debug, Clone, Serialize)]
pub struct StandingOrder {
    /// `hold`, `release`, `delete` or `bounce`.
    pub order: &'static str,
    /// In seconds since the epoch.
    #[serde(serialize_with = "as_seconds")]
    pub at: Timestamp,
    /// The user who gave it.
    pub by: u32,
    /// What the sender is told.
    pub text: String,
}

/// A recipient and how it stands.
#[derive(Debug, Serialize)]
pub struct RecipientState {
    /// In angle brackets; a program behind a bar; a file.
    pub address: String,
    /// In whose place he stands, in angle brackets.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub original: Option<String>,
    /// `delivered`, `failed`, `deferred`; `new`, if it was not tried yet; `expanded`, if others stand in his place.
    pub state: &'static str,
    /// How the last attempt ended.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub last: Option<Attempt>,
}

/// Something that happened.
#[derive(Debug, Serialize)]
#[serde(rename_all = "lowercase", tag = "what")]
pub enum Happening {
    /// An attempt for one recipient ended.
    Attempt {
        /// In angle brackets.
        recipient: String,
        /// `delivered`, `failed` or `deferred`.
        outcome: &'static str,
        /// How.
        #[serde(flatten)]
        how: Attempt,
    },
    /// The sender was told of the delay.
    Warned {
        /// In seconds since the epoch.
        #[serde(serialize_with = "as_seconds")]
        at: Timestamp,
    },
    /// The administrator was told of those that failed.
    Told {
        /// In seconds since the epoch.
        #[serde(serialize_with = "as_seconds")]
        at: Timestamp,
    },
    /// An operator gave an order.
    Order(StandingOrder),
}

/// Shows a message on `out`.
///
/// # Errors
/// The table is wrong, there is no such message, it cannot be read, or `out` fails.
pub fn show(table: &Path, id: QueueId, body: bool, json: bool, out: &mut impl Write) -> Result<Exit, Error> {
    let site = Site::load(table)?;
    let spool = Spool::open(&site)?;
    let failed = |cause| Error::Spool(site.layout.queue().join(id.as_str()), cause);
    match spool.look(id, Place::Incoming)?.ok_or(Error::Unknown(id))? {
        Found::Message(place, message, state) => {
            let known = Details::of(place, &message, &state.unwrap_or_default(), body).map_err(failed)?;
            if json {
                serde_json::to_writer_pretty(&mut *out, &known)?;
                writeln!(out)?;
            } else {
                out.write_all(details(&known, Timestamp::now()).as_bytes())?;
            }
        }
        Found::Other(entry) if json => {
            serde_json::to_writer_pretty(&mut *out, &entry)?;
            writeln!(out)?;
        }
        Found::Other(entry) => out.write_all(lines(&entry, Timestamp::now()).as_bytes())?,
    }
    Ok(Exit::Ok)
}

impl Details {
    /// A message, and the text of its state.
    ///
    /// # Errors
    /// It cannot be read.
    pub fn of(folder: Place, message: &Message, state: &[u8], with_body: bool) -> io::Result<Self> {
        let Message { envelope, body } = message;
        let known = QueueState::parse(state);
        let everyone = known.everyone(envelope);
        let address = |number: u32| everyone.get(number).map_or_else(String::new, |one| one.to_string());
        let stand = |number: u32| {
            let last = known.marks.get(&number);
            let expanded = everyone.expansion_of(number).map(|_| "expanded");
            RecipientState {
                address: address(number),
                original: everyone.get(number).as_ref().and_then(original),
                state: expanded.unwrap_or_else(|| last.map_or("new", |mark| mark.outcome.as_str())),
                last: last.filter(|_| expanded.is_none()).map(Attempt::of),
            }
        };
        let expanded = everyone.expansions.iter().map(|expansion| expansion.of);
        let mut recipients: Vec<RecipientState> = expanded.map(stand).collect();
        recipients.extend(everyone.numbers().map(stand));
        let (header, rest) = parts(body, with_body)?;
        let origin = &envelope.origin;
        Ok(Self {
            id: envelope.id,
            folder,
            size: body.length(),
            arrived: envelope.arrived,
            client: origin.client.map(|client| client.to_string()),
            greeting: origin.greeting.as_ref().map(|greeting| greeting.name.to_string()),
            sender: envelope.mail.sender.to_string(),
            attempts: known.attempts,
            next: known.next,
            order: known.ordered.as_ref().map(StandingOrder::of),
            recipients,
            history: QueueState::records(state).filter_map(|record| Happening::of(record, address)).collect(),
            header,
            body: rest,
        })
    }
}

impl StandingOrder {
    fn of(Ordered { at, order, by, text }: &Ordered) -> Self {
        Self { order: order.as_str(), at: *at, by: *by, text: text.clone() }
    }
}

impl Happening {
    /// What is planned did not happen yet.
    fn of(record: Record, address: impl Fn(u32) -> String) -> Option<Self> {
        match record {
            Record::Mark(mark) => {
                let Mark { recipient, outcome, .. } = mark;
                let (recipient, outcome) = (address(recipient), outcome.as_str());
                Some(Self::Attempt { recipient, outcome, how: Attempt::of(&mark) })
            }
            Record::Next { .. } | Record::Result(..) | Record::Newer => None,
            // Its members and their number are told with the recipients; when it was made stands nowhere.
            Record::Expanded { .. } => None,
            Record::Warned(at) => Some(Self::Warned { at }),
            Record::Told(at) => Some(Self::Told { at }),
            Record::Ordered(ordered) => Some(Self::Order(StandingOrder::of(&ordered))),
        }
    }

    fn at(&self) -> Timestamp {
        match self {
            Self::Attempt { how: Attempt { at, .. }, .. }
            | Self::Warned { at }
            | Self::Told { at }
            | Self::Order(StandingOrder { at, .. }) => *at,
        }
    }

    fn line(&self) -> String {
        match self {
            Self::Attempt { recipient, outcome, how } => format!("{recipient} {outcome} {}", said(how)),
            Self::Warned { .. } => "the sender was told of the delay".to_owned(),
            Self::Told { .. } => "the administrator was told".to_owned(),
            Self::Order(order) => order.line(),
        }
    }
}

impl StandingOrder {
    fn line(&self) -> String {
        let Self { order, by, text, .. } = self;
        let text = if text.is_empty() { String::new() } else { format!(": {}", printable(text)) };
        format!("{order} ordered by uid {by}{text}")
    }
}

/// The header, and, if it is wanted, the rest.
fn parts(body: &Body, with_body: bool) -> io::Result<(String, Option<String>)> {
    let header = body.header(if with_body { usize::MAX } else { MAX_HEADER })?.text;
    let rest = with_body.then(|| from(body, header.len())).transpose()?;
    let as_text = |octets: &[u8]| String::from_utf8_lossy(octets).replace("\r\n", "\n");
    Ok((as_text(&header), rest.map(|rest| as_text(rest.strip_prefix(b"\r\n").unwrap_or(&rest)))))
}

/// What stands there and behind it.
fn from(body: &Body, mut skipped: usize) -> io::Result<Vec<u8>> {
    let mut text = Vec::new();
    body.for_each(|piece| {
        let (before, rest) = piece.split_at(skipped.min(piece.len()));
        skipped -= before.len();
        text.extend_from_slice(rest);
        Ok(())
    })?;
    Ok(text)
}

/// A message for people.
#[must_use]
pub fn details(known: &Details, now: Timestamp) -> String {
    let ago = |at: Timestamp| format!("{} ago", duration(now.since(at)));
    let folder = if known.folder == Place::Queue { "queue/" } else { "incoming/" };
    let client = known.client.as_deref().unwrap_or("none: it is smapd's own");
    let greeting =
        known.greeting.as_ref().map_or_else(String::new, |name| format!(", as {}", printable(name)));
    let next = match &known.order {
        Some(order) => format!("{} ago: {}", duration(now.since(order.at)), order.line()),
        None => next_try(known.next, now),
    };
    let rows = [
        ["id", known.id.as_str()].map(str::to_owned),
        ["lies in".to_owned(), format!("{folder}, {}", octets(known.size))],
        ["arrived".to_owned(), ago(known.arrived)],
        ["client".to_owned(), format!("{client}{greeting}")],
        ["sender", &known.sender].map(str::to_owned),
        ["tried".to_owned(), counted(known.attempts.into(), "time", "times")],
        [if known.order.is_some() { "order" } else { "next" }.to_owned(), next],
    ];
    let recipients: Vec<[String; 3]> = known
        .recipients
        .iter()
        .map(|one| {
            let who = named(&one.address, one.original.as_deref());
            [who, one.state.to_owned(), one.last.as_ref().map_or_else(String::new, said)]
        })
        .collect();
    let history: Vec<[String; 2]> =
        known.history.iter().map(|happening| [ago(happening.at()), happening.line()]).collect();
    let mut text = format!("message\n{}recipients\n{}", columns(&rows), columns(&recipients));
    if !history.is_empty() {
        let _infallible = write!(text, "history\n{}", columns(&history));
    }
    let _infallible = write!(text, "header\n{}", printable_lines(&known.header, "  "));
    if let Some(body) = &known.body {
        let _infallible = write!(text, "body\n{}", printable_lines(body, "  "));
    }
    text
}
