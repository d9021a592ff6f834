use super::*;
use nix::sys::wait::waitpid;
use std::io::Read;
use std::os::fd::IntoRawFd;

fn pair() -> (Link, Link) {
    let (a, b) = socketpair(AddressFamily::Unix, SockType::SeqPacket, None, SockFlag::SOCK_CLOEXEC).unwrap();
    (Link(a), Link(b))
}

#[test]
fn a_packet_arrives_whole_with_its_descriptor() {
    let (ours, theirs) = pair();
    let (mut reader, writer) = io::pipe().unwrap();
    ours.send(&[7; MAX_PACKET], Some(writer.as_fd())).unwrap();
    drop(writer);
    let parcel = theirs.receive().unwrap().unwrap();
    assert_eq!(parcel.packet, [7; MAX_PACKET]);
    nix::unistd::write(parcel.descriptor.unwrap(), b"x").unwrap();
    let mut text = String::new();
    reader.read_to_string(&mut text).unwrap();
    assert_eq!(text, "x");
}

#[test]
fn a_packet_that_is_too_long_is_not_sent() {
    let (ours, _theirs) = pair();
    assert_eq!(ours.send(&[0; MAX_PACKET + 1], None).unwrap_err().kind(), io::ErrorKind::InvalidInput);
}

#[test]
fn the_end_of_the_other_side_is_seen_after_what_it_sent() {
    let (ours, theirs) = pair();
    ours.send(b"never read", None).unwrap();
    theirs.send(b"last words", None).unwrap();
    drop(theirs);
    assert_eq!(ours.receive().unwrap().unwrap().packet, b"last words");
    assert!(ours.receive().unwrap().is_none());
    assert!(ours.send(b"hello", None).is_err());
}

#[test]
fn a_full_link_does_not_make_smapd_wait() {
    let (ours, _theirs) = pair();
    set_nonblocking(ours.as_fd()).unwrap();
    let refused = std::iter::repeat_with(|| ours.send(&[0; 1000], None)).find_map(Result::err).unwrap();
    assert_eq!(refused.kind(), io::ErrorKind::WouldBlock);
}

#[test]
fn a_helper_has_one_socket_and_hears_no_signal_of_the_group() {
    let _leak = std::fs::File::open("/dev/null").unwrap().into_raw_fd();
    let helper = Helper::start(|link| {
        while let Ok(Some(_)) = link.receive() {
            for signal in [Signal::SIGTERM, Signal::SIGINT, Signal::SIGHUP] {
                nix::sys::signal::raise(signal).unwrap();
            }
            let count = std::fs::read_dir("/proc/self/fd").unwrap().count();
            link.send(&[u8::try_from(count).unwrap()], None).unwrap();
        }
    })
    .unwrap();
    let poll_link = || {
        let mut fds = [nix::poll::PollFd::new(helper.link.as_fd(), nix::poll::PollFlags::POLLIN)];
        nix::poll::poll(&mut fds, 20_000u16).unwrap();
    };
    helper.link.send(b"count", None).unwrap();
    poll_link();
    // 0, 1, 2, the link, and the folder that is being listed.
    assert_eq!(helper.link.receive().unwrap().unwrap().packet, [5]);
    drop(helper.link);
    assert_eq!(waitpid(helper.pid, None), Ok(nix::sys::wait::WaitStatus::Exited(helper.pid, 0)));
}
