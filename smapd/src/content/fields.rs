#![deny(clippy::disallowed_methods)]
//! The two header fields that say what a part is made of (RFC 2045 sections 5 and 6), read.
//!
//! Trusts nothing. What different readers could take for different things is [`Kind::Unclear`].

/// How a part's octets stand for its content (RFC 2045 section 6).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(super) enum Encoding {
    /// `7bit`, or not said.
    #[default]
    SevenBit,
    /// `8bit` or `binary`: as they are.
    Plain,
    /// Any other.
    Encoded,
}

/// What a part is, as far as it matters for changing its encoding.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Kind {
    /// Lines to be read: `text/*`, and those of `message/*` that RFC 6533 lets be encoded.
    Text,
    /// Octets of some other kind.
    Octets,
    /// Parts between these boundaries; signed or encrypted, they may not be changed.
    Multipart { boundary: Vec<u8>, is_guarded: bool, is_digest: bool },
    /// A message (RFC 2046 section 5.2.1).
    Message,
    /// RFC 2045 section 6.4: it may not be encoded.
    Fixed,
    /// Nobody can be sure.
    Unclear,
}

/// Longest boundary that we look for; RFC 2046 section 5.1.1 says 70.
pub(super) const MAX_BOUNDARY: usize = 200;

impl Encoding {
    /// Reads the value of a `Content-Transfer-Encoding` field.
    pub(super) fn parse(value: &[u8]) -> Self {
        match Words::new(value).token().as_deref() {
            Some(b"7bit") => Self::SevenBit,
            Some(b"8bit" | b"binary") => Self::Plain,
            _ => Self::Encoded,
        }
    }
}

impl Kind {
    /// Reads the value of a `Content-Type` field.
    pub(super) fn parse(value: &[u8]) -> Self {
        let mut words = Words::new(value);
        let kind = words.token().unwrap_or_default();
        let subtype = if words.skip(b'/') { words.token() } else { None };
        match (kind.as_slice(), subtype.as_deref()) {
            (b"multipart", Some(subtype)) => Self::multipart(subtype, &mut words),
            (b"message", Some(b"rfc822")) => Self::Message,
            (b"message", Some(b"global" | b"global-headers" | b"global-delivery-status")) => Self::Text,
            (b"message", Some(_)) => Self::Fixed,
            (b"multipart" | b"message", None) => Self::Unclear,
            // RFC 2045 section 5.2: what cannot be read is plain text.
            (b"text", _) | (_, None) => Self::Text,
            (_, Some(_)) => Self::Octets,
        }
    }

    fn multipart(subtype: &[u8], words: &mut Words<'_>) -> Self {
        let mut boundary = None;
        while words.skip(b';') {
            let Some(name) = words.token() else { continue };
            let value = if words.skip(b'=') { words.value() } else { None };
            match (name.as_slice(), value) {
                (b"boundary", Some(value)) if boundary.is_none() => boundary = Some(value),
                // Twice, without a value, or in the pieces of RFC 2231, which some put together and some do not.
                (name, _) if name.split(|&octet| octet == b'*').next() == Some(b"boundary") => {
                    return Self::Unclear;
                }
                _ => {}
            }
        }
        let boundary = boundary.unwrap_or_default().trim_ascii_end().to_vec();
        if !words.is_over() || !(1..=MAX_BOUNDARY).contains(&boundary.len()) || !boundary.is_ascii() {
            return Self::Unclear;
        }
        Self::Multipart {
            boundary,
            is_guarded: matches!(subtype, b"signed" | b"encrypted"),
            is_digest: subtype == b"digest",
        }
    }
}

/// Reads the words of a structured field, over the comments and white space between them.
struct Words<'a> {
    rest: &'a [u8],
}

impl<'a> Words<'a> {
    fn new(rest: &'a [u8]) -> Self {
        Self { rest }
    }

    /// White space and comments, nested ones too (RFC 5322 section 3.2.2), are nothing.
    fn skip_nothing(&mut self) {
        let mut depth = 0u32;
        while let [octet, after @ ..] = self.rest {
            match octet {
                b'\\' if depth > 0 => {
                    self.rest = after.get(1..).unwrap_or_default();
                    continue;
                }
                b'(' => depth += 1,
                b')' if depth > 0 => depth -= 1,
                b' ' | b'\t' => {}
                _ if depth > 0 => {}
                _ => return,
            }
            self.rest = after;
        }
    }

    /// Whether this octet is next; it is taken then.
    fn skip(&mut self, wanted: u8) -> bool {
        self.skip_nothing();
        match self.rest.strip_prefix(&[wanted]) {
            Some(after) => {
                self.rest = after;
                true
            }
            None => false,
        }
    }

    fn is_over(&mut self) -> bool {
        self.skip_nothing();
        self.rest.is_empty()
    }

    /// `token` of RFC 2045 section 5.1, in lower case.
    fn token(&mut self) -> Option<Vec<u8>> {
        self.raw_token().map(<[u8]>::to_ascii_lowercase)
    }

    fn raw_token(&mut self) -> Option<&'a [u8]> {
        self.skip_nothing();
        let special = |octet: &u8| !octet.is_ascii_graphic() || b"()<>@,;:\\\"/[]?=".contains(octet);
        let end = self.rest.iter().position(special).unwrap_or(self.rest.len());
        let (token, after) = self.rest.split_at_checked(end)?;
        self.rest = after;
        (!token.is_empty()).then_some(token)
    }

    /// A token or a quoted string. Many write a boundary with `=` or `/` in it and no quotes around it.
    fn value(&mut self) -> Option<Vec<u8>> {
        if !self.skip(b'"') {
            let special = |octet: &u8| !octet.is_ascii_graphic() || b"();\"\\".contains(octet);
            let end = self.rest.iter().position(special).unwrap_or(self.rest.len());
            let (value, after) = self.rest.split_at_checked(end)?;
            self.rest = after;
            return (!value.is_empty()).then(|| value.to_vec());
        }
        let mut value = Vec::new();
        loop {
            match self.rest {
                [b'"', after @ ..] => {
                    self.rest = after;
                    return Some(value);
                }
                [b'\\', octet, after @ ..] | [octet, after @ ..] => {
                    value.push(*octet);
                    self.rest = after;
                }
                [] => return None,
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn boundary(value: &str) -> Option<String> {
        match Kind::parse(value.as_bytes()) {
            Kind::Multipart { boundary, .. } => Some(String::from_utf8(boundary).unwrap()),
            Kind::Unclear => None,
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn boundaries_are_found_however_they_are_written() {
        for value in [
            "multipart/mixed; boundary=b",
            "MultiPart/Mixed;BOUNDARY=\"b\"",
            " multipart / mixed (a (b) \\) ;boundary=no) ; charset=x;\t boundary (c) = (d) b (e)",
            "multipart/mixed; x=\"; boundary=no\"; boundary=\"b \"",
            "multipart/mixed; ; boundary=\"\\b\";",
        ] {
            assert_eq!(boundary(value).as_deref(), Some("b"), "{value}");
        }
        assert_eq!(boundary("multipart/x; boundary=\"a b'()+_,-./:=?\"").unwrap(), "a b'()+_,-./:=?");
        assert_eq!(boundary("multipart/x; boundary=----=_Part/1?2:3").unwrap(), "----=_Part/1?2:3");
    }

    #[test]
    fn a_boundary_that_readers_could_differ_about_is_unclear() {
        for value in [
            "multipart/mixed",
            "multipart",
            "multipart/mixed; boundary",
            "multipart/mixed; boundary=",
            "multipart/mixed; boundary=\"\"",
            "multipart/mixed; boundary=\"b",
            "multipart/mixed; boundary=b; boundary=b",
            "multipart/mixed; boundary=b; boundary*0=c",
            "multipart/mixed; boundary*=us-ascii''b",
            "multipart/mixed; boundary=b c",
            "multipart/mixed; boundary=\"b\"c",
            "multipart/mixed; x=y z; boundary=b",
            "multipart/mixed; boundary=ü",
            &format!("multipart/mixed; boundary={}", "b".repeat(MAX_BOUNDARY + 1)),
        ] {
            assert_eq!(boundary(value), None, "{value}");
        }
    }

    #[test]
    fn kinds_are_told_apart() {
        for (value, kind) in [
            ("", Kind::Text),
            ("text", Kind::Text),
            ("TEXT/html; charset=\"utf-8\"", Kind::Text),
            ("image/png", Kind::Octets),
            ("message/RFC822", Kind::Message),
            ("message/partial; id=x", Kind::Fixed),
            ("message/external-body", Kind::Fixed),
            ("message/delivery-status", Kind::Fixed),
            ("message/global", Kind::Text),
            ("message", Kind::Unclear),
        ] {
            assert_eq!(Kind::parse(value.as_bytes()), kind, "{value}");
        }
        let signed = Kind::parse(b"multipart/signed; boundary=b");
        assert_eq!(signed, Kind::Multipart { boundary: b"b".to_vec(), is_guarded: true, is_digest: false });
    }

    #[test]
    fn encodings_are_told_apart() {
        for (value, encoding) in [
            (" 7bit", Encoding::SevenBit),
            ("8BIT (yes)", Encoding::Plain),
            ("(c) binary", Encoding::Plain),
            ("base64", Encoding::Encoded),
            ("quoted-printable", Encoding::Encoded),
            ("", Encoding::Encoded),
            ("x-uuencode", Encoding::Encoded),
        ] {
            assert_eq!(Encoding::parse(value.as_bytes()), encoding, "{value}");
        }
    }
}
