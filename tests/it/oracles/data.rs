//! Tables, questions and differences, as they stand in files.

use std::fmt::Write as _;
use std::fs;
use std::net::{IpAddr, Ipv6Addr};
use std::path::{Path, PathBuf};

use smap_tests::gateway::chmod;
use smap_tests::programs;

/// Begins a part of a file.
const PART: &str = "== ";
/// Where the tables name other files of the same `.in`.
pub(super) const FOLDER: &str = "/etc/mail";

/// A file of tables and questions about them.
#[derive(Debug)]
pub(super) struct Tables {
    name: &'static str,
    parts: Vec<(String, String)>,
    pub questions: Vec<Question>,
}

impl Tables {
    pub(super) fn read(name: &'static str) -> Self {
        let mut parts = parts(&format!("{name}.in"));
        let at = parts.iter().position(|(title, _)| title == "questions").expect("there are questions");
        let (_, questions) = parts.remove(at);
        let questions = questions.lines().filter(|line| !line.is_empty() && !line.starts_with('#'));
        Self { name, parts, questions: questions.map(Question::read).collect() }
    }

    /// Whether there is such a part.
    pub(super) fn has(&self, title: &str) -> bool {
        self.parts.iter().any(|(found, _)| found == title)
    }

    /// A part; none is as an empty one.
    pub(super) fn part(&self, title: &str) -> &str {
        self.parts.iter().find(|(found, _)| found == title).map_or("", |(_, text)| text)
    }

    /// Writes every part into a folder, which those who read it know by this name.
    pub(super) fn write(&self, folder: &Path, known_as: &str) {
        for (title, text) in &self.parts {
            let path = folder.join(title);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(&path, text.replace(FOLDER, known_as)).unwrap();
            // An alias may run what may be run.
            chmod(&path, if title.starts_with("programs/") { 0o755 } else { 0o644 });
        }
    }

    /// Compares answers: the question, ours and theirs.
    pub(super) fn compare(&self, oracle: &str, answers: impl Iterator<Item = [String; 3]>) {
        let listed = differences(&format!("{oracle} {}", self.name), oracle);
        let found: Vec<[String; 3]> = answers.filter(|[_, ours, theirs]| ours != theirs).collect();
        let mut said = String::new();
        for difference @ [question, ours, theirs] in &found {
            if !listed.contains(difference) {
                write!(said, "not listed:\n{question}\n    smap: {ours}\n    {oracle}: {theirs}\n").unwrap();
            }
        }
        for difference @ [question, ours, theirs] in &listed {
            if !found.contains(difference) {
                write!(said, "gone:\n{question}\n    smap: {ours}\n    {oracle}: {theirs}\n").unwrap();
            }
        }
        assert!(said.is_empty(), "tests/oracles/differences, {oracle} {}:\n{said}", self.name);
    }
}

fn folder() -> PathBuf {
    programs::workspace().join("tests/oracles")
}

/// Title and text of each part; what stands before the first is for whoever reads the file.
fn parts(file: &str) -> Vec<(String, String)> {
    let text = fs::read_to_string(folder().join(file)).expect("it is there");
    let mut parts: Vec<(String, String)> = Vec::new();
    for line in text.lines() {
        match (line.strip_prefix(PART), parts.last_mut()) {
            (Some(title), _) => parts.push((title.to_owned(), String::new())),
            (None, Some((_, part))) => *part += &format!("{line}\n"),
            (None, None) => {}
        }
    }
    parts
}

/// Question, our answer, theirs: paragraphs that begin with the reason.
fn differences(title: &str, oracle: &str) -> Vec<[String; 3]> {
    let parts = parts("differences");
    let text = parts.iter().find(|(found, _)| found == title).map_or("", |(_, text)| text);
    let mut differences = Vec::new();
    for paragraph in text.split("\n\n").map(str::trim).filter(|paragraph| !paragraph.is_empty()) {
        assert!(paragraph.starts_with('#'), "{title}: no reason is given: {paragraph}");
        let lines: Vec<&str> =
            paragraph.lines().filter(|line| !line.starts_with('#')).map(str::trim).collect();
        for lines in lines.chunks(3) {
            let [question, ours, theirs] = lines else { panic!("{title}: three lines: {lines:?}") };
            let after = |line: &str, name: &str| line.strip_prefix(name).map(|rest| rest.trim().to_owned());
            let (ours, theirs) = (after(ours, "smap:"), after(theirs, &format!("{oracle}:")));
            differences.push([
                (*question).to_owned(),
                ours.expect("smap:"),
                theirs.expect("the other's name"),
            ]);
        }
    }
    differences
}

/// What is asked.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Question {
    /// As it stands in the file.
    pub text: String,
    pub asked: Asked,
}

/// Of what.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Asked {
    /// `connect CLIENT`
    Connect(Who),
    /// `from PATH`
    From(String),
    /// `to CLIENT PATH`
    To(Who, String),
    /// `route ADDRESS`: where its mail goes
    Route(String),
    /// `expand ADDRESS`: whom it stands for
    Expand(String),
}

/// `ADDRESS`, `NAME/ADDRESS`, `unknown/ADDRESS`, `fails/ADDRESS`
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Who {
    pub name: Option<String>,
    pub address: IpAddr,
}

impl Question {
    fn read(line: &str) -> Self {
        let (kind, rest) = line.split_once(' ').unwrap_or((line, ""));
        let asked = match kind {
            "connect" => Asked::Connect(Who::read(rest)),
            "from" => Asked::From(rest.to_owned()),
            "to" => {
                let (who, path) = rest.split_once(' ').expect("to CLIENT PATH");
                Asked::To(Who::read(who), path.to_owned())
            }
            "route" => Asked::Route(rest.to_owned()),
            "expand" => Asked::Expand(rest.to_owned()),
            _ => panic!("no question: {line}"),
        };
        Self { text: line.to_owned(), asked }
    }
}

impl Who {
    fn read(text: &str) -> Self {
        let (name, address) = text.rsplit_once('/').map_or((None, text), |(name, rest)| (Some(name), rest));
        Self { name: name.map(str::to_owned), address: address.parse().expect("an address") }
    }

    /// Who asks where it does not matter.
    pub(super) fn anyone() -> Self {
        Self { name: None, address: IpAddr::from([192, 0, 2, 1]) }
    }

    /// As sendmail has it: every group of an IPv6 address, without leading zeros.
    pub(super) fn address_of_sendmail(&self) -> String {
        match self.address.to_canonical() {
            IpAddr::V4(address) => address.to_string(),
            IpAddr::V6(address) => format!("IPv6:{}", groups(address)),
        }
    }
}

fn groups(address: Ipv6Addr) -> String {
    address.segments().map(|group| format!("{group:x}")).join(":")
}
