//! TLS with next hosts (RFC 3207), by rustls: what is known of authorities and of ourselves, and one layer for each
//! connection.
//!
//! Decides whom a certificate has to name, and what follows where it does not. Trusts the authorities of the table or
//! of the system; of DNS, only what is authenticated by DNSSEC. Guarantees that with `tls=verify` nothing is sent over
//! a connection whose server has not proved who it is, and that what is logged of a certificate is what was found.

mod files;
mod judge;
mod layer;

use std::fmt;
use std::net::SocketAddr;
use std::sync::Arc;

use netperm::Fault;
use netperm::site::Site;
use netperm::transport::Tls;
use rustls::client::{Resumption, WebPkiServerVerifier};
use rustls::crypto::ring;
use rustls::pki_types::{IpAddr, ServerName};
use rustls::{ClientConfig, ClientConnection, Error};

use self::files::Files;
pub use self::files::named;
use self::judge::Judge;
pub use self::judge::Verdict;
pub use self::layer::Layer;

#[cfg(test)]
mod tests;

/// Octets that wait in a layer for the socket, at most.
const MAX_UNSENT: usize = 32 * 1024;

/// A server, as far as it is known.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Peer {
    /// Its name, where it has one.
    pub host: Option<String>,
    /// Where it is.
    pub address: SocketAddr,
    /// The domain whose MX record names it, where nothing authenticates that record: whoever can change an answer of
    /// DNS chose the name of the host, and a certificate for it proves nothing.
    pub unproven_mx_of: Option<String>,
}

impl Peer {
    /// What its certificate has to be for.
    fn to_be_proved(&self) -> String {
        let name = self.unproven_mx_of.as_ref().or(self.host.as_ref());
        name.cloned().unwrap_or_else(|| self.address.ip().to_string())
    }

    /// What the server is told that we came for: its own name, by which it chooses its certificate. An address is never
    /// told (RFC 6066 section 3).
    fn announced(&self) -> ServerName<'static> {
        let name = self.host.clone().and_then(|host| ServerName::try_from(host).ok());
        name.unwrap_or(ServerName::IpAddress(IpAddr::from(self.address.ip())))
    }
}

/// What a connection was made with, for the log.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Security {
    /// As `TLSv1.3`.
    pub version: &'static str,
    /// The cipher suite, by the name that IANA has for it.
    pub cipher: String,
    /// What is to be thought of its certificate.
    pub verdict: Verdict,
}

/// Our side of every connection; what the files of one table say.
pub struct Client {
    config: ClientConfig,
    authorities: Option<Arc<WebPkiServerVerifier>>,
    /// What the administrator should know.
    pub notes: Vec<String>,
}

impl fmt::Debug for Client {
    /// Nothing of the key.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Client").finish_non_exhaustive()
    }
}

impl Client {
    /// Reads the files that the table names.
    ///
    /// # Errors
    /// What is wrong with them, each with the line of the table that names it.
    pub fn load(site: &Site) -> Result<Self, Vec<Fault>> {
        let mut client = Self::new(Files::read(site)?).map_err(|error| files::useless_key(site, &error))?;
        if client.authorities.is_none() {
            let verify = site.smapd.transports().filter(|(_, transport)| transport.tls() == Tls::Verify);
            client.notes.extend(verify.map(|(place, _)| {
                format!("{place}: tls=verify without a known authority: nothing can be sent there; add a cacert line")
            }));
        }
        Ok(client)
    }

    fn new(Files { authorities, identity, notes }: Files) -> Result<Self, Error> {
        let provider = Arc::new(ring::default_provider());
        // It makes none where there are no authorities.
        let authorities =
            WebPkiServerVerifier::builder_with_provider(authorities.into(), Arc::clone(&provider));
        let authorities = authorities.build().ok();
        let judge = Arc::new(Judge::new(authorities.clone(), &provider, None, true));
        let config = ClientConfig::builder_with_provider(provider).with_safe_default_protocol_versions()?;
        let config = config.dangerous().with_custom_certificate_verifier(judge);
        let mut config = match identity {
            None => config.with_no_client_auth(),
            Some((chain, key)) => config.with_client_auth_cert(chain, key)?,
        };
        // What was proved for one policy or name would count for another; and each session costs memory.
        config.resumption = Resumption::disabled();
        Ok(Self { config, authorities, notes })
    }

    /// A layer for a new connection, on which nothing has been said yet; with `must_prove` it is never made with a
    /// server that does not prove who it is.
    ///
    /// # Errors
    /// The system has no randomness.
    pub fn layer(&self, peer: &Peer, must_prove: bool) -> Result<Layer, Error> {
        let whom = ServerName::try_from(peer.to_be_proved()).ok();
        let provider = self.config.crypto_provider();
        let judge = Arc::new(Judge::new(self.authorities.clone(), provider, whom, must_prove));
        let mut config = self.config.clone();
        config.dangerous().set_certificate_verifier(Arc::<Judge>::clone(&judge));
        let mut connection = ClientConnection::new(Arc::new(config), peer.announced())?;
        connection.set_buffer_limit(Some(MAX_UNSENT));
        Ok(Layer::new(connection, judge, peer.clone()))
    }
}
