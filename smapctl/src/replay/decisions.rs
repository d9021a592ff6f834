//! Which decisions the log tells of: pure, and told one line after the other.
//!
//! A connection and a message that were accepted stand there with the rules that let them in, a refusal stands for
//! itself. Whoever was told yes and sent nothing after it is not in the log.
#![deny(clippy::disallowed_methods)]

use std::collections::HashMap;

use netperm::{Client, ClientName};
use smap_common::address::{Address, ReversePath, parse_path};
use smap_common::smtp::command::HeloName;

use crate::log::{field, parse, unescaped};

/// What was asked.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Stage {
    /// May this client connect?
    Connect,
    /// May it send from this sender?
    Sender(ReversePath),
    /// May it send to this recipient?
    Recipient(ReversePath, Address),
}

/// A decision, with the facts that it was made for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Decision {
    /// What was asked.
    pub stage: Stage,
    /// The client.
    pub client: Client,
    /// How it greeted, where the log says it.
    pub helo: Option<HeloName>,
    /// The verdict, in one word.
    pub verdict: &'static str,
    /// The rule; empty where the log does not say it.
    pub rule: String,
}

/// Gathers them.
#[derive(Debug, Default)]
pub struct Decisions {
    /// In the order of the log.
    pub made: Vec<Decision>,
    /// By session, where in `made` its first one is.
    sessions: HashMap<String, usize>,
    /// By process, the message whose recipients may continue on the next line.
    messages: HashMap<String, (String, Decision)>,
}

impl Decisions {
    /// Takes a line into account, if it is one of smap's.
    pub fn line(&mut self, line: &str) {
        let Some((process, text)) = parse(line).filter(|(process, _)| process.starts_with("smap[")) else {
            return;
        };
        let _nothing_of_ours = match text.split(' ').next() {
            Some("connect") => self.connected(text),
            Some("refused" | "discarded") => self.said_otherwise(text),
            Some("exiting") => {
                self.messages.remove(process);
                None
            }
            Some(word) if word.starts_with("id=") => self.accepted(process, text),
            _ => None,
        };
    }

    fn connected(&mut self, text: &str) -> Option<()> {
        let decision = Decision {
            stage: Stage::Connect,
            client: client(text)?,
            helo: None,
            verdict: "permit",
            rule: field(text, "rule").unwrap_or_default(),
        };
        self.sessions.insert(field(text, "id")?, self.made.len());
        self.made.push(decision);
        Some(())
    }

    fn said_otherwise(&mut self, text: &str) -> Option<()> {
        let (command, rule) = (field(text, "command")?, field(text, "rule").unwrap_or_default());
        let verdict = match field(text, "reply") {
            None => "discard",
            Some(reply) if reply.starts_with('4') => "defer",
            Some(_) => "refuse",
        };
        if command == "connect" {
            let first = self.sessions.get(&field(text, "id")?).and_then(|at| self.made.get_mut(*at))?;
            (first.verdict, first.rule) = (verdict, rule);
            return Some(());
        }
        let (sender, rest) =
            ReversePath::parse_prefix(command.strip_prefix("MAIL FROM:")?.as_bytes()).ok()?;
        let stage = match str::from_utf8(rest).ok()?.strip_prefix(" RCPT TO:") {
            None => Stage::Sender(sender),
            Some(recipient) => Stage::Recipient(sender, parse_path(recipient.as_bytes()).ok()?.0),
        };
        self.made.push(Decision { stage, client: client(text)?, helo: None, verdict, rule });
        Some(())
    }

    fn accepted(&mut self, process: &str, text: &str) -> Option<()> {
        let id = field(text, "id")?;
        let of_sender = match field(text, "from") {
            None => self.messages.get(process).filter(|(message, _)| *message == id)?.1.clone(),
            Some(from) => {
                let (sender, _) = ReversePath::parse_prefix(from.as_bytes()).ok()?;
                let helo = field(text, "helo").and_then(|helo| helo.parse().ok());
                let (stage, client, rule) = (Stage::Sender(sender), client(text)?, String::new());
                let decision = Decision { stage, client, helo, verdict: "permit", rule };
                self.made.push(decision.clone());
                self.messages.insert(process.to_owned(), (id, decision.clone()));
                decision
            }
        };
        let Stage::Sender(sender) = &of_sender.stage else { return None };
        let rules: Vec<String> = list(text, "rule");
        for (number, recipient) in list(text, "to").iter().enumerate() {
            let Ok((recipient, b"")) = parse_path(recipient.as_bytes()) else { continue };
            let rule = rules.get(number).or(rules.first()).cloned().unwrap_or_default();
            let stage = Stage::Recipient(sender.clone(), recipient);
            self.made.push(Decision { stage, rule, ..of_sender.clone() });
        }
        Some(())
    }
}

/// The values of a field that has several: a comma in one is escaped.
fn list(text: &str, name: &str) -> Vec<String> {
    let named = format!(" {name}=");
    let values = text.split_once(&named).map(|(_, rest)| rest.split(' ').next().unwrap_or_default());
    values.map(|values| values.split(',').filter_map(unescaped).collect()).unwrap_or_default()
}

/// `host=NAME/ADDRESS [name=none|failed]`
fn client(text: &str) -> Option<Client> {
    let host = field(text, "host")?;
    let (name, address) = host.rsplit_once('/')?;
    let name = match (name, field(text, "name").as_deref()) {
        ("unknown", Some("none")) => ClientName::Unknown,
        ("unknown", Some(_)) => ClientName::Failed("DNS failed".to_owned()),
        ("unknown", None) => ClientName::NotAsked,
        (name, _) => ClientName::Known(vec![name.parse().ok()?]),
    };
    Some(Client { address: address.parse().ok(), name })
}
