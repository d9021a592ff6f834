//! The command line.

use std::net::{AddrParseError, IpAddr};
use std::path::PathBuf;
use std::time::Duration;

use clap::{Args, Parser, Subcommand};
use netperm::{Client, ClientName};
use smap_common::address::{Address, AddressError, ReversePath, parse_path};
use smap_common::lookup::BadName;
use smap_common::smtp::command::HeloName;
use smap_common::spool::{BadQueueId, QueueId};
use smapd::control::MAX_TEXT;

use crate::import::Kind;

/// Looks at what smap and smapd are told and at what they hold.
#[derive(Debug, Parser)]
#[command(name = "smapctl", version, max_term_width = 100)]
pub struct Arguments {
    /// The netperm-table (/etc/smap/netperm-table, then /usr/local/etc/netperm-table)
    #[arg(long, value_name = "FILE", global = true)]
    pub config: Option<PathBuf>,
    /// What to do.
    #[command(subcommand)]
    pub command: Command,
}

/// What to do.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Read the table, look at the spool, and say what is wrong
    Check {
        /// Confine a process as each program does, and say what it has left
        #[arg(long)]
        security: bool,
    },
    /// Make FILE.cdb of each file that the table names, which is quick to open however many rows it has
    Compile {
        /// The files (all that the table names)
        #[arg(value_name = "FILE")]
        files: Vec<PathBuf>,
    },
    /// Say what becomes of a message, and which line of the table decides it
    Explain(Question),
    /// Look at the messages in the spool, and say what becomes of them
    #[command(subcommand)]
    Queue(Queue),
    /// Make the decisions of the log again by this table, and say which come out otherwise
    Replay {
        /// A log, the older one first (/var/log/mail.log.1 and /var/log/mail.log; without them the journal)
        #[arg(long, value_name = "FILE")]
        log: Vec<PathBuf>,
        /// Show every decision that changes, not a few of each kind
        #[arg(long)]
        all: bool,
        /// Write JSON, with all of them
        #[arg(long)]
        json: bool,
    },
    /// Say all that the log and the spool know of a message
    Trace {
        /// Its id
        #[arg(value_name = "ID", value_parser = id)]
        id: QueueId,
        /// A log, the older one first (/var/log/mail.log.1 and /var/log/mail.log; without them the journal)
        #[arg(long, value_name = "FILE")]
        log: Vec<PathBuf>,
        /// Write JSON
        #[arg(long)]
        json: bool,
    },
    /// Write what a sendmail.mc or Postfix's main.cf says as a netperm-table, on standard output
    Import {
        /// That file
        #[arg(value_name = "FILE")]
        file: PathBuf,
        /// What it is, where its name does not say
        #[arg(long, value_enum)]
        kind: Option<Kind>,
    },
    /// Try everything in a folder of its own: needs no root and leaves nothing behind
    Demo(Wishes),
}

/// A message that might come.
#[derive(Debug, Args)]
pub struct Question {
    /// The address of the client; before it, as in the log, the name that forward and reverse DNS agree on, or
    /// unknown
    #[arg(long, value_name = "[NAME/]ADDR", value_parser = client)]
    pub client: Client,
    /// As if that name could not be looked up
    #[arg(long)]
    pub dns_fails: bool,
    /// The sender; without it, the null sender <>
    #[arg(long, value_name = "ADDRESS", value_parser = sender, allow_hyphen_values = true)]
    pub from: Option<ReversePath>,
    /// How the client greets
    #[arg(long, value_name = "NAME")]
    pub helo: Option<HeloName>,
    /// What the connection is encrypted with (no rule asks for it yet)
    #[arg(long, value_name = "VERSION")]
    pub tls: Option<String>,
    /// Who the client has proved to be (no rule asks for it yet)
    #[arg(long, value_name = "NAME")]
    pub auth: Option<String>,
    /// The recipient
    #[arg(long, value_name = "ADDRESS", value_parser = recipient, allow_hyphen_values = true)]
    pub to: Address,
    /// Write JSON
    #[arg(long)]
    pub json: bool,
}

/// The messages in the spool.
#[derive(Debug, Subcommand)]
pub enum Queue {
    /// List them; works without a running smapd
    List {
        /// Which of them
        #[command(flatten)]
        filter: Filter,
        /// Write a JSON array
        #[arg(long)]
        json: bool,
    },
    /// Show one, with all that happened to it; works without a running smapd
    Show {
        /// Its id
        #[arg(value_name = "ID", value_parser = id)]
        id: QueueId,
        /// Show its text too, not only its header
        #[arg(long)]
        body: bool,
        /// Write JSON
        #[arg(long)]
        json: bool,
    },
    /// Keep them, not tried and not given up, until they are released
    Hold(Orders),
    /// Have those that are held tried again
    Release(Orders),
    /// Try them now; with --domain, when its server is back
    Retry(Orders),
    /// Remove them: nobody is told
    Delete(These),
    /// Return them to their senders
    Bounce {
        /// Which
        #[command(flatten)]
        these: These,
        /// What the sender is told
        #[arg(long, value_name = "WORDS", default_value = "", value_parser = words)]
        text: String,
    },
}

/// Which messages to list; those that are all of it.
#[derive(Debug, Default, Args)]
pub struct Filter {
    /// Whose sender is like this; * stands for any text, and <> is the null sender
    #[arg(long, value_name = "PATTERN")]
    pub sender: Option<String>,
    /// With a recipient like this who does not have it yet
    #[arg(long, value_name = "PATTERN")]
    pub recipient: Option<String>,
    /// With a recipient in this domain who does not have it yet
    #[arg(long, value_name = "DOMAIN")]
    pub domain: Option<String>,
    /// That came longer ago than this, as 2h or 30m
    #[arg(long, value_name = "TIME", value_parser = netperm::units::duration)]
    pub older: Option<Duration>,
    /// That are held
    #[arg(long)]
    pub held: bool,
}

/// Which messages an order is about.
#[derive(Debug, Args)]
#[group(required = true, multiple = false)]
pub struct Which {
    /// Their ids
    #[arg(value_name = "ID", value_parser = id)]
    pub ids: Vec<QueueId>,
    /// All with a recipient in this domain who does not have it yet
    #[arg(long, value_name = "DOMAIN")]
    pub domain: Option<String>,
    /// All
    #[arg(long)]
    pub all: bool,
}

/// An order about some, or all.
#[derive(Debug, Args)]
pub struct Orders {
    /// Which
    #[command(flatten)]
    pub which: Which,
    /// Write a JSON array
    #[arg(long)]
    pub json: bool,
}

/// An order about messages that are named.
#[derive(Debug, Args)]
pub struct These {
    /// Their ids
    #[arg(value_name = "ID", value_parser = id, required = true)]
    pub ids: Vec<QueueId>,
    /// Write a JSON array
    #[arg(long)]
    pub json: bool,
}

/// How to show the demo.
#[derive(Debug, Args)]
pub struct Wishes {
    /// The port on 127.0.0.1; another is taken if it is not free
    #[arg(long, value_name = "N", default_value_t = 2525)]
    pub port: u16,
    /// End after the message was delivered
    #[arg(long)]
    pub once: bool,
}

/// Without a name it has not been asked for.
fn client(text: &str) -> Result<Client, String> {
    let (name, address) = text.rsplit_once('/').map_or((None, text), |(name, address)| (Some(name), address));
    let address: IpAddr = address.parse().map_err(|error: AddrParseError| error.to_string())?;
    let name = match name {
        None => ClientName::NotAsked,
        Some("unknown") => ClientName::Unknown,
        Some(name) => ClientName::Known(vec![name.parse().map_err(|error: BadName| error.to_string())?]),
    };
    Ok(Client { address: Some(address.to_canonical()), name })
}

fn id(text: &str) -> Result<QueueId, BadQueueId> {
    text.parse()
}

/// On one line, and no longer than a line of a notification takes.
fn words(text: &str) -> Result<String, String> {
    match text.len() {
        ..=MAX_TEXT if !text.contains(char::is_control) => Ok(text.to_owned()),
        ..=MAX_TEXT => Err("it is to be one line".to_owned()),
        _ => Err(format!("it is longer than {MAX_TEXT} octets")),
    }
}

/// With or without angle brackets.
fn sender(text: &str) -> Result<ReversePath, AddressError> {
    match text {
        "" | "<>" => Ok(ReversePath::Null),
        _ => recipient(text).map(ReversePath::Mailbox),
    }
}

/// A path as RCPT has it, or an address without its angle brackets.
fn recipient(text: &str) -> Result<Address, AddressError> {
    match parse_path(text.as_bytes()) {
        Ok((address, b"")) => Ok(address),
        _ => text.strip_prefix('<').and_then(|rest| rest.strip_suffix('>')).unwrap_or(text).parse(),
    }
}
