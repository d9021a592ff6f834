//! The command line.

use std::net::IpAddr;
use std::path::PathBuf;

use clap::{Args, Parser, Subcommand};
use smap_common::address::{Address, AddressError, ReversePath};

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
    /// Say what becomes of a message, and which line of the table decides it
    Explain(Question),
    /// Look at the messages in the spool
    #[command(subcommand)]
    Queue(Queue),
    /// Try everything in a folder of its own: needs no root and leaves nothing behind
    Demo(Wishes),
}

/// A message that might come.
#[derive(Debug, Args)]
pub struct Question {
    /// The address of the client
    #[arg(long, value_name = "ADDR")]
    pub client: IpAddr,
    /// The sender; without it, the null sender <>
    #[arg(long, value_name = "ADDRESS", value_parser = sender, allow_hyphen_values = true)]
    pub from: Option<ReversePath>,
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
        /// Write a JSON array
        #[arg(long)]
        json: bool,
    },
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

/// With or without angle brackets.
fn sender(text: &str) -> Result<ReversePath, AddressError> {
    match text {
        "" | "<>" => Ok(ReversePath::Null),
        _ => recipient(text).map(ReversePath::Mailbox),
    }
}

/// With or without angle brackets.
fn recipient(text: &str) -> Result<Address, AddressError> {
    text.strip_prefix('<').and_then(|rest| rest.strip_suffix('>')).unwrap_or(text).parse()
}
