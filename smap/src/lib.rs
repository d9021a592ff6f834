//! smap receives mail: one process, one session, no privilege.
//!
//! [`session`] is the protocol, pure; [`server`] carries its actions out, at the `pace` that a client must keep;
//! [`startup`] is what comes before, and [`listen`] the listener that forks a process for each client.

mod handover;
pub mod listen;
pub mod names;
pub mod one;
mod pace;
pub mod replies;
pub mod server;
pub mod session;
pub mod startup;
pub mod stream;
