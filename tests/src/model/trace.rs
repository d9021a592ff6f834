//! What strace wrote down, as steps.
//!
//! A change counts from the moment in which it was asked for, a sync from the moment in which it was over: whoever
//! acts upon one of them does so later.

use std::fs;
use std::path::Path;
use std::process::Command;

use super::disk::Step;
use super::judge::Event;
use crate::programs;

/// What changes a file system, and what is said to a client.
const CALLS: &str = "openat,mkdir,mkdirat,write,pwrite64,ftruncate,fsync,fdatasync,rename,renameat,renameat2,link,linkat,\
    unlink,unlinkat,sendto";

/// A step and when it was.
pub type Timed = (u128, Step<Event>);

/// A program whose calls are written to files that begin with `notes`.
#[must_use]
pub fn watched(program: &Command, notes: &Path) -> Command {
    let mut strace = Command::new(programs::peer("strace"));
    strace.args([
        "-ff",
        "-qq",
        "-y",
        "-xx",
        "-s",
        "1000000",
        "--absolute-timestamps=format:unix,precision:ns",
    ]);
    strace.args(["--syscall-times=ns", "-e", &format!("trace={CALLS}"), "-o"]).arg(notes);
    strace.arg(program.get_program()).args(program.get_args());
    strace
}

/// The steps of all traces in a folder that concern what is below `root`, in their order.
///
/// # Panics
/// It cannot be read.
#[must_use]
pub fn steps(folder: &Path, root: &Path) -> Vec<Timed> {
    let mut steps = Vec::new();
    for entry in fs::read_dir(folder).expect("there are traces") {
        let text = fs::read_to_string(entry.unwrap().path()).expect("a trace is text");
        for line in text.lines() {
            add(line, root, &mut steps);
        }
    }
    steps.sort_by_key(|(at, _)| *at);
    steps
}

/// `TIME CALL(ARGUMENTS) = RESULT <DURATION>`
fn add(line: &str, root: &Path, steps: &mut Vec<Timed>) {
    let Some((at, rest)) = line.split_once(' ') else { return };
    let (Some(at), Some((call, rest))) = (nanoseconds(at), rest.split_once('(')) else { return };
    let Some((arguments, result)) = rest.rsplit_once(") = ") else { return };
    let (well, lasted) = (
        !result.starts_with('-'),
        result.rsplit_once(" <").and_then(|(_, lasted)| nanoseconds(lasted.trim_end_matches('>'))),
    );
    let arguments: Vec<Argument> = split(arguments).into_iter().map(Argument).collect();
    let path = |at: usize| arguments.get(at).and_then(|argument| argument.path(root));
    let below = |at: usize| path_below(arguments.get(at)?, arguments.get(at + 1)?, root);
    if matches!(call, "fsync" | "fdatasync") {
        let number = u64::try_from(steps.len()).unwrap();
        if let Some(path) = path(0) {
            steps.push((at, Step::SyncBegins(number, path)));
            steps.push((at + lasted.unwrap_or_default(), Step::SyncEnds(number, well)));
        }
        return;
    }
    if !well {
        return;
    }
    let octets = |at: usize| arguments.get(at).map(Argument::octets).unwrap_or_default();
    let number = |at: usize| arguments.get(at).and_then(|argument| argument.0.trim().parse().ok());
    let step = match call {
        "openat" if arguments.get(2).is_some_and(|flags| flags.0.contains("O_CREAT")) => {
            below(0).map(Step::Create)
        }
        "mkdirat" => below(0).map(Step::Folder),
        "mkdir" => arguments.first().and_then(|path| path.whole(root)).map(Step::Folder),
        "write" | "sendto" => match path(0) {
            Some(path) => Some(Step::Write(path, None, octets(1))),
            None => Event::said(&octets(1)).map(Step::Event),
        },
        "pwrite64" => path(0).map(|path| Step::Write(path, number(3), octets(1))),
        "ftruncate" => path(0).zip(number(1)).map(|(path, length)| Step::Truncate(path, length)),
        "renameat" | "renameat2" => below(0).zip(below(2)).map(|(from, to)| Step::Rename(from, to)),
        "linkat" => below(0).zip(below(2)).map(|(from, to)| Step::Link(from, to)),
        "unlinkat" => below(0).map(Step::Remove),
        "unlink" => arguments.first().and_then(|path| path.whole(root)).map(Step::Remove),
        _ => None,
    };
    steps.extend(step.map(|step| (at, step)));
}

/// One argument, as it stands there.
struct Argument(String);

impl Argument {
    /// The path of a descriptor: `3<PATH>`.
    fn path(&self, root: &Path) -> Option<String> {
        let (_, path) = self.0.split_once('<')?;
        relative(&decoded(path.trim_end_matches('>')), root)
    }

    fn octets(&self) -> Vec<u8> {
        decoded(self.0.trim().trim_start_matches('"').trim_end_matches('"'))
    }

    fn whole(&self, root: &Path) -> Option<String> {
        relative(&self.octets(), root)
    }
}

fn path_below(folder: &Argument, name: &Argument, root: &Path) -> Option<String> {
    let name = String::from_utf8(name.octets()).ok()?;
    if name.starts_with('/') {
        return relative(name.as_bytes(), root);
    }
    match folder.path(root)? {
        folder if folder.is_empty() => Some(name),
        folder => Some(format!("{folder}/{name}")),
    }
}

/// Of what is below the root, and has a name.
fn relative(path: &[u8], root: &Path) -> Option<String> {
    let path = String::from_utf8(path.to_vec()).ok()?;
    let path = Path::new(&path).strip_prefix(root).ok()?.to_str()?;
    let is_ours = path.starts_with("spool") || path.starts_with("mail");
    (is_ours && !path.ends_with(" (deleted)") && !path.contains("/#")).then(|| path.to_owned())
}

/// `\xHH` for every octet.
fn decoded(text: &str) -> Vec<u8> {
    let mut octets = Vec::with_capacity(text.len() / 4);
    let mut rest = text.as_bytes();
    while let [first, more @ ..] = rest {
        let hex = more.strip_prefix(b"x").and_then(|hex| std::str::from_utf8(hex.get(..2)?).ok());
        match hex.filter(|_| *first == b'\\').and_then(|hex| u8::from_str_radix(hex, 16).ok()) {
            Some(octet) => {
                octets.push(octet);
                rest = &rest[4..];
            }
            None => {
                octets.push(*first);
                rest = more;
            }
        }
    }
    octets
}

/// Commas between arguments stand in no string, because every octet of those is written in hexadecimal.
fn split(arguments: &str) -> Vec<String> {
    arguments.split(", ").map(str::to_owned).collect()
}

fn nanoseconds(text: &str) -> Option<u128> {
    let (seconds, rest) = text.split_once('.')?;
    Some(seconds.parse::<u128>().ok()? * 1_000_000_000 + rest.parse::<u128>().ok()?)
}
