//! Real mail, collected by others: what smap takes is in the spool octet for octet, what it must refuse is refused.

use std::collections::HashMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use smap_tests::gateway::Gateway;
use smap_tests::needs::Need::{Corpus, Program};
use smap_tests::needs::corpus;
use smap_tests::process::run;
use smap_tests::{programs, tests};

tests! {
    every_message_is_stored_as_it_is_or_refused: [Corpus, Program("python3")];
}

/// The messages, wherever they stand in the folder.
pub(crate) fn messages(folder: &Path) -> Vec<PathBuf> {
    let entries = fs::read_dir(folder).expect("a folder").map(|entry| entry.unwrap().path());
    let mut files: Vec<PathBuf> =
        entries.flat_map(|path| if path.is_dir() { messages(&path) } else { vec![path] }).collect();
    let about = |name: &str| name.starts_with('.') || name.ends_with(".md");
    files.retain(|file| !about(&file.file_name().unwrap().to_string_lossy()));
    files.sort();
    files
}

/// What `send.py` makes of a file, and the end of line that smtplib adds where there is none.
pub(crate) fn on_the_wire(file: &Path) -> Vec<u8> {
    let mut text = Vec::new();
    for octet in fs::read(file).unwrap() {
        if octet == b'\n' && text.last() != Some(&b'\r') {
            text.push(b'\r');
        }
        text.push(octet);
    }
    if !text.ends_with(b"\r\n") {
        text.extend_from_slice(b"\r\n");
    }
    text
}

/// The code that the contract wants for it.
pub(crate) fn wanted(text: &[u8]) -> &'static str {
    let bare_cr = text.windows(2).position(|two| two[0] == b'\r' && two[1] != b'\n');
    let nul = text.iter().position(|&octet| octet == 0);
    match (bare_cr, nul) {
        (None, None) => "250",
        (Some(cr), Some(nul)) if cr < nul => "550",
        (Some(_), None) => "550",
        (_, Some(_)) => "554",
    }
}

fn every_message_is_stored_as_it_is_or_refused() {
    let gateway = Gateway::new("smap: maxerrors 1000");
    let listener = gateway.listen();
    let (files, address) = (messages(&corpus()), listener.address());
    let mut python = Command::new(programs::peer("python3"));
    python.arg(programs::script("send.py")).args([address.ip().to_string(), address.port().to_string()]);
    let ended = run(python.args(&files), Stdio::null());
    assert_eq!(ended.code, 0, "{ended:?}");
    let output = String::from_utf8(ended.output).unwrap();
    let replies: Vec<&str> = output.lines().collect();
    assert_eq!(replies.len(), files.len());
    let stored =
        gateway.incoming().into_iter().map(|message| (message.envelope.id.to_string(), message.body));
    let mut stored: HashMap<String, Vec<u8>> = stored.collect();
    for (file, reply) in files.iter().zip(&replies) {
        let text = on_the_wire(file);
        assert!(reply.starts_with(wanted(&text)), "{}: {reply}", file.display());
        if let Some((_, id)) = reply.split_once("Mail accepted ") {
            assert!(stored.remove(id) == Some(text), "{} is not what was sent", file.display());
        }
    }
    assert!(stored.is_empty(), "{:?}", stored.keys());
    let refused = replies.iter().filter(|reply| !reply.starts_with("250")).count();
    println!("the corpus: {} messages, {refused} refused", files.len());
}
