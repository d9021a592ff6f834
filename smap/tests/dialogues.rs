//! The dialogues of `tests/transcripts/*.smtp` against the pure session.

use libtest_mimic::{Arguments, Trial};
use smap_tests::transcript::{self, Transcript};

fn main() {
    let trials = transcript::files().into_iter().map(|(name, file)| {
        Trial::test(format!("session::{name}"), move || {
            Transcript::load(&file).run_pure();
            Ok(())
        })
    });
    libtest_mimic::run(&Arguments::from_args(), trials.collect()).exit();
}
