//! A connection goes from the listener to a process that waits for it, confined already.
//!
//! The kernel is told before, by the listener, what it is to know of the connection: a confined process may set no
//! options. The client's address goes along, as a confined process may not ask for it either.

use std::io;
use std::net::{SocketAddr, TcpStream};
use std::os::fd::{AsFd, OwnedFd};
use std::time::Duration;

use smap_common::link::Link;

use crate::stream::tell;

/// Octets of the longest address with its port and scope.
const LONGEST_ADDRESS: usize = 80;

/// Hands a client over; `patience` is how long the session will wait for it in most calls.
///
/// # Errors
/// Nobody waits on the other end any more: the connection is still ours.
pub(crate) fn send(
    link: &Link,
    connection: &TcpStream,
    client: SocketAddr,
    patience: Duration,
) -> io::Result<()> {
    tell(connection.as_fd(), connection.as_fd(), patience)?;
    link.send(client.to_string().as_bytes(), Some(connection.as_fd()))
}

/// Waits for a client; none if the listener has closed its end. The link ends with that.
///
/// # Errors
/// What came is no client.
pub(crate) fn receive(link: Link) -> io::Result<Option<(OwnedFd, SocketAddr)>> {
    let received = link.receive_up_to(LONGEST_ADDRESS);
    link.close();
    let Some(parcel) = received? else { return Ok(None) };
    let address = str::from_utf8(&parcel.packet).ok().and_then(|text| text.parse().ok());
    match (parcel.descriptor, address) {
        (Some(connection), Some(client)) => Ok(Some((connection, client))),
        _ => Err(io::Error::new(io::ErrorKind::InvalidData, "no client was handed over")),
    }
}

#[cfg(test)]
mod tests {
    use std::io::Write;
    use std::net::TcpListener;
    use std::os::fd::AsRawFd;

    use super::*;

    const LONG: Duration = Duration::from_secs(60);

    fn connection() -> (TcpStream, TcpStream) {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let client = TcpStream::connect(listener.local_addr().unwrap()).unwrap();
        (client, listener.accept().unwrap().0)
    }

    #[test]
    fn a_client_arrives_with_its_address() {
        let (ours, theirs) = Link::pair().unwrap();
        let (mut client, connection) = connection();
        for address in ["192.0.2.7:25", "[fe80::1234:5678:9abc:def0%4294967295]:65535"] {
            let address: SocketAddr = address.parse().unwrap();
            send(&ours, &connection, address, LONG).unwrap();
            let received = theirs.receive_up_to(LONGEST_ADDRESS).unwrap().unwrap();
            assert_eq!(received.packet, address.to_string().as_bytes());
        }
        send(&ours, &connection, "192.0.2.7:25".parse().unwrap(), LONG).unwrap();
        let (received, address) = receive(theirs).unwrap().unwrap();
        assert_eq!(address.to_string(), "192.0.2.7:25");
        client.write_all(b"x").unwrap();
        assert_eq!(nix::unistd::read(received.as_fd(), &mut [0; 2]).unwrap(), 1);
        assert_ne!(received.as_raw_fd(), connection.as_raw_fd());
    }

    #[test]
    fn a_listener_that_has_ended_hands_nobody_over() {
        let (ours, theirs) = Link::pair().unwrap();
        drop(ours);
        assert!(receive(theirs).unwrap().is_none());
    }

    #[test]
    fn a_client_is_handed_to_nobody_if_nobody_waits() {
        let (ours, theirs) = Link::pair().unwrap();
        drop(theirs);
        assert!(send(&ours, &connection().1, "192.0.2.7:25".parse().unwrap(), LONG).is_err());
    }

    #[test]
    fn what_is_no_client_is_not_served() {
        for (packet, with) in [("192.0.2.7:25", false), ("", true), ("x", true)] {
            let (ours, theirs) = Link::pair().unwrap();
            let (_client, connection) = connection();
            ours.send(packet.as_bytes(), with.then(|| connection.as_fd())).unwrap();
            drop(ours);
            assert!(!matches!(receive(theirs), Ok(Some(_))), "{packet:?}");
        }
    }
}
