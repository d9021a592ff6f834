//! One command line of a client.
//!
//! Oracle: a line with a control character is no command. What a command was parsed to, printed again, is a line
//! within the limits that parses to the same, and holds nothing that could forge a line of a log or a header. The
//! case of the verb and white space behind the line change nothing.
#![no_main]

use libfuzzer_sys::fuzz_target;
use smap_common::smtp::command::{Chunk, Command, CommandError, MAX_PATH_LINE, parse};
use smap_fuzz::text::assert_harmless;

fn printed(command: &Command) -> String {
    match command {
        Command::Helo(name) => format!("HELO {name}"),
        Command::Ehlo(name) => format!("EHLO {name}"),
        Command::Mail(mail) => format!("MAIL FROM:{mail}"),
        Command::Rcpt(recipient) => format!("RCPT TO:{recipient}"),
        Command::Data => "DATA".to_owned(),
        Command::Bdat(Chunk { size, last: false }) => format!("BDAT {size}"),
        Command::Bdat(Chunk { size, last: true }) => format!("BDAT {size} LAST"),
        Command::Rset => "RSET".to_owned(),
        Command::Noop => "NOOP".to_owned(),
        Command::Quit => "QUIT".to_owned(),
        Command::Vrfy => "VRFY x".to_owned(),
        Command::Help => "HELP".to_owned(),
    }
}

fn other_case(octet: u8) -> u8 {
    if octet.is_ascii_lowercase() { octet.to_ascii_uppercase() } else { octet.to_ascii_lowercase() }
}

fuzz_target!(|line: &[u8]| {
    let command = parse(line);
    if line.iter().any(|&octet| octet.is_ascii_control() && octet != b'\t') {
        assert_eq!(command, Err(CommandError::BadOctet));
    }
    if let Ok(command) = &command {
        let printed = printed(command);
        assert_harmless(&printed);
        assert!(printed.len() + 2 <= MAX_PATH_LINE, "{} octets", printed.len());
        assert_eq!(parse(printed.as_bytes()).as_ref(), Ok(command), "{printed}");
    }
    let end = line.iter().position(|octet| b" \t".contains(octet)).unwrap_or(line.len());
    let mut varied: Vec<u8> = line[..end].iter().copied().map(other_case).collect();
    varied.extend_from_slice(&line[end..]);
    assert_eq!(parse(&varied), command);
    varied.extend_from_slice(b" \t ");
    assert_eq!(parse(&varied), command);
});
