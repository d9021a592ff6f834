//! Postfix's `main.cf`: the parameters that make it a gateway. master.cf is not read.
//!
//! Decides what each parameter means here. The files that it names are asked for; nothing is looked up in a map that
//! is no text.
#![deny(clippy::disallowed_methods)]

mod reader;
mod routes;
mod ways;
mod words;

use std::path::Path;

use self::reader::{Setting, Settings};
use self::routes::Routes;
use self::ways::{Around, file, rows, words};
use super::meaning::{DAY, Meaning, carry, seconds};
use super::table::Draft;

const ENDLESS: &str = "its references stand for themselves, or for too much text";
const NOT_KNOWN: &str = "smap and smapd have nothing like it";
const NO_TEXT: &str = "this map is no file of text that can be read here: write down what it says";
const TO_USERS: &str = "Postfix delivers this mail to users of this machine. Where does it go now? To programs or \
                        mailboxes, or to a host inside:";

/// Gives the text of a file; nothing where it cannot be read.
pub(super) type Files<'a> = &'a dyn Fn(&Path) -> Option<String>;

struct Site<'a> {
    draft: &'a mut Draft,
    settings: Settings,
    files: Files<'a>,
    around: Around,
    routes: Routes,
    said_retry: bool,
    said_routes: bool,
}

/// Carries a main.cf over to `draft`.
pub(super) fn import(source: &str, files: Files<'_>, draft: &mut Draft) {
    let mut settings = Settings::read(source);
    for strange in &settings.strange {
        draft.leave(strange.line, &strange.text, "this is not of the form NAME = VALUE");
    }
    let queue = settings.value("queue_directory").unwrap_or_default();
    let level = settings.value("smtp_tls_security_level").unwrap_or_default();
    let around = Around { tls: tls(&level).unwrap_or_default(), queue };
    let routes = Routes::default();
    let mut site = Site { draft, settings, files, around, routes, said_retry: false, said_routes: false };
    site.learn_routes();
    for number in 0..site.settings.all.len() {
        let Some(setting) = site.settings.all.get(number).cloned() else { continue };
        let shown = format!("{} = {}", setting.name, setting.value);
        if !site.settings.is_last(number, &setting.name) {
            site.draft.leave(setting.line, &shown, "a later line says something else of it");
            continue;
        }
        site.setting(&setting, &shown);
    }
}

/// What a level means in words of a transport; nothing where there is no such level here.
fn tls(level: &str) -> Option<&'static str> {
    match level {
        "none" => Some("tls=off"),
        "" | "may" | "dane" => Some(""),
        "encrypt" => Some("tls=require"),
        "verify" | "secure" => Some("tls=verify"),
        _ => None,
    }
}

impl Site<'_> {
    fn setting(&mut self, setting: &Setting, shown: &str) {
        let Setting { line, name, .. } = setting;
        let line = *line;
        let meaning = words::meaning(name);
        if let Some(Meaning::Silent) = meaning {
            return;
        }
        // Text that is left does not need its references.
        let is_own = OWN.contains(&name.as_str());
        if let (Some(Meaning::Left(_)), false) = (meaning, is_own) {
            return self.carry(line, shown, meaning, "");
        }
        if !is_own && meaning.is_none() {
            return self.carry(line, shown, None, "");
        }
        let Some(value) = self.settings.value(name) else {
            return self.draft.leave(line, shown, ENDLESS);
        };
        match name.as_str() {
            "myhostname" => self.carry(line, shown, Some(Meaning::Word("hostname")), &value),
            "myorigin" => self.origin(line, shown, &value),
            "mydestination" => self.local(line, shown, &value, "local_transport"),
            "virtual_mailbox_domains" => self.local(line, shown, &value, "virtual_transport"),
            "local_transport" | "mailbox_transport" => {}
            "relay_domains" | "transport_maps" => self.say_routes(),
            "mynetworks" => self.networks(line, shown, &value),
            "relayhost" => self.relay_host(line, shown, &value),
            "default_transport" => self.default_transport(line, shown, &value),
            "smtp_tls_security_level" => self.level(line, shown, &value),
            "inet_interfaces" => self.interfaces(line, shown, &value),
            "virtual_alias_maps" | "virtual_maps" => self.maps(line, shown, "virtusertable", &value),
            "alias_maps" => self.maps(line, shown, "aliases", &value),
            "virtual_alias_domains" => {
                let why =
                    "virtual_alias_maps says where each user of these domains is; smap has to accept them:";
                let domains: Vec<&str> = words(&value).collect();
                let instead = format!("smap: domain {} smtp:", domains.join(" "));
                self.draft.leave_for(line, shown, why, vec![instead]);
            }
            "2bounce_notice_recipient" => self.carry(line, shown, Some(Meaning::Word("badadmin")), &value),
            "smtp_tls_cert_file" => self.client(line, shown, ["client-cert", "smtp_tls_key_file"], &value),
            "smtp_tls_key_file" => self.client(line, shown, ["client-key", "smtp_tls_cert_file"], &value),
            "queue_run_delay" | "minimal_backoff_time" | "maximal_backoff_time" => self.retry(line),
            _ => self.carry(line, shown, meaning, &value),
        }
    }

    fn carry(&mut self, line: u32, shown: &str, meaning: Option<Meaning>, value: &str) {
        carry(self.draft, line, shown, meaning.unwrap_or(Meaning::Left(NOT_KNOWN)), value);
    }

    /// The words of a list, those of the files that it names too.
    fn listed(&mut self, line: u32, list: &str) -> Vec<String> {
        let mut found = Vec::new();
        for word in words(list) {
            let named = word.trim_start_matches('!');
            let is_map = named.starts_with('/')
                || named
                    .split_once(':')
                    .is_some_and(|(kind, path)| path.contains('/') && !kind.contains(['[', '.']));
            match (is_map, file(named).and_then(|path| (self.files)(Path::new(path)))) {
                (false, _) => found.push(word.to_owned()),
                (true, Some(text)) => found.extend(rows(&text).into_iter().map(|(key, _)| key)),
                (true, None) => self.draft.leave(line, word, NO_TEXT),
            }
        }
        found
    }

    /// Reads which domains are accepted, and the transport maps.
    fn learn_routes(&mut self) {
        for (number, setting) in self.settings.all.clone().iter().enumerate() {
            let is_one = matches!(setting.name.as_str(), "relay_domains" | "transport_maps");
            if !is_one || !self.settings.is_last(number, &setting.name) {
                continue;
            }
            let Some(value) = self.settings.value(&setting.name) else { continue };
            if setting.name == "relay_domains" {
                let own = self.settings.value("mydestination").unwrap_or_default();
                let own: Vec<&str> = words(&own).collect();
                let accepted = self.listed(setting.line, &value).into_iter();
                let accepted = accepted.filter(|domain| !own.contains(&domain.as_str()));
                self.routes.accepted.extend(accepted.map(|domain| (domain, setting.line)));
                continue;
            }
            for map in words(&value) {
                match file(map).and_then(|path| (self.files)(Path::new(path))) {
                    Some(text) => {
                        let rows = rows(&text).into_iter();
                        self.routes.ways.extend(rows.map(|(key, way)| (key, way, setting.line)));
                    }
                    None => self.draft.leave(setting.line, map, NO_TEXT),
                }
            }
        }
        let has_host =
            |name: &str, settings: &mut Settings| settings.value(name).is_some_and(|host| !host.is_empty());
        self.routes.has_relay_host = has_host("relayhost", &mut self.settings)
            || has_host("default_transport", &mut self.settings)
            || self.routes.of_all_others().is_some();
    }

    fn say_routes(&mut self) {
        if std::mem::replace(&mut self.said_routes, true) {
            return;
        }
        self.routes.say(&self.around, self.draft);
        if let Some((_, way, from)) = self.routes.of_all_others() {
            match self.around.way(way) {
                Ok(words) => self.draft.say(*from, "relay-host", &words),
                Err(why) => self.draft.leave(*from, &format!("* {way}"), &why),
            }
        }
    }

    /// Domains whose mail Postfix delivers itself.
    fn local(&mut self, line: u32, shown: &str, value: &str, transport: &str) {
        let listed = self.listed(line, value);
        let domains: Vec<String> = listed
            .into_iter()
            .filter(|name| name != "localhost" && !name.starts_with("localhost."))
            .collect();
        if domains.is_empty() {
            return;
        }
        let named =
            ["mailbox_transport", transport].map(|name| self.settings.value(name).unwrap_or_default());
        let named = named.into_iter().find(|way| way.starts_with("lmtp:") || way.starts_with("smtp:"));
        match named.map(|way| self.around.way(&way)) {
            Some(Ok(way)) => {
                let words: Vec<String> = domains.into_iter().chain(way).collect();
                self.draft.say(line, "domain", &words);
            }
            Some(Err(_)) | None => {
                let domains = domains.join(" ");
                let lines = ["lmtp:unix:/run/dovecot/lmtp", "smtp:[10.0.0.5]"]
                    .map(|way| format!("smap, smapd: domain {domains} {way}"));
                self.draft.leave_for(line, shown, TO_USERS, lines.to_vec());
            }
        }
    }

    fn origin(&mut self, line: u32, shown: &str, value: &str) {
        let in_file = value.starts_with('/').then(|| (self.files)(Path::new(value)));
        let domain = match in_file {
            None => Some(value.to_owned()),
            Some(text) => text.and_then(|text| text.lines().next().map(|name| name.trim_ascii().to_owned())),
        };
        match domain.filter(|domain| !domain.is_empty()) {
            Some(domain) => self.draft.say(line, "always-add-domain", &[domain]),
            None => self.draft.leave(line, shown, NO_TEXT),
        }
    }

    /// In order: the first that means a client decides.
    fn networks(&mut self, line: u32, shown: &str, value: &str) {
        let listed = self.listed(line, value);
        if listed.is_empty() {
            return self.draft.leave(
                line,
                shown,
                "nobody may send to other domains: that is so without a line",
            );
        }
        let is_not = |network: &String| network.starts_with('!');
        for run in listed.chunk_by(|one, other| is_not(one) == is_not(other)) {
            let networks: Vec<String> =
                run.iter().map(|network| network.trim_start_matches('!').replace(['[', ']'], "")).collect();
            let attribute = if run.first().is_some_and(is_not) { "deny-relay" } else { "permit-relay" };
            self.draft.say(line, attribute, &networks);
        }
    }

    fn relay_host(&mut self, line: u32, shown: &str, value: &str) {
        if value.is_empty() {
            return;
        }
        if self.routes.of_all_others().is_some() {
            return self.draft.leave(line, shown, "the * of transport_maps comes before it");
        }
        self.draft.say(line, "relay-host", &self.around.smtp(value));
    }

    fn default_transport(&mut self, line: u32, shown: &str, value: &str) {
        let taken = self.routes.of_all_others().is_some()
            || self.settings.value("relayhost").is_some_and(|host| !host.is_empty());
        match self.around.way(value) {
            Ok(_) if taken && matches!(value, "smtp" | "smtp:") => {}
            Ok(_) if taken => {
                self.draft.leave(line, shown, "relayhost or the * of transport_maps comes before it")
            }
            Ok(words) => self.draft.say(line, "relay-host", &words),
            Err(why) => self.draft.leave(line, shown, &why),
        }
    }

    /// It stands with every way; where there is none, a line of its own makes room for it.
    fn level(&mut self, line: u32, shown: &str, value: &str) {
        match tls(value) {
            None => {
                self.draft.leave(line, shown, "there is no such level here: see tls= in netperm-table(5)")
            }
            Some("") => {}
            Some(_) if self.routes.has_relay_host => {}
            Some(_) => self.draft.say(line, "relay-host", &self.around.smtp("")),
        }
    }

    fn interfaces(&mut self, line: u32, shown: &str, value: &str) {
        let protocols = self.settings.value("inet_protocols").unwrap_or_default();
        for word in words(value) {
            match word {
                "all" if protocols == "ipv4" => self.draft.say(line, "listen", &["0.0.0.0:25"]),
                "all" => self.draft.say(line, "listen", &["*:25"]),
                "loopback-only" | "localhost" => {
                    self.draft.say(line, "listen", &["127.0.0.1:25"]);
                    if protocols != "ipv4" {
                        self.draft.say(line, "listen", &["[::1]:25"]);
                    }
                }
                address if address.parse::<std::net::Ipv6Addr>().is_ok() => {
                    self.draft.say(line, "listen", &[format!("[{address}]:25")]);
                }
                address if address.starts_with('[') || address.parse::<std::net::Ipv4Addr>().is_ok() => {
                    self.draft.say(line, "listen", &[format!("{address}:25")]);
                }
                _ => self.draft.leave(line, shown, "listen takes addresses, not names"),
            }
        }
    }

    fn maps(&mut self, line: u32, shown: &str, attribute: &str, value: &str) {
        for map in words(value) {
            match file(map) {
                Some(path) => self.draft.say(line, attribute, &[path]),
                None => self.draft.leave(line, shown, NO_TEXT),
            }
        }
    }

    /// A certificate needs its key, and a key its certificate.
    fn client(&mut self, line: u32, shown: &str, [attribute, other]: [&'static str; 2], value: &str) {
        let has_other = self.settings.value(other).is_some_and(|other| !other.is_empty());
        let alone =
            Meaning::Left("a certificate without its key, or a key without its certificate, is of no use");
        self.carry(line, shown, Some(if has_other { Meaning::File(attribute) } else { alone }), value);
    }

    /// Twice the time after each try, from the shortest to the longest; nothing is tried between two runs.
    fn retry(&mut self, line: u32) {
        if std::mem::replace(&mut self.said_retry, true) {
            return;
        }
        let mut time = |name: &str, otherwise: u64| {
            let said = self.settings.has(name).then(|| self.settings.value(name)).flatten();
            said.and_then(|said| seconds(&said, 1))
                .filter(|time| *time > 0)
                .unwrap_or(otherwise)
                .min(365 * DAY)
        };
        let first = time("minimal_backoff_time", 300).max(time("queue_run_delay", 300));
        let last = time("maximal_backoff_time", 4000).max(first);
        let mut waits = Vec::new();
        let mut wait = first;
        while wait < last && waits.len() < 20 {
            waits.push(wait.to_string());
            wait = wait.saturating_mul(2);
        }
        waits.push(last.to_string());
        self.draft.say(line, "retry", &waits);
    }
}

/// The parameters that need more than a word of [`words`].
const OWN: [&str; 24] = [
    "myhostname",
    "myorigin",
    "mydestination",
    "virtual_mailbox_domains",
    "local_transport",
    "mailbox_transport",
    "relay_domains",
    "transport_maps",
    "mynetworks",
    "relayhost",
    "default_transport",
    "smtp_tls_security_level",
    "inet_interfaces",
    "virtual_alias_maps",
    "virtual_maps",
    "alias_maps",
    "virtual_alias_domains",
    "2bounce_notice_recipient",
    "smtp_tls_cert_file",
    "smtp_tls_key_file",
    "queue_run_delay",
    "minimal_backoff_time",
    "maximal_backoff_time",
    "smtp_tls_CAfile",
];
