//! The surface of m4: calls with their arguments, quotes, `dnl`, comments. Nothing is expanded here.
//!
//! Trusts nothing. Reads every octet once, whatever the source is like.
#![deny(clippy::disallowed_methods)]

/// A part of the source.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Piece {
    /// `NAME(ARGUMENT, ...)`
    Call(Call),
    /// A line of anything else: m4 writes it to sendmail.cf.
    Text {
        /// Its line.
        line: u32,
        /// What stands there.
        text: String,
    },
    /// A quote or parenthesis is opened here and never closed.
    Open {
        /// Its line.
        line: u32,
    },
}

/// A macro with its arguments, without the outermost quotes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Call {
    pub(super) line: u32,
    pub(super) name: String,
    pub(super) arguments: Vec<String>,
}

impl Call {
    /// An argument; nothing where there is none.
    pub(super) fn argument(&self, number: usize) -> &str {
        self.arguments.get(number).map(|argument| argument.trim_ascii()).unwrap_or_default()
    }

    /// As the source has it, more or less.
    pub(super) fn shown(&self) -> String {
        let arguments: Vec<String> = self.arguments.iter().map(|argument| format!("`{argument}'")).collect();
        format!("{}({})", self.name, arguments.join(", "))
    }
}

/// Everything in a source.
pub(super) fn read(source: &str) -> Vec<Piece> {
    let mut reader = Reader { rest: source, line: 1 };
    let mut pieces = Vec::new();
    let mut text = String::new();
    while let Some(c) = reader.peek() {
        let line = reader.line;
        match c {
            '\n' => {
                reader.next();
                flush(&mut pieces, line, &mut text);
            }
            '#' => {
                reader.skip_line();
                flush(&mut pieces, line, &mut text);
            }
            '`' => match reader.quoted() {
                Some(quoted) => text.push_str(quoted),
                None => pieces.push(Piece::Open { line }),
            },
            c if begins_word(c) => match reader.word() {
                "dnl" => {
                    reader.skip_line();
                    flush(&mut pieces, line, &mut text);
                }
                name if reader.peek() == Some('(') => pieces.push(match reader.arguments() {
                    Some(arguments) => Piece::Call(Call { line, name: name.to_owned(), arguments }),
                    None => Piece::Open { line },
                }),
                word => text.push_str(word),
            },
            c => {
                reader.next();
                text.push(c);
            }
        }
    }
    flush(&mut pieces, reader.line, &mut text);
    pieces
}

fn flush(pieces: &mut Vec<Piece>, line: u32, text: &mut String) {
    let taken = std::mem::take(text);
    let taken = taken.trim_ascii();
    if !taken.is_empty() {
        pieces.push(Piece::Text { line, text: taken.to_owned() });
    }
}

fn begins_word(c: char) -> bool {
    c.is_ascii_alphabetic() || c == '_'
}

struct Reader<'a> {
    rest: &'a str,
    line: u32,
}

impl<'a> Reader<'a> {
    fn peek(&self) -> Option<char> {
        self.rest.chars().next()
    }

    fn next(&mut self) -> Option<char> {
        let mut chars = self.rest.chars();
        let c = chars.next()?;
        self.rest = chars.as_str();
        self.line += u32::from(c == '\n');
        Some(c)
    }

    fn word(&mut self) -> &'a str {
        let end = self.rest.find(|c: char| !begins_word(c) && !c.is_ascii_digit()).unwrap_or(self.rest.len());
        let (word, rest) = self.rest.split_at(end);
        self.rest = rest;
        word
    }

    fn skip_line(&mut self) {
        while self.next().is_some_and(|c| c != '\n') {}
    }

    /// What stands in the quotes that begin here, inner quotes and all; nothing where they are never closed.
    fn quoted(&mut self) -> Option<&'a str> {
        self.next();
        let inside = self.rest;
        let mut depth = 0_usize;
        loop {
            let length = inside.len() - self.rest.len();
            match self.next()? {
                '`' => depth += 1,
                '\'' if depth == 0 => return inside.get(..length),
                '\'' => depth -= 1,
                _ => {}
            }
        }
    }

    /// The arguments in the parentheses that begin here; nothing where they are never closed.
    fn arguments(&mut self) -> Option<Vec<String>> {
        self.next();
        let mut arguments = Vec::new();
        let mut argument = String::new();
        let mut depth = 0_usize;
        loop {
            match self.peek()? {
                '`' => {
                    argument.push_str(self.quoted()?);
                    continue;
                }
                '#' => {
                    self.skip_line();
                    continue;
                }
                c if begins_word(c) => {
                    match self.word() {
                        "dnl" => self.skip_line(),
                        word => argument.push_str(word),
                    }
                    continue;
                }
                ')' if depth == 0 => {
                    self.next();
                    arguments.push(argument);
                    return Some(arguments);
                }
                ',' if depth == 0 => arguments.push(std::mem::take(&mut argument)),
                c if c.is_ascii_whitespace() && argument.is_empty() => {}
                c => {
                    depth = match c {
                        '(' => depth + 1,
                        ')' => depth - 1,
                        _ => depth,
                    };
                    argument.push(c);
                }
            }
            self.next();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn calls(source: &str) -> Vec<(u32, String)> {
        let calls = read(source).into_iter().filter_map(|piece| match piece {
            Piece::Call(call) => Some((call.line, call.shown())),
            Piece::Text { .. } | Piece::Open { .. } => None,
        });
        calls.collect()
    }

    #[test]
    fn quotes_commas_and_parentheses_make_arguments() {
        let cases = [
            ("FEATURE(`a', , `b')dnl x(y)", "FEATURE(`a', `', `b')"),
            ("define(`A',dnl a comment\n `b,c')", "define(`A', `b,c')"),
            ("X(`a `b' c', (d, e))", "X(`a `b' c', `(d, e)')"),
            ("X()", "X(`')"),
            ("X(a # , b)\nc)", "X(`a c')"),
        ];
        for (source, shown) in cases {
            assert_eq!(calls(source), [(1, shown.to_owned())], "{source}");
        }
    }

    #[test]
    fn what_stands_behind_dnl_or_a_hash_is_nothing() {
        assert_eq!(calls("dnl A(b)\n# B(c) `\nC(`d')dnl E(`f')\n"), [(3, "C(`d')".to_owned())]);
    }

    #[test]
    fn what_is_never_closed_is_told_once() {
        for source in ["a\nX(`b", "a\nX(b", "a\n`b", "a\nX(`b''"] {
            let open = read(source).into_iter().filter(|piece| *piece == Piece::Open { line: 2 }).count();
            assert_eq!(open, 1, "{source}");
        }
    }

    #[test]
    fn quotes_without_end_are_read_in_one_go() {
        for unit in ["`", "X(", "'", "(", "X(`", "dnl", "`'"] {
            assert!(read(&unit.repeat(1 << 18)).len() <= 2, "{unit}");
        }
    }
}
