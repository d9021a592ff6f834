//! `sink ADDRESS:PORT`: a next host that takes every message and keeps none, but knows which it has seen. For
//! `tests/bench/peers.py`.
//!
//! A line on standard input has it answer with one line of JSON: how many messages came, how many of them for the first
//! time (by Message-Id), how many from the empty sender, their octets, and when the last one came (`CLOCK_MONOTONIC`, in
//! seconds). The end of its input is its own.
#![expect(
    clippy::expect_used,
    clippy::print_stdout,
    reason = "a tool of the tests stops where it cannot go on, and says what it found"
)]

use std::collections::HashSet;
use std::io::{self, BufRead, BufReader, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::{Arc, Mutex};
use std::thread;

use nix::time::{ClockId, clock_gettime};
use serde_json::json;

const MESSAGE_ID: &[u8] = b"message-id:";

/// What came.
#[derive(Default)]
struct Counts {
    messages: usize,
    bounces: usize,
    octets: usize,
    last: f64,
    ids: HashSet<Vec<u8>>,
}

/// A message that came.
#[derive(Default)]
struct Message {
    id: Vec<u8>,
    octets: usize,
    is_bounce: bool,
}

fn main() {
    let address = std::env::args().nth(1).expect("sink ADDRESS:PORT");
    let listener = TcpListener::bind(address).expect("an address of ours");
    let counts = Arc::new(Mutex::new(Counts::default()));
    thread::spawn({
        let counts = Arc::clone(&counts);
        move || {
            for client in listener.incoming() {
                let (client, counts) = (client.expect("a client"), Arc::clone(&counts));
                // One that leaves in the middle is as good as one that has said QUIT.
                thread::spawn(move || serve(&client, &counts).unwrap_or_default());
            }
        }
    });
    for _asked in io::stdin().lines() {
        println!("{}", counts.lock().expect("no thread panics").report());
    }
}

fn serve(client: &TcpStream, counts: &Mutex<Counts>) -> io::Result<()> {
    client.set_nodelay(true)?;
    let (mut input, mut replies, mut line) =
        (BufReader::with_capacity(1 << 18, client), Vec::new(), Vec::new());
    let mut message = Message::default();
    replies.extend_from_slice(b"220 sink.example ESMTP\r\n");
    loop {
        // Those to commands that came at once go at once.
        if input.buffer().is_empty() {
            input.get_mut().write_all(&replies)?;
            replies.clear();
        }
        line.clear();
        if input.read_until(b'\n', &mut line)? == 0 {
            return Ok(());
        }
        line.make_ascii_uppercase();
        let reply: &[u8] = match line.get(..4).unwrap_or_default() {
            b"EHLO" => b"250-sink.example\r\n250-PIPELINING\r\n250-8BITMIME\r\n250 SIZE\r\n",
            b"MAIL" => {
                message = Message { is_bounce: line.starts_with(b"MAIL FROM:<>"), ..Message::default() };
                b"250 ok\r\n"
            }
            b"DATA" => {
                replies.extend_from_slice(b"354 go on\r\n");
                input.get_mut().write_all(&replies)?;
                replies.clear();
                message.read(&mut input)?;
                counts.lock().expect("no thread panics").add(std::mem::take(&mut message));
                b"250 ok\r\n"
            }
            b"QUIT" => {
                replies.extend_from_slice(b"221 bye\r\n");
                return input.get_mut().write_all(&replies);
            }
            _ => b"250 ok\r\n",
        };
        replies.extend_from_slice(reply);
    }
}

impl Message {
    /// Its text, to the dot.
    fn read(&mut self, input: &mut impl BufRead) -> io::Result<()> {
        let (mut line, mut in_header) = (Vec::new(), true);
        while line != b".\r\n" {
            line.clear();
            if input.read_until(b'\n', &mut line)? == 0 {
                return Err(io::ErrorKind::UnexpectedEof.into());
            }
            self.octets += line.len();
            in_header &= line != b"\r\n";
            let name = line.get(..MESSAGE_ID.len()).unwrap_or_default();
            if in_header && name.eq_ignore_ascii_case(MESSAGE_ID) {
                self.id = line.trim_ascii_end().to_owned();
            }
        }
        Ok(())
    }
}

impl Counts {
    fn add(&mut self, message: Message) {
        self.messages += 1;
        self.bounces += usize::from(message.is_bounce);
        self.octets += message.octets;
        self.last = now();
        let unnamed = || self.messages.to_string().into_bytes();
        self.ids.insert(if message.id.is_empty() { unnamed() } else { message.id });
    }

    fn report(&self) -> serde_json::Value {
        json!({
            "messages": self.messages,
            "distinct": self.ids.len(),
            "bounces": self.bounces,
            "octets": self.octets,
            "last": self.last,
        })
    }
}

fn now() -> f64 {
    let time = clock_gettime(ClockId::CLOCK_MONOTONIC).expect("a clock");
    std::time::Duration::from(time).as_secs_f64()
}
