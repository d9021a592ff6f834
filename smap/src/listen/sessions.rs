//! Who is being served, and how many of one host.

use std::collections::HashMap;
use std::net::IpAddr;

use nix::unistd::Pid;

/// Who is being served.
#[derive(Debug, Default)]
pub(super) struct Sessions {
    hosts: HashMap<Pid, IpAddr>,
    counts: HashMap<IpAddr, u32>,
}

impl Sessions {
    pub(super) fn add(&mut self, pid: Pid, host: IpAddr) {
        self.hosts.insert(pid, host);
        *self.counts.entry(host).or_default() += 1;
    }

    /// A process has ended; it may have had no client.
    pub(super) fn remove(&mut self, pid: Pid) {
        let Some(host) = self.hosts.remove(&pid) else { return };
        if let Some(count) = self.counts.get_mut(&host) {
            *count -= 1;
            if *count == 0 {
                self.counts.remove(&host);
            }
        }
    }

    pub(super) fn of(&self, host: IpAddr) -> u32 {
        self.counts.get(&host).copied().unwrap_or_default()
    }

    pub(super) fn all(&self) -> u32 {
        u32::try_from(self.hosts.len()).unwrap_or(u32::MAX)
    }
}
