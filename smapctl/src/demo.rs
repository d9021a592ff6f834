//! `smapctl demo`: both programs in a folder of their own, one message through them, everything shown.
//!
//! Needs no root and no installation; leaves nothing behind.

use std::fmt;
use std::io::{self, IsTerminal, Write};
use std::path::PathBuf;
use std::time::Duration;

use smap_common::exit::Exit;

use crate::arguments::Wishes;
use crate::error::Error;

mod children;
mod dialogue;
mod place;

use children::{Children, Program};
use dialogue::Dialogue;
use place::Place;

/// How long a program may take to be ready, or a message to arrive.
const PATIENCE: Duration = Duration::from_secs(30);

/// Why the demo did not go as it should.
#[derive(Debug)]
pub enum DemoError {
    /// The program does not lie beside this one.
    Missing(PathBuf),
    /// A file or folder could not be made.
    Prepare(PathBuf, io::Error),
    /// A program could not be started.
    Start(&'static str, io::Error),
    /// A program ended before it was told to.
    Ended(&'static str),
    /// smap could not be spoken to.
    Session(io::Error),
    /// smap said something else than it should.
    Reply(String),
    /// What was waited for did not come.
    TooLate(&'static str),
    /// `^C`.
    Interrupted,
}

impl DemoError {
    pub(crate) fn exit(&self) -> Exit {
        match self {
            Self::Missing(_) => Exit::Config,
            Self::Interrupted => Exit::Ok,
            Self::Prepare(_, cause) if cause.kind() == io::ErrorKind::PermissionDenied => Exit::NoPerm,
            _ => Exit::TempFail,
        }
    }
}

impl fmt::Display for DemoError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Missing(path) => {
                write!(f, "{} is not there; to build it: cargo build --release --workspace", path.display())
            }
            Self::Prepare(path, cause) => write!(f, "{}: {cause}", path.display()),
            Self::Start(program, cause) => write!(f, "{program} cannot be started: {cause}"),
            Self::Ended(program) => write!(f, "{program} ended; its last lines say why"),
            Self::Session(cause) => write!(f, "the session with smap broke: {cause}"),
            Self::Reply(reply) => write!(f, "smap should not have said: {reply}"),
            Self::TooLate(what) => write!(f, "{what} after {} seconds", PATIENCE.as_secs()),
            Self::Interrupted => Ok(()),
        }
    }
}

impl std::error::Error for DemoError {}

/// Shows both programs at work.
///
/// # Errors
/// A program is missing or fails, or `out` does.
pub fn run(wishes: &Wishes, out: &mut impl Write) -> Result<Exit, Error> {
    let programs = [Program::find("smap")?, Program::find("smapd")?];
    // smapd starts it.
    Program::find("smap-lookup")?;
    let place = Place::prepare()?;
    let port = free_port(wishes.port, out)?;
    writeln!(out, "Everything lies in {}; this is the table:\n", place.path().display())?;
    place.table().lines().try_for_each(|line| writeln!(out, "    {line}"))?;
    writeln!(out, "\nsmap listens on 127.0.0.1:{port}, smapd delivers:\n")?;
    out.flush()?;
    let mut children = Children::start(&programs, &place, port)?;
    let stream = children.wait_for(out, "smap does not listen", || place::connect(port))?;
    Dialogue::new(stream)?.send_message(&mut children, out)?;
    let file = children.wait_for(out, "the message has not arrived", || place.delivered())?;
    let text = std::fs::read_to_string(&file).map_err(|cause| DemoError::Prepare(file.clone(), cause))?;
    writeln!(out, "\nThe message was delivered to {}:\n", file.display())?;
    text.lines().try_for_each(|line| writeln!(out, "    {line}"))?;
    if !wishes.once && io::stdin().is_terminal() {
        writeln!(out, "{}", hints(port))?;
        out.flush()?;
        children.show_until_interrupted(out)?;
    }
    writeln!(out)?;
    children.stop(out)?;
    Ok(Exit::Ok)
}

/// The port that was wished for, or one that is free.
fn free_port(wished: u16, out: &mut impl Write) -> Result<u16, Error> {
    if let Some(port) = place::bindable(wished) {
        return Ok(port);
    }
    let port = place::bindable(0).ok_or(DemoError::TooLate("no port is free"))?;
    writeln!(out, "Port {wished} is taken on this machine, so this is port {port}.\n")?;
    Ok(port)
}

fn hints(port: u16) -> String {
    format!(
        "\nSend more, from another terminal:\n\n    \
         swaks --server 127.0.0.1:{port} --to you@{domain}\n    \
         printf 'Subject: hello\\n\\nHello.\\n' | curl smtp://127.0.0.1:{port} --mail-from me@example.org \
         --mail-rcpt you@{domain} --upload-file - --crlf\n    \
         nc -C 127.0.0.1 {port}\n\n\
         ^C ends it.\n",
        domain = place::DOMAIN
    )
}
