use std::path::Path;

use super::*;
use crate::place::Place;

fn client(address: &str) -> Client {
    Client { address: address.parse().ok(), name: ClientName::NotAsked }
}

fn named(name: &str) -> Client {
    Client { name: ClientName::Known(vec![name.parse().unwrap()]), ..client("192.0.2.1") }
}

fn unnamed() -> Client {
    Client { name: ClientName::Unknown, ..client("192.0.2.1") }
}

fn meant(pattern: &str, client: &Client) -> Option<bool> {
    pattern.parse::<HostPattern>().unwrap().matches(client)
}

#[test]
fn addresses_are_meant_by_every_form_of_pattern() {
    let cases = [
        ("*", "10.1.2.3", true),
        ("*", "2001:db8::1", true),
        ("10.1.2.3", "10.1.2.3", true),
        ("10.1.2.3", "10.1.2.30", false),
        ("192.168.1.*", "192.168.1.7", true),
        ("192.168.1.*", "192.168.10.7", false),
        ("192.168.*", "192.168.10.7", true),
        ("10.*", "110.1.2.3", false),
        ("10.*", "10.255.0.1", true),
        ("10.*.3", "10.1.2.3", true),
        ("10.*.3", "10.1.2.33", false),
        ("*.1", "10.0.0.1", true),
        ("1*.0.0.1", "192.0.0.1", true),
        ("10.0.0.0/8", "10.255.255.255", true),
        ("10.0.0.0/8", "11.0.0.0", false),
        ("10.1.2.3/8", "10.200.0.1", true),
        ("0.0.0.0/0", "203.0.113.9", true),
        ("0.0.0.0/0", "2001:db8::1", false),
        ("10.0.0.1/32", "10.0.0.1", true),
        ("10.0.0.0:255.0.0.0", "10.9.9.9", true),
        ("10.0.0.1:255.0.0.255", "10.9.9.1", true),
        ("10.0.0.1:255.0.0.255", "10.9.9.2", false),
        ("2001:db8::1", "2001:DB8:0::1", true),
        ("2001:db8::/32", "2001:db8:ffff::1", true),
        ("2001:db8::/32", "2001:db9::1", false),
        ("2001:db8:*", "2001:db8::1", true),
        ("2001:DB8:*", "2001:db8::1", true),
        ("2001:db8:*", "2001:db80::1", false),
        ("2001:db8:0:*", "2001:db8::5", true),
        ("fe80:*", "10.0.0.1", false),
        ("!10.0.0.0/8", "11.0.0.1", true),
        ("!10.0.0.0/8", "10.0.0.1", false),
        ("!*", "10.0.0.1", false),
    ];
    for (pattern, address, expected) in cases {
        assert_eq!(meant(pattern, &client(address)), Some(expected), "{pattern} {address}");
    }
}

#[test]
fn an_ipv4_mapped_client_is_an_ipv4_client() {
    for pattern in
        ["10.*", "10.0.0.0/8", "10.1.2.3", "10.0.0.0:255.0.0.0", "::ffff:10.0.0.0/104", "::ffff:10.1.2.3"]
    {
        assert_eq!(meant(pattern, &client("::ffff:10.1.2.3")), Some(true), "{pattern}");
        assert_eq!(meant(pattern, &client("10.1.2.3")), Some(true), "{pattern}");
    }
    assert_eq!(meant("::/0", &client("::ffff:10.1.2.3")), Some(false));
}

#[test]
fn names_are_meant_in_any_case_and_only_as_a_whole() {
    assert_eq!(meant("*.Example.com", &named("MAIL.example.COM.")), Some(true));
    assert_eq!(meant("*.example.com", &named("example.com")), Some(false));
    assert_eq!(meant("mail.example.com", &named("mail.example.com.evil.net")), Some(false));
    assert_eq!(meant("*.example.com", &named("mail.notexample.com")), Some(false));
    assert_eq!(meant("!*.example.com", &named("mail.example.org")), Some(true));
    assert_eq!(meant("mx*.example.com", &named("mx12.example.com")), Some(true));
}

#[test]
fn a_client_of_several_names_has_each_of_them() {
    let names = ["a.example", "mail.example.com"].map(|name| name.parse().unwrap());
    let client = Client { name: ClientName::Known(names.into()), ..client("192.0.2.1") };
    assert_eq!(meant("*.example.com", &client), Some(true));
    assert_eq!(meant("!*.example.com", &client), Some(false));
    assert_eq!(meant("a.example", &client), Some(true));
    assert_eq!(meant("!b.example", &client), Some(true));
}

#[test]
fn unknown_means_those_without_a_confirmed_name() {
    assert_eq!(meant("unknown", &unnamed()), Some(true));
    assert_eq!(meant("unknown", &named("a.example")), Some(false));
    assert_eq!(meant("!unknown", &named("a.example")), Some(true));
    assert_eq!(meant("*.example.com", &unnamed()), Some(false));
}

#[test]
fn a_name_that_is_not_known_settles_nothing() {
    for pattern in ["*.example.com", "!*.example.com", "unknown", "!unknown"] {
        assert_eq!(meant(pattern, &client("10.0.0.1")), None, "{pattern}");
        let failed = Client { name: ClientName::Failed("no answer".to_owned()), ..client("10.0.0.1") };
        assert_eq!(meant(pattern, &failed), None, "{pattern}");
        assert!(pattern.parse::<HostPattern>().unwrap().needs_name());
    }
}

#[test]
fn patterns_over_addresses_need_no_name() {
    for pattern in ["*", "10.*", "!10.0.0.0/8", "10.0.0.0:255.0.0.0", "2001:db8:*", "::1"] {
        assert!(!pattern.parse::<HostPattern>().unwrap().needs_name(), "{pattern}");
    }
}

#[test]
fn a_pattern_is_shown_as_it_may_be_written() {
    for text in
        ["*", "!*", "10.*", "10.0.0.5", "10.0.0.0/8", "10.0.0.0:255.0.255.0", "::1", "2001:db8:*", "unknown"]
    {
        let pattern: HostPattern = text.parse().unwrap();
        assert_eq!(pattern.to_string(), text);
    }
}

fn rules(lines: &[(Effect, &str)]) -> Vec<Located<Rule>> {
    let place = Place::whole(Path::new("t"));
    lines
        .iter()
        .map(|(effect, patterns)| {
            let patterns = patterns.split(' ').map(|word| word.parse().unwrap()).collect();
            Located { place: place.clone(), value: Rule { effect: *effect, patterns } }
        })
        .collect()
}

#[test]
fn the_first_rule_that_means_the_client_decides() {
    let rules = rules(&[(Effect::Deny, "10.9.*"), (Effect::Permit, "10.* 192.168.*"), (Effect::Deny, "*")]);
    let decided = |address: &str| match judge(&rules, &client(address)) {
        Judgement::Decided(rule) => rules.iter().position(|one| std::ptr::eq(one, rule)),
        Judgement::NoRules | Judgement::NoneMeant | Judgement::NeedsName(_) => None,
    };
    assert_eq!(decided("10.9.0.1"), Some(0));
    assert_eq!(decided("192.168.0.1"), Some(1));
    assert_eq!(decided("203.0.113.1"), Some(2));
}

#[test]
fn without_rules_and_without_a_matching_rule_are_two_answers() {
    assert_eq!(judge(&[], &client("10.0.0.1")), Judgement::NoRules);
    assert_eq!(judge(&rules(&[(Effect::Permit, "10.*")]), &client("11.0.0.1")), Judgement::NoneMeant);
}

#[test]
fn a_rule_that_needs_a_name_stops_the_search_unless_an_address_settles_it() {
    let rules = rules(&[(Effect::Permit, "*.example.com 10.*"), (Effect::Permit, "*")]);
    assert_eq!(judge(&rules, &client("10.0.0.1")), Judgement::Decided(&rules[0]));
    assert_eq!(judge(&rules, &client("11.0.0.1")), Judgement::NeedsName(&rules[0]));
}

#[test]
fn a_client_without_an_address_is_meant_by_everyone_only() {
    let nobody = Client { address: None, name: ClientName::NotAsked };
    for pattern in ["0.0.0.0/0", "::/0", "0.*", "!192.0.2.1", "unknown", "*.example.com", "!*"] {
        assert_eq!(pattern.parse::<HostPattern>().unwrap().matches(&nobody), Some(false), "{pattern}");
    }
    assert_eq!("*".parse::<HostPattern>().unwrap().matches(&nobody), Some(true));
}
