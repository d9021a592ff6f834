//! The words of a line: separated by white space, grouped by double quotes.
//!
//! Inside quotes `\"` and `\\` stand for the quote and the backslash; everywhere else a backslash is an
//! ordinary character.

use std::fmt;
use std::str::Chars;

/// A quote that is opened and not closed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct OpenQuote;

impl fmt::Display for OpenQuote {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a double quote is not closed on its line")
    }
}

/// The words of a text.
pub(crate) fn split(text: &str) -> Result<Vec<String>, OpenQuote> {
    let mut words = Vec::new();
    let mut word: Option<String> = None;
    let mut chars = text.chars();
    while let Some(c) = chars.next() {
        match c {
            c if c.is_ascii_whitespace() => words.extend(word.take()),
            '"' => quoted(&mut chars, word.get_or_insert_default())?,
            c => word.get_or_insert_default().push(c),
        }
    }
    words.extend(word);
    Ok(words)
}

fn quoted(chars: &mut Chars<'_>, word: &mut String) -> Result<(), OpenQuote> {
    loop {
        match chars.next().ok_or(OpenQuote)? {
            '"' => return Ok(()),
            '\\' => match chars.next().ok_or(OpenQuote)? {
                c @ ('"' | '\\') => word.push(c),
                c => word.extend(['\\', c]),
            },
            c => word.push(c),
        }
    }
}

/// A word as a table has to write it.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Written<'a>(pub(crate) &'a str);

impl fmt::Display for Written<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let special = |c: char| c.is_ascii_whitespace() || c == '"';
        if !self.0.is_empty()
            && !self.0.starts_with('#')
            && !self.0.ends_with('\\')
            && !self.0.contains(special)
        {
            return f.write_str(self.0);
        }
        f.write_str("\"")?;
        for c in self.0.chars() {
            if matches!(c, '"' | '\\') {
                f.write_str("\\")?;
            }
            write!(f, "{c}")?;
        }
        f.write_str("\"")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_are_split_at_white_space_and_grouped_by_quotes() {
        let cases: [(&str, &[&str]); 7] = [
            ("", &[]),
            (" a\tb  c ", &["a", "b", "c"]),
            (r#"a "b c" d"#, &["a", "b c", "d"]),
            (r#"--x="a b"c"#, &["--x=a bc"]),
            (r#""""#, &[""]),
            (r#""a \"b\" \\ \n""#, &[r#"a "b" \ \n"#]),
            (r"a\b", &[r"a\b"]),
        ];
        for (text, words) in cases {
            assert_eq!(split(text).unwrap(), words, "{text}");
        }
    }

    #[test]
    fn an_open_quote_is_an_error() {
        for text in ["\"", "a \"b", "\"a\\\"", "\"\\"] {
            assert_eq!(split(text), Err(OpenQuote), "{text}");
        }
    }

    #[test]
    fn a_written_word_reads_back() {
        for word in ["a", "", "a b", "#a", "a#b", "\"", "a\\", "\\\"", "a\tb\\"] {
            assert_eq!(split(&Written(word).to_string()).unwrap(), [word]);
        }
    }
}
