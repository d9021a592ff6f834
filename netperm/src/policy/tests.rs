use std::path::Path;

use super::*;
use smap_common::address::{Address, Domain};

use crate::hosts::ClientName;
use crate::table::{Syntax, Table};

fn table(text: &str) -> Table {
    Table::parse(Path::new("t"), text.as_bytes(), Syntax::Netperm).unwrap()
}

fn client(address: &str) -> Client {
    Client { address: address.parse().ok(), name: ClientName::NotAsked }
}

fn hostname() -> Domain {
    "gw.example.com".parse().unwrap()
}

fn postmaster() -> Address {
    smap_common::address::parse_path(b"<PostMaster>").unwrap().0
}

/// The answer, and the line that decided.
fn said(verdict: &Verdict<'_>) -> String {
    let answer = match verdict {
        Verdict::Permit(_) => "permit",
        Verdict::Refuse(_) => "refuse",
        Verdict::Discard(_) => "discard",
        Verdict::Ask(..) => "ask",
        Verdict::NotNow(_) => "not now",
    };
    format!("{answer} {}", verdict.reason())
}

fn connecting(text: &str, address: &str) -> String {
    connecting_as(text, &client(address))
}

fn connecting_as(text: &str, client: &Client) -> String {
    let (smap, _) = table(text).smap().unwrap();
    said(&connect(&smap, &Facts::of(client)))
}

fn receiving(text: &str, address: &str, to: &str) -> String {
    receiving_as(text, &client(address), to)
}

fn receiving_as(text: &str, client: &Client, to: &str) -> String {
    let (smap, _) = table(text).smap().unwrap();
    let to = to.parse().unwrap_or_else(|_| postmaster());
    said(&recipient(&smap, &hostname(), &Facts::of(client), &to))
}

fn named(name: &str) -> Client {
    Client { name: ClientName::Known(vec![name.parse().unwrap()]), ..client("203.0.113.1") }
}

fn unnamed() -> Client {
    Client { name: ClientName::Unknown, ..client("203.0.113.1") }
}

fn failed() -> Client {
    Client { name: ClientName::Failed("no answer".to_owned()), ..client("203.0.113.1") }
}

fn routed(text: &str, to: &str) -> String {
    let (smapd, _) = table(text).smapd().unwrap();
    let to = to.parse().unwrap_or_else(|_| postmaster());
    match route(&smapd, &hostname(), &to) {
        Route::Through { transport, reason } => format!("{transport} ({})", reason.id()),
        Route::Nowhere { reason, add } => format!("nowhere ({}), {add}", reason.id()),
    }
}

#[test]
fn without_rules_everyone_may_connect() {
    assert_eq!(connecting("", "203.0.113.1"), "permit there is no permit-hosts or deny-hosts line");
}

#[test]
fn where_there_are_rules_and_none_matches_the_answer_is_deny() {
    let rules = "smap: deny-hosts 10.9.*\nsmap: permit-hosts 10.* 192.168.0.0/16\n";
    assert_eq!(connecting(rules, "10.9.1.1"), "refuse t:1: deny-hosts 10.9.*");
    assert_eq!(connecting(rules, "::ffff:10.8.1.1"), "permit t:2: permit-hosts 10.* 192.168.0.0/16");
    assert_eq!(connecting(rules, "11.0.0.1"), "refuse no permit-hosts or deny-hosts line means this client");
    assert_eq!(
        connecting("smap: deny-hosts 10.9.*", "11.0.0.1"),
        "refuse no permit-hosts or deny-hosts line means this client"
    );
}

const NAMES: &str = "smap: permit-hosts 10.*\n\
                     smap: deny-hosts *.bad.example\n\
                     smap: permit-hosts *.example.org\n\
                     smap: deny-hosts unknown\n";

#[test]
fn a_name_is_asked_for_when_it_is_the_turn_of_a_rule_that_needs_it() {
    assert_eq!(connecting(NAMES, "10.1.1.1"), "permit t:1: permit-hosts 10.*");
    let asks = "ask t:2: deny-hosts *.bad.example needs the name of the client";
    assert_eq!(connecting(NAMES, "203.0.113.1"), asks);
    assert_eq!(connecting_as(NAMES, &named("mx.bad.example")), "refuse t:2: deny-hosts *.bad.example");
    assert_eq!(connecting_as(NAMES, &named("mx.example.org")), "permit t:3: permit-hosts *.example.org");
    assert_eq!(connecting_as(NAMES, &unnamed()), "refuse t:4: deny-hosts unknown");
    let no_rule = "refuse no permit-hosts or deny-hosts line means this client";
    assert_eq!(connecting_as(NAMES, &named("mx.example.net")), no_rule);
}

/// Not even a rule that would say the same of everyone: what comes before it might have said something else.
#[test]
fn a_name_that_cannot_be_looked_up_is_neither_permitted_nor_refused() {
    for rule in
        ["permit-hosts a.example", "deny-hosts a.example", "permit-hosts !a.example", "deny-hosts !unknown"]
    {
        for then in ["permit-hosts *", "deny-hosts *"] {
            let wanted = format!("not now t:1: {rule} needs the name of the client: no answer");
            assert_eq!(connecting_as(&format!("smap: {rule}\nsmap: {then}"), &failed()), wanted, "{then}");
        }
    }
    let settled = "permit t:1: permit-hosts *.example.org 203.0.113.*";
    assert_eq!(connecting_as("smap: permit-hosts *.example.org 203.0.113.*", &failed()), settled);
}

#[test]
fn a_recipient_of_ours_needs_no_name() {
    let table = "smap: domain example.org smtp:[10.0.0.5]\nsmap: permit-relay *.inside.example\n";
    assert!(receiving(table, "203.0.113.1", "a@example.org").starts_with("permit t:1:"));
    assert_eq!(receiving_as(table, &failed(), "postmaster"), "permit postmaster is always accepted");
    let rule = "t:2: permit-relay *.inside.example";
    let asks = format!("ask {rule} needs the name of the client");
    assert_eq!(receiving(table, "203.0.113.1", "a@example.net"), asks);
    assert_eq!(receiving_as(table, &named("a.inside.example"), "a@example.net"), format!("permit {rule}"));
    let not_now = format!("not now {rule} needs the name of the client: no answer");
    assert_eq!(receiving_as(table, &failed(), "a@example.net"), not_now);
    let no_rule = "refuse no permit-relay or deny-relay line means this client";
    assert_eq!(receiving_as(table, &unnamed(), "a@example.net"), no_rule);
}

#[test]
fn who_is_decided_by_address_can_do_without_a_name() {
    let may_need = |text: &str, address: &str| {
        let (smap, _) = table(text).smap().unwrap();
        may_need_name(&smap, &client(address)).map(|reason| reason.to_string())
    };
    assert_eq!(may_need("", "203.0.113.1"), None);
    assert_eq!(may_need(NAMES, "10.1.1.1"), None);
    let rule = |rule: &str| Some(format!("t:{rule} needs the name of the client"));
    assert_eq!(may_need(NAMES, "203.0.113.1"), rule("2: deny-hosts *.bad.example"));
    let relay =
        "smap: deny-hosts 10.9.*\nsmap: permit-hosts *\nsmap: permit-relay 10.8.*\nsmap: permit-relay *.b\n";
    assert_eq!(may_need(relay, "10.9.1.1"), None);
    assert_eq!(may_need(relay, "10.8.1.1"), None);
    assert_eq!(may_need(relay, "203.0.113.1"), rule("4: permit-relay *.b"));
}

const DOMAINS: &str = "smap, smapd: domain example.org .example.org [192.0.2.1] smtp:[10.0.0.5]\n\
                       smap: permit-relay 10.*\n";

#[test]
fn our_own_domains_are_accepted_from_anyone() {
    let by_line = "permit t:1: domain example.org .example.org [192.0.2.1] smtp:[10.0.0.5]";
    for to in
        ["a@example.org", "a@EXAMPLE.ORG", "a@x.y.example.org", "a@[192.0.2.1]", "postmaster@example.org"]
    {
        assert_eq!(receiving(DOMAINS, "203.0.113.1", to), by_line, "{to}");
    }
    let own = "permit the domain is our own host name";
    assert_eq!(receiving(DOMAINS, "203.0.113.1", "a@Gw.Example.Com"), own);
    assert_eq!(receiving("", "203.0.113.1", "a@gw.example.com"), own);
}

#[test]
fn postmaster_alone_is_always_accepted() {
    assert_eq!(receiving("", "203.0.113.1", "PostMaster"), "permit postmaster is always accepted");
}

#[test]
fn postmaster_of_another_domain_is_relaying() {
    let refused = "refuse there is no permit-relay or deny-relay line";
    assert_eq!(receiving("", "203.0.113.1", "postmaster@example.net"), refused);
}

#[test]
fn relaying_needs_a_rule_that_permits_it() {
    assert_eq!(receiving(DOMAINS, "10.1.1.1", "a@example.net"), "permit t:2: permit-relay 10.*");
    let refused = "refuse no permit-relay or deny-relay line means this client";
    assert_eq!(receiving(DOMAINS, "203.0.113.1", "a@example.net"), refused);
    let never = "smap: deny-relay 10.9.*\nsmap: permit-relay 10.*";
    assert_eq!(receiving(never, "10.9.1.1", "a@example.net"), "refuse t:1: deny-relay 10.9.*");
    let nobody = "refuse there is no permit-relay or deny-relay line";
    assert_eq!(receiving("smap: permit-hosts *", "127.0.0.1", "a@example.net"), nobody);
}

#[test]
fn a_local_part_names_no_other_domain() {
    for to in [
        "victim%example.net@example.org",
        "example.net!victim@example.org",
        "\"a@example.net\"@example.org",
        "a%example.org@example.net",
        "\"a@example.org\"@example.net",
        "a@example.org.example.net",
        "a@xexample.org",
    ] {
        assert!(receiving(DOMAINS, "203.0.113.1", to).starts_with("refuse"), "{to}");
    }
}

#[test]
fn the_first_line_that_means_the_domain_routes() {
    let lines = "smapd: domain .example.org smtp:[10.0.0.1]\n\
                 smapd: domain a.example.org example.org smtp:[10.0.0.2]\n";
    assert_eq!(routed(lines, "x@a.example.org"), "smtp:[10.0.0.1] (domain)");
    assert_eq!(routed(lines, "x@example.org"), "smtp:[10.0.0.2] (domain)");
    assert_eq!(routed(lines, "x@example.net"), "smtp: (by-mx)");
}

#[test]
fn sendmail_alone_takes_everything() {
    let old = "smapd: sendmail /usr/lib/sendmail\n";
    for to in ["x@example.net", "x@gw.example.com", "postmaster"] {
        assert_eq!(routed(old, to), "sendmail (sendmail)", "{to}");
    }
    let refusing = "smapd: sendmail /usr/lib/sendmail\nsmapd: domain old.example error:5.1.6:551 Gone\n";
    assert_eq!(routed(refusing, "x@example.net"), "sendmail (sendmail)");
    assert_eq!(routed(refusing, "x@old.example"), "error:5.1.6:551 Gone (domain)");
}

#[test]
fn sendmail_beside_another_transport_takes_only_our_own_host() {
    let both = "smapd: sendmail /usr/lib/sendmail\nsmapd: domain example.org smtp:[10.0.0.5]\n";
    assert_eq!(routed(both, "x@example.org"), "smtp:[10.0.0.5] (domain)");
    assert_eq!(routed(both, "root@gw.example.com"), "sendmail (sendmail)");
    assert_eq!(routed(both, "x@example.net"), "smtp: (by-mx)");
}

#[test]
fn relay_host_takes_every_other_domain_but_our_own() {
    let relay = "smapd: relay-host smtp:[10.0.0.1]\n";
    assert_eq!(routed(relay, "x@example.net"), "smtp:[10.0.0.1] (relay-host)");
    let add = "smap, smapd: domain gw.example.com smtp:[10.0.0.5]";
    for to in ["x@gw.example.com", "postmaster"] {
        assert_eq!(routed(relay, to), format!("nowhere (no-transport), {add}"));
    }
}

#[test]
fn a_line_that_is_offered_is_a_line_that_helps() {
    let (smapd, _) = table("").smapd().unwrap();
    let Route::Nowhere { add, .. } = route(&smapd, &hostname(), &postmaster()) else { panic!() };
    assert_eq!(routed(&add, "postmaster"), "smtp:[10.0.0.5] (domain)");
}

#[test]
fn a_local_user_who_leads_to_himself_goes_nowhere() {
    let lines = "smapd: domain gw.example.com local:root\nsmapd: domain example.org local:joe\n";
    assert_eq!(routed(lines, "x@example.org"), "local:joe (domain)");
    assert_eq!(routed(lines, "joe@gw.example.com"), "local:root (domain)");
    assert!(routed(lines, "root@gw.example.com").starts_with("nowhere (local-loop)"));
}

/// Where mail goes by a table and its mailertable.
fn routed_with(lines: &str, mailertable: &str, to: &str) -> String {
    let lines = format!("smapd: mailertable /m\n{lines}");
    let content = Ok((mailertable.as_bytes().to_vec(), Vec::new()));
    let table =
        Table::parse_with(Path::new("t"), lines.as_bytes(), Syntax::Netperm, |_: &Path| content.clone())
            .unwrap();
    let (smapd, _) = table.smapd().unwrap();
    match route(&smapd, &hostname(), &to.parse().unwrap_or_else(|_| postmaster())) {
        Route::Through { transport, reason } => format!("{transport} ({reason})"),
        Route::Nowhere { reason, .. } => format!("nowhere ({})", reason.id()),
    }
}

#[test]
fn a_mailertable_comes_behind_domain_and_before_relay_host() {
    let lines = "smapd: domain a.example smtp:[10.0.0.1]\nsmapd: relay-host smtp:[10.0.0.2]\n";
    let mailertable = "a.example smtp:[10.0.0.3]\n.example smtp:[%1.inside]\n";
    let routed = |to| routed_with(lines, mailertable, to);
    assert_eq!(routed("x@a.example"), "smtp:[10.0.0.1] (t:2: domain a.example smtp:[10.0.0.1])");
    assert_eq!(routed("x@b.example"), "smtp:[b.inside] (/m:2: mailertable .example smtp:[%1.inside])");
    assert_eq!(routed("x@b.org"), "smtp:[10.0.0.2] (t:3: relay-host smtp:[10.0.0.2])");
}

#[test]
fn our_own_name_and_address_literals_are_not_looked_up_in_a_mailertable() {
    let mailertable = ". smtp:[10.0.0.3]\ngw.example.com smtp:[10.0.0.4]\n";
    for to in ["x@gw.example.com", "postmaster"] {
        assert_eq!(routed_with("", mailertable, to), "nowhere (no-transport)");
    }
    let by_mx = "smtp: (no line speaks of this domain, so its mail exchangers do)";
    assert_eq!(routed_with("", mailertable, "x@[192.0.2.1]"), by_mx);
}

#[test]
fn a_mailertable_that_names_another_way_leaves_sendmail_our_own_host() {
    let sendmail = "smapd: sendmail /usr/lib/sendmail\n";
    let id = |mailertable, to| routed_with(sendmail, mailertable, to);
    assert!(id("a.example smtp:[10.0.0.3]", "x@b.example").starts_with("smtp: "));
    assert!(id("a.example smtp:[10.0.0.3]", "x@gw.example.com").starts_with("sendmail "));
    assert!(id("a.example discard:", "x@b.example").starts_with("sendmail "));
    assert!(id("a.example discard:", "x@a.example").starts_with("discard "));
}

#[test]
fn a_local_user_whose_name_needs_quotes_is_the_same_at_home() {
    let home = |to: &str, user| at_home(&to.parse().unwrap(), user, &hostname()).unwrap().to_string();
    assert_eq!(home("\"a b\"@example.org", "a b"), "\"a b\"@gw.example.com");
    assert_eq!(home("x@example.org", "joe"), "joe@gw.example.com");
}
