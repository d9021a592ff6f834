//! What `smapctl explain` answers.

use std::path::Path;
use std::process::{Command, Stdio};

use serde_json::Value;
use smap_tests::process::run;
use smap_tests::programs;
use tempfile::TempDir;

use super::data::{Asked, FOLDER, Question, Tables, Who};

/// Our name.
pub(super) const HOST: &str = "gw.example.com";

/// The lines that name a table, where there is one.
const LINES: [(&str, &str); 6] = [
    ("access", "smap: access"),
    ("relay-domains", "smap: relay-domains"),
    ("local-host-names", "smap, smapd: local-host-names"),
    ("mailertable", "smapd: mailertable"),
    ("virtusertable", "smap, smapd: virtusertable"),
    ("aliases", "smap, smapd: aliases"),
];

/// The lines for tables in a folder. Mail for names of ours is handed to a program, as one does who has users here.
pub(super) fn lines(tables: &Tables, folder: &Path) -> String {
    let folder = folder.display().to_string();
    let named = LINES.iter().filter(|(title, _)| tables.has(title));
    let named: String = named.map(|(title, line)| format!("{line} {folder}/{title}\n")).collect();
    let own = tables.part("netperm-table").replace(FOLDER, &folder);
    format!("{own}{named}smapd: sendmail /usr/sbin/sendmail\n")
}

/// The tables in a folder of their own.
#[derive(Debug)]
pub(super) struct Ours<'a> {
    folder: TempDir,
    tables: &'a Tables,
}

impl<'a> Ours<'a> {
    pub(super) fn new(tables: &'a Tables) -> Self {
        let folder = tempfile::tempdir().unwrap();
        tables.write(folder.path(), &folder.path().display().to_string());
        let lines = lines(tables, folder.path());
        std::fs::write(folder.path().join("table"), format!("smap, smapd: hostname {HOST}\n{lines}"))
            .unwrap();
        Self { folder, tables }
    }

    pub(super) fn answer(&self, question: &Question) -> String {
        let anyone = Who::anyone();
        match &question.asked {
            Asked::Connect(who) => self.judged("connect", who, None, HOST_ADDRESS),
            Asked::From(path) => self.judged("sender", &anyone, Some(path), HOST_ADDRESS),
            Asked::To(who, path) => self.judged("recipient", who, None, path),
            Asked::Route(address) => match self.explain(&anyone, None, address) {
                Ok(explained) => self.routed(&explained["route"][0]),
                Err(no_address) => no_address,
            },
            Asked::Expand(address) => match self.explain(&anyone, None, address) {
                Ok(explained) => self.expanded(&explained["expansion"]),
                Err(no_address) => no_address,
            },
        }
    }

    /// What is explained, or that there is no such address.
    fn explain(&self, who: &Who, from: Option<&str>, to: &str) -> Result<Value, String> {
        let mut smapctl = Command::new(programs::ours("smapctl"));
        smapctl.arg("--config").arg(self.folder.path().join("table")).args(["explain", "--json", "--to", to]);
        let client = match who.name.as_deref() {
            None => who.address.to_string(),
            Some("fails") => {
                smapctl.arg("--dns-fails");
                who.address.to_string()
            }
            Some(name) => format!("{name}/{}", who.address),
        };
        smapctl.args(["--client", &client]).args(from.map(|from| format!("--from={from}")));
        let ended = run(&mut smapctl, Stdio::null());
        match ended.code {
            0 => Ok(serde_json::from_slice(&ended.output).unwrap()),
            64 => Err("refuse 501".to_owned()),
            _ => panic!("{ended:#?}"),
        }
    }

    /// `permit`, `discard`, `ask`, or `refuse` and the code of the reply.
    fn judged(&self, stage: &str, who: &Who, from: Option<&str>, to: &str) -> String {
        let explained = match self.explain(who, from, to) {
            Ok(explained) => explained,
            Err(no_address) => return no_address,
        };
        let stage = &explained[stage];
        match (text(&stage["verdict"]), stage["reply"].as_str()) {
            ("refuse", Some(reply)) => format!("refuse {}", reply.chars().take(3).collect::<String>()),
            ("refuse", None) => "refuse 550".to_owned(),
            ("defer", _) => "refuse 451".to_owned(),
            (verdict, _) => verdict.to_owned(),
        }
    }

    /// A transport as the table has it, `home`, or `error` and a code.
    fn routed(&self, step: &Value) -> String {
        let transport = step["transport"].as_str().unwrap_or("nowhere");
        match transport.strip_prefix("error:") {
            Some(error) => format!("error {}", error.split([' ', ':']).nth(1).unwrap()),
            None if transport == "sendmail" => "home".to_owned(),
            None => transport.trim_end_matches(':').to_owned(),
        }
    }

    /// All of them, in order; those at home without their domain.
    fn expanded(&self, branches: &Value) -> String {
        let branches = branches.as_array().expect("there is an expansion");
        let one = |branch: &Value| match (text(&branch["kind"]), text(&branch["to"])) {
            ("refused" | "deferred", _) => "refused".to_owned(),
            ("file", to) => to.replace(&self.folder.path().display().to_string(), FOLDER),
            (_, to) => at_home(self.tables, &to.replace('"', "")),
        };
        in_order(branches.iter().map(one).collect())
    }
}

/// An address; of one at home, the name.
pub(super) fn at_home(tables: &Tables, to: &str) -> String {
    let to = to.trim_start_matches('<').trim_end_matches('>');
    let mut names = tables.part("local-host-names").lines().chain([HOST]);
    let name = names.find_map(|name| to.strip_suffix(name)?.strip_suffix('@'));
    name.unwrap_or(to).to_owned()
}

const HOST_ADDRESS: &str = "postmaster@gw.example.com";

fn text(value: &Value) -> &str {
    value.as_str().expect("a text")
}

/// A set, whoever says it in which order.
pub(super) fn in_order(mut all: Vec<String>) -> String {
    all.sort();
    all.dedup();
    all.join(", ")
}
