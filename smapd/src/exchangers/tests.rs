use netperm::exchangers::{MAX_ADDRESSES, MAX_ADDRESSES_EACH, MAX_EXCHANGERS, MAX_READ, unknown_now};

use super::*;

fn ours() -> Ourselves {
    Ourselves { name: "gw.example".to_owned(), addresses: vec!["192.0.2.25".parse().unwrap()] }
}

fn mx(records: &[(u16, &str)]) -> Outcome<Exchanger> {
    let exchanger =
        |(preference, host): &(u16, &str)| Exchanger { preference: *preference, host: (*host).to_owned() };
    Ok(records.iter().map(exchanger).collect())
}

fn temporary() -> Failure {
    Failure::Temporary("no name server answers".to_owned())
}

/// The hosts in their order, or the status of the verdict.
fn asked(answer: &Outcome<Exchanger>) -> Result<Vec<String>, String> {
    let hosts = hosts("example.org", answer, &ours(), 7);
    hosts
        .map(|hosts| hosts.into_iter().map(|exchanger| exchanger.host).collect())
        .map_err(|report| report.status.to_string())
}

type Known<'a> = [(&'a str, Result<&'a [&'a str], Failure>)];

/// The addresses in their order, or the status of the verdict.
fn led(answer: &Outcome<Exchanger>, known: &Known<'_>) -> Result<Vec<String>, String> {
    let hosts = hosts("example.org", answer, &ours(), 7).unwrap();
    let found = known.iter().map(|(host, found)| {
        let parse = |addresses: &&[&str]| addresses.iter().map(|text| text.parse().unwrap()).collect();
        ((*host).to_owned(), found.as_ref().map(parse).map_err(Clone::clone))
    });
    let places = places("example.org", &hosts, &found.collect(), &ours());
    places
        .map(|places| places.into_iter().map(|(host, address)| format!("{host}[{address}]")).collect())
        .map_err(|report| report.status.to_string())
}

fn status(status: &str) -> Result<Vec<String>, String> {
    Err(status.to_owned())
}

fn names(names: &[&str]) -> Result<Vec<String>, String> {
    Ok(names.iter().map(|name| (*name).to_owned()).collect())
}

#[test]
fn the_lowest_preference_is_first() {
    let answer = mx(&[(20, "b.example"), (10, "A.Example."), (30, "c.example")]);
    assert_eq!(asked(&answer), names(&["a.example", "b.example", "c.example"]));
}

#[test]
fn equal_preferences_come_in_any_order_and_never_before_a_better_one() {
    let answer = mx(&[(10, "a.example"), (10, "b.example"), (10, "c.example"), (5, "first.example")]);
    let mut first: HashMap<String, u32> = HashMap::new();
    for seed in 0..300 {
        let hosts = hosts("example.org", &answer, &ours(), seed).unwrap();
        assert_eq!(hosts[0].host, "first.example");
        assert_eq!(hosts.len(), 4);
        *first.entry(hosts[1].host.clone()).or_default() += 1;
    }
    assert_eq!(first.len(), 3);
    assert!(first.values().all(|count| *count > 50), "{first:?}");
}

#[test]
fn the_same_seed_gives_the_same_order() {
    let answer = mx(&[(10, "a.example"), (10, "b.example"), (10, "c.example")]);
    assert_eq!(asked(&answer), asked(&answer));
}

#[test]
fn a_host_that_is_named_twice_is_tried_once_at_its_best() {
    let answer = mx(&[(20, "a.example"), (15, "b.example"), (10, "A.example.")]);
    assert_eq!(asked(&answer), names(&["a.example", "b.example"]));
}

#[test]
fn a_domain_without_exchangers_is_its_own() {
    assert_eq!(asked(&Err(Failure::NoRecords)), names(&["example.org"]));
    let known: &Known<'_> = &[("example.org", Ok(&["198.51.100.1"]))];
    assert_eq!(led(&Err(Failure::NoRecords), known), names(&["example.org[198.51.100.1]"]));
}

#[test]
fn a_domain_that_is_not_there_fails() {
    assert_eq!(asked(&Err(Failure::NoSuchName)), status("5.1.2"));
}

#[test]
fn a_domain_that_cannot_be_looked_up_now_waits() {
    assert_eq!(asked(&Err(temporary())), status("4.4.3"));
}

#[test]
fn a_null_mx_fails() {
    for root in [".", ""] {
        assert_eq!(asked(&mx(&[(0, root)])), status("5.1.10"));
    }
}

#[test]
fn a_root_beside_other_exchangers_says_nothing() {
    assert_eq!(asked(&mx(&[(0, "."), (10, "a.example")])), names(&["a.example"]));
}

#[test]
fn an_exchanger_that_is_an_address_is_skipped() {
    assert_eq!(asked(&mx(&[(0, "192.0.2.1")])), status("5.4.4"));
    assert_eq!(asked(&mx(&[(0, "[192.0.2.1]"), (0, "2001:db8::1")])), status("5.4.4"));
    assert_eq!(asked(&mx(&[(0, "127.0.0.1."), (10, "a.example")])), names(&["a.example"]));
}

#[test]
fn an_exchanger_that_no_host_can_be_is_skipped() {
    for host in ["a b.example", "a\r\nb.example", "-a.example", "ü.example", "a..example", "a.123"] {
        assert_eq!(asked(&mx(&[(0, host)])), status("5.4.4"), "{host}");
    }
}

#[test]
fn five_hundred_exchangers_are_twenty() {
    let many: Vec<String> = (0..500).map(|number| format!("mx{number}.example")).collect();
    let records: Vec<(u16, &str)> = many.iter().map(|host| (10, host.as_str())).collect();
    let hosts = asked(&mx(&records)).unwrap();
    assert_eq!(hosts.len(), MAX_EXCHANGERS);
    assert!(hosts.iter().all(|host| many[..MAX_READ].contains(host)));
}

#[test]
fn our_own_name_ends_the_list() {
    let answer = mx(&[(10, "a.example"), (20, "GW.example."), (20, "b.example"), (30, "c.example")]);
    assert_eq!(asked(&answer), names(&["a.example"]));
}

#[test]
fn our_own_name_as_the_best_exchanger_is_a_loop() {
    assert_eq!(asked(&mx(&[(10, "gw.example"), (20, "a.example")])), status("5.4.6"));
}

#[test]
fn an_address_of_ours_as_the_best_exchanger_is_a_loop() {
    for address in ["127.0.0.1", "127.9.9.9", "::1", "0.0.0.0", "::", "192.0.2.25", "::ffff:127.0.0.1"] {
        let known: &Known<'_> = &[("a.example", Ok(&[address])), ("b.example", Ok(&["198.51.100.1"]))];
        let answer = mx(&[(10, "a.example"), (10, "b.example")]);
        assert_eq!(led(&answer, known), status("5.4.6"), "{address}");
    }
}

#[test]
fn an_address_of_ours_leaves_the_better_exchangers() {
    let known: &Known<'_> = &[
        ("a.example", Ok(&["198.51.100.1"])),
        ("us.example", Ok(&["198.51.100.2", "192.0.2.25"])),
        ("worse.example", Ok(&["198.51.100.3"])),
    ];
    let answer = mx(&[(10, "a.example"), (20, "us.example"), (30, "worse.example")]);
    assert_eq!(led(&answer, known), names(&["a.example[198.51.100.1]"]));
}

#[test]
fn a_better_exchanger_that_is_not_known_now_is_waited_for_before_it_is_a_loop() {
    let known: &Known<'_> = &[("a.example", Err(temporary())), ("us.example", Ok(&["127.0.0.1"]))];
    assert_eq!(led(&mx(&[(10, "a.example"), (20, "us.example")]), known), status("4.4.3"));
    assert_eq!(led(&mx(&[(20, "a.example"), (10, "us.example")]), known), status("5.4.6"));
}

#[test]
fn an_exchanger_without_an_address_is_skipped() {
    let known: &Known<'_> = &[
        ("a.example", Err(Failure::NoSuchName)),
        ("b.example", Err(temporary())),
        ("c.example", Ok(&["2001:db8::1", "198.51.100.1"])),
    ];
    let answer = mx(&[(10, "a.example"), (20, "b.example"), (30, "c.example")]);
    assert_eq!(led(&answer, known), names(&["c.example[2001:db8::1]", "c.example[198.51.100.1]"]));
}

#[test]
fn exchangers_that_all_have_no_address_fail_unless_one_may_have_some_later() {
    let answer = mx(&[(10, "a.example"), (20, "b.example")]);
    let none: &Known<'_> = &[("a.example", Err(Failure::NoSuchName)), ("b.example", Err(Failure::NoRecords))];
    assert_eq!(led(&answer, none), status("5.4.4"));
    let later: &Known<'_> = &[("a.example", Err(Failure::NoSuchName)), ("b.example", Err(temporary()))];
    assert_eq!(led(&answer, later), status("4.4.3"));
}

#[test]
fn a_domain_with_neither_exchanger_nor_address_fails() {
    let known: &Known<'_> = &[("example.org", Err(Failure::NoRecords))];
    assert_eq!(led(&Err(Failure::NoRecords), known), status("5.1.2"));
    let later: &Known<'_> = &[("example.org", Err(temporary()))];
    assert_eq!(led(&Err(Failure::NoRecords), later), status("4.4.3"));
}

#[test]
fn a_chain_of_aliases_without_end_waits() {
    let circle = Failure::Temporary("its aliases lead in a circle".to_owned());
    assert_eq!(asked(&Err(circle.clone())), status("4.4.3"));
    assert_eq!(led(&mx(&[(10, "a.example")]), &[("a.example", Err(circle))]), status("4.4.3"));
}

#[test]
fn a_host_with_many_addresses_leaves_room_for_the_others() {
    let many: Vec<String> = (1..200).map(|number| format!("198.51.100.{number}")).collect();
    let many: Vec<&str> = many.iter().map(String::as_str).collect();
    let hosts: Vec<String> = (0..20).map(|number| format!("mx{number:02}.example")).collect();
    let records: Vec<(u16, &str)> = (0..).zip(hosts.iter().map(String::as_str)).collect();
    let known: Vec<_> = hosts.iter().map(|host| (host.as_str(), Ok(many.as_slice()))).collect();
    let places = led(&mx(&records), &known).unwrap();
    assert_eq!(places.len(), MAX_ADDRESSES);
    assert!(places[MAX_ADDRESSES_EACH].starts_with("mx01.example["), "{places:?}");
}

#[test]
fn what_the_table_names_wrongly_waits() {
    let waits = to_be_mended(loops_back("example.org"));
    assert_eq!((waits.outcome, waits.status), (Ending::Deferred, Status::transient(3, 5)));
    let report = Report::from(unknown_now("example.org", "later"));
    assert_eq!(to_be_mended(report.clone()), report);
}
