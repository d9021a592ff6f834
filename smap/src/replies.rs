//! Every sentence that smap says to a client.
//!
//! Enhanced codes (RFC 3463, RFC 2034) are sent after EHLO and not after HELO. Nothing of a client's input stands
//! in a reply but addresses, which hold no dangerous octet by their type.

use std::borrow::Cow;
use std::fmt::Write as _;

use smap_common::address::{Address, AddressError, ReversePath};
use smap_common::smtp::command::{CommandError, PathKind};
use smap_common::smtp::data::LineFault;
use smap_common::spool::{Committed, StoreError};
use smap_common::status::Status;

use crate::session::{BodyFault, Discarded, Refusal};

/// One reply.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Reply {
    code: u16,
    status: Option<Status>,
    text: Cow<'static, str>,
    more: Vec<Cow<'static, str>>,
}

impl Reply {
    fn new(code: u16, status: Status, text: impl Into<Cow<'static, str>>) -> Self {
        Self { code, status: Some(status), text: text.into(), more: Vec::new() }
    }

    fn plain(code: u16, text: impl Into<Cow<'static, str>>) -> Self {
        Self { code, status: None, text: text.into(), more: Vec::new() }
    }

    /// Whether the client made a mistake: 5yz.
    pub(crate) fn is_error(&self) -> bool {
        self.code >= 500
    }

    /// Appends the reply as it goes over the wire.
    pub(crate) fn write(&self, enhanced: bool, output: &mut Vec<u8>) {
        output.extend_from_slice(self.to_wire(enhanced).as_bytes());
    }

    /// The reply as it goes over the wire.
    #[must_use]
    pub fn to_wire(&self, enhanced: bool) -> String {
        let mut wire = String::new();
        let lines = std::iter::once(&self.text).chain(&self.more);
        for (number, line) in lines.enumerate() {
            let separator = if number < self.more.len() { '-' } else { ' ' };
            let _infallible = match self.status.filter(|_| enhanced) {
                Some(status) => write!(wire, "{}{separator}{status} {line}\r\n", self.code),
                None => write!(wire, "{}{separator}{line}\r\n", self.code),
            };
        }
        wire
    }
}

pub(crate) fn ready(host: &str) -> Reply {
    Reply::plain(220, format!("{host} ESMTP/smap Ready."))
}

pub(crate) fn hello(host: &str) -> Reply {
    Reply::plain(250, format!("({host}) pleased to meet you."))
}

/// RFC 5321 section 4.1.1.1 wants our name alone at the head of the reply to EHLO.
pub(crate) fn extended_hello(host: &str, max_octets: u64) -> Reply {
    let size = format!("SIZE {max_octets}");
    let keywords = ["PIPELINING", &size, "8BITMIME", "SMTPUTF8", "ENHANCEDSTATUSCODES", "DSN", "CHUNKING"];
    Reply {
        more: keywords.iter().map(|keyword| Cow::Owned((*keyword).to_owned())).collect(),
        ..Reply::plain(250, format!("{host} pleased to meet you."))
    }
}

pub(crate) fn sender_ok(sender: &ReversePath) -> Reply {
    Reply::new(250, Status::success(1, 0), format!("{sender}... Sender Ok"))
}

pub(crate) fn recipient_ok(recipient: &Address) -> Reply {
    Reply::new(250, Status::success(1, 5), format!("<{recipient}> OK"))
}

pub(crate) fn enter_mail() -> Reply {
    Reply::plain(354, "Enter mail, end with \".\" on a line by itself")
}

pub(crate) fn chunk_ok(octets: u64) -> Reply {
    Reply::new(250, Status::success(0, 0), format!("{octets} octets received"))
}

/// The one reply that takes a message over: it cannot be said without the proof that the message is safe.
pub(crate) fn accepted(proof: &Committed) -> Reply {
    Reply::new(250, Status::success(0, 0), format!("Mail accepted {}", proof.id()))
}

/// The same of a message that the table has thrown away: the client is not told.
pub(crate) fn discarded(discarded: Discarded) -> Reply {
    Reply::new(250, Status::success(0, 0), format!("Mail accepted {}", discarded.id()))
}

pub(crate) fn reset() -> Reply {
    Reply::new(250, Status::success(0, 0), "Reset state")
}

pub(crate) fn noop() -> Reply {
    Reply::new(250, Status::success(0, 0), "OK")
}

pub(crate) fn cannot_verify() -> Reply {
    Reply::new(252, Status::success(0, 0), "Cannot VRFY user; send some mail, we will try our best")
}

pub(crate) fn help() -> Reply {
    Reply::new(214, Status::success(0, 0), "HELO EHLO MAIL RCPT DATA BDAT RSET NOOP VRFY QUIT")
}

pub(crate) fn goodbye() -> Reply {
    Reply::new(221, Status::success(0, 0), "Closing connection")
}

pub(crate) fn timed_out(host: &str) -> Reply {
    Reply::new(421, Status::transient(4, 2), format!("{host} Timeout, closing connection"))
}

pub(crate) fn session_too_long(host: &str) -> Reply {
    Reply::new(421, Status::transient(4, 2), format!("{host} Session too long, closing connection"))
}

pub(crate) fn too_many_errors(host: &str) -> Reply {
    Reply::new(421, Status::transient(7, 0), format!("{host} Too many errors, closing connection"))
}

pub(crate) fn too_many_idle_commands(host: &str) -> Reply {
    Reply::new(
        421,
        Status::transient(7, 0),
        format!("{host} Too many commands without mail, closing connection"),
    )
}

pub(crate) fn too_many_messages(host: &str) -> Reply {
    Reply::new(421, Status::transient(7, 0), format!("{host} Too many messages in one session"))
}

pub(crate) fn too_many_recipients() -> Reply {
    Reply::new(452, Status::transient(5, 3), "Too many recipients")
}

pub(crate) fn far_too_many_recipients(host: &str) -> Reply {
    Reply::new(421, Status::transient(7, 0), format!("{host} Far too many recipients, closing connection"))
}

/// Said by the listener, and by a session that cannot begin: no byte of the client has been read.
#[must_use]
pub fn busy(host: &str) -> Reply {
    Reply::new(421, Status::transient(3, 2), format!("{host} Too many connections, try again later"))
}

/// Said by the listener to a host that has too many sessions already.
#[must_use]
pub fn busy_for_you(host: &str) -> Reply {
    Reply::new(421, Status::transient(7, 0), format!("{host} Too many connections from your address"))
}

/// Said when the table or the spool is broken, before any session begins.
#[must_use]
pub fn misconfigured(host: &str) -> Reply {
    Reply::new(421, Status::transient(3, 5), format!("{host} System not configured, try again later"))
}

/// Said when nobody can say whether a client may connect, because its name cannot be looked up.
#[must_use]
pub fn no_service_without_name(host: &str) -> Reply {
    Reply::new(
        421,
        Status::transient(4, 3),
        format!("{host} Your name cannot be looked up now, try again later"),
    )
}

pub(crate) fn bad_sequence(text: &'static str) -> Reply {
    Reply::new(503, Status::permanent(5, 1), text)
}

pub(crate) fn no_valid_recipients() -> Reply {
    Reply::new(554, Status::permanent(5, 1), "No valid recipients")
}

pub(crate) fn line_too_long() -> Reply {
    Reply::new(500, Status::permanent(5, 2), "Line too long")
}

pub(crate) fn endless_line(host: &str) -> Reply {
    Reply::new(421, Status::transient(7, 0), format!("{host} Line far too long, closing connection"))
}

pub(crate) fn chunk_too_big(host: &str) -> Reply {
    Reply::new(
        421,
        Status::transient(7, 0),
        format!("{host} Chunk too large to read over, closing connection"),
    )
}

pub(crate) fn bare_line_end() -> Reply {
    Reply::new(500, Status::permanent(5, 2), "Lines end in CRLF")
}

pub(crate) fn message_too_big() -> Reply {
    Reply::new(552, Status::permanent(3, 4), "Message exceeds fixed maximum message size")
}

pub(crate) fn needs_smtputf8() -> Reply {
    Reply::new(553, Status::permanent(6, 7), "Non-ASCII address needs SMTPUTF8")
}

/// The reply to a line that is no command, or not one of ours.
pub(crate) fn command_error(error: CommandError) -> Reply {
    match error {
        CommandError::BadOctet => Reply::new(500, Status::permanent(5, 2), "Bad character in command"),
        CommandError::Unknown => Reply::new(500, Status::permanent(5, 2), "Command unrecognized"),
        CommandError::NotImplemented => Reply::new(502, Status::permanent(5, 1), "Command not implemented"),
        CommandError::WrongProtocol => {
            Reply::new(421, Status::transient(7, 0), "This is SMTP, closing connection")
        }
        CommandError::Syntax(syntax) => Reply::new(501, Status::permanent(5, 4), format!("Syntax: {syntax}")),
        CommandError::Path(kind, error) => bad_path(kind, error),
        CommandError::UnknownParameter => Reply::new(555, Status::permanent(5, 4), "Unknown parameter"),
        CommandError::BadParameter => Reply::new(501, Status::permanent(5, 4), "Bad parameter"),
    }
}

fn bad_path(kind: PathKind, error: AddressError) -> Reply {
    let status = match kind {
        PathKind::Sender => Status::permanent(1, 7),
        PathKind::Recipient => Status::permanent(1, 3),
    };
    Reply::new(501, status, format!("Bad address: {error}"))
}

/// The reply to a question that was answered with no.
pub(crate) fn refused(refusal: &Refusal) -> Reply {
    match refusal {
        Refusal::HostDenied => Reply::new(554, Status::permanent(7, 1), "No SMTP service for you here"),
        Refusal::RelayDenied => Reply::new(550, Status::permanent(7, 1), "Relaying denied"),
        Refusal::NameFailed => {
            Reply::new(451, Status::transient(4, 3), "Your name cannot be looked up now, try again later")
        }
        Refusal::Said(said) => Reply::new(said.code, said.status, said.text.clone()),
        Refusal::Unavailable => Reply::new(451, Status::transient(3, 0), "Try again later"),
    }
}

/// The same before the greeting: there 451 would be followed by commands.
pub(crate) fn refused_at_connect(refusal: &Refusal, host: &str) -> Reply {
    match refusal {
        Refusal::NameFailed => no_service_without_name(host),
        // RFC 5321 section 3.1 knows 554 there; 4yz would be followed by commands.
        Refusal::Said(said) if said.code < 500 => {
            Reply::new(421, said.status, format!("{host} {}", said.text))
        }
        Refusal::Said(said) => Reply::new(554, said.status, said.text.clone()),
        Refusal::HostDenied | Refusal::RelayDenied | Refusal::Unavailable => refused(refusal),
    }
}

/// The reply to a message that may not be taken as it is.
pub(crate) fn body_refused(fault: BodyFault) -> Reply {
    match fault {
        BodyFault::Lines(LineFault::BareCr) => {
            Reply::new(550, Status::permanent(5, 2), "Bare <CR> in message")
        }
        BodyFault::Lines(LineFault::BareLf) => {
            Reply::new(550, Status::permanent(5, 2), "Bare <LF> in message")
        }
        BodyFault::Lines(LineFault::Nul) => Reply::new(554, Status::permanent(6, 0), "NUL in message"),
        BodyFault::TooBig => message_too_big(),
        BodyFault::Loop => Reply::new(554, Status::permanent(4, 6), "Too many Received: fields, mail loop"),
    }
}

/// The reply to a message that could not be stored; 421 ends the session.
pub(crate) fn not_stored(error: &StoreError, host: &str) -> Reply {
    match error {
        StoreError::Full(_) => Reply::new(452, Status::transient(3, 1), "Out of space, try again later"),
        StoreError::Descriptors(_) => {
            Reply::new(421, Status::transient(3, 2), format!("{host} Out of resources, try again later"))
        }
        StoreError::Failed(_) => Reply::new(451, Status::transient(3, 0), "Local error, try again later"),
    }
}

impl Reply {
    /// Whether the connection is closed after it.
    pub(crate) fn closes(&self) -> bool {
        matches!(self.code, 221 | 421)
    }

    /// What the log says of that; nothing after a QUIT.
    pub(crate) fn why_it_closes(&self) -> &'static str {
        if self.code == 421 { "refused to go on" } else { "" }
    }
}
