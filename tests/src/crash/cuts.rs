//! The power goes right after a client has read its 250, while other sessions go on; and when nothing has happened for
//! a while.

use std::net::{SocketAddr, TcpStream};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Duration;

use super::campaign::Sample;
use super::letters::{self, Letter, Said, Way};
use super::report::Report;
use super::verdict::Account;
use super::world::World;
use crate::gateway::free_port;
use crate::process::Process;

/// Sessions at a time.
const SESSIONS: usize = 4;
/// Letters that each of them would send if it could.
const LETTERS: usize = 3;
/// In so much time everything that smapd has done is durable.
const PROMISED: Duration = Duration::from_secs(1);
/// How long a client waits for a gateway whose power is gone.
const PATIENCE: Duration = Duration::from_secs(5);

/// So many cuts: each comes when a seeded number of letters has been taken.
pub fn after_replies(world: &mut World, sample: Sample, report: &mut Report) {
    for number in 0..sample.most {
        let seed = sample.seed + number;
        let (name, wrong, taken) = one_cut(world, seed);
        report.point(&name, taken > 0, &wrong, "");
        if sample.is_enough(report) {
            return;
        }
    }
}

/// Numbers that look like chance and are the same in every run.
fn chance(seed: usize, below: usize) -> usize {
    let mixed = u64::try_from(seed).unwrap_or_default().wrapping_add(1).wrapping_mul(0x9e37_79b9_7f4a_7c15);
    usize::try_from((mixed ^ (mixed >> 29)) >> 20).unwrap_or_default() % below
}

fn letters_of(seed: usize, session: usize) -> Vec<Letter> {
    let letter = |number: usize| {
        let seed = (seed * SESSIONS + session) * LETTERS + number;
        let octets = [100, 1000, 5000, 20_000, 70_000, 200_000][chance(seed, 6)] + chance(seed + 1, 100);
        let way = [Way::Data, Way::Data, Way::Chunks(300_000), Way::Chunks(50_000)][chance(seed + 2, 4)];
        Letter::new(&format!("cut{seed}-{session}-{number}"), &["b@relay.example"], octets, way)
    };
    (0..LETTERS).map(letter).collect()
}

fn one_cut(world: &mut World, seed: usize) -> (String, Vec<String>, usize) {
    world.fresh();
    let (smap, address) = listening(world);
    let wanted = 1 + chance(seed + 7, SESSIONS * LETTERS - 2);
    let taken = AtomicUsize::new(0);
    // A sync that is under way while a filesystem is shut down may say that it succeeded, as none can when a machine
    // stops: only what was read before counts.
    let cut = AtomicBool::new(false);
    let all: Vec<(Letter, Said)> = std::thread::scope(|scope| {
        let clients: Vec<_> = (0..SESSIONS)
            .map(|session| (session, letters_of(seed, session)))
            .map(|(_, letters)| {
                let (taken, cut) = (&taken, &cut);
                let main = std::thread::current();
                scope.spawn(move || {
                    let said = client(address, &letters, || {
                        let counts = !cut.load(Ordering::SeqCst);
                        taken.fetch_add(usize::from(counts), Ordering::SeqCst);
                        main.unpark();
                        counts
                    });
                    let told = said.into_iter().chain(std::iter::repeat(Said::Nothing));
                    main.unpark();
                    letters.into_iter().zip(told).collect::<Vec<_>>()
                })
            })
            .collect();
        while taken.load(Ordering::SeqCst) < wanted && clients.iter().any(|client| !client.is_finished()) {
            std::thread::park_timeout(Duration::from_millis(50));
        }
        cut.store(true, Ordering::SeqCst);
        world.cut_under(|| drop(smap));
        clients.into_iter().flat_map(|client| client.join().expect("a client")).collect()
    });
    // What is refused is refused because the power is gone already: nobody would hear it.
    let heard = |said: Said| if matches!(said, Said::Taken(_)) { said } else { Said::Nothing };
    let (letters, said) = all.into_iter().map(|(letter, said)| (letter, heard(said))).unzip();
    let mut account = Account::new(letters, said);
    account.may_be_taken_unheard = true;
    let mut wrong: Vec<String> = world.drain().err().into_iter().collect();
    wrong.extend(account.violations(world));
    let taken = taken.load(Ordering::SeqCst);
    (format!("cut after {wanted} letters, seed {seed}, {taken} taken"), wrong, taken)
}

/// The power goes when everything that was done has been durable for long: nobody gets anything twice.
pub fn after_a_pause(world: &mut World, sample: Sample, report: &mut Report) {
    for number in 0..sample.most {
        let wrong = one_pause(world, &format!("pause{number}"));
        report.point(&format!("pause {number}"), true, &wrong, "");
        if sample.is_enough(report) {
            return;
        }
    }
}

fn one_pause(world: &mut World, mark: &str) -> Vec<String> {
    world.fresh();
    world.weather(true, false);
    let mut smapd = world.program("smapd");
    let smapd = Process::start(smapd.arg("--foreground"));
    let _begun = smapd.wait_for_log(|line| line.contains("]: started; "));
    let letter = |name: &str, to: &[&str]| Letter::new(&format!("{mark}-{name}"), to, 1000, Way::Data);
    let letters = vec![
        letter("done", &["b@relay.example"]),
        letter("partly", &["c@relay.example", "d@maildir.example", "later@relay.example"]),
        letter("returned", &["never@relay.example"]),
    ];
    let said = world.session(&letters);
    let account = Account::new(letters, said);
    // Four recipients of ours, and the sender.
    let _delivered = smapd.wait_for_logs(4, |line| line.contains(" status=sent "));
    let _deferred = smapd.wait_for_log(|line| line.contains(" status=deferred "));
    std::thread::sleep(PROMISED + PROMISED);
    world.cut_under(|| drop(smapd));
    let mut wrong: Vec<String> = world.drain().err().into_iter().collect();
    wrong.extend(account.violations(world));
    wrong
}

fn client(address: SocketAddr, letters: &[Letter], taken: impl FnMut() -> bool) -> Vec<Said> {
    let Ok(stream) = TcpStream::connect_timeout(&address, PATIENCE) else { return Vec::new() };
    let limits = (
        stream.set_read_timeout(Some(PATIENCE)),
        stream.set_write_timeout(Some(PATIENCE)),
        stream.set_nodelay(true),
    );
    assert!(limits.0.is_ok() && limits.1.is_ok() && limits.2.is_ok());
    letters::send_telling(&stream, letters, taken)
}

/// smap, listening.
fn listening(world: &World) -> (Process, SocketAddr) {
    loop {
        let address = SocketAddr::from(([127, 0, 0, 1], free_port()));
        let mut smap = world.program("smap");
        let process = Process::start(smap.args(["--foreground", "--listen"]).arg(address.to_string()));
        let line = process.wait_for_log(|line| line.contains("listening on") || line.contains("error: "));
        if line.contains("listening on") {
            return (process, address);
        }
    }
}
