//! Golden pairs: `tests/people/*.in` holds a netperm-table, then each file that it names behind a line `== /PATH`, then
//! the questions behind `== ?`; its `.ref` has the answers. `UPDATE_REFS=1 cargo test` writes them anew; read the diff.

use std::collections::HashMap;
use std::fmt::Write as _;

use super::*;
use crate::compiled::Compiled;
use crate::recipients::{Answer, Question, exists};
use crate::{Content, Reader, Syntax, Table};

fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/people")
}

type Parts = HashMap<String, String>;

/// The netperm-table under "", each file under its name, the questions under "?".
fn parts(text: &str) -> Parts {
    let (mut parts, mut name) = (HashMap::new(), String::new());
    for line in text.split_inclusive('\n') {
        match line.strip_prefix("== ") {
            Some(next) => name = next.trim().to_owned(),
            None => *parts.entry(name.clone()).or_insert_with(String::new) += line,
        }
    }
    parts
}

struct Folder<'a>(&'a Parts);

impl Reader for Folder<'_> {
    fn content(&self, file: &Path) -> Result<Content, String> {
        let text = self.0.get(file.to_str().unwrap()).ok_or("there is no such file")?;
        Ok((text.clone().into_bytes(), Vec::new()))
    }

    fn is_program(&self, file: &Path) -> bool {
        self.0.contains_key(file.to_str().unwrap())
    }
}

fn load(parts: &Parts) -> Result<Table, crate::Faults> {
    Table::parse_with(Path::new("netperm-table"), parts[""].as_bytes(), Syntax::Netperm, Folder(parts))
}

/// `ADDRESS[ | passwd:NAME=ANSWER][ | callout:ADDRESS=ANSWER]`
fn answered(line: &str, parts: &Parts, table: &Table) -> String {
    let hostname = "gw.example".parse().unwrap();
    let (smap, smapd) = (table.smap().unwrap().0, table.smapd().unwrap().0);
    let mut words = line.split(" | ");
    let address: Address = words.next().unwrap().parse().unwrap();
    let answers: Vec<(Question, Answer)> = words.map(answer).collect();
    let mut shown = format!("{line}\n  exists: {}\n", exists(&smap.people(&hostname), &answers, &address));
    let mut include = |file: &Path| {
        parts
            .get(file.to_str().unwrap())
            .map(|text| text.clone().into_bytes())
            .ok_or("it is not there".to_owned())
    };
    let expansion = expand(&smapd.people(&hostname), &address, &mut include);
    for Final { to, chain, owner } in expansion.recipients {
        write!(shown, "  to {to}").unwrap();
        owner.iter().for_each(|owner| write!(shown, " from <{owner}>").unwrap());
        shown += "\n";
        chain.steps().iter().for_each(|step| writeln!(shown, "    {step}").unwrap());
    }
    for Refused { chain, why } in expansion.refused {
        writeln!(shown, "  refused: {why}").unwrap();
        chain.steps().iter().for_each(|step| writeln!(shown, "    {step}").unwrap());
    }
    shown
}

fn answer(word: &str) -> (Question, Answer) {
    let (question, answer) = word.split_once('=').unwrap();
    let question = match question.split_once(':').unwrap() {
        ("passwd", name) => Question::Passwd(name.to_owned()),
        (_, address) => Question::CallOut(address.parse().unwrap()),
    };
    let answer = match answer {
        "yes" => Answer::Yes,
        "no" => Answer::No,
        why => Answer::Failed(why.to_owned()),
    };
    (question, answer)
}

fn rendered(text: &str) -> String {
    let parts = parts(text);
    let table = match load(&parts) {
        Ok(table) => table,
        Err(faults) => return format!("{faults}\n"),
    };
    let said = all(&parts, &table);
    let compiled = Table::parse_with(
        Path::new("netperm-table"),
        parts[""].as_bytes(),
        Syntax::Netperm,
        Compiled::of(&table),
    );
    assert_eq!(all(&parts, &compiled.unwrap()), said);
    said
}

/// What is to be known of the table, and the answers.
fn all(parts: &Parts, table: &Table) -> String {
    let mut all: String = table.check().unwrap().iter().map(|note| format!("{note}\n")).collect();
    for line in parts["?"].lines() {
        all += &answered(line, parts, table);
    }
    all
}

#[test]
fn every_question_is_answered_as_its_ref_says() {
    let mut seen = 0;
    for entry in std::fs::read_dir(folder()).unwrap() {
        let file = entry.unwrap().path();
        if file.extension().is_none_or(|extension| extension != "in") {
            continue;
        }
        seen += 1;
        #[expect(clippy::disallowed_methods, reason = "the tests of a pure module read their data")]
        let (text, wanted) = (
            std::fs::read_to_string(&file).unwrap(),
            std::fs::read_to_string(file.with_extension("ref")).unwrap_or_default(),
        );
        let found = rendered(&text);
        if std::env::var_os("UPDATE_REFS").is_some() {
            #[expect(clippy::disallowed_methods, reason = "written when that is asked for")]
            std::fs::write(file.with_extension("ref"), &found).unwrap();
        } else {
            assert_eq!(found, wanted, "{}", file.display());
        }
    }
    assert!(seen >= 3);
}

/// Whom `list@gw.example` stands for by these aliases, and what could not be followed.
fn expansion(aliases: &str, include: &dyn Fn(&Path) -> Result<Vec<u8>, String>) -> Expansion {
    let text = format!("smapd: aliases /a\n== /a\n{aliases}");
    let table = load(&parts(&text)).unwrap();
    let (smapd, hostname) = (table.smapd().unwrap().0, "gw.example".parse().unwrap());
    expand(&smapd.people(&hostname), &"list@gw.example".parse().unwrap(), &mut |file| include(file))
}

fn no_file(_: &Path) -> Result<Vec<u8>, String> {
    Err("it is not there".to_owned())
}

#[test]
fn a_hundred_thousand_may_stand_in_a_list() {
    let members: Vec<String> = (0..100_000).map(|n| format!("u{n}@example.com")).collect();
    let found = expansion(&format!("list: {}\n", members.join(",\n ")), &no_file);
    assert_eq!((found.recipients.len(), found.refused.len()), (100_000, 0));
    assert_eq!(found.recipients[7].chain.steps()[0].place.to_string(), "/a:8");
}

#[test]
fn a_list_without_end_names_nobody_at_all() {
    let table = load(&parts("smapd: aliases /a\n== /a\nlist: :include:/l\n")).unwrap();
    let (smapd, hostname) = (table.smapd().unwrap().0, "gw.example".parse().unwrap());
    let row: String = (0..100).map(|n| format!("u{n}@example.com\n")).collect();
    let with = |most| {
        let list = "list@gw.example".parse().unwrap();
        within(most, &smapd.people(&hostname), &list, &mut |_| Ok(row.clone().into_bytes()))
    };
    assert_eq!(with(101).recipients.len(), 100);
    let found = with(100);
    assert!(found.recipients.is_empty());
    assert_eq!(found.refused.iter().map(|refused| &refused.why).collect::<Vec<_>>(), [&Why::TooMany]);
}

#[test]
fn a_chain_ends_where_it_is_too_long() {
    let chain = |rows: usize| {
        let rows: String = (0..rows).map(|n| format!("u{n}: u{}\n", n + 1)).collect();
        expansion(&format!("list: u0\n{rows}"), &no_file)
    };
    assert_eq!(chain(MOST_STEPS - 1).recipients.len(), 1);
    let found = chain(MOST_STEPS);
    assert_eq!((found.recipients.len(), &found.refused[0].why), (0, &Why::TooDeep));
}

#[test]
fn lists_that_include_each_other_end() {
    let include = |file: &Path| {
        Ok(match file.to_str().unwrap() {
            "/l" => b"a@x.example\n:include:/m\n".to_vec(),
            _ => b"b@x.example, :include:/l\nlist\n".to_vec(),
        })
    };
    let found = expansion("list: :include:/l\n", &include);
    let to: Vec<String> = found.recipients.iter().map(|found| found.to.to_string()).collect();
    assert_eq!(to, ["<a@x.example>", "<b@x.example>"]);
    let why: Vec<String> = found.refused.iter().map(|refused| refused.why.to_string()).collect();
    assert_eq!(why, ["this leads back to the list /l", "this leads back to the alias list"]);
}

#[test]
fn a_fan_that_doubles_at_each_row_is_looked_at_once() {
    let rows: String = (0..30).map(|n| format!("u{n}: u{0}, \"u{0}\", u{0}+x\n", n + 1)).collect();
    let found = expansion(&format!("list: u0\n{rows}"), &no_file);
    assert!(found.recipients.len() <= 2 && found.refused.is_empty(), "{found:?}");
}

#[test]
fn an_administrator_who_stands_in_the_list_of_the_postmaster_is_named_once() {
    let lines = "smapd: aliases /a\nsmapd: badadmin admin@example.com\n== /a\n";
    let table = load(&parts(&format!("{lines}list: admin@example.com, postmaster, joe\n"))).unwrap();
    let (smapd, hostname) = (table.smapd().unwrap().0, "gw.example".parse().unwrap());
    let found = Outcome::at_once(&smapd, &hostname, &"list@gw.example".parse().unwrap());
    let Some(Outcome::Others { members, refused }) = found else { panic!("{found:?}") };
    let to: Vec<String> = members.iter().map(|member| member.found.to.to_string()).collect();
    assert_eq!(
        (to, refused),
        (vec!["<admin@example.com>".to_owned(), "<joe@gw.example>".to_owned()], vec![])
    );
}
