use std::collections::VecDeque;
use std::io::{self, Read, Write};

use rcgen::{CertificateParams, CertifiedIssuer, IsCa, KeyPair};
use rustls::pki_types::PrivateKeyDer;
use rustls::{RootCertStore, ServerConfig, ServerConnection};

use super::*;

/// A socket with so much room, which gives so much at a time, and a server behind it.
struct Wire {
    room: usize,
    gives: usize,
    sent: VecDeque<u8>,
    server: ServerConnection,
    heard: Vec<u8>,
    is_cut: bool,
}

impl Wire {
    /// The server takes what was sent.
    fn deliver(&mut self) {
        while !self.sent.is_empty() {
            self.server.read_tls(&mut self.sent).unwrap();
            let _refused = self.server.process_new_packets();
            let mut plain = [0; 4096];
            while let Ok(read @ 1..) = self.server.reader().read(&mut plain) {
                self.heard.extend_from_slice(&plain[..read]);
            }
        }
    }
}

impl Write for Wire {
    fn write(&mut self, octets: &[u8]) -> io::Result<usize> {
        match self.room.saturating_sub(self.sent.len()).min(octets.len()) {
            0 => Err(io::ErrorKind::WouldBlock.into()),
            taken => self.sent.write(&octets[..taken]),
        }
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl Read for Wire {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        self.deliver();
        let given = buffer.len().min(self.gives);
        let mut buffer = &mut buffer[..given];
        match self.server.write_tls(&mut buffer)? {
            0 if self.is_cut => Ok(0),
            0 => Err(io::ErrorKind::WouldBlock.into()),
            read => Ok(read),
        }
    }
}

/// We know an authority, and it has signed for the server that it is this host.
fn client_and_server(host: &str) -> (Client, Wire) {
    client_and_server_with_tickets(host, 2)
}

fn client_and_server_with_tickets(host: &str, tickets: usize) -> (Client, Wire) {
    let mut params = CertificateParams::default();
    params.is_ca = IsCa::Ca(rcgen::BasicConstraints::Unconstrained);
    let authority = CertifiedIssuer::self_signed(params, KeyPair::generate().unwrap()).unwrap();
    let key = KeyPair::generate().unwrap();
    let certificate = CertificateParams::new([host.to_owned()]).unwrap().signed_by(&key, &authority).unwrap();
    let config = ServerConfig::builder_with_provider(Arc::new(ring::default_provider()));
    let config = config.with_safe_default_protocol_versions().unwrap().with_no_client_auth();
    let key = PrivateKeyDer::try_from(key.serialize_der()).unwrap();
    let mut config = config.with_single_cert(vec![certificate.der().clone()], key).unwrap();
    config.send_tls13_tickets = tickets;
    let server = ServerConnection::new(Arc::new(config)).unwrap();
    let mut authorities = RootCertStore::empty();
    authorities.add(authority.der().clone()).unwrap();
    let client = Client::new(Files { authorities, identity: None, notes: Vec::new() }).unwrap();
    let wire = Wire {
        room: usize::MAX,
        gives: usize::MAX,
        sent: VecDeque::new(),
        server,
        heard: Vec::new(),
        is_cut: false,
    };
    (client, wire)
}

fn peer(host: &str, unproven_mx_of: Option<&str>) -> Peer {
    let address = "192.0.2.1:25".parse().unwrap();
    Peer { host: Some(host.to_owned()), address, unproven_mx_of: unproven_mx_of.map(str::to_owned) }
}

/// The verdict of a handshake, or why there is none.
fn judged(certificate: &str, peer: &Peer, must_prove: bool) -> Result<String, String> {
    let (client, mut wire) = client_and_server(certificate);
    let mut layer = client.layer(peer, must_prove).unwrap();
    match layer.handshake(&mut wire) {
        Ok(true) => Ok(layer.security().verdict.to_string()),
        Ok(false) => panic!("it waits"),
        Err(error) => Err(layer.explain(&error)),
    }
}

/// One that came about.
fn encrypted() -> (Layer, Wire) {
    encrypted_with_tickets(2)
}

fn encrypted_with_tickets(tickets: usize) -> (Layer, Wire) {
    let (client, mut wire) = client_and_server_with_tickets("mx.example", tickets);
    let mut layer = client.layer(&peer("mx.example", None), true).unwrap();
    assert!(layer.handshake(&mut wire).unwrap());
    wire.deliver();
    (layer, wire)
}

#[test]
fn an_exchanger_that_dnssec_authenticates_proves_its_own_name() {
    let peer = peer("mx.example", None);
    assert_eq!(judged("mx.example", &peer, true), Ok("OK".to_owned()));
    assert!(judged("example.org", &peer, true).is_err());
}

#[test]
fn an_exchanger_that_nothing_authenticates_proves_the_domain() {
    let peer = peer("mx.example", Some("example.org"));
    assert_eq!(judged("example.org", &peer, true), Ok("OK".to_owned()));
    let why = judged("mx.example", &peer, true).unwrap_err();
    assert!(why.starts_with("the certificate does not prove that this is example.org: "), "{why}");
    assert!(why.contains("mx.example takes mail for example.org is known from DNS without DNSSEC"), "{why}");
}

#[test]
fn who_does_not_insist_is_told_the_same_verdict() {
    let (proven, unproven) = (peer("mx.example", None), peer("mx.example", Some("example.org")));
    assert_eq!(judged("mx.example", &proven, false), Ok("OK".to_owned()));
    assert_eq!(judged("mx.example", &unproven, false), Ok("FAIL".to_owned()));
}

#[test]
fn without_authorities_nobody_proves_anything() {
    let files = || Files { authorities: RootCertStore::empty(), identity: None, notes: Vec::new() };
    for must_prove in [false, true] {
        let (_, mut wire) = client_and_server("mx.example");
        let mut layer = Client::new(files()).unwrap().layer(&peer("mx.example", None), must_prove).unwrap();
        match layer.handshake(&mut wire) {
            Ok(_) => assert!(!must_prove && layer.security().verdict == Verdict::No),
            Err(error) => assert!(must_prove && layer.explain(&error).contains("no authority is known")),
        }
    }
}

#[test]
fn what_the_socket_does_not_take_waits_in_bounded_room() {
    let (mut layer, mut wire) = encrypted();
    wire.room = 0;
    let text: Vec<u8> = (0..1_000_000_u32).map(|number| number.to_le_bytes()[0]).collect();
    let taken = layer.write(&mut wire, &text).unwrap();
    assert!(taken <= MAX_UNSENT, "{taken}");
    let blocks = |result: io::Result<()>| result.unwrap_err().kind() == io::ErrorKind::WouldBlock;
    assert!(blocks(layer.write(&mut wire, &text).map(drop)) && blocks(layer.flush(&mut wire)));
    wire.room = 1000;
    let mut rest = &text[taken..];
    while !rest.is_empty() || layer.flush(&mut wire).is_err() {
        if let Ok(taken) = layer.write(&mut wire, rest) {
            rest = &rest[taken..];
        }
        wire.deliver();
    }
    wire.deliver();
    assert!(wire.heard == text, "{} octets", wire.heard.len());
}

#[test]
fn an_end_counts_only_with_the_word_of_the_server() {
    for announced in [true, false] {
        let (mut layer, mut wire) = encrypted();
        wire.server.writer().write_all(b"250 ok\r\n").unwrap();
        if announced {
            wire.server.send_close_notify();
        }
        wire.is_cut = true;
        let mut buffer = [0; 100];
        assert_eq!(layer.read(&mut wire, &mut buffer).unwrap(), 8);
        let end = layer.read(&mut wire, &mut buffer).map_err(|error| error.kind());
        assert_eq!(end, if announced { Ok(0) } else { Err(io::ErrorKind::UnexpectedEof) });
    }
}

#[test]
fn a_server_that_has_only_words_of_tls_is_given_up() {
    let mut buffer = [0; 100];
    for (tickets, end) in [(2, io::ErrorKind::WouldBlock), (200, io::ErrorKind::InvalidData)] {
        let (mut layer, mut wire) = encrypted_with_tickets(tickets);
        wire.gives = 100;
        assert_eq!(layer.read(&mut wire, &mut buffer).unwrap_err().kind(), end, "{tickets} tickets");
    }
}
