use super::*;
use crate::spool::Record;

const ENVELOPE: &[u8] = b"smap 1\nID 1K3N5Q0ZB7R2M4D8XJ9WTV\nTIME 0.0\nCLIENT -\nROLE mx\nFROM <a@b>\n\
    RCPT <l@d> NOTIFY=SUCCESS,FAILURE ORCPT=rfc822;L@d\nRCPT <c@d>\nRCPT <m@d> NOTIFY=SUCCESS\n\n";

fn member(to: Target, owner: &str) -> Member {
    let owner = (!owner.is_empty()).then(|| Arc::new(owner.parse().unwrap()));
    Member { to, owner }
}

fn mailbox(address: &str, owner: &str) -> Member {
    member(Target::Mailbox(address.parse().unwrap()), owner)
}

fn expansion(of: u32, first: u32, members: &[Member]) -> Expansion {
    Expansion { of, first, members: members.to_vec(), rule: "aliases:1".to_owned() }
}

#[test]
fn each_kind_of_member_reads_back_as_it_was_written() {
    for to in [
        Target::Mailbox("\"b c\"@example.com".parse().unwrap()),
        Target::Mailbox("j\u{f6}rg@example.com".parse().unwrap()),
        Target::Program(vec!["vacation".to_owned(), "a b%\n".to_owned(), String::new()]),
        Target::File("/var/mail/a b%\u{e9}".into()),
        Target::Nobody,
        Target::Refused(Status::permanent(1, 1), "550 no such user".to_owned()),
    ] {
        for owner in ["", "\"o w\"@example.com"] {
            let record = Record::Result(7, member(to.clone(), owner));
            let line = record.to_string();
            assert_eq!(line.matches('\n').count(), 1, "{line:?}");
            assert_eq!(Record::parse(line.trim_end_matches('\n')), Some(record), "{line:?}");
        }
    }
}

#[test]
fn members_stand_in_the_place_of_their_recipient() {
    let (envelope, _) = Envelope::parse(ENVELOPE).unwrap();
    let expansions = [
        expansion(2, 3, &[mailbox("x@e", ""), mailbox("y@e", "")]),
        expansion(0, 5, &[mailbox("z@e", "o@e"), member(Target::Nobody, "o@e")]),
    ];
    let everyone = Everyone::of(&envelope, &expansions);
    assert_eq!(everyone.numbers().collect::<Vec<_>>(), [1, 3, 4, 5, 6]);
    let shown = |number| everyone.get(number).map(|one| (one.to_string(), one.original.address.to_string()));
    assert_eq!(shown(1), Some(("<c@d>".to_owned(), "c@d".to_owned())));
    assert_eq!(shown(4), Some(("<y@e>".to_owned(), "m@d".to_owned())));
    assert_eq!(shown(6), Some(("/dev/null".to_owned(), "l@d".to_owned())));
    assert_eq!((shown(7), everyone.next_number()), (None, 7));
}

#[test]
fn what_a_sender_wants_to_hear_is_passed_on_by_an_alias_and_not_by_a_list() {
    let (envelope, _) = Envelope::parse(ENVELOPE).unwrap();
    let told = |members: &[Member]| {
        let expansions = [expansion(0, 3, members)];
        let one = Everyone::of(&envelope, &expansions).get(3).unwrap();
        (one.recipient().to_string(), one.sender().to_string())
    };
    let (alone, other) = (mailbox("x@e", ""), mailbox("y@e", ""));
    let listed = mailbox("x@e", "o@e");
    let (sender, owner) = ("<a@b>".to_owned(), "<o@e>".to_owned());
    let to = |parameters: &str| format!("<x@e>{parameters}");
    assert_eq!(
        told(std::slice::from_ref(&alone)),
        (to(" NOTIFY=SUCCESS,FAILURE ORCPT=rfc822;L@d"), sender.clone())
    );
    assert_eq!(told(&[alone, other.clone()]), (to(" NOTIFY=FAILURE ORCPT=rfc822;L@d"), sender));
    assert_eq!(told(std::slice::from_ref(&listed)), (to(""), owner.clone()));
    assert_eq!(told(&[listed, other]), (to(""), owner));
}

#[test]
fn a_message_without_a_sender_gets_none() {
    let text = std::str::from_utf8(ENVELOPE).unwrap().replace("<a@b>", "<>");
    let (envelope, _) = Envelope::parse(text.as_bytes()).unwrap();
    let expansions = [expansion(0, 3, &[mailbox("x@e", "o@e")])];
    let one = Everyone::of(&envelope, &expansions).get(3).unwrap();
    assert_eq!(one.sender(), ReversePath::Null);
}
