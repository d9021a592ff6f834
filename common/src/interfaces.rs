//! The addresses of this machine.
//!
//! The kernel tells them over a kind of socket that a confined process cannot have: they are read once, at its start.

use std::net::IpAddr;

use nix::ifaddrs::getifaddrs;
use nix::sys::socket::SockaddrStorage;

use crate::log::Event;

/// Those of all interfaces, whether they are up or not. Without them mail flows too.
#[must_use]
pub fn addresses() -> Vec<IpAddr> {
    match getifaddrs() {
        Ok(interfaces) => interfaces.filter_map(|interface| ip(&interface.address?)).collect(),
        Err(errno) => {
            let text = format_args!("the addresses of this machine are not known: {errno}; see our-address");
            Event::Warning { text: &text }.log();
            Vec::new()
        }
    }
}

fn ip(address: &SockaddrStorage) -> Option<IpAddr> {
    let v4 = address.as_sockaddr_in().map(|address| IpAddr::V4(address.ip()));
    v4.or_else(|| address.as_sockaddr_in6().map(|address| IpAddr::V6(address.ip())))
}
