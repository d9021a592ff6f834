//! Clients that take more than is theirs: of our time, of our memory, of the others' places.
//!
//! Whatever one of them does, another client is served meanwhile, and the process that serves it stays small:
//! [`PEAK`]. What each really costs is measured by
//!
//! ```text
//! cargo build --release && SMAP_BIN_DIR=$PWD/target/release cargo test -p smap-tests -- --ignored greedy
//! ```

use std::io::Read;
use std::net::{IpAddr, Ipv4Addr};
use std::process::{Command, Stdio};
use std::thread::{JoinHandle, sleep, spawn};
use std::time::{Duration, Instant};

use libtest_mimic::Trial;
use nix::sys::resource::{Resource, getrlimit, setrlimit};
use nix::unistd::Pid;
use smap_tests::client::Client;
use smap_tests::gateway::Gateway;
use smap_tests::process::{peak_of, run};
use smap_tests::{programs, tests};

use crate::confinement::session_of;

tests! {
    row_004_a_line_without_end_costs_no_memory;
    row_052_fifty_thousand_recipients_cost_no_memory;
    row_071_an_endless_message_ends_early;
    row_071_an_endless_chunk_ends_early;
    row_073_an_endless_field_ends_early;
    row_085_endless_chunks_end_early;
    row_100_an_octet_at_a_time_in_a_command;
    row_100_an_octet_at_a_time_in_a_field;
    row_100_an_octet_at_a_time_in_a_message;
    row_100_an_octet_at_a_time_in_a_chunk;
    row_100_a_client_at_ordinary_speed_has_as_long_as_it_takes;
    row_101_a_million_commands_without_reading;
    row_101_a_million_replies_that_nobody_reads;
    row_101_a_client_that_reads_a_little_now_and_then;
    row_102_a_thousand_idle_connections_of_one_address;
    a_client_that_sends_on_can_read_why_it_was_left;
}

/// KiB of memory that a session's process has at most (`VmHWM`: with its program and libraries, of a debug build).
const PEAK: u64 = 8 * 1024;

/// A client that wants too much.
struct Greed {
    name: &'static str,
    table: &'static str,
    /// What it says first, and the beginning of each reply.
    opening: &'static [(&'static str, &'static str)],
    /// What it sends then, numbered from 0.
    piece: fn(usize) -> Vec<u8>,
    pieces: usize,
    /// The beginning of the last line that it reads; `None` if it does not read.
    end: Option<&'static str>,
    /// What the log says of its end.
    why: &'static str,
}

/// What it got.
struct Got {
    octets: usize,
    /// KiB, after its greeting and at most.
    quiet: u64,
    peak: u64,
    time: Duration,
}

const MAIL: (&str, &str) = ("MAIL FROM:<a@sender.example>", "250 ");
const RCPT: (&str, &str) = ("RCPT TO:<b@example.com>", "250 ");
const DATA: (&str, &str) = ("DATA", "354 ");
const BLOCK: usize = 32 * 1024;
const BLOCKS_OF_200_MB: usize = 200_000_000 / BLOCK;

fn lines(_: usize) -> Vec<u8> {
    b"Ambition should be made of sterner stuff: yet Brutus says he was ambitious;\r\n".repeat(BLOCK / 77)
}

fn block(_: usize) -> Vec<u8> {
    vec![b'x'; BLOCK]
}

fn recipients(number: usize) -> Vec<u8> {
    (0..100).flat_map(|n| format!("RCPT TO:<u{}@example.com>\r\n", 100 * number + n).into_bytes()).collect()
}

const ENDLESS_LINE: Greed = Greed {
    name: "1 MB without a line end",
    table: "",
    opening: &[],
    piece: block,
    pieces: 1_000_000 / BLOCK,
    end: Some("421 4.7.0 "),
    why: "endless line",
};

const MANY_RECIPIENTS: Greed = Greed {
    name: "50,000 RCPT",
    opening: &[MAIL],
    piece: recipients,
    pieces: 500,
    why: "refused to go on",
    ..ENDLESS_LINE
};

const ENDLESS_MESSAGE: Greed = Greed {
    name: "200 MB of DATA, maxbytes 1M",
    table: "smap: maxbytes 1M",
    opening: &[MAIL, RCPT, DATA],
    piece: lines,
    pieces: BLOCKS_OF_200_MB,
    end: Some("552 5.3.4 "),
    why: "message far too big",
};

const ENDLESS_FIELD: Greed =
    Greed { name: "200 MB of one header field, maxbytes 1M", piece: block, ..ENDLESS_MESSAGE };

const ENDLESS_CHUNK: Greed = Greed {
    name: "BDAT 200000000 LAST, maxbytes 1M",
    opening: &[MAIL, RCPT],
    piece: |number| if number == 0 { b"BDAT 200000000 LAST\r\n".to_vec() } else { block(number) },
    ..ENDLESS_MESSAGE
};

const ENDLESS_CHUNKS: Greed = Greed {
    name: "200 MB in chunks of 32 KB, maxbytes 1M",
    opening: &[MAIL, RCPT],
    piece: |number| [format!("BDAT {BLOCK}\r\n").into_bytes(), block(number)].concat(),
    end: Some("421 4.7.0 "),
    why: "too many errors",
    ..ENDLESS_MESSAGE
};

const MILLION_COMMANDS: Greed = Greed {
    name: "1,000,000 NOOP, no reply read",
    table: "",
    opening: &[],
    piece: |_| b"NOOP\r\n".repeat(5_000),
    pieces: 200,
    end: None,
    why: "refused to go on",
};

const MILLION_REPLIES: Greed = Greed {
    name: "1,000,000 RCPT, no reply read",
    table: "smap: timeout 1",
    opening: &[MAIL],
    piece: |_| b"RCPT TO:<b@example.com>\r\n".repeat(1_000),
    pieces: 1_000,
    why: "the client does not read",
    ..MILLION_COMMANDS
};

impl Greed {
    fn act(&self) -> Got {
        let gateway = Gateway::new(self.table);
        let listener = gateway.listen();
        let begun = Instant::now();
        let mut client = listener.extended_client();
        let pid = session_of(&listener);
        let peak = Peak::watch(pid);
        let quiet = peak_of(pid).expect("it waits for its client");
        self.opening.iter().for_each(|(line, reply)| drop(client.say(line, reply)));
        let mut octets = client.send_all([(self.piece)(0)]);
        let mut other = listener.extended_client();
        other.mail("hello", "250 ");
        other.quit();
        octets += client.send_all((1..self.pieces).map(self.piece));
        if let Some(end) = self.end {
            let said = client.last_line();
            assert!(said.starts_with(end), "{said}");
        }
        let exiting = format!("smap[{pid}]: exiting ");
        let line = listener.process.wait_for_log(|line| line.contains(&exiting));
        assert!(line.ends_with(&format!(" reason=\"{}\"", self.why)), "{line}");
        assert_eq!(gateway.incoming().len(), 1, "the other client's");
        drop(client);
        Got { octets, quiet, peak: peak.end(), time: begun.elapsed() }
    }

    fn assert_costs_no_memory(&self) -> Got {
        let got = self.act();
        assert!(got.peak < PEAK, "{}: {} KiB, {} KiB before", self.name, got.peak, got.quiet);
        got
    }

    /// It ends when a little more than twice `maxbytes` (1M) has come, and what the sockets hold.
    fn assert_ends_early(&self) {
        let got = self.assert_costs_no_memory();
        assert!((1_000_000..20_000_000).contains(&got.octets), "{}: {} octets", self.name, got.octets);
    }
}

/// Looks at a process as long as it lives.
struct Peak(JoinHandle<u64>);

impl Peak {
    fn watch(pid: Pid) -> Self {
        let look = move || {
            sleep(Duration::from_micros(200));
            peak_of(pid)
        };
        Self(spawn(move || std::iter::from_fn(look).last().unwrap_or_default()))
    }

    fn end(self) -> u64 {
        self.0.join().unwrap()
    }
}

fn row_004_a_line_without_end_costs_no_memory() {
    ENDLESS_LINE.assert_costs_no_memory();
}

fn row_052_fifty_thousand_recipients_cost_no_memory() {
    MANY_RECIPIENTS.assert_costs_no_memory();
}

fn row_071_an_endless_message_ends_early() {
    ENDLESS_MESSAGE.assert_ends_early();
}

fn row_071_an_endless_chunk_ends_early() {
    ENDLESS_CHUNK.assert_ends_early();
}

fn row_073_an_endless_field_ends_early() {
    ENDLESS_FIELD.assert_ends_early();
}

fn row_085_endless_chunks_end_early() {
    ENDLESS_CHUNKS.assert_ends_early();
}

fn row_101_a_million_commands_without_reading() {
    MILLION_COMMANDS.assert_costs_no_memory();
}

fn row_101_a_million_replies_that_nobody_reads() {
    MILLION_REPLIES.assert_costs_no_memory();
}

/// An octet at a time behind this; never silent for `timeout`.
fn assert_too_slow(opening: &[(&str, &str)], beginning: &[u8]) {
    const TIMEOUT: Duration = Duration::from_secs(2);
    let gateway = Gateway::new("smap: timeout 2");
    let listener = gateway.listen();
    let mut client = listener.extended_client();
    opening.iter().for_each(|(line, reply)| drop(client.say(line, reply)));
    client.send(beginning);
    client.trickle(b'x', TIMEOUT / 20);
    client.expect("421 4.4.2 ");
    client.expect_end();
    let line = listener.process.wait_for_log(|line| line.contains("]: exiting "));
    assert!(line.ends_with(" reason=\"the client is too slow\""), "{line}");
    assert!(gateway.incoming().is_empty());
}

fn row_100_an_octet_at_a_time_in_a_command() {
    assert_too_slow(&[], b"");
    assert_too_slow(&[MAIL], b"RCPT TO:<");
}

fn row_100_an_octet_at_a_time_in_a_field() {
    assert_too_slow(&[MAIL, RCPT, DATA], b"Subject: ");
}

fn row_100_an_octet_at_a_time_in_a_message() {
    assert_too_slow(&[MAIL, RCPT, DATA], b"Subject: x\r\n\r\n");
}

fn row_100_an_octet_at_a_time_in_a_chunk() {
    assert_too_slow(&[MAIL, RCPT], b"BDAT 1000\r\n");
}

fn row_100_a_client_at_ordinary_speed_has_as_long_as_it_takes() {
    let gateway = Gateway::new("smap: timeout 1");
    let listener = gateway.listen();
    let mut client = listener.extended_client();
    [MAIL, RCPT, DATA].iter().for_each(|(line, reply)| drop(client.say(line, reply)));
    let begun = Instant::now();
    while begun.elapsed() < Duration::from_secs(3) {
        client.send(b"Sixty octets every twentieth of a second are more than 500.\r\n");
        sleep(Duration::from_millis(50));
    }
    client.say(".", "250 ");
    client.quit();
    assert_eq!(gateway.incoming().len(), 1);
}

fn row_101_a_client_that_reads_a_little_now_and_then() {
    let listener = Gateway::new("smap: timeout 1").listen();
    let mut client = listener.extended_client();
    client.say(MAIL.0, MAIL.1);
    let mut replies = client.stream();
    let sender = spawn(move || client.send_all((0..1_000).map(MILLION_REPLIES.piece)));
    while replies.read(&mut [0; 1024]).is_ok_and(|read| read > 0) {
        sleep(Duration::from_millis(20));
    }
    let line = listener.process.wait_for_log(|line| line.contains("]: exiting "));
    assert!(line.ends_with(" reason=\"the client does not read\""), "{line}");
    sender.join().unwrap();
}

fn row_102_a_thousand_idle_connections_of_one_address() {
    const SESSIONS: usize = 20;
    let (soft, hard) = getrlimit(Resource::RLIMIT_NOFILE).unwrap();
    setrlimit(Resource::RLIMIT_NOFILE, hard.min(soft.max(4096)), hard).unwrap();
    let gateway = Gateway::new(&format!("smap: max-sessions-per-host {SESSIONS}"));
    let listener = gateway.listen();
    let mut idle: Vec<Client> = (0..1000).map(|_| Client::connect(listener.address())).collect();
    let greetings: Vec<String> = idle.iter_mut().map(Client::reply).collect();
    let (greeted, turned_away): (Vec<_>, Vec<_>) =
        idle.iter_mut().zip(&greetings).partition(|(_, greeting)| greeting.starts_with("220 "));
    assert_eq!(greeted.len(), SESSIONS);
    for (client, reply) in turned_away {
        assert!(reply.starts_with("421 4.7.0 "), "{reply}");
        client.expect_end();
    }
    let mut other = Client::connect_from(IpAddr::V4(Ipv4Addr::new(127, 0, 0, 2)), listener.address());
    other.expect("220 ");
    other.say("EHLO client.example", "250-");
    other.mail("hello", "250 ");
    other.quit();
    let peak = peak_of(listener.process.pid()).unwrap();
    assert!(peak < PEAK, "the listener: {peak} KiB");
}

fn a_client_that_sends_on_can_read_why_it_was_left() {
    let listener = Gateway::new("").listen();
    let mut client = listener.extended_client();
    client.send(&b"WHAT\r\n".repeat(100_000));
    let mut said = String::new();
    client.stream().read_to_string(&mut said).expect("the end, not a reset");
    assert!(said.lines().last().is_some_and(|last| last.starts_with("421 4.7.0 ")), "{said}");
}

/// 10 GB are offered; 30 MB are read.
const TEN_GIGABYTES: Greed = Greed {
    name: "10 GB of DATA, maxbytes 15M",
    table: "",
    pieces: 10_000_000_000 / BLOCK,
    ..ENDLESS_MESSAGE
};

const ALL: [&Greed; 9] = [
    &ENDLESS_LINE,
    &MANY_RECIPIENTS,
    &ENDLESS_MESSAGE,
    &ENDLESS_FIELD,
    &ENDLESS_CHUNK,
    &ENDLESS_CHUNKS,
    &MILLION_COMMANDS,
    &MILLION_REPLIES,
    &TEN_GIGABYTES,
];

/// Not a test: prints what each costs.
pub(crate) fn measurement() -> Trial {
    let measure = || {
        println!("{}", said_by("uname", &["-srm"]));
        println!("commit {}", said_by("git", &["describe", "--always", "--dirty"]));
        println!("programs {}", programs::folder().display());
        println!("{}\n", std::env::args().collect::<Vec<_>>().join(" "));
        println!("| client | octets sent | quiet, KiB | peak, KiB | s |\n|---|---:|---:|---:|---:|");
        for greed in ALL {
            let Got { octets, quiet, peak, time } = greed.act();
            println!("| {} | {octets} | {quiet} | {peak} | {:.2} |", greed.name, time.as_secs_f64());
        }
        Ok(())
    };
    Trial::test("greedy::measurement", measure).with_kind("measures").with_ignored_flag(true)
}

fn said_by(program: &str, arguments: &[&str]) -> String {
    let mut command = Command::new(program);
    let said = run(command.args(arguments).current_dir(programs::workspace()), Stdio::null());
    String::from_utf8_lossy(&said.output).trim_end().to_owned()
}
