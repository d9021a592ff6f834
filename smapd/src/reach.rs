//! What of this machine and its network smapd needs, by its table: the spool, the mailboxes, the ports of its next
//! hosts, the table itself, its mailertable and the files of TLS. Everything else is closed to it.

use std::path::{Path, PathBuf};

use netperm::site::Site;
use netperm::transport::SMTP_PORT;
use smap_common::confine::Reach;

use crate::tls;

/// What smapd needs for `site`, which stands in `table`.
#[must_use]
pub fn of(site: &Site, table: &Path) -> Reach {
    let transports = || site.smapd.transports().map(|(_, transport)| transport);
    let mut folders = vec![site.layout.root().to_owned(), site.layout.bad().to_owned()];
    folders.extend(transports().filter_map(|transport| transport.mailboxes()).filter_map(existing));
    let mut ports: Vec<u16> = site.smapd.ports().collect();
    if site.smapd.relay_host.is_none() {
        ports.push(SMTP_PORT);
    }
    // An editor may put another file in the table's place: its folder is what stays.
    let mailertable = site.smapd.mailertable.iter().map(|mailertable| mailertable.file());
    let named = std::iter::once(table).chain(mailertable).filter_map(Path::parent);
    let of_tls = tls::named(site).filter_map(Path::parent).filter(|folder| folder.is_dir());
    let read = outermost(named.chain(of_tls).map(Path::to_owned).collect());
    let folders = outermost(folders);
    ports.sort_unstable();
    ports.dedup();
    Reach { folders, read, ports }
}

/// The same for a process that begins: the folders that links lead to as well, where a renewed certificate may lie
/// beside the old one.
#[must_use]
pub fn at_start(site: &Site, table: &Path) -> Reach {
    let mut reach = of(site, table);
    let real = tls::named(site).filter_map(|file| file.canonicalize().ok());
    reach.read.extend(real.filter_map(|file| file.parent().map(Path::to_owned)));
    reach.read = outermost(reach.read);
    reach
}

/// Without those that lie in another, and without a slash at the end.
fn outermost(folders: Vec<PathBuf>) -> Vec<PathBuf> {
    let mut folders: Vec<PathBuf> = folders.iter().map(|folder| folder.components().collect()).collect();
    folders.sort();
    folders.dedup_by(|inner, outer| is_within(inner, outer));
    folders
}

/// Whether what may be done in `outer` may be done in `inner` too: not behind a symbolic link, which may lead out.
fn is_within(inner: &Path, outer: &Path) -> bool {
    inner.starts_with(outer)
        && inner.ancestors().take_while(|path| *path != outer).all(|path| !path.is_symlink())
}

/// Folders of mailboxes that are missing, each with the one in which they would be made.
pub fn missing_folders(site: &Site) -> impl Iterator<Item = (&Path, Option<PathBuf>)> {
    let folders = site.smapd.transports().filter_map(|(_, transport)| transport.mailboxes());
    folders.filter(|folder| !folder.is_dir()).map(|folder| (folder, existing(folder)))
}

/// The folder itself, or, as long as it is missing, the one in which it would be made; never the whole machine.
fn existing(folder: &Path) -> Option<PathBuf> {
    let nearest = folder.ancestors().find(|path| path.is_dir())?;
    nearest.parent().is_some().then(|| nearest.to_owned())
}

#[cfg(test)]
mod tests {
    use std::fs::create_dir_all;
    use std::os::unix::fs::symlink;

    use super::*;

    #[test]
    fn a_folder_in_another_needs_no_word_of_its_own_unless_a_link_leads_there() {
        let folder = tempfile::tempdir().unwrap();
        let at = |name: &str| folder.path().join(name);
        create_dir_all(at("mail/lists/old")).unwrap();
        symlink("/srv", at("mail/moved")).unwrap();
        let all = ["mail/lists/old", "mail/moved/here", "mail/", "mail", "mailbox"].map(at).to_vec();
        assert_eq!(outermost(all), ["mail", "mail/moved/here", "mailbox"].map(at));
    }
}
