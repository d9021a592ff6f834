//! TLS between a session and its socket, which does not wait: what the kernel does not take stays here, bounded.

use std::io::{self, Read, Write};
use std::sync::Arc;

use rustls::{ClientConnection, ProtocolVersion};

use super::judge::Judge;
use super::{Peer, Security};

/// Reads that bring nothing but words of TLS itself: a server that has only those keeps us from everybody else.
const MAX_IDLE_READS: usize = 64;

/// One connection, encrypted.
#[derive(Debug)]
pub struct Layer {
    connection: ClientConnection,
    judge: Arc<Judge>,
    peer: Peer,
}

impl Layer {
    pub(super) fn new(connection: ClientConnection, judge: Arc<Judge>, peer: Peer) -> Self {
        Self { connection, judge, peer }
    }

    /// Goes on with the handshake as far as it can without waiting; says whether it is over.
    ///
    /// # Errors
    /// It has failed, or the connection is lost.
    pub fn handshake(&mut self, stream: &mut (impl Read + Write)) -> io::Result<bool> {
        loop {
            match self.flush(stream) {
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Ok(false),
                flushed => flushed?,
            }
            if !self.connection.is_handshaking() {
                return Ok(true);
            }
            match self.receive(stream) {
                Ok(0) => return Err(io::ErrorKind::UnexpectedEof.into()),
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Ok(false),
                received => received?,
            };
        }
    }

    /// Reads what was said; nothing, where the server has said that it says no more.
    ///
    /// # Errors
    /// `WouldBlock`: nothing is there. `InvalidData`: it is not TLS, or not this connection's. `UnexpectedEof`: the
    /// connection ended without the server's word for it.
    pub fn read(&mut self, stream: &mut (impl Read + Write), buffer: &mut [u8]) -> io::Result<usize> {
        for _ in 0..MAX_IDLE_READS {
            match self.connection.reader().read(buffer) {
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => self.receive(stream)?,
                read => return read,
            };
        }
        Err(io::Error::new(io::ErrorKind::InvalidData, "the server says nothing at great length"))
    }

    /// Takes what is to be said, or a part of it.
    ///
    /// # Errors
    /// `WouldBlock`: the socket has not taken what was said before. Others: the connection is lost.
    pub fn write(&mut self, stream: &mut impl Write, octets: &[u8]) -> io::Result<usize> {
        self.flush(stream)?;
        let taken = self.connection.writer().write(octets)?;
        match self.flush(stream) {
            Err(error) if error.kind() != io::ErrorKind::WouldBlock => Err(error),
            Ok(()) | Err(_) => Ok(taken),
        }
    }

    /// Gives the socket all that it was not given yet.
    ///
    /// # Errors
    /// `WouldBlock`: it does not take all. Others: the connection is lost.
    pub fn flush(&mut self, stream: &mut impl Write) -> io::Result<()> {
        while self.connection.wants_write() {
            match self.connection.write_tls(stream) {
                Ok(0) => return Err(io::ErrorKind::WriteZero.into()),
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                written => drop(written?),
            }
        }
        Ok(())
    }

    /// Says that we say no more (RFC 8446 section 6.1), if the socket takes it at once.
    pub fn close(&mut self, stream: &mut impl Write) {
        self.connection.send_close_notify();
        let _said_or_not = self.flush(stream);
    }

    /// What the connection was made with.
    #[must_use]
    pub fn security(&self) -> Security {
        let suite = self.connection.negotiated_cipher_suite().and_then(|suite| suite.suite().as_str());
        Security {
            version: match self.connection.protocol_version() {
                Some(ProtocolVersion::TLSv1_3) => "TLSv1.3",
                Some(ProtocolVersion::TLSv1_2) => "TLSv1.2",
                Some(_) | None => "TLS",
            },
            // rustls tells suites of TLS 1.3 apart by their first word.
            cipher: suite.unwrap_or_default().replacen("TLS13_", "TLS_", 1),
            verdict: self.judge.verdict(),
        }
    }

    /// Why there is no connection, in words for the administrator.
    #[must_use]
    pub fn explain(&self, error: &io::Error) -> String {
        let Some(doubt) = self.judge.objection() else { return error.to_string() };
        let whom = self.peer.to_be_proved();
        let mut text = format!("the certificate does not prove that this is {whom}: {doubt}");
        if let (Some(domain), Some(host)) = (&self.peer.unproven_mx_of, &self.peer.host) {
            text += &format!(
                "; that {host} takes mail for {domain} is known from DNS without DNSSEC, which proves nothing: name \
                 the host in the table, as smtp:[{host}], to have it verified"
            );
        }
        text
    }

    fn receive(&mut self, stream: &mut (impl Read + Write)) -> io::Result<usize> {
        let read = self.connection.read_tls(stream)?;
        match self.connection.process_new_packets() {
            Ok(_) => Ok(read),
            Err(error) => {
                // The server is told why, if it can be.
                let _told_or_not = self.flush(stream);
                Err(io::Error::new(io::ErrorKind::InvalidData, error))
            }
        }
    }
}
