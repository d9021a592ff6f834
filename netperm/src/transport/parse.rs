//! From the words of the table to a [`Transport`].

use std::net::IpAddr;
use std::path::PathBuf;

use smap_common::address::{Address, Domain};
use smap_common::status::{Class, Status};

use super::options::Options;
use super::{Host, LMTP_PORT, LmtpTarget, NextHop, PathTemplate, SMTP_PORT, Transport, TransportError};
use crate::paths::{self, PathError};

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
