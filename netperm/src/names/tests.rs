use super::*;

fn parsed(kind: Kind, text: &str) -> (Names, Vec<String>) {
    let (names, faults) = Names::parse(kind, Path::new("n"), text.as_bytes());
    (names, faults.iter().map(ToString::to_string).collect())
}

fn names(kind: Kind, text: &str) -> Names {
    let (names, faults) = parsed(kind, text);
    assert_eq!(faults, [""; 0], "{text}");
    names
}

fn shown(line: Found) -> String {
    line.unwrap().map_or("none".to_owned(), |line| format!("{}: {}", line.place, line.name))
}

#[test]
fn a_name_of_ours_means_itself_alone() {
    let ours = names(Kind::LocalHostNames, "# ours\nExample.COM\n[192.0.2.1]\n[IPv6:2001:db8::1]\n");
    let has = |domain: &str| shown(ours.has(&domain.parse().unwrap()));
    assert_eq!(has("example.com"), "n:2: example.com");
    assert_eq!(has("EXAMPLE.com"), "n:2: example.com");
    assert_eq!(has("a.example.com"), "none");
    assert_eq!(has("com"), "none");
    assert_eq!(has("[192.0.2.1]"), "n:3: [192.0.2.1]");
    assert_eq!(has("[192.0.2.2]"), "none");
    assert_eq!(has("[IPv6:2001:DB8:0::1]"), "n:4: [ipv6:2001:db8::1]");
}

#[test]
fn a_domain_that_we_relay_for_means_every_name_below_too() {
    let relay = names(Kind::RelayDomains, "example.com\n.example.org\n192.168\n10.0.0.0/9\nIPv6:2001:db8\n");
    let covers = |domain: &str| shown(relay.covers(&domain.parse().unwrap()));
    assert_eq!(covers("example.com"), "n:1: example.com");
    assert_eq!(covers("a.b.Example.com"), "n:1: example.com");
    assert_eq!(covers("notexample.com"), "none");
    assert_eq!(covers("example.com.evil.example"), "none");
    assert_eq!(covers("a.example.org"), "n:2: .example.org");
    assert_eq!(covers("example.org"), "none");
    assert_eq!(covers("foo.192.168"), "none");
    let client = |address: &str| shown(relay.covers_address(address.parse().unwrap()));
    assert_eq!(client("192.168.7.1"), "n:3: 192.168");
    assert_eq!(client("10.1.1.1"), "n:4: 10.0.0.0/9");
    assert_eq!(client("10.129.1.1"), "none");
    assert_eq!(client("2001:db8::7"), "n:5: ipv6:2001:db8");
    assert_eq!(shown(relay.covers_name("mail.example.com")), "n:1: example.com");
}

#[test]
fn what_is_no_name_is_a_fault() {
    let (_, faults) =
        parsed(Kind::LocalHostNames, "a b\n192.168\n.a.example\na@b\n*.a\na.\n[192.0]\nok.example\n");
    assert_eq!(
        faults,
        [
            "n:1: \"a b\": one name a line (a comment stands on a line of its own)",
            "n:2: \"192.168\": bad domain",
            "n:3: \".a.example\": bad domain",
            "n:4: \"a@b\": bad domain",
            "n:5: \"*.a\": no * here: example.com means every name below it too, and 192.168 every address",
            "n:6: \"a.\": bad domain",
            "n:7: \"[192.0]\": bad domain",
        ]
    );
}
