//! `sink ADDRESS:PORT`: a next host that takes every message and keeps none, but knows which it has seen. For
//! `tests/bench/peers.py`.
//!
//! A line on standard input has it answer with one line of JSON: how many messages came, how many of them for the first
//! time (by Message-Id), and when the last one came (`CLOCK_MONOTONIC`, in seconds). It ends with its input.
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
    last: f64,
    ids: HashSet<Vec<u8>>,
}

fn main() {
    let address = std::env::args().nth(1).expect("sink ADDRESS:PORT");
    let listener = TcpListener::bind(address).expect("an address of ours");
    let counts = Arc::new(Mutex::new(Counts::default()));
    thread::spawn({
        let counts = Arc::clone(&counts);
        // One that cannot be accepted, or leaves in the middle, is as good as one that has said QUIT.
        move || {
            for client in listener.incoming().flatten() {
                let counts = Arc::clone(&counts);
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
    replies.extend_from_slice(b"220 sink.example ESMTP\r\n");
    loop {
        // Replies to commands that came together go together.
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
            b"DATA" => {
                replies.extend_from_slice(b"354 go on\r\n");
                input.get_mut().write_all(&replies)?;
                replies.clear();
                let id = read_text(&mut input)?;
                counts.lock().expect("no thread panics").add(id);
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

/// Up to the dot; the Message-Id of it.
fn read_text(input: &mut impl BufRead) -> io::Result<Vec<u8>> {
    let (mut line, mut in_header, mut id) = (Vec::new(), true, Vec::new());
    while line != b".\r\n" {
        line.clear();
        if input.read_until(b'\n', &mut line)? == 0 {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        in_header &= line != b"\r\n";
        if let Some((name, value)) = line.split_at_checked(MESSAGE_ID.len())
            && in_header
            && name.eq_ignore_ascii_case(MESSAGE_ID)
        {
            id = value.trim_ascii().to_owned();
        }
    }
    Ok(id)
}

impl Counts {
    fn add(&mut self, id: Vec<u8>) {
        self.messages += 1;
        self.last = now();
        let unnamed = || self.messages.to_string().into_bytes();
        self.ids.insert(if id.is_empty() { unnamed() } else { id });
    }

    fn report(&self) -> serde_json::Value {
        json!({
            "messages": self.messages,
            "distinct": self.ids.len(),
            "last": self.last,
        })
    }
}

fn now() -> f64 {
    let time = clock_gettime(ClockId::CLOCK_MONOTONIC).expect("a clock");
    std::time::Duration::from(time).as_secs_f64()
}
