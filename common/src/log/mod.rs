//! What the programs say, and how it reaches the log.
//!
//! Every event is a variant of [`Event`]; every value that somebody else chose goes through one escape, so that
//! nothing that a client or a server sends can forge a line or a field. One event is one line of less than
//! 2 KB; a list of recipients that is longer continues on lines with the same id.

use std::fmt::{Display, Write as _};
use std::time::Duration;

use log::Level;

use crate::address::{Address, ReversePath};
use crate::confine::Missing;
use crate::smtp::command::HeloName;
use crate::spool::QueueId;
use crate::status::Status;

mod backend;
mod escape;
mod outcome;
mod parties;
#[cfg(test)]
mod tests;

pub use self::backend::{Target, init, reopened, settle};
use self::escape::{Escaped, Plain, Quoted};
pub use self::parties::{Host, HostName, Tls};

/// Longest line that goes into the log, in octets.
const MAX_LINE: usize = 2000;
/// Where a list of recipients is broken.
const MAX_LIST: usize = 1200;

const _: () = assert!(MAX_LIST < MAX_LINE);

/// Something that happened.
pub enum Event<'a> {
    /// A client is there.
    Connect {
        /// Who.
        host: Host<'a>,
        /// The session.
        id: QueueId,
        /// Walls that this process does not have.
        missing: &'a [Missing],
        /// The rule that let it in.
        rule: &'a str,
    },
    /// A message is in the spool.
    Accepted {
        /// The message.
        id: QueueId,
        /// From where.
        host: Host<'a>,
        /// Octets of its body.
        bytes: u64,
        /// How the client greeted.
        helo: Option<&'a HeloName>,
        /// Its sender.
        from: &'a ReversePath,
        /// Its recipients, each with the rule that let him in.
        to: Vec<(&'a Address, &'a str)>,
    },
    /// A client is told yes, and what it sends is thrown away.
    Discarded {
        /// The message, or the session of which everything is.
        id: QueueId,
        /// Who.
        host: Host<'a>,
        /// What it said.
        command: &'a str,
        /// The rule.
        rule: &'a str,
        /// The same at length.
        reason: &'a str,
    },
    /// A client was told no.
    Refused {
        /// The session.
        id: QueueId,
        /// Who.
        host: Host<'a>,
        /// What it said.
        command: &'a str,
        /// What we said.
        reply: &'a str,
        /// The rule.
        rule: &'a str,
        /// The same at length, or why.
        reason: &'a str,
    },
    /// Another table would have had another answer.
    Shadow {
        /// The session.
        id: QueueId,
        /// Who.
        host: Host<'a>,
        /// What it said.
        command: &'a str,
        /// What it was told, and the rule.
        said: (&'a str, &'a str),
        /// What the other table would have told it, and the rule.
        other: (&'a str, &'a str),
    },
    /// A message could not be stored.
    NotStored {
        /// The message.
        id: QueueId,
        /// Why.
        cause: &'a dyn Display,
    },
    /// A session is over.
    Exiting {
        /// Who.
        host: Host<'a>,
        /// Octets of all bodies that were accepted.
        bytes: u64,
        /// Messages that were accepted.
        messages: u32,
        /// Why, if not by QUIT.
        why: &'a str,
    },
    /// An attempt to deliver to one recipient has ended.
    Delivery {
        /// The message.
        id: QueueId,
        /// The recipient, in angle brackets where it is an address.
        to: &'a dyn Display,
        /// In whose place he stands.
        original: Option<&'a Address>,
        /// The kind of transport.
        transport: &'a str,
        /// The rule that named it; empty where none did.
        rule: &'a str,
        /// Whom it was given to; empty where there was nobody.
        relay: &'a str,
        /// What the connection to it was encrypted with.
        tls: Option<Tls<'a>>,
        /// Since the message arrived.
        delay: Duration,
        /// `sent`, `deferred` or `failed`.
        status: &'a str,
        /// RFC 3463.
        dsn: Status,
        /// What the other side said, or we say of it.
        reply: &'a str,
    },
    /// A recipient stands for others.
    Expanded {
        /// The message.
        id: QueueId,
        /// The recipient.
        to: &'a Address,
        /// For so many.
        count: usize,
        /// The row that says so.
        rule: &'a str,
    },
    /// A notification was made.
    Notified {
        /// The message it is about.
        id: QueueId,
        /// The notification.
        notification: QueueId,
        /// Who gets it.
        to: &'a Address,
    },
    /// A message has left the queue.
    Removed {
        /// The message.
        id: QueueId,
    },
    /// An operator gave an order.
    Ordered {
        /// The message it is about.
        id: QueueId,
        /// What.
        order: &'a str,
        /// The user who gave it.
        by: u32,
        /// What the sender is told, where the operator said that.
        text: &'a str,
    },
    /// A next host was asked for a recipient.
    CallOut {
        /// The recipient.
        to: &'a Address,
        /// Who was asked; empty where there was nobody.
        relay: &'a str,
        /// `exists`, `unknown` or `failed`.
        status: &'a str,
        /// What the other side said, or we say of it.
        reply: &'a str,
    },
    /// A file was set aside.
    Poison {
        /// Its name.
        name: &'a str,
        /// Why.
        reason: &'a dyn Display,
    },
    /// A program begins, ends, or reads its table again.
    Said {
        /// What it says of itself.
        text: &'a str,
    },
    /// Something that the administrator should know.
    Warning {
        /// What.
        text: &'a dyn Display,
    },
    /// Something that the administrator must mend.
    Error {
        /// What.
        text: &'a dyn Display,
    },
}

impl Event<'_> {
    /// Writes the event to the log.
    pub fn log(&self) {
        let level = match self {
            Self::Error { .. } => Level::Error,
            Self::Warning { .. } | Self::Poison { .. } | Self::NotStored { .. } => Level::Warn,
            Self::Connect { .. }
            | Self::Accepted { .. }
            | Self::Refused { .. }
            | Self::Discarded { .. }
            | Self::Shadow { .. }
            | Self::Exiting { .. }
            | Self::Delivery { .. }
            | Self::Expanded { .. }
            | Self::Notified { .. }
            | Self::Removed { .. }
            | Self::Ordered { .. }
            | Self::CallOut { .. }
            | Self::Said { .. } => Level::Info,
        };
        self.lines(|line| log::log!(level, "{line}"));
    }

    /// Gives each line of the event to `each`.
    fn lines(&self, mut each: impl FnMut(&str)) {
        let Self::Accepted { id, host, bytes, helo, from, to } = self else { return each(&self.line()) };
        let helo = helo.map(|helo| format!(" helo={}", Escaped(helo))).unwrap_or_default();
        let name = host.without_name();
        let mut line = format!("id={id} host={host}{name} bytes={bytes}{helo} from={} to=", Escaped(from));
        let mut rules = Vec::new();
        for (address, rule) in to {
            if line.len() + rules.iter().map(|rule: &&str| rule.len()).sum::<usize>() > MAX_LIST {
                each(&with_rules(&line, &rules));
                line = format!("id={id} to=");
                rules.clear();
            }
            let separator = if rules.is_empty() { "" } else { "," };
            let _infallible = write!(line, "{separator}<{}>", Escaped(address));
            rules.push(*rule);
        }
        each(&with_rules(&line, &rules));
    }

    fn line(&self) -> String {
        match self {
            Self::Accepted { id, .. } => format!("id={id}"),
            Self::Connect { host, id, missing, rule } => {
                let missing: String = missing.iter().map(|wall| format!(" no={}", wall.word())).collect();
                format!("connect host={host}{} id={id}{missing} rule={}", host.without_name(), Escaped(rule))
            }
            Self::Refused { .. } | Self::Discarded { .. } | Self::Shadow { .. } => self.verdict(),
            Self::NotStored { id, cause } => format!("id={id} status=refused reason={}", Quoted(cause)),
            Self::Exiting { host, bytes, messages, why } => {
                let why = if why.is_empty() { String::new() } else { format!(" reason={}", Quoted(why)) };
                format!("exiting host={host} bytes={bytes} messages={messages}{why}")
            }
            Self::Delivery { .. } | Self::CallOut { .. } => self.outcome(),
            Self::Expanded { id, to, count, rule } => {
                format!("id={id} to=<{}> expanded={count} rule={}", Escaped(to), Escaped(rule))
            }
            Self::Notified { id, notification, to } => {
                format!("id={id} notification={notification} to=<{}>", Escaped(to))
            }
            Self::Removed { id } => format!("id={id} removed"),
            Self::Ordered { id, order, by, text } => {
                let text = if text.is_empty() { String::new() } else { format!(" text={}", Quoted(text)) };
                format!("order={order} id={id} by={by}{text}")
            }
            Self::Poison { name, reason } => {
                format!("bad file={} reason={}", Escaped(name), Quoted(reason))
            }
            Self::Said { text } => Plain(text).to_string(),
            Self::Warning { text } => format!("warning: {}", Plain(text)),
            Self::Error { text } => format!("error: {}", Plain(text)),
        }
    }

    /// The line of a verdict that is no plain yes.
    fn verdict(&self) -> String {
        match self {
            Self::Refused { id, host, command, reply, rule, reason } => format!(
                "refused host={host}{} id={id} command={} reply={} rule={} reason={}",
                host.without_name(),
                Quoted(command),
                Quoted(reply),
                Escaped(rule),
                Quoted(reason)
            ),
            Self::Discarded { id, host, command, rule, reason } => format!(
                "discarded host={host}{} id={id} command={} rule={} reason={}",
                host.without_name(),
                Quoted(command),
                Escaped(rule),
                Quoted(reason)
            ),
            Self::Shadow { id, host, command, said, other } => format!(
                "shadow host={host}{} id={id} command={} verdict={} rule={} shadow={} shadow-rule={}",
                host.without_name(),
                Quoted(command),
                Escaped(said.0),
                Escaped(said.1),
                Escaped(other.0),
                Escaped(other.1)
            ),
            _ => String::new(),
        }
    }
}

/// A line about recipients with their rules: one rule where it is that of them all.
fn with_rules(line: &str, rules: &[&str]) -> String {
    let is_one = rules.iter().all(|rule| Some(rule) == rules.first());
    let shown = rules.iter().take(if is_one { 1 } else { rules.len() });
    let shown: Vec<String> = shown.map(|rule| Escaped(rule).to_string()).collect();
    format!("{line} rule={}", shown.join(","))
}
