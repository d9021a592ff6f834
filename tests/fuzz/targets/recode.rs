//! A message for a host that takes no 8-bit text. Eight octets say how the rest is cut, one whether its lines are made
//! whole first; then the message.
//!
//! Oracle: the pieces change nothing. ASCII in lines of good length needs nothing. What is changed becomes ASCII in
//! clean lines, none of them longer than it was, and needs nothing any more. A reader of MIME, written here, which
//! gives up wherever two readers could differ, finds the same parts before and after, with the same fields but those
//! of the encoding, and in each the same octets once they are decoded; what is signed is the same octet by octet.
#![no_main]

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use libfuzzer_sys::fuzz_target;
use smap_fuzz::cuts::Cuts;
use smap_fuzz::text::{has_clean_line_ends, in_lines};
use smapd::content::{Needs, Plan, Recoder, Survey};

const MAX_LINE: usize = 998;
const MAX_DEPTH: usize = 100;

fuzz_target!(|input: &[u8]| {
    let Some((cuts, rest)) = Cuts::split_off(input) else { return };
    let Some((&raw, text)) = rest.split_first() else { return };
    let text = if raw % 2 == 0 { in_lines(text) } else { text.to_vec() };
    let needs = survey(&text, Cuts::WHOLE);
    assert_eq!(survey(&text, cuts), needs);
    let before = whole_lines(&text);
    assert_eq!(needs.header || needs.body, !text.is_ascii());
    if text.is_ascii() && longest(&before) <= MAX_LINE {
        assert_eq!(needs.plan, Ok(None));
    }
    let Ok(Some(plan)) = &needs.plan else { return };
    let after = recoded(&text, plan, Cuts::WHOLE);
    assert!(recoded(&text, plan, cuts) == after);
    assert!(after.is_ascii() && has_clean_line_ends(&after) && after.ends_with(b"\r\n"));
    assert!(longest(&after) <= longest(&before).max(MAX_LINE));
    assert_eq!(survey(&after, cuts), Needs { header: false, body: false, plan: Ok(None) });
    if let Some(parts) = parts(&before) {
        assert_same(&parts, &self::parts(&after).expect("it can still be read"));
    }
});

fn survey(text: &[u8], cuts: Cuts) -> Needs {
    let mut survey = Survey::default();
    cuts.pieces(text).for_each(|piece| survey.take(piece));
    survey.finish()
}

fn recoded(text: &[u8], plan: &Plan, cuts: Cuts) -> Vec<u8> {
    let (mut recoder, mut output) = (Recoder::new(plan.clone()), Vec::new());
    cuts.pieces(text).for_each(|piece| recoder.take(piece, &mut output));
    recoder.finish(&mut output);
    output
}

/// As it goes over the wire: every line end is CRLF, and the last line has one.
fn whole_lines(text: &[u8]) -> Vec<u8> {
    let mut whole: Vec<u8> = Vec::new();
    let mut after_cr = false;
    for &octet in text {
        match octet {
            b'\n' if after_cr => {}
            b'\r' | b'\n' => whole.extend_from_slice(b"\r\n"),
            _ => whole.push(octet),
        }
        after_cr = octet == b'\r';
    }
    if !whole.is_empty() && !whole.ends_with(b"\r\n") {
        whole.extend_from_slice(b"\r\n");
    }
    whole
}

fn longest(text: &[u8]) -> usize {
    lines(text).iter().map(|line| line.len()).max().unwrap_or(0)
}

fn lines(text: &[u8]) -> Vec<&[u8]> {
    text.split(|&octet| octet == b'\n').map(|line| line.strip_suffix(b"\r").unwrap_or(line)).collect()
}

/// One header and what stands under it; nothing where that is other parts.
#[derive(Debug)]
struct Part {
    fields: Vec<Field>,
    body: Option<Vec<u8>>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
struct Field {
    name: String,
    value: Vec<u8>,
}

impl Part {
    fn field(&self, name: &str) -> Option<&[u8]> {
        self.fields.iter().find(|field| field.name == name).map(|field| field.value.as_slice())
    }

    fn encoding(&self) -> Option<String> {
        self.field("content-transfer-encoding").map(lower)
    }

    fn is_plain(&self) -> bool {
        self.encoding().is_none_or(|encoding| ["7bit", "8bit", "binary"].contains(&encoding.as_str()))
    }
}

fn lower(value: &[u8]) -> String {
    String::from_utf8_lossy(value.trim_ascii()).to_ascii_lowercase()
}

fn assert_same(before: &[Part], after: &[Part]) {
    assert_eq!(before.len(), after.len(), "{before:?}\n{after:?}");
    for (before, after) in before.iter().zip(after) {
        assert_same_fields(before, after);
        match (&before.body, &after.body) {
            (Some(one), Some(other)) if after.is_plain() || before.encoding() == after.encoding() => {
                assert_eq!(one, other);
            }
            (Some(one), Some(other)) => {
                assert!(before.is_plain());
                assert_eq!(one, &decoded(other, &after.encoding().unwrap()));
            }
            (None, None) => {}
            _ => panic!("{before:?}\n{after:?}"),
        }
    }
}

fn assert_same_fields(before: &Part, after: &Part) {
    let others = |part: &Part| -> Vec<Field> {
        part.fields.iter().filter(|field| field.name != "content-transfer-encoding").cloned().collect()
    };
    let (before, after) = (others(before), others(after));
    assert_eq!(before[..], after[..before.len()]);
    for added in &after[before.len()..] {
        let value = lower(&added.value);
        let is_ours = match added.name.as_str() {
            "mime-version" => value == "1.0",
            "content-type" => value == "text/plain; charset=unknown-8bit",
            _ => false,
        };
        assert!(is_ours && !before.iter().any(|field| field.name == added.name), "{added:?}");
    }
}

fn decoded(body: &[u8], encoding: &str) -> Vec<u8> {
    if encoding == "base64" {
        let text: Vec<u8> = body.iter().copied().filter(|octet| !b"\r\n".contains(octet)).collect();
        assert!(lines(body).iter().all(|line| line.len() <= 76));
        return STANDARD.decode(text).unwrap();
    }
    assert_eq!(encoding, "quoted-printable");
    let (mut text, mut rest) = (Vec::new(), body);
    for line in lines(body) {
        assert!(
            line.len() <= 76 && !line.ends_with(b" ") && !line.ends_with(b"\t") && !line.starts_with(b"-")
        );
    }
    while let Some((&octet, after)) = rest.split_first() {
        rest = match (octet, after) {
            (b'=', [b'\r', b'\n', after @ ..]) => after,
            (b'=', [high, low, after @ ..]) => {
                let digits = [*high, *low];
                text.push(u8::from_str_radix(str::from_utf8(&digits).unwrap(), 16).unwrap());
                after
            }
            (b'=', _) => panic!("a line that never ends"),
            _ => {
                text.push(octet);
                after
            }
        };
    }
    text
}

/// The parts of a message; `None` where somebody might read it in another way.
fn parts(text: &[u8]) -> Option<Vec<Part>> {
    let mut parts = Vec::new();
    read(&lines(text), "text/plain", 0, &mut parts)?;
    Some(parts)
}

fn read(lines: &[&[u8]], default: &str, depth: usize, parts: &mut Vec<Part>) -> Option<()> {
    let end = lines.iter().position(|line| line.is_empty()).unwrap_or(lines.len());
    let body = lines.get(end + 1..);
    let mut part = Part { fields: fields(&lines[..end])?, body: None };
    let (kind, boundary) = match part.field("content-type") {
        None => (default.to_owned(), None),
        Some(value) => content_type(value)?,
    };
    let known =
        |encoding: String| encoding.bytes().all(|octet| octet.is_ascii_alphanumeric() || octet == b'-');
    if !part.encoding().is_none_or(known) {
        return None;
    }
    let is_plain = part.is_plain();
    let is_guarded = ["multipart/signed", "multipart/encrypted"].contains(&kind.as_str());
    let is_parts = kind.starts_with("multipart/") && !is_guarded && is_plain;
    if kind.starts_with("multipart/") && boundary.is_none() || depth > MAX_DEPTH {
        return None;
    }
    let is_message = kind == "message/rfc822" && is_plain;
    if !is_parts && !is_message {
        part.body = Some(body.unwrap_or_default().join(&b"\r\n"[..]));
    }
    parts.push(part);
    match (body, boundary) {
        (Some(body), _) if is_message => read(body, "text/plain", depth + 1, parts),
        (Some(body), Some(boundary)) if is_parts => {
            let default = if kind == "multipart/digest" { "message/rfc822" } else { "text/plain" };
            children(body, &boundary).iter().try_for_each(|child| read(child, default, depth + 1, parts))
        }
        _ => Some(()),
    }
}

/// What stands between the boundaries.
fn children<'a, 'b>(lines: &'b [&'a [u8]], boundary: &[u8]) -> Vec<&'b [&'a [u8]]> {
    let (mut children, mut from) = (Vec::new(), None);
    for (number, line) in lines.iter().enumerate() {
        let line = line.strip_prefix(b"--").map(<[u8]>::trim_ascii_end);
        let rest = line.and_then(|line| line.strip_prefix(boundary));
        if rest == Some(b"") || rest == Some(b"--") {
            children.extend(from.map(|from| &lines[from..number]));
            from = Some(number + 1);
        }
        if rest == Some(b"--") {
            return children;
        }
    }
    children.extend(from.map(|from| &lines[from..]));
    children
}

fn fields(lines: &[&[u8]]) -> Option<Vec<Field>> {
    let mut fields: Vec<Field> = Vec::new();
    for line in lines {
        if line.starts_with(b" ") || line.starts_with(b"\t") {
            fields.last_mut()?.value.extend_from_slice(line);
            continue;
        }
        let colon = line.iter().position(|&octet| octet == b':')?;
        let (name, value) = line.split_at(colon);
        if name.is_empty() || !name.iter().all(u8::is_ascii_graphic) {
            return None;
        }
        fields.push(Field { name: lower(name), value: value[1..].to_vec() });
    }
    let often = |name: &str| fields.iter().filter(|field| field.name == name).count() > 1;
    let ambiguous = ["mime-version", "content-type", "content-transfer-encoding"].into_iter().any(often);
    (!ambiguous).then_some(fields)
}

/// The type in lower case, and the boundary; only where it is written in the plainest way.
fn content_type(value: &[u8]) -> Option<(String, Option<Vec<u8>>)> {
    let value =
        str::from_utf8(value).ok().filter(|value| value.is_ascii() && !value.contains(['(', '\\']))?;
    let token = |text: &str| {
        !text.is_empty()
            && text.bytes().all(|octet| octet.is_ascii_graphic() && !b"()<>@,;:\\\"/[]?=".contains(&octet))
    };
    let mut words = value.split(';');
    let kind = words.next()?.trim_matches([' ', '\t']).to_ascii_lowercase();
    let (major, minor) = kind.split_once('/')?;
    if !token(major) || !token(minor) {
        return None;
    }
    let mut boundary = None;
    for word in words {
        let (name, value) = word.trim_matches([' ', '\t']).split_once('=')?;
        let quoted = value.strip_prefix('"').and_then(|value| value.strip_suffix('"'));
        let plain = quoted.unwrap_or(value);
        if !token(name) || plain.is_empty() || plain.contains('"') || quoted.is_none() && !token(value) {
            return None;
        }
        let name = name.to_ascii_lowercase();
        if name.starts_with("boundary") && (name != "boundary" || boundary.is_some()) {
            return None;
        }
        if name == "boundary" {
            boundary = Some(plain.trim_end().as_bytes().to_vec());
        }
    }
    let good = boundary.as_ref().is_none_or(|boundary| !boundary.is_empty() && boundary.len() <= 200);
    good.then_some((kind, boundary))
}
