//! Certificates of the tests' own, made anew each time, and servers that have them.

use std::net::IpAddr;
use std::sync::Arc;

use rcgen::{
    BasicConstraints, CertificateParams, CertifiedIssuer, DnType, IsCa, KeyPair, SanType, date_time_ymd,
};
use rustls::crypto::ring;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::server::WebPkiClientVerifier;
use rustls::{RootCertStore, ServerConfig, SupportedProtocolVersion};

/// Whoever signs certificates.
pub struct Authority(CertifiedIssuer<'static, KeyPair>);

/// A certificate and its key.
#[derive(Debug)]
pub struct Identity {
    certificate: CertificateDer<'static>,
    pem: String,
    key: KeyPair,
}

fn params(names: &[&str]) -> CertificateParams {
    let mut params = CertificateParams::default();
    params.distinguished_name.push(DnType::CommonName, names.join(" "));
    params.subject_alt_names = names
        .iter()
        .map(|name| match name.parse::<IpAddr>() {
            Ok(address) => SanType::IpAddress(address),
            Err(_) => SanType::DnsName((*name).try_into().expect("the name of a host")),
        })
        .collect();
    params
}

impl Authority {
    /// One that nobody knows yet.
    ///
    /// # Panics
    /// The system has no randomness.
    #[must_use]
    pub fn new() -> Self {
        let mut params = CertificateParams::default();
        params.distinguished_name.push(DnType::CommonName, "an authority of the tests");
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let key = KeyPair::generate().expect("a key");
        Self(CertifiedIssuer::self_signed(params, key).expect("a certificate"))
    }

    /// Its certificate, as a file has it.
    #[must_use]
    pub fn pem(&self) -> String {
        self.0.pem()
    }

    /// A certificate for these names and addresses.
    #[must_use]
    pub fn issue(&self, names: &[&str]) -> Identity {
        self.sign(params(names))
    }

    /// One that is valid no more.
    #[must_use]
    pub fn issue_expired(&self, names: &[&str]) -> Identity {
        let mut params = params(names);
        (params.not_before, params.not_after) = (date_time_ymd(2019, 1, 1), date_time_ymd(2020, 1, 1));
        self.sign(params)
    }

    fn sign(&self, params: CertificateParams) -> Identity {
        let key = KeyPair::generate().expect("a key");
        let certificate = params.signed_by(&key, &self.0).expect("a certificate");
        Identity { certificate: certificate.der().clone(), pem: certificate.pem(), key }
    }
}

impl Default for Authority {
    fn default() -> Self {
        Self::new()
    }
}

impl Identity {
    /// A certificate that speaks for itself alone.
    ///
    /// # Panics
    /// The system has no randomness.
    #[must_use]
    pub fn self_signed(names: &[&str]) -> Self {
        let key = KeyPair::generate().expect("a key");
        let certificate = params(names).self_signed(&key).expect("a certificate");
        Self { certificate: certificate.der().clone(), pem: certificate.pem(), key }
    }

    /// The certificate, as a file has it.
    #[must_use]
    pub fn pem(&self) -> &str {
        &self.pem
    }

    /// The key, as a file has it.
    #[must_use]
    pub fn key_pem(&self) -> String {
        self.key.serialize_pem()
    }

    /// A server that has it.
    #[must_use]
    pub fn server(&self) -> Arc<ServerConfig> {
        self.server_with(rustls::ALL_VERSIONS, None)
    }

    /// One that speaks TLS 1.2 only.
    #[must_use]
    pub fn old_server(&self) -> Arc<ServerConfig> {
        self.server_with(&[&rustls::version::TLS12], None)
    }

    /// One that talks only to those who have a certificate of this authority.
    #[must_use]
    pub fn closed_server(&self, authority: &Authority) -> Arc<ServerConfig> {
        self.server_with(rustls::ALL_VERSIONS, Some(authority))
    }

    fn server_with(
        &self,
        versions: &[&'static SupportedProtocolVersion],
        friends: Option<&Authority>,
    ) -> Arc<ServerConfig> {
        let provider = Arc::new(ring::default_provider());
        let config = ServerConfig::builder_with_provider(Arc::clone(&provider));
        let config = config.with_protocol_versions(versions).expect("versions that there are");
        let config = match friends {
            None => config.with_no_client_auth(),
            Some(authority) => {
                let mut friends = RootCertStore::empty();
                friends.add(authority.0.der().clone()).expect("an authority");
                let verifier = WebPkiClientVerifier::builder_with_provider(friends.into(), provider);
                config.with_client_cert_verifier(verifier.build().expect("a verifier"))
            }
        };
        let key = PrivateKeyDer::try_from(self.key.serialize_der()).expect("a key");
        config.with_single_cert(vec![self.certificate.clone()], key).expect("a key of the certificate").into()
    }
}
