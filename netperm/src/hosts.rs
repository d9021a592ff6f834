//! Host patterns, and the ordered rules that are made of them.
//!
//! Decides whether a client is meant by a pattern and which rule speaks of it. Trusts that the names of a
//! [`ClientName::Known`] were confirmed: forward and reverse DNS agreed. Guarantees that a rule that
//! can't be judged, because the name is not known yet or not now, never permits: nor does a later one.

use std::fmt;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::str::FromStr;

use ipnet::{IpNet, Ipv4Net};
use serde::de::{Deserialize, Deserializer, Error as _};
use smap_common::lookup::Name;

use crate::nearest::did_you_mean;
use crate::place::Located;
use crate::table::Words;

#[cfg(test)]
mod tests;

/// Who a client is, as far as a rule may ask.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Client {
    /// Its address; an IPv4-mapped IPv6 address counts as IPv4. `None` where it has none (a pipe): only `*` means
    /// such a client.
    pub address: Option<IpAddr>,
    /// Its name.
    pub name: ClientName,
}

/// What is known of the name of a client.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ClientName {
    /// Nobody has asked.
    NotAsked,
    /// It has none, or forward and reverse do not agree.
    Unknown,
    /// Forward and reverse agree on these names; at least one.
    Known(Vec<Name>),
    /// Whether it has one cannot be said now, and why.
    Failed(String),
}

/// Which clients are meant.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HostPattern {
    /// Begins with `!`: everyone but those.
    negated: bool,
    form: Form,
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum Form {
    /// `*`
    Everyone,
    /// `10.0.0.5`, `2001:db8::1`, `10.0.0.0/8`
    Network(IpNet),
    /// `10.0.0.0:255.0.0.0`; the mask may have any shape.
    Masked { network: Ipv4Addr, mask: Ipv4Addr },
    /// `192.168.1.*`, `2001:db8:*`, over the text of the address.
    AddressGlob(String),
    /// `mail.example.com`, `*.example.com`, in lower case.
    Name(String),
    /// `unknown`: clients without a confirmed name.
    Unnamed,
}

/// Why a word is no host pattern.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum HostPatternError {
    /// Nothing there, or nothing after the `!`.
    Empty,
    /// More than one `!`.
    TwiceNegated,
    /// A `/` without a network and its bits.
    Network,
    /// A `:` without IPv4 network and mask, and no IPv6 address.
    Mask,
    /// Digits and dots that are no IPv4 address.
    Incomplete(String),
    /// A glob that no address can match.
    NeverMatches,
    /// Neither an address nor a name.
    Name,
}

impl fmt::Display for HostPatternError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Empty => f.write_str("the pattern is empty"),
            Self::TwiceNegated => f.write_str("only one ! may begin a pattern"),
            Self::Network => f.write_str("not a network such as 10.0.0.0/8 or 2001:db8::/32"),
            Self::Mask => f.write_str("not an IPv6 address, nor an IPv4 network with its mask"),
            Self::Incomplete(meant) => write!(f, "not an IPv4 address{}", did_you_mean(meant)),
            Self::NeverMatches => f.write_str("no address can match this"),
            Self::Name => f.write_str("neither an address nor the name of a host"),
        }
    }
}

impl std::error::Error for HostPatternError {}

impl HostPattern {
    /// Whether only the name of the client can tell.
    #[must_use]
    pub fn needs_name(&self) -> bool {
        match self.form {
            Form::Name(_) | Form::Unnamed => true,
            Form::Everyone | Form::Network(_) | Form::Masked { .. } | Form::AddressGlob(_) => false,
        }
    }

    /// Whether the client is meant; `None` when that needs the name, and it is not known whether there is one.
    /// A client that has several names has each of them.
    #[must_use]
    pub fn matches(&self, client: &Client) -> Option<bool> {
        match client.address {
            Some(address) => self.form.matches(address, client).map(|meant| meant != self.negated),
            None => Some(self.form == Form::Everyone && !self.negated),
        }
    }
}

impl Form {
    fn matches(&self, address: IpAddr, client: &Client) -> Option<bool> {
        let address = address.to_canonical();
        match self {
            Self::Everyone => Some(true),
            Self::Network(network) => Some(network.contains(&address)),
            Self::Masked { network, mask } => Some(match address {
                IpAddr::V4(address) => address & *mask == *network & *mask,
                IpAddr::V6(_) => false,
            }),
            Self::AddressGlob(glob) => Some(match address {
                IpAddr::V4(address) => glob_matches(glob, &address.to_string()),
                // One address has several texts; a rule must not miss it for that.
                IpAddr::V6(address) => {
                    glob_matches(glob, &address.to_string()) || glob_matches(glob, &in_full(address))
                }
            }),
            Self::Name(glob) => match &client.name {
                ClientName::NotAsked | ClientName::Failed(_) => None,
                ClientName::Unknown => Some(false),
                ClientName::Known(names) => Some(names.iter().any(|name| glob_matches(glob, name.as_str()))),
            },
            Self::Unnamed => match client.name {
                ClientName::NotAsked | ClientName::Failed(_) => None,
                ClientName::Unknown => Some(true),
                ClientName::Known(_) => Some(false),
            },
        }
    }
}

/// All eight groups of an IPv6 address, none left out.
fn in_full(address: Ipv6Addr) -> String {
    address.segments().map(|group| format!("{group:x}")).join(":")
}

/// Whether `text` is as `glob` says, in which `*` stands for any text, also for none.
#[must_use]
pub fn glob_matches(glob: &str, text: &str) -> bool {
    let mut pieces = glob.split('*');
    let first = pieces.next().unwrap_or_default();
    let Some(mut rest) = text.strip_prefix(first) else { return false };
    let Some(last) = pieces.next_back() else { return rest.is_empty() };
    for piece in pieces {
        let Some((_, after)) = rest.split_once(piece) else { return false };
        rest = after;
    }
    rest.ends_with(last)
}

impl FromStr for HostPattern {
    type Err = HostPatternError;

    fn from_str(text: &str) -> Result<Self, HostPatternError> {
        let (negated, text) = match text.strip_prefix('!') {
            Some(rest) if rest.starts_with('!') => return Err(HostPatternError::TwiceNegated),
            Some(rest) => (true, rest),
            None => (false, text),
        };
        Ok(Self { negated, form: form(text)? })
    }
}

fn form(text: &str) -> Result<Form, HostPatternError> {
    let text = text.to_ascii_lowercase();
    if let Ok(address) = text.parse::<IpAddr>() {
        return Ok(Form::Network(address.to_canonical().into()));
    }
    let of_ipv4 = |c: char| c.is_ascii_digit() || c == '.' || c == '*';
    match text.as_str() {
        "" => Err(HostPatternError::Empty),
        "*" => Ok(Form::Everyone),
        "unknown" => Ok(Form::Unnamed),
        net if net.contains('/') => network(net).map(Form::Network),
        glob if glob.contains(':') && glob.contains('*') => ipv6_glob(glob),
        masked if masked.contains(':') => mask(masked),
        glob if glob.chars().all(of_ipv4) => ipv4_glob(glob),
        name => name_glob(name),
    }
}

/// `net/bits`. Bits of the host are allowed and do not count.
fn network(text: &str) -> Result<IpNet, HostPatternError> {
    let network: IpNet = text.parse().map_err(|_| HostPatternError::Network)?;
    let IpNet::V6(mapped) = network.trunc() else { return Ok(network.trunc()) };
    // ::ffff:10.0.0.0/104 speaks of IPv4 clients, as they are seen on an IPv6 socket.
    let bits = mapped.prefix_len().checked_sub(96);
    match mapped.addr().to_ipv4_mapped().zip(bits).map(|(address, bits)| Ipv4Net::new(address, bits)) {
        Some(Ok(network)) => Ok(network.into()),
        Some(Err(_)) | None => Ok(mapped.into()),
    }
}

fn mask(text: &str) -> Result<Form, HostPatternError> {
    let (network, mask) = text.split_once(':').ok_or(HostPatternError::Mask)?;
    match (network.parse(), mask.parse()) {
        (Ok(network), Ok(mask)) => Ok(Form::Masked { network, mask }),
        _ => Err(HostPatternError::Mask),
    }
}

fn ipv4_glob(text: &str) -> Result<Form, HostPatternError> {
    let parts: Vec<&str> = text.split('.').collect();
    if !text.contains('*') {
        let net = text.trim_end_matches('.');
        let near = !net.is_empty() && net.split('.').count() < 4 && net.split('.').all(is_octet);
        return Err(if near {
            HostPatternError::Incomplete(format!("{net}.*"))
        } else {
            HostPatternError::NeverMatches
        });
    }
    if parts.len() > 4 || !parts.iter().all(|part| part.contains('*') || is_octet(part)) {
        return Err(HostPatternError::NeverMatches);
    }
    Ok(Form::AddressGlob(text.to_owned()))
}

fn is_octet(text: &str) -> bool {
    text.parse::<u8>().is_ok_and(|octet| octet.to_string() == text)
}

fn ipv6_glob(text: &str) -> Result<Form, HostPatternError> {
    let of_group = |c: char| c.is_ascii_hexdigit() || c == '*';
    let as_written = |part: &str| !part.starts_with('0') || part == "0";
    let parts: Vec<&str> = text.split(':').collect();
    if !parts.iter().all(|part| part.chars().all(of_group)) {
        return Err(HostPatternError::Mask);
    }
    let possible = |part: &&str| part.contains('*') || (part.len() <= 4 && as_written(part));
    if parts.len() > 8 || !parts.iter().all(possible) || text.contains(":::") {
        return Err(HostPatternError::NeverMatches);
    }
    Ok(Form::AddressGlob(text.to_owned()))
}

fn name_glob(text: &str) -> Result<Form, HostPatternError> {
    let of_label = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '*');
    let is_label = |label: &str| {
        let hyphens = label.starts_with('-') || label.ends_with('-');
        (1..=63).contains(&label.len()) && !hyphens && label.chars().all(of_label)
    };
    if text.len() <= 253 && text.split('.').all(is_label) {
        Ok(Form::Name(text.to_owned()))
    } else {
        Err(HostPatternError::Name)
    }
}

impl fmt::Display for HostPattern {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(if self.negated { "!" } else { "" })?;
        match &self.form {
            Form::Everyone => f.write_str("*"),
            Form::Network(network) if network.prefix_len() == network.max_prefix_len() => {
                write!(f, "{}", network.addr())
            }
            Form::Network(network) => write!(f, "{network}"),
            Form::Masked { network, mask } => write!(f, "{network}:{mask}"),
            Form::AddressGlob(glob) | Form::Name(glob) => f.write_str(glob),
            Form::Unnamed => f.write_str("unknown"),
        }
    }
}

/// What a rule does to those whom it means.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Effect {
    /// `permit-`
    Permit,
    /// `deny-`
    Deny,
}

impl Effect {
    /// The prefix, without its hyphen.
    #[must_use]
    pub const fn word(self) -> &'static str {
        match self {
            Self::Permit => "permit",
            Self::Deny => "deny",
        }
    }
}

/// `permit-hosts PATTERN...` or the like.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Rule {
    /// What it does.
    pub effect: Effect,
    /// To whom; one of them is enough. Never empty.
    pub patterns: Vec<HostPattern>,
}

impl Rule {
    /// The rule as a table has it, for this set of rules.
    #[must_use]
    pub fn show(&self, set: &str) -> String {
        let patterns: Vec<String> = self.patterns.iter().map(HostPattern::to_string).collect();
        format!("{}-{set} {}", self.effect.word(), patterns.join(" "))
    }
}

/// What an ordered set of rules says of a client.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[must_use]
pub enum Judgement<'a> {
    /// There are no rules.
    NoRules,
    /// The first rule that means the client.
    Decided(&'a Located<Rule>),
    /// There are rules, and none means the client.
    NoneMeant,
    /// This rule would have to know the name of the client, and it is not known whether there is one.
    NeedsName(&'a Located<Rule>),
}

/// The first rule that means the client decides.
pub fn judge<'a>(rules: &'a [Located<Rule>], client: &Client) -> Judgement<'a> {
    if rules.is_empty() {
        return Judgement::NoRules;
    }
    for rule in rules {
        // Patterns that need no name may settle it; only then does a missing name matter.
        let mut meant = rule.patterns.iter().map(|pattern| pattern.matches(client));
        if meant.clone().any(|meant| meant == Some(true)) {
            return Judgement::Decided(rule);
        }
        if meant.any(|meant| meant.is_none()) {
            return Judgement::NeedsName(rule);
        }
    }
    Judgement::NoneMeant
}

impl<'de> Deserialize<'de> for Rule {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let Words(words) = Words::deserialize(deserializer)?;
        let Some((effect, patterns)) = words.split_first().filter(|(_, patterns)| !patterns.is_empty())
        else {
            return Err(D::Error::custom("a host pattern is missing"));
        };
        let effect = if effect == Effect::Permit.word() { Effect::Permit } else { Effect::Deny };
        let read = |word: &String| {
            word.parse().map_err(|fault| D::Error::custom(format_args!("\"{word}\": {fault}")))
        };
        Ok(Self { effect, patterns: patterns.iter().map(read).collect::<Result<_, _>>()? })
    }
}
