use super::*;
use smap_common::smtp::command::MAX_PATH_LINE;

/// The lines that come out when each of these is received.
fn lines(pieces: &[&[u8]]) -> Vec<Line> {
    let mut buffer = LineBuffer::default();
    let mut lines = Vec::new();
    for piece in pieces {
        buffer.receive(piece);
        lines.extend(std::iter::from_fn(|| buffer.next_line()).take(10));
    }
    lines
}

fn whole(line: &[u8]) -> Line {
    Line::Whole(line.to_vec())
}

#[test]
fn lines_come_out_whole_however_they_came_in() {
    assert_eq!(lines(&[b"a\r\nb\r\n\r\nc"]), [whole(b"a"), whole(b"b"), whole(b"")]);
    assert_eq!(lines(&[b"a", b"\r", b"\nb\r\nc", b"d\r\n"]), [whole(b"a"), whole(b"b"), whole(b"cd")]);
    assert_eq!(lines(&[b"a\rb\n", b"c\r\n"]), [Line::BareLf, whole(b"c")]);
}

#[test]
fn a_line_is_too_long_from_one_octet_on_however_it_came_in() {
    let line = |length: usize| [vec![b'x'; length - 2], b"\r\n".to_vec()].concat();
    let longest = line(MAX_PATH_LINE);
    assert_eq!(lines(&[&longest]), [whole(&longest[..MAX_PATH_LINE - 2])]);
    assert_eq!(lines(&longest.chunks(1).collect::<Vec<_>>()), [whole(&longest[..MAX_PATH_LINE - 2])]);
    for length in [MAX_PATH_LINE + 1, MAX_PATH_LINE + 2, 2 * MAX_PATH_LINE, 10_000] {
        for piece in [1, 1000, MAX_PATH_LINE, usize::MAX] {
            let long = line(length);
            let pieces = long.chunks(piece).chain([b"a\r\n".as_slice()]).collect::<Vec<_>>();
            assert_eq!(lines(&pieces), [Line::TooLong, whole(b"a")], "{length} octets by {piece}");
        }
    }
}

#[test]
fn no_more_is_kept_than_a_command_can_be_long() {
    let mut buffer = LineBuffer::default();
    for _ in 0..50 {
        buffer.receive(&[b'x'; MAX_PATH_LINE]);
        assert_eq!(buffer.next_line(), None);
        assert_eq!(buffer.rest(), b"");
    }
}

#[test]
fn a_line_without_end_is_one_from_one_octet_on() {
    assert_eq!(lines(&[&[b'x'; MAX_ENDLESS_LINE]]), []);
    assert_eq!(lines(&[&[b'x'; MAX_ENDLESS_LINE + 1]])[0], Line::Endless);
    let mut buffer = LineBuffer::default();
    for _ in 0..MAX_ENDLESS_LINE / 1024 {
        buffer.receive(&[b'x'; 1024]);
        assert_eq!(buffer.next_line(), None);
    }
    buffer.receive(b"x");
    assert_eq!(buffer.next_line(), Some(Line::Endless));
    let long = [b'x'; 60_000];
    assert_eq!(lines(&[&long, b"\n", &long, b"\n"]), [Line::TooLong, Line::TooLong]);
}

#[test]
fn what_is_skipped_is_not_read_and_no_more_than_that() {
    let mut buffer = LineBuffer::default();
    buffer.receive(b"chunkNOOP\r\nab");
    assert_eq!(buffer.skip(5), 5);
    assert_eq!(buffer.next_line(), Some(whole(b"NOOP")));
    assert_eq!(buffer.skip(5), 2);
    assert_eq!(buffer.rest(), b"");
}
