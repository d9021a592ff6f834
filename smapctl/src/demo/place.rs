//! The demo's folder: its table, its spool, its mailbox.

use std::fs;
use std::net::{Ipv4Addr, TcpListener, TcpStream};
use std::os::unix::fs::{PermissionsExt, chown};
use std::path::{Path, PathBuf};

use netperm::site::Site;
use nix::unistd::geteuid;
use tempfile::TempDir;

use super::DemoError;
use crate::error::Error;

/// The domain of the demo (RFC 2606: nobody's).
pub(super) const DOMAIN: &str = "demo.example";

/// smap's user where root runs the demo: one that owns nothing.
const SMAP: u32 = 65533;
/// smapd's.
const SMAPD: u32 = 65534;

/// The folder, removed when it is dropped.
pub(super) struct Place {
    folder: TempDir,
    table: String,
}

impl Place {
    /// Makes the folder and all that is in it.
    pub(super) fn prepare() -> Result<Self, Error> {
        let failed = |path: &Path| {
            let path = path.to_owned();
            move |cause| DemoError::Prepare(path, cause)
        };
        let folder = tempfile::Builder::new().prefix("smap-demo-").tempdir();
        let folder = folder.map_err(failed(&std::env::temp_dir()))?;
        // smap and smapd must pass through it.
        fs::set_permissions(folder.path(), fs::Permissions::from_mode(0o755))
            .map_err(failed(folder.path()))?;
        let place = Self { table: table(folder.path()), folder };
        let file = place.table_file();
        fs::write(&file, &place.table).map_err(failed(&file))?;
        fs::set_permissions(&file, fs::Permissions::from_mode(0o600)).map_err(failed(&file))?;
        let mail = place.mail();
        fs::create_dir(&mail).map_err(failed(&mail))?;
        if geteuid().is_root() {
            chown(&mail, Some(SMAPD), Some(SMAPD)).map_err(failed(&mail))?;
        }
        let site = Site::load(&file)?;
        site.layout.create_missing().map_err(|(path, cause)| DemoError::Prepare(path, cause))?;
        Ok(place)
    }

    pub(super) fn path(&self) -> &Path {
        self.folder.path()
    }

    pub(super) fn table(&self) -> &str {
        &self.table
    }

    pub(super) fn table_file(&self) -> PathBuf {
        self.folder.path().join("netperm-table")
    }

    fn mail(&self) -> PathBuf {
        self.folder.path().join("mail")
    }

    /// The first message in the mailbox.
    pub(super) fn delivered(&self) -> Option<PathBuf> {
        let messages = fs::read_dir(self.mail().join("you/new")).ok()?;
        messages.flatten().map(|entry| entry.path()).min()
    }
}

fn table(folder: &Path) -> String {
    let folder = folder.display();
    let user = if geteuid().is_root() {
        format!("smap: userid {SMAP}\nsmapd: userid {SMAPD}\n")
    } else {
        String::new()
    };
    format!(
        "{user}smap, smapd: directory {folder}/spool\n\
         smap, smapd: hostname gateway.{DOMAIN}\n\
         smap, smapd: domain {DOMAIN} maildir:{folder}/mail/%u/\n"
    )
}

/// The port, if it can be listened on; for 0, any.
pub(super) fn bindable(port: u16) -> Option<u16> {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, port)).ok()?;
    listener.local_addr().ok().map(|address| address.port())
}

/// A connection to what listens on the port.
pub(super) fn connect(port: u16) -> Option<TcpStream> {
    TcpStream::connect((Ipv4Addr::LOCALHOST, port)).ok()
}
