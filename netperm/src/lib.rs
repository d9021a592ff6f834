//! Everything that an administrator says, and what follows from it.
//!
//! [`load`] reads a netperm-table, [`table`](Table) turns its lines, in either syntax, into the structs of
//! [`schema`], and [`policy`] says what they mean for a client or a recipient, with the line that decided.
//! Nothing here speaks to the network.

#[cfg(test)]
extern crate self as netperm;

pub mod access;
pub mod aliases;
pub mod callout;
mod check;
#[cfg(test)]
#[path = "../tests/it/compiled.rs"]
mod compiled;
pub mod detail;
pub mod domains;
pub mod exchangers;
pub mod expand;
mod fault;
pub mod hosts;
pub mod load;
pub mod mailertable;
pub mod masquerade;
pub mod names;
mod nearest;
pub mod paths;
mod place;
pub mod policy;
pub mod recipients;
pub mod reply;
pub mod schema;
mod show;
pub mod site;
mod table;
pub mod tables;
pub mod transport;
pub mod units;
pub mod virtusertable;

pub use fault::{Fault, Faults, Note};
pub use hosts::{Client, ClientName};
pub use place::{Located, Place};
pub use reply::Reply;
pub use schema::{Lookup, Smap, Smapd};
pub use table::{Content, Found, Reader, Syntax, Table};
pub use transport::Transport;
