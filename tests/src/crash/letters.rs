//! The letters of the crash tests: what is sent, what the client is told, and what must become of each copy.

use std::io::{BufRead, BufReader, Read, Write};

/// How a text is sent.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Way {
    /// DATA.
    Data,
    /// BDAT in chunks of so many octets.
    Chunks(usize),
}

/// A letter.
#[derive(Debug, Clone)]
pub struct Letter {
    /// A word of its own in its first line.
    pub mark: String,
    /// Its sender; empty for none.
    pub from: &'static str,
    /// Who gets it: `never...` is refused, `later...` only at first.
    pub to: Vec<String>,
    /// It is sent to this list, which they are on, by one name.
    pub list: Option<&'static str>,
    /// Its text: CRLF lines.
    pub text: Vec<u8>,
    /// How it is sent.
    pub way: Way,
}

/// What the client read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Said {
    /// The 250 to the text, and the id in it.
    Taken(String),
    /// Another reply, to whatever part of it.
    Refused(String),
    /// The connection ended before the text had a reply.
    Nothing,
}

impl Letter {
    /// One of so many octets, more or less, with lines that a mailbox has to quote.
    #[must_use]
    pub fn new(mark: &str, to: &[&str], octets: usize, way: Way) -> Self {
        let mut text =
            format!("Subject: mark={mark}\r\n\r\n.\r\nFrom here on\r\n>From there on\r\n").into_bytes();
        let mut line = 0;
        while text.len() < octets {
            text.extend(
                format!("{line:08} of {mark} -----------------------------------------------\r\n").bytes(),
            );
            line += 1;
        }
        let to = to.iter().map(|to| (*to).to_owned()).collect();
        Self { mark: mark.to_owned(), from: "a@sender.example", to, list: None, text, way }
    }

    /// The same without a sender.
    #[must_use]
    pub fn without_sender(self) -> Self {
        Self { from: "", ..self }
    }

    /// The same, sent to a list on which its recipients are.
    #[must_use]
    pub fn by_list(self, list: &'static str) -> Self {
        Self { list: Some(list), ..self }
    }

    /// Whom the client names.
    #[must_use]
    pub fn named(&self) -> Vec<&str> {
        self.list.map_or_else(|| self.to.iter().map(String::as_str).collect(), |list| vec![list])
    }

    /// Who gets it, with the numbers that the spool knows them by.
    pub fn numbered(&self) -> impl Iterator<Item = (u32, &String)> {
        // Members have theirs behind those of the envelope's recipients.
        (u32::from(self.list.is_some())..).zip(&self.to)
    }

    /// Whether this recipient is refused for good.
    #[must_use]
    pub fn fails(to: &str) -> bool {
        to.starts_with("never")
    }

    /// The word that a delivered text begins with, if it is one of ours.
    #[must_use]
    pub fn mark_in(text: &[u8]) -> Option<String> {
        const WORD: &[u8] = b"Subject: mark=";
        let at = text.windows(WORD.len()).position(|window| window == WORD)?;
        let rest = &text[at + WORD.len()..];
        let end = rest.iter().position(|octet| *octet <= b' ').unwrap_or(rest.len());
        Some(String::from_utf8_lossy(&rest[..end]).into_owned())
    }
}

/// Sends all of them in one session, and hears what is said to each.
pub fn send(stream: impl Read + Write, letters: &[Letter]) -> Vec<Said> {
    send_telling(stream, letters, || true)
}

/// The same; `taken` is told at once of each that was taken, and says whether that counts.
pub fn send_telling(
    mut stream: impl Read + Write,
    letters: &[Letter],
    mut taken: impl FnMut() -> bool,
) -> Vec<Said> {
    let mut client = Conversation(BufReader::new(&mut stream));
    let mut greeted = client.reply().is_some_and(|reply| reply.starts_with("220"));
    greeted = greeted && client.say(b"EHLO client.example\r\n").is_some_and(|reply| reply.starts_with("250"));
    let mut said = Vec::new();
    for letter in letters {
        let mut one = if greeted { client.letter(letter) } else { Said::Nothing };
        if matches!(one, Said::Taken(_)) && !taken() {
            one = Said::Nothing;
        }
        greeted = greeted && one != Said::Nothing;
        said.push(one);
    }
    if greeted {
        client.say(b"QUIT\r\n");
    }
    said
}

/// Sends the envelope and the first chunk of a letter.
pub fn send_half(mut stream: impl Read + Write, letter: &Letter) {
    let mut client = Conversation(BufReader::new(&mut stream));
    let chunk = letter.text.len() / 2;
    client.reply();
    client.say(b"EHLO client.example\r\n");
    client.say(format!("MAIL FROM:<{}>\r\n", letter.from).as_bytes());
    letter.named().iter().for_each(|to| drop(client.say(format!("RCPT TO:<{to}>\r\n").as_bytes())));
    client.say(
        &[format!("BDAT {chunk}\r\n").as_bytes(), letter.text.get(..chunk).unwrap_or_default()].concat(),
    );
}

struct Conversation<S: Read>(BufReader<S>);

impl<S: Read + Write> Conversation<S> {
    fn reply(&mut self) -> Option<String> {
        loop {
            let mut line = String::new();
            self.0.read_line(&mut line).ok()?;
            if !line.ends_with('\n') {
                return None;
            }
            if line.as_bytes().get(3) == Some(&b' ') {
                return Some(line.trim_end().to_owned());
            }
        }
    }

    fn say(&mut self, octets: &[u8]) -> Option<String> {
        self.0.get_mut().write_all(octets).ok()?;
        self.reply()
    }

    fn letter(&mut self, letter: &Letter) -> Said {
        let mut last = self.say(format!("MAIL FROM:<{}>\r\n", letter.from).as_bytes());
        for to in letter.named() {
            if last.as_ref().is_some_and(|reply| reply.starts_with('2')) {
                last = self.say(format!("RCPT TO:<{to}>\r\n").as_bytes());
            }
        }
        match last {
            None => return Said::Nothing,
            Some(reply) if !reply.starts_with('2') => return Said::Refused(reply),
            Some(_) => {}
        }
        let reply = match letter.way {
            Way::Data => self.data(&letter.text),
            Way::Chunks(size) => self.chunks(&letter.text, size),
        };
        match reply {
            None => Said::Nothing,
            Some(reply) => match reply.strip_prefix("250 2.0.0 Mail accepted ") {
                Some(id) => Said::Taken(id.to_owned()),
                None => Said::Refused(reply),
            },
        }
    }

    fn data(&mut self, text: &[u8]) -> Option<String> {
        let go = self.say(b"DATA\r\n")?;
        if !go.starts_with("354") {
            return Some(go);
        }
        let mut wire = Vec::with_capacity(text.len() + 64);
        for line in text.split_inclusive(|octet| *octet == b'\n') {
            wire.extend_from_slice(if line.starts_with(b".") { b"." } else { b"" });
            wire.extend_from_slice(line);
        }
        wire.extend_from_slice(b".\r\n");
        self.say(&wire)
    }

    fn chunks(&mut self, text: &[u8], size: usize) -> Option<String> {
        let count = text.len().div_ceil(size);
        let mut last = None;
        for (number, chunk) in text.chunks(size).enumerate() {
            let end = if number + 1 == count { " LAST" } else { "" };
            let command = format!("BDAT {}{end}\r\n", chunk.len());
            let reply = self.say(&[command.as_bytes(), chunk].concat())?;
            if !reply.starts_with('2') {
                return Some(reply);
            }
            last = Some(reply);
        }
        last
    }
}
