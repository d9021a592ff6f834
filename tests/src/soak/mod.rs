//! A long run under everything at once: clients of every kind, destinations that come and go, processes that are
//! killed, clocks that jump. What must hold is looked at all the time, and at the end.
//!
//! The first part of a run is rough: any process may be killed, and the clock is moved. In the second the programs
//! that live long are left alone, so that it can be seen whether they grow. Then nobody sends any more, everyone
//! takes mail, and the spool has to become empty.

mod book;
mod chance;
mod clients;
mod killer;
mod letter;
mod lives;
mod places;
mod report;
mod watch;

use std::fs::File;
use std::path::PathBuf;
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use self::book::Book;
use self::chance::Chance;
use self::clients::Traffic;
use self::killer::Keeper;
use self::letter::HOME;
use self::places::{Server, empty_maildir, empty_maildirs};
use self::report::Report;
use crate::clock::{Clock, DAY};
use crate::dns::Dns;
use crate::gateway::Gateway;
use crate::needs::is_root;
use crate::post::folder_of_smapd;
use crate::{process, programs};

/// How it is run.
#[derive(Debug, Clone)]
pub struct Settings {
    /// How long mail is sent.
    pub length: Duration,
    /// The same seed sends the same messages.
    pub seed: u64,
    /// Clients at a time.
    pub clients: u64,
    /// Where the report goes; a file, beside what is shown.
    pub report: Option<PathBuf>,
    /// Where the logs of every smapd go.
    pub log: Option<PathBuf>,
}

/// Part of the time in which anything is killed.
const ROUGH: f64 = 0.55;
/// How long nothing may come of it that everyone takes mail, before the queue is empty.
const DRAIN: Duration = Duration::from_mins(3);
const GLANCE: Duration = Duration::from_millis(200);
/// Between two lines of progress.
const LINE: Duration = Duration::from_secs(10);
/// smap-lookup's user where root runs it.
const LOOKUP_UID: u32 = 40003;
/// Older than what a writer left behind may become.
const OLD: i64 = 120;

/// Runs it; says whether everything held.
///
/// # Panics
/// It cannot begin.
#[must_use]
pub fn run(settings: &Settings) -> bool {
    let mut chance = Chance::new(settings.seed);
    let mut servers = servers(&mut chance);
    let dns = Dns::start("mail.named.example A 127.0.0.1");
    let gateway = Gateway::new("");
    gateway.write_table(&table(&gateway, &servers, &dns));
    for folder in ["mail", "kept", "kept/new", "kept/tmp"] {
        folder_of_smapd(&gateway.folder().join(folder));
    }
    let clock = Clock::new(gateway.folder());
    let (book, traffic) = (Arc::new(Book::default()), Arc::new(Traffic::default()));
    let mut report = Report::begin(settings);
    let mut keeper = Keeper::new(&gateway, &clock, Arc::clone(&book), Arc::clone(&traffic), chance.next());
    keeper.log = settings.log.as_ref().map(|path| File::create(path).expect("the log can be written"));
    keeper.keep();
    let clients: Vec<_> = (0..settings.clients)
        .map(|_| {
            let (traffic, book, chance) =
                (Arc::clone(&traffic), Arc::clone(&book), Chance::new(chance.next()));
            std::thread::spawn(move || clients::live(&traffic, &book, chance))
        })
        .collect();

    send_and_disturb(
        settings,
        &mut chance,
        (&mut servers, &book, &gateway),
        &clock,
        (&mut keeper, &mut report),
    );
    traffic.over.store(true, Ordering::SeqCst);
    servers.iter_mut().for_each(Server::calm_down);
    clients.into_iter().for_each(|client| client.join().expect("a client does not stop"));
    clock.set_time_of_day(OLD);
    let emptied = drain(&mut servers, &book, &gateway, &mut keeper, &mut report);
    keeper.write_log();
    report.end(&book, &keeper, emptied)
}

/// The time in which mail is sent: what comes is looked at, programs are killed, the clock jumps.
fn send_and_disturb(
    settings: &Settings,
    chance: &mut Chance,
    (servers, book, gateway): (&mut [Server], &Book, &Gateway),
    clock: &Clock,
    (keeper, report): (&mut Keeper<'_>, &mut Report),
) {
    let begun = Instant::now();
    let rough = settings.length.mul_f64(ROUGH);
    let mut next_line = begun + LINE;
    let mut next_jump = begun + jump_after(chance, settings.length);
    let mut jumped = false;
    while begun.elapsed() < settings.length {
        std::thread::sleep(GLANCE);
        look(servers, book, gateway, false);
        let is_rough = begun.elapsed() < rough;
        keeper.tend(is_rough);
        if Instant::now() > next_jump || (jumped && !is_rough) {
            jumped = is_rough && !jumped;
            clock.set_time_of_day(if !jumped {
                0
            } else if chance.one_in(2) {
                DAY
            } else {
                -DAY
            });
            report.jumps += u64::from(jumped);
            next_jump = Instant::now()
                + if jumped { Duration::from_secs(4) } else { jump_after(chance, settings.length) };
        }
        if Instant::now() > next_line {
            next_line += LINE;
            report.progress(book, keeper);
        }
    }
}

/// A jump takes a few seconds; a short run has one too.
fn jump_after(chance: &mut Chance, length: Duration) -> Duration {
    (length / 5).min(Duration::from_secs(30)) + Duration::from_millis(chance.next() % 5000)
}

fn look(servers: &mut [Server], book: &Book, gateway: &Gateway, calm: bool) {
    servers.iter_mut().for_each(|server| server.tend(book, calm));
    empty_maildirs(book, &gateway.folder().join("mail"));
    empty_maildir(book, &gateway.folder().join("kept"));
}

/// Waits until nothing is left; what is, if it does not become empty.
fn drain(
    servers: &mut [Server],
    book: &Book,
    gateway: &Gateway,
    keeper: &mut Keeper<'_>,
    report: &mut Report,
) -> Vec<String> {
    let begun = Instant::now();
    let mut next_line = begun + LINE;
    let (mut before, mut since) = ((0, 0), begun);
    loop {
        std::thread::sleep(GLANCE);
        look(servers, book, gateway, true);
        keeper.keep();
        let left: Vec<String> =
            ["incoming", "queue", "bad"].iter().flat_map(|folder| names(gateway, folder)).collect();
        let now = (left.len(), book.counts().copies);
        if now != before {
            (before, since) = (now, Instant::now());
        }
        if left.is_empty() || since.elapsed() > DRAIN {
            // What the last of it was may have been noted in this moment.
            std::thread::sleep(GLANCE);
            look(servers, book, gateway, true);
            report.drained = begun.elapsed();
            return left;
        }
        if Instant::now() > next_line {
            next_line += LINE;
            report.progress(book, keeper);
        }
    }
}

fn names(gateway: &Gateway, folder: &str) -> Vec<String> {
    let entries = std::fs::read_dir(gateway.spool().join(folder)).into_iter().flatten().flatten();
    entries.map(|entry| format!("{folder}/{}", entry.file_name().to_string_lossy())).collect()
}

fn servers(chance: &mut Chance) -> Vec<Server> {
    let domains =
        ["relay0.example", "relay1.example", "relay2.example", "named.example", "lmtp.example", HOME];
    domains
        .into_iter()
        .map(|domain| Server::new(domain == "lmtp.example", Chance::new(chance.next())))
        .collect()
}

fn table(gateway: &Gateway, servers: &[Server], dns: &Dns) -> String {
    let folder = gateway.folder().display();
    let keep = install_keep(gateway);
    let [r0, r1, r2, named, lmtp, home] = servers.iter().map(|server| server.port).collect::<Vec<_>>()[..]
    else {
        panic!("six servers");
    };
    let user = if is_root() { format!("smap-lookup: userid {LOOKUP_UID}\n") } else { String::new() };
    format!(
        "{user}smap-lookup: nameserver {}\n\
         smap: maxbytes 22M\nsmap: maxrecip 100\nsmap: max-sessions-per-host 200\n\
         smapd: retry 1s 2s 4s 8s\nsmapd: expire 5d\nsmapd: wakeup 5s\n\
         smap, smapd: domain relay0.example smtp:[127.0.0.1]:{r0}\n\
         smap, smapd: domain relay1.example smtp:[127.0.0.1]:{r1}\n\
         smap, smapd: domain relay2.example smtp:[127.0.0.1]:{r2}\n\
         smap, smapd: domain named.example smtp:[mail.named.example]:{named}\n\
         smap, smapd: domain lmtp.example lmtp:127.0.0.1:{lmtp}\n\
         smap, smapd: domain {HOME} smtp:[127.0.0.1]:{home}\n\
         smap, smapd: domain .box.example maildir:{folder}/mail/%u/\n\
         smap, smapd: domain .pipe.example pipe:{} {folder}/kept %u %d",
        dns.address,
        keep.display(),
    )
}

/// The program that mail is piped to, where smapd's user can reach it.
fn install_keep(gateway: &Gateway) -> PathBuf {
    let path = gateway.folder().join("keep.sh");
    let mut install = Command::new("install");
    let copied =
        process::run(install.args(["-m", "755"]).arg(programs::script("keep.sh")).arg(&path), Stdio::null());
    assert_eq!(copied.code, 0, "{copied:?}");
    path
}
