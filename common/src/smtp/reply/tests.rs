use super::*;

fn read(wire: &[u8]) -> Result<Option<Reply>, ReplyError> {
    let mut reader = ReplyReader::default();
    reader.receive(wire);
    reader.next_reply()
}

fn text(wire: &[u8]) -> String {
    read(wire).unwrap().unwrap().to_string()
}

#[test]
fn replies_are_read_whole() {
    assert_eq!(text(b"250 ok\r\n"), "250 ok");
    assert_eq!(text(b"250\r\n"), "250");
    assert_eq!(text(b"250-first\r\n250-second\r\n250 third\r\n"), "250 first second third");
    assert_eq!(read(b"250-first\r\n"), Ok(None));
    assert_eq!(read(b"250 ok"), Ok(None));
}

#[test]
fn replies_in_one_packet_come_out_one_by_one() {
    let mut reader = ReplyReader::default();
    reader.receive(b"250 a\r\n550 b\r\n35");
    assert_eq!(reader.next_reply().unwrap().unwrap().code, 250);
    assert_eq!(reader.next_reply().unwrap().unwrap().code, 550);
    assert_eq!(reader.next_reply(), Ok(None));
    assert!(!reader.is_empty());
    reader.receive(b"4 go\r\n");
    assert_eq!(reader.next_reply().unwrap().unwrap().code, 354);
    assert!(reader.is_empty());
}

#[test]
fn an_enhanced_code_counts_only_if_it_agrees() {
    let reply = read(b"550-5.1.1 no such\r\n550 5.1.1 user\r\n").unwrap().unwrap();
    assert_eq!((reply.status, reply.lines.join("|")), (Some(Status::permanent(1, 1)), "no such|user".into()));
    assert_eq!(read(b"550 2.1.1 what\r\n").unwrap().unwrap().status, None);
    assert_eq!(read(b"250 5.7.2\r\n").unwrap().unwrap().to_string(), "250 5.7.2");
    assert_eq!(read(b"450 busy\r\n").unwrap().unwrap().status_or_general(), Status::transient(0, 0));
}

#[test]
fn what_is_not_a_reply_is_an_error() {
    let bad: [&[u8]; 7] = [
        b"\r\n",
        b"25\r\n",
        b"abc d\r\n",
        b"250-a\r\n251 b\r\n",
        b"250=x\r\n",
        b"650 x\r\n",
        b"\0\0\0 x\r\n",
    ];
    for wire in bad {
        assert_eq!(read(wire), Err(ReplyError::Malformed), "{wire:?}");
    }
}

#[test]
fn replies_are_bounded() {
    assert_eq!(read(&[b"250 ".as_slice(), &[b'x'; MAX_LINE]].concat()), Err(ReplyError::TooLong));
    assert_eq!(read(&b"250-x\r\n".repeat(MAX_REPLY)), Err(ReplyError::TooLong));
    let many = [b"250-xxxxxxxxxxxxxxxx\r\n".repeat(500), b"250 end\r\n".to_vec()].concat();
    assert!(text(&many).len() < 2 * MAX_TEXT);
}

#[test]
fn what_could_forge_a_line_is_masked() {
    assert_eq!(text(b"550 a\x1b[2J\r b\xffc\0d\r\n"), "550 a?[2J? b?c?d");
}
