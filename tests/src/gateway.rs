//! A gateway of a test's own: a table, a spool with the right owners, and the programs on them.

use std::fs;
use std::net::{Ipv4Addr, SocketAddr, TcpListener};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};

use smap_common::account::Account;
use smap_common::spool::{Accounts, Layout};
use tempfile::TempDir;

use crate::needs::is_root;
use crate::process::Process;
use crate::spool::{self, Stored};
use crate::{client::Client, programs};

/// Our name in every test.
pub const HOST: &str = "gw.example.com";
/// smap's user where root runs the tests; it need not be in the user database.
pub const SMAP_UID: u32 = 40001;
/// smapd's user there.
pub const SMAPD_UID: u32 = 40002;

/// A table and a spool.
#[derive(Debug)]
pub struct Gateway {
    folder: Arc<TempDir>,
}

impl Gateway {
    /// With these lines at the head of its table: what they say wins over what follows.
    ///
    /// # Panics
    /// There is no room for it.
    #[must_use]
    pub fn new(lines: &str) -> Self {
        let gateway = Self::without_spool(lines);
        gateway.layout().create_missing().expect("the spool can be made");
        gateway
    }

    /// The same without a spool.
    ///
    /// # Panics
    /// There is no room for it.
    #[must_use]
    pub fn without_spool(lines: &str) -> Self {
        let folder = tempfile::Builder::new().prefix("smap-test-").tempdir().expect("a temporary folder");
        // smap's user must reach the spool in it.
        chmod(folder.path(), 0o755);
        let gateway = Self { folder: Arc::new(folder) };
        gateway.write_table(lines);
        gateway
    }

    /// Its folder, for whatever else the test needs.
    #[must_use]
    pub fn folder(&self) -> &Path {
        self.folder.path()
    }

    /// Its table.
    #[must_use]
    pub fn table(&self) -> PathBuf {
        self.folder().join("netperm-table")
    }

    /// Its spool.
    #[must_use]
    pub fn spool(&self) -> PathBuf {
        self.folder().join("spool")
    }

    /// The folders of its spool.
    #[must_use]
    pub fn layout(&self) -> Layout {
        let own = Account::current();
        let accounts = if is_root() {
            Accounts { smap_uid: SMAP_UID, smap_gid: SMAP_UID, smapd_uid: SMAPD_UID }
        } else {
            Accounts { smap_uid: own.uid, smap_gid: own.gid, smapd_uid: own.uid }
        };
        Layout::new(&self.spool(), accounts)
    }

    /// Writes the table anew, in one step.
    ///
    /// # Panics
    /// There is no room for it.
    pub fn write_table(&self, lines: &str) {
        let users = if is_root() {
            format!("smap: userid {SMAP_UID}\nsmapd: userid {SMAPD_UID}\n")
        } else {
            String::new()
        };
        let spool = self.spool();
        let table = format!(
            "{lines}\n{users}\
             smap, smapd: directory {}\n\
             smap, smapd: hostname {HOST}\n\
             smap, smapd: domain example.com discard\n\
             smap-lookup: socket {}/lookup\n",
            spool.display(),
            self.folder().display()
        );
        self.write_whole_table(&table);
    }

    /// Writes a table of which nothing is ours.
    ///
    /// # Panics
    /// There is no room for it.
    pub fn write_whole_table(&self, table: &str) {
        let new = self.folder().join("netperm-table.new");
        fs::write(&new, table).expect("the table can be written");
        chmod(&new, 0o644);
        fs::rename(&new, self.table()).unwrap();
    }

    /// One of our programs with this table. smapd goes `--once` or `--foreground`.
    #[must_use]
    pub fn program(&self, name: &str) -> Command {
        let mut command = Command::new(programs::ours(name));
        command.arg("--config").arg(self.table());
        command
    }

    /// `smap --listen` on a free port of 127.0.0.1.
    #[must_use]
    pub fn listen(&self) -> Listener {
        self.listen_on(&["127.0.0.1"])
    }

    /// `smap --listen` on a free port of each of these addresses, the same one everywhere.
    ///
    /// # Panics
    /// It does not begin to listen.
    #[must_use]
    pub fn listen_on(&self, hosts: &[&str]) -> Listener {
        self.listen_as(hosts, || self.program("smap"))
    }

    /// The same, smap started in a way of its own.
    ///
    /// # Panics
    /// It does not begin to listen.
    #[must_use]
    pub fn listen_as(&self, hosts: &[&str], smap: impl Fn() -> Command) -> Listener {
        for _ in 0..10 {
            let port = free_port();
            let addresses = hosts.iter().map(|host| SocketAddr::new(host.parse().unwrap(), port)).collect();
            if let Some(listener) = Listener::start(smap(), addresses, Arc::clone(&self.folder)) {
                return listener;
            }
        }
        panic!("no port is free");
    }

    /// The whole messages in `incoming/`.
    #[must_use]
    pub fn incoming(&self) -> Vec<Stored> {
        spool::messages(&self.layout().incoming())
    }
}

/// A running `smap --listen`.
#[derive(Debug)]
pub struct Listener {
    /// The process that listens.
    pub process: Process,
    /// Where.
    pub addresses: Vec<SocketAddr>,
    /// Table and spool stay as long as it runs.
    _folder: Arc<TempDir>,
}

impl Listener {
    /// `None` if somebody took the port meanwhile.
    fn start(mut smap: Command, addresses: Vec<SocketAddr>, folder: Arc<TempDir>) -> Option<Self> {
        smap.arg("--foreground");
        addresses.iter().for_each(|address| {
            smap.arg("--listen").arg(address.to_string());
        });
        let mut process = Process::start(&mut smap);
        let taken = |line: &str| line.contains("Address already in use");
        let said = |line: &str| line.contains("listening on") || line.contains("error: ");
        let lines = process.wait_for_logs(1, said);
        if lines.iter().any(|line| taken(line)) {
            process.wait();
            return None;
        }
        let _all = process.wait_for_logs(addresses.len(), |line| line.contains("listening on"));
        Some(Self { process, addresses, _folder: folder })
    }

    /// The first address.
    #[must_use]
    pub fn address(&self) -> SocketAddr {
        self.addresses[0]
    }

    /// A new connection, greeted.
    #[must_use]
    pub fn client(&self) -> Client {
        Client::greeted(self.address())
    }

    /// A new connection after EHLO.
    #[must_use]
    pub fn extended_client(&self) -> Client {
        let mut client = self.client();
        client.say("EHLO client.example", "250-");
        client
    }

    /// Waits until so many sessions have ended.
    pub fn wait_for_sessions(&self, count: usize) {
        let _lines = self.process.wait_for_logs(count, |line| line.contains("]: exiting host="));
    }
}

/// A port of 127.0.0.1 that nobody listens on now, and that no other test of this process is given. It is none that
/// the system gives to whoever asks for any port, which would then be taken by the time that it is used.
///
/// # Panics
/// There is none.
#[must_use]
pub fn free_port() -> u16 {
    const FIRST: u32 = 10_000;
    const COUNT: u32 = 22_000;
    static GIVEN: AtomicU32 = AtomicU32::new(0);
    // Processes that run side by side begin at different ones.
    let begin = std::process::id().wrapping_mul(977) % COUNT;
    let next = || begin.wrapping_add(GIVEN.fetch_add(1, Ordering::Relaxed)) % COUNT;
    let is_free = |port: &u16| TcpListener::bind((Ipv4Addr::LOCALHOST, *port)).is_ok();
    std::iter::repeat_with(|| u16::try_from(FIRST + next()).unwrap()).find(is_free).expect("a port is free")
}

/// Sets the mode of a file.
///
/// # Panics
/// It is not ours.
pub fn chmod(path: &Path, mode: u32) {
    fs::set_permissions(path, fs::Permissions::from_mode(mode)).expect("the mode can be set");
}
