//! smap started by others, as under a real inetd: a session on descriptors 0 and 1, and 2 is the client, too.

use std::fs;
use std::io::{Read, Write};
use std::net::{Ipv4Addr, SocketAddr, TcpStream};
use std::os::fd::OwnedFd;
use std::os::unix::fs::MetadataExt;
use std::os::unix::net::{UnixDatagram, UnixStream};
use std::process::{Child, Command};
use std::time::Duration;

use smap_tests::gateway::{Gateway, free_port};
use smap_tests::needs::Need::{Program, Root};
use smap_tests::post::Post;
use smap_tests::process::Process;
use smap_tests::{PATIENCE, eventually, programs, tests, uninterrupted};

use crate::clients;

tests! {
    inetd: [Root, Program("inetd"), Program("curl")];
    xinetd: [Root, Program("xinetd"), Program("curl")];
    systemd_socket_activate: [Program("systemd-socket-activate"), Program("curl")];
    tcpserver: [Program("tcpserver"), Program("curl")];
    inetd_with_a_broken_table: [Root, Program("inetd")];
    on_a_socket_only_replies_are_written;
    a_broken_table_on_a_socket_is_one_reply;
    a_broken_spool_on_a_socket_is_one_reply;
    a_wrong_command_line_on_a_socket_is_one_reply;
    the_umask_of_whoever_starts_it_keeps_no_message_from_smapd: [Root];
    syslog_has_what_the_client_has_not: [Root, Program("unshare")];
    a_session_outlives_its_syslog: [Root, Program("unshare")];
}

/// A message by a real client, through whoever listens there.
fn assert_mail_goes_through(gateway: &Gateway, address: SocketAddr) {
    eventually("somebody listens", || TcpStream::connect(address).ok());
    let message = clients::message();
    clients::curl(gateway, address, &message);
    let stored = gateway.incoming().pop().expect("the message is in the spool");
    assert_eq!(String::from_utf8_lossy(&stored.body), String::from_utf8_lossy(&message));
    assert_eq!(stored.envelope.origin.client.map(|client| client.ip()), Some(Ipv4Addr::LOCALHOST.into()));
}

fn free_address() -> SocketAddr {
    (Ipv4Addr::LOCALHOST, free_port()).into()
}

/// A file of a super-server in the gateway's folder.
fn written(gateway: &Gateway, name: &str, text: &str) -> std::path::PathBuf {
    let path = gateway.folder().join(name);
    fs::write(&path, text).unwrap();
    path
}

fn start_inetd(gateway: &Gateway, address: SocketAddr) -> Process {
    let (smap, table) = (programs::ours("smap"), gateway.table());
    let line = format!(
        "{}:{} stream tcp nowait root {} smap --config {}\n",
        address.ip(),
        address.port(),
        smap.display(),
        table.display()
    );
    let configuration = written(gateway, "inetd.conf", &line);
    Process::start(Command::new(programs::peer("inetd")).arg("-i").arg(configuration))
}

fn inetd() {
    let (gateway, address) = (Gateway::new(""), free_address());
    let _inetd = start_inetd(&gateway, address);
    assert_mail_goes_through(&gateway, address);
}

fn inetd_with_a_broken_table() {
    let (gateway, address) = (Gateway::new("smap: maxrecpt 5"), free_address());
    let _inetd = start_inetd(&gateway, address);
    let mut client = eventually("somebody listens", || TcpStream::connect(address).ok());
    client.set_read_timeout(Some(PATIENCE)).unwrap();
    let mut said = String::new();
    client.read_to_string(&mut said).expect("it is said, and then the end");
    assert_is_misconfigured(&said);
}

fn assert_is_misconfigured(said: &str) {
    assert!(said.starts_with("421 4.3.5 ") && said.ends_with("\r\n"), "{said:?}");
    assert_eq!(said.lines().count(), 1, "{said:?}");
}

fn xinetd() {
    let (gateway, address) = (Gateway::new(""), free_address());
    let configuration = format!(
        "service smap\n{{\n type = UNLISTED\n bind = {}\n port = {}\n socket_type = stream\n protocol = tcp\n \
         wait = no\n user = root\n server = {}\n server_args = --config {}\n}}\n",
        address.ip(),
        address.port(),
        programs::ours("smap").display(),
        gateway.table().display()
    );
    let configuration = written(&gateway, "xinetd.conf", &configuration);
    let mut command = Command::new(programs::peer("xinetd"));
    command.arg("-dontfork").arg("-f").arg(configuration);
    let _xinetd = Process::start(command.arg("-pidfile").arg(gateway.folder().join("xinetd.pid")));
    assert_mail_goes_through(&gateway, address);
}

fn systemd_socket_activate() {
    let (gateway, address) = (Gateway::new(""), free_address());
    let mut command = Command::new(programs::peer("systemd-socket-activate"));
    command.args(["--inetd", "--accept", "-l", &address.to_string()]).arg(programs::ours("smap"));
    let _systemd = Process::start(command.arg("--config").arg(gateway.table()));
    assert_mail_goes_through(&gateway, address);
}

fn tcpserver() {
    let (gateway, address) = (Gateway::new(""), free_address());
    let mut command = Command::new(programs::peer("tcpserver"));
    command.args(["-H", "-R", "-l", "0", &address.ip().to_string(), &address.port().to_string()]);
    let _tcpserver = Process::start(command.arg(programs::ours("smap")).arg("--config").arg(gateway.table()));
    assert_mail_goes_through(&gateway, address);
}

/// smap with one end of a socket as 0, 1 and 2, as inetd starts it.
pub(crate) fn on_a_socket(command: &mut Command) -> (Child, UnixStream) {
    let (ours, theirs) = UnixStream::pair().unwrap();
    let end = || OwnedFd::from(theirs.try_clone().unwrap());
    let child = command.stdin(end()).stdout(end()).stderr(end()).spawn().unwrap();
    // The command keeps its ends until it is told otherwise.
    command
        .stdin(std::process::Stdio::null())
        .stdout(std::process::Stdio::null())
        .stderr(std::process::Stdio::null());
    ours.set_read_timeout(Some(PATIENCE)).unwrap();
    (child, ours)
}

/// All that such a smap says to these octets, and its exit code.
pub(crate) fn dialogue(command: &mut Command, octets: &[u8]) -> (String, Option<i32>) {
    let (mut child, mut client) = on_a_socket(command);
    client.write_all(octets).unwrap();
    let mut said = String::new();
    client.read_to_string(&mut said).expect("it is said, and then the end");
    (said, child.wait().unwrap().code())
}

fn on_a_socket_only_replies_are_written() {
    let gateway = Gateway::new("");
    let (said, code) = dialogue(&mut gateway.program("smap"), b"HELO client.example\r\nQUIT\r\n");
    assert_eq!(
        said,
        "220 gw.example.com ESMTP/smap Ready.\r\n250 (gw.example.com) pleased to meet you.\r\n\
         221 Closing connection\r\n"
    );
    assert_eq!(code, Some(0));
}

fn a_broken_table_on_a_socket_is_one_reply() {
    let gateway = Gateway::new("smap: maxrecpt 5\nsmap: timeout soon");
    let (said, code) = dialogue(&mut gateway.program("smap"), b"");
    assert_is_misconfigured(&said);
    assert_eq!(code, Some(78));
}

fn a_broken_spool_on_a_socket_is_one_reply() {
    let (said, code) = dialogue(&mut Gateway::without_spool("").program("smap"), b"");
    assert_is_misconfigured(&said);
    assert_eq!(code, Some(78));
}

fn a_wrong_command_line_on_a_socket_is_one_reply() {
    for argument in ["--bogus", "stranger", "--listen=nonsense"] {
        let (said, code) = dialogue(Gateway::new("").program("smap").arg(argument), b"");
        assert_is_misconfigured(&said);
        assert_eq!(code, Some(64), "{argument}");
    }
}

fn the_umask_of_whoever_starts_it_keeps_no_message_from_smapd() {
    let post = Post::with_maildirs("");
    let mut command = Command::new("sh");
    command.args(["-c", "umask 077 && exec \"$0\" \"$@\""]).arg(programs::ours("smap"));
    let octets =
        b"HELO client.example\r\nMAIL FROM:<a@sender.example>\r\nRCPT TO:<b@example.com>\r\nDATA\r\n\
        hello\r\n.\r\nQUIT\r\n";
    let (said, code) = dialogue(command.arg("--config").arg(post.gateway.table()), octets);
    assert!(said.contains("250 Mail accepted ") && code == Some(0), "{said}");
    let id = post.names("incoming").pop().expect("it is in the spool");
    let facts = fs::metadata(post.path("spool/incoming").join(id)).unwrap();
    assert_eq!(facts.mode() & 0o7777, 0o440);
    let ended = post.once();
    assert_eq!(ended.code, 0, "{ended:#?}");
    assert_eq!(post.maildir("b").len(), 1);
    post.assert_spool_is_empty();
}

/// A `/dev/log` of the test's own, and smap that writes to it.
fn with_syslog(gateway: &Gateway) -> (UnixDatagram, Command) {
    let devices = gateway.folder().join("dev");
    fs::create_dir(&devices).unwrap();
    let log = UnixDatagram::bind(devices.join("log")).unwrap();
    let mut command = Command::new(programs::peer("unshare"));
    command.args(["--mount", "sh", "-c", "mount --bind \"$0\" /dev && exec \"$@\""]).arg(&devices);
    command.arg(programs::ours("smap")).arg("--config").arg(gateway.table());
    (log, command)
}

/// The next line that comes to it; `None` when none does in time.
fn line_of(log: &UnixDatagram) -> Option<String> {
    let mut packet = [0; 4096];
    let received = uninterrupted(|| log.recv(&mut packet)).ok()?;
    Some(String::from_utf8(packet[..received].to_vec()).expect("the log is text"))
}

/// The lines that come to it.
fn syslog_of(gateway: &Gateway, octets: &[u8]) -> Vec<String> {
    let (log, mut command) = with_syslog(gateway);
    let (said, _) = dialogue(&mut command, octets);
    assert!(said.starts_with("220 ") || said.starts_with("421 4.3.5 "), "{said:?}");
    log.set_read_timeout(Some(Duration::from_millis(100))).unwrap();
    std::iter::from_fn(|| line_of(&log)).collect()
}

fn syslog_has_what_the_client_has_not() {
    let lines = syslog_of(&Gateway::new("smap: maxrecpt 5"), b"");
    assert_eq!(lines.len(), 1, "{lines:#?}");
    // Facility mail, severity error.
    assert!(lines[0].starts_with("<19>smap[") && lines[0].contains("netperm-table:1: "), "{lines:#?}");
    let lines = syslog_of(&Gateway::new(""), b"QUIT\r\n");
    assert!(lines.first().is_some_and(|line| line.starts_with("<22>smap[") && line.contains("]: connect ")));
    assert!(lines.last().is_some_and(|line| line.contains("]: exiting ")), "{lines:#?}");
}

/// It can open no other: its filter kills it when it tries.
fn a_session_outlives_its_syslog() {
    let gateway = Gateway::new("");
    let (log, mut command) = with_syslog(&gateway);
    let (mut child, mut client) = on_a_socket(&mut command);
    log.set_read_timeout(Some(PATIENCE)).unwrap();
    assert!(line_of(&log).expect("the session begins").contains("]: connect "));
    drop(log);
    // A log that may be opened again is tried every second.
    std::thread::sleep(Duration::from_millis(1100));
    client
        .write_all(
            b"HELO client.example\r\nMAIL FROM:<a@b.example>\r\nRCPT TO:<c@foreign.example>\r\nQUIT\r\n",
        )
        .unwrap();
    let mut said = String::new();
    client.read_to_string(&mut said).unwrap();
    assert!(said.contains("\r\n550 ") && said.ends_with("221 Closing connection\r\n"), "{said:?}");
    assert_eq!(child.wait().unwrap().code(), Some(0));
}
