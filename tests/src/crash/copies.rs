//! What the other side has got, read by rules of its own: a host's notes, Maildirs, mailboxes of one file, the files of
//! a program, and notifications.

use std::fs;
use std::path::Path;

use super::letters::Letter;
use crate::sink::Received;

/// Fields that a gateway may put above a text.
const TRACE: [&str; 3] = ["Return-Path: ", "Delivered-To: ", "Received: "];

/// One copy of a letter.
#[derive(Debug, Clone)]
pub struct Copy {
    /// For whom.
    pub to: String,
    /// As it came.
    pub text: Vec<u8>,
    /// Its lines end in LF.
    local: bool,
    /// It stands in a file with others, where what a crash has cut off may stay.
    shared: bool,
}

/// What is found when a copy is compared with its letter.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Judged {
    /// It is whole.
    Whole,
    /// Its beginning, in a mailbox where a crash may leave one.
    Beginning,
    /// It is neither.
    Torn(String),
}

impl Copy {
    /// The mark in it.
    #[must_use]
    pub fn mark(&self) -> Option<String> {
        Letter::mark_in(&self.text)
    }

    /// Whether it can be what a crash left of something that was being appended.
    #[must_use]
    pub fn is_fragment(&self) -> bool {
        self.shared && self.mark().is_none()
    }

    /// Compares it with what was sent.
    #[must_use]
    pub fn judge(&self, letter: &Letter) -> Judged {
        let sent = if self.local { with_lf(&letter.text) } else { letter.text.clone() };
        let head = self.text.windows(9).position(|window| window == b"Subject: ").unwrap_or(self.text.len());
        let (head, body) = self.text.split_at(head);
        let strange = String::from_utf8_lossy(head)
            .lines()
            .find(|line| !line.starts_with(['\t', ' ']) && !TRACE.iter().any(|field| line.starts_with(field)))
            .map(str::to_owned);
        match strange {
            Some(line) => Judged::Torn(format!("above the text stands {line:?}")),
            None if body == sent => Judged::Whole,
            None if self.shared && sent.starts_with(body.strip_suffix(b"\n").unwrap_or(body)) => {
                Judged::Beginning
            }
            None => Judged::Torn(format!("{} octets of {}", body.len(), sent.len())),
        }
    }
}

/// What a host took: a copy for each recipient.
#[must_use]
pub fn relayed(received: &[Received]) -> Vec<Copy> {
    let copy = |one: &Received, to: &String| Copy {
        to: to.trim_matches(['<', '>']).to_owned(),
        text: one.text.clone(),
        local: false,
        shared: false,
    };
    received.iter().flat_map(|one| one.recipients.iter().map(move |to| copy(one, to))).collect()
}

/// What lies in the mailboxes below a folder: `USER/` is a Maildir, `USER.mbox` a mailbox, `pipe/USER.*` files that a
/// program has kept.
#[must_use]
pub fn in_folder(mail: &Path) -> Vec<Copy> {
    let mut copies = Vec::new();
    for (name, path) in entries(mail) {
        let local = |to: String, text| Copy { to, text, local: true, shared: false };
        if name == "pipe" {
            for (name, path) in entries(&path).into_iter().filter(|(name, _)| !name.starts_with('.')) {
                let user = name.split('.').next().unwrap_or_default().to_owned();
                copies.push(local(format!("{user}@pipe.example"), fs::read(path).unwrap_or_default()));
            }
        } else if let Some(user) = name.strip_suffix(".mbox") {
            let text = fs::read(&path).unwrap_or_default();
            let to = format!("{user}@mbox.example");
            copies.extend(
                messages_of(&text).into_iter().map(|text| Copy { shared: true, ..local(to.clone(), text) }),
            );
        } else {
            for (_, path) in entries(&path.join("new")) {
                copies.push(local(format!("{name}@maildir.example"), fs::read(path).unwrap_or_default()));
            }
        }
    }
    copies
}

fn entries(folder: &Path) -> Vec<(String, std::path::PathBuf)> {
    let Ok(entries) = fs::read_dir(folder) else { return Vec::new() };
    entries.flatten().map(|entry| (entry.file_name().to_string_lossy().into_owned(), entry.path())).collect()
}

/// The messages of a mailbox of one file (mboxrd): each begins with a line `From ` at the beginning or behind an empty
/// line, and ends with an empty line.
fn messages_of(text: &[u8]) -> Vec<Vec<u8>> {
    let mut messages: Vec<Vec<u8>> = Vec::new();
    let mut empty = true;
    for line in text.split_inclusive(|octet| *octet == b'\n') {
        if empty && line.starts_with(b"From ") {
            messages.push(Vec::new());
        } else if let Some(message) = messages.last_mut() {
            let quoted = line.iter().take_while(|octet| **octet == b'>').count();
            let quoted = quoted > 0 && line[quoted..].starts_with(b"From ");
            message.extend_from_slice(if quoted { &line[1..] } else { line });
        }
        empty = line == b"\n";
    }
    for message in &mut messages {
        if message.ends_with(b"\n\n") {
            message.pop();
        }
    }
    messages
}

fn with_lf(text: &[u8]) -> Vec<u8> {
    let lines = text.split_inclusive(|octet| *octet == b'\n');
    lines.flat_map(|line| [line.strip_suffix(b"\r\n").unwrap_or(line), b"\n"].concat()).collect()
}

/// A notification that the sender's host has got.
#[derive(Debug, Clone)]
pub struct Notice {
    /// Of which letter.
    pub mark: Option<String>,
    /// Who failed.
    pub about: Vec<String>,
    /// Whether it has its last line.
    pub whole: bool,
}

impl Notice {
    /// Reads it.
    #[must_use]
    pub fn of(received: &Received) -> Self {
        let text = String::from_utf8_lossy(&received.text);
        let about = text.lines().filter_map(|line| line.strip_prefix("Final-Recipient: rfc822; "));
        let last = text.trim_end().lines().last().unwrap_or_default();
        Self {
            mark: Letter::mark_in(&received.text),
            about: about.map(str::to_owned).collect(),
            whole: last.starts_with("--") && last.ends_with("--") && last.len() > 4,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::crash::letters::Way;

    fn letter() -> Letter {
        Letter::new("one", &["b@mbox.example"], 0, Way::Data)
    }

    fn copy(text: &[u8], shared: bool) -> Copy {
        Copy { to: "b@mbox.example".to_owned(), text: text.to_owned(), local: true, shared }
    }

    #[test]
    fn a_copy_is_whole_below_its_trace() {
        let text = [b"Received: from x\n\tby y\n", with_lf(&letter().text).as_slice()].concat();
        assert_eq!(copy(&text, false).judge(&letter()), Judged::Whole);
        assert!(matches!(
            copy(&[b"X: y\n", text.as_slice()].concat(), false).judge(&letter()),
            Judged::Torn(_)
        ));
    }

    #[test]
    fn a_copy_that_lacks_something_is_torn() {
        let text = with_lf(&letter().text);
        assert!(matches!(copy(&text[..text.len() - 1], false).judge(&letter()), Judged::Torn(_)));
        assert_eq!(copy(&text[..text.len() - 5], true).judge(&letter()), Judged::Beginning);
    }

    #[test]
    fn a_mailbox_of_one_file_is_read_as_it_was_written() {
        let text = b"From a\nSubject: x\n\n>From here\n>>From there\n\nFrom b\nSubject: y\n\n\n";
        let messages = messages_of(text);
        assert_eq!(messages[0], b"Subject: x\n\nFrom here\n>From there\n");
        assert_eq!(messages[1], b"Subject: y\n\n");
    }
}
