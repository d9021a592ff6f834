//! The one escape that every value goes through which somebody else chose.

use std::fmt::{self, Display, Write as _};

/// A value without quotes: everything that separates fields or lines is written as `\xNN`.
pub(super) struct Escaped<T>(pub(super) T);

/// A value in quotes: everything that could end it or the line is written as `\xNN`.
pub(super) struct Quoted<T>(pub(super) T);

impl<T: Display> Display for Escaped<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(Escaper { out: f, special: " \"\\,=" }, "{}", self.0)
    }
}

impl<T: Display> Display for Quoted<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("\"")?;
        write!(Escaper { out: &mut *f, special: "\"\\" }, "{}", self.0)?;
        f.write_str("\"")
    }
}

struct Escaper<W> {
    out: W,
    special: &'static str,
}

impl<W: fmt::Write> fmt::Write for Escaper<W> {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        text.chars().try_for_each(|c| {
            if c.is_control() || self.special.contains(c) || matches!(c, '\u{2028}' | '\u{2029}') {
                let mut octets = [0; 4];
                c.encode_utf8(&mut octets).bytes().try_for_each(|octet| write!(self.out, "\\x{octet:02x}"))
            } else {
                self.out.write_char(c)
            }
        })
    }
}

/// A sentence of our own: only line ends and controls are escaped.
pub(super) struct Plain<T>(pub(super) T);

impl<T: Display> Display for Plain<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(Escaper { out: f, special: "" }, "{}", self.0)
    }
}
