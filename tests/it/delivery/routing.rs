//! Where mail goes that no `domain` line sends: by a mailertable, by an address literal, by mail exchangers.

use std::fs;
use std::path::Path;

use hickory_proto::rr::RecordType;
use nix::sys::signal::Signal;
use smap_tests::dns::Dns;
use smap_tests::gateway::chmod;
use smap_tests::needs::Need::{Ipv6, Program, Root};
use smap_tests::post::{Post, Smapd};
use smap_tests::sink::Sink;
use smap_tests::{network, tests};

use super::relay::FROM;
use crate::lookup;

tests! {
    a_mailertable_says_where_mail_goes;
    a_changed_mailertable_is_read_with_the_table;
    a_broken_mailertable_leaves_the_old_one_in_force;
    a_compiled_mailertable_says_where_mail_goes_and_is_read_again;
    an_address_literal_that_is_us_is_returned;
    mail_waits_while_nobody_knows_the_exchangers;
    row_117_a_domain_that_takes_no_mail_gets_none;
    row_117_a_domain_that_is_not_there_gets_none;
    row_117_an_exchanger_that_is_us_is_no_next_host;
    row_117_an_address_of_this_machine_is_us: [Root, Ipv6, Program("ip")];
    row_117_an_address_that_the_table_says_is_ours_is_us;
    a_domain_beyond_ascii_is_looked_up_by_its_other_name;
    a_domain_that_has_no_other_name_is_told;
    both_spellings_of_a_domain_are_two_domains_of_the_table;
}

/// The mailertable of a gateway; in a folder of its own, as sendmail has it.
fn write_mailertable(folder: &Path, text: &str) {
    let file = folder.join("ways/mailertable");
    fs::create_dir_all(file.parent().unwrap()).unwrap();
    fs::write(&file, text).unwrap();
    chmod(&file, 0o644);
}

/// A gateway that takes mail for everything below `ways.example`, and has this mailertable.
fn with_mailertable(text: &str) -> Post {
    Post::new(|folder| {
        write_mailertable(folder, text);
        format!(
            "smap: domain .ways.example smtp:\n\
             smap, smapd: mailertable {0}/ways/mailertable\n\
             smapd: retry 1s\n\
             smap, smapd: domain local.example maildir:{0}/mail/%u/",
            folder.display()
        )
    })
}

fn a_mailertable_says_where_mail_goes() {
    let (near, far) = (Sink::start(), Sink::start());
    let post = with_mailertable(&format!(
        "# ways\n.ways.example\tesmtp:[127.0.0.1]:{}\na.ways.example relay:[127.0.0.1]:{}\n\
         gone.ways.example error:5.1.6:551 We have moved\n",
        far.port(),
        near.port()
    ));
    let smapd = post.smapd();
    let id = post.send("", &["b@a.ways.example", "c@b.ways.example", "d@gone.ways.example"], "hello");
    assert!(smapd.outcome(&id, "b@a.ways.example", "sent").contains("transport=smtp rule=mailertable@"));
    assert!(smapd.outcome(&id, "c@b.ways.example", "sent").contains("transport=smtp "));
    assert!(smapd.outcome(&id, "d@gone.ways.example", "failed").contains("dsn=5.1.6"));
    assert_eq!(near.received()[0].recipients, ["<b@a.ways.example>"]);
    assert_eq!(far.received()[0].recipients, ["<c@b.ways.example>"]);
}

fn a_changed_mailertable_is_read_with_the_table() {
    let sink = Sink::start();
    let way = format!("smtp:[127.0.0.1]:{}", sink.port());
    let post = with_mailertable(&format!("a.ways.example {way}\nb.ways.example discard:\n"));
    let smapd = post.smapd();
    let id = post.send(FROM, &["c@b.ways.example"], "hello");
    assert!(smapd.outcome(&id, "c@b.ways.example", "sent").contains("transport=discard "));
    write_mailertable(post.gateway.folder(), &format!(".ways.example {way}\n"));
    smapd.process().signal(Signal::SIGHUP);
    let _read = smapd.process().wait_for_log(|line| line.contains("the table was read again"));
    let id = post.send(FROM, &["c@b.ways.example"], "hello");
    assert!(smapd.outcome(&id, "c@b.ways.example", "sent").contains("transport=smtp "));
}

fn a_compiled_mailertable_says_where_mail_goes_and_is_read_again() {
    let post = with_mailertable("a.ways.example discard:\n");
    assert_eq!(post.smapctl(&["compile"]).code, 0);
    write_mailertable(post.gateway.folder(), "a.ways.example error:5.1.6:551 We have moved\n");
    let smapd = post.smapd();
    let _warned =
        smapd.process().wait_for_log(|line| line.contains("mailertable.cdb was made from another state"));
    let id = post.send("", &["b@a.ways.example"], "hello");
    assert!(smapd.outcome(&id, "b@a.ways.example", "sent").contains("transport=discard "));
    assert_eq!(post.smapctl(&["compile"]).code, 0);
    smapd.process().signal(Signal::SIGHUP);
    let _read = smapd.process().wait_for_log(|line| line.contains("the table was read again"));
    let id = post.send("", &["b@a.ways.example"], "hello");
    assert!(smapd.outcome(&id, "b@a.ways.example", "failed").contains("dsn=5.1.6"));
}

fn a_broken_mailertable_leaves_the_old_one_in_force() {
    let post = with_mailertable(".ways.example discard:\n");
    let smapd = post.smapd();
    write_mailertable(post.gateway.folder(), ".ways.example dscard:\n");
    smapd.process().signal(Signal::SIGHUP);
    let line = smapd.process().wait_for_log(|line| line.contains("the old table stays in force"));
    assert!(line.contains("ways/mailertable:1: ") && line.contains("did you mean \"discard\""), "{line}");
    let id = post.send(FROM, &["c@b.ways.example"], "hello");
    assert!(smapd.outcome(&id, "c@b.ways.example", "sent").contains("transport=discard "));
}

/// Those who may send anywhere cannot send us in a circle either.
fn an_address_literal_that_is_us_is_returned() {
    let post = Post::new(|_| "smap: permit-relay 127.0.0.1".to_owned());
    let smapd = post.smapd();
    let id = post.send("", &["b@[127.0.0.1]", "b@[IPv6:::]"], "hello");
    for to in ["b@[127.0.0.1]", "b@[IPv6:::]"] {
        let line = smapd.outcome(&id, to, "failed");
        assert!(line.contains("dsn=5.4.6") && line.contains("loops back"), "{line}");
    }
}

/// Who is inside may send to any domain, by MX.
fn by_exchangers(dns: &Dns, lines: &str) -> Post {
    let lookup = lookup::table(dns);
    Post::new(|_| format!("{lines}\n{lookup}\nsmap: permit-relay 127.0.0.1\nsmapd: retry 1h"))
}

/// Mail by MX, with this to be found in the network.
fn assert_by_exchangers(zone: &str, status: &str, words: &str) {
    let dns = Dns::start(zone);
    let post = by_exchangers(&dns, "");
    let smapd = post.smapd();
    let id = post.send("", &["b@elsewhere.example"], "hello");
    let line = smapd.outcome(&id, "b@elsewhere.example", status);
    assert!(line.contains(words), "{line}");
}

fn mail_waits_while_nobody_knows_the_exchangers() {
    assert_by_exchangers("elsewhere.example SERVFAIL", "deferred", "dsn=4.4.3");
}

fn row_117_a_domain_that_takes_no_mail_gets_none() {
    assert_by_exchangers("elsewhere.example MX 0 .", "failed", "dsn=5.1.10");
}

fn row_117_a_domain_that_is_not_there_gets_none() {
    assert_by_exchangers("other.example A 192.0.2.1", "failed", "dsn=5.1.2");
}

fn row_117_an_exchanger_that_is_us_is_no_next_host() {
    let by_address = "elsewhere.example MX 10 mail.elsewhere.example\nmail.elsewhere.example A 127.0.0.1";
    assert_by_exchangers(by_address, "failed", "dsn=5.4.6");
    assert_by_exchangers("elsewhere.example MX 10 gw.example.com", "failed", "dsn=5.4.6");
}

/// Waits for mail to be returned because it would come back.
fn assert_loops(post: &Post, smapd: &Smapd, to: &str) {
    let id = post.send("", &[to], "hello");
    let line = smapd.outcome(&id, to, "failed");
    assert!(line.contains("dsn=5.4.6") && line.contains("loops back"), "{line}");
}

fn row_117_an_address_of_this_machine_is_us() {
    network::alone(&["192.0.2.25/32", "2001:db8::25/128"], || {
        let zone = "elsewhere.example MX 10 other.example\nother.example A 192.0.2.25\n\
                    later.example MX 10 192-0-2-26.example\n192-0-2-26.example A 192.0.2.26";
        let dns = Dns::start(zone);
        let post = by_exchangers(&dns, "");
        let smapd = post.smapd();
        for to in ["b@elsewhere.example", "b@[192.0.2.25]", "b@[IPv6:2001:db8::25]"] {
            assert_loops(&post, &smapd, to);
        }
        // The kernel tells nothing to a smapd that runs: what it knows stays.
        network::add("192.0.2.26/32");
        smapd.process().signal(Signal::SIGHUP);
        let _read = smapd.process().wait_for_log(|line| line.contains("the table was read again"));
        assert_loops(&post, &smapd, "b@[192.0.2.25]");
        let id = post.send("", &["b@later.example"], "hello");
        let _line = smapd.outcome(&id, "b@later.example", "deferred");
        drop(smapd);
        assert_loops(&post, &post.smapd(), "b@[192.0.2.26]");
    });
}

fn row_117_an_address_that_the_table_says_is_ours_is_us() {
    let dns = Dns::start("elsewhere.example MX 10 gate.example\ngate.example A 198.51.100.25");
    let ours = "smapd: our-address 203.0.113.1 2001:db8::1\nsmapd: our-address 198.51.100.25";
    let post = by_exchangers(&dns, ours);
    let smapd = post.smapd();
    for to in ["b@elsewhere.example", "b@[203.0.113.1]", "b@[IPv6:2001:db8::1]"] {
        assert_loops(&post, &smapd, to);
    }
}

/// What becomes of mail for this recipient beyond ASCII.
fn outcome_beyond_ascii(post: &Post, to: &str, status: &str) -> String {
    let smapd = post.smapd();
    let id = post.send_as("<> SMTPUTF8", &[format!("<{to}>")], "hello");
    smapd.outcome(&id, to, status)
}

fn a_domain_beyond_ascii_is_looked_up_by_its_other_name() {
    let dns = Dns::start("xn--bcher-kva.example MX 0 .");
    let post = by_exchangers(&dns, "");
    let line = outcome_beyond_ascii(&post, "b@bücher.example", "failed");
    assert!(line.contains("dsn=5.1.10") && line.contains("xn--bcher-kva.example"), "{line}");
    assert_eq!(dns.asked("xn--bcher-kva.example", RecordType::MX), 1);
}

fn a_domain_that_has_no_other_name_is_told() {
    let dns = Dns::start("");
    let post = by_exchangers(&dns, "");
    // Hebrew behind Latin letters: nobody could say where such a name begins.
    let line = outcome_beyond_ascii(&post, "b@a\u{5d0}.example", "failed");
    assert!(line.contains("dsn=5.1.2") && line.contains("not a name of IDNA"), "{line}");
}

/// smap knows nothing of the other spelling, so smapd does not either.
fn both_spellings_of_a_domain_are_two_domains_of_the_table() {
    let dns = Dns::start("");
    let post = by_exchangers(&dns, "smap, smapd: domain bücher.example xn--bcher-kva.example discard");
    for to in ["b@bücher.example", "b@xn--bcher-kva.example"] {
        assert!(outcome_beyond_ascii(&post, to, "sent").contains("transport=discard "));
    }
    post.gateway.write_table(&format!(
        "{}\nsmap: permit-relay 127.0.0.1\nsmap, smapd: domain bücher.example discard",
        lookup::table(&dns)
    ));
    let line = outcome_beyond_ascii(&post, "b@xn--bcher-kva.example", "failed");
    assert!(line.contains("transport=smtp ") && line.contains("dsn=5.1.2"), "{line}");
}
