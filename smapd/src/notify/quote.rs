#![deny(clippy::disallowed_methods)]
//! The part of a message that goes back to its sender.

use std::io;

use smap_common::spool::Body;

/// Most of a header that goes back (octets).
pub(super) const MOST_HEADER: usize = 64 * 1024;

/// The part of the message that goes back.
#[derive(Debug)]
pub(super) enum Quote<'a> {
    Header(Vec<u8>),
    Full(&'a Body),
}

impl Quote<'_> {
    pub(super) fn is_ascii(&self) -> io::Result<bool> {
        match self {
            Self::Header(header) => Ok(header.is_ascii()),
            Self::Full(body) => {
                let mut ascii = true;
                body.for_each(|piece| {
                    ascii &= piece.is_ascii();
                    Ok(())
                })?;
                Ok(ascii)
            }
        }
    }
}
