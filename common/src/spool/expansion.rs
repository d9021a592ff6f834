//! Whom a recipient stands for, as the state of a message remembers it.
//!
//! An expansion is made once: what the tables say later is nothing to a message whose delivery has begun. Its members
//! have numbers of their own, behind those of the envelope's recipients, by which their marks know them.
//!
//! ```text
//! 3f0c27aa RESULT 1 owner= to=<b@example.com>
//! 90e1d2bb RESULT 2 owner=owner-list@example.com to=|vacation joe%20smith
//! 771b08ce EXPANDED 0 1 2 /etc/mail/aliases:12
//! ```

use std::ffi::OsString;
use std::fmt::{self, Write as _};
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use crate::address::{Address, ReversePath};
use crate::envelope::Envelope;
use crate::smtp::command::Recipient;
use crate::smtp::dsn::{Notify, OriginalRecipient};
use crate::status::Status;

#[cfg(test)]
mod tests;

/// What one member is.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum Target {
    /// A mailbox.
    Mailbox(Address),
    /// A program, by its base name, and its arguments.
    Program(Vec<String>),
    /// A file.
    File(PathBuf),
    /// Nobody: what is sent there is thrown away.
    Nobody,
    /// Somebody who cannot be found, and why.
    Refused(Status, String),
}

/// One of those whom a recipient stands for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Member {
    /// He.
    pub to: Target,
    /// Who is the sender of what he gets, in place of the message's own.
    pub owner: Option<Arc<Address>>,
}

/// Whom a recipient stands for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Expansion {
    /// The recipient's number.
    pub of: u32,
    /// The number of the first member; the others follow.
    pub first: u32,
    /// They.
    pub members: Vec<Member>,
    /// The row that says so.
    pub rule: String,
}

impl Expansion {
    /// The number behind those of its members.
    #[must_use]
    pub fn end(&self) -> u32 {
        self.first.saturating_add(u32::try_from(self.members.len()).unwrap_or(u32::MAX))
    }

    /// Its members with their numbers.
    pub fn numbered(&self) -> impl Iterator<Item = (u32, &Member)> {
        (self.first..).zip(&self.members)
    }

    /// The member of this number.
    #[must_use]
    pub fn member(&self, number: u32) -> Option<&Member> {
        self.members.get(usize::try_from(number.checked_sub(self.first)?).ok()?)
    }

    /// How the recipient and his members stand to each other, as far as notifications are concerned.
    #[must_use]
    pub fn kind(&self) -> Kind {
        match self.members.as_slice() {
            [Member { owner: None, .. }] => Kind::Alias,
            members if !members.is_empty() && members.iter().all(|member| member.owner.is_some()) => {
                Kind::List
            }
            _ => Kind::Several,
        }
    }
}

/// RFC 3461 section 5.2.7.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// One stands for one: what the sender wants to hear is passed on.
    Alias,
    /// One stands for several: what became of the message is told of each, but for successes.
    Several,
    /// A list that somebody else answers for: the message is where it belongs, and what the list sends is its own.
    List,
}

/// Everybody whom a message goes to: the recipients of its envelope, and the members of those that stand for others.
#[derive(Debug, Clone, Copy)]
pub struct Everyone<'a> {
    /// The envelope.
    pub envelope: &'a Envelope,
    /// In the order of their numbers.
    pub expansions: &'a [Expansion],
    /// The sender, as they see him.
    pub sender: &'a ReversePath,
}

/// One of them.
#[derive(Debug, Clone, Copy)]
pub struct One<'a> {
    /// The envelope's recipient.
    pub original: &'a Recipient,
    /// Who stands in his place, where somebody does.
    pub member: Option<(&'a Expansion, &'a Member)>,
    /// The sender of what he gets, in place of the message's own.
    pub owner: Option<&'a Arc<Address>>,
    sender: &'a ReversePath,
}

impl<'a> Everyone<'a> {
    /// Those of an envelope, and whom some of them stand for.
    #[must_use]
    pub fn of(envelope: &'a Envelope, expansions: &'a [Expansion]) -> Self {
        Self { envelope, expansions, sender: &envelope.mail.sender }
    }

    /// The same, who see the sender so.
    #[must_use]
    pub fn seeing(self, sender: &'a ReversePath) -> Self {
        Self { sender, ..self }
    }

    /// The one of this number.
    #[must_use]
    pub fn get(&self, number: u32) -> Option<One<'a>> {
        if let Some(original) = self.envelope.recipient(number) {
            return Some(One { original, member: None, owner: None, sender: self.sender });
        }
        let at = self.expansions.partition_point(|expansion| expansion.end() <= number);
        let expansion = self.expansions.get(at)?;
        let (original, member) = (self.envelope.recipient(expansion.of)?, expansion.member(number)?);
        // What has no sender is never answered (RFC 5321 section 4.5.5), whoever gets it.
        let owner = member.owner.as_ref().filter(|_| self.envelope.mail.sender.address().is_some());
        Some(One { original, member: Some((expansion, member)), owner, sender: self.sender })
    }

    /// Whom a recipient of the envelope stands for, where that is known.
    #[must_use]
    pub fn expansion_of(&self, original: u32) -> Option<&'a Expansion> {
        self.expansions.iter().find(|expansion| expansion.of == original)
    }

    /// The numbers of all who are delivered to: in place of whoever stands for others, they.
    pub fn numbers(self) -> impl Iterator<Item = u32> + use<'a> {
        let originals = 0..u32::try_from(self.envelope.recipients.len()).unwrap_or(u32::MAX);
        // Most messages have none; where there are many recipients they are not searched for each.
        let mut expanded: Vec<u32> = self.expansions.iter().map(|expansion| expansion.of).collect();
        expanded.sort_unstable();
        let themselves = originals.filter(move |number| expanded.binary_search(number).is_err());
        themselves.chain(self.expansions.iter().flat_map(|expansion| expansion.first..expansion.end()))
    }

    /// The number that a further member would have.
    #[must_use]
    pub fn next_number(&self) -> u32 {
        let originals = u32::try_from(self.envelope.recipients.len()).unwrap_or(u32::MAX);
        self.expansions.last().map_or(originals, Expansion::end)
    }
}

impl<'a> One<'a> {
    /// His address; that of the recipient whom he stands in for, where he has none of his own.
    #[must_use]
    pub fn address(&self) -> &'a Address {
        match self.member {
            Some((_, Member { to: Target::Mailbox(address), .. })) => address,
            _ => &self.original.address,
        }
    }

    /// What the sender of what he gets wants to hear of him.
    #[must_use]
    pub fn notify(&self) -> Notify {
        match (self.member, self.owner) {
            (None, _) => self.original.notify,
            (Some(_), Some(_)) => Notify::Unsaid,
            (Some((expansion, _)), None) if expansion.kind() == Kind::Alias => self.original.notify,
            (Some(_), None) => self.original.notify.without_success(),
        }
    }

    /// What his next host is told, and what is reported of him (RFC 3461 section 5.2.7).
    #[must_use]
    pub fn recipient(&self) -> Recipient {
        if self.member.is_none() {
            return self.original.clone();
        }
        let Recipient { address, original, .. } = self.original;
        let original = || original.clone().or_else(|| OriginalRecipient::of(address));
        Recipient {
            address: self.address().clone(),
            notify: self.notify(),
            original: if self.owner.is_some() { None } else { original() },
        }
    }

    /// The sender of what he gets.
    #[must_use]
    pub fn sender(&self) -> ReversePath {
        self.owner.map_or_else(|| self.sender.clone(), |owner| ReversePath::Mailbox(Address::clone(owner)))
    }
}

impl fmt::Display for One<'_> {
    /// As the log and the operator see him.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.member {
            Some((_, Member { to, .. })) => to.fmt(f),
            None => write!(f, "<{}>", self.original.address),
        }
    }
}

impl fmt::Display for Target {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Mailbox(address) => write!(f, "<{address}>"),
            Self::Program(words) => write!(f, "|{}", words.join(" ")),
            Self::File(file) => file.display().fmt(f),
            Self::Nobody => f.write_str("/dev/null"),
            Self::Refused(..) => f.write_str("nobody"),
        }
    }
}

impl fmt::Display for Member {
    /// As it stands in a line, behind its number.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("owner=")?;
        self.owner.iter().try_for_each(|owner| hidden(owner.to_string().as_bytes(), f))?;
        f.write_str(" to=")?;
        match &self.to {
            Target::Mailbox(address) => write!(f, "<{address}>"),
            Target::Program(words) => words.iter().enumerate().try_for_each(|(number, word)| {
                f.write_char(if number == 0 { '|' } else { ' ' })?;
                hidden(word.as_bytes(), f)
            }),
            Target::File(file) => hidden(file.as_os_str().as_bytes(), f),
            Target::Nobody => f.write_char('-'),
            Target::Refused(status, text) => {
                write!(f, "!{status} ")?;
                hidden(text.as_bytes(), f)
            }
        }
    }
}

impl Member {
    pub(super) fn parse(text: &str) -> Option<Self> {
        let (owner, to) = text.strip_prefix("owner=")?.split_once(" to=")?;
        let owner = match owner {
            "" => None,
            owner => Some(Arc::new(String::from_utf8(shown(owner)?).ok()?.parse().ok()?)),
        };
        let words = |text: &str| -> Option<Vec<String>> {
            text.split(' ').map(|word| String::from_utf8(shown(word)?).ok()).collect()
        };
        let to = match to.split_at_checked(1)? {
            ("<", rest) => Target::Mailbox(rest.strip_suffix('>')?.parse().ok().or_else(|| bare(rest))?),
            ("|", rest) => Target::Program(words(rest)?),
            ("/", _) => Target::File(Path::new(&OsString::from_vec(shown(to)?)).to_owned()),
            ("-", "") => Target::Nobody,
            ("!", rest) => {
                let (status, text) = rest.split_once(' ')?;
                Target::Refused(status.parse().ok()?, String::from_utf8(shown(text)?).ok()?)
            }
            _ => return None,
        };
        Some(Self { to, owner })
    }
}

/// `postmaster` alone has no domain.
fn bare(rest: &str) -> Option<Address> {
    let path = format!("<{rest}");
    crate::address::parse_path(path.as_bytes()).ok().filter(|(_, rest)| rest.is_empty()).map(|(one, _)| one)
}

/// Octets as one word.
fn hidden(octets: &[u8], f: &mut fmt::Formatter<'_>) -> fmt::Result {
    octets.iter().try_for_each(|octet| match octet {
        b'!'..=b'~' if *octet != b'%' => f.write_char(char::from(*octet)),
        _ => write!(f, "%{octet:02X}"),
    })
}

fn shown(text: &str) -> Option<Vec<u8>> {
    let mut octets = Vec::with_capacity(text.len());
    let mut rest = text.as_bytes();
    loop {
        match rest {
            [] => return Some(octets),
            [b'%', a, b, after @ ..] => {
                let digits = [*a, *b];
                octets.push(u8::from_str_radix(std::str::from_utf8(&digits).ok()?, 16).ok()?);
                rest = after;
            }
            [octet, after @ ..] => {
                octets.push(*octet);
                rest = after;
            }
        }
    }
}
