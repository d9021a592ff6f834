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

/// The header of a message, with the end of its last line; whole lines of it where it is too long.
pub(super) fn header(body: &Body) -> io::Result<Vec<u8>> {
    let mut text = vec![0; MOST_HEADER.min(usize::try_from(body.length()).unwrap_or(MOST_HEADER))];
    let mut filled = 0;
    while let Some(rest) = text.get_mut(filled..).filter(|rest| !rest.is_empty()) {
        match body.read_at(u64::try_from(filled).unwrap_or(u64::MAX), rest)? {
            0 => return Err(io::ErrorKind::UnexpectedEof.into()),
            read => filled += read,
        }
    }
    let whole_lines = memchr::memmem::rfind(&text, b"\r\n").map_or(0, |at| at + 2);
    let end = match memchr::memmem::find(&text, b"\r\n\r\n") {
        _ if text.starts_with(b"\r\n") => 0,
        Some(at) => at + 2,
        None => whole_lines,
    };
    text.truncate(end);
    Ok(text)
}
