use super::*;

fn ours() -> Ourselves {
    Ourselves { name: "gw.example".to_owned(), addresses: Vec::new() }
}

fn by_mx(domain: &str, named_by: NamedBy) -> Hop {
    Hop::Mx(domain.to_owned(), 25, named_by)
}

fn mx(domain: &str) -> Asked {
    Asked::Mx(domain.to_owned())
}

fn addresses(host: &str) -> Asked {
    Asked::Addresses(host.to_owned())
}

fn exchangers(records: &[(u16, &str)]) -> Answer {
    let exchanger =
        |(preference, host): &(u16, &str)| Exchanger { preference: *preference, host: (*host).to_owned() };
    Answer::Mx(Ok(records.iter().map(exchanger).collect()), false)
}

fn found(list: &[&str]) -> Answer {
    Answer::Addresses(Ok(list.iter().map(|address| address.parse().unwrap()).collect()))
}

/// What follows when these questions are answered, as text.
fn after(hops: &[Hop], answers: &[(Asked, Answer)]) -> Vec<String> {
    let mut search = Search::new(7);
    for (question, answer) in answers {
        search.heard(question.clone(), answer.clone());
    }
    match search.step(hops, &ours()) {
        Step::Ask(questions) => questions.iter().map(|question| format!("{question:?}")).collect(),
        Step::Found(targets) => targets.iter().map(ToString::to_string).collect(),
        Step::Nowhere(report) => vec![format!("{:?} {}", report.outcome, report.status)],
    }
}

#[test]
fn exchangers_are_asked_for_and_then_the_addresses_of_each() {
    let hops = [by_mx("example.org", NamedBy::Recipient)];
    let mut search = Search::new(7);
    assert_eq!(search.step(&hops, &ours()), Step::Ask(vec![mx("example.org")]));
    assert_eq!(search.step(&hops, &ours()), Step::Ask(Vec::new()));
    search.heard(mx("example.org"), exchangers(&[(20, "b.example"), (10, "a.example")]));
    let both = vec![addresses("a.example"), addresses("b.example")];
    assert_eq!(search.step(&hops, &ours()), Step::Ask(both));
    search.heard(addresses("b.example"), found(&["192.0.2.2"]));
    assert_eq!(search.step(&hops, &ours()), Step::Ask(Vec::new()));
    search.heard(addresses("a.example"), found(&["2001:db8::1", "192.0.2.1"]));
    let Step::Found(targets) = search.step(&hops, &ours()) else { panic!() };
    let targets: Vec<String> = targets.iter().map(ToString::to_string).collect();
    assert_eq!(targets, ["a.example[2001:db8::1]:25", "a.example[192.0.2.1]:25", "b.example[192.0.2.2]:25"]);
}

#[test]
fn what_two_hops_need_is_asked_once() {
    let hops = [Hop::Name("a.example".to_owned(), 25), Hop::Name("a.example".to_owned(), 587)];
    assert_eq!(after(&hops, &[]), ["Addresses(\"a.example\")"]);
    let answers = [(addresses("a.example"), found(&["192.0.2.1"]))];
    assert_eq!(after(&hops, &answers), ["a.example[192.0.2.1]:25", "a.example[192.0.2.1]:587"]);
}

#[test]
fn hops_keep_their_order_and_those_that_are_nowhere_are_left_out() {
    let hops = [
        Hop::Address("10.0.0.5".parse().unwrap(), 2525),
        by_mx("gone.example", NamedBy::Recipient),
        Hop::Unix("/run/lmtp".into()),
    ];
    let answers = [(mx("gone.example"), Answer::Mx(Err(Failure::NoSuchName), false))];
    assert_eq!(after(&hops, &answers), ["[10.0.0.5]:2525", "/run/lmtp"]);
}

#[test]
fn mail_to_a_domain_that_takes_none_fails() {
    let hops = [by_mx("example.org", NamedBy::Recipient)];
    let fails = |answer| after(&hops, &[(mx("example.org"), answer)]);
    assert_eq!(fails(exchangers(&[(0, ".")])), ["Failed 5.1.10"]);
    assert_eq!(fails(Answer::Mx(Err(Failure::NoSuchName), false)), ["Failed 5.1.2"]);
    assert_eq!(fails(exchangers(&[(0, "gw.example")])), ["Failed 5.4.6"]);
    assert_eq!(fails(exchangers(&[(0, "192.0.2.1")])), ["Failed 5.4.4"]);
    assert_eq!(fails(Answer::Mx(Err(Failure::Temporary("later".to_owned())), false)), ["Deferred 4.4.3"]);
}

#[test]
fn an_exchanger_that_is_us_by_its_address_is_a_loop() {
    let hops = [by_mx("example.org", NamedBy::Recipient)];
    let answers = [
        (mx("example.org"), exchangers(&[(0, "a.example")])),
        (addresses("a.example"), found(&["127.0.0.1"])),
    ];
    assert_eq!(after(&hops, &answers), ["Failed 5.4.6"]);
}

#[test]
fn a_name_in_the_table_that_leads_nowhere_is_mended_and_not_bounced() {
    let answers = [(mx("relay.example"), Answer::Mx(Err(Failure::NoSuchName), false))];
    assert_eq!(after(&[by_mx("relay.example", NamedBy::Table)], &answers), ["Deferred 4.3.5"]);
    let answers = [(addresses("relay.example"), Answer::Addresses(Err(Failure::NoSuchName)))];
    assert_eq!(after(&[Hop::Name("relay.example".to_owned(), 25)], &answers), ["Deferred 4.4.1"]);
}

#[test]
fn mail_waits_as_long_as_one_hop_may_come_back() {
    let hops = [by_mx("later.example", NamedBy::Recipient), by_mx("gone.example", NamedBy::Recipient)];
    let answers = [
        (mx("later.example"), mx("later.example").unanswered("later")),
        (mx("gone.example"), Answer::Mx(Err(Failure::NoSuchName), false)),
    ];
    assert_eq!(after(&hops, &answers), ["Deferred 4.4.3"]);
}

#[test]
fn an_answer_to_another_question_is_none() {
    let hops = [by_mx("example.org", NamedBy::Recipient)];
    assert_eq!(after(&hops, &[(mx("example.org"), found(&["192.0.2.1"]))]), ["Deferred 4.4.3"]);
}

#[test]
fn another_port_of_this_machine_is_another_server() {
    let ours = Ourselves { addresses: vec!["192.0.2.1".parse().unwrap()], ..ours() };
    let leads = |port: u16, address: &str| {
        let mut search = Search::new(7);
        search.heard(mx("inside.example"), exchangers(&[(10, "gw.example")]));
        search.heard(addresses("gw.example"), found(&[address]));
        let hop = Hop::Mx("inside.example".to_owned(), port, NamedBy::Table);
        matches!(search.step(&[hop], &ours), Step::Found(_))
    };
    assert!(leads(2525, "192.0.2.1"));
    assert!(!leads(25, "192.0.2.1"));
    // No name leads to what only this machine can reach.
    assert!(!leads(2525, "127.0.0.1"));
}

/// The domain that its certificate has to be for, where its own name proves nothing.
fn unproven(hop: Hop, answer: Answer) -> Vec<Option<String>> {
    let mut search = Search::new(7);
    search.heard(mx("example.org"), answer);
    search.heard(addresses("mx.example"), found(&["192.0.2.1"]));
    search.heard(addresses("example.org"), found(&["192.0.2.2"]));
    let Step::Found(targets) = search.step(&[hop], &ours()) else { panic!() };
    let of = |target| match target {
        Target::Tcp(peer) => peer.unproven_mx_of,
        Target::Unix(_) => None,
    };
    targets.into_iter().map(of).collect()
}

#[test]
fn the_name_of_an_exchanger_proves_something_only_by_dnssec() {
    let by_mx = || by_mx("example.org", NamedBy::Recipient);
    let answer = |secure| {
        let Answer::Mx(outcome, _) = exchangers(&[(10, "mx.example"), (20, "example.org")]) else { panic!() };
        Answer::Mx(outcome, secure)
    };
    assert_eq!(unproven(by_mx(), answer(false)), [Some("example.org".to_owned()), None]);
    assert_eq!(unproven(by_mx(), answer(true)), [None, None]);
    assert_eq!(unproven(by_mx(), Answer::Mx(Err(Failure::NoRecords), false)), [None]);
    assert_eq!(unproven(Hop::Name("mx.example".to_owned(), 25), answer(false)), [None]);
}
