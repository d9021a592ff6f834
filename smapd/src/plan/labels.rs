#![deny(clippy::disallowed_methods)]
//! Names of domains as the DNS has them: RFC 5890, UTS 46.
//!
//! Trusts nothing. Guarantees that what it gives is the name of a domain, in ASCII, whatever was written: there are
//! characters that stand for a dot, a slash or a space.

use std::borrow::Cow;

use idna::uts46::{AsciiDenyList, DnsLength, Hyphens, Uts46};
use smap_common::address::Domain;

/// The name with A-labels in the place of U-labels; nothing where there is none.
#[must_use]
pub fn to_ascii(name: &str) -> Option<Cow<'_, str>> {
    if name.is_ascii() {
        return Some(Cow::Borrowed(name));
    }
    // What may stand in a name is decided below, as for every other.
    let (octets, hyphens) = (name.as_bytes(), Hyphens::CheckFirstLast);
    let ascii = Uts46::new().to_ascii(octets, AsciiDenyList::EMPTY, hyphens, DnsLength::Verify).ok()?;
    let domain: Domain = ascii.parse().ok()?;
    domain.name().filter(|name| name.is_ascii()).map(|name| Cow::Owned(name.to_owned()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn u_labels_become_a_labels() {
        for (name, wanted) in [
            ("example.com", "example.com"),
            ("xn--bcher-kva.example", "xn--bcher-kva.example"),
            ("bücher.example", "xn--bcher-kva.example"),
            ("BÜCHER.example", "xn--bcher-kva.example"),
            // The u and its dots are two characters here.
            ("bu\u{308}cher.example", "xn--bcher-kva.example"),
            ("_a.bücher.xn--bcher-kva.example", "_a.xn--bcher-kva.xn--bcher-kva.example"),
            ("straße.example", "xn--strae-oqa.example"),
            ("例え。テスト", "xn--r8jz45g.xn--zckzah"),
            ("ｅｘａｍｐｌｅ.com", "example.com"),
        ] {
            assert_eq!(to_ascii(name).as_deref(), Some(wanted), "{name}");
        }
    }

    #[test]
    fn what_is_no_name_becomes_none() {
        for name in [
            // Slash, space, at, colon, a line separator: as one character each.
            "a\u{ff0f}b.example",
            "a\u{3000}b.example",
            "a\u{ff20}b.example",
            "a\u{ff1a}25.example",
            "a\u{2028}b.example",
            "\u{ff3b}127.0.0.1\u{ff3d}",
            // Not assigned; directions mixed; a label that begins with a mark; one that lies about what it is.
            "\u{378}.example",
            "a\u{5d0}.example",
            "\u{308}a.example",
            "xn--a.ü",
            "ü..example",
            "ü.\u{ad}.example",
            &format!("{}.example", "ü".repeat(60)),
            &format!("{}ü", "ü.".repeat(60)),
        ] {
            assert_eq!(to_ascii(name), None, "{name}");
        }
    }
}
