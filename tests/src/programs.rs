//! Where the programs are: ours, built once for a run, and those of others.

use std::env;
use std::fs::File;
use std::io::{Read, Seek, Write};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use nix::fcntl::{Flock, FlockArg};

use crate::process::run;

/// The root of the workspace.
#[must_use]
pub fn workspace() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().expect("the crate stands in the workspace")
}

/// The folder of our programs: `SMAP_BIN_DIR`, or the one that cargo built this test into.
#[must_use]
pub fn folder() -> PathBuf {
    env::var_os("SMAP_BIN_DIR").map_or_else(built_folder, PathBuf::from)
}

/// One of our programs.
///
/// # Panics
/// It was not built.
#[must_use]
pub fn ours(name: &str) -> PathBuf {
    let program = folder().join(name);
    assert!(program.is_file(), "{} is not there", program.display());
    program
}

/// The folder into which Debian packages may be unpacked: `SMAP_PEERS`, or `target/peers`.
#[must_use]
pub fn peers() -> PathBuf {
    env::var_os("SMAP_PEERS").map_or_else(|| workspace().join("target/peers"), PathBuf::from)
}

/// A program of somebody else: in `PATH`, where system programs are, or in the folder of [`peers`], which has
/// what cannot be installed side by side.
#[must_use]
pub fn find_peer(name: &str) -> Option<PathBuf> {
    let (peers, path) = (peers(), env::var_os("PATH").unwrap_or_default());
    let folders = env::split_paths(&path)
        .chain(["/usr/sbin", "/sbin", "/usr/bin"].map(PathBuf::from))
        .chain(["usr/sbin", "usr/bin", ""].map(|folder| peers.join(folder)));
    folders.map(|folder| folder.join(name)).find(|program| program.is_file())
}

/// A program of somebody else that the test said it needs.
///
/// # Panics
/// It is not there.
#[must_use]
pub fn peer(name: &str) -> PathBuf {
    find_peer(name).unwrap_or_else(|| panic!("{name} is not there, and the test does not name it"))
}

/// A helper script of this crate.
#[must_use]
pub fn script(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("peers").join(name)
}

/// A library of this crate that programs can be preloaded with, made in `folder` by the program `cc`.
///
/// # Panics
/// It cannot be made.
#[must_use]
pub fn library(name: &str, folder: &Path) -> PathBuf {
    let library = folder.join(format!("{name}.so"));
    let mut compiler = Command::new(peer("cc"));
    compiler.args(["-shared", "-fPIC", "-o"]).arg(&library).arg(script(&format!("{name}.c")));
    let made = run(&mut compiler, Stdio::null());
    assert_eq!(made.code, 0, "{made:#?}");
    library
}

/// `target/PROFILE` or `target/TRIPLE/PROFILE`: above the `deps` that a test stands in, or where a program stands.
fn built_folder() -> PathBuf {
    let this = env::current_exe().expect("this program has a name");
    let folder = this.parent().expect("it stands in a folder");
    let above = folder.parent().filter(|_| folder.ends_with("deps"));
    above.unwrap_or(folder).to_owned()
}

/// Builds our programs as this test was built. Each process of one run of cargo-nextest comes here; the first one
/// builds.
///
/// # Panics
/// They cannot be built.
pub fn build() {
    if env::var_os("SMAP_BIN_DIR").is_some() {
        return;
    }
    let folder = built_folder();
    let run = env::var("NEXTEST_RUN_ID").unwrap_or_default();
    let mut stamp = lock(&folder.join(".smap-tests-built"));
    let mut built_for = String::new();
    stamp.read_to_string(&mut built_for).expect("the stamp is text");
    if !run.is_empty() && built_for == run {
        return;
    }
    let status = build_command(&folder).status().expect("cargo can be started");
    assert!(status.success(), "the programs cannot be built");
    stamp.set_len(0).unwrap();
    stamp.rewind().unwrap();
    stamp.write_all(run.as_bytes()).unwrap();
}

fn lock(path: &Path) -> Flock<File> {
    let file = File::options().read(true).write(true).create(true).truncate(false).open(path);
    let file = file.expect("the target folder can be written");
    Flock::lock(file, FlockArg::LockExclusive).expect("a file can be locked")
}

fn build_command(folder: &Path) -> Command {
    let profile = match folder.file_name().and_then(|name| name.to_str()) {
        Some("debug") | None => "dev",
        Some(profile) => profile,
    };
    let mut target = folder.parent().expect("a profile stands in a target folder");
    let mut cargo = Command::new(env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
    cargo.current_dir(workspace()).args(["build", "--quiet", "--workspace", "--bins", "--profile", profile]);
    // What cargo says of this package is nothing to it: ring is built anew whenever that changes.
    let of_this_package = |name: &str| name.starts_with("CARGO_PKG_") || name.starts_with("CARGO_MANIFEST_");
    let names = env::vars_os().filter_map(|(name, _)| name.into_string().ok());
    for name in names.filter(|name| of_this_package(name)) {
        cargo.env_remove(name);
    }
    // Only the target folder itself has what cargo knows of the compiler; between it and the profile there may be a
    // triple.
    if !target.join(".rustc_info.json").exists() {
        cargo.arg("--target").arg(target.file_name().expect("a triple"));
        target = target.parent().expect("a triple stands in a target folder");
    }
    cargo.arg("--target-dir").arg(target);
    cargo
}
