//! The programs as others see them: one list of tests, each with what it needs.
//!
//! What a machine lacks is skipped by name; with `CI` set it fails. See `tests/README.md`.
#![expect(
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    clippy::print_stderr,
    clippy::print_stdout,
    clippy::unwrap_used,
    reason = "a test stops where something is not as it should be"
)]

mod access;
mod budget;
mod clients;
mod compile;
mod confinement;
mod corpus;
#[cfg(target_arch = "x86_64")]
mod crash;
mod delivery;
mod dialogues;
mod faults;
mod greedy;
mod hostile;
mod import;
#[cfg(target_arch = "x86_64")]
mod inside;
mod listener;
mod lookup;
mod model;
mod names;
mod oracles;
mod readme;
mod recipients;
mod spares;
mod starting;
mod superservers;
#[cfg(target_arch = "x86_64")]
mod template;

use libtest_mimic::{Arguments, Trial};
use smap_tests::needs::Test;
use smap_tests::{process, programs};

/// Most tests wait most of their time.
const THREADS: usize = 8;

fn main() {
    // The harness says it again with the name of the test.
    std::panic::set_hook(Box::new(|panic| eprintln!("{panic}")));
    let mut arguments = Arguments::from_args();
    arguments.test_threads.get_or_insert(THREADS);
    let with_needs = [
        access::tests(),
        starting::tests(),
        compile::tests(),
        budget::tests(),
        listener::tests(),
        spares::tests(),
        lookup::tests(),
        lookup::callout::tests(),
        lookup::outage::tests(),
        lookup::peers::tests(),
        lookup::service::tests(),
        lookup::users::tests(),
        names::tests(),
        recipients::tests(),
        greedy::tests(),
        confinement::tests(),
        #[cfg(target_arch = "x86_64")]
        inside::tests(),
        #[cfg(target_arch = "x86_64")]
        template::tests(),
        superservers::tests(),
        clients::tests(),
        corpus::tests(),
        delivery::tests(),
        hostile::tests(),
        import::tests(),
        model::tests(),
        oracles::tests(),
        #[cfg(target_arch = "x86_64")]
        crash::tests(),
    ];
    let mut trials: Vec<Trial> = with_needs.into_iter().flatten().map(Test::into_trial).collect();
    trials.extend(dialogues::trials());
    trials.push(greedy::measurement());
    trials.extend(faults::trials(&trials));
    trials.push(readme::trial_of_modules());
    trials.push(hostile::table::trial(trials.iter().map(|trial| trial.name().to_owned()).collect()));
    if !arguments.list {
        programs::build();
        process::adopt_orphans();
    }
    libtest_mimic::run(&arguments, trials).exit();
}
