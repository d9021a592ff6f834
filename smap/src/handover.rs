//! A connection goes from the listener to a process that waits for it, confined already; before that the link to such
//! a process goes from the listener to the template, which makes it.
//!
//! The kernel is told before, by the listener, what it is to know of the connection: a confined process may set no
//! options. The client's address goes along, as a confined process may not ask for it either.

use std::io;
use std::net::SocketAddr;
use std::os::fd::{AsFd, OwnedFd};
use std::time::Duration;

use nix::unistd::Pid;
use smap_common::link::{Link, Parcel};

use crate::stream::tell;

/// Octets of the longest packet: an address with its port and scope, and whether it was greeted.
const LONGEST: usize = 80;
/// Begins the packet of a client that has the greeting.
const GREETED: &str = "220 ";

/// What a template is told.
const ONE_MORE: &[u8] = b"1";

/// A client that was accepted.
#[derive(Debug)]
pub(crate) struct Caller {
    pub(crate) connection: OwnedFd,
    pub(crate) client: SocketAddr,
    /// It has the greeting.
    pub(crate) greeted: bool,
}

/// Asks a template for a process that waits; the link to it.
///
/// # Errors
/// The template is gone, or the system has no room.
pub(crate) fn ask(template: &Link) -> io::Result<Link> {
    let (ours, theirs) = Link::pair()?;
    template.send(ONE_MORE, Some(theirs.as_fd()))?;
    Ok(ours)
}

/// Waits to be asked for a process; its end of the link to the listener. None if the listener has closed its end.
///
/// # Errors
/// What came is no link.
pub(crate) fn asked(listener: &Link) -> io::Result<Option<Link>> {
    let Some(parcel) = listener.receive_up_to(ONE_MORE.len())? else { return Ok(None) };
    match parcel.descriptor {
        Some(link) => Ok(Some(link.into())),
        None => Err(io::Error::new(io::ErrorKind::InvalidData, "no link was handed over")),
    }
}

/// Says that this process waits; the link on which it does. None if the listener has closed its end meanwhile.
///
/// # Errors
/// It cannot be said.
pub(crate) fn wait(link: Link, own: u32) -> io::Result<Option<Link>> {
    let Err(error) = link.say(own.to_string().as_bytes()) else { return Ok(Some(link)) };
    link.close();
    if error.kind() == io::ErrorKind::BrokenPipe { Ok(None) } else { Err(error) }
}

/// What there is of a process that was asked for.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Answer {
    /// It waits.
    Waits(Pid),
    /// It is being made.
    NotYet,
    /// It was never made, or has ended before it waited.
    Ended,
}

/// Looks whether a process that was asked for waits.
pub(crate) fn answer(link: &Link) -> Answer {
    let number = |parcel: Parcel| str::from_utf8(&parcel.packet).ok()?.parse().ok();
    match link.receive_at_once(LONGEST) {
        Ok(Some(parcel)) => number(parcel).map_or(Answer::Ended, |pid| Answer::Waits(Pid::from_raw(pid))),
        Err(error) if error.kind() == io::ErrorKind::WouldBlock => Answer::NotYet,
        Ok(None) | Err(_) => Answer::Ended,
    }
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
    fn a_process_that_is_asked_for_says_when_it_waits() {
        let (ours, template) = Link::pair().unwrap();
        let link = ask(&ours).unwrap();
        let made = asked(&template).unwrap().unwrap();
        assert_eq!(answer(&link), Answer::NotYet);
        let _waits = wait(made, 4711).unwrap().unwrap();
        assert_eq!(answer(&link), Answer::Waits(Pid::from_raw(4711)));
    }

    #[test]
    fn a_process_that_is_never_made_is_not_waited_for() {
        let (ours, template) = Link::pair().unwrap();
        let link = ask(&ours).unwrap();
        drop(asked(&template).unwrap());
        assert_eq!(answer(&link), Answer::Ended);
        let (unheard, strange) = (ask(&ours).unwrap(), ask(&ours).unwrap());
        drop(template);
        assert_eq!([answer(&unheard), answer(&strange)], [Answer::Ended, Answer::Ended]);
        assert!(ask(&ours).is_err());
    }

    #[test]
    fn a_process_whose_listener_has_ended_waits_for_nobody() {
        let (ours, theirs) = Link::pair().unwrap();
        drop(ours);
        assert!(wait(theirs, 4711).unwrap().is_none());
    }

    #[test]
    fn what_is_no_process_does_not_wait() {
        for packet in ["x", "", "-", "99999999999"] {
            let (ours, theirs) = Link::pair().unwrap();
            theirs.say(packet.as_bytes()).unwrap();
            assert_eq!(answer(&ours), Answer::Ended, "{packet:?}");
        }
    }

    #[test]
    fn a_template_makes_nothing_without_a_link() {
        let (ours, template) = Link::pair().unwrap();
        ours.say(ONE_MORE).unwrap();
        assert!(asked(&template).is_err());
        drop(ours);
        assert!(asked(&template).unwrap().is_none());
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
