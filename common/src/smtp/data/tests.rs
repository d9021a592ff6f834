use super::*;

fn decode(wire: &[u8]) -> (Vec<u8>, Decoded, Option<LineFault>) {
    let (mut decoder, mut message) = (Decoder::default(), Vec::new());
    let decoded = decoder.decode(wire, &mut message);
    (message, decoded, decoder.fault())
}

#[test]
fn a_message_ends_at_its_dot_and_nowhere_else() {
    let (message, decoded, fault) = decode(b"Subject: x\r\n\r\n..dot\r\n.. \r\n.x\r\n.\r\nQUIT\r\n");
    assert_eq!(message, b"Subject: x\r\n\r\n.dot\r\n. \r\nx\r\n");
    assert_eq!((decoded.ended, decoded.consumed, fault), (true, 33, None));
}

#[test]
fn a_message_may_be_empty() {
    assert_eq!(decode(b".\r\n"), (vec![], Decoded { consumed: 3, ended: true }, None));
}

#[test]
fn no_other_sequence_ends_a_message() {
    let smuggles: [&[u8]; 12] = [
        b"a\n.\n",
        b"a\n.\r\n",
        b"a\r.\r",
        b"a\r.\r\n",
        b"a\r\n.\n",
        b"a\r\n.\r",
        b"a\0\r\n.\0\r\n",
        b"a\r\n\0.\r\n",
        b"a\r\0\n.\r\n",
        b"a\r\n.\0\r\n",
        b"a\r\n.\r\0\n",
        b"a\r\n.\r\r\n",
    ];
    for wire in smuggles {
        let (_, decoded, _) = decode(wire);
        assert!(!decoded.ended, "{wire:?}");
    }
}

/// What the RFC says, in one line each, of a whole byte string: the first `CRLF . CRLF` (or a leading `.
/// CRLF`) ends it; what is before it must have each CR followed by LF and each LF preceded by CR.
fn oracle(wire: &[u8]) -> (Option<usize>, bool) {
    let framed = [b"\r\n", wire].concat();
    let end = framed.windows(5).position(|five| five == b"\r\n.\r\n");
    let body = &framed[..end.map_or(framed.len(), |at| at + 2)];
    let after_cr = |at: usize| at > 0 && body[at - 1] == b'\r';
    let before_lf = |at: usize| body.get(at + 1).is_none_or(|&next| next == b'\n');
    let bad = (0..body.len()).any(|at| match body[at] {
        b'\r' => !before_lf(at),
        b'\n' => !after_cr(at),
        octet => octet == 0,
    });
    (end.map(|at| at + 3), bad)
}

#[test]
fn every_short_string_agrees_with_the_rfc() {
    let alphabet = b"\r\n.\0a";
    for length in 0..=7u32 {
        for number in 0..5usize.pow(length) {
            let wire: Vec<u8> = (0..length).map(|place| alphabet[number / 5usize.pow(place) % 5]).collect();
            let (end, bad) = oracle(&wire);
            let (message, decoded, fault) = decode(&wire);
            assert_eq!(decoded.ended.then_some(decoded.consumed), end, "{wire:?}");
            assert_eq!(fault.is_some(), bad, "{wire:?}");
            if end.is_some() && !bad {
                let mut again = Vec::new();
                let mut stuffer = Stuffer::default();
                stuffer.stuff(&message, &mut again);
                stuffer.finish(&mut again);
                assert_eq!(decode(&again).0, message, "{wire:?}");
            }
        }
    }
}

#[test]
fn where_the_input_is_cut_makes_no_difference() {
    let wire = b"ab\r\n..c\r\n.d\r\r\n\r\n.\r\nrest";
    let (whole, decoded, fault) = decode(wire);
    for cut in 0..=wire.len() {
        let (mut decoder, mut message) = (Decoder::default(), Vec::new());
        let mut first = decoder.decode(&wire[..cut], &mut message);
        if !first.ended {
            let second = decoder.decode(&wire[cut..], &mut message);
            first = Decoded { consumed: cut + second.consumed, ended: second.ended };
        }
        assert_eq!((&message, first, decoder.fault()), (&whole, decoded, fault), "cut at {cut}");
    }
}

#[test]
fn the_checker_finds_what_the_decoder_refuses() {
    let cases: [(&[u8], Option<LineFault>, bool); 9] = [
        (b"", None, true),
        (b"a\r\nb\r\n", None, true),
        (b"\r\n.\r\nQUIT\r\n", None, true),
        (b"no end", None, false),
        (b"a\nb", Some(LineFault::BareLf), false),
        (b"a\rb", Some(LineFault::BareCr), false),
        (b"a\r\r\n", Some(LineFault::BareCr), true),
        (b"a\r", Some(LineFault::BareCr), false),
        (b"a\0\r\n", Some(LineFault::Nul), true),
    ];
    for (text, fault, whole) in cases {
        for cut in 0..=text.len() {
            let mut checker = Checker::default();
            checker.check(&text[..cut]);
            checker.check(&text[cut..]);
            assert_eq!(
                (checker.fault_at_end(), checker.ends_line()),
                (fault, whole),
                "{text:?} cut at {cut}"
            );
        }
    }
}

#[test]
fn nothing_that_is_stuffed_has_a_bare_line_end_or_a_nul() {
    let alphabet = b"\r\n.a\0";
    for number in 0..5usize.pow(6) {
        let text: Vec<u8> = (0..6).map(|place| alphabet[number / 5usize.pow(place) % 5]).collect();
        let mut wire = Vec::new();
        let mut stuffer = Stuffer::default();
        let (head, tail) = text.split_at(3);
        stuffer.stuff(head, &mut wire);
        stuffer.stuff(tail, &mut wire);
        stuffer.finish(&mut wire);
        let (_, decoded, fault) = decode(&wire);
        assert_eq!((decoded.ended, decoded.consumed, fault), (true, wire.len(), None), "{text:?}");
    }
}

#[test]
fn received_fields_are_counted_in_the_header_only() {
    let text = b"Received: a\r\n by b\r\nRECEIVED : c\r\nX-Received: d\r\nReceivedx: e\r\nreceived:\r\n\r\nReceived: body\r\n";
    for cut in 0..=text.len() {
        let mut counter = ReceivedCounter::new();
        counter.read(&text[..cut]);
        counter.read(&text[cut..]);
        assert_eq!(counter.count(), 3, "cut at {cut}");
    }
}
