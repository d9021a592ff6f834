use super::*;
use crate::packet::Writer;

fn name(text: &str) -> Name {
    text.parse().unwrap()
}

fn questions() -> Vec<Question> {
    vec![
        Question::Addresses { host: name("mail.example.com") },
        Question::Mx { domain: name("bücher.example") },
        Question::Names { address: "2001:db8::1".parse().unwrap() },
        Question::Names { address: "192.0.2.1".parse().unwrap() },
        Question::Texts { name: name("_dmarc.example.com") },
        Question::Tlsa { port: 25, host: name("mail.example.com") },
        Question::User { name: "bob".to_owned() },
        Question::Recipient { address: "\"a b\"@example.com".parse().unwrap() },
    ]
}

fn found<T>(records: Vec<T>) -> Outcome<T> {
    Ok(Found { records, secure: true, ttl: 300 })
}

fn answers() -> Vec<Answer> {
    let tlsa = Tlsa { usage: 3, selector: 1, matching: 1, data: vec![7; 32] };
    let mx = |preference, exchange: &str| Mx { preference, exchange: name(exchange) };
    let mut all = vec![
        Answer::Addresses(found(vec!["192.0.2.1".parse().unwrap(), "2001:db8::1".parse().unwrap()])),
        Answer::Mx(found(vec![mx(10, "a.example"), mx(u16::MAX, "b.example")])),
        Answer::Mx(found(vec![mx(0, ".")])),
        Answer::Names(Ok(Found { records: vec![name("a.example")], secure: false, ttl: 0 })),
        Answer::Texts(found(vec![b"v=spf1 -all".to_vec(), vec![0, 255], Vec::new()])),
        Answer::Tlsa(found(vec![tlsa])),
        Answer::User(found(vec!["bob".to_owned()])),
        Answer::Recipient(found(vec!["250 2.1.5 Ok".to_owned()])),
    ];
    for failure in
        [Failure::NoSuchName, Failure::NoRecords, Failure::Temporary("nobody has answered".to_owned())]
    {
        all.extend(questions().iter().map(|question| question.failed(failure.clone())));
    }
    all
}

#[test]
fn every_word_reads_back_as_it_was_written() {
    for question in questions() {
        let asked = Asked { id: u64::MAX, question };
        assert_eq!(Asked::decode(&asked.encode()), Some(asked));
    }
    for answer in answers() {
        let answered = Answered { id: 7, answer };
        assert_eq!(Answered::decode(&answered.encode()), Some(answered));
    }
}

#[test]
fn a_packet_that_is_cut_or_goes_on_is_not_read() {
    for packet in questions().into_iter().map(|question| Asked { id: 7, question }.encode()) {
        assert!((0..packet.len()).all(|cut| Asked::decode(&packet[..cut]).is_none()));
        assert_eq!(Asked::decode(&[packet.as_slice(), b"x"].concat()), None);
    }
    for packet in answers().into_iter().map(|answer| Answered { id: 7, answer }.encode()) {
        assert!((0..packet.len()).all(|cut| Answered::decode(&packet[..cut]).is_none()));
        assert_eq!(Answered::decode(&[packet.as_slice(), b"x"].concat()), None);
    }
}

#[test]
fn another_version_or_kind_is_not_read() {
    for [version, kind] in [[2, 1], [0, 1], [1, 0], [1, 8]] {
        let packet = Writer::default().number(version).number(kind).number(7).octets(b"h").finish();
        assert_eq!(Asked::decode(&packet), None);
        let packet = Writer::default().number(version).number(kind).number(7).number(1).finish();
        assert_eq!(Answered::decode(&packet), None);
    }
}

#[test]
fn what_was_found_is_at_least_one() {
    let none = Answered { id: 7, answer: Answer::Addresses(found(Vec::new())) };
    assert_eq!(Answered::decode(&none.encode()), None);
}

#[test]
fn a_packet_has_no_more_than_it_may_have() {
    let many = Answered { id: 7, answer: Answer::Addresses(found(vec!["192.0.2.1".parse().unwrap(); 500])) };
    let Some(Answered { answer: Answer::Addresses(Ok(few)), .. }) = Answered::decode(&many.encode()) else {
        panic!("not read")
    };
    assert_eq!(few.records.len(), MAX_RECORDS);
    let large = Answered { id: 7, answer: Answer::Texts(found(vec![vec![b'x'; 5000]; 20])) };
    let packet = large.encode();
    assert!(packet.len() <= MAX_PACKET);
    let Some(Answered { answer: Answer::Texts(Ok(few)), .. }) = Answered::decode(&packet) else {
        panic!("not read")
    };
    assert_eq!(few.records.len(), 13);
}

#[test]
fn a_failure_is_one_short_line() {
    let answered = Answered { id: 7, answer: Answer::Mx(Err(Failure::Temporary("é\n".repeat(200)))) };
    let Some(Answered { answer: Answer::Mx(Err(Failure::Temporary(why))), .. }) =
        Answered::decode(&answered.encode())
    else {
        panic!("not read")
    };
    assert!(why.len() <= MAX_WHY && !why.contains('\n'), "{why:?}");
}

#[test]
fn a_name_is_lower_case_and_has_no_dot_at_its_end() {
    assert_eq!(name("Mail.Example.COM.").as_str(), "mail.example.com");
    assert!(name(".").is_root());
    for bad in
        ["", "..", "a..b", "a b", "a\nb", "-a", "[192.0.2.1]", "a/b", &"x".repeat(64), &"a.".repeat(129)]
    {
        assert_eq!(bad.parse::<Name>(), Err(BadName), "{bad:?}");
    }
    for written in [&b"MAIL.example"[..], b"mail.example.", b"\xff"] {
        let packet = Writer::default().number(1).number(1).number(7).octets(written).finish();
        assert_eq!(Asked::decode(&packet), None);
    }
}
