//! One message over SMTP, shown line by line.

use std::io::{BufRead, BufReader, Write};
use std::net::TcpStream;
use std::time::Duration;

use super::children::Children;
use super::place::DOMAIN;
use super::{DemoError, PATIENCE};
use crate::error::Error;
use crate::show::printable;

/// A session with smap.
pub(super) struct Dialogue {
    stream: BufReader<TcpStream>,
}

impl Dialogue {
    /// On a connection that was just made.
    pub(super) fn new(stream: TcpStream) -> Result<Self, DemoError> {
        stream.set_read_timeout(Some(PATIENCE)).map_err(DemoError::Session)?;
        Ok(Self { stream: BufReader::new(stream) })
    }

    /// Sends one message and says goodbye.
    pub(super) fn send_message(
        &mut self,
        children: &mut Children,
        out: &mut impl Write,
    ) -> Result<(), Error> {
        let from = "MAIL FROM:<me@example.org>".to_owned();
        let steps = [
            (Vec::new(), '2'),
            (vec!["EHLO client.example.org".to_owned()], '2'),
            (vec![from], '2'),
            (vec![format!("RCPT TO:<you@{DOMAIN}>")], '2'),
            (vec!["DATA".to_owned()], '3'),
            (message(), '2'),
            (vec!["QUIT".to_owned()], '2'),
        ];
        for (lines, wanted) in steps {
            self.say(&lines, out)?;
            self.hear(wanted, out)?;
            children.show(out, Duration::ZERO)?;
        }
        Ok(())
    }

    fn say(&mut self, lines: &[String], out: &mut impl Write) -> Result<(), Error> {
        let mut octets = String::new();
        for line in lines {
            writeln!(out, "C: {line}")?;
            octets += line;
            octets += "\r\n";
        }
        Ok(self.stream.get_mut().write_all(octets.as_bytes()).map_err(DemoError::Session)?)
    }

    /// One reply, all its lines.
    fn hear(&mut self, wanted: char, out: &mut impl Write) -> Result<(), Error> {
        loop {
            let mut line = String::new();
            self.stream.read_line(&mut line).map_err(DemoError::Session)?;
            let line = printable(line.trim_end());
            writeln!(out, "S: {line}")?;
            if !line.starts_with(wanted) {
                return Err(DemoError::Reply(line).into());
            }
            if line.as_bytes().get(3) != Some(&b'-') {
                return Ok(());
            }
        }
    }
}

fn message() -> Vec<String> {
    let lines = [
        "From: Me <me@example.org>",
        &format!("To: You <you@{DOMAIN}>"),
        "Subject: Hello from smapctl demo",
        "",
        "This line came in through smap and went out through smapd.",
        ".",
    ];
    lines.map(str::to_owned).to_vec()
}
