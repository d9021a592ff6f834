//! One session: confine, serve, exit. Its connection is open from the beginning, or handed over later.

use std::io;
use std::net::{SocketAddr, SocketAddrV4, SocketAddrV6};
use std::os::fd::{AsFd, AsRawFd, BorrowedFd};
use std::time::Duration;

use nix::sys::socket::{
    SockaddrIn, SockaddrIn6, SockaddrLike, SockaddrStorage, getpeername, getsockopt, sockopt,
};
use nix::unistd::ForkResult;
use smap_common::confine::{ConfineError, Confined, HANDOVER, Template};
use smap_common::envelope::Origin;
use smap_common::exit::Exit;
use smap_common::link::Link;
use smap_common::log::Event;
use smap_common::spool::QueueId;

use crate::handover::{self, Caller};
use crate::judge::Case;
use crate::lookup::Asker;
use crate::replies::{self, Reply};
use crate::server::{Service, serve};
use crate::session::Session;
use crate::startup::Prepared;
use crate::stream::{Plain, Stream};

/// How long a client that is turned away may take to read why.
const LAST_WORDS: Duration = Duration::from_secs(5);

/// The rest of the life of this process: confines it, serves one client, ends.
pub(crate) fn forked(prepared: &Prepared, caller: &Caller) -> ! {
    let connection = caller.connection.as_fd();
    let client = Who { address: Some(caller.client), greeted: caller.greeted };
    confine_and_serve(prepared, connection, connection, client).at_once()
}

/// The same on descriptors that were open when the program was started.
pub fn session(
    prepared: &Prepared,
    input: BorrowedFd<'_>,
    output: BorrowedFd<'_>,
    client: Option<SocketAddr>,
) -> ! {
    confine_and_serve(prepared, input, output, Who { address: client, greeted: false }).at_once()
}

/// The life of a template, which is asked over `link`, and of each process that it makes: that one is handed a client
/// and serves it, or none, and ends.
pub(crate) fn template(prepared: &Prepared, link: Link) -> ! {
    make_and_serve(prepared, link).unwrap_or_else(failed).at_once()
}

/// Who is served.
#[derive(Debug, Clone, Copy)]
struct Who {
    address: Option<SocketAddr>,
    /// It has the greeting.
    greeted: bool,
}

fn confine_and_serve(
    prepared: &Prepared,
    input: BorrowedFd<'_>,
    output: BorrowedFd<'_>,
    client: Who,
) -> Exit {
    let mut stream = Plain::new(input, output, prepared.site.smap.timeout);
    let asker = match prepared.asker_for(client.address) {
        Ok(asker) => asker,
        Err(why) => {
            Event::Error { text: &why }.log();
            let reply = replies::no_service_without_name(&prepared.site.hostname.to_string());
            return turned_away(&mut stream, &reply, Exit::TempFail);
        }
    };
    match prepared.confine() {
        Ok(confined) => serve_client(prepared, &confined, &mut stream, client, asker),
        Err(error) => {
            Event::Error { text: &error }.log();
            turned_away(&mut stream, &misconfigured(prepared), Exit::NoPerm)
        }
    }
}

fn make_and_serve(prepared: &Prepared, link: Link) -> Result<Exit, Failed> {
    let listener = link.onto(HANDOVER)?;
    let template = prepared.confine_template()?;
    // The listener has a new table, or has ended; the same below.
    let Some(link) = made(&template, &listener)? else { Exit::Ok.at_once() };
    let link = link.in_place_of(listener)?;
    let own = std::process::id();
    let confined = template.close()?;
    let Some(link) = handover::wait(link, own)? else { Exit::Ok.at_once() };
    let Some(caller) = handover::receive(link)? else { Exit::Ok.at_once() };
    let mut stream = Plain::told(caller.connection.as_fd(), prepared.site.smap.timeout);
    let client = Who { address: Some(caller.client), greeted: caller.greeted };
    // The end of the process closes the connection.
    serve_client(prepared, &confined, &mut stream, client, None).at_once()
}

/// Makes a process whenever the listener asks for one; in that one it gives its link. None if the listener is gone.
fn made(template: &Template, listener: &Link) -> Result<Option<Link>, Failed> {
    while let Some(link) = handover::asked(listener)? {
        match template.fork() {
            Ok(ForkResult::Child) => return Ok(Some(link)),
            Ok(ForkResult::Parent { .. }) => link.close(),
            // Without the link the listener knows that it was not made.
            Err(errno) => {
                link.close();
                Event::Error { text: &format_args!("no process for a session: {errno}") }.log();
            }
        }
    }
    Ok(None)
}

/// Why a process without a client ends.
#[derive(Debug)]
enum Failed {
    Confine(ConfineError),
    Link(io::Error),
}

impl From<ConfineError> for Failed {
    fn from(error: ConfineError) -> Self {
        Self::Confine(error)
    }
}

impl From<io::Error> for Failed {
    fn from(error: io::Error) -> Self {
        Self::Link(error)
    }
}

fn failed(why: Failed) -> Exit {
    match why {
        Failed::Confine(error) => {
            Event::Error { text: &error }.log();
            Exit::NoPerm
        }
        Failed::Link(error) => {
            Event::Error { text: &error }.log();
            Exit::TempFail
        }
    }
}

fn serve_client(
    prepared: &Prepared,
    confined: &Confined,
    stream: &mut Plain<'_>,
    who: Who,
    asker: Option<Asker>,
) -> Exit {
    let id = match QueueId::generate() {
        Ok(id) => id,
        Err(cause) => {
            Event::Error { text: &cause }.log();
            return turned_away(stream, &misconfigured(prepared), Exit::TempFail);
        }
    };
    let site = &prepared.site;
    let client = who.address.map(|client| SocketAddr::new(client.ip().to_canonical(), client.port()));
    let origin = Origin { client, ..Origin::default() };
    let session = Session::new(&site.hostname.to_string(), prepared.limits(), origin);
    let session = if who.greeted { session.greeted() } else { session };
    let shadow = site.shadow.as_ref().and_then(|shadow| shadow.as_ref().ok());
    let case = Case { table: &site.smap, shadow, hostname: &site.hostname, client, id };
    let service = Service { case, folder: &prepared.incoming };
    serve(confined, &service, session, stream, asker);
    Exit::Ok
}

fn misconfigured(prepared: &Prepared) -> Reply {
    replies::misconfigured(&prepared.site.hostname.to_string())
}

fn turned_away(stream: &mut Plain<'_>, reply: &Reply, exit: Exit) -> Exit {
    // The log has the reason; a client that does not take the reply has nothing of it.
    let _unheard = stream.write_all(reply.to_wire(true).as_bytes(), LAST_WORDS);
    exit
}

/// Whether a descriptor is a socket: then a client is on the other end of it, of whatever kind.
#[must_use]
pub fn is_socket(fd: BorrowedFd<'_>) -> bool {
    getsockopt(&fd, sockopt::SockType).is_ok()
}

/// The client on the other end of a socket; `None` if it is none, or not an Internet one.
#[must_use]
pub fn peer(fd: BorrowedFd<'_>) -> Option<SocketAddr> {
    let peer: SockaddrStorage = getpeername(fd.as_raw_fd()).ok()?;
    let v4 = |address: &SockaddrIn| SocketAddr::V4(SocketAddrV4::from(*address));
    let v6 = |address: &SockaddrIn6| SocketAddr::V6(SocketAddrV6::from(*address));
    peer.family()?;
    peer.as_sockaddr_in().map(v4).or_else(|| peer.as_sockaddr_in6().map(v6))
}
