//! smap receives mail: one process, one session, no privilege.
//!
//! [`session`] is the protocol, pure; [`server`] carries its actions out, at the `pace` that a client must keep;
//! [`judge`] has the policy's answers to what it asks, and [`lookup`] those that no table has. [`startup`] is what comes before, and [`listen`] the listener that forks a process for each client.

mod handover;
pub mod judge;
pub mod listen;
pub mod lookup;
pub mod one;
mod pace;
pub mod replies;
pub mod server;
pub mod session;
pub mod startup;
pub mod stream;
