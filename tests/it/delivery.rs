//! From the spool to the next host: smapd's part, and the way through both programs.
//!
//! Mail goes in as any client sends it. Where smapd is to find it at its start, it is started later.

mod control;
mod conversion;
mod crowd;
pub(crate) mod encryption;
mod fairness;
mod journal;
mod lists;
mod lock;
mod loops;
mod mailboxes;
mod masquerade;
mod names;
pub(crate) mod notifications;
mod operator;
mod peers;
mod programs;
mod queue;
pub(crate) mod relay;
mod routing;
mod spool;
mod successes;

use smap_tests::needs::Test;

pub(crate) fn tests() -> Vec<Test> {
    let all = [
        mailboxes::tests(),
        masquerade::tests(),
        relay::tests(),
        conversion::tests(),
        routing::tests(),
        names::tests(),
        programs::tests(),
        notifications::tests(),
        queue::tests(),
        spool::tests(),
        operator::tests(),
        successes::tests(),
        control::tests(),
        crowd::tests(),
        fairness::tests(),
        journal::tests(),
        lists::tests(),
        lock::tests(),
        loops::tests(),
        encryption::tests(),
        peers::tests(),
    ];
    all.into_iter().flatten().collect()
}
