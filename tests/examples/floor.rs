//! `floor ADDRESS:PORT FOLDER`: says yes to whatever it is told, and creates, writes and syncs one file for each
//! message; a thread for each client. It checks nothing, so it shows what the same dialogue on the same disk costs at
//! least. For `tests/bench/peers.py`.
#![expect(clippy::expect_used, reason = "a tool of the tests stops where it cannot go on")]

use std::fs::File;
use std::io::{self, BufRead, BufReader, Write};
use std::net::{TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread;

/// The next file's name.
static NEXT: AtomicU64 = AtomicU64::new(0);

fn main() {
    let mut arguments = std::env::args().skip(1);
    let mut next = || arguments.next().expect("floor ADDRESS:PORT FOLDER");
    let listener = TcpListener::bind(next()).expect("an address of ours");
    let folder = PathBuf::from(next());
    for client in listener.incoming() {
        let (client, folder) = (client.expect("a client"), folder.clone());
        // One that leaves in the middle is as good as one that has said QUIT.
        thread::spawn(move || serve(&client, &folder).unwrap_or_default());
    }
}

fn serve(client: &TcpStream, folder: &Path) -> io::Result<()> {
    client.set_nodelay(true)?;
    let (mut output, mut input) = (client, BufReader::with_capacity(8192, client));
    let (mut line, mut text) = (Vec::new(), Vec::new());
    output.write_all(b"220 floor.example ESMTP\r\n")?;
    while input.read_until(b'\n', &mut line)? > 0 {
        let reply: &[u8] = match line.as_slice() {
            b"DATA\r\n" => {
                output.write_all(b"354 Go on\r\n")?;
                while !text.ends_with(b"\r\n.\r\n") && input.read_until(b'\n', &mut text)? > 0 {}
                keep(folder, &text)?;
                text.clear();
                b"250 Kept\r\n"
            }
            b"QUIT\r\n" => return output.write_all(b"221 Bye\r\n"),
            _ => b"250 Yes\r\n",
        };
        output.write_all(reply)?;
        line.clear();
    }
    Ok(())
}

fn keep(folder: &Path, text: &[u8]) -> io::Result<()> {
    let mut file = File::create_new(folder.join(NEXT.fetch_add(1, Ordering::Relaxed).to_string()))?;
    file.write_all(text)?;
    file.sync_all()
}
