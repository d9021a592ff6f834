use std::path::Path;

use super::*;
use crate::table::{Syntax, Table};

fn masquerade(lines: &str) -> Masquerade {
    let lines: String = lines.lines().map(|line| format!("smapd: {}\n", line.trim())).collect();
    let table = Table::parse(Path::new("netperm-table"), lines.as_bytes(), Syntax::Netperm).unwrap();
    let (smapd, _) = table.smapd().unwrap();
    Masquerade::new(&smapd, &"gw.example.com".parse().unwrap(), ["local.example.com".parse().unwrap()])
}

const USUAL: &str = "masquerade-as example.com
    masquerade-domain inside.example.com .lab.example.net
    masquerade-domain other.example.org
    exposed-user root Daemon";

fn sender(masquerade: &Masquerade, address: &str) -> String {
    let address: Address = address.parse().unwrap();
    masquerade.sender(&address).unwrap_or(address).to_string()
}

#[test]
fn names_of_ours_and_listed_ones_become_one() {
    let usual = masquerade(USUAL);
    for (address, becomes) in [
        ("joe@gw.example.com", "joe@example.com"),
        ("joe@GW.Example.COM", "joe@example.com"),
        ("joe@local.example.com", "joe@example.com"),
        ("joe@localhost", "joe@example.com"),
        ("joe@inside.example.com", "joe@example.com"),
        ("joe@a.inside.example.com", "joe@a.inside.example.com"),
        ("joe@a.b.lab.example.net", "joe@example.com"),
        ("joe@lab.example.net", "joe@lab.example.net"),
        ("joe@xlab.example.net", "joe@xlab.example.net"),
        ("joe@other.example.org", "joe@example.com"),
        ("joe@example.com", "joe@example.com"),
        ("joe@elsewhere.example", "joe@elsewhere.example"),
        ("joe%other@gw.example.com", "joe%other@example.com"),
        ("\"joe @x\"@gw.example.com", "\"joe @x\"@example.com"),
        ("joe@[192.0.2.1]", "joe@[192.0.2.1]"),
    ] {
        assert_eq!(sender(&usual, address), becomes, "{address}");
    }
}

#[test]
fn exposed_users_keep_their_host() {
    let usual = masquerade(USUAL);
    for user in ["root", "ROOT", "daemon", "\"root\""] {
        let address: Address = format!("{user}@inside.example.com").parse().unwrap();
        assert_eq!(usual.sender(&address), None, "{user}");
    }
    assert_eq!(sender(&usual, "roots@inside.example.com"), "roots@example.com");
    assert_eq!(sender(&usual, "postmaster"), "postmaster@example.com");
    let exposed = masquerade(&format!("{USUAL} postmaster"));
    assert_eq!(sender(&exposed, "postmaster"), "postmaster@gw.example.com");
}

#[test]
fn where_it_is_limited_only_listed_names_are_hidden() {
    let limited = masquerade(&format!("{USUAL}\nmasquerade-limited"));
    assert_eq!(sender(&limited, "joe@gw.example.com"), "joe@gw.example.com");
    assert_eq!(sender(&limited, "joe@inside.example.com"), "joe@example.com");
    assert_eq!(sender(&limited, "postmaster"), "postmaster@example.com");
}

#[test]
fn recipients_are_hidden_only_where_that_is_said() {
    let address: Address = "joe@inside.example.com".parse().unwrap();
    assert_eq!(masquerade(USUAL).recipient(&address), None);
    let all = masquerade(&format!("{USUAL}\nmasquerade-recipients"));
    assert_eq!(all.recipient(&address).unwrap().to_string(), "joe@example.com");
}

#[test]
fn the_envelope_is_rewritten_only_where_that_is_said() {
    let joe = ReversePath::Mailbox("joe@inside.example.com".parse().unwrap());
    assert_eq!(masquerade(USUAL).envelope(&joe), joe);
    let envelope = masquerade(&format!("{USUAL}\nmasquerade-envelope"));
    assert_eq!(envelope.envelope(&joe).to_string(), "<joe@example.com>");
    assert_eq!(envelope.envelope(&ReversePath::Null), ReversePath::Null);
}

#[test]
fn a_table_that_says_nothing_changes_nothing() {
    let idle = masquerade("exposed-user root\nmasquerade-domain gw.example.com");
    assert!(idle.is_idle());
    assert_eq!(idle.field(b"From", b" joe"), None);
    assert_eq!(idle.sender(&"joe@gw.example.com".parse().unwrap()), None);
}

/// Each field on a line, and below it what becomes of it; `=` where it stays.
fn assert_fields(masquerade: &Masquerade, pairs: &str) {
    let mut lines = pairs.lines();
    while let (Some(field), Some(becomes)) = (lines.next(), lines.next()) {
        let unescaped = |text: &str| text.replace("\\r\\n", "\r\n").replace("\\t", "\t");
        let field = unescaped(field);
        let (name, value) = field.split_once(':').unwrap();
        let found = masquerade.field(name.as_bytes(), value.as_bytes());
        let found = found.map(|value| format!("{name}:{}", String::from_utf8(value).unwrap()));
        let wanted = (becomes != "=").then(|| unescaped(becomes));
        assert_eq!(found, wanted, "{field}");
    }
}

#[test]
fn only_the_domains_of_a_field_change() {
    assert_fields(&masquerade(&format!("{USUAL}\nmasquerade-recipients")), include_str!("fields.txt"));
}

#[test]
fn a_domain_is_added_where_there_is_none() {
    let added = masquerade("always-add-domain example.net");
    assert_fields(
        &added,
        "From: joe\nFrom: joe@example.net\nTo: a, \"b c\", d@x.example\nTo: a@example.net, \"b c\"@example.net, d@x.example\n\
         From: joe@gw.example.com\n=\nX-From: joe\n=\n",
    );
    let both = masquerade(&format!("{USUAL}\nalways-add-domain gw.example.com"));
    assert_fields(&both, "From: joe\nFrom: joe@gw.example.com\nTo: joe\nTo: joe@gw.example.com\n");
}

#[test]
fn hostile_fields_stay_and_take_no_time() {
    let usual = masquerade(USUAL);
    let million = 1 << 20;
    for unit in ["(", "\"", "<", "a@", "[", "a:", "\\", "((", ")", "a <", "\u{0}", "(\\", ";"] {
        assert_eq!(usual.field(b"From", unit.repeat(million).as_bytes()), None, "{unit}");
    }
    let many = "joe@gw.example.com,".repeat(100_000);
    let becomes = "joe@example.com,".repeat(100_000);
    assert_eq!(usual.field(b"From", many.as_bytes()).unwrap(), becomes.as_bytes());
}
