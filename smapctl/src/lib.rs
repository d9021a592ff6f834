//! smapctl, the operator's hand: it looks at the table and the spool, and changes neither. Who wants something changed
//! has it done by the smapd that runs. What it writes is what it makes of tables, beside them.

pub mod arguments;
pub mod check;
pub mod compile;
pub mod demo;
pub mod error;
pub mod explain;
pub mod import;
mod log;
pub mod queue;
pub mod replay;
pub mod security;
mod show;
mod spool;
pub mod trace;
