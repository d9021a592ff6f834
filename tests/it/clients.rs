//! The clients that people use: what they send is in the spool, octet for octet.

use std::fs::{self, File};
use std::net::SocketAddr;
use std::path::PathBuf;
use std::process::{Command, Stdio};

use smap_tests::gateway::Gateway;
use smap_tests::needs::Need::Program;
use smap_tests::process::{Ended, run};
use smap_tests::{programs, spool, tests};

tests! {
    swaks_sends: [Program("swaks")];
    curl_sends: [Program("curl")];
    msmtp_sends: [Program("msmtp")];
    s_nail_sends: [Program("s-nail")];
    smtplib_sends: [Program("python3")];
    smtp_source_sends_in_twenty_sessions: [Program("smtp-source")];
}

/// A message with all the fields that clients like to add, and with lines that are hard to send.
pub(crate) fn message() -> Vec<u8> {
    let text = "From: a@sender.example\nTo: b@example.com\nSubject: =?utf-8?q?J=C3=B6rg?=\n\
        Date: Mon, 05 Jan 2026 12:00:00 +0000\nMessage-ID: <1@sender.example>\nMIME-Version: 1.0\n\
        Content-Type: text/plain; charset=utf-8\nContent-Transfer-Encoding: 8bit\n\n\
        .\n..\n.dot\nFrom here\n\nJörg says: grüß Gott\n \n\ttab \nend\n";
    spool::as_crlf(text.as_bytes())
}

/// Sends a message, in a file, to whoever listens there.
pub(crate) type Sender = fn(SocketAddr, PathBuf) -> Ended;

/// A client whose message, in a file, is to be in the spool as it is.
fn assert_sends(send: Sender) {
    let gateway = Gateway::new("");
    let listener = gateway.listen();
    let message = message();
    let ended = send(listener.address(), written(&gateway, &message));
    assert_eq!(ended.code, 0, "{:#?} {:#?}", String::from_utf8_lossy(&ended.output), ended.log);
    let stored = gateway.incoming().pop().expect("the message is in the spool");
    assert_eq!(String::from_utf8_lossy(&stored.body), String::from_utf8_lossy(&message));
    let lines = stored.envelope_lines();
    assert!(lines.iter().any(|line| line.starts_with("FROM <a@sender.example>")), "{lines:?}");
    assert!(lines.iter().any(|line| line.starts_with("RCPT <b@example.com>")), "{lines:?}");
}

pub(crate) fn written(gateway: &Gateway, message: &[u8]) -> PathBuf {
    let file = gateway.folder().join("message");
    fs::write(&file, message).unwrap();
    file
}

pub(crate) fn swaks_command(address: SocketAddr, file: PathBuf) -> Ended {
    // It adds an end of line to what it is given.
    let message = fs::read(&file).unwrap();
    fs::write(&file, message.strip_suffix(b"\r\n").unwrap()).unwrap();
    let mut swaks = Command::new(programs::peer("swaks"));
    swaks.args(["--server", &address.ip().to_string(), "--port", &address.port().to_string()]);
    swaks.args(["--from", "a@sender.example", "--to", "b@example.com", "--helo", "client.example"]);
    run(swaks.arg("--data").arg(format!("@{}", file.display())), Stdio::null())
}

fn swaks_sends() {
    assert_sends(swaks_command);
}

pub(crate) fn curl_command(address: SocketAddr, file: PathBuf) -> Ended {
    let mut curl = Command::new(programs::peer("curl"));
    curl.args(["--silent", "--show-error", &format!("smtp://{address}/client.example")]);
    curl.args(["--mail-from", "a@sender.example", "--mail-rcpt", "b@example.com"]);
    run(curl.arg("--upload-file").arg(file), Stdio::null())
}

/// Sends a message with curl.
pub(crate) fn curl(gateway: &Gateway, address: SocketAddr, message: &[u8]) {
    let ended = curl_command(address, written(gateway, message));
    assert_eq!(ended.code, 0, "{ended:?}");
}

fn curl_sends() {
    assert_sends(curl_command);
}

pub(crate) fn msmtp_command(address: SocketAddr, file: PathBuf) -> Ended {
    let mut msmtp = Command::new(programs::peer("msmtp"));
    msmtp.args([format!("--host={}", address.ip()), format!("--port={}", address.port())]);
    msmtp.args(["--domain=client.example", "--from=a@sender.example", "b@example.com"]);
    run(&mut msmtp, File::open(file).unwrap().into())
}

fn msmtp_sends() {
    assert_sends(msmtp_command);
}

/// A text without fields: s-nail writes those itself.
pub(crate) const TEXT: &str = ".\n..\n.dot\nFrom here\n\nJörg says: grüß Gott\n\ttab\nend\n";

pub(crate) fn s_nail_command(address: SocketAddr, text: PathBuf) -> Ended {
    let mut nail = Command::new(programs::peer("s-nail"));
    nail.args(["-:/", "-Sv15-compat", "-Ssmtp-auth=none", "-Sttycharset=utf-8", "-Smime-encoding=8bit"]);
    nail.args([&format!("-Smta=smtp://{address}"), "-Ssendwait", "-Shostname=client.example"]);
    nail.args(["-r", "a@sender.example", "-s", "Greetings", "b@example.com"]).env("LC_ALL", "C.UTF-8");
    run(&mut nail, File::open(text).unwrap().into())
}

/// The text behind the fields is what it was given.
fn s_nail_sends() {
    let (gateway, text) = (Gateway::new(""), TEXT);
    let listener = gateway.listen();
    let ended = s_nail_command(listener.address(), written(&gateway, text.as_bytes()));
    assert_eq!(ended.code, 0, "{ended:?}");
    let stored = gateway.incoming().pop().expect("the message is in the spool");
    let body = String::from_utf8(stored.body).unwrap();
    let (fields, body) = body.split_once("\r\n\r\n").expect("fields, and a text");
    assert!(fields.contains("Subject: Greetings"), "{fields}");
    assert_eq!(body.as_bytes(), spool::as_crlf(text.as_bytes()));
}

pub(crate) fn smtplib_command(address: SocketAddr, file: PathBuf) -> Ended {
    let mut python = Command::new(programs::peer("python3"));
    python.arg(programs::script("send.py")).args([address.ip().to_string(), address.port().to_string()]);
    run(python.arg(file), Stdio::null())
}

fn smtplib_sends() {
    assert_sends(smtplib_command);
}

fn smtp_source_sends_in_twenty_sessions() {
    const MESSAGES: usize = 500;
    let gateway = Gateway::new("smap: max-sessions-per-host 100");
    let listener = gateway.listen();
    let mut source = Command::new(programs::peer("smtp-source"));
    source.args(["-s", "20", "-m", &MESSAGES.to_string(), "-l", "5000", "-N"]);
    source.args(["-f", "a@sender.example", "-t", "b@example.com", &format!("inet:{}", listener.address())]);
    let ended = run(&mut source, Stdio::null());
    assert_eq!(ended.code, 0, "{ended:?}");
    assert!(ended.log.is_empty(), "{ended:?}");
    let stored = gateway.incoming();
    assert_eq!(stored.len(), MESSAGES);
    assert!(stored.iter().all(|message| message.body.len() >= 5000 && message.body.ends_with(b"\r\n")));
}
