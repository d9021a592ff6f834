//! Dialogues in files, `transcripts/*.smtp`: the same one runs against the pure session and against the program.
//!
//! ```text
//! # A comment.
//! * table smap: maxrecip 2     a line at the head of the table
//! * name mail.example.org      the client's name; `unknown` is none, `failing` cannot be looked up
//! S: 220 HOST ESMTP/smap Ready.
//! C: EHLO client.example       sent with CRLF
//! S: 250-HOST pleased to meet you.
//! C& MAIL FROM:<a@b.example>   sent with CRLF, in one segment with the next
//! c: RCPT TO:<c@d\xff          sent without CRLF; `c&` too
//! S: 501 5.1.3 ~               `~` stands for the rest of the line, whatever it is
//! * repeat 3                   what follows, up to `* end`, three times; `\#` counts from 1
//! C: RCPT TO:<u\#@example.com>
//! S: 250 2.1.5 <u\#@example.com> OK
//! * end
//! * begin EHLO                 the greeting and EHLO (or HELO) with its reply, whatever they are
//! * reply 250                  all lines of a reply with that code
//! * close                      the server closes and says nothing more
//! * hang up                    the client closes, and the session ends
//! * spooled 1                  so many whole messages are in the spool
//! * envelope RCPT <u1@example.com>   a line of the last one's envelope
//! * recipients 3               it has so many
//! * body Subject: x\r\n        the last one's body, all of it
//! ```
//!
//! What the client sends, and `* body`, may have `\r \n \t \0 \\ \# \xNN` and `\{N*TEXT}`, which is TEXT N
//! times. In what the server says, `HOST` is our name and `QUEUEID` any queue id.

mod escape;
mod pure;
mod wire;

use std::path::{Path, PathBuf};

use netperm::hosts::ClientName;
use smap_common::spool::QueueId;

use crate::gateway::{Gateway, HOST};
use crate::spool::Stored;
use pure::Pure;
use wire::Wire;

/// As much as the program reads at a time.
const READ: usize = 32 * 1024;

/// All there are, with their names, in order.
///
/// # Panics
/// Their folder is not there.
#[must_use]
pub fn files() -> Vec<(String, PathBuf)> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("transcripts");
    let entries = std::fs::read_dir(folder).expect("the transcripts are there");
    let files = entries.map(|entry| entry.unwrap().path());
    let mut dialogues: Vec<_> = files
        .filter(|file| file.extension().is_some_and(|kind| kind == "smtp"))
        .map(|file| (file.file_stem().unwrap().to_string_lossy().into_owned(), file))
        .collect();
    dialogues.sort();
    dialogues
}

/// A dialogue.
#[derive(Debug)]
pub struct Transcript {
    table: String,
    name: ClientName,
    steps: Vec<Step>,
}

/// One line of it.
#[derive(Debug)]
struct Step {
    line: usize,
    what: What,
}

#[derive(Debug)]
enum What {
    Send(Vec<u8>),
    Say(String),
    Reply(String),
    Begin(String),
    Close,
    HangUp,
    Spooled(usize),
    Envelope(String),
    Recipients(usize),
    Body(Vec<u8>),
}

/// How the session is reached.
trait Side {
    /// Sends octets in one segment.
    fn send(&mut self, octets: &[u8]);
    /// The next line of the server; `None` when it has closed.
    fn line(&mut self) -> Option<String>;
    /// Closes, and waits for the end of the session.
    fn hang_up(&mut self);
    /// What is in the spool.
    fn spooled(&self) -> Vec<Stored>;
}

impl Transcript {
    /// Reads a file.
    ///
    /// # Panics
    /// It is none.
    #[must_use]
    pub fn load(path: &Path) -> Self {
        let text =
            std::fs::read_to_string(path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
        Self::parse(&text)
    }

    fn parse(text: &str) -> Self {
        let mut transcript = Self { table: String::new(), name: ClientName::NotAsked, steps: Vec::new() };
        let mut held = Vec::new();
        for (line, text) in unrolled(text) {
            if let Some(line) = text.strip_prefix("* table ") {
                transcript.table.extend([line, "\n"]);
                continue;
            }
            if let Some(name) = text.strip_prefix("* name ") {
                transcript.name = named(name);
                continue;
            }
            let what = match text.split_once(' ').unwrap_or((&text, "")) {
                ("" | "#", _) => continue,
                ("*", directive) => directed(directive),
                ("S:", reply) => Some(What::Say(reply.to_owned())),
                (kind @ ("C:" | "C&" | "c:" | "c&"), octets) => {
                    held.extend(escape::octets(octets));
                    held.extend_from_slice(if kind.starts_with('C') { b"\r\n" } else { b"" });
                    if kind.ends_with('&') {
                        continue;
                    }
                    Some(What::Send(std::mem::take(&mut held)))
                }
                _ => None,
            };
            let what = what.unwrap_or_else(|| panic!("line {line}: not a line of a transcript: {text}"));
            transcript.steps.push(Step { line, what });
        }
        assert!(held.is_empty(), "the last line of the client is not sent");
        transcript
    }

    /// Runs it against the pure session, in whole segments and octet by octet.
    ///
    /// # Panics
    /// Something was said otherwise.
    pub fn run_pure(&self) {
        let gateway = Gateway::new(&self.table);
        self.run(&mut Pure::begin(&gateway, &self.name, READ));
        let gateway = Gateway::new(&self.table);
        self.run(&mut Pure::begin(&gateway, &self.name, 1));
    }

    /// Runs it against the program, over TCP.
    ///
    /// # Panics
    /// Something was said otherwise.
    pub fn run_program(&self) {
        let gateway = Gateway::new(&self.table);
        self.run(&mut Wire::begin(&gateway, &self.name));
    }

    fn run(&self, side: &mut impl Side) {
        for Step { line, what } in &self.steps {
            what.run(side).unwrap_or_else(|fault| panic!("line {line}: {fault}"));
        }
    }
}

/// The lines with their numbers, and what is repeated as often as it is.
fn unrolled(text: &str) -> Vec<(usize, String)> {
    let mut all = Vec::new();
    let mut lines = text.lines().enumerate().map(|(at, line)| (at + 1, line));
    while let Some((number, line)) = lines.next() {
        let Some(times) = line.strip_prefix("* repeat ") else {
            all.push((number, line.to_owned()));
            continue;
        };
        let times: usize = times.parse().expect("* repeat N");
        let block: Vec<_> = lines.by_ref().take_while(|(_, line)| *line != "* end").collect();
        for count in 1..=times {
            let counted = |line: &str| line.replace("\\#", &count.to_string());
            all.extend(block.iter().map(|(number, line)| (*number, counted(line))));
        }
    }
    all
}

fn named(name: &str) -> ClientName {
    match name {
        "unknown" => ClientName::Unknown,
        "failing" => ClientName::Failed("nobody has answered".to_owned()),
        name => ClientName::Known(vec![name.parse().expect("a name")]),
    }
}

fn directed(directive: &str) -> Option<What> {
    Some(match directive.split_once(' ').unwrap_or((directive, "")) {
        ("close", "") => What::Close,
        ("hang", "up") => What::HangUp,
        ("begin", verb @ ("EHLO" | "HELO")) => What::Begin(format!("{verb} client.example\r\n")),
        ("reply", code) => What::Reply(code.to_owned()),
        ("recipients", count) => What::Recipients(count.parse().ok()?),
        ("spooled", count) => What::Spooled(count.parse().ok()?),
        ("envelope", line) => What::Envelope(line.to_owned()),
        ("body", text) => What::Body(escape::octets(text)),
        _ => return None,
    })
}

impl What {
    fn run(&self, side: &mut impl Side) -> Result<(), String> {
        match self {
            Self::Send(octets) => side.send(octets),
            Self::HangUp => side.hang_up(),
            Self::Say(wanted) => match side.line() {
                Some(line) if says(&line, wanted) => {}
                other => return Err(format!("wanted {wanted:?}, got {other:?}")),
            },
            Self::Reply(code) => read_reply(side, code)?,
            Self::Begin(hello) => {
                read_reply(side, "220")?;
                side.send(hello.as_bytes());
                read_reply(side, "250")?;
            }
            Self::Close => match side.line() {
                None => {}
                Some(line) => return Err(format!("wanted the end, got {line:?}")),
            },
            Self::Spooled(wanted) => match side.spooled().len() {
                found if found == *wanted => {}
                found => return Err(format!("wanted {wanted} messages, found {found}")),
            },
            Self::Envelope(wanted) => {
                let lines = last(side)?.envelope_lines();
                if !lines.contains(wanted) {
                    return Err(format!("{wanted:?} is not in {lines:#?}"));
                }
            }
            Self::Recipients(wanted) => match last(side)?.envelope.recipients.len() {
                found if found == *wanted => {}
                found => return Err(format!("wanted {wanted} recipients, found {found}")),
            },
            Self::Body(wanted) => {
                let body = last(side)?.body;
                if body != *wanted {
                    return Err(format!("the body is {:?}", String::from_utf8_lossy(&body)));
                }
            }
        }
        Ok(())
    }
}

fn read_reply(side: &mut impl Side, code: &str) -> Result<(), String> {
    loop {
        match side.line() {
            Some(line) if line.starts_with(code) && line.as_bytes().get(3) == Some(&b' ') => return Ok(()),
            Some(line) if line.starts_with(code) => {}
            other => return Err(format!("wanted a reply {code}, got {other:?}")),
        }
    }
}

fn last(side: &impl Side) -> Result<Stored, String> {
    side.spooled().pop().ok_or_else(|| "there is no message".to_owned())
}

/// Whether a line of the server is the one that is wanted.
fn says(line: &str, wanted: &str) -> bool {
    let wanted = wanted.replace("HOST", HOST);
    let (wanted, open) = wanted.strip_suffix('~').map_or((wanted.as_str(), false), |wanted| (wanted, true));
    let Some((before, after)) = wanted.split_once("QUEUEID") else {
        return if open { line.starts_with(wanted) } else { line == wanted };
    };
    let id = line.strip_prefix(before).and_then(|rest| rest.strip_suffix(after));
    id.is_some_and(|id| id.parse::<QueueId>().is_ok())
}
