//! Paths and arguments with places for what comes from outside.
//!
//! Decides what a local part or a domain may turn into. Trusts the template (the operator wrote it) and
//! nothing that is put into it. Guarantees that a path stays in the folder that the template names, and that
//! an argument stays one argument and never becomes an option by what was put into it.

use std::fmt;
use std::path::{Component, Path, PathBuf};
use std::str::FromStr;

use crate::paths::{self, PathError};

/// A part of a template.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Piece {
    Text(String),
    /// `%u`
    User,
    /// `%d`
    Domain,
    /// `%s`
    Sender,
}

/// Why a word is no template.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum TemplateError {
    /// A `%` and a character that stands for nothing here; `None` at the end of the word.
    Percent(Option<char>),
    /// The path or argument is wrong.
    Path(PathError),
}

impl fmt::Display for TemplateError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Percent(Some(c)) => write!(f, "%{c} stands for nothing here (write %% for a percent sign)"),
            Self::Percent(None) => f.write_str("ends in a lone % (write %% for a percent sign)"),
            Self::Path(fault) => fault.fmt(f),
        }
    }
}

impl std::error::Error for TemplateError {}

/// Why what came from outside can't stand in a path or an argument.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum UnsafeName {
    /// Nothing there.
    Empty,
    /// It begins with `-`: it would be read as an option.
    Option,
    /// It begins with `.`: it would be hidden, or lead elsewhere.
    Dot,
    /// It has a `/` in it.
    Slash,
    /// It has a control character in it.
    Control,
}

impl fmt::Display for UnsafeName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Empty => "the name is empty",
            Self::Option => "the name begins with a hyphen",
            Self::Dot => "the name begins with a dot",
            Self::Slash => "the name has a slash in it",
            Self::Control => "the name has a control character in it",
        })
    }
}

impl std::error::Error for UnsafeName {}

/// What may be put into a template.
#[derive(Debug, Clone, Copy)]
pub struct Names<'a> {
    /// `%u`: the local part of the recipient, without quotes.
    pub user: &'a str,
    /// `%d`: the domain of the recipient.
    pub domain: &'a str,
    /// `%s`: the address of the sender; empty for the null path.
    pub sender: &'a str,
}

fn pieces(text: &str, places: &[(char, Piece)]) -> Result<Vec<Piece>, TemplateError> {
    if text.contains(char::is_control) {
        return Err(TemplateError::Path(PathError::Control));
    }
    let mut pieces = Vec::new();
    let mut literal = String::new();
    let mut chars = text.chars();
    while let Some(c) = chars.next() {
        if c != '%' {
            literal.push(c);
            continue;
        }
        let letter = chars.next();
        if letter == Some('%') {
            literal.push('%');
            continue;
        }
        let (_, place) =
            places.iter().find(|(known, _)| Some(*known) == letter).ok_or(TemplateError::Percent(letter))?;
        if !literal.is_empty() {
            pieces.push(Piece::Text(std::mem::take(&mut literal)));
        }
        pieces.push(place.clone());
    }
    if !literal.is_empty() {
        pieces.push(Piece::Text(literal));
    }
    Ok(pieces)
}

fn write_pieces(pieces: &[Piece], f: &mut fmt::Formatter<'_>) -> fmt::Result {
    pieces.iter().try_for_each(|piece| match piece {
        Piece::Text(text) => f.write_str(&text.replace('%', "%%")),
        Piece::User => f.write_str("%u"),
        Piece::Domain => f.write_str("%d"),
        Piece::Sender => f.write_str("%s"),
    })
}

/// A name that can stand as a component of a path.
fn path_name(name: &str) -> Result<&str, UnsafeName> {
    match name.chars().next() {
        None => Err(UnsafeName::Empty),
        Some('-') => Err(UnsafeName::Option),
        Some('.') => Err(UnsafeName::Dot),
        Some(_) if name.contains('/') => Err(UnsafeName::Slash),
        Some(_) if name.contains(char::is_control) => Err(UnsafeName::Control),
        Some(_) => Ok(name),
    }
}

/// `/PATH/%u/`: where a mailbox lies.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PathTemplate(Vec<Piece>);

impl PathTemplate {
    /// The path for a recipient: his local part without quotes, his domain.
    ///
    /// # Errors
    /// When one of them can't safely stand in a path.
    pub fn expand(&self, user: &str, domain: &str) -> Result<PathBuf, UnsafeName> {
        let mut path = String::new();
        for piece in &self.0 {
            path.push_str(match piece {
                Piece::Text(text) => text,
                Piece::User => path_name(user)?,
                Piece::Domain | Piece::Sender => path_name(domain)?,
            });
        }
        Ok(PathBuf::from(path))
    }

    /// The part of the path that no recipient can change: what may be opened, and must exist.
    #[must_use]
    pub fn root(&self) -> &Path {
        let Some(Piece::Text(text)) = self.0.first() else { return Path::new("/") };
        let path = Path::new(text);
        match path.parent() {
            Some(parent) if !text.ends_with('/') => parent,
            _ => path,
        }
    }
}

impl FromStr for PathTemplate {
    type Err = TemplateError;

    fn from_str(text: &str) -> Result<Self, TemplateError> {
        let path = paths::absolute(text).map_err(TemplateError::Path)?;
        if !path.components().any(|component| matches!(component, Component::Normal(_))) {
            return Err(TemplateError::Path(PathError::NoFile));
        }
        let template = pieces(text, &[('u', Piece::User), ('d', Piece::Domain)]).map(Self)?;
        // What smapd may write in must be less than everything.
        if template.root().parent().is_none() {
            return Err(TemplateError::Path(PathError::NoFolder));
        }
        Ok(template)
    }
}

impl fmt::Display for PathTemplate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write_pieces(&self.0, f)
    }
}

/// One argument of a program, with `%u`, `%d` and `%s`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ArgTemplate(Vec<Piece>);

impl ArgTemplate {
    /// The argument for a recipient.
    ///
    /// # Errors
    /// When it would begin with a `-` that the template did not write, or when something with a `/` would
    /// stand in what the template made a path.
    pub fn expand(&self, names: &Names<'_>) -> Result<String, UnsafeName> {
        let mut argument = String::new();
        let mut in_path = false;
        for piece in &self.0 {
            let value = match piece {
                Piece::Text(text) => {
                    in_path |= text.contains('/');
                    argument.push_str(text);
                    continue;
                }
                Piece::User => names.user,
                Piece::Domain => names.domain,
                Piece::Sender => names.sender,
            };
            argument.push_str(if in_path { path_name(value)? } else { value });
        }
        let own_start = self.0.first().is_none_or(|piece| matches!(piece, Piece::Text(_)));
        if argument.starts_with('-') && !own_start {
            return Err(UnsafeName::Option);
        }
        if argument.contains(char::is_control) {
            return Err(UnsafeName::Control);
        }
        Ok(argument)
    }
}

impl FromStr for ArgTemplate {
    type Err = TemplateError;

    fn from_str(text: &str) -> Result<Self, TemplateError> {
        pieces(text, &[('u', Piece::User), ('d', Piece::Domain), ('s', Piece::Sender)]).map(Self)
    }
}

impl fmt::Display for ArgTemplate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write_pieces(&self.0, f)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn path(template: &str, user: &str) -> Result<PathBuf, UnsafeName> {
        template.parse::<PathTemplate>().unwrap().expand(user, "example.com")
    }

    fn argument(template: &str, user: &str, sender: &str) -> Result<String, UnsafeName> {
        let names = Names { user, domain: "example.com", sender };
        template.parse::<ArgTemplate>().unwrap().expand(&names)
    }

    #[test]
    fn a_path_takes_user_and_domain() {
        assert_eq!(path("/var/mail/%d/%u/", "Joe"), Ok(PathBuf::from("/var/mail/example.com/Joe/")));
        assert_eq!(path("/m/100%%-%u", "joe"), Ok(PathBuf::from("/m/100%-joe")));
    }

    #[test]
    fn a_name_never_leaves_its_folder() {
        let cases = [
            ("", UnsafeName::Empty),
            ("-oQ", UnsafeName::Option),
            (".", UnsafeName::Dot),
            ("..", UnsafeName::Dot),
            (".forward", UnsafeName::Dot),
            ("../../etc/cron.d/x", UnsafeName::Dot),
            ("a/../../b", UnsafeName::Slash),
            ("/etc/passwd", UnsafeName::Slash),
            ("a\0b", UnsafeName::Control),
            ("a\nb", UnsafeName::Control),
            ("a\u{85}b", UnsafeName::Control),
        ];
        for (user, fault) in cases {
            assert_eq!(path("/var/mail/%u", user), Err(fault), "{user:?}");
            assert_eq!(path("/var/mail/box-%u/", user), Err(fault), "{user:?}");
        }
    }

    #[test]
    fn a_template_is_absolute_and_goes_only_down() {
        for text in [
            "",
            "mail/%u",
            "/var/../%u",
            "%u",
            "/",
            "/a\0",
            "/var/mail/%x",
            "/var/mail/%",
            "/mail/%s",
            "/%u",
            "/%d/%u/",
            "/mailbox",
            "/mail-%u/",
        ] {
            assert!(text.parse::<PathTemplate>().is_err(), "{text}");
        }
    }

    #[test]
    fn the_root_of_a_template_is_what_no_recipient_can_change() {
        let root = |text: &str| text.parse::<PathTemplate>().unwrap().root().to_owned();
        assert_eq!(root("/var/mail/%u"), PathBuf::from("/var/mail/"));
        assert_eq!(root("/var/mail/box-%u/Maildir/"), PathBuf::from("/var/mail"));
        assert_eq!(root("/var/mail/all"), PathBuf::from("/var/mail"));
    }

    #[test]
    fn an_argument_stays_one_argument() {
        assert_eq!(argument("%u", "a b; rm", ""), Ok("a b; rm".to_owned()));
        assert_eq!(argument("%s", "joe", ""), Ok(String::new()));
        assert_eq!(argument("%u@%d", "joe", ""), Ok("joe@example.com".to_owned()));
    }

    #[test]
    fn what_comes_from_outside_never_becomes_an_option() {
        assert_eq!(argument("%u", "-oQ/tmp", ""), Err(UnsafeName::Option));
        assert_eq!(argument("%s", "joe", "--help@example.com"), Err(UnsafeName::Option));
        assert_eq!(argument("%s-x", "joe", ""), Err(UnsafeName::Option));
        assert_eq!(argument("--user=%u", "-x", ""), Ok("--user=-x".to_owned()));
        assert_eq!(argument("-f%s", "joe", "-x"), Ok("-f-x".to_owned()));
    }

    #[test]
    fn an_argument_that_is_a_path_takes_only_names() {
        assert_eq!(argument("/var/mail/%u", "a/../../b", ""), Err(UnsafeName::Slash));
        assert_eq!(argument("--box=/mail/%u", "..", ""), Err(UnsafeName::Dot));
        assert_eq!(argument("%u", "x/y", ""), Ok("x/y".to_owned()));
    }

    #[test]
    fn a_template_is_shown_as_it_was_written() {
        for text in ["/var/mail/%d/%u/", "/100%%/x"] {
            assert_eq!(text.parse::<PathTemplate>().unwrap().to_string(), text);
        }
        for text in ["--x=%u@%d", "%s", "", "50%%"] {
            assert_eq!(text.parse::<ArgTemplate>().unwrap().to_string(), text);
        }
    }
}
