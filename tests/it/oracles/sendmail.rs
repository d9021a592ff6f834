//! What sendmail answers: `-bt` for its rules, `-bv` for whom somebody stands for.

use std::collections::HashMap;
use std::fs;
use std::process::Command;

use smap_tests::needs::Test;
use smap_tests::network;
use smap_tests::peers::{Kind, Server};

use super::data::{self, Asked, Question, Tables, Who};
use super::ours::{HOST, Ours, in_order};

pub(super) fn tests() -> Vec<Test> {
    TABLES.iter().map(|(name, run)| Test { name, needs: Kind::Sendmail.needs(), run: *run }).collect()
}

macro_rules! asked {
    ($($table:literal)*) => {
        const TABLES: &[(&str, fn())] = &[$((
            concat!(module_path!(), "::", $table, "_is_read_alike"),
            || network::alone(&[], || compare($table)),
        )),*];
    };
}

asked! { "access" "mailertable" "virtusertable" "aliases" "gateway" }

/// Where sendmail has the tables: the rest of its machine cannot be written.
const FOLDER: &str = "/var/oracle";

const SCRIPT: &str = "cd /var/oracle && m4 sendmail.mc >sendmail.cf || exit
    for map in access mailertable virtusertable; do makemap -C sendmail.cf hash $map.db <$map || exit; done
    sendmail=\"/usr/libexec/sendmail/sendmail -C/var/oracle/sendmail.cf\"
    $sendmail -bi >/dev/null && $sendmail -bt <asked || exit
    echo
    while read -r number address; do
        echo \"mark returns: $number\"
        $sendmail -bv \"$address\"
    done <named";

fn compare(name: &'static str) {
    let tables = Tables::read(name);
    let (ours, theirs) = (Ours::new(&tables), ask(&tables));
    let answers = tables.questions.iter().enumerate().map(|(number, question)| {
        let theirs = theirs.get(&number).unwrap_or_else(|| panic!("nothing is said of {}", question.text));
        [question.text.clone(), ours.answer(question), answer(question, theirs)]
    });
    tables.compare("sendmail", answers);
}

/// What it says to each question, in lines.
fn ask(tables: &Tables) -> HashMap<usize, Vec<String>> {
    let server = Server::new(Kind::Sendmail, &[]);
    let folder = server.path(FOLDER.trim_start_matches('/'));
    fs::write(server.path("etc/hosts"), format!("127.0.0.1 {HOST} localhost\n")).unwrap();
    for empty in ["access", "mailertable", "virtusertable", "aliases", "local-host-names", "relay-domains"] {
        fs::create_dir_all(&folder).unwrap();
        fs::write(folder.join(empty), "").unwrap();
    }
    tables.write(&folder, FOLDER);
    let questions = || tables.questions.iter().enumerate();
    let named = questions().filter_map(|(number, question)| match &question.asked {
        Asked::Expand(address) => Some(format!("{number} {address}\n")),
        _ => None,
    });
    let typed = questions().filter_map(|(number, question)| {
        command(question).map(|command| format!("mark {number}\n{command}"))
    });
    for (name, text) in
        [("sendmail.mc", configuration()), ("asked", typed.collect()), ("named", named.collect())]
    {
        fs::write(folder.join(name), text).unwrap();
    }
    let ended = server.run(Command::new("sh").args(["-c", SCRIPT]));
    let said = String::from_utf8(ended.output).unwrap();
    assert_eq!(ended.code, 0, "{said}\n{:#?}", ended.log);
    by_question(&said)
}

/// Its own features, and two rules: what begins an answer, and what asks about the client as the others do.
fn configuration() -> String {
    format!(
        "define(`_USE_ETC_MAIL_')dnl\n\
         include(`/usr/share/sendmail/cf/m4/cf.m4')dnl\n\
         OSTYPE(`linux')dnl\n\
         define(`confDOMAIN_NAME', `{HOST}')dnl\n\
         define(`confSERVICE_SWITCH_FILE', `/etc/mail/service.switch')dnl\n\
         define(`confCW_FILE', `{FOLDER}/local-host-names')dnl\n\
         define(`confCR_FILE', `{FOLDER}/relay-domains')dnl\n\
         define(`ALIAS_FILE', `{FOLDER}/aliases')dnl\n\
         define(`QUEUE_DIR', `{FOLDER}')dnl\n\
         FEATURE(`use_cw_file')dnl\n\
         FEATURE(`nocanonify')dnl\n\
         FEATURE(`accept_unresolvable_domains')dnl\n\
         FEATURE(`access_db', `hash -T<TMPF> {FOLDER}/access', `skip', `lookupdotdomain', `relaytofulladdress')dnl\n\
         FEATURE(`blocklist_recipients')dnl\n\
         FEATURE(`virtusertable', `hash {FOLDER}/virtusertable')dnl\n\
         FEATURE(`mailertable', `hash {FOLDER}/mailertable')dnl\n\
         dnl Nobody has to have an account.\n\
         MODIFY_MAILER_FLAGS(`LOCAL', `-w')dnl\n\
         MAILER(`local')dnl\n\
         MAILER(`smtp')dnl\n\
         LOCAL_RULESETS\n\
         Smark\n\
         R$*\t$@ $1\n\
         Sconnect\n\
         R$*\t$: $&{{client_name}} $| $&{{client_addr}}\n\
         R$*\t$@ $>check_relay $1\n"
    )
}

/// What is typed for a question.
fn command(question: &Question) -> Option<String> {
    let anyone = Who::anyone();
    let (who, line) = match &question.asked {
        Asked::Connect(who) => (who, "connect x".to_owned()),
        Asked::From(path) => (&anyone, format!("check_mail {path}")),
        Asked::To(who, path) => (who, format!("check_rcpt {path}")),
        Asked::Route(address) => (&anyone, format!("3,0 {address}")),
        Asked::Expand(_) => return None,
    };
    let address = who.address_of_sendmail();
    let bracketed = format!("[{address}]");
    let (name, resolved) = match who.name.as_deref() {
        None | Some("unknown") => (bracketed.as_str(), "FAIL"),
        Some("fails") => (bracketed.as_str(), "TEMP"),
        Some(name) => (name, "OK"),
    };
    Some(format!(
        ".D{{client_addr}}{address}\n.D{{client_name}}{name}\n.D{{client_resolve}}{resolved}\n\
         {line}\n"
    ))
}

/// The lines of each answer.
fn by_question(said: &str) -> HashMap<usize, Vec<String>> {
    let mut answers = HashMap::<usize, Vec<String>>::new();
    let mut current = None;
    for line in said.lines() {
        match line.strip_prefix("mark").and_then(|rest| rest.trim_start().strip_prefix("returns: ")) {
            Some(number) => current = Some(number.trim().parse().expect("a number")),
            None => {
                let of_this = current.map(|number| answers.entry(number).or_default());
                of_this.into_iter().for_each(|lines| lines.push(line.to_owned()));
            }
        }
    }
    answers
}

fn answer(question: &Question, said: &[String]) -> String {
    let result = |rules: &str| {
        let returned = |line: &String| {
            line.strip_prefix(rules)?.trim_start().strip_prefix("returns: ").map(str::to_owned)
        };
        let found = said.iter().rev().find_map(returned);
        found.unwrap_or_else(|| panic!("{}: {said:#?}", question.text))
    };
    match &question.asked {
        Asked::Connect(_) => judged(&result("connect")),
        Asked::From(_) => judged(&result("check_mail")),
        Asked::To(..) => judged(&result("check_rcpt")),
        Asked::Route(address) => routed(&result("parse"), address),
        Asked::Expand(_) => in_order(said.iter().map(|line| named(line)).collect()),
    }
}

/// The mailer, its host and its user, which sendmail calls a triple.
fn triple(result: &str) -> Option<(&str, String, &str)> {
    let (mailer, rest) = result.strip_prefix("$# ")?.split_once(' ').unwrap_or((result, ""));
    let (host, user) = rest.split_once("$: ").unwrap_or((rest, ""));
    let host = host.trim_start_matches("$@").replace(' ', "");
    Some((mailer, host, user))
}

fn judged(result: &str) -> String {
    match triple(result) {
        Some(("error", _, text)) => format!("refuse {}", code(text)),
        Some(("discard", ..)) => "discard".to_owned(),
        _ => "permit".to_owned(),
    }
}

fn code(text: &str) -> String {
    let digits: String = text.trim_start_matches('"').chars().take(3).collect();
    if digits.chars().all(|digit| digit.is_ascii_digit()) { digits } else { "550".to_owned() }
}

fn routed(result: &str, address: &str) -> String {
    let domain = address.rsplit_once('@').map_or("", |(_, domain)| domain).to_lowercase();
    let Some((mailer, host, user)) = triple(result) else { panic!("{address}: {result}") };
    match mailer {
        "smtp" | "esmtp" | "relay" if host.trim_end_matches('.').to_lowercase() == domain => {
            "smtp".to_owned()
        }
        "smtp" | "esmtp" | "relay" => format!("smtp:{host}"),
        "error" => format!("error {}", code(user)),
        "local" if host.is_empty() => "home".to_owned(),
        "local" => format!("local:{user}"),
        other => other.to_owned(),
    }
}

/// A line of `-bv`: somebody, or what is wrong with him.
fn named(line: &str) -> String {
    let Some((_, found)) = line.split_once("... deliverable: mailer ") else { return "refused".to_owned() };
    let (mailer, rest) = found.split_once(", ").expect("a mailer and a user");
    let (_, user) = rest.rsplit_once("user ").expect("a user");
    let user = user.replace('"', "");
    match mailer {
        // We name a program by the last part of its name.
        "prog" => {
            let command = user.trim_start_matches('|');
            let (path, arguments) = command.split_once(' ').unwrap_or((command, ""));
            let name = path.rsplit('/').next().unwrap_or(path);
            format!("|{name} {arguments}").trim_end().to_owned()
        }
        "*file*" => user.replace(FOLDER, data::FOLDER),
        "local" => user.trim_start_matches('\\').to_owned(),
        "smtp" | "esmtp" | "relay" => user,
        _ => "refused".to_owned(),
    }
}
