//! What the targets share: how an input is cut, what may stand in a text, and spools.

pub mod cuts;
pub mod memory;
pub mod scratch;
pub mod text;
