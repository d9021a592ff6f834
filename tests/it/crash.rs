//! A few points of each of the crash campaigns: `cargo run --release -p smap-tests --bin crash` runs them all.

use smap_tests::crash::campaign::{self, Sample};
use smap_tests::crash::cuts;
use smap_tests::crash::disk::Filesystem;
use smap_tests::crash::report::Report;
use smap_tests::crash::scenario::Scenario;
use smap_tests::crash::world::{Ground, World};
use smap_tests::needs::Need::{Program, Root};
use smap_tests::tests;

tests! {
    nothing_is_lost_when_everything_is_killed: [Root, Program("cc")];
    nothing_is_lost_when_the_power_goes_behind_a_reply: [Root, Program("cc"), Program("mkfs.ext4")];
    nothing_is_lost_when_the_power_of_xfs_goes_behind_a_reply: [Root, Program("cc"), Program("mkfs.xfs")];
    nothing_is_lost_when_the_power_goes_in_a_delivery: [Root, Program("cc"), Program("mkfs.ext4")];
    what_is_removed_is_not_written_over_before_that_is_durable: [Root, Program("cc"), Program("mkfs.ext4")];
    nothing_is_lost_when_a_call_fails: [Root, Program("cc")];
    nothing_is_torn_when_a_file_takes_half: [Root, Program("cc")];
}

/// Some points of each.
fn some(most: usize) -> Sample {
    Sample { every: 1, seed: 3, most, stop_at_first: false }
}

fn assert_all_is_well(ground: Ground, run: impl FnOnce(&mut World, &mut Report)) {
    let mut report = Report::quiet();
    run(&mut World::new(ground, None), &mut report);
    assert!(report.is_good(), "{}", report.text());
}

fn named(name: &str) -> Scenario {
    Scenario::named(name).expect("it is one of them")
}

fn nothing_is_lost_when_everything_is_killed() {
    assert_all_is_well(Ground::Firm, |world, report| {
        campaign::kill(world, &named("accept-data-large"), some(4), report);
        campaign::kill(world, &named("partial"), some(5), report);
        campaign::kill(world, &named("recovery"), some(3), report);
        campaign::kill(world, &named("list"), some(5), report);
    });
}

fn nothing_is_lost_when_the_power_goes_behind_a_reply() {
    assert_all_is_well(Ground::Whole(Filesystem::Ext4), |world, report| {
        cuts::after_replies(world, some(6), report);
    });
}

fn nothing_is_lost_when_the_power_of_xfs_goes_behind_a_reply() {
    assert_all_is_well(Ground::Whole(Filesystem::Xfs), |world, report| {
        cuts::after_replies(world, some(6), report);
    });
}

fn nothing_is_lost_when_the_power_goes_in_a_delivery() {
    assert_all_is_well(Ground::Mailboxes(Filesystem::Ext4), |world, report| {
        campaign::kill(world, &named("maildir"), some(3), report);
        campaign::kill(world, &named("mbox"), some(3), report);
    });
}

fn what_is_removed_is_not_written_over_before_that_is_durable() {
    // Of the main thread, whose first one it is if the pass takes no half second.
    let last_sync = campaign::fault_named("0.0:fsync:1:KILL").expect("it is one");
    assert_all_is_well(Ground::Whole(Filesystem::Ext4Writeback), |world, report| {
        campaign::one(world, &named("smtp"), None, &last_sync, report);
    });
}

fn nothing_is_lost_when_a_call_fails() {
    assert_all_is_well(Ground::Firm, |world, report| {
        campaign::errors(world, &named("accept-data"), some(8), report);
        campaign::errors(world, &named("bounce"), some(8), report);
    });
}

fn nothing_is_torn_when_a_file_takes_half() {
    assert_all_is_well(Ground::Firm, |world, report| {
        campaign::short(world, &named("accept-data-large"), some(6), report);
        campaign::short(world, &named("mbox"), some(6), report);
        campaign::short(world, &named("bounce-waits"), some(6), report);
    });
}
