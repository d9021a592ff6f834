//! Postfix's `transport:nexthop`, and the tables of them.
#![deny(clippy::disallowed_methods)]

use super::reader::logical_lines;

const TO_USERS: &str = "Postfix delivers this mail to users of this machine. Where does it go now? To programs or \
                        mailboxes, or to a host inside:";

/// What stands around a way.
#[derive(Debug)]
pub(super) struct Around {
    /// `tls=...`; empty where the default is meant.
    pub(super) tls: &'static str,
    /// Where relative paths of sockets begin.
    pub(super) queue: String,
}

impl Around {
    /// The words of the transport that `TRANSPORT:NEXTHOP` comes to.
    pub(super) fn way(&self, value: &str) -> Result<Vec<String>, String> {
        let (transport, hop) = value.split_once(':').unwrap_or((value, ""));
        let hop = hop.trim_ascii();
        match transport.trim_ascii() {
            "smtp" | "relay" | "" => Ok(self.smtp(hop)),
            "lmtp" => Ok(vec![self.lmtp(hop)]),
            "discard" => Ok(vec!["discard".to_owned()]),
            "error" => Ok(error(hop)),
            "local" | "virtual" => Err(TO_USERS.to_owned()),
            other => Err(format!(
                "the transport {other} is Postfix's: a program is pipe:/PATH here, a socket lmtp:unix:/PATH"
            )),
        }
    }

    /// One host or several.
    pub(super) fn smtp(&self, hops: &str) -> Vec<String> {
        let hops: Vec<&str> = words(hops).collect();
        let transport = format!("smtp:{}", hops.join(","));
        [transport].into_iter().chain((!self.tls.is_empty()).then(|| self.tls.to_owned())).collect()
    }

    fn lmtp(&self, hop: &str) -> String {
        match hop.strip_prefix("unix:") {
            Some(path) if path.starts_with('/') => format!("lmtp:unix:{path}"),
            Some(path) => format!("lmtp:unix:{}/{path}", self.queue),
            None => format!("lmtp:{}", hop.strip_prefix("inet:").unwrap_or(hop)),
        }
    }
}

/// `error:5.1.1 text`, `error:text`
fn error(text: &str) -> Vec<String> {
    let (status, text) = match text.split_once(' ') {
        Some((status, text)) if status.starts_with(['4', '5']) && status.split('.').count() == 3 => {
            (status, text)
        }
        _ => ("5.0.0", text),
    };
    let code = if status.starts_with('4') { 450 } else { 550 };
    let text = if text.is_empty() { "not deliverable" } else { text };
    [format!("error:{status}:{code}")]
        .into_iter()
        .chain(text.split_ascii_whitespace().map(str::to_owned))
        .collect()
}

/// The words of a list.
pub(super) fn words(list: &str) -> impl Iterator<Item = &str> {
    list.split([',', ' ', '\t']).filter(|word| !word.is_empty())
}

/// The file of text behind a map, where there is one.
pub(super) fn file(map: &str) -> Option<&str> {
    let map = map.strip_prefix("proxy:").unwrap_or(map);
    match map.split_once(':') {
        Some(("hash" | "texthash" | "lmdb" | "btree" | "dbm" | "cdb" | "cidr", path)) => Some(path),
        Some(_) => None,
        None => Some(map),
    }
    .filter(|path| path.starts_with('/'))
}

/// Keys, in lower case, and what stands behind each.
pub(super) fn rows(table: &str) -> Vec<(String, String)> {
    let lines = logical_lines(table).into_iter();
    lines
        .map(|logical| match logical.text.split_once([' ', '\t']) {
            Some((key, value)) => (key.to_lowercase(), value.trim_ascii().to_owned()),
            None => (logical.text.to_lowercase(), String::new()),
        })
        .collect()
}
