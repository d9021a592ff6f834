use std::io::Read;

use nix::fcntl::OFlag;

use super::*;

#[test]
fn a_packet_arrives_whole_with_its_descriptor() {
    let (ours, theirs) = Link::pair().unwrap();
    let (mut reader, writer) = io::pipe().unwrap();
    ours.send(&[7; MAX_PACKET], Some(writer.as_fd())).unwrap();
    drop(writer);
    let parcel = theirs.receive().unwrap().unwrap();
    assert_eq!(parcel.packet, [7; MAX_PACKET]);
    write(parcel.descriptor.unwrap(), b"x").unwrap();
    let mut text = String::new();
    reader.read_to_string(&mut text).unwrap();
    assert_eq!(text, "x");
}

#[test]
fn a_packet_that_is_too_long_is_not_sent() {
    let (ours, _theirs) = Link::pair().unwrap();
    assert_eq!(ours.send(&[0; MAX_PACKET + 1], None).unwrap_err().kind(), io::ErrorKind::InvalidInput);
}

#[test]
fn the_end_of_the_other_side_is_seen_after_what_it_sent() {
    let (ours, theirs) = Link::pair().unwrap();
    ours.send(b"never read", None).unwrap();
    theirs.send(b"last words", None).unwrap();
    drop(theirs);
    assert_eq!(ours.receive().unwrap().unwrap().packet, b"last words");
    assert!(ours.receive().unwrap().is_none());
    assert!(ours.send(b"hello", None).is_err());
}

#[test]
fn a_full_link_does_not_make_the_sender_wait() {
    let (ours, _theirs) = Link::pair().unwrap();
    fcntl(&ours, FcntlArg::F_SETFL(OFlag::O_NONBLOCK)).unwrap();
    let refused = std::iter::repeat_with(|| ours.send(&[0; 1000], None)).find_map(Result::err).unwrap();
    assert_eq!(refused.kind(), io::ErrorKind::WouldBlock);
}

#[test]
fn an_end_is_moved_to_a_number_that_is_free_and_to_no_other() {
    const FREE: RawFd = 900;
    let (ours, theirs) = Link::pair().unwrap();
    let ours = ours.onto(FREE).unwrap();
    assert_eq!(ours.as_fd().as_raw_fd(), FREE);
    assert!(theirs.onto(FREE).is_err());
    assert!(ours.receive().unwrap().is_none());
}
