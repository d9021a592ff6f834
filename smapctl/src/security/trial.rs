//! A process that gives up what a program gives up, and waits to be looked at.

use std::fs;
use std::io::{PipeReader, PipeWriter, Read, Write, pipe};

use nix::sys::wait::waitpid;
use nix::unistd::{ForkResult, Pid, fork};
use smap_common::confine::Confined;
use smap_common::exit::Exit;

use super::{Row, row};
use crate::show::octets;

/// What came of it.
#[derive(Debug)]
pub(super) struct Trial {
    /// What the kernel says that the process has.
    pub(super) facts: Vec<Row>,
    /// What it could not give up.
    pub(super) missing: Vec<String>,
}

/// What the process says first.
const CONFINED: &str = "confined";

impl Trial {
    /// Has a process of its own confine itself, and looks at it.
    ///
    /// # Errors
    /// Why it could not be confined.
    pub(super) fn of(confine: impl FnOnce() -> Result<Confined, String>) -> Result<Self, String> {
        let text = |error: std::io::Error| error.to_string();
        let ((heard, say), (wait, go)) = (pipe().map_err(text)?, pipe().map_err(text)?);
        match fork_trial().map_err(|errno| errno.to_string())? {
            ForkResult::Child => {
                drop((heard, go));
                live(confine, say, wait)
            }
            ForkResult::Parent { child } => {
                drop((say, wait));
                look(child, heard, go)
            }
        }
    }
}

#[expect(unsafe_code, reason = "what is given up is given up for good: it takes a process of its own")]
fn fork_trial() -> nix::Result<ForkResult> {
    // SAFETY: smapctl has one thread, so the child may do all that its parent might.
    unsafe { fork() }
}

/// The life of the process: confined, it says so, and waits until it was looked at.
fn live(confine: impl FnOnce() -> Result<Confined, String>, mut say: PipeWriter, mut wait: PipeReader) -> ! {
    let said = match confine() {
        Ok(confined) => {
            let missing = confined.missing().iter().map(|wall| format!("\n{wall}"));
            format!("{CONFINED}\n{}{}", confined.landlock(), missing.collect::<String>())
        }
        Err(why) => why,
    };
    // Whoever does not hear it sees the end of the pipe.
    let _unheard = say.write_all(format!("{said}\n\n").as_bytes());
    let _looked_at = wait.read(&mut [0]);
    Exit::Ok.at_once()
}

fn look(child: Pid, mut heard: PipeReader, go: PipeWriter) -> Result<Trial, String> {
    let mut said = Vec::new();
    let mut buffer = [0; 1024];
    while !said.ends_with(b"\n\n") {
        match heard.read(&mut buffer) {
            Ok(read) if read > 0 => said.extend_from_slice(buffer.get(..read).unwrap_or_default()),
            Ok(_) | Err(_) => break,
        }
    }
    let status = fs::read_to_string(format!("/proc/{child}/status")).unwrap_or_default();
    let limits = fs::read_to_string(format!("/proc/{child}/limits")).unwrap_or_default();
    let root = fs::read_link(format!("/proc/{child}/root"));
    drop(go);
    // It ends because the pipe does.
    let _ended = waitpid(child, None);
    let said = String::from_utf8_lossy(&said).trim_end().to_owned();
    let mut lines = said.lines();
    if lines.next() != Some(CONFINED) {
        return Err(if said.is_empty() { "the process died of it".to_owned() } else { said });
    }
    let landlock = lines.next().unwrap_or_default();
    let mut facts = facts(&status);
    facts.push(row("Landlock", if landlock == "0" { "none".to_owned() } else { format!("ABI {landlock}") }));
    if let Ok(root) = root {
        facts.insert(1, row("root folder", root.display().to_string()));
    }
    facts.extend(self::limits(&limits));
    Ok(Trial { facts, missing: lines.map(str::to_owned).collect() })
}

/// What proc(5) has of it.
fn facts(status: &str) -> Vec<Row> {
    let field = |name: &str| {
        let line = status.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(':'));
        line.unwrap_or("not known").split_whitespace().collect::<Vec<_>>().join(" ")
    };
    // Real, effective, saved, of files: where they are one, it is said once.
    let id = |name: &str| {
        let ids = field(name);
        let mut one: Vec<&str> = ids.split(' ').collect();
        one.dedup();
        one.join(" ")
    };
    let groups = field("Groups");
    let groups = if groups.is_empty() { "no others".to_owned() } else { format!("also {groups}") };
    let sets = ["CapEff", "CapPrm", "CapInh", "CapBnd", "CapAmb"];
    let held: Vec<String> = sets
        .into_iter()
        .filter(|set| field(set).chars().any(|digit| digit != '0'))
        .map(|set| format!("{set} {}", field(set)))
        .collect();
    let yes = |name: &str, wanted: &str, yes: &str, no: &str| {
        row(
            name,
            match field(wanted).as_str() {
                "0" => no,
                "1" | "2" => yes,
                _ => "not known",
            },
        )
    };
    vec![
        row("user", format!("{}, group {}, {groups}", id("Uid"), id("Gid"))),
        row("capabilities", if held.is_empty() { "none".to_owned() } else { held.join(", ") }),
        yes("new privileges", "NoNewPrivs", "never", "by set-id programs"),
        yes("call filter", "Seccomp", "on", "OFF"),
    ]
}

/// The hard limits that there are.
fn limits(limits: &str) -> Option<Row> {
    let limit = |name: &str, show: &dyn Fn(u64) -> String| {
        let line = limits.lines().find_map(|line| line.strip_prefix(name))?;
        let hard = line.split_whitespace().nth(1)?;
        hard.parse().ok().map(show)
    };
    let known = [
        limit("Max processes", &|count| format!("{count} processes")),
        limit("Max core file size", &|size| format!("core files of {}", octets(size))),
        limit("Max file size", &|size| format!("files of {}", octets(size))),
        limit("Max open files", &|count| format!("{count} descriptors")),
    ];
    let known: Vec<String> = known.into_iter().flatten().collect();
    (!known.is_empty()).then(|| row("limits", known.join(", ")))
}
