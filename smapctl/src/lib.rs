//! smapctl, the operator's hand: it looks at the table and the spool, and changes neither. Who wants something changed
//! has it done by the smapd that runs.

pub mod arguments;
pub mod check;
pub mod demo;
pub mod error;
pub mod explain;
pub mod queue;
pub mod security;
mod show;
mod spool;
pub mod trace;
