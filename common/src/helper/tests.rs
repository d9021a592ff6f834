use super::*;
use nix::sys::wait::waitpid;
use std::os::fd::IntoRawFd;

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
