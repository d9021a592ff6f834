//! Many operators, and orders about many messages: neither delays mail.

use std::fs::File;
use std::io::{self, Write};
use std::os::fd::{AsFd, AsRawFd, OwnedFd};
use std::os::unix::fs::{FileExt, chown};
use std::path::PathBuf;
use std::process::Stdio;
use std::time::Duration;

use nix::sys::signal::Signal;
use nix::sys::socket::{AddressFamily, SockFlag, SockType, UnixAddr, connect, socket};
use smap_common::clock::Timestamp;
use smap_common::envelope::{Envelope, Origin};
use smap_common::smtp::command::{Mail, Recipient};
use smap_common::spool::{Draft, Folder, QueueId, SpoolFile, StateFile};
use smap_tests::gateway::{SMAPD_UID, chmod, free_port};
use smap_tests::needs::is_root;
use smap_tests::post::Post;
use smap_tests::process::run;
use smap_tests::{eventually, tests};

use super::control::{FROM, list, order, output, post_for};

tests! {
    operators_who_say_nothing_delay_neither_mail_nor_for_long_each_other;
    ten_thousand_wait_and_new_mail_is_delivered_while_they_are_listed_and_some_are_held;
}

/// Somebody who connects and says nothing.
fn silent(post: &Post) -> OwnedFd {
    let socket = socket(AddressFamily::Unix, SockType::SeqPacket, SockFlag::SOCK_CLOEXEC, None).unwrap();
    connect(socket.as_raw_fd(), &UnixAddr::new(&post.gateway.layout().socket()).unwrap()).unwrap();
    socket
}

fn operators_who_say_nothing_delay_neither_mail_nor_for_long_each_other() {
    let post = post_for(free_port(), "");
    let smapd = post.smapd();
    let silent: Vec<OwnedFd> = (0..8).map(|_| silent(&post)).collect();
    let ended = post.smapctl(&["queue", "hold", "--all"]);
    assert!(ended.code == 75 && ended.log[0].contains("busy"), "{ended:?}");
    let id = post.send(FROM, &["b@example.com"], "hello");
    smapd.removed(&id);
    eventually("they are cut off", || (post.smapctl(&["queue", "hold", "--all"]).code == 0).then_some(()));
    drop(silent);
    // Rubbish ends a connection, and nothing else.
    let stranger = self::silent(&post);
    assert_eq!(nix::unistd::write(&stranger, b"rubbish"), Ok(7));
    let mut reply = [0; 100];
    assert_eq!(nix::unistd::read(&stranger, &mut reply), Ok(24));
    assert_eq!(nix::unistd::read(&stranger, &mut reply), Ok(0));
    assert_eq!(order(&post, &["hold", "--all"]), "0 messages held\n");
}

/// A folder whose files are not synced: a test that makes ten thousand of them does not wait for the disk.
struct Unsynced(PathBuf);

struct UnsyncedFile(File);

impl Folder for Unsynced {
    type File = UnsyncedFile;

    fn create(&self, name: &str) -> io::Result<UnsyncedFile> {
        let path = self.0.join(name);
        let file = File::options().write(true).create_new(true).open(&path)?;
        chmod(&path, 0o440);
        if is_root() {
            chown(&path, Some(SMAPD_UID), Some(SMAPD_UID))?;
        }
        Ok(UnsyncedFile(file))
    }
}

impl SpoolFile for UnsyncedFile {
    fn append(&mut self, octets: &[u8]) -> io::Result<()> {
        self.0.write_all(octets)
    }

    fn overwrite(&mut self, offset: u64, octets: &[u8]) -> io::Result<()> {
        self.0.write_all_at(octets, offset)
    }

    fn sync(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// So many messages that wait for tomorrow, one in five of them for another domain than the rest.
fn many_wait(post: &Post, count: u64) {
    let (now, queue) = (Timestamp::now(), post.gateway.layout().queue());
    let folder = File::open(&queue).unwrap();
    for number in 0..count {
        let id = QueueId::new(now, number);
        let to: &[u8] = if number % 5 == 0 { b"<b@other.example>" } else { b"<b@far.example>" };
        let envelope = Envelope {
            id,
            arrived: now,
            origin: Origin::default(),
            mail: Mail::parse(b"<a@example.com>").unwrap(),
            recipients: vec![Recipient::parse(to).unwrap()],
        };
        let mut draft = Draft::begin(&Unsynced(queue.clone()), &envelope).unwrap();
        draft.write(b"Subject: greetings\r\n\r\nhello\r\n").unwrap();
        let _committed = draft.commit().unwrap();
        let mut state = StateFile::open(folder.as_fd(), id).unwrap();
        state.next(1, now.after(Duration::from_hours(24))).unwrap();
        if is_root() {
            chown(queue.join(format!("{id}.state")), Some(SMAPD_UID), Some(SMAPD_UID)).unwrap();
        }
    }
}

fn ten_thousand_wait_and_new_mail_is_delivered_while_they_are_listed_and_some_are_held() {
    const MESSAGES: u64 = 10_000;
    const HELD: u64 = MESSAGES / 5;
    const SOON: f64 = 3.0;
    let post = post_for(free_port(), "smapd: retry 1d");
    many_wait(&post, MESSAGES);
    let smapd = post.smapd();
    let commands = [&["list"][..], &["hold", "--domain", "other.example"], &["list", "--held", "--json"]];
    let commands = commands.map(|arguments| {
        let mut smapctl = post.gateway.program("smapctl");
        smapctl.arg("queue").args(arguments);
        smapctl
    });
    let operator =
        std::thread::spawn(|| commands.map(|mut command| output(&run(&mut command, Stdio::null()))));
    let mut delays: Vec<f64> = Vec::new();
    while !operator.is_finished() {
        let id = post.send(FROM, &["b@example.com"], "hello");
        let line = smapd.outcome(&id, "b@example.com", "sent");
        let delay = line.split(" delay=").nth(1).and_then(|rest| rest.split(' ').next()).unwrap();
        delays.push(delay.parse().unwrap());
    }
    let [listed, held, list_of_held] = operator.join().unwrap();
    assert!(
        listed.lines().last().is_some_and(|line| line.starts_with(&format!("{MESSAGES} messages, "))),
        "{listed}"
    );
    assert_eq!(held, format!("{HELD} messages held\n"));
    assert_eq!(u64::try_from(list_of_held.matches("\"held\":true").count()), Ok(HELD));
    println!(
        "{} messages were delivered meanwhile, the slowest in {:.3} s",
        delays.len(),
        delays.iter().copied().fold(0.0, f64::max)
    );
    assert!(delays.iter().all(|delay| *delay < SOON), "{delays:?}");
    drop(smapd.end(Signal::SIGKILL));
    let _again = post.smapd();
    assert!(list(&post, &["--held"]).ends_with(&format!("; {HELD} held\n")));
}
