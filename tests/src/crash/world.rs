//! A gateway on ground that can lose its power, the hosts around it, and all that they have got.

use std::fmt;
use std::fs::{self, File};
use std::net::Shutdown;
use std::os::fd::OwnedFd;
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use smap_common::spool::{Outcome, QueueState};
use tempfile::TempDir;

use super::copies::{Copy, Notice};
use super::disk::{Disk, FILLING, Filesystem, Lost};
use super::letters::{self, Letter, Said};
use super::tracer::{self, Fault, Trace};
use super::weather::Weather;
use super::{copies, letters::Way};
use crate::clock::Clock;
use crate::gateway::{Gateway, chmod};
use crate::post::folder_of_smapd;
use crate::sink::Sink;

/// How long a traced program may take before it is killed.
const PATIENCE: Duration = Duration::from_secs(4);
/// How long what is left may take to be delivered, on a machine that has much else to do.
const DRAIN_PATIENCE: Duration = Duration::from_secs(60);
/// When what is left is delivered, by the clock: everything is due, what a writer left behind is old, and no sender is
/// told of a delay.
const LATER: i64 = 3600;

/// The list, and who is on it.
pub const LIST: &str = "club@gw.example.com";
/// They.
pub const ON_THE_LIST: [&str; 7] = [
    "b@relay.example",
    "later@relay.example",
    "never@relay.example",
    "c@maildir.example",
    "d@lmtp.example",
    "e@mbox.example",
    "f@relay.example",
];

/// A program that keeps the mail that it is given: durable when it says so. Its text is an argument: a shell that cannot
/// read it from a file takes that for the end, and says that all is well.
const KEEP: &str = r#"/bin/sh -c "
    new=$(mktemp \"$1/.new.XXXXXX\") && cat >\"$new\" && sync \"$new\" &&
    mv \"$new\" \"$1/$2.${new##*.}\" && sync \"$1\" || exit 75" keep"#;

/// What loses its power.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Ground {
    /// Nothing: programs are killed, and the kernel lives.
    Firm,
    /// The spool and the mailboxes, on one filesystem.
    Whole(Filesystem),
    /// The mailboxes, while all that was done in the spool is durable: the order of two filesystems is nobody's.
    Mailboxes(Filesystem),
}

impl fmt::Display for Ground {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Firm => f.write_str("without a cut"),
            Self::Whole(kind) => write!(f, "on {kind}"),
            Self::Mailboxes(kind) => write!(f, "with mailboxes on {kind}"),
        }
    }
}

/// A gateway and the hosts around it.
#[derive(Debug)]
pub struct World {
    // Unmounted before the folder goes.
    disk: Option<Disk>,
    ground: Ground,
    /// Its table and spool.
    pub gateway: Gateway,
    relay: Sink,
    lmtp: Sink,
    home: Sink,
    weather: Arc<Weather>,
    clock: Clock,
    tools: TempDir,
    preload: Option<PathBuf>,
}

impl World {
    /// With a library that is loaded into the programs, if one is named.
    ///
    /// # Panics
    /// There is no room for it.
    #[must_use]
    pub fn new(ground: Ground, preload: Option<&Path>) -> Self {
        let tools = tempfile::Builder::new().prefix("smap-crash-").tempdir().expect("a temporary folder");
        chmod(tools.path(), 0o755);
        let weather = Arc::new(Weather::default());
        let (relay, lmtp) = (Arc::clone(&weather), Arc::clone(&weather));
        let home = Arc::clone(&weather);
        let mut world = Self {
            disk: None,
            ground,
            gateway: Gateway::without_spool(""),
            relay: Sink::scripted(move |_, line| relay.act(line)),
            lmtp: Sink::lmtp(move |_, line| lmtp.act(line)),
            home: Sink::scripted(move |_, line| home.act_at_home(line)),
            weather,
            clock: Clock::new(tools.path()),
            tools,
            preload: preload.map(Path::to_owned),
        };
        world.clock.set_time_of_day(LATER);
        world.disk = match ground {
            Ground::Firm => None,
            Ground::Whole(kind) => Some(Disk::new(kind, world.gateway.folder(), || {
                world.furnish(&[Self::spool, Self::mailboxes])
            })),
            Ground::Mailboxes(kind) => {
                fs::create_dir(world.mail()).unwrap();
                let disk = Disk::new(kind, &world.mail(), || world.mailboxes());
                fs::remove_dir(world.mail()).unwrap();
                Some(disk)
            }
        };
        world
    }

    /// What loses its power.
    #[must_use]
    pub fn ground(&self) -> Ground {
        self.ground
    }

    fn furnish(&self, parts: &[fn(&Self)]) {
        chmod(self.gateway.folder(), 0o755);
        parts.iter().for_each(|part| part(self));
    }

    fn mail(&self) -> PathBuf {
        self.gateway.folder().join("mail")
    }

    /// The table and an empty spool.
    fn spool(&self) {
        let (mail, keep) = (self.mail(), KEEP.replace('\n', " "));
        let mail = mail.display();
        self.gateway.write_table(&format!(
            "smap, smapd: domain relay.example smtp:[127.0.0.1]:{}\n\
             smap, smapd: domain lmtp.example lmtp:127.0.0.1:{}\n\
             smap, smapd: domain sender.example smtp:[127.0.0.1]:{}\n\
             smap, smapd: domain maildir.example maildir:{mail}/%u/\n\
             smap, smapd: domain mbox.example mbox:{mail}/%u.mbox\n\
             smap, smapd: domain pipe.example pipe:{keep} {mail}/pipe %u\n\
             smapd: aliases {}\n",
            self.relay.port(),
            self.lmtp.port(),
            self.home.port(),
            self.aliases().display(),
        ));
        let list = self.gateway.folder().join("list");
        fs::write(self.aliases(), format!("club: :include:{}\n", list.display())).unwrap();
        self.write_list(ON_THE_LIST.iter().copied());
        let _old = fs::remove_dir_all(self.gateway.spool());
        self.gateway.layout().create_missing().expect("the spool can be made");
    }

    fn aliases(&self) -> PathBuf {
        self.gateway.folder().join("aliases")
    }

    fn write_list<'a>(&self, names: impl Iterator<Item = &'a str>) {
        let names: String = names.map(|name| format!("{name}\n")).collect();
        fs::write(self.gateway.folder().join("list"), names).unwrap();
    }

    /// The list has other members in another order from now on: whose delivery has begun must not see it.
    pub fn change_list(&self) {
        self.write_list(std::iter::once("stranger@relay.example").chain(ON_THE_LIST.iter().rev().copied()));
    }

    fn mailboxes(&self) {
        let mail = self.mail();
        if mail.exists() {
            // A filesystem of its own.
            let smapd = crate::gateway::SMAPD_UID;
            std::os::unix::fs::chown(&mail, Some(smapd), Some(smapd)).unwrap();
        } else {
            folder_of_smapd(&mail);
        }
        folder_of_smapd(&mail.join("pipe"));
    }

    /// Everything is empty.
    pub fn fresh(&mut self) {
        match (self.ground, &mut self.disk) {
            (Ground::Whole(_), Some(disk)) => disk.fresh(),
            (Ground::Mailboxes(_), Some(disk)) => {
                let _there = fs::create_dir(self.gateway.folder().join("mail"));
                disk.fresh();
                self.furnish(&[Self::spool]);
            }
            _ => {
                let _none = fs::remove_dir_all(self.mail());
                self.furnish(&[Self::spool, Self::mailboxes]);
            }
        }
        for sink in [&self.relay, &self.lmtp, &self.home] {
            sink.forget();
        }
    }

    /// What is lost with the power.
    pub fn lose(&mut self, lost: Lost) {
        if let Some(disk) = &mut self.disk {
            disk.lose(lost);
        }
    }

    /// The power goes and comes back, where that can be.
    pub fn cut(&mut self) {
        if let Some(disk) = &mut self.disk {
            disk.write_over_what_is_free();
            disk.cut();
            disk.again();
        }
    }

    /// The power goes while programs run that must not run when it comes back: `end` ends them.
    pub fn cut_under(&mut self, end: impl FnOnce()) {
        self.disk_under_programs().into_iter().for_each(Disk::cut);
        end();
        self.cut();
    }

    /// The power goes, where it can while programs are there. They do nothing: they are traced.
    fn cut_under_traced(&self) {
        if let Some(disk) = self.disk_under_programs() {
            disk.write_over_what_is_free();
            disk.cut();
        }
    }

    fn disk_under_programs(&self) -> Option<&Disk> {
        self.disk.as_ref().filter(|disk| disk.can_be_cut_under_programs())
    }

    /// Sets how the hosts behave.
    pub fn weather(&self, bad: bool, home_is_down: bool) {
        self.weather.bad.store(bad, Ordering::SeqCst);
        self.weather.home_is_down.store(home_is_down, Ordering::SeqCst);
    }

    /// One of our programs, with the library that is to be loaded into it.
    #[must_use]
    pub fn program(&self, name: &str) -> Command {
        let mut program = self.gateway.program(name);
        if let Some(library) = &self.preload {
            program.env("LD_PRELOAD", library);
        }
        program
    }

    /// A session of smap, traced.
    ///
    /// # Panics
    /// There are no sockets.
    pub fn traced_session(&self, letters: &[Letter], fault: Option<&Fault>) -> (Vec<Said>, Trace) {
        let mut smap = self.program("smap");
        let (ours, theirs) = UnixStream::pair().unwrap();
        let end: OwnedFd = theirs.into();
        smap.stdin(end.try_clone().unwrap()).stdout(end).stderr(Stdio::null());
        std::thread::scope(|scope| {
            let client = scope.spawn(|| {
                ours.set_read_timeout(Some(2 * PATIENCE)).unwrap();
                ours.set_write_timeout(Some(2 * PATIENCE)).unwrap();
                let said = letters::send(&ours, letters);
                let _closed = ours.shutdown(Shutdown::Both);
                said
            });
            let trace = scope.spawn(move || {
                let trace = tracer::run(&mut smap, fault, PATIENCE, &|| self.cut_under_traced());
                // The command keeps its end of the connection as long as it lives.
                drop(smap);
                trace
            });
            (client.join().expect("the client"), trace.join().expect("the tracer"))
        })
    }

    /// A session of smap.
    ///
    /// # Panics
    /// There are no sockets.
    pub fn session(&self, letters: &[Letter]) -> Vec<Said> {
        let mut smap = self.program("smap");
        let (ours, theirs) = UnixStream::pair().unwrap();
        let end: OwnedFd = theirs.into();
        let mut child =
            smap.stdin(end.try_clone().unwrap()).stdout(end).stderr(Stdio::null()).spawn().unwrap();
        drop(smap);
        ours.set_read_timeout(Some(PATIENCE)).unwrap();
        let said = letters::send(&ours, letters);
        let _closed = ours.shutdown(Shutdown::Both);
        let _ended = child.wait();
        said
    }

    /// A session that its client leaves in the middle of a text.
    ///
    /// # Panics
    /// There are no sockets.
    pub fn broken_session(&self) {
        let mut letter = Letter::new("broken", &["b@relay.example"], 100_000, Way::Chunks(70_000));
        letter.text.truncate(80_000);
        let mut smap = self.program("smap");
        let (ours, theirs) = UnixStream::pair().unwrap();
        let end: OwnedFd = theirs.into();
        let mut child =
            smap.stdin(end.try_clone().unwrap()).stdout(end).stderr(Stdio::null()).spawn().unwrap();
        drop(smap);
        letters::send_half(&ours, &letter);
        let _closed = ours.shutdown(Shutdown::Both);
        let _ended = child.wait();
    }

    /// One pass of smapd, traced.
    ///
    /// # Panics
    /// There is no room for its log.
    pub fn traced_smapd(&self, fault: Option<&Fault>) -> Trace {
        let mut smapd = self.program("smapd");
        smapd.args(["--once", "--foreground"]).stdin(Stdio::null()).stdout(Stdio::null());
        smapd.stderr(File::create(self.tools.path().join("log")).unwrap());
        std::thread::scope(|scope| {
            scope
                .spawn(|| tracer::run(&mut smapd, fault, PATIENCE, &|| self.cut_under_traced()))
                .join()
                .expect("the tracer")
        })
    }

    /// What the last traced smapd said.
    #[must_use]
    pub fn log(&self) -> String {
        fs::read_to_string(self.tools.path().join("log")).unwrap_or_default()
    }

    /// Delivers all that is left, in good weather and an hour later; says what is wrong with that.
    ///
    /// # Errors
    /// smapd does not end, or not well, or leaves something in the spool.
    pub fn drain(&self) -> Result<(), String> {
        self.weather(false, false);
        let mut left = Vec::new();
        for _ in 0..3 {
            let mut smapd = self.clock.for_program(self.gateway.program("smapd"));
            smapd.args(["--once", "--foreground"]).stdin(Stdio::null()).stdout(Stdio::null());
            let log = self.tools.path().join("drain");
            // What an earlier pass said may be why the last one found what it found.
            smapd.stderr(File::options().append(true).create(true).open(&log).unwrap());
            let code = ended_within(&mut smapd, DRAIN_PATIENCE);
            let said = || fs::read_to_string(&log).unwrap_or_default();
            match code {
                None => return Err(format!("smapd does not end:\n{}", said())),
                Some(0) => {}
                Some(code) => return Err(format!("smapd ends with {code}:\n{}", said())),
            }
            left = self.names(&["incoming", "queue"]);
            if left.is_empty() {
                return Ok(());
            }
        }
        Err(format!(
            "left in the spool: {left:?}:\n{}",
            fs::read_to_string(self.tools.path().join("drain")).unwrap_or_default()
        ))
    }

    /// What lies in these folders of the spool.
    ///
    /// # Panics
    /// They are not there.
    #[must_use]
    pub fn names(&self, folders: &[&str]) -> Vec<String> {
        let mut names = Vec::new();
        for folder in folders {
            for entry in fs::read_dir(self.gateway.spool().join(folder)).expect("a folder of the spool") {
                names.push(format!("{folder}/{}", entry.unwrap().file_name().to_string_lossy()));
            }
        }
        names
    }

    /// What lies in the spool with what was written over it: it was removed, and not for good.
    #[must_use]
    pub fn written_over(&self) -> Vec<String> {
        let mut names = self.names(&["incoming", "queue"]);
        names.retain(|name| {
            let text = fs::read(self.gateway.spool().join(name)).unwrap_or_default();
            text.windows(FILLING.len()).any(|part| part == FILLING)
        });
        names
    }

    /// Why something was set aside, each reason with its file.
    ///
    /// # Panics
    /// There is no folder for it.
    #[must_use]
    pub fn reasons(&self) -> Vec<String> {
        let files = self.names(&["bad"]).into_iter().filter(|name| name.ends_with(".reason"));
        let read = |name: &String| fs::read_to_string(self.gateway.spool().join(name)).unwrap_or_default();
        files.map(|name| format!("{name}: {}", read(&name).trim_end())).collect()
    }

    /// Whether the spool says that this recipient of a message is to be delivered to yet.
    #[must_use]
    pub fn is_due(&self, id: &str, recipient: u32) -> bool {
        let spool = self.gateway.spool();
        if !["incoming", "queue"].iter().any(|folder| spool.join(folder).join(id).exists()) {
            return false;
        }
        let state = fs::read(spool.join("queue").join(format!("{id}.state"))).unwrap_or_default();
        // A line that was torn says nothing.
        let marks = QueueState::parse(&state).marks;
        !marks.get(&recipient).is_some_and(|mark| mark.outcome == Outcome::Delivered)
    }

    /// Every copy that anyone has got, and every notification.
    #[must_use]
    pub fn copies(&self) -> (Vec<Copy>, Vec<Notice>) {
        let mut all = copies::relayed(&self.relay.received());
        all.extend(copies::relayed(&self.lmtp.received()));
        all.extend(copies::in_folder(&self.mail()));
        (all, self.home.received().iter().map(Notice::of).collect())
    }
}

/// Its exit code; none if it had to be killed.
fn ended_within(command: &mut Command, patience: Duration) -> Option<i32> {
    use std::os::unix::process::CommandExt;
    let mut child = command.process_group(0).spawn().expect("smapd can be started");
    let until = std::time::Instant::now() + patience;
    loop {
        if let Ok(Some(status)) = child.try_wait() {
            return Some(status.code().unwrap_or(128));
        }
        if std::time::Instant::now() > until {
            let _dead = (child.kill(), child.wait());
            return None;
        }
        std::thread::sleep(Duration::from_millis(1));
    }
}
