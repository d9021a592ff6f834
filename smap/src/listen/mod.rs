//! `smap --listen`: accepts, counts, greets, forks. It reads no byte from the network.
//!
//! Decides who is too many. Guarantees that a session has a process of its own, which is confined before it
//! reads, and that neither a new table nor the end of the listener disturbs a session in progress. A few of these
//! processes are made before their clients come, by a template: confinement takes longer than all else until the
//! greeting.

use std::io;
use std::net::{IpAddr, SocketAddr, TcpListener, TcpStream};
use std::os::fd::{AsFd, AsRawFd, BorrowedFd};
use std::path::Path;
use std::time::{Duration, Instant};

use nix::errno::Errno;
use nix::poll::{PollFd, PollFlags, ppoll};
use nix::sys::signal::{SigSet, Signal};
use nix::sys::signalfd::SignalFd;
use nix::sys::socket::{MsgFlags, send};
use nix::sys::wait::{WaitPidFlag, WaitStatus, waitpid};
use nix::unistd::{ForkResult, Pid, fork};
use smap_common::confine;
use smap_common::exit::Exit;
use smap_common::link::Link;
use smap_common::log::Event;
use smap_common::spool::QueueId;

use self::sessions::Sessions;
use self::sockets::{block_signals, open};
use self::spares::Spares;
use crate::handover::Caller;
use crate::one;
use crate::replies::{self, Reply};
use crate::startup::Prepared;

mod sessions;
mod sockets;
mod spares;

/// How long sessions are waited for after SIGTERM; then they go on without the listener.
const LAST_PATIENCE: Duration = Duration::from_secs(60);
/// How long nobody is accepted after the system had no room.
const PAUSE: Duration = Duration::from_millis(100);

/// Why there is no listener.
#[derive(Debug)]
pub struct ListenError(String);

impl std::fmt::Display for ListenError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.0)
    }
}

/// Listens on `addresses` until SIGTERM, and until the last session has ended.
///
/// # Errors
/// A port cannot be bound, or the kernel has nothing left for us.
pub fn run(table: &Path, prepared: Box<Prepared>, addresses: &[SocketAddr]) -> Result<Exit, ListenError> {
    let signals = block_signals().map_err(|errno| ListenError(errno.to_string()))?;
    let listeners = addresses
        .iter()
        .map(|address| open(*address, addresses).map_err(|cause| ListenError(format!("{address}: {cause}"))))
        .collect::<Result<Vec<_>, _>>()?;
    confine::keep_only_what_children_need(prepared.site.layout.root())
        .map_err(|error| ListenError(error.to_string()))?;
    for listener in &listeners {
        if let Ok(address) = listener.local_addr() {
            Event::Said { text: &format!("listening on {address}") }.log();
        }
    }
    warn_of_missing_answers(&prepared);
    find_out_for_all().map_err(|cause| ListenError(cause.to_string()))?;
    let server = Listener {
        table,
        prepared,
        listeners,
        signals,
        sessions: Sessions::default(),
        spares: Spares::new(),
        stopping: None,
        paused_until: None,
    };
    server.life().map_err(|cause| ListenError(cause.to_string()))
}

/// A listener without smap-lookup serves those whom their address lets in, and tells all others to come back: it
/// may be the one that starts first, and a port that is closed until somebody opens it would help nobody.
fn warn_of_missing_answers(prepared: &Prepared) {
    if let Some(why) = prepared.why_no_answers() {
        Event::Warning { text: &format_args!("{why}; until it can be, clients are told to come back") }.log();
    }
}

/// What a process finds out when it first needs it is found out here, once, and not by each session: how random numbers
/// are had, and what the processor can do, each question of which leaves a virtual machine.
fn find_out_for_all() -> io::Result<()> {
    #[cfg(target_arch = "x86_64")]
    let _kept = std::arch::is_x86_feature_detected!("avx2");
    QueueId::generate().map(drop)
}

struct Listener<'a> {
    table: &'a Path,
    prepared: Box<Prepared>,
    listeners: Vec<TcpListener>,
    signals: SignalFd,
    sessions: Sessions,
    spares: Spares,
    /// Set by SIGTERM: until when sessions are waited for.
    stopping: Option<Instant>,
    /// Set by a failing accept: until when nobody is accepted.
    paused_until: Option<Instant>,
}

impl Listener<'_> {
    fn life(mut self) -> io::Result<Exit> {
        while !self.is_over() {
            let ready = self.wait()?;
            self.read_signals()?;
            let is_quiet = ready.is_empty();
            for index in ready {
                if let Some(caller) = self.accept(index) {
                    self.become_child(Child::Session(caller));
                }
            }
            if self.stopping.is_none()
                && self.spares.are_due(is_quiet)
                && let Some(link) = self.make_spares()
            {
                self.become_child(Child::Template(link));
            }
        }
        match self.sessions.all() {
            0 => Event::Said { text: "stopped" }.log(),
            left => Event::Said { text: &format!("stopped; {left} sessions go on by themselves") }.log(),
        }
        Ok(Exit::Ok)
    }

    fn is_over(&self) -> bool {
        self.stopping.is_some_and(|until| self.sessions.all() == 0 || until <= Instant::now())
    }

    /// Waits for clients, signals, and the time to do something else; says which listeners have a client.
    fn wait(&self) -> io::Result<Vec<usize>> {
        let now = Instant::now();
        let pause = self.paused_until.filter(|until| *until > now);
        let wanted = if pause.is_some() { PollFlags::empty() } else { PollFlags::POLLIN };
        let mut fds = vec![PollFd::new(self.signals.as_fd(), PollFlags::POLLIN)];
        fds.extend(self.listeners.iter().map(|listener| PollFd::new(listener.as_fd(), wanted)));
        let until = pause.into_iter().chain(self.stopping).chain(self.next_spare()).min();
        let left = until.map(|until| until.saturating_duration_since(now).into());
        match ppoll(&mut fds, left, None) {
            Ok(_) | Err(Errno::EINTR) => {}
            Err(errno) => return Err(errno.into()),
        }
        let ready = fds.iter().skip(1).enumerate().filter(|(_, fd)| fd.any() == Some(true));
        Ok(ready.map(|(index, _)| index).collect())
    }

    fn read_signals(&mut self) -> io::Result<()> {
        while let Some(signal) = self.signals.read_signal()? {
            match i32::try_from(signal.ssi_signo).ok().and_then(|number| Signal::try_from(number).ok()) {
                Some(Signal::SIGCHLD) => self.reap(),
                Some(Signal::SIGHUP) => self.reload(),
                _ => self.stop(),
            }
        }
        Ok(())
    }

    fn reap(&mut self) {
        loop {
            match waitpid(None, Some(WaitPidFlag::WNOHANG)) {
                Ok(WaitStatus::Exited(pid, _)) => self.forget(pid),
                Ok(WaitStatus::Signaled(pid, signal, _)) => {
                    self.forget(pid);
                    Event::Error { text: &format_args!("session process {pid} died of {signal}") }.log();
                }
                Err(Errno::EINTR) => {}
                Ok(_) | Err(_) => return,
            }
        }
    }

    fn forget(&mut self, pid: Pid) {
        self.sessions.remove(pid);
        self.spares.remove(pid);
    }

    /// A new table is for new sessions; a broken one is not used.
    fn reload(&mut self) {
        match Prepared::load_for_children(self.table).map(Box::new) {
            Ok(prepared) if !confine::can_confine_in(prepared.site.layout.root()) => {
                let (table, root) = (self.table.display(), prepared.site.layout.root().display());
                let what = "is closed to a listener that was started without it: start it anew";
                let text = format!("{table}: {root} {what}; the old table stays in force");
                Event::Error { text: &text }.log();
            }
            Ok(prepared) => {
                self.prepared = prepared;
                self.spares = Spares::new();
                Event::Said { text: "the table was read again" }.log();
                warn_of_missing_answers(&self.prepared);
            }
            Err(faults) => {
                for line in faults.lines() {
                    Event::Error { text: &format_args!("{line}; the old table stays in force") }.log();
                }
            }
        }
    }

    fn stop(&mut self) {
        let sessions = self.sessions.all();
        Event::Said { text: &format!("stopping; {sessions} sessions may go on to their end") }.log();
        self.listeners.clear();
        self.spares = Spares::new();
        self.stopping.get_or_insert(Instant::now() + LAST_PATIENCE);
    }

    fn next_spare(&self) -> Option<Instant> {
        self.spares.next().filter(|_| self.stopping.is_none())
    }

    /// Has processes made for clients to come, by a template, which is forked where there is none: in it this gives
    /// the link on which it will be asked.
    fn make_spares(&mut self) -> Option<Link> {
        if self.spares.have_old_log() {
            self.spares = Spares::new();
        }
        if self.spares.has_template() {
            self.spares.ask();
            return None;
        }
        let made = Link::pair().and_then(|pair| Ok((pair, fork_child()?)));
        match made {
            Ok(((_, theirs), ForkResult::Child)) => Some(theirs),
            Ok(((ours, _), ForkResult::Parent { child })) => {
                self.spares.made_by(child, ours);
                self.spares.ask();
                None
            }
            // Whoever comes gets a process of his own, or is told that there is no room.
            Err(_) => {
                self.spares.pause();
                None
            }
        }
    }

    /// Takes a client, and hands it over or forks; in a new process it gives the client back.
    fn accept(&mut self, index: usize) -> Option<Caller> {
        // A signal may have closed the listeners meanwhile.
        let (stream, client) = match self.listeners.get(index)?.accept() {
            Ok(accepted) => accepted,
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => return None,
            Err(error) => {
                self.no_room(&error);
                return None;
            }
        };
        self.paused_until = None;
        let host = client.ip().to_canonical();
        if let Some(refusal) = self.too_many(host) {
            turn_away(stream.as_fd(), client, &refusal);
            return None;
        }
        let greeted = !self.prepared.may_need_name(client) && self.greet(&stream, client);
        let caller = Caller { connection: stream.into(), client, greeted };
        // One that is confined already has no way to smap-lookup.
        if !self.prepared.may_ask(client)
            && let Some(pid) = self.spares.hand_over(&caller, self.prepared.site.smap.timeout)
        {
            self.sessions.add(pid, host);
            return None;
        }
        match fork_child() {
            Ok(ForkResult::Child) => return Some(caller),
            Ok(ForkResult::Parent { child }) => self.sessions.add(child, host),
            Err(errno) => {
                Event::Error { text: &format_args!("fork: {errno}") }.log();
                turn_away(caller.connection.as_fd(), client, &replies::busy(&self.name()));
            }
        }
        None
    }

    /// Greets a client that may connect whatever its name is: it can answer while it is handed over. Whether it was.
    fn greet(&self, stream: &TcpStream, client: SocketAddr) -> bool {
        let greeting = replies::ready(&self.name()).to_wire(true);
        self.prepared.permits(client)
            && say_at_once(stream.as_fd(), &greeting).is_ok_and(|sent| sent == greeting.len())
    }

    /// The system has nothing left for a new connection: it is asked again a little later, and said once.
    fn no_room(&mut self, error: &io::Error) {
        if self.paused_until.replace(Instant::now() + PAUSE).is_none() {
            Event::Warning { text: &format_args!("accept: {error}") }.log();
        }
    }

    /// What a host is told for which there is no room.
    fn too_many(&mut self, host: IpAddr) -> Option<Reply> {
        if self.has_room(host) {
            return None;
        }
        // Somebody may have left without our having heard of it yet.
        self.reap();
        if self.has_room(host) {
            None
        } else if self.sessions.all() >= self.prepared.site.smap.max_sessions.get() {
            Some(replies::busy(&self.name()))
        } else {
            Some(replies::busy_for_you(&self.name()))
        }
    }

    fn has_room(&self, host: IpAddr) -> bool {
        let smap = &self.prepared.site.smap;
        self.sessions.all() < smap.max_sessions.get()
            && self.sessions.of(host) < smap.max_sessions_per_host.get()
    }

    fn name(&self) -> String {
        self.prepared.site.hostname.to_string()
    }

    /// The rest of the life of a forked process: one session.
    fn become_child(self, child: Child) -> ! {
        let Self { prepared, listeners, signals, spares, .. } = self;
        drop((listeners, signals, spares));
        // A session that is told to end may end at any moment: what it has not acknowledged is not lost.
        let _stays_deaf = SigSet::all().thread_unblock();
        match child {
            Child::Template(link) => one::template(&prepared, link),
            Child::Session(caller) => one::forked(&prepared, &caller),
        }
    }
}

/// What a forked process has.
enum Child {
    /// Nobody ever: it makes those that a client is handed to, and this is where it is asked.
    Template(Link),
    /// A client.
    Session(Caller),
}

#[expect(unsafe_code, reason = "there is no other way to a new process without a new program")]
fn fork_child() -> nix::Result<ForkResult> {
    // SAFETY: the listener has one thread, so the child may do all that its parent might.
    unsafe { fork() }
}

/// Says no without waiting for the client.
fn turn_away(connection: BorrowedFd<'_>, client: SocketAddr, reply: &Reply) {
    let wire = reply.to_wire(true);
    // A client that does not take a line of text is told nothing.
    let _unheard = say_at_once(connection, &wire);
    Event::Warning {
        text: &format_args!("turned away host=unknown/{} reply=\"{}\"", client.ip(), wire.trim_end()),
    }
    .log();
}

/// Says what fits into a new connection, which a line of text does; nothing is read.
fn say_at_once(connection: BorrowedFd<'_>, wire: &str) -> nix::Result<usize> {
    send(connection.as_raw_fd(), wire.as_bytes(), MsgFlags::MSG_DONTWAIT | MsgFlags::MSG_NOSIGNAL)
}
