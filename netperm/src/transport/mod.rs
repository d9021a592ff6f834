//! Transports: how mail leaves.
//!
//! Decides what a TRANSPORT of the table means. Trusts the operator's intent, not his spelling. Guarantees
//! that every path is absolute, every host a name or an address, and that arguments reach a program as they
//! stand, never through a shell.

mod options;
mod template;

use std::fmt;
use std::net::IpAddr;
use std::path::PathBuf;
use std::time::Duration;

use serde::de::{Deserialize, Deserializer, Error as _};
use smap_common::address::{Address, Domain};
use smap_common::status::{Class, Status};

use crate::nearest;
use crate::paths::{self, PathError};
use crate::table::{Words, Written};
use crate::units::{ShowDuration, UnitError};
use options::Options;

pub use options::Tls;
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
    /// A value of `tls=` that needs TLS.
    TlsLater(String),
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
                let hint = nearest::hint(value, ["off", "opportunistic", "require", "verify"]);
                write!(f, "tls=: \"{value}\" is not known{hint}")
            }
            Self::TlsLater(value) => write!(f, "tls={value}: TLS is not available yet"),
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
    /// Reads the words of a transport.
    ///
    /// # Errors
    /// What is wrong with them.
    pub fn from_words(words: &[String]) -> Result<Self, TransportError> {
        let (first, rest) = words.split_first().ok_or(TransportError::Missing)?;
        let (kind, value) =
            first.split_once(':').map_or((first.as_str(), None), |(kind, value)| (kind, Some(value)));
        match (kind, value) {
            ("smtp", Some(hops)) => smtp(hops, rest),
            ("lmtp", Some(target)) => lmtp(target, rest),
            ("maildir", Some(path)) => path_template(path, rest).map(Self::Maildir),
            ("mbox", Some(path)) if path.ends_with('/') => {
                Err(TransportError::Path(path.to_owned(), PathError::NoFile))
            }
            ("mbox", Some(path)) => path_template(path, rest).map(Self::Mbox),
            ("pipe", Some(program)) => pipe(program, rest),
            ("sendmail", None) => {
                let options = Options::alone(rest, &["timeout"])?;
                Ok(Self::Sendmail { timeout: options.timeout })
            }
            ("local", Some(user)) => local(user, rest),
            ("error", Some(status)) => error(first, status, rest),
            ("discard", None) => Options::alone(rest, &[]).map(|_| Self::Discard),
            _ => Err(TransportError::UnknownKind(first.clone())),
        }
    }

    /// Whether each recipient needs a delivery of his own, because he is part of a path or an argument.
    #[must_use]
    pub fn is_per_recipient(&self) -> bool {
        match self {
            Self::Maildir(_) | Self::Mbox(_) => true,
            Self::Pipe { args, .. } => args.iter().any(ArgTemplate::is_per_recipient),
            Self::Smtp { .. }
            | Self::Lmtp { .. }
            | Self::Sendmail { .. }
            | Self::Local(_)
            | Self::Error { .. }
            | Self::Discard => false,
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

fn smtp(hops: &str, rest: &[String]) -> Result<Transport, TransportError> {
    let mut list = Vec::new();
    for (number, written) in hops.split(',').enumerate() {
        let text = match written.strip_prefix("smtp:") {
            Some(again) if number > 0 => again,
            None if number > 0 && written.is_empty() => return Err(TransportError::EmptyHop),
            Some(_) | None => written,
        };
        list.push(hop(text)?);
    }
    let options = Options::alone(rest, &["tls", "timeout"])?;
    Ok(Transport::Smtp { hops: list, tls: options.tls.unwrap_or_default(), timeout: options.timeout })
}

fn hop(text: &str) -> Result<NextHop, TransportError> {
    if text.is_empty() {
        return Ok(NextHop::RecipientDomain);
    }
    if text.starts_with('[') {
        let (host, port) = bracketed(text, SMTP_PORT)?;
        return Ok(NextHop::Direct { host, port });
    }
    if let Ok(address) = text.parse() {
        return Err(TransportError::Bare(address));
    }
    match named(text, SMTP_PORT)? {
        (Host::Name(host), port) => Ok(NextHop::ByMx { host, port }),
        (Host::Address(address), _) => Err(TransportError::Bare(address)),
    }
}

/// `[HOST-OR-ADDR][:PORT]`
fn bracketed(text: &str, default_port: u16) -> Result<(Host, u16), TransportError> {
    let wrong = || TransportError::Host(text.to_owned());
    let (inside, after) = text.strip_prefix('[').and_then(|rest| rest.split_once(']')).ok_or_else(wrong)?;
    let port = match after.strip_prefix(':') {
        Some(digits) => port(digits)?,
        None if after.is_empty() => default_port,
        None => return Err(wrong()),
    };
    let untagged = match inside.get(..5) {
        Some(tag) if tag.eq_ignore_ascii_case("IPv6:") => inside.get(5..).unwrap_or_default(),
        _ => inside,
    };
    Ok((host(untagged)?, port))
}

/// `HOST[:PORT]`
fn named(text: &str, default_port: u16) -> Result<(Host, u16), TransportError> {
    match text.split_once(':') {
        Some((name, digits)) => Ok((host(name)?, port(digits)?)),
        None => Ok((host(text)?, default_port)),
    }
}

fn host(text: &str) -> Result<Host, TransportError> {
    if let Ok(address) = text.parse::<IpAddr>() {
        return Ok(Host::Address(address.to_canonical()));
    }
    // A name of digits and dots is a mistyped address.
    let digits = text.bytes().all(|byte| byte.is_ascii_digit() || byte == b'.');
    match text.parse::<Domain>().ok().as_ref().and_then(Domain::name) {
        Some(name) if name.is_ascii() && !digits => Ok(Host::Name(name.to_owned())),
        _ => Err(TransportError::Host(text.to_owned())),
    }
}

pub(crate) fn port(digits: &str) -> Result<u16, TransportError> {
    let wrong = || TransportError::Port(digits.to_owned());
    if !digits.bytes().all(|byte| byte.is_ascii_digit()) {
        return Err(wrong());
    }
    digits.parse().ok().filter(|port| *port != 0).ok_or_else(wrong)
}

fn lmtp(target: &str, rest: &[String]) -> Result<Transport, TransportError> {
    let timeout = Options::alone(rest, &["timeout"])?.timeout;
    let to = match target.strip_prefix("unix:") {
        Some(path) => LmtpTarget::Unix(file(path)?),
        None => {
            let read = if target.starts_with('[') { bracketed } else { named };
            let (host, port) = read(target, LMTP_PORT)?;
            LmtpTarget::Tcp { host, port }
        }
    };
    Ok(Transport::Lmtp { to, timeout })
}

fn file(path: &str) -> Result<PathBuf, TransportError> {
    paths::file(path).map_err(|fault| TransportError::Path(path.to_owned(), fault))
}

fn path_template(path: &str, rest: &[String]) -> Result<PathTemplate, TransportError> {
    Options::alone(rest, &[])?;
    path.parse().map_err(|fault| TransportError::Template(path.to_owned(), fault))
}

fn pipe(program: &str, rest: &[String]) -> Result<Transport, TransportError> {
    let (options, args) = Options::before(rest, &["timeout"])?;
    let read = |arg: &String| arg.parse().map_err(|fault| TransportError::Template(arg.clone(), fault));
    Ok(Transport::Pipe {
        program: file(program)?,
        args: args.iter().map(read).collect::<Result<_, _>>()?,
        timeout: options.timeout,
    })
}

fn local(user: &str, rest: &[String]) -> Result<Transport, TransportError> {
    Options::alone(rest, &[])?;
    let address = format!("{user}@localhost").parse::<Address>();
    match address {
        Ok(address) if address.local_part() == user => Ok(Transport::Local(user.to_owned())),
        Ok(_) | Err(_) => Err(TransportError::User(user.to_owned())),
    }
}

fn error(first: &str, value: &str, rest: &[String]) -> Result<Transport, TransportError> {
    let wrong = || TransportError::ErrorForm(first.to_owned());
    let (_, words) = Options::before(rest, &[])?;
    let (status, code) = value.split_once(':').ok_or_else(wrong)?;
    let status: Status = status.parse().map_err(|_| wrong())?;
    let digit = match status.class() {
        Class::Success => return Err(wrong()),
        Class::Transient => 4,
        Class::Permanent => 5,
    };
    let code = number(code).filter(|code| code / 100 == digit).ok_or_else(wrong)?;
    let text = words.join(" ");
    // RFC 5321 section 4.2: textstring.
    if text.is_empty() || !text.bytes().all(|byte| byte == b' ' || byte.is_ascii_graphic()) {
        return Err(TransportError::ErrorText);
    }
    Ok(Transport::Error { status, code, text })
}

/// One to three digits.
fn number(text: &str) -> Option<u16> {
    let digits = (1..=3).contains(&text.len()) && text.bytes().all(|byte| byte.is_ascii_digit());
    text.parse().ok().filter(|_| digits)
}

impl fmt::Display for Host {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Name(name) => f.write_str(name),
            Self::Address(address) => address.fmt(f),
        }
    }
}

impl fmt::Display for NextHop {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let port = match self {
            Self::RecipientDomain => SMTP_PORT,
            Self::ByMx { host, port } => {
                f.write_str(host)?;
                *port
            }
            Self::Direct { host, port } => {
                write!(f, "[{host}]")?;
                *port
            }
        };
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
