//! The server's side of STARTTLS.

use std::io::{self, Read};
use std::net::TcpStream;
use std::sync::Arc;

use rustls::{ServerConfig, ServerConnection, StreamOwned};

/// A stream that is encrypted.
pub(super) type Encrypted = StreamOwned<ServerConnection, TcpStream>;

/// A handshake that came about.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Handshake {
    /// On which connection.
    pub connection: usize,
    /// The name that the client came for, if it said one.
    pub name: Option<String>,
    /// Whether the client has shown a certificate.
    pub with_certificate: bool,
}

/// Does it, and says what was seen.
pub(super) fn accept(
    connection: usize,
    config: &Arc<ServerConfig>,
    mut stream: TcpStream,
) -> io::Result<(Encrypted, Handshake)> {
    let mut tls = ServerConnection::new(Arc::clone(config)).map_err(io::Error::other)?;
    while tls.is_handshaking() {
        tls.complete_io(&mut stream)?;
    }
    let seen = Handshake {
        connection,
        name: tls.server_name().map(str::to_owned),
        with_certificate: tls.peer_certificates().is_some(),
    };
    Ok((StreamOwned::new(tls, stream), seen))
}

/// Whether the client says that it says no more, and says no more.
pub(super) fn ends_politely(stream: &mut impl Read) -> bool {
    matches!(stream.read(&mut [0]), Ok(0))
}
