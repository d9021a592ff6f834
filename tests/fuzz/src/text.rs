//! Rules that hold for every text, whoever made it; written without the code that is tested.

/// Nothing in it ends a line, moves a terminal or turns the direction of the text around it.
///
/// # Panics
/// Something does.
pub fn assert_harmless(text: &str) {
    let harmful = |c: char| c.is_control() || matches!(c, '\u{2028}'..='\u{202e}' | '\u{2066}'..='\u{2069}');
    assert!(!text.contains(harmful), "{text:?}");
}

/// Every CR is before a LF, every LF behind a CR, and there is no NUL.
#[must_use]
pub fn has_clean_line_ends(text: &[u8]) -> bool {
    first_line_fault(text).is_none() && text.last() != Some(&b'\r')
}

/// What is wrong with the lines of a text, at the octet that shows it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fault {
    /// A CR that something else than a LF follows.
    Cr,
    /// A LF that is not behind a CR.
    Lf,
    /// A NUL.
    Nul,
}

/// The first fault; a CR at the very end is none yet.
#[must_use]
pub fn first_line_fault(text: &[u8]) -> Option<Fault> {
    let before = std::iter::once(b' ').chain(text.iter().copied());
    before.zip(text).find_map(|pair| match pair {
        (b'\r', b'\n') => None,
        (b'\r', _) => Some(Fault::Cr),
        (_, 0) => Some(Fault::Nul),
        (_, b'\n') => Some(Fault::Lf),
        _ => None,
    })
}

/// The same text in CRLF lines: CR, LF and CRLF each end one, and the last has an end too. A NUL is a question
/// mark.
#[must_use]
pub fn in_lines(text: &[u8]) -> Vec<u8> {
    let mut clean = Vec::new();
    let mut octets = text.iter().map(|&octet| if octet == 0 { b'?' } else { octet }).peekable();
    while let Some(octet) = octets.next() {
        match octet {
            b'\r' => {
                octets.next_if_eq(&b'\n');
                clean.extend(b"\r\n");
            }
            b'\n' => clean.extend(b"\r\n"),
            _ => clean.push(octet),
        }
    }
    if !clean.is_empty() && !clean.ends_with(b"\r\n") {
        clean.extend(b"\r\n");
    }
    clean
}
