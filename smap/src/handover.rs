//! A connection goes from the listener to a process that waits for it, confined already.
//!
//! The kernel is told before, by the listener, what it is to know of the connection: a confined process may set no
//! options. The client's address goes along, as a confined process may not ask for it either.

use std::io;
use std::net::SocketAddr;
use std::os::fd::{AsFd, OwnedFd};
use std::time::Duration;

use smap_common::link::Link;

use crate::stream::tell;

/// Octets of the longest packet: an address with its port and scope, and whether it was greeted.
const LONGEST: usize = 80;
/// Begins the packet of a client that has the greeting.
const GREETED: &str = "220 ";

/// A client that was accepted.
#[derive(Debug)]
pub(crate) struct Caller {
    pub(crate) connection: OwnedFd,
    pub(crate) client: SocketAddr,
    /// It has the greeting.
    pub(crate) greeted: bool,
}

/// Hands a client over; `patience` is how long the session will wait for it in most calls.
///
/// # Errors
/// Nobody waits on the other end any more: the connection is still ours.
pub(crate) fn send(link: &Link, caller: &Caller, patience: Duration) -> io::Result<()> {
    let connection = caller.connection.as_fd();
    tell(connection, connection, patience)?;
    let greeted = if caller.greeted { GREETED } else { "" };
    link.send(format!("{greeted}{}", caller.client).as_bytes(), Some(connection))
}

/// Waits for a client; none if the listener has closed its end. The link ends with that.
///
/// # Errors
/// What came is no client.
pub(crate) fn receive(link: Link) -> io::Result<Option<Caller>> {
    let received = link.receive_up_to(LONGEST);
    link.close();
    let Some(parcel) = received? else { return Ok(None) };
    let text = str::from_utf8(&parcel.packet).unwrap_or_default();
    let (greeted, address) = text.strip_prefix(GREETED).map_or((false, text), |address| (true, address));
    match (parcel.descriptor, address.parse()) {
        (Some(connection), Ok(client)) => Ok(Some(Caller { connection, client, greeted })),
        _ => Err(io::Error::new(io::ErrorKind::InvalidData, "no client was handed over")),
    }
}

#[cfg(test)]
mod tests {
    use std::io::Write;
    use std::net::{TcpListener, TcpStream};

    use super::*;

    const LONG: Duration = Duration::from_secs(60);

    /// A client, and what was accepted of it as if from `address`.
    fn caller(address: &str, greeted: bool) -> (TcpStream, Caller) {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let client = TcpStream::connect(listener.local_addr().unwrap()).unwrap();
        let connection = OwnedFd::from(listener.accept().unwrap().0);
        (client, Caller { connection, client: address.parse().unwrap(), greeted })
    }

    #[test]
    fn a_client_arrives_with_its_address() {
        for address in ["192.0.2.7:25", "[fe80::1234:5678:9abc:def0%4294967295]:65535"] {
            for greeted in [false, true] {
                let (ours, theirs) = Link::pair().unwrap();
                let (mut client, sent) = caller(address, greeted);
                send(&ours, &sent, LONG).unwrap();
                drop(sent);
                let received = receive(theirs).unwrap().unwrap();
                assert_eq!((received.client.to_string().as_str(), received.greeted), (address, greeted));
                client.write_all(b"x").unwrap();
                assert_eq!(nix::unistd::read(received.connection, &mut [0; 2]).unwrap(), 1);
            }
        }
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
        assert!(send(&ours, &caller("192.0.2.7:25", false).1, LONG).is_err());
    }

    #[test]
    fn what_is_no_client_is_not_served() {
        for (packet, with) in [("192.0.2.7:25", false), ("220 ", true), ("x", true)] {
            let (ours, theirs) = Link::pair().unwrap();
            let (_client, caller) = caller("192.0.2.7:25", false);
            ours.send(packet.as_bytes(), with.then(|| caller.connection.as_fd())).unwrap();
            drop(ours);
            assert!(!matches!(receive(theirs), Ok(Some(_))), "{packet:?}");
        }
    }
}
