//! The messages: to whom they go, what is in them, and how one is known again.

use std::hash::{DefaultHasher, Hasher};

use super::chance::Chance;

/// Where recipients live. The first are those that come and go.
pub(super) const DOMAINS: [&str; 8] = [
    "relay0.example",
    "relay1.example",
    "relay2.example",
    "named.example",
    "lmtp.example",
    "box.example",
    "box.example",
    "pipe.example",
];
/// Where senders live.
pub(super) const HOME: &str = "sender.example";
/// The longest body.
pub(super) const LONGEST: usize = 20 << 20;
/// Octets that one message may become at most, all its copies together.
const MOST_COPIED: usize = 60 << 20;
/// Of what the bodies are made.
const NOISE: usize = 1 << 20;

/// What is wrong with a message, on purpose.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Fault {
    /// A line that ends in a bare LF.
    BareLf,
    /// The client is gone in the middle.
    LeftAlone,
}

#[derive(Debug)]
pub(super) struct Letter {
    pub(super) number: u64,
    pub(super) sender: String,
    pub(super) recipients: Vec<String>,
    /// CRLF lines, nothing stuffed.
    pub(super) text: Vec<u8>,
    pub(super) fault: Option<Fault>,
}

/// By what a text is known again.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Print {
    length: usize,
    hash: u64,
}

impl Print {
    pub(super) fn of(text: &[u8]) -> Self {
        let mut hasher = DefaultHasher::new();
        hasher.write(text);
        Self { length: text.len(), hash: hasher.finish() }
    }

    /// Whether it is this text behind a few fields of trace.
    pub(super) fn ends(self, text: &[u8]) -> bool {
        let Some(at) = text.len().checked_sub(self.length) else { return false };
        let (trace, own) = text.split_at(at);
        trace.len() < 2000 && (trace.is_empty() || trace.ends_with(b"\n")) && Self::of(own) == self
    }
}

/// The same text with the line ends of a mailbox.
pub(super) fn with_bare_ends(text: &[u8]) -> Vec<u8> {
    let lines = text.split_inclusive(|&octet| octet == b'\n');
    let bare = lines.flat_map(|line| match line.strip_suffix(b"\r\n") {
        Some(line) => [line, b"\n"],
        None => [line, b""],
    });
    bare.flatten().copied().collect()
}

/// Makes letters.
pub(super) struct Writer {
    chance: Chance,
    noise: Vec<u8>,
}

impl Writer {
    pub(super) fn new(mut chance: Chance) -> Self {
        let noise = (0..NOISE).map(|_| u8::try_from(0x20 + chance.below(0x5f)).unwrap()).collect();
        Self { chance, noise }
    }

    pub(super) fn chance(&mut self) -> &mut Chance {
        &mut self.chance
    }

    pub(super) fn letter(&mut self, number: u64) -> Letter {
        let most = if self.chance.one_in(40) { LONGEST } else { 64 << 10 };
        let octets = self.chance.mostly_small(most);
        let text = self.text(number, octets);
        let most = (MOST_COPIED / text.len().max(1)).clamp(1, 100);
        let recipients = 1 + self.chance.mostly_small(most).min(most - 1);
        let recipients = (0..recipients).map(|which| self.recipient(number, which)).collect();
        let fault = match self.chance.below(100) {
            0..3 => Some(Fault::BareLf),
            3..5 => Some(Fault::LeftAlone),
            _ => None,
        };
        Letter { number, sender: format!("s{number}@{HOME}"), recipients, text, fault }
    }

    fn recipient(&mut self, number: u64, which: usize) -> String {
        let domain = *self.chance.pick(&DOMAINS);
        match domain {
            "box.example" => format!("u{}@r{number}-{which}.box.example", self.chance.below(10)),
            "pipe.example" => format!("u@r{number}-{which}.pipe.example"),
            _ if self.chance.one_in(20) => format!("bad-r{number}-{which}@{domain}"),
            _ => format!("r{number}-{which}@{domain}"),
        }
    }

    /// Of this length, or a little longer; nothing at all is a text too.
    fn text(&mut self, number: u64, octets: usize) -> Vec<u8> {
        if octets == 0 {
            return Vec::new();
        }
        let mut text =
            format!("Subject: {number}\r\nMessage-ID: <{number}@{HOME}>\r\nDate: Sat, 21 Nov 2026 12:00:00 +0000\r\n\r\n")
                .into_bytes();
        while text.len() < octets {
            let length = self.chance.below(if octets > 1 << 16 { 990 } else { 80 });
            let from = self.chance.below(NOISE - length);
            if self.chance.one_in(10) {
                text.push(b'.');
            }
            text.extend_from_slice(&self.noise[from..from + length]);
            if self.chance.one_in(20) {
                text.extend_from_slice("ü".as_bytes());
            }
            text.extend_from_slice(b"\r\n");
        }
        text
    }
}

/// The message and the recipient of it that an address was made for.
pub(super) fn whose(address: &str) -> Option<(u64, usize)> {
    address.split(['@', '.', '<', '>']).find_map(|part| {
        let (number, which) = part.strip_prefix("bad-").unwrap_or(part).strip_prefix('r')?.split_once('-')?;
        Some((number.parse().ok()?, which.parse().ok()?))
    })
}

/// Whether nobody is there, so that the sender is told.
pub(super) fn is_nobody(address: &str) -> bool {
    address.trim_start_matches('<').starts_with("bad-")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_text_is_known_again_behind_its_trace_and_not_when_it_is_torn() {
        let letter = Writer::new(Chance::new(1)).letter(7);
        let print = Print::of(&letter.text);
        let traced = [b"Received: here\r\n", letter.text.as_slice()].concat();
        assert!(print.ends(&traced));
        assert!(!print.ends(&traced[..traced.len() - 1]));
        assert!(!print.ends(&letter.text[1..]));
    }

    #[test]
    fn an_address_says_whose_it_is() {
        assert_eq!(whose("<bad-r12-3@relay0.example>"), Some((12, 3)));
        assert_eq!(whose("u3@r12-0.box.example"), Some((12, 0)));
        assert_eq!(whose("s12@sender.example"), None);
    }
}
