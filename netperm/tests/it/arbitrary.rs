//! Whatever the bytes: an answer, and one that names a line that exists.

use std::path::Path;

use netperm::{Syntax, Table};
use proptest::prelude::*;

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
}
