use super::*;
use crate::{Syntax, Table};

fn table(text: &str) -> Table {
    let users = |_: &Path| Ok((b"joe\nAnn@a.example\n\"two words\"@a.example\n# c\n".to_vec(), Vec::new()));
    Table::parse_with(Path::new("t"), text.as_bytes(), Syntax::Netperm, users).unwrap()
}

fn asked(text: &str, answers: &[(Question, Answer)], address: &str) -> String {
    let (smap, hostname) = (table(text).smap().unwrap().0, "gw.example".parse().unwrap());
    exists(&smap.people(&hostname), answers, &address.parse().unwrap()).to_string()
}

fn passwd(name: &str, answer: Answer) -> (Question, Answer) {
    (Question::Passwd(name.to_owned()), answer)
}

#[test]
fn a_file_names_users_and_addresses_in_any_case() {
    let text = "smap: recipients a.example .a.example file:/u";
    for (address, found) in [
        ("JOE@a.example", "yes: /u:1: this line names him"),
        ("joe+x@b.a.example", "yes: /u:1: this line names him"),
        ("ann@A.example", "yes: /u:2: this line names him"),
        ("\"two words\"@a.example", "yes: /u:3: this line names him"),
        ("postmaster@a.example", "yes: postmaster always exists"),
        ("x@other.example", "yes: no recipients line speaks of the domain"),
    ] {
        assert_eq!(asked(text, &[], address), found, "{address}");
    }
    for nobody in ["ann@b.a.example", "joseph@a.example", "\"joe@a.example\"@a.example", "joe-x@a.example"] {
        assert!(asked(text, &[], nobody).starts_with("no: t:1: recipients a.example"), "{nobody}");
    }
    assert!(
        asked(&format!("{text}\nsmap: recipient-delimiter -"), &[], "joe-x@a.example").starts_with("yes")
    );
    assert!(
        asked(&format!("{text}\nsmap: recipient-delimiter none"), &[], "joe+x@a.example").starts_with("no")
    );
}

#[test]
fn a_question_is_asked_until_it_is_answered() {
    let text = "smap: recipients a.example file:/u passwd";
    let no = || passwd("jim+x", Answer::No);
    assert_eq!(asked(text, &[], "joe@a.example"), "yes: /u:1: this line names him");
    assert_eq!(asked(text, &[], "Jim+x@a.example"), "ask: passwd jim+x");
    assert_eq!(asked(text, &[no()], "Jim+x@a.example"), "ask: passwd jim");
    let shown = "t:1: recipients a.example file:/u passwd: ";
    for (answer, found) in [
        (Answer::Yes, format!("yes: {shown}passwd jim is known")),
        (Answer::No, format!("no: {shown}nothing there knows <jim+x@a.example>")),
        (Answer::Failed("no NSS".to_owned()), format!("not now: {shown}passwd jim: no NSS")),
    ] {
        assert_eq!(asked(text, &[no(), passwd("jim", answer)], "jim+x@a.example"), found);
    }
}

#[test]
fn what_fails_says_nothing_where_another_source_knows() {
    let text = "smap: recipients a.example callout passwd";
    let failed = (Question::CallOut("jim@a.example".parse().unwrap()), Answer::Failed("down".to_owned()));
    let both = |answer| [failed.clone(), passwd("jim", answer)];
    assert!(asked(text, &both(Answer::Yes), "jim@a.example").starts_with("yes"));
    assert!(asked(text, &both(Answer::No), "jim@a.example").starts_with("not now"));
}

#[test]
fn lines_that_say_nothing_are_faults() {
    let sources = "such as file:/etc/smap/users, virtusertable, aliases, passwd, callout or any";
    for (line, what) in [
        ("recipients", "a domain must stand before what tells who exists in it".to_owned()),
        ("recipients any", "a domain must stand before what tells who exists in it".to_owned()),
        ("recipients a.example", format!("what tells who exists is missing, {sources}")),
        (
            "recipients a.example paswd",
            format!("what tells who exists is missing, {sources}, did you mean \"passwd\"?"),
        ),
        ("recipients a.example any b.example", "\"b.example\" does not tell who exists".to_owned()),
        ("recipients a.example file:users", "file: \"users\" must be an absolute path".to_owned()),
        (
            "recipients *.a.example any",
            "\"*.a.example\": no * here: .example.com means every name below example.com".to_owned(),
        ),
    ] {
        let text = format!("smap: {line}");
        let faults = Table::parse(Path::new("t"), text.as_bytes(), Syntax::Netperm).unwrap_err();
        assert_eq!(faults.to_string(), format!("t:1: recipients: {what}"), "{line}");
    }
    let text = "smap: recipients a.example virtusertable aliases\n";
    let faults = Table::parse(Path::new("t"), text.as_bytes(), Syntax::Netperm).unwrap_err();
    assert_eq!(faults.iter().count(), 2, "{faults}");
}
