//! Transports: how mail leaves.
//!
//! Decides what a TRANSPORT of the table means. Trusts the operator's intent, not his spelling. Guarantees
//! that every path is absolute, every host a name or an address, and that arguments reach a program as they
//! stand, never through a shell.

mod options;
mod parse;
mod template;

use std::fmt;
use std::net::IpAddr;
use std::path::{Path, PathBuf};
use std::time::Duration;

use serde::de::{Deserialize, Deserializer, Error as _};
use smap_common::status::Status;

use crate::nearest;
use crate::paths::PathError;
use crate::reply::Reply;
use crate::table::{Words, Written};
use crate::units::{ShowDuration, UnitError};
pub use options::Tls;
pub(crate) use parse::port;
pub use template::{ArgTemplate, Names, PathTemplate, TemplateError, UnsafeName};

#[cfg(test)]
mod tests;

/// The port of SMTP (RFC 5321 section 4.5.4.2).
pub const SMTP_PORT: u16 = 25;
/// The port that LMTP is used to have; RFC 2033 section 5 forbids only 25.
pub const LMTP_PORT: u16 = 24;

/// The words that begin a transport.
pub(crate) const WORDS: [&str; 9] =
    ["smtp:", "lmtp:", "maildir:", "mbox:", "pipe:", "sendmail", "local:", "error:", "discard"];

/// How mail leaves.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Transport {
    /// To other mail hosts; the hops are tried in order.
    Smtp {
        /// Never empty.
        hops: Vec<NextHop>,
        /// Whether TLS is asked for.
        tls: Tls,
        /// How long to wait for each answer, instead of the times of RFC 5321 section 4.5.3.2.
        timeout: Option<Duration>,
    },
    /// To a local mail store.
    Lmtp {
        /// Where it listens.
        to: LmtpTarget,
        /// How long to wait for each answer.
        timeout: Option<Duration>,
    },
    /// Into a maildir.
    Maildir(PathTemplate),
    /// To the end of an mbox file.
    Mbox(PathTemplate),
    /// To a program, started with these arguments and never through a shell.
    Pipe {
        /// Its absolute path.
        program: PathBuf,
        /// Its arguments, `argv[1]` first.
        args: Vec<ArgTemplate>,
        /// How long it may run.
        timeout: Option<Duration>,
    },
    /// To the program that the `sendmail` attribute names.
    Sendmail {
        /// How long it may run.
        timeout: Option<Duration>,
    },
    /// To this user at our own host name, which is routed again.
    Local(String),
    /// Nowhere: the sender is told why.
    Error {
        /// The enhanced status code.
        status: Status,
        /// The reply code, of the same class.
        code: u16,
        /// The text of the reply.
        text: String,
    },
    /// Nowhere, and nobody is told.
    Discard,
}

/// A host, or how to find one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum NextHop {
    /// The mail exchangers of the recipient's domain.
    RecipientDomain,
    /// The mail exchangers of this name.
    ByMx {
        /// The name.
        host: String,
        /// The port.
        port: u16,
    },
    /// This host itself.
    Direct {
        /// The host.
        host: Host,
        /// The port.
        port: u16,
    },
}

/// A host by name or by address.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Host {
    /// A name, in lower case, to be looked up.
    Name(String),
    /// An address.
    Address(IpAddr),
}

/// Where an LMTP server listens.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum LmtpTarget {
    /// A Unix socket.
    Unix(PathBuf),
    /// A port of a host.
    Tcp {
        /// The host.
        host: Host,
        /// The port.
        port: u16,
    },
}

/// Why words are no transport.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum TransportError {
    /// No word at all.
    Missing,
    /// The first word is of no known kind.
    UnknownKind(String),
    /// An option that this kind does not have.
    UnknownOption(String, &'static [&'static str]),
    /// The same option again.
    RepeatedOption(String),
    /// The value of `timeout=`.
    Timeout(String, UnitError),
    /// The value of `tls=`.
    Tls(String),
    /// This kind takes no arguments.
    Argument(String),
    /// Nothing between two commas, or after the last.
    EmptyHop,
    /// Neither a name nor an address.
    Host(String),
    /// An address where a name with mail exchangers is needed.
    Bare(IpAddr),
    /// Not a port.
    Port(String),
    /// A path is wrong.
    Path(String, PathError),
    /// A path or argument with `%` is wrong.
    Template(String, TemplateError),
    /// Not a local part.
    User(String),
    /// Not `D.S.N:CODE TEXT`.
    ErrorForm(String),
    /// The text of an error is not printable ASCII.
    ErrorText,
}

impl fmt::Display for TransportError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Missing => f.write_str("a transport is missing, such as smtp:[10.0.0.5] or sendmail"),
            Self::UnknownKind(word) => {
                let kind = word.split_inclusive(':').next().unwrap_or(word);
                write!(f, "unknown transport \"{word}\"{}", nearest::hint(kind, WORDS))
            }
            Self::UnknownOption(key, known) => {
                let hint = nearest::hint(key, known.iter().copied());
                write!(f, "unknown option \"{key}=\" (-- ends the options){hint}")
            }
            Self::RepeatedOption(key) => write!(f, "the option {key}= is given twice"),
            Self::Timeout(value, fault) => write!(f, "timeout=: \"{value}\" {fault}"),
            Self::Tls(value) => {
                let hint = nearest::hint(value, Tls::WORDS.map(|(word, _)| word));
                write!(f, "tls=: \"{value}\" is not known{hint}")
            }
            Self::Argument(word) => write!(f, "this transport takes no argument such as \"{word}\""),
            Self::EmptyHop => f.write_str("no host stands beside a comma (and no white space may)"),
            Self::Host(host) => write!(f, "\"{host}\" is neither the name nor the address of a host"),
            Self::Bare(address) => {
                write!(f, "an address has no MX{}", nearest::did_you_mean(format_args!("[{address}]")))
            }
            Self::Port(port) => write!(f, "\"{port}\" is not a port"),
            Self::Path(path, fault) => write!(f, "\"{path}\" {fault}"),
            Self::Template(text, fault) => write!(f, "\"{text}\" {fault}"),
            Self::User(user) => write!(f, "\"{user}\" is not the name of a user"),
            Self::ErrorForm(word) => write!(f, "\"{word}\" is not of the form error:5.1.1:550 TEXT"),
            Self::ErrorText => f.write_str("the text of an error must be printable ASCII, and not empty"),
        }
    }
}

impl std::error::Error for TransportError {}

/// Whether a word is meant to begin a transport; what comes before it are domains, and no domain has a `:`
/// outside brackets.
pub(crate) fn begins(word: &str) -> bool {
    WORDS.contains(&word) || (word.contains(':') && !word.starts_with('['))
}

impl Transport {
    /// Where mail goes as long as our own tables do not let us say more: nowhere yet.
    pub(crate) fn later() -> Self {
        let Reply { code, status, text } = Reply::later();
        Self::Error { status, code, text }
    }

    /// The folder that its mailboxes lie in, if it has any.
    #[must_use]
    pub fn mailboxes(&self) -> Option<&Path> {
        match self {
            Self::Maildir(template) | Self::Mbox(template) => Some(template.root()),
            Self::Smtp { .. }
            | Self::Lmtp { .. }
            | Self::Pipe { .. }
            | Self::Sendmail { .. }
            | Self::Local(_)
            | Self::Error { .. }
            | Self::Discard => None,
        }
    }

    /// The TCP ports that it connects to.
    #[must_use]
    pub fn ports(&self) -> Vec<u16> {
        match self {
            Self::Smtp { hops, .. } => hops.iter().map(NextHop::port).collect(),
            Self::Lmtp { to: LmtpTarget::Tcp { port, .. }, .. } => vec![*port],
            Self::Lmtp { to: LmtpTarget::Unix(_), .. }
            | Self::Maildir(_)
            | Self::Mbox(_)
            | Self::Pipe { .. }
            | Self::Sendmail { .. }
            | Self::Local(_)
            | Self::Error { .. }
            | Self::Discard => Vec::new(),
        }
    }

    /// What it asks of TLS, if it may use any.
    #[must_use]
    pub fn tls(&self) -> Tls {
        match self {
            Self::Smtp { tls, .. } => *tls,
            Self::Lmtp { .. }
            | Self::Maildir(_)
            | Self::Mbox(_)
            | Self::Pipe { .. }
            | Self::Sendmail { .. }
            | Self::Local(_)
            | Self::Error { .. }
            | Self::Discard => Tls::Off,
        }
    }

    /// Whether it is a way out of its own, beside the `sendmail` program.
    pub(crate) fn is_another_way(&self) -> bool {
        match self {
            Self::Smtp { .. } | Self::Lmtp { .. } | Self::Maildir(_) | Self::Mbox(_) | Self::Pipe { .. } => {
                true
            }
            Self::Sendmail { .. } | Self::Local(_) | Self::Error { .. } | Self::Discard => false,
        }
    }
}

impl fmt::Display for Host {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Name(name) => f.write_str(name),
            Self::Address(address) => address.fmt(f),
        }
    }
}

impl NextHop {
    /// The port that it is connected to.
    #[must_use]
    pub fn port(&self) -> u16 {
        match self {
            Self::RecipientDomain => SMTP_PORT,
            Self::ByMx { port, .. } | Self::Direct { port, .. } => *port,
        }
    }
}

impl fmt::Display for NextHop {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::RecipientDomain => {}
            Self::ByMx { host, .. } => f.write_str(host)?,
            Self::Direct { host, .. } => write!(f, "[{host}]")?,
        }
        let port = self.port();
        if port == SMTP_PORT { Ok(()) } else { write!(f, ":{port}") }
    }
}

impl fmt::Display for LmtpTarget {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Unix(path) => write!(f, "unix:{}", path.display()),
            Self::Tcp { host: Host::Address(IpAddr::V6(address)), port } => write!(f, "[{address}]:{port}"),
            Self::Tcp { host, port } => write!(f, "{host}:{port}"),
        }
    }
}

impl fmt::Display for Transport {
    /// As a table would have it.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Smtp { hops, tls, timeout } => {
                let hops: Vec<String> = hops.iter().map(|hop| format!("smtp:{hop}")).collect();
                f.write_str(&hops.join(","))?;
                if *tls != Tls::default() {
                    write!(f, " tls={tls}")?;
                }
                write_timeout(*timeout, f)
            }
            Self::Lmtp { to, timeout } => {
                write!(f, "{}", Written(&format!("lmtp:{to}")))?;
                write_timeout(*timeout, f)
            }
            Self::Maildir(path) => write!(f, "{}", Written(&format!("maildir:{path}"))),
            Self::Mbox(path) => write!(f, "{}", Written(&format!("mbox:{path}"))),
            Self::Pipe { program, args, timeout } => {
                write!(f, "{}", Written(&format!("pipe:{}", program.display())))?;
                write_timeout(*timeout, f)?;
                let args: Vec<String> = args.iter().map(ArgTemplate::to_string).collect();
                write_arguments(args.iter().map(String::as_str), f)
            }
            Self::Sendmail { timeout } => {
                f.write_str("sendmail")?;
                write_timeout(*timeout, f)
            }
            Self::Local(user) => write!(f, "{}", Written(&format!("local:{user}"))),
            Self::Error { status, code, text } => {
                write!(f, "error:{status}:{code}")?;
                write_arguments(text.split(' '), f)
            }
            Self::Discard => f.write_str("discard"),
        }
    }
}

fn write_timeout(timeout: Option<Duration>, f: &mut fmt::Formatter<'_>) -> fmt::Result {
    match timeout {
        Some(timeout) => write!(f, " timeout={}", ShowDuration(timeout)),
        None => Ok(()),
    }
}

/// Arguments, set apart where the first of them looks like an option.
fn write_arguments<'a>(
    args: impl Iterator<Item = &'a str> + Clone,
    f: &mut fmt::Formatter<'_>,
) -> fmt::Result {
    if args.clone().next().is_some_and(options::ends_or_is_option) {
        f.write_str(" --")?;
    }
    args.into_iter().try_for_each(|arg| write!(f, " {}", Written(arg)))
}

impl<'de> Deserialize<'de> for Transport {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        Self::from_words(&Words::deserialize(deserializer)?.0).map_err(D::Error::custom)
    }
}
