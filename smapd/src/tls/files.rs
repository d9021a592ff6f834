//! The files that TLS needs: certificates of authorities, a certificate of ours and its key, all PEM (RFC 7468).
//!
//! Decides whether they may be believed. Guarantees that what was judged is what is read, and that a key which others
//! can read is not used.

use std::fs::{self, File};
use std::io::{self, Read};
use std::os::unix::fs::MetadataExt;
use std::path::Path;

use netperm::schema::FilePath;
use netperm::site::Site;
use netperm::{Fault, Located, Place};
use rustls::pki_types::pem::{self, PemObject};
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::{Error, RootCertStore};

/// The authorities of the system, as most have them.
const OF_THE_SYSTEM: &str = "/etc/ssl/certs/ca-certificates.crt";
/// More than any of them needs.
const MAX_BYTES: u64 = 16 * 1024 * 1024;

const READABLE_BY_OTHERS: u32 = 0o004;
const WRITABLE_BY_OTHERS: u32 = 0o002;

/// Our certificate, those between it and its authority, and its key.
type Identity = (Vec<CertificateDer<'static>>, PrivateKeyDer<'static>);

/// What the files say.
pub(super) struct Files {
    pub(super) authorities: RootCertStore,
    pub(super) identity: Option<Identity>,
    pub(super) notes: Vec<String>,
}

/// The files of a table, those that need not be there too.
pub fn named(site: &Site) -> impl Iterator<Item = &Path> {
    let authorities = site.smapd.cacert.as_ref().map_or(Path::new(OF_THE_SYSTEM), |file| &file.0);
    let identity = site.smapd.client_cert.iter().chain(&site.smapd.client_key);
    std::iter::once(authorities).chain(identity.map(|file| file.0.as_path()))
}

/// The key is none that can be used, or belongs to another certificate.
pub(super) fn useless_key(site: &Site, error: &Error) -> Vec<Fault> {
    site.smapd.client_key.iter().map(|key| fault("client-key", key, error)).collect()
}

impl Files {
    /// Reads them.
    ///
    /// # Errors
    /// Everything that is wrong with them.
    pub(super) fn read(site: &Site) -> Result<Self, Vec<Fault>> {
        let (smapd, mut notes) = (&site.smapd, Vec::new());
        let authorities = match &smapd.cacert {
            Some(file) => read_authorities(file, &mut notes),
            None => Ok(authorities_of_the_system(&mut notes)),
        };
        let chain = smapd.client_cert.as_ref().map(read_chain).transpose();
        let key = smapd.client_key.as_ref().map(read_key).transpose();
        match (authorities, chain, key) {
            (Ok(authorities), Ok(chain), Ok(key)) => {
                Ok(Self { authorities, identity: chain.zip(key), notes })
            }
            (authorities, chain, key) => {
                Err([authorities.err(), chain.err(), key.err()].into_iter().flatten().collect())
            }
        }
    }
}

fn read_authorities(named: &Located<FilePath>, notes: &mut Vec<String>) -> Result<RootCertStore, Fault> {
    let wrong = |what| fault("cacert", named, what);
    let list = read(&named.0, WRITABLE_BY_OTHERS).and_then(|bytes| certificates(&bytes)).map_err(wrong)?;
    let (authorities, unusable) = store(list);
    if authorities.is_empty() {
        return Err(fault("cacert", named, "none of its certificates can be used"));
    }
    if unusable > 0 {
        notes.push(unused(&named.place, &named.0, unusable));
    }
    Ok(authorities)
}

/// Nobody asked for them: what is wrong with them keeps no mail from flowing.
fn authorities_of_the_system(notes: &mut Vec<String>) -> RootCertStore {
    let file = Path::new(OF_THE_SYSTEM);
    if !file.exists() {
        return RootCertStore::empty();
    }
    match read(file, WRITABLE_BY_OTHERS).and_then(|bytes| certificates(&bytes)) {
        Ok(list) => store(list).0,
        Err(what) => {
            notes.push(format!("{OF_THE_SYSTEM}: {what}: no authority is known"));
            RootCertStore::empty()
        }
    }
}

fn store(list: Vec<CertificateDer<'static>>) -> (RootCertStore, usize) {
    let mut authorities = RootCertStore::empty();
    let (_used, unusable) = authorities.add_parsable_certificates(list);
    (authorities, unusable)
}

fn unused(place: &Place, file: &Path, count: usize) -> String {
    format!("{place}: cacert {}: {count} of its certificates cannot be used", file.display())
}

fn read_chain(named: &Located<FilePath>) -> Result<Vec<CertificateDer<'static>>, Fault> {
    let read = read(&named.0, WRITABLE_BY_OTHERS).and_then(|bytes| certificates(&bytes));
    read.map_err(|what| fault("client-cert", named, what))
}

fn read_key(named: &Located<FilePath>) -> Result<PrivateKeyDer<'static>, Fault> {
    let wrong = |what| fault("client-key", named, what);
    let bytes = read(&named.0, READABLE_BY_OTHERS | WRITABLE_BY_OTHERS).map_err(wrong)?;
    PrivateKeyDer::from_pem_slice(&bytes).map_err(|error| match error {
        pem::Error::NoItemsFound => wrong("no private key stands in it (PEM, not encrypted)".to_owned()),
        error => wrong(not_pem(&error)),
    })
}

fn certificates(bytes: &[u8]) -> Result<Vec<CertificateDer<'static>>, String> {
    let list: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(bytes).collect();
    match list {
        Ok(list) if list.is_empty() => Err("no certificate stands in it (PEM)".to_owned()),
        Ok(list) => Ok(list),
        Err(error) => Err(not_pem(&error)),
    }
}

fn not_pem(error: &pem::Error) -> String {
    format!("it is not PEM: {error}")
}

/// What is in a regular file on which others have none of these rights.
fn read(file: &Path, forbidden: u32) -> Result<Vec<u8>, String> {
    let cannot = |error: io::Error| format!("it can't be read: {error}");
    // A FIFO would wait for its writer: the kind is asked before, and again of what was opened.
    if !fs::metadata(file).map_err(cannot)?.is_file() {
        return Err("it is not a regular file".to_owned());
    }
    let opened = File::open(file).map_err(cannot)?;
    let metadata = opened.metadata().map_err(cannot)?;
    if !metadata.is_file() {
        return Err("it is not a regular file".to_owned());
    }
    if metadata.mode() & forbidden & READABLE_BY_OTHERS != 0 {
        return Err(format!("everyone can read this key: chmod o-rwx {}", file.display()));
    }
    if metadata.mode() & forbidden & WRITABLE_BY_OTHERS != 0 {
        return Err(format!("everyone can write this file: chmod o-w {}", file.display()));
    }
    let mut bytes = Vec::new();
    opened.take(MAX_BYTES).read_to_end(&mut bytes).map_err(cannot)?;
    Ok(bytes)
}

fn fault(attribute: &str, named: &Located<FilePath>, what: impl std::fmt::Display) -> Fault {
    Fault::new(&named.place, format_args!("{attribute} {}: {what}", named.0.display()))
}
