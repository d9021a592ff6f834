#![expect(clippy::disallowed_methods, reason = "a test has tables of its own")]

use std::fs;

use smap_common::envelope::Envelope;
use smap_common::status::Status;

use super::*;

/// A table with these aliases, rows of a virtusertable, and lines.
fn site(aliases: &str, virtual_users: &str, lines: &str) -> Site {
    let folder = tempfile::tempdir().unwrap();
    let path = |name: &str| folder.path().join(name);
    fs::write(path("aliases"), aliases).unwrap();
    fs::write(path("virtual"), virtual_users).unwrap();
    let table = format!(
        "{lines}\nsmap, smapd: hostname gw.example\nsmapd: aliases {}\nsmapd: virtusertable {}\n",
        path("aliases").display(),
        path("virtual").display()
    );
    fs::write(path("netperm-table"), table).unwrap();
    Site::load(&path("netperm-table")).unwrap()
}

fn found(site: &Site, recipient: &str) -> Found {
    at_once(site, &recipient.parse().unwrap()).unwrap()
}

fn names(members: &[Member]) -> Vec<String> {
    members.iter().map(|member| member.to.to_string()).collect()
}

fn others(site: &Site, recipient: &str) -> Vec<String> {
    let Found::Others(members, _) = found(site, recipient) else { panic!("{:?}", found(site, recipient)) };
    names(&members)
}

#[test]
fn an_alias_that_names_himself_alone_stands_for_nobody_else() {
    let site = site("joe: joe\nann: \\ann, ann@elsewhere.example\n", "", "");
    assert_eq!(found(&site, "joe@gw.example"), Found::Himself);
    assert_eq!(others(&site, "ann@gw.example"), ["<ann@gw.example>", "<ann@elsewhere.example>"]);
    assert!(!may_stand_for_others(&site, &"kim@gw.example".parse().unwrap()));
}

#[test]
fn what_a_list_says_that_has_an_owner_makes_him_the_sender_even_of_one() {
    let site = site("joe: joe\nowner-joe: ann\n", "", "");
    let Found::Others(members, rule) = found(&site, "joe@gw.example") else { panic!() };
    assert_eq!(members[0].owner.as_ref().map(ToString::to_string), Some("ann@gw.example".to_owned()));
    assert!(rule.ends_with("/aliases:1"), "{rule}");
}

#[test]
fn a_row_that_says_later_is_waited_for_and_one_that_says_no_is_final() {
    let rows = "later@v.example error:4.2.1:450 later\nno@v.example error:5.1.1:550 no\n";
    let site = site("both: b, later@v.example\nsome: b, no@v.example\n", rows, "");
    let report = |recipient| match found(&site, recipient) {
        Found::Nobody(report) => (report.outcome.as_str(), report.reply),
        other => panic!("{other:?}"),
    };
    assert_eq!(report("later@v.example"), ("deferred", "450 4.2.1 later".to_owned()));
    assert_eq!(report("both@gw.example"), ("deferred", "450 4.2.1 later".to_owned()));
    assert_eq!(report("no@v.example"), ("failed", "550 5.1.1 no".to_owned()));
    let Found::Others(members, _) = found(&site, "some@gw.example") else { panic!() };
    assert_eq!(members[1].to, Target::Refused(Status::permanent(1, 1), "550 5.1.1 no".to_owned()));
}

#[test]
fn a_file_that_has_to_be_read_takes_its_time() {
    let site = site("list: :include:/etc/lists/none\n", "", "");
    let list = "list@gw.example".parse().unwrap();
    assert_eq!(at_once(&site, &list), None);
    let later = whatever_it_takes(&site, &list, &mut |_| Err("no such file".to_owned()));
    let Found::Nobody(report) = later else { panic!("{later:?}") };
    assert_eq!(report.status, Status::transient(3, 0));
    assert!(report.reply.contains("/aliases:1: /etc/lists/none: no such file"), "{}", report.reply);
    let two = whatever_it_takes(&site, &list, &mut |_| Ok(b"a@x.example\nb@x.example\n".to_vec()));
    let Found::Others(members, _) = two else { panic!("{two:?}") };
    assert_eq!(names(&members), ["<a@x.example>", "<b@x.example>"]);
}

#[test]
fn postmaster_is_the_administrator_only_where_nothing_else_is_said() {
    let admin = "smapd: badadmin admin@example.com";
    let bare: Address = smap_common::address::parse_path(b"<postmaster>").unwrap().0;
    let silent = site("abuse: postmaster\n", "", admin);
    assert!(may_stand_for_others(&silent, &bare));
    assert_eq!(at_once(&silent, &bare), Some(found(&silent, "Postmaster@gw.example")));
    assert_eq!(others(&silent, "postmaster@gw.example"), ["<admin@example.com>"]);
    assert_eq!(others(&silent, "abuse@gw.example"), ["<admin@example.com>"]);
    assert_eq!(others(&site("postmaster: joe\n", "", admin), "postmaster@gw.example"), ["<joe@gw.example>"]);
    for lines in [
        &format!("{admin}\nsmap, smapd: domain gw.example discard"),
        "",
        "smapd: badadmin postmaster@gw.example",
    ] {
        assert!(!may_stand_for_others(&site("", "", lines), &bare), "{lines}");
    }
}

#[test]
fn nobody_gets_a_message_twice_because_he_stands_in_two_places() {
    let text = b"smap 1\nID 1K3N5Q0ZB7R2M4D8XJ9WTV\nTIME 0.0\nCLIENT -\nROLE mx\nFROM <a@b>\n\
        RCPT <one@gw.example>\nRCPT <c@d>\nRCPT <two@gw.example>\n\n";
    let (envelope, _) = Envelope::parse(text).unwrap();
    let site = site("one: x@d, c@d, /dev/null\ntwo: x@d, y@d, one@gw.example\n", "", "");
    let everyone = Everyone::of(&envelope, &[]);
    let all: Vec<(u32, Found)> = (0..)
        .zip(&envelope.recipients)
        .map(|(number, one)| (number, found(&site, &one.address.to_string())))
        .collect();
    assert_eq!(all[1].1, Found::Himself);
    let recorded = to_record(everyone, &all);
    let shown: Vec<(u32, u32, Vec<String>)> =
        recorded.iter().map(|one| (one.of, one.first, names(&one.members))).collect();
    let lists = [["<x@d>", "/dev/null"].as_slice(), ["<y@d>"].as_slice()];
    let [first, second] = lists.map(|list| list.iter().map(|name| (*name).to_owned()).collect::<Vec<_>>());
    assert_eq!(shown, [(0, 3, first), (2, 5, second)]);
}
