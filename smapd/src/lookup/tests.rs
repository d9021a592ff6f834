use std::os::fd::{FromRawFd, OwnedFd};

use nix::sys::socket::{Backlog, accept4, bind, listen};
use smap_common::lookup::{Answer, Found};

use super::*;

/// A `smap-lookup` that listens and does as the test says.
struct Fake {
    folder: tempfile::TempDir,
    listener: OwnedFd,
}

impl Fake {
    fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let listener = Self::listen(&folder.path().join("lookup"));
        Self { folder, listener }
    }

    fn listen(path: &Path) -> OwnedFd {
        let flags = SockFlag::SOCK_CLOEXEC;
        let listener = socket(AddressFamily::Unix, SockType::SeqPacket, flags, None).unwrap();
        bind(listener.as_raw_fd(), &UnixAddr::new(path).unwrap()).unwrap();
        listen(&listener, Backlog::new(5).unwrap()).unwrap();
        listener
    }

    fn path(&self) -> PathBuf {
        self.folder.path().join("lookup")
    }

    fn lookup(&self) -> Lookup {
        let path = self.path();
        Lookup::by(Side::Listening { link: connect_to(&path).unwrap(), path })
    }

    #[expect(unsafe_code, reason = "accept gives a number")]
    fn accept(&self) -> Link {
        let raw = accept4(self.listener.as_raw_fd(), SockFlag::SOCK_CLOEXEC).unwrap();
        // SAFETY: it was just made.
        Link::from(unsafe { OwnedFd::from_raw_fd(raw) })
    }
}

fn question() -> Question {
    Question::Addresses { host: "mail.example.com".parse().unwrap() }
}

fn found() -> Answer {
    Answer::Addresses(Ok(Found { records: vec!["192.0.2.1".parse().unwrap()], secure: false, ttl: 60 }))
}

fn answers(lookup: &mut Lookup) -> Vec<Answered> {
    let mut answers = Vec::new();
    lookup.answers(&mut answers).unwrap();
    answers
}

#[test]
fn a_question_gets_its_answer() {
    let fake = Fake::new();
    let mut lookup = fake.lookup();
    let client = fake.accept();
    lookup.ask(7, question()).unwrap();
    assert_eq!(answers(&mut lookup), []);
    let packet = client.receive().unwrap().unwrap().packet;
    assert_eq!(Asked::decode(&packet), Some(Asked { id: 7, question: question() }));
    let answered = Answered { id: 7, answer: found() };
    client.send(&answered.encode(), None).unwrap();
    assert_eq!(answers(&mut lookup), [answered]);
}

#[test]
fn an_answer_to_no_question_is_none() {
    let fake = Fake::new();
    let mut lookup = fake.lookup();
    let client = fake.accept();
    lookup.ask(7, question()).unwrap();
    for id in [8, 7, 7] {
        client.send(&Answered { id, answer: found() }.encode(), None).unwrap();
    }
    assert_eq!(answers(&mut lookup), [Answered { id: 7, answer: found() }]);
}

#[test]
fn when_it_goes_away_what_was_asked_is_not_known_now() {
    let fake = Fake::new();
    let mut lookup = fake.lookup();
    drop(fake.accept());
    lookup.ask(7, question()).unwrap_or_default();
    lookup.under_way.insert(7, question());
    let failure = Failure::Temporary("smap-lookup is gone".to_owned());
    assert_eq!(answers(&mut lookup), [Answered { id: 7, answer: question().failed(failure) }]);
    assert_eq!(lookup.ask(8, question()).unwrap_err().kind(), io::ErrorKind::NotConnected);
    assert!(lookup.next_deadline().is_some());
}

#[test]
fn when_it_comes_back_it_is_asked_again() {
    let fake = Fake::new();
    let mut lookup = fake.lookup();
    drop(fake.accept());
    assert_eq!(answers(&mut lookup), []);
    lookup.tick(Instant::now());
    assert!(lookup.ask(8, question()).is_err(), "not at once");
    lookup.tick(Instant::now() + AGAIN);
    let _client = fake.accept();
    lookup.ask(8, question()).unwrap();
    assert_eq!(lookup.next_deadline(), None);
}

#[test]
fn what_speaks_another_version_is_gone() {
    let fake = Fake::new();
    let mut lookup = fake.lookup();
    fake.accept().send(b"hello", None).unwrap();
    assert_eq!(answers(&mut lookup), []);
    assert!(lookup.ask(8, question()).is_err());
}

#[test]
fn one_of_our_own_that_is_gone_is_an_error() {
    let (ours, theirs) =
        socketpair(AddressFamily::Unix, SockType::SeqPacket, None, SockFlag::SOCK_NONBLOCK).unwrap();
    let mut lookup = Lookup::by(Side::Own(Link::from(ours)));
    assert_eq!(answers(&mut lookup), []);
    drop(theirs);
    assert_eq!(lookup.answers(&mut Vec::new()).unwrap_err().kind(), io::ErrorKind::NotConnected);
}

#[test]
fn a_full_link_does_not_make_smapd_wait() {
    let fake = Fake::new();
    let mut lookup = fake.lookup();
    let refused = (0..).find_map(|id| lookup.ask(id, question()).err()).unwrap();
    assert_eq!(refused.kind(), io::ErrorKind::WouldBlock);
}
