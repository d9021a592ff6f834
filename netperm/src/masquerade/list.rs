//! Where in a field its addresses stand: the address lists of RFC 5322 section 3.4, with groups, comments, quoted
//! strings, folding and the obsolete forms of section 4.4.
//!
//! Trusts nothing. Reads every octet once. No crate that reads such lists tells where in the field the domain stood,
//! and a list that is written anew has lost its folding and comments.
#![deny(clippy::disallowed_methods)]

use std::ops::Range;

use smap_common::address::Domain;

/// An address whose domain may be another.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Found {
    /// The local part without its quotes.
    pub(super) local: String,
    /// Its domain; none for a local part alone.
    pub(super) domain: Option<Domain>,
    /// Where the domain stands, or would.
    pub(super) octets: Range<usize>,
}

/// A lexical token (RFC 5322 section 3.2), and where it stands.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Token {
    kind: Kind,
    octets: Range<usize>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum Kind {
    Atom,
    /// What stands between the quotes.
    Quoted(String),
    /// `[...]`
    Literal,
    /// Any other.
    Special(u8),
}

/// The addresses of a field's value; nothing where it cannot be read.
pub(super) fn addresses(value: &[u8]) -> Option<Vec<Found>> {
    let tokens = tokens(value)?;
    let mut found = Vec::new();
    let mut in_group = false;
    let mut item: Vec<&Token> = Vec::new();
    let mut in_angle = false;
    for token in &tokens {
        match token.kind {
            Kind::Special(b'<') if in_angle => return None,
            Kind::Special(b'<') => in_angle = true,
            Kind::Special(b'>') if !in_angle => return None,
            Kind::Special(b'>') => in_angle = false,
            // A group: its name, a colon, a list, a semicolon.
            Kind::Special(b':') if !in_angle => {
                if in_group || !is_phrase(&item) || item.is_empty() {
                    return None;
                }
                in_group = true;
                item.clear();
                continue;
            }
            Kind::Special(end @ (b',' | b';')) if !in_angle => {
                found.extend(mailbox(value, &item)?);
                item.clear();
                if end == b';' && !std::mem::replace(&mut in_group, false) {
                    return None;
                }
                continue;
            }
            _ => {}
        }
        item.push(token);
    }
    if in_group || in_angle {
        return None;
    }
    found.extend(mailbox(value, &item)?);
    Some(found)
}

/// The tokens of a value, without white space and comments.
fn tokens(value: &[u8]) -> Option<Vec<Token>> {
    let mut tokens = Vec::new();
    let mut at = 0;
    while let Some(&octet) = value.get(at) {
        let start = at;
        let rest = value.get(at + 1..)?;
        at += 1;
        let kind = match octet {
            b' ' | b'\t' | b'\r' | b'\n' => continue,
            b'(' => {
                at += comment(rest)?;
                continue;
            }
            b'"' => {
                let (text, length) = quoted(rest)?;
                at += length;
                Kind::Quoted(text)
            }
            b'[' => {
                at += 1 + rest.iter().position(|octet| *octet == b']')?;
                Kind::Literal
            }
            octet if is_atext(octet) => {
                at += rest.iter().position(|octet| !is_atext(*octet)).unwrap_or(rest.len());
                Kind::Atom
            }
            b'<' | b'>' | b'@' | b',' | b';' | b':' | b'.' => Kind::Special(octet),
            _ => return None,
        };
        tokens.push(Token { kind, octets: start..at });
    }
    Some(tokens)
}

/// `atext` of RFC 5322 section 3.2.3, and what is not ASCII (RFC 6532 section 3.2).
fn is_atext(octet: u8) -> bool {
    octet.is_ascii_alphanumeric() || b"!#$%&'*+-/=?^_`{|}~".contains(&octet) || !octet.is_ascii()
}

/// The length of a comment behind its first parenthesis, with those inside it.
fn comment(rest: &[u8]) -> Option<usize> {
    let mut depth = 1_usize;
    let mut octets = rest.iter().enumerate();
    while let Some((at, octet)) = octets.next() {
        match octet {
            b'\\' => drop(octets.next()?),
            b'(' => depth += 1,
            b')' if depth == 1 => return Some(at + 1),
            b')' => depth -= 1,
            _ => {}
        }
    }
    None
}

/// What stands in a quoted string behind its first quote, and its length with the last one.
fn quoted(rest: &[u8]) -> Option<(String, usize)> {
    let mut text = Vec::new();
    let mut octets = rest.iter().enumerate();
    loop {
        match octets.next()? {
            (_, b'\\') => text.push(*octets.next()?.1),
            (at, b'"') => return Some((String::from_utf8_lossy(&text).into_owned(), at + 1)),
            // Of folding only the white space counts (section 3.2.2).
            (_, b'\r' | b'\n') => {}
            (_, octet) => text.push(*octet),
        }
    }
}

/// Words, and the dots that many write among them (section 4.1).
fn is_phrase(item: &[&Token]) -> bool {
    item.iter().all(|token| matches!(token.kind, Kind::Atom | Kind::Quoted(_) | Kind::Special(b'.')))
}

/// The address of one item of a list, if it has one that may change; nothing at all where it cannot be read.
fn mailbox(value: &[u8], item: &[&Token]) -> Option<Option<Found>> {
    let is = |token: &&&Token, special: u8| token.kind == Kind::Special(special);
    let Some(open) = item.iter().position(|token| is(&token, b'<')) else {
        return if item.is_empty() { Some(None) } else { addr_spec(value, item) };
    };
    let (phrase, angle) = item.split_at_checked(open)?;
    let (_, inside) = angle.split_first()?;
    let (close, inside) = inside.split_last()?;
    if !is_phrase(phrase) || !is(&close, b'>') {
        return None;
    }
    match inside.first() {
        None => Some(None),
        // A source route (section 4.4): whose address it is, the route says too.
        Some(first) if is(&first, b'@') => Some(None),
        Some(_) => addr_spec(value, inside),
    }
}

/// `local-part@domain`, or a local part alone.
fn addr_spec(value: &[u8], tokens: &[&Token]) -> Option<Option<Found>> {
    let at = tokens.iter().position(|token| token.kind == Kind::Special(b'@'));
    let (local, domain) = tokens.split_at_checked(at.unwrap_or(tokens.len()))?;
    let local_part = dotted(value, local)?;
    let Some((_, domain)) = domain.split_first() else {
        let end = local.last()?.octets.end;
        // user%host and host!user say where they are in ways of their own.
        let is_elsewhere = local_part.contains(['%', '!']) && !local.iter().any(|token| is_quoted(token));
        let alone = Found { local: local_part, domain: None, octets: end..end };
        return Some((!is_elsewhere).then_some(alone));
    };
    let octets = domain.first()?.octets.start..domain.last()?.octets.end;
    match domain {
        [literal] if literal.kind == Kind::Literal => {}
        // A trailing dot means the same domain.
        [names @ .., dot] if dot.kind == Kind::Special(b'.') => drop(dotted(value, names)?),
        names => drop(dotted(value, names)?),
    }
    // With a comment or a fold in it, or where it is no domain of ours to judge, it stays.
    let text = str::from_utf8(value.get(octets.clone())?).ok();
    let domain: Option<Domain> = text.and_then(|text| text.strip_suffix('.').unwrap_or(text).parse().ok());
    Some(domain.map(|domain| Found { local: local_part, domain: Some(domain), octets }))
}

fn is_quoted(token: &Token) -> bool {
    matches!(token.kind, Kind::Quoted(_))
}

/// Words with single dots between them, put together.
fn dotted(value: &[u8], tokens: &[&Token]) -> Option<String> {
    let mut text = String::new();
    for (number, token) in tokens.iter().enumerate() {
        match (&token.kind, number % 2) {
            (Kind::Atom, 0) => text.push_str(&String::from_utf8_lossy(value.get(token.octets.clone())?)),
            (Kind::Quoted(inside), 0) => text.push_str(inside),
            (Kind::Special(b'.'), 1) => text.push('.'),
            _ => return None,
        }
    }
    (tokens.len() % 2 == 1).then_some(text)
}
