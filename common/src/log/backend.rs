//! Where lines go: descriptor 2, or syslogd by a backend of our own. It opens `/dev/log` before confinement, never
//! waits for it, counts what it had to drop, and says so with the next line that gets through. After [`settle`]
//! it opens nothing any more.

use std::io::Write as _;
use std::os::fd::{AsRawFd, OwnedFd};
use std::sync::Mutex;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant};

use log::{Level, LevelFilter, Log, Metadata, Record};
use nix::sys::socket::{AddressFamily, SockFlag, SockType, UnixAddr, connect, socket};
use nix::unistd::write;

use super::MAX_LINE;

/// Where the log goes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Target {
    /// To syslogd, facility mail.
    Syslog,
    /// To descriptor 2.
    Stderr,
    /// To syslogd, or to descriptor 2 where there is none. Not for a program whose descriptor 2 may be the
    /// client.
    SyslogOrStderr,
}

/// Opens the log for this process; to be called once, before confinement. Says whether it is descriptor 2.
pub fn init(program: &'static str, target: Target) -> bool {
    let syslog = Syslog::open(program);
    let to_stderr = match target {
        Target::Syslog => false,
        Target::Stderr => true,
        Target::SyslogOrStderr => !syslog.is_open(),
    };
    let backend: Box<dyn Log> = if to_stderr { Box::new(Stderr(program)) } else { Box::new(syslog) };
    if log::set_boxed_logger(backend).is_ok() {
        log::set_max_level(LevelFilter::Info);
    }
    to_stderr
}

/// The number of the process that may open nothing any more; 0 while it still may.
static SETTLED: AtomicU32 = AtomicU32::new(0);

/// From here on the log does with what is open: this process is about to lose the system calls that open more, or
/// that ask for its number.
pub fn settle() {
    SETTLED.store(std::process::id(), Ordering::Relaxed);
}

/// How often the log was opened again.
static REOPENED: AtomicU32 = AtomicU32::new(0);

/// Changes when the log is opened again: processes that settled before have the old one.
pub fn reopened() -> u32 {
    REOPENED.load(Ordering::Relaxed)
}

fn process() -> u32 {
    match SETTLED.load(Ordering::Relaxed) {
        0 => std::process::id(),
        settled => settled,
    }
}

fn may_open() -> bool {
    SETTLED.load(Ordering::Relaxed) == 0
}

struct Stderr(&'static str);

impl Log for Stderr {
    fn enabled(&self, _: &Metadata<'_>) -> bool {
        true
    }

    fn log(&self, record: &Record<'_>) {
        let line = bounded(format!("{}[{}]: {}", self.0, process(), record.args()));
        // In one write, so that lines of several processes stay apart; with nowhere to write to there is nobody
        // to tell.
        let _nobody = std::io::stderr().lock().write_all(format!("{line}\n").as_bytes());
    }

    fn flush(&self) {}
}

struct Syslog {
    program: &'static str,
    state: Mutex<SyslogState>,
}

struct SyslogState {
    socket: Option<OwnedFd>,
    dropped: u64,
    last_try: Instant,
}

/// How long a lost socket is left alone before it is opened again.
const REOPEN: Duration = Duration::from_secs(1);

impl Syslog {
    fn open(program: &'static str) -> Self {
        Self {
            program,
            state: Mutex::new(SyslogState {
                socket: connect_to_syslogd().ok(),
                dropped: 0,
                last_try: Instant::now(),
            }),
        }
    }

    fn is_open(&self) -> bool {
        self.state.lock().is_ok_and(|state| state.socket.is_some())
    }
}

fn connect_to_syslogd() -> nix::Result<OwnedFd> {
    let flags = SockFlag::SOCK_CLOEXEC | SockFlag::SOCK_NONBLOCK;
    let socket = socket(AddressFamily::Unix, SockType::Datagram, flags, None)?;
    connect(socket.as_raw_fd(), &UnixAddr::new("/dev/log")?)?;
    Ok(socket)
}

impl SyslogState {
    /// Sends a line, and with it how many were lost before; a lost one is counted.
    fn send(&mut self, line: &str) {
        let packet = match self.dropped {
            0 => line.to_owned(),
            dropped => format!("{line} dropped={dropped}"),
        };
        self.dropped = if self.get_through(&packet) { 0 } else { self.dropped.saturating_add(1) };
    }

    fn get_through(&mut self, packet: &str) -> bool {
        if self.try_send(packet) {
            return true;
        }
        // syslogd was started anew: smapd can open the socket again, a session of smap cannot.
        if !may_open() || self.last_try.elapsed() < REOPEN {
            return false;
        }
        self.last_try = Instant::now();
        if let Ok(socket) = connect_to_syslogd() {
            REOPENED.fetch_add(1, Ordering::Relaxed);
            self.socket = Some(socket);
        }
        self.try_send(packet)
    }

    fn try_send(&self, packet: &str) -> bool {
        // By write(2), which a session needs anyway.
        self.socket.as_ref().is_some_and(|socket| write(socket, packet.as_bytes()).is_ok())
    }
}

impl Log for Syslog {
    fn enabled(&self, _: &Metadata<'_>) -> bool {
        true
    }

    fn log(&self, record: &Record<'_>) {
        const MAIL: u8 = 2 << 3;
        let severity = match record.level() {
            Level::Error => 3,
            Level::Warn => 4,
            Level::Info => 6,
            Level::Debug | Level::Trace => 7,
        };
        let Ok(mut state) = self.state.lock() else { return };
        let line = bounded(format!("{}[{}]: {}", self.program, process(), record.args()));
        state.send(&format!("<{}>{line}", MAIL | severity));
    }

    fn flush(&self) {}
}

fn bounded(mut line: String) -> String {
    if line.len() > MAX_LINE {
        line.truncate(line.floor_char_boundary(MAX_LINE));
    }
    line
}

#[cfg(test)]
mod tests {
    use std::os::unix::net::UnixDatagram;

    use super::*;

    #[test]
    fn the_next_line_that_gets_through_says_how_many_were_lost() {
        let (ours, theirs) = UnixDatagram::pair().unwrap();
        let mut state = SyslogState { socket: None, dropped: 0, last_try: Instant::now() };
        ["one", "two", "three"].iter().for_each(|line| state.send(line));
        state.socket = Some(ours.into());
        ["four", "five"].iter().for_each(|line| state.send(line));
        let received = || {
            let mut buffer = [0; 100];
            let octets = theirs.recv(&mut buffer).unwrap();
            String::from_utf8_lossy(&buffer[..octets]).into_owned()
        };
        assert_eq!([received(), received()], ["four dropped=3", "five"]);
    }
}
