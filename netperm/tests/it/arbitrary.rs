//! Whatever the bytes: an answer, and one that names a line that exists.

use std::path::Path;

use netperm::{Place, Syntax, Table};
use proptest::prelude::*;
use smap_common::address::Address;

/// Pieces of tables, to get further than arbitrary bytes do.
const PIECES: [&str; 40] = [
    "smap",
    "smapd",
    "*",
    ", ",
    ": ",
    ":",
    "\n",
    "\\\n",
    "\\",
    "#",
    "\"",
    " ",
    "\t",
    "\r\n",
    "permit-hosts ",
    "deny-relay ",
    "netacl-smap",
    "-exec ",
    "domain ",
    "example.com ",
    ".",
    "smtp:",
    "[10.0.0.5]",
    ",",
    "pipe:/bin/x ",
    "maildir:/m/%u",
    "%",
    "timeout ",
    "30s",
    "listen ",
    ":25",
    "retry ",
    "10.*",
    "!",
    "10.0.0.0/8",
    "2001:db8:*",
    "[smap]\n",
    "= ",
    "[\"",
    "\u{0}",
];

fn holds(bytes: &[u8], syntax: Syntax) {
    let lines = bytes.split(|byte| *byte == b'\n').count();
    match Table::parse(Path::new("t"), bytes, syntax) {
        Ok(table) => {
            let shown = table.smap().map(|(smap, _)| smap.to_string());
            if let Ok(text) = shown {
                let again = Table::parse(Path::new("t"), text.as_bytes(), Syntax::Netperm).unwrap();
                assert_eq!(again.smap().unwrap().0.to_string(), text);
            }
            assert_eq!(table.check().is_ok(), table.smap().is_ok() && table.smapd().is_ok());
        }
        Err(faults) => {
            assert!(faults.iter().all(|fault| {
                let line = usize::try_from(fault.place.line_number().unwrap()).unwrap();
                (1..=lines).contains(&line) && !fault.what.contains('\n')
            }));
        }
    }
}

/// Pieces of mailertables.
const MAILERTABLE: [&str; 20] = [
    "a.example ",
    ".example ",
    ". ",
    "\t",
    "\n",
    "#",
    "smtp:",
    "esmtp:",
    "local:",
    "error:",
    "discard:",
    "%1",
    "%",
    "[10.0.0.5]",
    ":",
    "25",
    "5.1.1:550 no",
    "nouser ",
    ",",
    "\u{e4}",
];

/// Whatever a mailertable says: faults name lines that exist, and every recipient has a way or none.
fn mailertable_holds(bytes: &[u8], to: &str) {
    let lines = bytes.split(|byte| *byte == b'\n').count();
    let read = |_: &Path| Ok((bytes.to_vec(), Vec::new()));
    match Table::parse_with(Path::new("t"), b"smapd: mailertable /m", Syntax::Netperm, read) {
        Ok(table) => {
            let mailertable = table.smapd().unwrap().0.mailertable.unwrap();
            let to: Address = to.parse().unwrap();
            if let Some((entry, wildcard)) = mailertable.find(to.domain().unwrap()) {
                let shown = entry.transport(&to, wildcard).to_string();
                assert!(!shown.contains('\n') && !shown.is_empty());
            }
        }
        Err(faults) => {
            let lines = 1..=lines;
            let named = |place: &Place| usize::try_from(place.line_number().unwrap()).unwrap();
            assert!(faults.iter().all(|fault| lines.contains(&named(&fault.place))));
        }
    }
}

proptest! {
    #[test]
    fn arbitrary_bytes_never_bring_the_reader_down(bytes in prop::collection::vec(any::<u8>(), 0..300)) {
        holds(&bytes, Syntax::Netperm);
        holds(&bytes, Syntax::Toml);
    }

    #[test]
    fn pieces_of_tables_never_bring_the_reader_down(
        pieces in prop::collection::vec(prop::sample::select(PIECES.to_vec()), 0..40),
    ) {
        let text = pieces.concat();
        holds(text.as_bytes(), Syntax::Netperm);
        holds(text.as_bytes(), Syntax::Toml);
    }

    #[test]
    fn a_line_of_pieces_is_read_or_refused(
        pieces in prop::collection::vec(prop::sample::select(PIECES.to_vec()), 0..10),
        attribute in prop::sample::select(vec!["permit-hosts", "domain", "relay-host", "listen", "retry"]),
    ) {
        holds(format!("smap, smapd: {attribute} {}\n", pieces.concat()).as_bytes(), Syntax::Netperm);
    }

    #[test]
    fn arbitrary_bytes_never_bring_the_reader_of_mailertables_down(
        bytes in prop::collection::vec(any::<u8>(), 0..300),
    ) {
        mailertable_holds(&bytes, "x@a.example");
    }

    #[test]
    fn pieces_of_mailertables_never_bring_their_reader_down(
        pieces in prop::collection::vec(prop::sample::select(MAILERTABLE.to_vec()), 0..12),
        to in prop::sample::select(vec!["x@a.example", "x@1.2.3.4.example", "x@25.example", "x@\u{e4}.example"]),
    ) {
        mailertable_holds(pieces.concat().as_bytes(), to);
    }
}
