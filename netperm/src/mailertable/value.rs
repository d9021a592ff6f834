//! What stands behind a key: `mailer:host[:host...]`, `local:`, `error:`, `discard:`.

use std::borrow::Cow;
use std::fmt;

use smap_common::address::Address;
use smap_common::status::Status;

use crate::nearest;
use crate::reply::{self, Reply, ReplyError};
use crate::transport::{Host, NextHop, Transport, TransportError};

/// sendmail's mailers, as far as they are ways of ours.
const MAILERS: [&str; 6] = ["smtp", "esmtp", "relay", "local", "error", "discard"];

/// sendmail's keywords of errors: its own status and code for each.
const ERRORS: [(&str, Status, u16); 8] = [
    ("usage", Status::permanent(0, 0), 500),
    ("nouser", Status::permanent(1, 1), 550),
    ("nohost", Status::permanent(1, 2), 550),
    ("unavailable", Status::permanent(0, 0), 554),
    ("software", Status::permanent(3, 0), 554),
    ("tempfail", Status::transient(0, 0), 450),
    ("protocol", Status::permanent(5, 0), 554),
    ("config", Status::permanent(3, 5), 554),
];

/// Stands for any wildcard while a line is judged.
const SAMPLE: &str = "x";

/// Where a line sends mail.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Target {
    Fixed(Transport),
    /// `local:`: to the user whom the address names.
    SameUser,
    /// Hosts with `%1`, each as a transport would have it.
    Hosts(Vec<String>),
    /// A user with `%1`.
    User(String),
}

/// Why a value says nothing.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum ValueError {
    /// No colon.
    NoMailer(String),
    /// A mailer that is not one of ours.
    UnknownMailer(String),
    /// White space where hosts or a user stand.
    Space,
    /// Nothing where a host is needed.
    EmptyHost,
    /// A number that follows no host.
    Port(String),
    /// A `%` and a digit that stand for nothing here.
    Percent(char),
    /// What an error is to say.
    Reply(ReplyError),
    /// As in a table.
    Transport(TransportError),
}

impl fmt::Display for ValueError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NoMailer(value) => write!(f, "\"{value}\" is not of the form mailer:host"),
            Self::UnknownMailer(mailer) => {
                write!(f, "unknown mailer \"{mailer}\"{}", nearest::hint(mailer, MAILERS))
            }
            Self::Space => {
                f.write_str("nothing may stand behind this (a comment stands on a line of its own)")
            }
            Self::EmptyHost => f.write_str("no host stands beside a colon"),
            Self::Port(port) => write!(f, "{port} is a port, and no host stands before it"),
            Self::Percent(digit) => write!(f, "%{digit} stands for nothing here"),
            Self::Reply(fault) => fault.fmt(f),
            Self::Transport(fault) => fault.fmt(f),
        }
    }
}

impl From<TransportError> for ValueError {
    fn from(fault: TransportError) -> Self {
        Self::Transport(fault)
    }
}

impl Target {
    pub(super) fn read(value: &str) -> Result<Self, ValueError> {
        let (mailer, rest) = value.split_once(':').ok_or_else(|| ValueError::NoMailer(value.to_owned()))?;
        let lower = mailer.to_ascii_lowercase();
        if lower != "error" && value.contains([' ', '\t']) {
            return Err(ValueError::Space);
        }
        match lower.as_str() {
            "smtp" | "esmtp" | "relay" => hosts(rest),
            "local" if rest.is_empty() => Ok(Self::SameUser),
            "local" => user(rest),
            "error" => error(rest).map(Self::Fixed),
            // sendmail wants something behind it, whatever it is.
            "discard" => Ok(Self::Fixed(Transport::Discard)),
            _ => Err(ValueError::UnknownMailer(mailer.to_owned())),
        }
    }

    pub(super) fn has_wildcard(&self) -> bool {
        match self {
            Self::Hosts(_) | Self::User(_) => true,
            Self::Fixed(_) | Self::SameUser => false,
        }
    }

    pub(super) fn transport(&self, recipient: &Address, wildcard: &str) -> Cow<'_, Transport> {
        match self {
            Self::Fixed(transport) => Cow::Borrowed(transport),
            Self::SameUser => Cow::Owned(Transport::Local(recipient.local_part().to_owned())),
            Self::Hosts(hosts) => Cow::Owned(expanded(hosts, wildcard).unwrap_or_else(no_host)),
            Self::User(user) => {
                let user = expand(user, Some(wildcard)).and_then(|user| local(&user));
                Cow::Owned(user.unwrap_or_else(|_| no_host()))
            }
        }
    }

    pub(super) fn ports(&self) -> Vec<u16> {
        match self {
            Self::Fixed(transport) => transport.ports(),
            Self::Hosts(hosts) => expanded(hosts, SAMPLE).map(|hosts| hosts.ports()).unwrap_or_default(),
            Self::SameUser | Self::User(_) => Vec::new(),
        }
    }

    pub(super) fn is_another_way(&self) -> bool {
        match self {
            Self::Fixed(transport) => transport.is_another_way(),
            Self::Hosts(_) => true,
            Self::SameUser | Self::User(_) => false,
        }
    }
}

/// The recipient's domain makes no name of a host or a user.
fn no_host() -> Transport {
    let text = "Host unknown".to_owned();
    Transport::Error { status: Status::permanent(1, 2), code: 550, text }
}

/// As in sendmail's maps.
fn expand(text: &str, wildcard: Option<&str>) -> Result<String, ValueError> {
    reply::expand(text, wildcard).map_err(ValueError::Percent)
}

/// Hosts, each with the port that follows it, as a transport would have them.
fn hosts(text: &str) -> Result<Target, ValueError> {
    let mut hosts: Vec<String> = Vec::new();
    let mut port_may_follow = false;
    for part in outside_brackets(text) {
        let is_port = !part.is_empty() && part.bytes().all(|byte| byte.is_ascii_digit());
        match hosts.last_mut().filter(|_| port_may_follow) {
            Some(host) if is_port => *host += &format!(":{part}"),
            _ if is_port => return Err(ValueError::Port(part.to_owned())),
            _ if part.is_empty() => return Err(ValueError::EmptyHost),
            _ => hosts.push(part.to_owned()),
        }
        port_may_follow = !is_port;
    }
    let wildcards = hosts.iter().any(|host| host.contains("%1"));
    let sample: Result<Vec<String>, ValueError> =
        hosts.iter().map(|host| expand(host, Some(SAMPLE))).collect();
    let transport = smtp(&sample?)?;
    Ok(if wildcards { Target::Hosts(hosts) } else { Target::Fixed(transport) })
}

/// The parts between colons (or commas, which sendmail takes for the same) that do not stand in brackets.
fn outside_brackets(text: &str) -> impl Iterator<Item = &str> {
    let mut inside = false;
    text.split(move |c| {
        inside = (inside || c == '[') && c != ']';
        !inside && matches!(c, ':' | ',')
    })
}

fn smtp(hosts: &[String]) -> Result<Transport, ValueError> {
    Ok(Transport::from_words(&[format!("smtp:{}", hosts.join(","))])?)
}

/// The hosts for a wildcard; none where it makes an address, or nothing, of the name of a host.
fn expanded(hosts: &[String], wildcard: &str) -> Option<Transport> {
    let written: Vec<String> =
        hosts.iter().map(|host| expand(host, Some(wildcard))).collect::<Result<_, _>>().ok()?;
    let transport = smtp(&written).ok()?;
    let Transport::Smtp { hops, .. } = &transport else { return None };
    let is_named = |hop: &NextHop| {
        !matches!(hop, NextHop::Direct { host: Host::Address(_), .. } | NextHop::RecipientDomain)
    };
    let mut pairs = hosts.iter().zip(hops);
    let fits = hosts.len() == hops.len() && pairs.all(|(host, hop)| !host.contains("%1") || is_named(hop));
    fits.then_some(transport)
}

fn user(text: &str) -> Result<Target, ValueError> {
    match expand(text, None) {
        Ok(user) => local(&user).map(Target::Fixed),
        Err(_) => {
            local(&expand(text, Some(SAMPLE))?)?;
            Ok(Target::User(text.to_owned()))
        }
    }
}

fn local(user: &str) -> Result<Transport, ValueError> {
    Ok(Transport::from_words(&[format!("local:{user}")])?)
}

/// `D.S.N:` or a keyword first, then a code, then the text; each but the text may be missing. Always a [`Transport::Error`].
pub(crate) fn error(text: &str) -> Result<Transport, ValueError> {
    let (said, rest) = kind_of_error(text);
    let Reply { code, status, text } = Reply::read(said, rest).map_err(ValueError::Reply)?;
    Ok(Transport::Error { status, code, text })
}

/// The status that stands before the text, with the code that goes with it.
fn kind_of_error(text: &str) -> (Option<(Status, Option<u16>)>, &str) {
    let (word, rest) = text.split_once([':', ' ']).unwrap_or((text, ""));
    let keyword = ERRORS.iter().find(|(keyword, ..)| word.eq_ignore_ascii_case(keyword));
    match (keyword, word.parse::<Status>()) {
        (Some((_, status, code)), _) => (Some((*status, Some(*code))), rest),
        (None, Ok(status)) => (Some((status, None)), rest),
        (None, Err(_)) => (None, text),
    }
}
