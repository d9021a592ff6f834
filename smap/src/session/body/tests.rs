use super::*;

const LIMIT: u64 = 1000;
/// As much as is read of a message with that limit.
const PATIENCE: usize = 2 * 1000 + 65_536;

fn receive(body: &mut Body, octets: &[u8]) -> Progress {
    let (consumed, progress) = body.receive(octets);
    assert_eq!(consumed, octets.len());
    progress
}

fn chunk(size: usize, last: bool) -> Chunk {
    Chunk { size: size.try_into().unwrap(), last }
}

#[test]
fn a_message_that_is_too_big_is_read_over_for_a_while() {
    let mut body = Body::of_data(LIMIT);
    assert_eq!(receive(&mut body, &[b'x'; PATIENCE]), Progress::Open);
    assert_eq!(body.text(), b"");
    assert_eq!(receive(&mut body, b"x"), Progress::Flood);
}

#[test]
fn a_message_that_ends_in_time_is_judged() {
    const END: &[u8] = b"\r\n.\r\n";
    for (length, progress) in [(PATIENCE - END.len(), Progress::End), (PATIENCE, Progress::Flood)] {
        let mut body = Body::of_data(LIMIT);
        assert_eq!(receive(&mut body, &[vec![b'x'; length].as_slice(), END].concat()), progress);
        assert_eq!(body.fault(), Some(BodyFault::TooBig));
    }
}

#[test]
fn dots_that_smtp_adds_are_no_octets_of_the_message() {
    let mut body = Body::of_data(LIMIT);
    let message = ["..\r\n".repeat(333).as_str(), ".\r\n"].concat();
    assert_eq!(receive(&mut body, message.as_bytes()), Progress::End);
    assert_eq!((body.octets(), body.text().len(), body.fault()), (999, 999, None));
}

#[test]
fn a_message_is_too_big_from_one_octet_on() {
    for (length, fault) in [(1000, None), (1001, Some(BodyFault::TooBig))] {
        let text = [vec![b'x'; length - 2], b"\r\n".to_vec()].concat();
        let mut data = Body::of_data(LIMIT);
        let mut chunks = Body::of_chunk(chunk(length, true), LIMIT);
        assert_eq!(receive(&mut data, &[text.as_slice(), b".\r\n"].concat()), Progress::End);
        assert_eq!(receive(&mut chunks, &text), Progress::End);
        for body in [data, chunks] {
            assert_eq!(body.fault(), fault, "{length}");
            assert_eq!(body.text(), if fault.is_none() { text.as_slice() } else { b"" });
        }
    }
}

#[test]
fn a_chunk_that_makes_the_message_too_big_is_refused_at_its_end() {
    let mut body = Body::of_chunk(chunk(600, false), LIMIT);
    assert_eq!(receive(&mut body, &[b'x'; 600]), Progress::ChunkEnd(600));
    assert_eq!(body.fault_so_far(), None);
    body.next_chunk(chunk(600, false));
    assert_eq!(receive(&mut body, &[b'x'; 600]), Progress::ChunkEnd(600));
    assert_eq!(body.fault_so_far(), Some(BodyFault::TooBig));
}

#[test]
fn a_chunk_with_a_bare_line_feed_is_refused_at_its_end_and_goes_nowhere() {
    let mut body = Body::of_chunk(chunk(12, false), LIMIT);
    assert_eq!(receive(&mut body, b"abc\n"), Progress::Open);
    assert_eq!(body.text(), b"");
    assert_eq!(receive(&mut body, b"a line\r\n"), Progress::ChunkEnd(12));
    assert_eq!(
        (body.text(), body.fault_so_far()),
        (b"".as_slice(), Some(BodyFault::Lines(LineFault::BareLf)))
    );
}

#[test]
fn a_message_may_come_over_a_hundred_hops() {
    for (hops, fault) in [(100, None), (101, Some(BodyFault::Loop))] {
        let text = "Received: x\r\n".repeat(hops);
        let mut body = Body::of_data(10_000);
        assert_eq!(receive(&mut body, format!("{text}.\r\n").as_bytes()), Progress::End);
        assert_eq!((body.fault(), body.text().is_empty()), (fault, fault.is_some()), "{hops}");
    }
}

#[test]
fn chunks_may_be_cut_anywhere_and_the_last_line_gets_its_end() {
    let text = b"a\r\nb";
    for cut in 0..=text.len() {
        let mut body = Body::of_chunk(chunk(cut, false), LIMIT);
        assert_eq!(receive(&mut body, &text[..cut]), Progress::ChunkEnd(cut.try_into().unwrap()));
        let mut stored = body.text().to_vec();
        body.next_chunk(chunk(text.len() - cut, true));
        let (consumed, progress) = body.receive(&[&text[cut..], b"QUIT\r\n"].concat());
        assert_eq!((consumed, progress), (text.len() - cut, Progress::End));
        stored.extend_from_slice(body.text());
        assert_eq!((stored.as_slice(), body.octets(), body.fault()), (b"a\r\nb\r\n".as_slice(), 6, None));
    }
}
