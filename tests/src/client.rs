//! A plain SMTP client: it sends the octets that it is given, and reads lines.

use std::io::{ErrorKind, Read, Write};
use std::net::{IpAddr, Shutdown, SocketAddr, TcpStream};
use std::os::fd::AsRawFd;
use std::time::Duration;

use nix::sys::socket::{AddressFamily, SockFlag, SockType, SockaddrStorage, bind, connect, socket};

use crate::PATIENCE;

/// One connection.
#[derive(Debug)]
pub struct Client {
    stream: TcpStream,
    received: Vec<u8>,
}

impl Client {
    /// Connects; reads nothing yet.
    ///
    /// # Panics
    /// Nobody listens there.
    #[must_use]
    pub fn connect(address: SocketAddr) -> Self {
        Self::over(TcpStream::connect_timeout(&address, PATIENCE).expect("somebody listens"))
    }

    /// Connects from this IPv4 address of ours.
    ///
    /// # Panics
    /// It is none of ours, or nobody listens there.
    #[must_use]
    pub fn connect_from(own: IpAddr, address: SocketAddr) -> Self {
        let socket = socket(AddressFamily::Inet, SockType::Stream, SockFlag::SOCK_CLOEXEC, None).unwrap();
        bind(socket.as_raw_fd(), &SockaddrStorage::from(SocketAddr::new(own, 0))).expect("it is ours");
        connect(socket.as_raw_fd(), &SockaddrStorage::from(address)).expect("somebody listens");
        Self::over(socket.into())
    }

    fn over(stream: TcpStream) -> Self {
        stream.set_read_timeout(Some(PATIENCE)).unwrap();
        stream.set_write_timeout(Some(PATIENCE)).unwrap();
        stream.set_nodelay(true).unwrap();
        Self { stream, received: Vec::new() }
    }

    /// Connects, and is greeted.
    ///
    /// # Panics
    /// It is not.
    #[must_use]
    pub fn greeted(address: SocketAddr) -> Self {
        let mut client = Self::connect(address);
        client.expect("220 ");
        client
    }

    /// The same connection, for a thread that reads in its own way.
    ///
    /// # Panics
    /// There are no descriptors left.
    #[must_use]
    pub fn stream(&self) -> TcpStream {
        self.stream.try_clone().unwrap()
    }

    /// Its own end of the connection.
    ///
    /// # Panics
    /// Never.
    #[must_use]
    pub fn local_address(&self) -> SocketAddr {
        self.stream.local_addr().unwrap()
    }

    /// Sends these octets. A server that has closed is noticed when its reply is read.
    pub fn send(&mut self, octets: &[u8]) {
        let _closed = self.stream.write_all(octets);
    }

    /// Sends one piece after the other until the server takes no more; says how many octets were sent.
    pub fn send_all(&mut self, pieces: impl IntoIterator<Item = Vec<u8>>) -> usize {
        let sent =
            pieces.into_iter().map_while(|piece| self.stream.write_all(&piece).ok().map(|()| piece.len()));
        sent.sum()
    }

    /// Sends an octet whenever so much time is over, until the server says something.
    ///
    /// # Panics
    /// It never does.
    pub fn trickle(&mut self, octet: u8, every: Duration) {
        self.stream.set_read_timeout(Some(every)).unwrap();
        crate::eventually("the server says something", || {
            let _closed = (&self.stream).write_all(&[octet]);
            self.stream.peek(&mut [0]).ok()
        });
        self.stream.set_read_timeout(Some(PATIENCE)).unwrap();
    }

    /// Sends the end of its half of the connection.
    pub fn end(&mut self) {
        let _closed = self.stream.shutdown(Shutdown::Write);
    }

    /// One line without its CRLF; `None` when the server has closed.
    ///
    /// # Panics
    /// Nothing comes, or a line that does not end in CRLF.
    pub fn line(&mut self) -> Option<String> {
        loop {
            if let Some(end) = self.received.iter().position(|&b| b == b'\n') {
                let line: Vec<u8> = self.received.drain(..=end).collect();
                let line = line.strip_suffix(b"\r\n").expect("a reply ends in CRLF");
                return Some(String::from_utf8_lossy(line).into_owned());
            }
            let mut buffer = [0; 4096];
            match crate::uninterrupted(|| self.stream.read(&mut buffer)) {
                Ok(0) => return self.closed(),
                Ok(read) => self.received.extend_from_slice(&buffer[..read]),
                Err(error) if error.kind() == ErrorKind::ConnectionReset => return self.closed(),
                Err(error) => panic!("no reply: {error}"),
            }
        }
    }

    fn closed(&self) -> Option<String> {
        assert!(self.received.is_empty(), "half a line: {:?}", String::from_utf8_lossy(&self.received));
        None
    }

    /// One reply, its lines joined by LF.
    ///
    /// # Panics
    /// None comes.
    pub fn reply(&mut self) -> String {
        let mut lines = vec![self.line().expect("a reply, not the end")];
        while lines.last().is_some_and(|line| line.as_bytes().get(3) == Some(&b'-')) {
            lines.push(self.line().expect("the rest of a reply"));
        }
        lines.join("\n")
    }

    /// Reads a reply, which begins so.
    ///
    /// # Panics
    /// It does not.
    pub fn expect(&mut self, beginning: &str) -> String {
        let reply = self.reply();
        assert!(reply.starts_with(beginning), "wanted {beginning:?}, got {reply:?}");
        reply
    }

    /// Says a line, and reads the reply, which begins so.
    ///
    /// # Panics
    /// It does not.
    pub fn say(&mut self, line: &str, beginning: &str) -> String {
        self.send(format!("{line}\r\n").as_bytes());
        let reply = self.reply();
        assert!(reply.starts_with(beginning), "{line:?}: wanted {beginning:?}, got {reply:?}");
        reply
    }

    /// Sends the envelope of a message, from `a@sender.example` to `b@example.com`.
    ///
    /// # Panics
    /// It is not taken.
    pub fn envelope(&mut self) {
        self.say("MAIL FROM:<a@sender.example>", "250 ");
        self.say("RCPT TO:<b@example.com>", "250 ");
    }

    /// The same, and DATA: the text can follow.
    ///
    /// # Panics
    /// They are not taken.
    pub fn data(&mut self) {
        self.envelope();
        self.say("DATA", "354 ");
    }

    /// Sends a message after EHLO; returns the reply to it, whose first word is as given.
    ///
    /// # Panics
    /// The envelope is not taken, or the reply is another.
    pub fn mail(&mut self, body: &str, beginning: &str) -> String {
        self.data();
        self.say(&format!("{body}\r\n."), beginning)
    }

    /// Reads to the end; returns the last line.
    ///
    /// # Panics
    /// There is none.
    pub fn last_line(&mut self) -> String {
        std::iter::from_fn(|| self.line()).last().expect("something is said")
    }

    /// Says goodbye.
    ///
    /// # Panics
    /// The server does not.
    pub fn quit(&mut self) {
        self.say("QUIT", "221 ");
        self.expect_end();
    }

    /// The server says nothing more and has closed.
    ///
    /// # Panics
    /// It has not.
    pub fn expect_end(&mut self) {
        assert_eq!(self.line(), None, "wanted the end");
    }
}
