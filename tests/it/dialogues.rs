//! The dialogues of `transcripts/*.smtp` against the program. Against the pure session: `smap/tests/dialogues.rs`.

use libtest_mimic::Trial;
use smap_tests::transcript::{self, Transcript};

pub(crate) fn trials() -> impl Iterator<Item = Trial> {
    transcript::files().into_iter().map(|(name, file)| {
        trial(format!("dialogues::program::{name}"), move || Transcript::load(&file).run_program())
    })
}

pub(crate) fn trial(name: String, run: impl FnOnce() + Send + 'static) -> Trial {
    Trial::test(name, || {
        run();
        Ok(())
    })
}
