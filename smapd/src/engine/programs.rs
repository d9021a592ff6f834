//! Programs that messages are given to: the runner starts them, as many at a time as may run.

use std::fs::File;
use std::io::{self, BufWriter, Seek, Write};
use std::os::fd::{AsFd, OwnedFd};
use std::path::Path;
use std::sync::Arc;

use smap_common::spool::Outcome;

use super::Engine;
use super::active::Active;
use super::dispatch::{Done, Ticket};
use crate::content::Content;
use crate::delivery::{Report, check_for_loop, local_trouble};
use crate::plan::{Job, Way};
use crate::runner::{self, Request};
use crate::turns::Turns;

/// Programs: as many as may run, and those that wait for room, by their paths.
#[derive(Debug, Default)]
pub(super) struct Programs {
    pub(super) waiting: Turns<String, (u64, Content)>,
    running: usize,
}

impl Engine {
    /// Prepares bodies for as many programs as may run at a time.
    pub(super) fn start_programs(&mut self) {
        let most = usize::try_from(self.site.smapd.maxchildren.get()).unwrap_or(usize::MAX);
        while self.programs.running < most
            && let Some((ticket, content)) = self.programs.waiting.pop()
        {
            self.programs.running += 1;
            let queue = Arc::clone(&self.queue);
            self.workers.submit(ticket, move || Done::Body(prepare(&content, queue.queue_path())));
        }
    }

    /// A program has ended, or was never started: there is room for another.
    pub(super) fn program_over(&mut self, ticket: u64, report: &Report) {
        self.programs.running -= 1;
        let alone = match self.tickets.get(&ticket) {
            Some(Ticket::Job { job, .. }) => job.recipients.len() == 1,
            Some(
                Ticket::Notice { .. }
                | Ticket::Expansion { .. }
                | Ticket::Letter
                | Ticket::Sync
                | Ticket::Search,
            )
            | None => true,
        };
        if report.outcome == Outcome::Failed && !alone {
            self.split(ticket);
        } else {
            self.reported_all(ticket, report);
        }
        self.start_programs();
    }

    /// Has the runner start a program on its body.
    pub(super) fn run(&mut self, ticket: u64, body: OwnedFd) {
        let Some(Ticket::Job { id, job, .. }) = self.tickets.get(&ticket) else { return };
        let (Way::Program(program), Some(active)) = (&job.way, self.active.get(id)) else { return };
        let request = Request {
            job: ticket,
            argv: program.argv.iter().map(Into::into).collect(),
            env: environment(active, job),
            deadline: program.deadline,
        };
        if let Err(error) = self.runner.ask(&request, body.as_fd()) {
            self.program_over(ticket, &local_trouble(&error));
        }
    }

    pub(super) fn programs_ended(&mut self) -> io::Result<()> {
        let mut responses = Vec::new();
        self.runner.answers(&mut responses)?;
        for response in responses {
            self.program_over(response.job, &runner::judge(&response.ending, &response.output));
        }
        Ok(())
    }
}

/// The body, unless it has come back from the program.
fn prepare(content: &Content, folder: &Path) -> Result<OwnedFd, Report> {
    check_for_loop(content)?;
    body(content, folder).map_err(|error| local_trouble(&error))
}

/// The body as a file without a name, for the program's standard input.
fn body(content: &Content, folder: &Path) -> io::Result<OwnedFd> {
    let mut output = BufWriter::new(tempfile::tempfile_in(folder)?);
    content.write_local(&mut output)?;
    let mut file: File = output.into_inner().map_err(io::IntoInnerError::into_error)?;
    file.flush()?;
    file.rewind()?;
    Ok(file.into())
}

/// What a program is told beside its arguments.
fn environment(active: &Active, job: &Job) -> Vec<(String, String)> {
    let envelope = active.envelope();
    let sender = job.owner.as_deref().or(active.everyone().sender.address());
    let sender = sender.map(ToString::to_string).unwrap_or_default();
    let mut environment =
        vec![("SENDER".to_owned(), sender), ("QUEUE_ID".to_owned(), envelope.id.to_string())];
    if let [number] = job.recipients.as_slice()
        && let Some(one) = active.everyone().get(*number)
    {
        environment.push(("RECIPIENT".to_owned(), one.address().to_string()));
    }
    environment
}
