use super::*;
use std::thread;

/// One octet of each class.
const ALPHABET: [char; 5] = ['\r', '\n', '.', '\0', 'a'];

fn decode(wire: &[u8]) -> (Vec<u8>, Decoded, Option<LineFault>) {
    let (mut decoder, mut message) = (Decoder::default(), Vec::new());
    let decoded = decoder.decode(wire, &mut message);
    (message, decoded, decoder.fault())
}

#[test]
fn a_message_ends_at_its_dot_and_nowhere_else() {
    let (message, decoded, fault) = decode(b"Subject: x\r\n\r\n..dot\r\n.. \r\n.x\r\n.\r\nQUIT\r\n");
    assert_eq!(message, b"Subject: x\r\n\r\n.dot\r\n. \r\nx\r\n");
    assert_eq!((decoded.ended, decoded.consumed, fault), (true, 33, None));
}

#[test]
fn a_message_may_be_empty() {
    assert_eq!(decode(b".\r\n"), (vec![], Decoded { consumed: 3, ended: true }, None));
}

#[test]
fn no_other_sequence_ends_a_message() {
    let smuggles: [&[u8]; 12] = [
        b"a\n.\n",
        b"a\n.\r\n",
        b"a\r.\r",
        b"a\r.\r\n",
        b"a\r\n.\n",
        b"a\r\n.\r",
        b"a\0\r\n.\0\r\n",
        b"a\r\n\0.\r\n",
        b"a\r\0\n.\r\n",
        b"a\r\n.\0\r\n",
        b"a\r\n.\r\0\n",
        b"a\r\n.\r\r\n",
    ];
    for wire in smuggles {
        let (_, decoded, _) = decode(wire);
        assert!(!decoded.ended, "{wire:?}");
    }
}

/// The octets that stand for a column of the table in the head of the module.
fn class(column: &str) -> Vec<u8> {
    match column {
        "CR" => vec![b'\r'],
        "LF" => vec![b'\n'],
        "`.`" => vec![b'.'],
        "NUL" => vec![0],
        "other" => (1..=u8::MAX).filter(|octet| !b"\r\n.".contains(octet)).collect(),
        _ => panic!("no class of octets: {column}"),
    }
}

#[test]
fn the_machine_is_the_table_in_the_head_of_its_module() {
    let mut rows = include_str!("../data.rs").lines().filter_map(|line| line.strip_prefix("//! | "));
    let mut cells = || Some(rows.next()?.trim_end_matches('|').split('|').map(str::trim).collect::<Vec<_>>());
    let columns = cells().unwrap();
    let states = [State::LineStart, State::Text, State::Cr, State::Dot, State::DotCr];
    for state in states {
        let row = cells().unwrap();
        assert_eq!((row[0], row.len()), (format!("`{state:?}`").as_str(), 6));
        for (column, cell) in columns.iter().zip(&row).skip(1) {
            for octet in class(column) {
                let says = match state.step(octet) {
                    (next, Output::Nothing) => format!("`{next:?}`"),
                    (next, Output::Octet) => format!("`{next:?}`, octet"),
                    (next, Output::Crlf) => format!("`{next:?}`, CRLF"),
                    (next, Output::Fault(fault)) => format!("`{next:?}`, `{fault:?}`"),
                };
                assert_eq!(says, *cell, "{state:?}, {octet}");
            }
        }
    }
    assert_eq!(cells(), None);
    assert_eq!(columns[1..].iter().flat_map(|column| class(column)).count(), 256);
}

/// What is wrong first with these lines: between the CRLFs there may be neither CR nor LF nor NUL.
fn first_fault(lines: &str) -> Option<LineFault> {
    lines.split("\r\n").flat_map(str::bytes).find_map(|octet| match octet {
        b'\r' => Some(LineFault::BareCr),
        b'\n' => Some(LineFault::BareLf),
        0 => Some(LineFault::Nul),
        _ => None,
    })
}

/// What RFC 5321 section 4.1.1.4 and 4.5.2 say of a whole string: the first `CRLF . CRLF` ends it, and the CRLF of
/// the command DATA counts; each line loses the dot that it begins with.
fn oracle(wire: &str) -> (Option<usize>, Option<LineFault>, Option<String>) {
    let framed = format!("\r\n{wire}");
    let end = framed.find("\r\n.\r\n");
    let body = framed.get(..end.map_or(framed.len(), |at| at + 2)).unwrap();
    // A CR that is the last octet so far may still become a line end.
    let fault = first_fault(body.strip_suffix('\r').unwrap_or(body));
    let message = end.filter(|_| fault.is_none()).map(|_| body.replace("\r\n.", "\r\n").split_off(2));
    (end.map(|at| at + 3), fault, message)
}

/// Both machines, having read the same octets.
#[derive(Clone, Default)]
struct Reading {
    decoder: Decoder,
    checker: Checker,
    consumed: usize,
    ended: bool,
    /// How long the message is.
    written: usize,
}

impl Reading {
    fn read(&mut self, octets: &[u8], message: &mut Vec<u8>) {
        let before = message.len();
        let decoded = self.decoder.decode(octets, message);
        self.consumed += decoded.consumed;
        self.ended = decoded.ended;
        self.written += message.len() - before;
        self.checker.check(octets);
    }

    fn assert_is_right(&self, wire: &str, message: &[u8]) {
        let (end, fault, expected) = oracle(wire);
        assert_eq!(self.ended.then_some(self.consumed), end, "{wire:?}");
        assert_eq!(self.decoder.fault(), fault, "{wire:?}");
        assert!(expected.is_none_or(|expected| message == expected.as_bytes()), "{wire:?}: {message:?}");
        assert_eq!(self.checker.fault_at_end(), first_fault(wire), "{wire:?}");
        assert_eq!(self.checker.ends_line(), wire.is_empty() || wire.ends_with("\r\n"), "{wire:?}");
    }

    /// Whether with the rest, read now, all is as if it had been read at once.
    fn goes_on_to(mut self, rest: &[u8], whole: &Self, message: &[u8], scratch: &mut Vec<u8>) -> bool {
        let before = self.written;
        scratch.clear();
        self.read(rest, scratch);
        let seen = |of: &Self| {
            let checked = (of.checker.fault_at_end(), of.checker.ends_line());
            (of.consumed, of.ended, of.written, of.decoder.fault(), checked)
        };
        seen(&self) == seen(whole) && scratch.as_slice() == &message[before..]
    }
}

/// Strings up to a length, each with what was read of its beginnings: at once, and octet by octet.
#[derive(Default)]
struct Tree {
    wire: String,
    heads: Vec<Reading>,
    slow: Vec<Reading>,
    scratch: Vec<u8>,
}

impl Tree {
    /// The strings that begin with this.
    fn above(first: char) -> Self {
        let root = || vec![Reading::default()];
        Self { wire: first.into(), heads: root(), slow: root(), scratch: Vec::new() }
    }

    /// Tries what stands in `wire` at once, cut in two at every place, and octet by octet; then all that begins so.
    fn climb(&mut self, message: &mut Vec<u8>, longest: usize) {
        let wire = self.wire.as_bytes();
        let mut whole = Reading::default();
        message.clear();
        whole.read(wire, message);
        whole.assert_is_right(&self.wire, message);
        for (cut, head) in self.heads.iter().enumerate() {
            let same = head.clone().goes_on_to(&wire[cut..], &whole, message, &mut self.scratch);
            assert!(same, "{:?} cut at {cut}", self.wire);
        }
        let mut slow = Reading::default();
        if let (Some(before), Some(last)) = (self.slow.last(), wire.len().checked_sub(1)) {
            let same = before.clone().goes_on_to(&wire[last..], &whole, message, &mut self.scratch);
            assert!(same, "{:?} octet by octet", self.wire);
            slow = before.clone();
            slow.read(&wire[last..], &mut self.scratch);
        }
        if wire.len() == longest {
            return;
        }
        self.heads.push(whole);
        self.slow.push(slow);
        for next in ALPHABET {
            self.wire.push(next);
            self.climb(message, longest);
            self.wire.pop();
        }
        self.heads.pop();
        self.slow.pop();
    }
}

#[test]
fn every_short_string_agrees_with_the_rfc_wherever_it_is_cut() {
    Tree::default().climb(&mut Vec::new(), 1);
    thread::scope(|scope| {
        for first in ALPHABET {
            scope.spawn(move || Tree::above(first).climb(&mut Vec::new(), 8));
        }
    });
}

#[test]
fn nothing_is_read_behind_the_end() {
    let (mut decoder, mut message) = (Decoder::default(), Vec::new());
    assert_eq!(decoder.decode(b"a\r\n.\r\n", &mut message), Decoded { consumed: 6, ended: true });
    assert_eq!(decoder.decode(b"\nQUIT\r\n", &mut message), Decoded { consumed: 0, ended: true });
    assert_eq!((message.as_slice(), decoder.fault()), (b"a\r\n".as_slice(), None));
}

#[test]
fn where_the_input_is_cut_makes_no_difference() {
    let wire = b"ab\r\n..c\r\n.d\r\r\n\r\n.\r\nrest";
    let (whole, decoded, fault) = decode(wire);
    for cut in 0..=wire.len() {
        let (mut decoder, mut message) = (Decoder::default(), Vec::new());
        let mut first = decoder.decode(&wire[..cut], &mut message);
        if !first.ended {
            let second = decoder.decode(&wire[cut..], &mut message);
            first = Decoded { consumed: cut + second.consumed, ended: second.ended };
        }
        assert_eq!((&message, first, decoder.fault()), (&whole, decoded, fault), "cut at {cut}");
    }
}

#[test]
fn the_checker_finds_what_the_decoder_refuses() {
    let cases: [(&[u8], Option<LineFault>, bool); 9] = [
        (b"", None, true),
        (b"a\r\nb\r\n", None, true),
        (b"\r\n.\r\nQUIT\r\n", None, true),
        (b"no end", None, false),
        (b"a\nb", Some(LineFault::BareLf), false),
        (b"a\rb", Some(LineFault::BareCr), false),
        (b"a\r\r\n", Some(LineFault::BareCr), true),
        (b"a\r", Some(LineFault::BareCr), false),
        (b"a\0\r\n", Some(LineFault::Nul), true),
    ];
    for (text, fault, whole) in cases {
        for cut in 0..=text.len() {
            let mut checker = Checker::default();
            checker.check(&text[..cut]);
            checker.check(&text[cut..]);
            assert_eq!(
                (checker.fault_at_end(), checker.ends_line()),
                (fault, whole),
                "{text:?} cut at {cut}"
            );
        }
    }
}

/// Every line, whatever it ended in, with a CRLF, and every NUL made visible.
fn whole_lines(text: &str) -> String {
    let lines = text.replace('\0', "?").replace("\r\n", "\n").replace(['\r', '\n'], "\r\n");
    if lines.is_empty() || lines.ends_with("\r\n") { lines } else { lines + "\r\n" }
}

#[test]
fn whatever_is_stuffed_comes_out_as_whole_lines_without_a_nul() {
    let mut texts = vec![String::new()];
    for at in 0..(5usize.pow(6) - 1) / 4 {
        // All of up to six octets, the shorter ones first.
        texts.extend(['\r', '\n', '.', 'a', '\0'].map(|next| format!("{}{next}", texts[at])));
    }
    for text in texts {
        let (head, tail) = text.as_bytes().split_at(text.len() / 2);
        let mut wire = Vec::new();
        let mut stuffer = Stuffer::default();
        stuffer.stuff(head, &mut wire);
        stuffer.stuff(tail, &mut wire);
        stuffer.finish(&mut wire);
        let (message, decoded, fault) = decode(&wire);
        assert_eq!((decoded.ended, decoded.consumed, fault), (true, wire.len(), None), "{text:?}");
        assert_eq!(message, whole_lines(&text).as_bytes(), "{text:?}");
    }
}

#[test]
fn received_fields_are_counted_in_the_header_only() {
    let text = b"Received: a\r\n by b\r\nRECEIVED : c\r\nX-Received: d\r\nReceivedx: e\r\nreceived:\r\n\r\nReceived: body\r\n";
    for cut in 0..=text.len() {
        let mut counter = ReceivedCounter::new();
        counter.read(&text[..cut]);
        counter.read(&text[cut..]);
        assert_eq!(counter.count(), 3, "cut at {cut}");
    }
}
