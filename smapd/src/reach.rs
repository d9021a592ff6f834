//! What of this machine and its network smapd needs, by its table: the spool, the mailboxes, the ports of its next
//! hosts, the table itself, the tables that it names, the lists of its aliases and the files of TLS. Everything else is
//! closed to it.

use std::path::{Path, PathBuf};

use netperm::aliases::{self, Target};
use netperm::load;
use netperm::site::Site;
use netperm::transport::SMTP_PORT;
use smap_common::confine::Reach;

use crate::tls;

/// Lists that are looked into for others.
const MOST_LISTS: usize = 1000;

/// What smapd needs for `site`, which stands in `table`.
#[must_use]
pub fn of(site: &Site, table: &Path) -> Reach {
    let transports = || site.smapd.transports().map(|(_, transport)| transport);
    let mut folders = vec![site.layout.root().to_owned(), site.layout.bad().to_owned()];
    folders.extend(transports().filter_map(|transport| transport.mailboxes()).filter_map(existing));
    folders.extend(safe_files(site).and_then(existing));
    let mut ports: Vec<u16> = site.smapd.ports().collect();
    if site.smapd.relay_host.is_none() {
        ports.push(SMTP_PORT);
    }
    let lists = lists(site);
    // An editor may put another file in the table's place: its folder is what stays.
    let named = std::iter::once(table).chain(tables(site)).filter_map(Path::parent);
    let named = named.chain(lists.iter().filter_map(|list| list.parent()).filter(|folder| folder.is_dir()));
    let of_tls = tls::named(site).filter_map(Path::parent).filter(|folder| folder.is_dir());
    let read = outermost(named.chain(of_tls).map(Path::to_owned).collect());
    let folders = outermost(folders);
    ports.sort_unstable();
    ports.dedup();
    Reach { folders, read, ports }
}

/// The tables that are read again with the table that names them: to smap too, whose part of it is judged as well.
fn tables(site: &Site) -> impl Iterator<Item = &Path> {
    let (smap, smapd) = (&site.smap, &site.smapd);
    let mailertable = smapd.mailertable.iter().chain(&smap.mailertable).map(|table| table.file());
    let names = smapd.local_host_names.iter().chain(&smap.local_host_names).chain(&smap.relay_domains);
    let access = smap.access.iter().map(|access| access.file());
    let virtual_users = smapd.virtusertable.iter().chain(&smap.virtusertable).map(|table| table.file());
    let aliases = smapd.aliases.iter().chain(&smap.aliases).flat_map(|aliases| aliases.files());
    let users = smapd.recipients.iter().chain(&smap.recipients).flat_map(|line| line.files());
    mailertable
        .chain(names.map(|names| names.file()))
        .chain(access)
        .chain(virtual_users)
        .chain(aliases.map(PathBuf::as_path))
        .chain(users)
}

/// The lists of aliases, and those that they name in their turn.
fn lists(site: &Site) -> Vec<PathBuf> {
    let named = site.smapd.aliases.iter().flat_map(|aliases| aliases.includes());
    let mut lists: Vec<PathBuf> = named.map(Path::to_owned).collect();
    let mut next = 0;
    while let Some(list) = lists.get(next).filter(|_| next < MOST_LISTS) {
        // One that cannot be read now is said to be so when mail comes for it.
        let targets = load::included(list).map(|bytes| aliases::included(list, &bytes).0).unwrap_or_default();
        for target in targets {
            match target.value {
                Target::Include(file) if !lists.contains(&file) => lists.push(file),
                _ => {}
            }
        }
        next += 1;
    }
    lists
}

/// The folder of the files that aliases name.
fn safe_files(site: &Site) -> Option<&Path> {
    site.smapd.safe_files.as_ref().map(|folder| folder.value.0.as_path())
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
    let folders = folders.chain(safe_files(site));
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
