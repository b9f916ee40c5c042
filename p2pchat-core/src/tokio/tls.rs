//! TLS: the registry's certificate, and how a client judges it.

use std::{
    fmt, io,
    sync::{Arc, Mutex, PoisonError},
};

use rustls::{
    CertificateError as RustlsCertificateError, ClientConfig, DigitallySignedStruct, InconsistentKeys,
    RootCertStore, ServerConfig, SignatureScheme, SupportedProtocolVersion,
    client::{
        Resumption, WebPkiServerVerifier,
        danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier},
    },
    crypto::{CryptoProvider, ring, verify_tls12_signature, verify_tls13_signature},
    pki_types::{CertificateDer, PrivateKeyDer, ServerName, UnixTime, pem::PemObject},
    version::{TLS12, TLS13},
};

use super::fingerprint::Fingerprint;

/// What both ends of this project say they speak (PROTOCOL.md §6.1).
const ALPN: &[u8] = b"p2pchat/1";

static TLS13_ONLY: &[&SupportedProtocolVersion] = &[&TLS13];
static TLS13_AND_12: &[&SupportedProtocolVersion] = &[&TLS13, &TLS12];

/// The oldest version of TLS that is spoken.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[non_exhaustive]
pub enum TlsVersion {
    /// TLS 1.2, for programs that can't do better.
    Tls12,
    /// TLS 1.3.
    #[default]
    Tls13,
}

impl TlsVersion {
    fn and_newer(self) -> &'static [&'static SupportedProtocolVersion] {
        match self {
            Self::Tls12 => TLS13_AND_12,
            Self::Tls13 => TLS13_ONLY,
        }
    }
}

/// A registry's certificate and key, ready for use.
#[derive(Clone)]
pub struct ServerTls {
    pub(super) config: Arc<ServerConfig>,
    certificate: Arc<[u8]>,
    fingerprint: Fingerprint,
}

/// Why a certificate or key can't be used.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum TlsError {
    /// The certificate is no PEM, or there is none in it.
    #[error("the certificate can't be read: {0}")]
    Certificate(String),
    /// The key is no PEM, or there is none in it.
    #[error("the private key can't be read: {0}")]
    Key(String),
    /// The key is another certificate's.
    #[error(
        "the private key belongs to another certificate: it has to be the one that the certificate was made with"
    )]
    Mismatch,
    /// Certificate and key can't be used.
    #[error("certificate and private key can't be used: {0}")]
    Unusable(String),
}

impl ServerTls {
    /// Takes a certificate chain, the registry's own certificate first, and its private key (PKCS#8, PKCS#1 or SEC1), both
    /// in PEM form.
    pub fn from_pem(certificates: &[u8], key: &[u8], oldest: TlsVersion) -> Result<Self, TlsError> {
        let chain: Vec<_> = CertificateDer::pem_slice_iter(certificates)
            .collect::<Result<_, _>>()
            .map_err(|error| TlsError::Certificate(error.to_string()))?;
        let first = chain.first().ok_or_else(|| TlsError::Certificate("there is none".into()))?;
        let (fingerprint, certificate) = (Fingerprint::of_certificate(first), Arc::from(first.as_ref()));
        let key = PrivateKeyDer::from_pem_slice(key).map_err(|error| TlsError::Key(error.to_string()))?;

        let unusable = |error: rustls::Error| match error {
            rustls::Error::InconsistentKeys(InconsistentKeys::KeyMismatch) => TlsError::Mismatch,
            error => TlsError::Unusable(error.to_string()),
        };
        let mut config = ServerConfig::builder_with_provider(provider())
            .with_protocol_versions(oldest.and_newer())
            .map_err(unusable)?
            .with_no_client_auth()
            .with_single_cert(chain, key)
            .map_err(unusable)?;
        config.alpn_protocols = vec![ALPN.to_vec()];
        // A peer connects once and stays: tickets would be sent on each stream and used on none.
        config.send_tls13_tickets = 0;
        Ok(Self { config: Arc::new(config), certificate, fingerprint })
    }

    /// What clients recognise the certificate by.
    pub fn fingerprint(&self) -> Fingerprint {
        self.fingerprint
    }

    /// The registry's own certificate, in DER form.
    pub fn certificate(&self) -> &[u8] {
        &self.certificate
    }
}

impl fmt::Debug for ServerTls {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ServerTls").field("fingerprint", &self.fingerprint).finish_non_exhaustive()
    }
}

/// True if this project's ALPN id was agreed on.
pub(super) fn is_ours(alpn: Option<&[u8]>) -> bool {
    alpn == Some(ALPN)
}

/// How one handshake's certificate is judged.
pub(super) enum Judge {
    Authorities(Arc<RootCertStore>),
    Exactly(Fingerprint),
    /// Whatever it is: nothing is known of this registry yet.
    FirstUse,
}

/// Reads authorities in PEM form.
pub(super) fn authorities(pem: &[u8]) -> Result<Arc<RootCertStore>, String> {
    let mut roots = RootCertStore::empty();
    for certificate in CertificateDer::pem_slice_iter(pem) {
        roots.add(certificate.map_err(|error| error.to_string())?).map_err(|error| error.to_string())?;
    }
    if roots.is_empty() { Err("there is no certificate".into()) } else { Ok(Arc::new(roots)) }
}

/// A client's settings for one handshake, and what it will have seen.
pub(super) struct ClientTls {
    pub(super) config: Arc<ClientConfig>,
    verifier: Arc<Verifier>,
}

impl ClientTls {
    pub(super) fn new(judge: Judge, oldest: TlsVersion) -> Result<Self, String> {
        let provider = provider();
        let trust = match judge {
            Judge::Authorities(roots) => {
                let verifier = WebPkiServerVerifier::builder_with_provider(roots, provider.clone()).build();
                Rule::Authorities(verifier.map_err(|error| error.to_string())?)
            }
            Judge::Exactly(fingerprint) => Rule::Exactly(fingerprint),
            Judge::FirstUse => Rule::FirstUse,
        };
        let verifier = Arc::new(Verifier { rule: trust, provider: provider.clone(), seen: Mutex::default() });
        let mut config = ClientConfig::builder_with_provider(provider)
            .with_protocol_versions(oldest.and_newer())
            .map_err(|error| error.to_string())?
            .dangerous()
            .with_custom_certificate_verifier(verifier.clone())
            .with_no_client_auth();
        config.alpn_protocols = vec![ALPN.to_vec()];
        config.resumption = Resumption::disabled();
        Ok(Self { config: Arc::new(config), verifier })
    }

    /// The certificate that the registry showed, whether or not it was taken.
    pub(super) fn seen(&self) -> Option<CertificateDer<'static>> {
        self.verifier.seen.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

/// Why the certificate was not taken, if that is what ended a handshake.
pub(super) fn certificate_refused(error: &io::Error) -> Option<String> {
    match error.get_ref()?.downcast_ref::<rustls::Error>()? {
        rustls::Error::InvalidCertificate(RustlsCertificateError::UnknownIssuer) => {
            Some("none of the given authorities has signed it".to_owned())
        }
        rustls::Error::InvalidCertificate(reason) => Some(reason.to_string()),
        _ => None,
    }
}

/// Judges the certificate by the rule, and always checks that the other end holds its key.
#[derive(Debug)]
struct Verifier {
    rule: Rule,
    provider: Arc<CryptoProvider>,
    seen: Mutex<Option<CertificateDer<'static>>>,
}

#[derive(Debug)]
enum Rule {
    Authorities(Arc<WebPkiServerVerifier>),
    Exactly(Fingerprint),
    FirstUse,
}

impl ServerCertVerifier for Verifier {
    fn verify_server_cert(
        &self,
        certificate: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        name: &ServerName<'_>,
        ocsp_response: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        *self.seen.lock().unwrap_or_else(PoisonError::into_inner) = Some(certificate.clone().into_owned());
        let seen = Fingerprint::of_certificate(certificate);
        match &self.rule {
            Rule::Authorities(verifier) => {
                verifier.verify_server_cert(certificate, intermediates, name, ocsp_response, now)
            }
            Rule::Exactly(wanted) if *wanted != seen => {
                Err(RustlsCertificateError::ApplicationVerificationFailure.into())
            }
            Rule::Exactly(_) | Rule::FirstUse => Ok(ServerCertVerified::assertion()),
        }
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        verify_tls12_signature(
            message,
            certificate,
            signature,
            &self.provider.signature_verification_algorithms,
        )
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        verify_tls13_signature(
            message,
            certificate,
            signature,
            &self.provider.signature_verification_algorithms,
        )
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.provider.signature_verification_algorithms.supported_schemes()
    }
}

fn provider() -> Arc<CryptoProvider> {
    Arc::new(ring::default_provider())
}
