//! smap-lookup, asked by its own words, with a name server of the tests' own.

use std::fs;
use std::net::IpAddr;
use std::path::PathBuf;
use std::process::Command;
use std::time::Instant;

use hickory_proto::rr::RecordType;
use smap_common::lookup::{Answer, Failure, Mx, Outcome, Question, Tlsa};
use smap_tests::asker::Asker;
use smap_tests::dns::Dns;
use smap_tests::gateway::Gateway;
use smap_tests::needs::Need::{Ipv6, Program, Root};
use smap_tests::needs::is_root;
use smap_tests::process::Process;
use smap_tests::{eventually, programs, tests};

pub(crate) mod callout;
pub(crate) mod outage;
pub(crate) mod peers;
pub(crate) mod service;
pub(crate) mod users;

tests! {
    a_host_has_addresses_of_both_families;
    a_literal_is_its_own_address;
    mail_exchangers_come_in_their_order;
    a_domain_may_say_that_it_takes_no_mail;
    of_five_hundred_exchangers_the_most_preferred_are_told;
    exchangers_that_are_no_names_are_not_told;
    an_address_has_the_names_that_have_it;
    an_address_whose_names_deny_it_has_none;
    texts_are_whole;
    keys_are_asked_for_at_their_port;
    an_alias_is_followed_within_an_answer_and_beyond;
    aliases_that_go_round_come_to_an_end;
    no_such_name_no_such_record_and_not_now_are_three_things;
    silence_is_not_known_now;
    a_truncated_answer_is_asked_for_by_tcp;
    an_answer_with_another_number_is_not_believed;
    what_was_asked_once_is_not_asked_again;
    what_a_local_server_has_validated_is_secure;
    a_chain_that_is_not_validated_as_a_whole_is_not_secure;
    the_hosts_file_comes_first_and_is_read_again: [Root, Program("unshare")];
    many_questions_at_once_are_all_answered;
    a_name_server_may_have_an_ipv6_address: [Ipv6];
    a_name_is_confirmed_in_the_family_of_its_address;
    of_several_names_all_have_to_be_looked_up;
    a_name_that_no_host_can_have_is_none;
    an_address_that_names_itself_has_no_name;
}

/// Its user.
const LOOKUP_UID: u32 = 40003;

/// The line that names its user, for root's tables.
fn userid() -> String {
    if is_root() { format!("smap-lookup: userid {LOOKUP_UID}\n") } else { String::new() }
}

/// A running smap-lookup and what it asks.
struct Desk {
    gateway: Gateway,
    process: Process,
    dns: Dns,
}

impl Desk {
    fn new(zone: &str) -> Self {
        let dns = Dns::start(zone);
        let gateway = Gateway::new(&table(&dns));
        let process = start(&gateway);
        Self { gateway, process, dns }
    }

    fn asker(&self) -> Asker {
        Asker::connect(&socket(&self.gateway)).expect("it listens")
    }

    fn ask(&self, question: Question) -> Answer {
        self.asker().ask(question)
    }
}

/// The lines that have it ask this server.
pub(crate) fn table(dns: &Dns) -> String {
    format!("{}smap-lookup: nameserver {}", userid(), dns.address)
}

/// The lines of one that needs no server: nobody listens there.
pub(crate) fn no_servers() -> String {
    format!("{}smap-lookup: nameserver 127.0.0.1:1", userid())
}

fn socket(gateway: &Gateway) -> PathBuf {
    gateway.folder().join("lookup")
}

/// Starts smap-lookup of its own, and waits until it listens.
pub(crate) fn start(gateway: &Gateway) -> Process {
    let process = Process::start(gateway.program("smap-lookup").arg("--foreground"));
    let _there = process.wait_for_log(|line| line.contains("started; the socket is"));
    process
}

fn addresses(host: &str) -> Question {
    Question::Addresses { host: host.parse().unwrap() }
}

fn mx(domain: &str) -> Question {
    Question::Mx { domain: domain.parse().unwrap() }
}

fn names(address: &str) -> Question {
    Question::Names { address: address.parse().unwrap() }
}

fn texts(name: &str) -> Question {
    Question::Texts { name: name.parse().unwrap() }
}

fn ips(texts: &[&str]) -> Vec<IpAddr> {
    texts.iter().map(|text| text.parse().unwrap()).collect()
}

fn records<T>(outcome: Outcome<T>) -> Vec<T> {
    let found = outcome.unwrap_or_else(|failure| panic!("not found: {failure}"));
    assert!((1..=300).contains(&found.ttl), "{} seconds", found.ttl);
    found.records
}

fn assert_addresses(answer: Answer, wanted: &[&str]) {
    let Answer::Addresses(outcome) = answer else { panic!("{answer:?}") };
    let mut found = records(outcome);
    found.sort();
    assert_eq!(found, ips(wanted));
}

fn exchangers(answer: Answer) -> Vec<Mx> {
    let Answer::Mx(outcome) = answer else { panic!("{answer:?}") };
    records(outcome)
}

fn exchanger(preference: u16, exchange: &str) -> Mx {
    Mx { preference, exchange: exchange.parse().unwrap() }
}

fn a_host_has_addresses_of_both_families() {
    let desk = Desk::new("mail.example A 192.0.2.1\nmail.example A 192.0.2.2\nmail.example AAAA 2001:db8::1");
    let wanted = ["192.0.2.1", "192.0.2.2", "2001:db8::1"];
    assert_addresses(desk.ask(addresses("mail.example")), &wanted);
    assert_addresses(desk.ask(addresses("MAIL.Example.")), &wanted);
}

fn a_literal_is_its_own_address() {
    let desk = Desk::new("");
    let Answer::Addresses(Ok(found)) = desk.ask(addresses("192.0.2.7")) else { panic!("not found") };
    assert_eq!(found.records, ips(&["192.0.2.7"]));
    assert_eq!(desk.dns.asked("192.0.2.7", RecordType::A), 0);
}

fn mail_exchangers_come_in_their_order() {
    let desk = Desk::new("example MX 20 b.example\nexample MX 10 A.Example\nexample MX 20 a2.example");
    let wanted = [exchanger(10, "a.example"), exchanger(20, "a2.example"), exchanger(20, "b.example")];
    assert_eq!(exchangers(desk.ask(mx("example"))), wanted);
}

fn a_domain_may_say_that_it_takes_no_mail() {
    let desk = Desk::new("example MX 0 .");
    let found = exchangers(desk.ask(mx("example")));
    assert_eq!(found, [exchanger(0, ".")]);
    assert!(found[0].exchange.is_root());
}

fn of_five_hundred_exchangers_the_most_preferred_are_told() {
    let zone: Vec<String> = (0..500).rev().map(|n| format!("example MX {n} mx{n}.example")).collect();
    let found = exchangers(Desk::new(&format!("example TRUNCATED\n{}", zone.join("\n"))).ask(mx("example")));
    assert_eq!(found.len(), 64);
    assert_eq!((found[0].preference, found[63].preference), (0, 63));
}

fn exchangers_that_are_no_names_are_not_told() {
    let desk = Desk::new("example MX 1 a/b.example\nexample MX 2 a.example\nbad.example MX 1 a$b.example");
    assert_eq!(exchangers(desk.ask(mx("example"))), [exchanger(2, "a.example")]);
    // There is something, so it is not that there is nothing.
    assert!(matches!(desk.ask(mx("bad.example")), Answer::Mx(Err(Failure::Temporary(_)))));
}

fn an_address_has_the_names_that_have_it() {
    let desk = Desk::new(
        "7.2.0.192.in-addr.arpa PTR mail.example\n7.2.0.192.in-addr.arpa PTR liar.example\n\
         7.2.0.192.in-addr.arpa PTR nobody.example\n\
         mail.example A 192.0.2.7\nmail.example A 192.0.2.8\nliar.example A 192.0.2.9",
    );
    for address in ["192.0.2.7", "::ffff:192.0.2.7"] {
        let Answer::Names(outcome) = desk.ask(names(address)) else { panic!("another kind") };
        assert_eq!(records(outcome), ["mail.example".parse().unwrap()]);
    }
}

fn an_address_whose_names_deny_it_has_none() {
    let desk = Desk::new(
        "7.2.0.192.in-addr.arpa PTR liar.example\nliar.example A 192.0.2.9\n\
         8.2.0.192.in-addr.arpa PTR broken.example\nbroken.example SERVFAIL",
    );
    assert_eq!(desk.ask(names("192.0.2.7")), Answer::Names(Err(Failure::NoRecords)));
    assert!(matches!(desk.ask(names("192.0.2.8")), Answer::Names(Err(Failure::Temporary(_)))));
    assert_eq!(desk.ask(names("192.0.2.9")), Answer::Names(Err(Failure::NoSuchName)));
}

fn texts_are_whole() {
    let desk = Desk::new("_dmarc.example TXT v=DMARC1; p=none\nexample TXT one\nexample TXT two parts");
    let of = |name: &str| {
        let Answer::Texts(outcome) = desk.ask(texts(name)) else { panic!("another kind") };
        records(outcome)
    };
    assert_eq!(of("_dmarc.example"), [b"v=DMARC1;p=none".to_vec()]);
    assert_eq!(of("example"), [b"one".to_vec(), b"twoparts".to_vec()]);
}

fn keys_are_asked_for_at_their_port() {
    let desk = Desk::new("_25._tcp.mail.example TLSA 3 1 1 0123456789abcdef");
    let ask = |port| desk.ask(Question::Tlsa { port, host: "mail.example".parse().unwrap() });
    let Answer::Tlsa(outcome) = ask(25) else { panic!("another kind") };
    let data = b"0123456789abcdef".to_vec();
    assert_eq!(records(outcome), [Tlsa { usage: 3, selector: 1, matching: 1, data }]);
    assert_eq!(ask(465), Answer::Tlsa(Err(Failure::NoSuchName)));
}

fn an_alias_is_followed_within_an_answer_and_beyond() {
    let desk = Desk::new(
        "www.example CNAME web.example\nweb.example A 192.0.2.1\n\
         far.example CNAME further.example\nfar.example ALONE\n\
         further.example CNAME web.example\nfurther.example ALONE",
    );
    assert_addresses(desk.ask(addresses("www.example")), &["192.0.2.1"]);
    for _ in 0..2 {
        assert_addresses(desk.ask(addresses("far.example")), &["192.0.2.1"]);
    }
}

fn aliases_that_go_round_come_to_an_end() {
    let desk = Desk::new(
        "a.example CNAME b.example\nb.example CNAME a.example\n\
         c.example CNAME d.example\nc.example ALONE\nd.example CNAME c.example\nd.example ALONE\n\
         self.example CNAME self.example",
    );
    for host in ["a.example", "c.example", "self.example"] {
        let answer = desk.ask(addresses(host));
        assert!(matches!(answer, Answer::Addresses(Err(Failure::Temporary(_)))), "{host}: {answer:?}");
    }
}

fn no_such_name_no_such_record_and_not_now_are_three_things() {
    let desk = Desk::new(
        "there.example A 192.0.2.1\nempty.example EMPTY\nbroken.example SERVFAIL\nno.example REFUSED\n\
         dead.example CNAME gone.example\nhalf.example A 192.0.2.2",
    );
    assert_eq!(desk.ask(mx("gone.example")), Answer::Mx(Err(Failure::NoSuchName)));
    assert_eq!(desk.ask(mx("there.example")), Answer::Mx(Err(Failure::NoRecords)));
    assert_eq!(desk.ask(addresses("gone.example")), Answer::Addresses(Err(Failure::NoSuchName)));
    assert_eq!(desk.ask(addresses("empty.example")), Answer::Addresses(Err(Failure::NoRecords)));
    assert_eq!(desk.ask(addresses("dead.example")), Answer::Addresses(Err(Failure::NoSuchName)));
    for host in ["broken.example", "no.example"] {
        let answer = desk.ask(mx(host));
        let Answer::Mx(Err(Failure::Temporary(why))) = &answer else { panic!("{host}: {answer:?}") };
        assert!(why.starts_with("a name server said: "), "{why}");
    }
}

fn silence_is_not_known_now() {
    let desk = Desk::new("mute.example SILENT\nthere.example A 192.0.2.1");
    let (asker, since) = (desk.asker(), Instant::now());
    asker.send(1, addresses("mute.example")).unwrap();
    // It does not keep others waiting.
    asker.send(2, addresses("there.example")).unwrap();
    assert_eq!(asker.next().unwrap().id, 2);
    let answered = asker.next().unwrap();
    assert!(matches!(answered.answer, Answer::Addresses(Err(Failure::Temporary(_)))), "{answered:?}");
    assert!(since.elapsed().as_secs() <= 22, "{:?}", since.elapsed());
}

fn a_truncated_answer_is_asked_for_by_tcp() {
    let desk = Desk::new("long.example TRUNCATED\nlong.example TXT everything");
    let Answer::Texts(outcome) = desk.ask(texts("long.example")) else { panic!("another kind") };
    assert_eq!(records(outcome), [b"everything".to_vec()]);
    assert_eq!(desk.dns.asked_by_tcp("long.example"), 1);
}

fn an_answer_with_another_number_is_not_believed() {
    let desk = Desk::new("mail.example WRONG-ID\nmail.example A 192.0.2.1");
    assert_addresses(desk.ask(addresses("mail.example")), &["192.0.2.1"]);
}

fn what_was_asked_once_is_not_asked_again() {
    let desk = Desk::new("mail.example A 192.0.2.1\nempty.example EMPTY");
    for _ in 0..3 {
        assert_addresses(desk.ask(addresses("mail.example")), &["192.0.2.1"]);
        assert_eq!(desk.ask(mx("empty.example")), Answer::Mx(Err(Failure::NoRecords)));
        assert_eq!(desk.ask(mx("gone.example")), Answer::Mx(Err(Failure::NoSuchName)));
    }
    for (name, kind) in
        [("mail.example", RecordType::A), ("empty.example", RecordType::MX), ("gone.example", RecordType::MX)]
    {
        assert_eq!(desk.dns.asked(name, kind), 1, "{name}");
    }
}

fn is_secure(answer: &Answer) -> bool {
    let Answer::Addresses(Ok(found)) = answer else { panic!("{answer:?}") };
    found.secure
}

fn what_a_local_server_has_validated_is_secure() {
    let desk = Desk::new("safe.example A 192.0.2.1\nsafe.example SECURE\nplain.example A 192.0.2.2");
    for _ in 0..2 {
        assert!(is_secure(&desk.ask(addresses("safe.example"))));
        assert!(!is_secure(&desk.ask(addresses("plain.example"))));
    }
}

fn a_chain_that_is_not_validated_as_a_whole_is_not_secure() {
    let desk = Desk::new(
        "forged.example CNAME safe.example\nforged.example ALONE\n\
         safe.example A 192.0.2.1\nsafe.example SECURE",
    );
    for _ in 0..2 {
        assert!(!is_secure(&desk.ask(addresses("forged.example"))));
    }
}

fn the_hosts_file_comes_first_and_is_read_again() {
    let dns = Dns::start("listed.example A 192.0.2.1");
    let gateway = Gateway::new(&table(&dns));
    let hosts = gateway.folder().join("hosts");
    fs::write(&hosts, "192.0.2.99 listed.example short # a comment\n").unwrap();
    let bind = "mount --bind \"$0\" /etc/hosts && exec \"$@\"";
    let mut command = Command::new(programs::peer("unshare"));
    command.args(["--mount", "sh", "-c", bind]).arg(&hosts).arg(programs::ours("smap-lookup"));
    let process = Process::start(command.arg("--config").arg(gateway.table()).arg("--foreground"));
    let _there = process.wait_for_log(|line| line.contains("started"));
    let asker = Asker::connect(&socket(&gateway)).unwrap();
    for host in ["listed.example", "short"] {
        let Answer::Addresses(Ok(found)) = asker.ask(addresses(host)) else { panic!("{host} is listed") };
        assert_eq!(found.records, ips(&["192.0.2.99"]));
    }
    let Answer::Names(Ok(found)) = asker.ask(names("192.0.2.99")) else { panic!("it is listed") };
    assert_eq!(
        found.records.iter().map(ToString::to_string).collect::<Vec<_>>(),
        ["listed.example", "short"]
    );
    assert_eq!(dns.asked("listed.example", RecordType::A), 0);
    fs::write(&hosts, "192.0.2.100 listed.example\n").unwrap();
    eventually("the file is read again", || {
        let Answer::Addresses(Ok(found)) = asker.ask(addresses("listed.example")) else { return None };
        (found.records == ips(&["192.0.2.100"])).then_some(())
    });
}

fn many_questions_at_once_are_all_answered() {
    let zone: Vec<String> = (0..300).map(|n| format!("h{n}.example A 192.0.2.1")).collect();
    let desk = Desk::new(&zone.join("\n"));
    let asker = desk.asker();
    for id in 0..300 {
        asker.send(id, addresses(&format!("h{id}.example"))).unwrap();
    }
    let mut ids: Vec<u64> = (0..300)
        .map(|_| {
            let answered = asker.next().expect("it is there");
            assert_addresses(answered.answer, &["192.0.2.1"]);
            answered.id
        })
        .collect();
    ids.sort_unstable();
    assert!(ids.into_iter().eq(0..300));
}

fn a_name_server_may_have_an_ipv6_address() {
    let dns = Dns::start_at("::1".parse().unwrap(), "mail.example A 192.0.2.1\nmail.example TRUNCATED");
    let gateway = Gateway::new(&table(&dns));
    let _process = start(&gateway);
    let asker = Asker::connect(&socket(&gateway)).unwrap();
    assert_addresses(asker.ask(addresses("mail.example")), &["192.0.2.1"]);
    assert!(dns.asked_by_tcp("mail.example") > 0);
}

/// The name of 2001:db8::7 in the DNS.
pub(crate) const REVERSE: &str = "7.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.8.b.d.0.1.0.0.2.ip6.arpa";

/// What cannot be said of the other family matters as little as what it says.
fn a_name_is_confirmed_in_the_family_of_its_address() {
    let desk = Desk::new(&format!(
        "7.2.0.192.in-addr.arpa PTR mail.example\n{REVERSE} PTR mail.example\n\
         mail.example A 192.0.2.7\nmail.example SERVFAIL-AAAA",
    ));
    let Answer::Names(outcome) = desk.ask(names("192.0.2.7")) else { panic!("another kind") };
    assert_eq!(records(outcome), ["mail.example".parse().unwrap()]);
    let answer = desk.ask(names("2001:db8::7"));
    assert!(matches!(answer, Answer::Names(Err(Failure::Temporary(_)))), "{answer:?}");
}

/// The one that is missing may be the one that a rule denies.
fn of_several_names_all_have_to_be_looked_up() {
    let desk = Desk::new(
        "7.2.0.192.in-addr.arpa PTR mail.example\n7.2.0.192.in-addr.arpa PTR guest.example\n\
         mail.example A 192.0.2.7\nguest.example SERVFAIL",
    );
    let answer = desk.ask(names("192.0.2.7"));
    assert!(matches!(answer, Answer::Names(Err(Failure::Temporary(_)))), "{answer:?}");
}

fn a_name_that_no_host_can_have_is_none() {
    let desk = Desk::new("7.2.0.192.in-addr.arpa PTR .");
    assert_eq!(desk.ask(names("192.0.2.7")), Answer::Names(Err(Failure::NoRecords)));
}

fn an_address_that_names_itself_has_no_name() {
    let desk = Desk::new("7.2.0.192.in-addr.arpa PTR 192.0.2.7\n192.0.2.7 A 192.0.2.7");
    assert_eq!(desk.ask(names("192.0.2.7")), Answer::Names(Err(Failure::NoRecords)));
}
