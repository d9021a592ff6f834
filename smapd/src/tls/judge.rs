//! What is to be thought of a certificate: checked by webpki, and, where nobody insists, only noted.

use std::fmt;
use std::sync::{Arc, OnceLock};

use rustls::client::WebPkiServerVerifier;
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::{
    CryptoProvider, WebPkiSupportedAlgorithms, verify_tls12_signature, verify_tls13_signature,
};
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::{CertificateError, DigitallySignedStruct, Error, SignatureScheme};

/// What was found, in sendmail's words.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Verdict {
    /// It is from a known authority, valid now, and for the name that it has to be for.
    Ok,
    /// It is not.
    Fail,
    /// No authority is known: it could not be checked.
    No,
}

impl fmt::Display for Verdict {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Ok => "OK",
            Self::Fail => "FAIL",
            Self::No => "NO",
        })
    }
}

/// Why a certificate proves nothing.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Doubt {
    NoAuthority,
    /// What is to be proved can stand in no certificate.
    NoName,
    Certificate(Error),
}

impl fmt::Display for Doubt {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NoAuthority => f.write_str("no authority is known that could prove it"),
            Self::NoName => f.write_str("no certificate can be for that name"),
            Self::Certificate(error) => error.fmt(f),
        }
    }
}

/// Checks the certificate of one connection. That its owner has the key is checked in any case.
#[derive(Debug)]
pub(super) struct Judge {
    authorities: Option<Arc<WebPkiServerVerifier>>,
    algorithms: WebPkiSupportedAlgorithms,
    whom: Option<ServerName<'static>>,
    must_prove: bool,
    found: OnceLock<Result<(), Doubt>>,
}

impl Judge {
    pub(super) fn new(
        authorities: Option<Arc<WebPkiServerVerifier>>,
        provider: &CryptoProvider,
        whom: Option<ServerName<'static>>,
        must_prove: bool,
    ) -> Self {
        let algorithms = provider.signature_verification_algorithms;
        Self { authorities, algorithms, whom, must_prove, found: OnceLock::new() }
    }

    pub(super) fn verdict(&self) -> Verdict {
        match self.found.get() {
            Some(Ok(())) => Verdict::Ok,
            Some(Err(Doubt::NoAuthority)) | None => Verdict::No,
            Some(Err(Doubt::NoName | Doubt::Certificate(_))) => Verdict::Fail,
        }
    }

    /// Why the handshake was ended, if it was for the certificate.
    pub(super) fn objection(&self) -> Option<&Doubt> {
        self.found.get()?.as_ref().err().filter(|_| self.must_prove)
    }

    fn check(
        &self,
        certificate: &CertificateDer<'_>,
        others: &[CertificateDer<'_>],
        ocsp: &[u8],
        now: UnixTime,
    ) -> Result<(), Doubt> {
        let authorities = self.authorities.as_ref().ok_or(Doubt::NoAuthority)?;
        let whom = self.whom.as_ref().ok_or(Doubt::NoName)?;
        let verified = authorities.verify_server_cert(certificate, others, whom, ocsp, now);
        verified.map(|_proof| ()).map_err(Doubt::Certificate)
    }
}

impl ServerCertVerifier for Judge {
    fn verify_server_cert(
        &self,
        certificate: &CertificateDer<'_>,
        others: &[CertificateDer<'_>],
        _announced: &ServerName<'_>,
        ocsp: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        match self.found.get_or_init(|| self.check(certificate, others, ocsp, now)) {
            Err(doubt) if self.must_prove => Err(match doubt {
                Doubt::Certificate(error) => error.clone(),
                Doubt::NoAuthority | Doubt::NoName => CertificateError::UnknownIssuer.into(),
            }),
            Ok(()) | Err(_) => Ok(ServerCertVerified::assertion()),
        }
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        verify_tls12_signature(message, certificate, signed, &self.algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        verify_tls13_signature(message, certificate, signed, &self.algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.algorithms.supported_schemes()
    }
}
