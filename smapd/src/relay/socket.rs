//! A connection that is still being made, or is there: TCP or Unix, and encrypted or not.

use std::fmt;
use std::io::{self, Read, Write};
use std::path::PathBuf;

use mio::event::Source;
use mio::net::{TcpStream, UnixStream};
use mio::{Interest, Registry, Token};

use crate::tls::{Layer, Peer};

/// One place to connect to, looked up.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(super) enum Target {
    Tcp(Peer),
    Unix(PathBuf),
}

impl fmt::Display for Target {
    /// As the log has it: `HOST[ADDRESS]:PORT`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Tcp(Peer { host, address, .. }) => {
                write!(f, "{}[{}]:{}", host.as_deref().unwrap_or_default(), address.ip(), address.port())
            }
            Self::Unix(path) => write!(f, "{}", path.display()),
        }
    }
}

/// What goes over a stream.
#[derive(Debug)]
enum Channel {
    /// The words themselves.
    Plain,
    Tls(Box<Layer>),
    /// Nothing any more.
    Closed,
}

#[derive(Debug)]
pub(super) struct Socket {
    stream: Stream,
    channel: Channel,
}

impl Socket {
    pub(super) fn connect(target: &Target) -> io::Result<Self> {
        let stream = match target {
            Target::Tcp(peer) => TcpStream::connect(peer.address).map(Stream::Tcp)?,
            Target::Unix(path) => UnixStream::connect(path).map(Stream::Unix)?,
        };
        Ok(Self { stream, channel: Channel::Plain })
    }

    /// Whether the connection is made; an error if it never will be.
    pub(super) fn is_connected(&self) -> io::Result<bool> {
        self.stream.is_connected()
    }

    /// From here on everything goes through this layer, its handshake first.
    pub(super) fn encrypt(&mut self, layer: Layer) {
        self.channel = Channel::Tls(Box::new(layer));
    }

    pub(super) fn layer(&self) -> Option<&Layer> {
        match &self.channel {
            Channel::Tls(layer) => Some(layer),
            Channel::Plain | Channel::Closed => None,
        }
    }

    /// Goes on with the handshake of the layer; says whether it is over.
    pub(super) fn handshake(&mut self) -> io::Result<bool> {
        match &mut self.channel {
            Channel::Tls(layer) => layer.handshake(&mut self.stream),
            Channel::Plain | Channel::Closed => Err(io::ErrorKind::NotConnected.into()),
        }
    }

    /// Nothing more is to be said or heard; where all was well, the server is told so.
    pub(super) fn close(&mut self, politely: bool) {
        if let (true, Channel::Tls(layer)) = (politely, &mut self.channel) {
            layer.close(&mut self.stream);
        }
        self.channel = Channel::Closed;
    }
}

impl Read for Socket {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        match &mut self.channel {
            Channel::Plain => self.stream.read(buffer),
            Channel::Tls(layer) => layer.read(&mut self.stream, buffer),
            Channel::Closed => Ok(0),
        }
    }
}

impl Write for Socket {
    fn write(&mut self, octets: &[u8]) -> io::Result<usize> {
        match &mut self.channel {
            Channel::Plain => self.stream.write(octets),
            Channel::Tls(layer) => layer.write(&mut self.stream, octets),
            Channel::Closed => Err(io::ErrorKind::NotConnected.into()),
        }
    }

    /// What was written may still wait for room.
    fn flush(&mut self) -> io::Result<()> {
        match &mut self.channel {
            Channel::Tls(layer) => layer.flush(&mut self.stream),
            Channel::Plain | Channel::Closed => Ok(()),
        }
    }
}

impl Source for Socket {
    fn register(&mut self, registry: &Registry, token: Token, interests: Interest) -> io::Result<()> {
        match &mut self.stream {
            Stream::Tcp(stream) => stream.register(registry, token, interests),
            Stream::Unix(stream) => stream.register(registry, token, interests),
        }
    }

    fn reregister(&mut self, registry: &Registry, token: Token, interests: Interest) -> io::Result<()> {
        match &mut self.stream {
            Stream::Tcp(stream) => stream.reregister(registry, token, interests),
            Stream::Unix(stream) => stream.reregister(registry, token, interests),
        }
    }

    fn deregister(&mut self, registry: &Registry) -> io::Result<()> {
        match &mut self.stream {
            Stream::Tcp(stream) => stream.deregister(registry),
            Stream::Unix(stream) => stream.deregister(registry),
        }
    }
}

#[derive(Debug)]
enum Stream {
    Tcp(TcpStream),
    Unix(UnixStream),
}

impl Stream {
    /// Whether the connection is made; an error if it never will be.
    fn is_connected(&self) -> io::Result<bool> {
        let error = match self {
            Self::Tcp(stream) => stream.take_error()?,
            Self::Unix(stream) => stream.take_error()?,
        };
        if let Some(error) = error {
            return Err(error);
        }
        match self {
            Self::Tcp(stream) => match stream.peer_addr() {
                Ok(_) => {
                    stream.set_nodelay(true)?;
                    Ok(true)
                }
                Err(error) if error.kind() == io::ErrorKind::NotConnected => Ok(false),
                Err(error) => Err(error),
            },
            Self::Unix(_) => Ok(true),
        }
    }
}

impl Read for Stream {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        match self {
            Self::Tcp(stream) => stream.read(buffer),
            Self::Unix(stream) => stream.read(buffer),
        }
    }
}

impl Write for Stream {
    fn write(&mut self, octets: &[u8]) -> io::Result<usize> {
        match self {
            Self::Tcp(stream) => stream.write(octets),
            Self::Unix(stream) => stream.write(octets),
        }
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}
