//! What is delivered: the message as it was received, under the trace that we add (RFC 5321 section 4.4).
//!
//! For a host that does not take it so a [`Recoder`] makes it fit, where that changes nothing of what it says.

use std::io::{self, Write};
use std::sync::{Arc, LazyLock, OnceLock};

use jiff::Zoned;
use jiff::tz::TimeZone;
use smap_common::address::{Address, Domain, ReversePath};
use smap_common::clock::Timestamp;
use smap_common::envelope::{Envelope, Greeting};
use smap_common::spool::Message;

use self::stamps::Stamps;

mod edits;
mod encoder;
mod fields;
mod lines;
mod needs;
mod parts;
mod reader;
mod recode;
mod stamps;
#[cfg(test)]
mod tests;

pub use edits::Edits;
pub use needs::{Needs, Plan, Survey};
pub use parts::Obstacle;
pub use reader::Reader;
pub use recode::Recoder;

/// Octets of a header that are read at once: most are shorter.
const HEADER_CHUNK: usize = 16 * 1024;

/// A message for one delivery.
#[derive(Debug, Clone)]
pub struct Content {
    /// Header fields of ours, CRLF lines, that go before everything else.
    trace: String,
    /// Whom the trace names as the one that it was delivered to.
    stamped: Option<Address>,
    /// Who sent it, as its mailbox is told.
    sender: ReversePath,
    message: Arc<Message>,
    edits: Arc<Edits>,
    needs: Known,
}

/// What a message needs, once somebody had to know it: all its deliveries share it.
pub type Known = Arc<OnceLock<Needs>>;

impl Content {
    /// For another mail system: under a `Received:` field.
    #[must_use]
    pub fn relayed(message: &Arc<Message>, hostname: &Domain) -> Self {
        Self::new(received(&message.envelope, hostname), message)
    }

    fn new(trace: String, message: &Arc<Message>) -> Self {
        let sender = message.envelope.mail.sender.clone();
        let (message, needs) = (Arc::clone(message), Known::default());
        Self { trace, stamped: None, sender, message, edits: Arc::default(), needs }
    }

    /// The same, with what other deliveries of the message know of it.
    #[must_use]
    pub fn knowing(self, needs: &Known) -> Self {
        Self { needs: Arc::clone(needs), ..self }
    }

    /// The same with what of its header is given otherwise.
    #[must_use]
    pub fn edited(self, edits: &Arc<Edits>) -> Self {
        Self { edits: Arc::clone(edits), ..self }
    }

    /// For a mailbox: under `Return-Path:` (RFC 5321 section 4.4) and `Delivered-To:` too.
    #[must_use]
    pub fn delivered(message: &Arc<Message>, hostname: &Domain, sender: ReversePath, to: &Address) -> Self {
        let received = received(&message.envelope, hostname);
        let trace = format!("Return-Path: {sender}\r\nDelivered-To: {to}\r\n{received}");
        Self { stamped: Some(to.clone()), sender, ..Self::new(trace, message) }
    }

    /// Who sent it, as its mailbox is told.
    #[must_use]
    pub fn sender(&self) -> &ReversePath {
        &self.sender
    }

    /// The header fields of ours, CRLF lines.
    #[must_use]
    pub fn trace(&self) -> &str {
        &self.trace
    }

    /// To whom this message was delivered before and has come back from: whom its trace would name once more.
    /// Only the header is read for it.
    ///
    /// # Errors
    /// The spool cannot be read, or its file became shorter.
    pub fn comes_back_from(&self) -> io::Result<Option<&Address>> {
        let Some(to) = &self.stamped else { return Ok(None) };
        let body = &self.message.body;
        let mut buffer = vec![0; HEADER_CHUNK.min(usize::try_from(body.length()).unwrap_or(HEADER_CHUNK))];
        let (mut stamps, mut offset) = (Stamps::of(to), 0);
        while offset < body.length() {
            let read = body.read_at(offset, &mut buffer)?;
            if read == 0 {
                return Err(io::ErrorKind::UnexpectedEof.into());
            }
            if !stamps.take(buffer.get(..read).unwrap_or_default()) {
                break;
            }
            offset += u64::try_from(read).unwrap_or(u64::MAX);
        }
        Ok(stamps.finish().then_some(to))
    }

    /// The message under them.
    #[must_use]
    pub fn message(&self) -> &Arc<Message> {
        &self.message
    }

    /// Length in octets, with CRLF line ends.
    #[must_use]
    pub fn length(&self) -> u64 {
        let body = self.edits.length(self.message.body.length());
        u64::try_from(self.trace.len()).unwrap_or(u64::MAX).saturating_add(body)
    }

    /// Reads it as a server is given it, from `offset` into `buffer`; 0 at its end.
    ///
    /// # Errors
    /// The spool cannot be read.
    pub fn read_at(&self, offset: u64, buffer: &mut [u8]) -> io::Result<usize> {
        let trace = u64::try_from(self.trace.len()).unwrap_or(u64::MAX);
        match offset.checked_sub(trace) {
            Some(in_body) => self.edits.read_at(&self.message.body, in_body, buffer),
            None => {
                let from = usize::try_from(offset).unwrap_or(usize::MAX);
                let mut rest = self.trace.as_bytes().get(from..).unwrap_or_default();
                let read = io::Read::read(&mut rest, buffer)?;
                let room = buffer.get_mut(read..).unwrap_or_default();
                Ok(read + self.edits.read_at(&self.message.body, 0, room)?)
            }
        }
    }

    /// What it needs of a next host. The message is read for that once, and never for a host that takes everything.
    ///
    /// # Errors
    /// The spool cannot be read.
    pub fn needs(&self) -> io::Result<&Needs> {
        if let Some(needs) = self.needs.get() {
            return Ok(needs);
        }
        let mut survey = Survey::default();
        self.edits.for_each(&self.message.body, |piece| {
            survey.take(piece);
            Ok(())
        })?;
        Ok(self.needs.get_or_init(|| survey.finish()))
    }

    /// Writes it as programs and mailboxes of this system want it: lines end in LF.
    ///
    /// # Errors
    /// The spool cannot be read, or `output` fails.
    pub fn write_local(&self, output: &mut impl Write) -> io::Result<()> {
        output.write_all(self.trace.replace("\r\n", "\n").as_bytes())?;
        let mut held_cr = false;
        self.edits.for_each(&self.message.body, |piece| {
            let mut rest = piece;
            if std::mem::take(&mut held_cr) && !rest.starts_with(b"\n") {
                output.write_all(b"\r")?;
            }
            while let Some(at) = memchr::memchr(b'\r', rest) {
                let (text, from_cr) = rest.split_at_checked(at).unwrap_or((rest, b""));
                output.write_all(text)?;
                match from_cr.get(1) {
                    None => held_cr = true,
                    Some(b'\n') => {}
                    Some(_) => output.write_all(b"\r")?,
                }
                rest = from_cr.get(1..).unwrap_or_default();
            }
            output.write_all(rest)
        })?;
        if held_cr { output.write_all(b"\r") } else { Ok(()) }
    }
}

/// The zone of this machine, read once: a confined process can't read it.
static ZONE: LazyLock<TimeZone> = LazyLock::new(TimeZone::system);

/// Reads the zone of this machine, for all dates from now on.
pub fn read_time_zone() {
    LazyLock::force(&ZONE);
}

/// The time as RFC 5322 section 3.3 writes it, in the zone of this machine.
#[must_use]
pub fn date(at: Timestamp) -> String {
    let micros = i64::try_from(at.micros()).unwrap_or(i64::MAX);
    let instant = jiff::Timestamp::from_microsecond(micros).unwrap_or_default();
    let zoned = Zoned::new(instant, ZONE.clone());
    jiff::fmt::rfc2822::to_string(&zoned).unwrap_or_default()
}

/// `Time-stamp-line` of RFC 5321 section 4.4, folded.
fn received(envelope: &Envelope, hostname: &Domain) -> String {
    let Envelope { id, arrived, origin, mail, recipients } = envelope;
    let from = match (&origin.greeting, origin.client) {
        (None, _) => String::new(),
        (Some(Greeting { name, .. }), None) => format!(" from {name} (local)\r\n\t"),
        (Some(Greeting { name, .. }), Some(client)) => {
            let known = origin.name.as_ref().map_or("unknown", |name| name.as_str());
            format!(" from {name} ({known} [{}])\r\n\t", client.ip())
        }
    };
    let protocol = match &origin.greeting {
        // RFC 6531 section 4.3.
        Some(_) if mail.parameters.smtputf8 => " with UTF8SMTP",
        Some(Greeting { extended: true, .. }) => " with ESMTP",
        Some(Greeting { extended: false, .. }) => " with SMTP",
        None => "",
    };
    let recipient = match recipients.as_slice() {
        [only] => format!("\r\n\tfor <{}>", only.address),
        _ => String::new(),
    };
    let by = if from.is_empty() { " by" } else { "by" };
    format!("Received:{from}{by} {hostname} (smap){protocol} id {id}{recipient};\r\n\t{}\r\n", date(*arrived))
}
