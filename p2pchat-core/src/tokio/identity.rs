//! A peer's own link key, and the TLS streams on which two peers prove theirs (PROTOCOL.md §7.13).

use std::{fmt, io, sync::Arc};

use p2pchat_proto::LinkKey;
use ring::{rand::SystemRandom, signature::Ed25519KeyPair};
use rustls::{
    ClientConfig, DigitallySignedStruct, DistinguishedName, ServerConfig, SignatureScheme,
    client::{
        AlwaysResolvesClientRawPublicKeys, Resumption,
        danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier},
    },
    crypto::{WebPkiSupportedAlgorithms, ring as provider, verify_tls13_signature_with_raw_key},
    pki_types::{CertificateDer, PrivatePkcs8KeyDer, ServerName, SubjectPublicKeyInfoDer, UnixTime},
    server::{
        AlwaysResolvesServerRawPublicKeys,
        danger::{ClientCertVerified, ClientCertVerifier},
    },
    sign::CertifiedKey,
    version::TLS13,
};
use tokio_rustls::{TlsAcceptor, TlsConnector};

use super::network::BoxStream;

/// What two peers say they speak within TLS.
const ALPN: &[u8] = b"p2pchat-peer/1";

/// All of an Ed25519 key's SubjectPublicKeyInfo (RFC 8410) but the key.
const SPKI: &[u8] = &[0x30, 0x2a, 0x30, 0x05, 0x06, 0x03, 0x2b, 0x65, 0x70, 0x03, 0x21, 0x00];

/// A peer's own link key, private half included: what its streams are encrypted and proven with.
///
/// It is made once for an account on a device and kept, since others recognise the user by it.
#[derive(Clone)]
pub struct LinkIdentity {
    key: LinkKey,
    server: TlsAcceptor,
    client: TlsConnector,
}

/// Why a link key can't be used.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("the link key can't be used: {0}; an Ed25519 key in PKCS#8 form is wanted")]
pub struct LinkIdentityError(String);

impl LinkIdentity {
    /// A new key, in the form that [`from_pkcs8`](Self::from_pkcs8) takes: DER, not encrypted. A secret.
    pub fn generate() -> io::Result<Vec<u8>> {
        let key = Ed25519KeyPair::generate_pkcs8(&SystemRandom::new());
        key.map(|key| key.as_ref().to_vec())
            .map_err(|_| io::Error::other("the system gives no random numbers"))
    }

    /// Takes an Ed25519 key in PKCS#8 form (RFC 5958), in DER.
    pub fn from_pkcs8(der: &[u8]) -> Result<Self, LinkIdentityError> {
        let unusable = |error: rustls::Error| LinkIdentityError(error.to_string());
        let signer = provider::sign::any_eddsa_type(&PrivatePkcs8KeyDer::from(der)).map_err(unusable)?;
        let spki = signer.public_key().ok_or_else(|| LinkIdentityError("it has no public half".into()))?;
        let key = key_of(&spki).ok_or_else(|| LinkIdentityError("it is of another kind".into()))?;
        let certified = Arc::new(CertifiedKey::new(vec![CertificateDer::from(spki.to_vec())], signer));
        let holds_a_key = Arc::new(HoldsAKey(provider::default_provider().signature_verification_algorithms));
        let crypto = Arc::new(provider::default_provider());
        let mut server = ServerConfig::builder_with_provider(crypto.clone())
            .with_protocol_versions(&[&TLS13])
            .map_err(unusable)?
            .with_client_cert_verifier(holds_a_key.clone())
            .with_cert_resolver(Arc::new(AlwaysResolvesServerRawPublicKeys::new(certified.clone())));
        server.alpn_protocols = vec![ALPN.to_vec()];
        // Each stream proves both keys anew, and nothing is said before.
        (server.send_tls13_tickets, server.max_early_data_size) = (0, 0);
        let mut client = ClientConfig::builder_with_provider(crypto)
            .with_protocol_versions(&[&TLS13])
            .map_err(unusable)?
            .dangerous()
            .with_custom_certificate_verifier(holds_a_key)
            .with_client_cert_resolver(Arc::new(AlwaysResolvesClientRawPublicKeys::new(certified)));
        client.alpn_protocols = vec![ALPN.to_vec()];
        (client.resumption, client.enable_early_data) = (Resumption::disabled(), false);
        let (server, client) = (TlsAcceptor::from(Arc::new(server)), TlsConnector::from(Arc::new(client)));
        Ok(Self { key, server, client })
    }

    /// The public half, which others know this peer by.
    pub fn key(&self) -> LinkKey {
        self.key
    }

    /// Makes the handshake of who has dialled, after the frame in the clear (§7.13). Gives the encrypted stream, and the key that the
    /// other end holds, for [`handle_stream_secured`](crate::peer::Peer::handle_stream_secured): whose it is, the machine judges. It has
    /// no time limit of its own.
    ///
    /// # Errors
    /// The stream ends, or the other end makes no such handshake: then the error is of kind [`InvalidData`](io::ErrorKind::InvalidData).
    pub async fn dial(&self, stream: BoxStream) -> io::Result<(BoxStream, LinkKey)> {
        // Nobody is looked for by a name: the key says who it is.
        let nobody = ServerName::IpAddress(std::net::Ipv4Addr::UNSPECIFIED.into());
        let stream = self.client.connect(nobody, stream).await?;
        let key = shown(stream.get_ref().1.peer_certificates())?;
        Ok((Box::new(stream), key))
    }

    /// Makes the handshake of who was dialled; the same otherwise.
    ///
    /// # Errors
    /// As [`dial`](Self::dial)'s.
    pub async fn accept(&self, stream: BoxStream) -> io::Result<(BoxStream, LinkKey)> {
        let stream = self.server.accept(stream).await?;
        let key = shown(stream.get_ref().1.peer_certificates())?;
        Ok((Box::new(stream), key))
    }
}

impl fmt::Debug for LinkIdentity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("LinkIdentity").field("key", &self.key).finish_non_exhaustive()
    }
}

fn key_of(spki: &[u8]) -> Option<LinkKey> {
    Some(LinkKey::from_bytes(spki.strip_prefix(SPKI)?.try_into().ok()?))
}

fn shown(certificates: Option<&[CertificateDer<'_>]>) -> io::Result<LinkKey> {
    let key = certificates.and_then(<[_]>::first).and_then(|spki| key_of(spki));
    key.ok_or_else(|| io::Error::other("the other side shows no link key"))
}

/// Checks that the other end holds the Ed25519 key that it shows. Whose key that is, the machine judges.
#[derive(Debug)]
struct HoldsAKey(WebPkiSupportedAlgorithms);

impl HoldsAKey {
    fn is_one(spki: &CertificateDer<'_>) -> Result<(), rustls::Error> {
        match key_of(spki) {
            Some(_) => Ok(()),
            None => Err(rustls::CertificateError::BadEncoding.into()),
        }
    }

    fn verify(
        &self,
        message: &[u8],
        spki: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        let spki = SubjectPublicKeyInfoDer::from(spki.as_ref());
        verify_tls13_signature_with_raw_key(message, &spki, signature, &self.0)
    }
}

/// How signatures are checked, which both sides' traits ask for in the same words.
macro_rules! signatures {
    () => {
        fn verify_tls12_signature(
            &self,
            _: &[u8],
            _: &CertificateDer<'_>,
            _: &DigitallySignedStruct,
        ) -> Result<HandshakeSignatureValid, rustls::Error> {
            Err(rustls::Error::General("TLS 1.2 is not spoken here".into()))
        }

        fn verify_tls13_signature(
            &self,
            message: &[u8],
            spki: &CertificateDer<'_>,
            signature: &DigitallySignedStruct,
        ) -> Result<HandshakeSignatureValid, rustls::Error> {
            self.verify(message, spki, signature)
        }

        fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
            vec![SignatureScheme::ED25519]
        }

        fn requires_raw_public_keys(&self) -> bool {
            true
        }
    };
}

impl ServerCertVerifier for HoldsAKey {
    fn verify_server_cert(
        &self,
        spki: &CertificateDer<'_>,
        _: &[CertificateDer<'_>],
        _: &ServerName<'_>,
        _: &[u8],
        _: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        Self::is_one(spki).map(|()| ServerCertVerified::assertion())
    }

    signatures!();
}

impl ClientCertVerifier for HoldsAKey {
    fn root_hint_subjects(&self) -> &[DistinguishedName] {
        &[]
    }

    fn verify_client_cert(
        &self,
        spki: &CertificateDer<'_>,
        _: &[CertificateDer<'_>],
        _: UnixTime,
    ) -> Result<ClientCertVerified, rustls::Error> {
        Self::is_one(spki).map(|()| ClientCertVerified::assertion())
    }

    signatures!();
}

#[cfg(test)]
mod tests {
    use super::*;

    fn identity() -> LinkIdentity {
        LinkIdentity::from_pkcs8(&LinkIdentity::generate().unwrap()).unwrap()
    }

    #[tokio::test]
    async fn both_ends_learn_the_key_that_the_other_holds() {
        let (alice, bob) = (identity(), identity());
        assert_ne!(alice.key(), bob.key());
        let (near, far) = tokio::io::duplex(4_096);
        let (dialled, accepted) = tokio::join!(alice.dial(Box::new(near)), bob.accept(Box::new(far)));
        assert_eq!(dialled.unwrap().1, bob.key());
        assert_eq!(accepted.unwrap().1, alice.key());
    }

    #[test]
    fn what_is_no_ed25519_key_is_refused_and_a_secret_is_not_shown() {
        for der in [&b""[..], b"-----BEGIN PRIVATE KEY-----", &[0x30; 83]] {
            let error = LinkIdentity::from_pkcs8(der).unwrap_err().to_string();
            assert!(error.contains("Ed25519"), "{error}");
        }
        let der = LinkIdentity::generate().unwrap();
        let shown = format!("{:?}", LinkIdentity::from_pkcs8(&der).unwrap());
        let secret: String = der[16..48].iter().map(|byte| format!("{byte:02x}")).collect();
        assert!(!shown.contains(&secret), "{shown}");
    }
}
