//! Mail exchangers at port 25 of addresses in the Internet, which is the test's own.

use std::collections::BTreeSet;

use smap_tests::dns::Dns;
use smap_tests::needs::Test;
use smap_tests::network::{self, add_foreign, add_silent};
use smap_tests::peers::{Kind, Server};
use smap_tests::post::{Post, Smapd};
use smap_tests::process::Ended;

use super::{FROM, HEAD, assert_arrived};
use crate::lookup;

pub(super) fn tests() -> Vec<Test> {
    macro_rules! with_exchangers {
        ($($behaviour:ident($kind:ident);)*) => {
            vec![$(Test {
                name: concat!(module_path!(), "::", stringify!($behaviour)),
                needs: Kind::$kind.needs(),
                run: || network::alone(&[], $behaviour),
            }),*]
        };
    }
    with_exchangers! {
        the_most_preferred_one_is_taken(Exim);
        the_next_one_takes_what_the_first_refuses_to_hear(Exim);
        the_next_one_takes_what_a_silent_one_does_not(Exim);
        equal_ones_share_the_mail(Exim);
        ipv6_comes_first(Exim);
        ipv4_is_the_way_where_ipv6_leads_nowhere(Exim);
        a_domain_without_exchangers_is_its_own(Exim);
        a_domain_that_takes_no_mail_gets_none_at_its_address(Exim);
        those_behind_us_are_never_asked(Exim);
        a_server_that_speaks_with_two_addresses_gets_a_burst(Postfix);
    }
}

const NEAR: &str = "192.0.2.10";
const FAR: &str = "192.0.2.20";
const SILENT: &str = "198.51.100.1";
const NEAR6: &str = "2001:db8::10";
const TO: &str = "b@example.com";

/// Servers at some of these addresses, and a gateway that finds them by their names.
struct Internet {
    server: Server,
    post: Post,
    _dns: Dns,
}

impl Internet {
    fn new(kind: Kind, listening: &[&str], zone: &str) -> Self {
        Self::with(kind, listening, zone, "")
    }

    /// With these options for mail by mail exchangers.
    fn with(kind: Kind, listening: &[&str], zone: &str, options: &str) -> Self {
        [NEAR, FAR, NEAR6].into_iter().for_each(add_foreign);
        let mut server = Server::new(kind, listening);
        server.start();
        let dns = Dns::start(&format!(
            "{zone}\nnear.example A {NEAR}\nfar.example A {FAR}\nsilent.example A {SILENT}\n\
             both.example A {NEAR}\nboth.example AAAA {NEAR6}"
        ));
        let post = Post::of(smap_tests::gateway::Gateway::new(""));
        post.gateway.write_whole_table(&table(&post, &dns, options));
        Self { server, post, _dns: dns }
    }

    fn send(&self) -> String {
        self.post.send(FROM, &[TO], &format!("{HEAD}\r\nhello"))
    }

    /// A message arrives by way of this address.
    fn assert_sent_to(&self, host: &str, address: &str) -> Smapd {
        let smapd = self.post.smapd();
        let id = self.send();
        let line = smapd.outcome(&id, TO, "sent");
        assert!(line.contains(&format!(" relay={host}[{address}]:25 ")), "{line}");
        smapd.removed(&id);
        assert_arrived(&self.server.wait_for("b", 1)[0], &format!("{HEAD}\r\nhello"));
        smapd
    }
}

/// example.com is somewhere in the Internet; smap takes mail from here for everywhere.
fn table(post: &Post, dns: &Dns, options: &str) -> String {
    let folder = post.gateway.folder().display();
    format!(
        "smap: userid {}\nsmapd: userid {}\nsmap, smapd: directory {folder}/spool\n\
         smap, smapd: hostname gw.here.example\nsmap: permit-relay 127.0.0.1\nsmapd: retry 1h\n\
         smapd: relay-host smtp: {options}\nsmap-lookup: socket {folder}/lookup\n{}\n",
        smap_tests::gateway::SMAP_UID,
        smap_tests::gateway::SMAPD_UID,
        lookup::table(dns)
    )
}

const TWO: &str = "example.com MX 20 far.example\nexample.com MX 10 near.example";

fn the_most_preferred_one_is_taken() {
    let _smapd = Internet::new(Kind::Exim, &[FAR, NEAR], TWO).assert_sent_to("near.example", NEAR);
}

fn the_next_one_takes_what_the_first_refuses_to_hear() {
    let _smapd = Internet::new(Kind::Exim, &[FAR], TWO).assert_sent_to("far.example", FAR);
}

fn the_next_one_takes_what_a_silent_one_does_not() {
    add_silent(SILENT);
    let zone = "example.com MX 10 silent.example\nexample.com MX 20 far.example";
    let internet = Internet::with(Kind::Exim, &[FAR], zone, "timeout=5s");
    let _smapd = internet.assert_sent_to("far.example", FAR);
}

/// Where a line of the log says that the message went.
fn relay_of(ended: &Ended) -> String {
    let line = ended.log.iter().find(|line| line.contains(" status=sent ")).expect("it is sent");
    let rest = line.split(" relay=").nth(1).unwrap();
    rest.split(' ').next().unwrap().to_owned()
}

fn equal_ones_share_the_mail() {
    let zone = "example.com MX 10 far.example\nexample.com MX 10 near.example";
    let internet = Internet::new(Kind::Exim, &[FAR, NEAR], zone);
    // All go the same way once in half a million times.
    let ways: BTreeSet<String> = (0..20)
        .map(|_| {
            let _id = internet.send();
            relay_of(&internet.post.once())
        })
        .collect();
    assert_eq!(ways, [format!("far.example[{FAR}]:25"), format!("near.example[{NEAR}]:25")].into());
}

fn ipv6_comes_first() {
    let internet = Internet::new(Kind::Exim, &[NEAR, NEAR6], "example.com MX 10 both.example");
    let _smapd = internet.assert_sent_to("both.example", NEAR6);
}

fn ipv4_is_the_way_where_ipv6_leads_nowhere() {
    let internet = Internet::new(Kind::Exim, &[NEAR], "example.com MX 10 both.example");
    let _smapd = internet.assert_sent_to("both.example", NEAR);
}

fn a_domain_without_exchangers_is_its_own() {
    let internet = Internet::new(Kind::Exim, &[FAR], &format!("example.com A {FAR}"));
    let _smapd = internet.assert_sent_to("example.com", FAR);
}

fn a_domain_that_takes_no_mail_gets_none_at_its_address() {
    let internet = Internet::new(Kind::Exim, &[FAR], &format!("example.com MX 0 .\nexample.com A {FAR}"));
    let smapd = internet.post.smapd();
    let before = network::connections();
    let id = internet.post.send("", &[TO], HEAD);
    let line = smapd.outcome(&id, TO, "failed");
    assert!(line.contains(" dsn=5.1.10 "), "{line}");
    // The one is ours, to smap.
    assert_eq!(network::connections() - before, 1);
}

fn those_behind_us_are_never_asked() {
    let zone = "example.com MX 10 near.example\nexample.com MX 20 gw.here.example\n\
        example.com MX 30 far.example\ngw.here.example A 192.0.2.1";
    let internet = Internet::new(Kind::Exim, &[FAR], zone);
    let smapd = internet.post.smapd();
    let id = internet.send();
    let line = smapd.outcome(&id, TO, "deferred");
    assert!(line.contains(" dsn=4.4.1 ") && line.contains(NEAR) && !line.contains(FAR), "{line}");
    assert_eq!(internet.server.maildir("b").len(), 0);
}

fn a_server_that_speaks_with_two_addresses_gets_a_burst() {
    let internet = Internet::new(Kind::Postfix, &[NEAR, FAR], TWO);
    let ids: Vec<String> = (0..10).map(|_| internet.send()).collect();
    let smapd = internet.post.smapd();
    for id in &ids {
        let line = smapd.outcome(id, TO, "sent");
        assert!(line.contains(&format!(" relay=near.example[{NEAR}]:25 ")), "{line}");
    }
    assert_eq!(internet.server.wait_for("b", ids.len()).len(), ids.len());
}
