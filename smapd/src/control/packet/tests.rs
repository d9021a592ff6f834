use super::*;
use smap_common::clock::Timestamp;

fn id(number: u64) -> QueueId {
    QueueId::new(Timestamp::from_micros(1), number)
}

fn requests() -> Vec<Request> {
    let verbs =
        [Verb::Hold, Verb::Release, Verb::Retry, Verb::Delete, Verb::Bounce("no such \u{e4}".to_owned())];
    let whom = [Whom::All, Whom::Domain("example.com".to_owned()), Whom::Ids(vec![id(1), id(2)])];
    let all = verbs.iter().flat_map(|verb| whom.iter().map(move |whom| (verb.clone(), whom.clone())));
    all.map(|(verb, whom)| Request { verb, whom }).collect()
}

fn replies() -> Vec<Reply> {
    let effects = [
        Effect::Done,
        Effect::AfterAttempt,
        Effect::UnderWay,
        Effect::Held,
        Effect::NotHeld,
        Effect::Unknown,
        Effect::Failed("no room".to_owned()),
    ];
    let refusals = [Refusal::NotUnderstood, Refusal::NotPermitted, Refusal::Busy].map(Reply::Refused);
    let effects = Reply::Effects((0..).map(id).zip(effects).collect());
    [Reply::Effects(Vec::new()), effects, Reply::Done].into_iter().chain(refusals).collect()
}

#[test]
fn every_request_and_reply_is_read_as_it_was_written() {
    for request in requests() {
        assert_eq!(Request::decode(&request.encode()), Some(request));
    }
    for reply in replies() {
        assert_eq!(Reply::decode(&reply.encode()), Some(reply));
    }
}

#[test]
fn a_packet_that_is_cut_or_too_long_is_not_read() {
    let judge = |packet: Vec<u8>, read: fn(&[u8]) -> bool| {
        for end in 0..packet.len() {
            assert!(!read(&packet[..end]), "cut at {end}: {packet:?}");
        }
        assert!(!read(&[packet.as_slice(), b"x"].concat()), "{packet:?}");
    };
    for request in requests() {
        judge(request.encode(), |packet| Request::decode(packet).is_some());
    }
    for reply in replies() {
        judge(reply.encode(), |packet| Reply::decode(packet).is_some());
    }
}

#[test]
fn another_version_is_not_read() {
    for version in [0, 2, u64::MAX] {
        let mut packet = requests()[0].encode();
        packet[..8].copy_from_slice(&version.to_le_bytes());
        assert_eq!(Request::decode(&packet), None);
        assert_eq!(Reply::decode(Writer::default().number(version).number(2).finish().as_slice()), None);
    }
}

#[test]
fn what_is_not_known_is_not_read() {
    let request = |verb: u64, whom: u64| {
        Request::decode(&Writer::default().number(VERSION).number(verb).octets(b"").number(whom).finish())
    };
    assert!(request(1, 0).is_some());
    assert_eq!([request(0, 0), request(6, 0), request(1, 3)], [None, None, None]);
    let with_words = |verb: u64| {
        Request::decode(&Writer::default().number(VERSION).number(verb).octets(b"x").number(0).finish())
    };
    assert!(with_words(5).is_some());
    assert!((1..=4).all(|verb| with_words(verb).is_none()));
    for reply in [&[4][..], &[3, 3], &[1, 1, 22]] {
        let mut packet = Writer::default();
        reply.iter().fold(packet.number(VERSION), |packet, number| packet.number(*number));
        assert_eq!(Reply::decode(&packet.finish()), None, "{reply:?}");
    }
}

#[test]
fn a_request_is_bounded_and_the_longest_fits_a_packet() {
    let request = |count: usize, text: usize| Request {
        verb: Verb::Bounce("x".repeat(text)),
        whom: Whom::Ids((0..count).map(|_| id(7)).collect()),
    };
    let longest = request(MAX_IDS, MAX_TEXT).encode();
    assert!(Request::decode(&longest).is_some() && longest.len() < MAX_PACKET);
    assert_eq!(Request::decode(&request(MAX_IDS + 1, 0).encode()), None);
    assert_eq!(Request::decode(&request(1, MAX_TEXT + 1).encode()), None);
}

#[test]
fn the_longest_reply_fits_a_packet() {
    let why = || Effect::Failed("\u{e4}".repeat(MAX_TEXT));
    let longest = Reply::Effects((0..MAX_EFFECTS).map(|_| (id(1), why())).collect()).encode();
    assert!(Reply::decode(&longest).is_some() && longest.len() < MAX_PACKET);
}
