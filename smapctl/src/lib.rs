//! smapctl, the operator's hand: it looks at the table and the spool, and changes neither.

pub mod arguments;
pub mod check;
pub mod demo;
pub mod error;
pub mod explain;
pub mod queue;
pub mod security;
mod show;
