//! The dialogues of `transcripts/*.smtp`: each against the pure session and against the program.

use std::fs;
use std::path::PathBuf;

use libtest_mimic::Trial;
use smap_tests::transcript::Transcript;

pub(crate) fn trials() -> impl Iterator<Item = Trial> {
    let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/transcripts");
    let entries = fs::read_dir(folder).expect("the transcripts are there");
    let mut files: Vec<PathBuf> = entries.map(|entry| entry.unwrap().path()).collect();
    files.sort();
    files.into_iter().filter(|file| file.extension().is_some_and(|kind| kind == "smtp")).flat_map(|file| {
        let name = file.file_stem().unwrap().to_string_lossy().into_owned();
        let again = file.clone();
        [
            trial(format!("dialogues::session::{name}"), move || Transcript::load(&file).run_pure()),
            trial(format!("dialogues::program::{name}"), move || Transcript::load(&again).run_program()),
        ]
    })
}

pub(crate) fn trial(name: String, run: impl FnOnce() + Send + 'static) -> Trial {
    Trial::test(name, || {
        run();
        Ok(())
    })
}
