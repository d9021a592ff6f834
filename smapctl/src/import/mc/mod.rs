//! A `sendmail.mc`: the macros that administrators of gateways use. m4 is not run.
//!
//! Decides what each statement means here. What m4 computes (conditions, included files) is left, and said.
#![deny(clippy::disallowed_methods)]

mod names;
mod reader;
mod words;

use std::path::Path;

use netperm::mailertable::Mailertable;

use self::names::Names;
use self::reader::{Call, Piece};
use self::words::{FEATURES, MACROS, OPTIONS, meaning};
use super::meaning::{Meaning, carry};
use super::table::Draft;

const ENDLESS: &str = "its names stand for themselves, or for too much text";
const LOCAL_NAMES: &str = "/etc/mail/local-host-names";
const NOT_KNOWN: &str = "smap and smapd have nothing like it";
const NOT_THERE: &str = "the file is not there or cannot be read; when it is, say:";
const NO_HUB: &str = "sendmail delivers this mail to users of this machine. Where does it go now? To programs or \
                      mailboxes, or to a host inside:";

/// Where raw lines of sendmail.cf go.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Section {
    /// Where m4's own text goes.
    Top,
    /// `LOCAL_CONFIG`
    Config,
    /// `LOCAL_RULESETS` and its like, which was told already.
    Rules,
}

/// What is known of the whole source while its statements are looked at.
struct Site<'a> {
    draft: &'a mut Draft,
    names: Names,
    features: Vec<String>,
    is_there: &'a dyn Fn(&Path) -> bool,
    section: Section,
}

/// Carries a sendmail.mc over to `draft`. `is_there` says whether a table that it names can be read.
pub(super) fn import(source: &str, is_there: &dyn Fn(&Path) -> bool, draft: &mut Draft) {
    let pieces = reader::read(source);
    let features = pieces.iter().filter_map(|piece| match piece {
        Piece::Call(call) if call.name == "FEATURE" => Some(call.argument(0).to_owned()),
        Piece::Call(_) | Piece::Text { .. } | Piece::Open { .. } => None,
    });
    let (names, features) = (Names::of(&pieces), features.collect());
    let mut site = Site { draft, names, features, is_there, section: Section::Top };
    for piece in &pieces {
        match piece {
            Piece::Call(call) => site.call(call),
            Piece::Text { line, text } => site.text(*line, text),
            Piece::Open { line } => {
                let why = "nothing from here on could be read: close it, and import again";
                site.draft.leave(*line, "a quote or parenthesis that is never closed", why);
            }
        }
    }
    site.names_of_its_own(&pieces);
}

impl Site<'_> {
    fn call(&mut self, call: &Call) {
        let mut expanded = call.clone();
        if call.name != "define" {
            for argument in &mut expanded.arguments {
                match self.names.expand(argument) {
                    Some(text) => *argument = text,
                    None => return self.draft.leave(call.line, &call.shown(), ENDLESS),
                }
            }
        }
        match call.name.as_str() {
            "define" => self.define(call),
            "FEATURE" => self.feature(&expanded),
            "RELAY_DOMAIN" => self.relay_domain(&expanded),
            "RELAY_DOMAIN_FILE" => self.draft.say(call.line, "relay-domains", &[file(expanded.argument(0))]),
            "LOCAL_DOMAIN" => self.local_domain(call.line, &call.shown(), expanded.argument(0)),
            "MASQUERADE_AS" => self.draft.say(call.line, "masquerade-as", &[expanded.argument(0)]),
            "MASQUERADE_DOMAIN" => self.masquerade_domain(&expanded),
            "EXPOSED_USER" => {
                let users: Vec<&str> = expanded.argument(0).split_ascii_whitespace().collect();
                self.draft.say(call.line, "exposed-user", &users);
            }
            "DAEMON_OPTIONS" => self.daemon_options(&expanded),
            "MAILER" => self.mailer(&expanded),
            "include" if call.argument(0).ends_with("m4/cf.m4") => {}
            name => self.carry(&expanded, meaning(MACROS, name), ""),
        }
    }

    fn carry(&mut self, call: &Call, meaning: Option<Meaning>, value: &str) {
        carry(self.draft, call.line, &call.shown(), meaning.unwrap_or(Meaning::Left(NOT_KNOWN)), value);
    }

    fn define(&mut self, call: &Call) {
        let name = call.argument(0);
        let known = meaning(OPTIONS, name);
        let is_ours = matches!(name, "SMART_HOST" | "MAIL_HUB" | "confCLIENT_CERT" | "confCLIENT_KEY");
        if !(is_ours || known.is_some() || name.starts_with("conf")) {
            // It may be a name of the file's own: told at the end.
            return;
        }
        if !self.names.is_last(call) {
            return self.draft.leave(call.line, &call.shown(), "a later line says something else of it");
        }
        let Some(value) = self.names.expand(call.argument(1)) else {
            return self.draft.leave(call.line, &call.shown(), ENDLESS);
        };
        match name {
            "SMART_HOST" if !value.is_empty() => self.smart_host(call, &value),
            "MAIL_HUB" if !value.is_empty() => self.mail_hub(call, &value),
            "confCLIENT_CERT" => self.client("confCLIENT_KEY", call, "client-cert", &value),
            "confCLIENT_KEY" => self.client("confCLIENT_CERT", call, "client-key", &value),
            "SMART_HOST" | "MAIL_HUB" => self.carry(call, Some(Meaning::Silent), ""),
            _ => self.carry(call, known, &value),
        }
    }

    /// A certificate needs its key, and a key its certificate.
    fn client(&mut self, other: &str, call: &Call, attribute: &'static str, value: &str) {
        let has_other = self.names.value(other).is_some_and(|other| !other.is_empty());
        let alone =
            Meaning::Left("a certificate without its key, or a key without its certificate, is of no use");
        self.carry(call, Some(if has_other { Meaning::File(attribute) } else { alone }), value);
    }

    fn smart_host(&mut self, call: &Call, value: &str) {
        match way(value) {
            Ok(words) => self.draft.say(call.line, "relay-host", &words),
            Err(why) => self.draft.leave(call.line, &call.shown(), &why),
        }
    }

    /// Mail for our own name goes there; that of `LOCAL_DOMAIN` too.
    fn mail_hub(&mut self, call: &Call, value: &str) {
        let own =
            self.names.value("confDOMAIN_NAME").map(str::to_owned).and_then(|name| self.names.expand(&name));
        match (own, way(value)) {
            (Some(own), Ok(way)) => {
                let words: Vec<String> = [own].into_iter().chain(way).collect();
                self.draft.say(call.line, "domain", &words);
            }
            (None, Ok(way)) => {
                let why = "it says where mail for this host's own name goes, and confDOMAIN_NAME does not say that name:";
                let line = format!("smap, smapd: domain HOSTNAME {}", way.join(" "));
                self.draft.leave_for(call.line, &call.shown(), why, vec![line]);
            }
            (_, Err(why)) => self.draft.leave(call.line, &call.shown(), &why),
        }
    }

    fn local_domain(&mut self, line: u32, what: &str, names: &str) {
        let domains: Vec<&str> = names.split_ascii_whitespace().filter(|name| *name != "localhost").collect();
        let hub = self.names.value("MAIL_HUB").map(str::to_owned).and_then(|hub| self.names.expand(&hub));
        match hub.filter(|hub| !hub.is_empty()).map(|hub| way(&hub)) {
            Some(Ok(way)) => {
                let words: Vec<&str> = domains.into_iter().chain(way.iter().map(String::as_str)).collect();
                self.draft.say(line, "domain", &words);
            }
            Some(Err(why)) => self.draft.leave(line, what, &why),
            None => {
                let domains = domains.join(" ");
                let lines = ["lmtp:unix:/run/dovecot/lmtp", "smtp:[10.0.0.5]"]
                    .map(|way| format!("smap, smapd: domain {domains} {way}"));
                self.draft.leave_for(line, what, NO_HUB, lines.to_vec());
            }
        }
    }

    /// Names below are meant too, unless a feature says otherwise; and hosts of these names may relay.
    fn relay_domain(&mut self, call: &Call) {
        let exact = self.features.iter().any(|feature| feature == "relay_hosts_only");
        let ways = ["SMART_HOST"].iter().any(|name| self.names.value(name).is_some());
        let has_ways = ways || self.features.iter().any(|feature| feature == "mailertable");
        let programs = if has_ways { "smap" } else { "smap, smapd" };
        for name in call.argument(0).split_ascii_whitespace() {
            let name = name.trim_end_matches('.');
            if let Some(network) = network(name) {
                self.draft.say(call.line, "permit-relay", &[network]);
            } else if exact {
                self.draft.say_to(call.line, programs, "domain", &[name, "smtp:"]);
                self.draft.say(call.line, "permit-relay", &[name]);
            } else {
                self.draft.say_to(call.line, programs, "domain", &[name, &format!(".{name}"), "smtp:"]);
                self.draft.say(call.line, "permit-relay", &[name, &format!("*.{name}")]);
            }
        }
    }

    fn masquerade_domain(&mut self, call: &Call) {
        let entire = self.features.iter().any(|feature| feature == "masquerade_entire_domain");
        let names = call.argument(0).split_ascii_whitespace();
        let below = |name: &str| entire.then(|| format!(".{name}"));
        let words: Vec<String> =
            names.flat_map(|name| [name.to_owned()].into_iter().chain(below(name))).collect();
        self.draft.say(call.line, "masquerade-domain", &words);
    }

    fn feature(&mut self, call: &Call) {
        let first = call.argument(1).to_owned();
        let table = |default: &str| if first.is_empty() { default.to_owned() } else { file(&first) };
        let line = call.line;
        match call.argument(0) {
            "mailertable" => self.mailertable(call, &table("/etc/mail/mailertable")),
            "access_db" => self.draft.say(line, "access", &[table("/etc/mail/access")]),
            "virtusertable" => self.draft.say(line, "virtusertable", &[table("/etc/mail/virtusertable")]),
            "use_cw_file" => {
                let named = self.names.value("confCW_FILE").map(str::to_owned);
                let named = named.and_then(|named| self.names.expand(&named));
                self.draft.say(line, "local-host-names", &[file(named.as_deref().unwrap_or(LOCAL_NAMES))]);
            }
            "masquerade_envelope" => self.draft.say::<&str>(line, "masquerade-envelope", &[]),
            "allmasquerade" => self.draft.say::<&str>(line, "masquerade-recipients", &[]),
            "limited_masquerade" => self.draft.say::<&str>(line, "masquerade-limited", &[]),
            "always_add_domain" => match (first.is_empty(), self.names.expand("confDOMAIN_NAME")) {
                (false, _) => self.draft.say(line, "always-add-domain", &[first]),
                (true, Some(own)) if own != "confDOMAIN_NAME" => {
                    self.draft.say(line, "always-add-domain", &[own]);
                }
                (true, _) => {
                    let why = "the domain is this host's own name, which confDOMAIN_NAME does not say:";
                    let line = vec!["smapd: always-add-domain HOSTNAME".to_owned()];
                    self.draft.leave_for(call.line, &call.shown(), why, line);
                }
            },
            "relay_entire_domain" => {
                let why =
                    "hosts of this host's own domain may send to any domain then. If it is example.com:";
                let line = vec!["smap: permit-relay example.com *.example.com".to_owned()];
                self.draft.leave_for(call.line, &call.shown(), why, line);
            }
            "nullclient" => match way(&first) {
                Ok(words) => {
                    self.draft.say(line, "relay-host", &words);
                    self.draft.say(line, "masquerade-as", &[first]);
                }
                Err(why) => self.draft.leave(line, &call.shown(), &why),
            },
            name => self.carry(call, meaning(FEATURES, name), ""),
        }
    }

    fn mailertable(&mut self, call: &Call, path: &str) {
        if (self.is_there)(Path::new(path)) {
            return self.draft.say(call.line, "mailertable", &[path]);
        }
        let line = vec![format!("smapd: mailertable {path}")];
        self.draft.leave_for(call.line, &call.shown(), NOT_THERE, line);
    }

    /// `Family=inet, Name=MTA, Addr=192.0.2.1, Port=smtp, M=...`
    fn daemon_options(&mut self, call: &Call) {
        let options: Vec<(String, &str)> = call
            .argument(0)
            .split(',')
            .filter_map(|option| option.split_once('='))
            .map(|(key, value)| (key.trim_ascii().to_ascii_lowercase(), value.trim_ascii()))
            .collect();
        let option = |letter: char| {
            options
                .iter()
                .find(|(key, _)| key.starts_with(letter))
                .map(|(_, value)| *value)
                .unwrap_or_default()
        };
        // Only the first letter of a key counts; M is for Modify, and N for Name.
        let six = option('f').eq_ignore_ascii_case("inet6");
        let address = match option('a') {
            "" if six => "[::]".to_owned(),
            "" => "0.0.0.0".to_owned(),
            address if six => format!("[{}]", address.trim_start_matches("IPv6:")),
            address => address.to_owned(),
        };
        match option('p') {
            "" | "smtp" => self.draft.say(call.line, "listen", &[format!("{address}:25")]),
            "submission" | "587" | "smtps" | "submissions" | "465" => {
                let why = "smap does not take submissions yet: leave this port to whoever has it";
                self.draft.leave(call.line, &call.shown(), why);
            }
            port => self.draft.say(call.line, "listen", &[format!("{address}:{port}")]),
        }
    }

    fn mailer(&mut self, call: &Call) {
        match call.argument(0) {
            "smtp" => {}
            "local" => {
                if self.names.value("ALIAS_FILE").is_none() {
                    self.draft.say(call.line, "aliases", &["/etc/mail/aliases"]);
                }
                let why = "users of this machine: the domains of LOCAL_DOMAIN and local-host-names each need a \
                           domain line that says where their mail goes";
                self.draft.leave(call.line, &call.shown(), why);
            }
            _ => self.draft.leave(call.line, &call.shown(), "a mailer of its own is pipe: in a domain line"),
        }
    }

    /// Lines that m4 writes to sendmail.cf as they are.
    fn text(&mut self, line: u32, text: &str) {
        let why = match text {
            "LOCAL_CONFIG" => {
                self.section = Section::Config;
                return;
            }
            "MAILER_DEFINITIONS" => {
                self.section = Section::Top;
                return;
            }
            text if text.starts_with("LOCAL_") => {
                self.section = Section::Rules;
                "rules that rewrite addresses cannot be carried over: say what they were for"
            }
            _ if self.section == Section::Rules => return,
            _ => "a line of sendmail.cf cannot be carried over",
        };
        let names = (self.section == Section::Config).then(|| class_w(text)).flatten();
        match names {
            Some(names) => self.local_domain(line, text, names),
            None => self.draft.leave(line, text, why),
        }
    }

    /// What the file defines for itself: no loss where it is used.
    fn names_of_its_own(&mut self, pieces: &[Piece]) {
        for piece in pieces {
            let Piece::Call(call) = piece else { continue };
            let name = call.argument(0);
            let told = name.starts_with("conf")
                || meaning(OPTIONS, name).is_some()
                || matches!(name, "SMART_HOST" | "MAIL_HUB");
            if call.name == "define" && !told && !self.names.is_used(name) {
                self.draft.leave(call.line, &call.shown(), NOT_KNOWN);
            }
        }
    }
}

/// `Cwexample.com`, `C{w}example.com`
fn class_w(text: &str) -> Option<&str> {
    text.strip_prefix("Cw").or_else(|| text.strip_prefix("C{w}"))
}

/// The file of a map such as `hash -o /etc/mail/access.db`.
fn file(map: &str) -> String {
    let path = map.split_ascii_whitespace().find(|word| word.starts_with('/')).unwrap_or(map);
    path.strip_suffix(".db").unwrap_or(path).to_owned()
}

/// `10.1` is a network to sendmail, and so is `10.1.2.3`.
fn network(name: &str) -> Option<String> {
    if let Some(six) = name.strip_prefix("IPv6:") {
        return Some(six.to_owned());
    }
    let parts = name.split('.').count();
    let digits = name.split('.').all(|part| part.parse::<u8>().is_ok());
    match parts {
        1..=3 if digits => Some(format!("{name}.*")),
        4 if digits => Some(name.to_owned()),
        _ => None,
    }
}

/// The words of the transport that `MAILER:HOST` comes to; without a mailer it is a host by MX.
fn way(value: &str) -> Result<Vec<String>, String> {
    let has_mailer = !value.starts_with('[') && value.contains(':');
    let row = format!(". {}{value}\n", if has_mailer { "" } else { "relay:" });
    if value.contains(char::is_control) {
        return Err("a control character stands in it".to_owned());
    }
    let (table, faults) = Mailertable::parse(Path::new("mailertable"), row.as_bytes());
    let recipient = "user@example.com".parse().map_err(|_| NOT_KNOWN.to_owned())?;
    match (faults.into_iter().next(), table.entries().first()) {
        (None, Some(entry)) => {
            let transport = entry.transport(&recipient, "example.com").to_string();
            Ok(transport.split(' ').map(str::to_owned).collect())
        }
        (Some(fault), _) => Err(fault.what),
        (None, None) => Err(NOT_KNOWN.to_owned()),
    }
}
