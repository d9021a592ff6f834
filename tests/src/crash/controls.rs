//! Programs with a fault, each of which a campaign has to find.
//!
//! The faults are patches (`tests/crash/controls/*.patch`), put on a copy of the workspace: nothing in the programs can
//! turn one on. What is built so, or has a library that syncs nothing loaded into it, is tried by the campaign that is
//! named beside it, which must end with a violation.

use std::fs::File;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};

use nix::fcntl::{Flock, FlockArg};

use super::report::Report;
use crate::gateway::chmod;
use crate::programs::{self, find_peer, workspace};

/// How a fault comes into the programs.
#[derive(Debug, Clone, Copy)]
enum Made {
    /// By a patch of this name.
    Patch,
    /// By a library of this crate that is loaded into them.
    Library,
}

/// One of them.
#[derive(Debug, Clone, Copy)]
struct Control {
    name: &'static str,
    made: Made,
    /// The campaign that has to find it.
    campaign: &'static str,
}

const fn patch(name: &'static str, campaign: &'static str) -> Control {
    Control { name, made: Made::Patch, campaign }
}

const fn library(name: &'static str, campaign: &'static str) -> Control {
    Control { name, made: Made::Library, campaign }
}

const CONTROLS: [Control; 20] = [
    library("lazy", "cuts --filesystem ext4 --points 20"),
    library("lazy", "cuts --filesystem ext4-writeback --points 20"),
    library("lazy", "cuts --filesystem xfs --points 20"),
    library("lazy", "cuts --filesystem btrfs --points 20"),
    library("lazy", "power --filesystem xfs --mailboxes --scenario mbox"),
    patch("accept-not-synced", "cuts --filesystem ext4 --points 20"),
    patch("accept-not-synced", "cuts --filesystem xfs --points 20"),
    patch("accept-not-synced", "cuts --filesystem btrfs --points 20"),
    patch("acknowledged-before-sync", "kill --scenario accept-data"),
    patch("acknowledged-before-sync", "cuts --filesystem ext4 --points 300"),
    patch("end-not-looked-at", "kill --scenario accept-data-large"),
    patch("maildir-file-not-synced", "power --filesystem ext4 --mailboxes --scenario maildir"),
    patch("maildir-folder-not-synced", "power --filesystem ext4 --mailboxes --scenario maildir"),
    patch("mbox-not-synced", "power --filesystem ext4 --mailboxes --scenario mbox"),
    patch("notification-not-synced", "power --filesystem ext4 --scenario bounce-waits"),
    patch("removed-before-notification", "kill --scenario bounce"),
    patch("removed-before-delivery", "kill --scenario smtp"),
    patch("freed-before-durable", "power --filesystem ext4-writeback --scenario smtp"),
    patch("expansion-not-synced", "power --filesystem ext4 --scenario list"),
    patch("nothing-synced-in-batches", "pause --filesystem ext4 --points 3"),
];

/// Faults that cannot be told from none, and why.
const MEANINGLESS: [(&str, &str); 5] = [
    (
        "eatmydata",
        "before it forgets a sync it calls fcntl(2), for which smap's filter kills the session: nothing is taken at all; `lazy` does the same without that call",
    ),
    (
        "the folder incoming/ not synced before the 250",
        "it never is: a file that is created with its final name has that name made durable by its own fsync",
    ),
    (
        "published before the fsync",
        "a message has its name from the beginning; what publishes it is its END record, for which there is `end-not-looked-at`",
    ),
    (
        "the state not synced before the rename to queue/",
        "not promised: a state that is lost costs an attempt's count, or a copy, never the message; both are synced in one batch",
    ),
    (
        "a removal not synced",
        "a message that is back is delivered again; within a second that is permitted, beyond it there is `nothing-synced-in-batches`",
    ),
];

/// Tries them; each that is not found is a violation.
pub fn run(report: &mut Report, only: Option<&str>) {
    let place = workspace().join("target/crash-controls");
    let _alone = alone(&place);
    let (mut tried_so_far, mut found_so_far) = (0, 0);
    let mut built: Option<&str> = None;
    for control in CONTROLS.iter().filter(|control| only.is_none_or(|only| only == control.name)) {
        tried_so_far += 1;
        let folder = match control.made {
            Made::Library => None,
            Made::Patch if built == Some(control.name) => Some(place.join("bin")),
            Made::Patch => match build(&place, control.name) {
                Ok(folder) => Some(folder),
                Err(why) => {
                    report.point(control.name, false, &[format!("it cannot be built: {why}")], "");
                    continue;
                }
            },
        };
        built = folder.is_some().then_some(control.name);
        let output = tried(control, folder.as_deref());
        let said = String::from_utf8_lossy(&output.stdout).into_owned();
        let found = said.lines().find(|line| line.starts_with("VIOLATION at "));
        match (found, output.status.code()) {
            (Some(found), Some(1)) => {
                found_so_far += 1;
                report.line(&format!("{} is found by `{}`: {found}", control.name, control.campaign));
                report.point(control.name, true, &[], "");
            }
            _ => {
                let errors = String::from_utf8_lossy(&output.stderr).into_owned();
                let wrong = format!("not found by `{}`", control.campaign);
                report.point(control.name, false, &[wrong], &format!("{said}{errors}"));
            }
        }
    }
    report.line(&format!("controls: {found_so_far} found of {tried_so_far}"));
    for (what, why) in MEANINGLESS {
        report.line(&format!("no control: {what}: {why}"));
    }
}

/// Two that build there would mix their programs: the second one waits.
fn alone(place: &Path) -> Flock<File> {
    std::fs::create_dir_all(place).expect("the target folder can be written");
    let file = File::create(place.join("lock")).expect("the target folder can be written");
    Flock::lock(file, FlockArg::LockExclusive).expect("a file can be locked")
}

fn tried(control: &Control, folder: Option<&Path>) -> Output {
    let mut campaign = Command::new(std::env::current_exe().expect("this program has a name"));
    campaign.args(control.campaign.split(' ')).arg("--stop-at-first");
    if let Some(folder) = folder {
        campaign.env("SMAP_BIN_DIR", folder);
    }
    let made = tempfile::Builder::new().prefix("smap-control-").tempdir().expect("a temporary folder");
    if let Made::Library = control.made {
        // The programs have users of their own.
        chmod(made.path(), 0o755);
        campaign.arg("--preload").arg(programs::library(control.name, made.path()));
    }
    campaign.stdin(Stdio::null()).output().expect("this program can be started")
}

/// Builds the programs with a patch; where they are then.
fn build(place: &Path, name: &str) -> Result<PathBuf, String> {
    let source = place.join("source");
    let _none = std::fs::remove_dir_all(&source);
    std::fs::create_dir_all(&source).map_err(|error| error.to_string())?;
    let patch = workspace().join(format!("tests/crash/controls/{name}.patch"));
    // Times are kept, so that only what a patch touches is built again.
    let copy = "git ls-files -z -- . ':!tests/fuzz' | xargs -0 cp --parents --preserve=timestamps -t \"$0\"";
    said(Command::new("sh").current_dir(workspace()).args(["-c", copy]).arg(&source))?;
    let program = find_peer("patch").ok_or("patch is not there")?;
    said(Command::new(program).current_dir(&source).args(["-p1", "--quiet", "-i"]).arg(&patch))?;
    let mut cargo = Command::new(std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
    cargo.current_dir(&source).args(["build", "--quiet", "--offline", "--bins"]);
    cargo.args(["-p", "smap", "-p", "smapd", "-p", "smap-lookup", "-p", "smapctl"]);
    said(cargo.arg("--target-dir").arg(place.join("target")))?;
    let bin = place.join("bin");
    std::fs::create_dir_all(&bin).map_err(|error| error.to_string())?;
    for program in ["smap", "smapd", "smap-lookup", "smapctl"] {
        let from = place.join("target/debug").join(program);
        let _none = std::fs::remove_file(bin.join(program));
        std::fs::copy(&from, bin.join(program)).map_err(|error| format!("{}: {error}", from.display()))?;
    }
    Ok(bin)
}

fn said(command: &mut Command) -> Result<(), String> {
    let output = command.output().map_err(|error| format!("{command:?}: {error}"))?;
    if output.status.success() {
        return Ok(());
    }
    Err(format!(
        "{command:?}: {}{}",
        String::from_utf8_lossy(&output.stdout),
        String::from_utf8_lossy(&output.stderr)
    ))
}
