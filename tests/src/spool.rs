//! What is in the spool, read as smapd reads it.

use std::fs::{self, File};
use std::os::fd::AsFd;
use std::os::unix::fs::MetadataExt;
use std::path::Path;

use smap_common::envelope::Envelope;
use smap_common::spool::{Expected, Message, Opened};

/// A whole message.
#[derive(Debug)]
pub struct Stored {
    /// Its envelope.
    pub envelope: Envelope,
    /// Its body.
    pub body: Vec<u8>,
}

impl Stored {
    /// The lines of its envelope, as they stand in the file.
    #[must_use]
    pub fn envelope_lines(&self) -> Vec<String> {
        let mut text = Vec::new();
        self.envelope.write(&mut text);
        String::from_utf8_lossy(&text).lines().map(str::to_owned).collect()
    }
}

/// The whole messages in a folder, in the order of their arrival.
///
/// # Panics
/// Something is there that is neither a message nor the beginning of one.
#[must_use]
pub fn messages(folder: &Path) -> Vec<Stored> {
    let opened = File::open(folder).expect("the folder can be opened");
    let names = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().file_name());
    let mut messages: Vec<Stored> =
        names.filter_map(|name| whole(&opened, folder, name.to_str().unwrap())).collect();
    // Ids of the same millisecond have no order.
    messages.sort_by_key(|message| (message.envelope.arrived, message.envelope.id));
    messages
}

fn whole(opened: &File, folder: &Path, name: &str) -> Option<Stored> {
    let owner = fs::symlink_metadata(folder.join(name)).ok()?.uid();
    let expected = Expected { owners: [owner; 2], maxbytes: 0 };
    match Message::open(opened.as_fd(), name, &expected).expect("the message can be read") {
        Opened::Message(message) => {
            let mut body = Vec::new();
            message
                .body
                .for_each(|text| {
                    body.extend_from_slice(text);
                    Ok(())
                })
                .unwrap();
            Some(Stored { envelope: message.envelope, body })
        }
        Opened::Busy | Opened::Unfinished | Opened::Gone => None,
        Opened::Poison(poison) => panic!("{name}: {poison}"),
    }
}

/// The text with every line end as CRLF and a line end at its end: what a client makes of a file.
#[must_use]
pub fn as_crlf(text: &[u8]) -> Vec<u8> {
    let mut lines: Vec<&[u8]> = text.split(|&b| b == b'\n').collect();
    lines.pop_if(|last| last.is_empty());
    lines.iter().flat_map(|line| [line.strip_suffix(b"\r").unwrap_or(line), b"\r\n"].concat()).collect()
}
