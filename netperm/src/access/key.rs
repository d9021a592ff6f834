//! What stands left in a row: whom or what it speaks of.
//!
//! Decides whether a key can ever be looked up: one that cannot is a fault, with the spelling that can.

use std::fmt;

use ipnet::IpNet;
use smap_common::address::{Address, AddressError, Domain};

use super::order::{literal_spellings, spellings, v4_prefix, v6_prefix};
use crate::nearest::{self, did_you_mean};

/// What a row is looked up for; one without a tag is for all of them, after those that have it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Tag {
    /// `Connect:`: a client.
    Connect,
    /// `From:`: a sender.
    From,
    /// `To:`: a recipient.
    To,
}

impl Tag {
    const ALL: [Self; 3] = [Self::Connect, Self::From, Self::To];

    /// As a table has it, in lower case, without the colon.
    #[must_use]
    pub const fn word(self) -> &'static str {
        match self {
            Self::Connect => "connect",
            Self::From => "from",
            Self::To => "to",
        }
    }
}

/// Tags that sendmail knows and that say nothing to us.
const SENDMAILS: [&str; 16] = [
    "spam",
    "authinfo",
    "clientrate",
    "clientconn",
    "greetpause",
    "tls_srv",
    "tls_clt",
    "tls_rcpt",
    "try_tls",
    "srv_features",
    "clt_features",
    "tls_srv_features",
    "tls_clt_features",
    "certissuer",
    "certsubject",
    "citag",
];

/// A key.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Key {
    /// What it is looked up for; without one, for everything.
    pub tag: Option<Tag>,
    /// Whom it means.
    pub subject: Subject,
}

/// Whom a key means.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Subject {
    /// `192.168`, `IPv6:2001:db8`, `10.0.0.0/8`: clients of these addresses.
    Network(IpNet),
    /// `[192.168.1.5]`, or the beginning of one: such a domain in a mail address, or a client without a name.
    Literal(IpNet),
    /// `example.com`: this name, and every name below.
    Name(String),
    /// `.example.com`: every name below.
    Below(String),
    /// `user@example.com`, `user+*@example.com`
    Mailbox,
    /// `user@`: in whatever domain.
    User,
}

/// Why a word is no key.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum KeyError {
    /// A tag of sendmail's that has no meaning here.
    Sendmails(String),
    /// A tag that is not known.
    Tag(String),
    /// Nothing there, or nothing behind the tag.
    Empty,
    /// A `*` elsewhere than in `user+*@`.
    Star,
    /// Not an address, nor a network.
    Network,
    /// Written as it is never looked up; this is how.
    Spelling(String),
    /// Not looked up for this tag.
    Never(Tag),
    /// An address without brackets, where mail addresses are meant.
    Brackets(String),
    /// Not a domain, or not a mailbox.
    Address(AddressError),
}

impl fmt::Display for KeyError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Sendmails(tag) => write!(f, "{tag}: is sendmail's, and nothing that smap does"),
            Self::Tag(tag) => {
                let hint = nearest::hint(tag, Tag::ALL.map(Tag::word));
                write!(f, "{tag}: is not one of Connect:, From: and To:{hint}")
            }
            Self::Empty => f.write_str("nothing stands behind the tag"),
            Self::Star => {
                f.write_str("no * here: example.com means every name below it too, and 192.168 every address")
            }
            Self::Network => f.write_str("not an address or a network, such as 192.168 or 2001:db8::/32"),
            Self::Spelling(meant) => write!(f, "this is never looked up{}", did_you_mean(meant)),
            Self::Never(tag) => write!(f, "this is never looked up for {}:", tag.word()),
            Self::Brackets(meant) => {
                write!(f, "in a mail address an address stands in brackets{}", did_you_mean(meant))
            }
            Self::Address(fault) => fault.fmt(f),
        }
    }
}

impl std::error::Error for KeyError {}

impl Key {
    /// Reads a key, in lower case.
    ///
    /// # Errors
    /// Why it can never be looked up.
    pub fn read(text: &str) -> Result<Self, KeyError> {
        let (tag, rest) = tag(text)?;
        let subject = Subject::read(rest)?;
        let for_mail = matches!(tag, Some(Tag::From | Tag::To));
        match (&subject, tag) {
            (Subject::Mailbox | Subject::User, Some(Tag::Connect)) => Err(KeyError::Never(Tag::Connect)),
            (Subject::Network(network), _) if for_mail => Err(match literal_spellings(network).first() {
                Some(literal) => KeyError::Brackets(literal.clone()),
                None => KeyError::Never(tag.unwrap_or(Tag::To)),
            }),
            _ => Ok(Self { tag, subject }),
        }
    }

    /// Whether it may mean the name of a client, or that it has none.
    #[must_use]
    pub fn is_of_client_name(&self) -> bool {
        let for_clients = matches!(self.tag, None | Some(Tag::Connect));
        for_clients && matches!(self.subject, Subject::Name(_) | Subject::Below(_) | Subject::Literal(_))
    }

    /// Whether RELAY behind it lets clients send to anyone, or everyone send to recipients.
    pub(crate) fn relays(&self, tag: Tag) -> bool {
        let is_looked_up = match (tag, &self.subject) {
            (Tag::Connect | Tag::To, Subject::Name(_) | Subject::Below(_)) => true,
            (Tag::Connect, subject) => matches!(subject, Subject::Network(_)),
            (Tag::To, subject) => matches!(subject, Subject::Literal(_) | Subject::Mailbox),
            (Tag::From, _) => false,
        };
        is_looked_up && self.tag.is_none_or(|own| own == tag)
    }
}

fn tag(text: &str) -> Result<(Option<Tag>, &str), KeyError> {
    let Some((word, rest)) = text.split_once(':').filter(|_| !text.starts_with('[')) else {
        return Ok((None, text));
    };
    if let Some(tag) = Tag::ALL.into_iter().find(|tag| tag.word() == word) {
        return Ok((Some(tag), rest));
    }
    if SENDMAILS.contains(&word) {
        return Err(KeyError::Sendmails(word.to_owned()));
    }
    let of_address = |byte: u8| byte.is_ascii_hexdigit() || matches!(byte, b':' | b'/' | b'.');
    match word == "ipv6" || text.bytes().all(of_address) {
        true => Ok((None, text)),
        false => Err(KeyError::Tag(word.to_owned())),
    }
}

impl Subject {
    /// Reads a key without its tag, in lower case.
    ///
    /// # Errors
    /// Why it can never be looked up.
    pub fn read(text: &str) -> Result<Self, KeyError> {
        let of_v4 = |byte: u8| byte.is_ascii_digit() || byte == b'.';
        match text {
            "" => Err(KeyError::Empty),
            _ if text.contains('@') => mailbox(text),
            _ if text.contains('*') => Err(KeyError::Star),
            _ if text.starts_with('[') => literal(text),
            _ if text == "ipv6" || text.contains([':', '/']) || text.bytes().all(of_v4) => network(text),
            _ => name(text),
        }
    }
}

fn network(text: &str) -> Result<Subject, KeyError> {
    let (v6, plain) = match text.strip_prefix("ipv6") {
        Some("") => (true, "::/0"),
        Some(rest) => (true, rest.strip_prefix(':').ok_or(KeyError::Network)?),
        None => (text.contains(':'), text),
    };
    let network = match (plain.contains('/'), v6) {
        (true, _) => plain.parse::<IpNet>().ok().map(|network| network.trunc()),
        (false, true) => v6_prefix(plain),
        (false, false) => v4_prefix(plain),
    };
    let network = network.filter(|network| matches!(network, IpNet::V6(_)) == v6).ok_or(KeyError::Network)?;
    if let Some(meant) = mapped(&network) {
        return Err(KeyError::Spelling(meant));
    }
    // Who writes bits means to.
    let mut known = spellings(&network);
    known.sort_by_key(|spelling| spelling.contains('/') != text.contains('/'));
    spelled(text, known).map(|()| Subject::Network(network))
}

/// A client that comes over IPv4 is known by its IPv4 address.
fn mapped(network: &IpNet) -> Option<String> {
    let IpNet::V6(network) = network else { return None };
    let address = network.addr().to_ipv4_mapped()?;
    match network.prefix_len().checked_sub(96) {
        Some(32) => Some(address.to_string()),
        Some(bits) => Some(format!("{address}/{bits}")),
        None => None,
    }
}

fn literal(text: &str) -> Result<Subject, KeyError> {
    let inside = text.strip_prefix('[').and_then(|rest| rest.strip_suffix(']')).ok_or(KeyError::Network)?;
    let network = match inside.strip_prefix("ipv6:") {
        Some(groups) => v6_prefix(groups),
        None => v4_prefix(inside),
    };
    let network = network.ok_or(KeyError::Network)?;
    spelled(text, literal_spellings(&network)).map(|()| Subject::Literal(network))
}

fn spelled(text: &str, known: Vec<String>) -> Result<(), KeyError> {
    if known.iter().any(|spelling| spelling == text) {
        return Ok(());
    }
    Err(known.into_iter().next().map_or(KeyError::Network, KeyError::Spelling))
}

fn name(text: &str) -> Result<Subject, KeyError> {
    let bare = text.strip_prefix('.').unwrap_or(text);
    let domain: Domain = bare.parse().map_err(KeyError::Address)?;
    let number = |label: &str| label.bytes().all(|byte| byte.is_ascii_digit());
    match domain.name() {
        Some(name) if !name.rsplit('.').next().is_some_and(number) => Ok(match bare.len() == text.len() {
            true => Subject::Name(bare.to_owned()),
            false => Subject::Below(bare.to_owned()),
        }),
        Some(_) | None => Err(KeyError::Network),
    }
}

fn mailbox(text: &str) -> Result<Subject, KeyError> {
    let (subject, whole) = match text.strip_suffix('@') {
        Some(_) => (Subject::User, format!("{text}x")),
        None => (Subject::Mailbox, text.to_owned()),
    };
    let address: Address = whole.parse().map_err(KeyError::Address)?;
    if address.to_string().to_lowercase() != whole {
        return Err(KeyError::Address(AddressError::LocalPart));
    }
    // Only the whole detail may be a star.
    let local = address.local_part();
    let before = local.strip_suffix("+*").unwrap_or(local);
    if whole.starts_with('"') || before.contains('*') {
        return Err(if before.contains('*') {
            KeyError::Star
        } else {
            KeyError::Address(AddressError::LocalPart)
        });
    }
    Ok(subject)
}
