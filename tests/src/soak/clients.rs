//! Those who send: each session is a new connection, with a few messages, by DATA or BDAT. Whatever becomes of the
//! connection is written down as the client sees it.

use std::io::{self, BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use super::book::{Book, Fate};
use super::chance::Chance;
use super::letter::{Fault, Letter, Writer};

/// How long a reply may take on a machine that has much to do.
const PATIENCE: Duration = Duration::from_secs(120);
/// Recipients that may wait before nobody sends any more: the queue is not to grow without end.
const MOST_WAITING: u64 = 3000;
const PAUSE: Duration = Duration::from_millis(50);

/// What all clients share.
#[derive(Debug, Default)]
pub(super) struct Traffic {
    /// Where smap listens now; none while it is started again.
    pub(super) address: Mutex<Option<SocketAddr>>,
    pub(super) over: AtomicBool,
    numbers: AtomicU64,
}

/// The connection is over.
#[derive(Debug)]
struct Over;

impl From<io::Error> for Over {
    fn from(_: io::Error) -> Self {
        Self
    }
}

/// Sends until it is over.
pub(super) fn live(traffic: &Traffic, book: &Book, chance: Chance) {
    let mut writer = Writer::new(chance);
    while !traffic.over.load(Ordering::SeqCst) {
        let address = *traffic.address.lock().unwrap();
        let client =
            address.filter(|_| book.waiting() < MOST_WAITING).and_then(|address| Session::open(address).ok());
        match client {
            Some(mut client) => {
                let letters = 1 + writer.chance().below(6);
                let sent = (0..letters).try_for_each(|_| client.send_one(traffic, book, &mut writer));
                if sent.is_ok() {
                    client.leave(writer.chance());
                }
            }
            None => std::thread::sleep(PAUSE),
        }
    }
}

struct Session {
    input: BufReader<TcpStream>,
    output: TcpStream,
}

impl Session {
    fn open(address: SocketAddr) -> Result<Self, Over> {
        let output = TcpStream::connect_timeout(&address, PATIENCE)?;
        output.set_read_timeout(Some(PATIENCE))?;
        output.set_write_timeout(Some(PATIENCE))?;
        output.set_nodelay(true)?;
        let mut session = Self { input: BufReader::new(output.try_clone()?), output };
        session.wants(220)?;
        session.say("EHLO client.example\r\n")?;
        session.wants(250)?;
        Ok(session)
    }

    fn say(&mut self, text: &str) -> Result<(), Over> {
        Ok(self.output.write_all(text.as_bytes())?)
    }

    fn code(&mut self) -> Result<u16, Over> {
        loop {
            let mut line = String::new();
            self.input.read_line(&mut line)?;
            let code = line.get(..3).and_then(|code| code.parse().ok()).ok_or(Over)?;
            if line.as_bytes().get(3) != Some(&b'-') {
                return if line.ends_with('\n') { Ok(code) } else { Err(Over) };
            }
        }
    }

    fn wants(&mut self, code: u16) -> Result<(), Over> {
        if self.code()? == code { Ok(()) } else { Err(Over) }
    }

    fn send_one(&mut self, traffic: &Traffic, book: &Book, writer: &mut Writer) -> Result<(), Over> {
        let letter = writer.letter(traffic.numbers.fetch_add(1, Ordering::SeqCst));
        self.envelope(&letter)?;
        book.sent(&letter);
        let code = match letter.fault {
            Some(Fault::LeftAlone) => self.leave_in_the_middle(&letter.text, writer.chance()),
            Some(Fault::BareLf) => self.data(&with_bare_lf(&letter.text)),
            None if writer.chance().one_in(2) => self.data(&letter.text),
            None => self.chunks(&letter.text, writer.chance()),
        };
        let fate = match &code {
            Ok(250) => Fate::Accepted,
            Ok(_) => Fate::Refused,
            // Nobody can have been promised anything: the end was never sent.
            Err(Over) if letter.fault == Some(Fault::LeftAlone) => Fate::Refused,
            Err(Over) => Fate::Cut,
        };
        if letter.fault.is_some() && fate == Fate::Accepted {
            book.fault(format!("{}: taken, although {:?}", letter.number, letter.fault));
        }
        book.ended(letter.number, fate);
        code.map(|_| ())
    }

    fn envelope(&mut self, letter: &Letter) -> Result<(), Over> {
        let mut text = format!("MAIL FROM:<{}> BODY=8BITMIME\r\n", letter.sender);
        letter.recipients.iter().for_each(|to| text.push_str(&format!("RCPT TO:<{to}>\r\n")));
        self.say(&text)?;
        (0..=letter.recipients.len()).try_for_each(|_| self.wants(250))
    }

    fn data(&mut self, text: &[u8]) -> Result<u16, Over> {
        self.say("DATA\r\n")?;
        self.wants(354)?;
        self.output.write_all(&stuffed(text))?;
        self.say(".\r\n")?;
        self.code()
    }

    fn chunks(&mut self, mut text: &[u8], chance: &mut Chance) -> Result<u16, Over> {
        loop {
            let length = if chance.one_in(2) { text.len() } else { chance.below(text.len() + 1) };
            let (chunk, rest) = text.split_at(length);
            let last = if rest.is_empty() { " LAST" } else { "" };
            self.say(&format!("BDAT {length}{last}\r\n"))?;
            self.output.write_all(chunk)?;
            let code = self.code()?;
            if rest.is_empty() || code != 250 {
                return Ok(code);
            }
            text = rest;
        }
    }

    fn leave_in_the_middle(&mut self, text: &[u8], chance: &mut Chance) -> Result<u16, Over> {
        self.say("DATA\r\n")?;
        self.wants(354)?;
        let whole = stuffed(text);
        self.output.write_all(&whole[..chance.below(whole.len() + 1)])?;
        Err(Over)
    }

    fn leave(mut self, chance: &mut Chance) {
        if !chance.one_in(4) && self.say("QUIT\r\n").is_ok() {
            let _gone = self.input.read_to_end(&mut Vec::new());
        }
    }
}

fn with_bare_lf(text: &[u8]) -> Vec<u8> {
    [text, b"a line\nand another\r\n"].concat()
}

/// RFC 5321 section 4.5.2.
fn stuffed(text: &[u8]) -> Vec<u8> {
    let mut wire = Vec::with_capacity(text.len() + text.len() / 64 + 16);
    for line in text.split_inclusive(|&octet| octet == b'\n') {
        if line.starts_with(b".") {
            wire.push(b'.');
        }
        wire.extend_from_slice(line);
    }
    wire
}
