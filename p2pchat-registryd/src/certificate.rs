//! The certificate that the registry shows: the operator's, or one of its own.

use std::{
    fs, io,
    net::{IpAddr, Ipv4Addr, Ipv6Addr},
    path::{Path, PathBuf},
};

use p2pchat_core::tokio::{ServerTls, TlsError, TlsVersion};
use rcgen::{CertificateParams, DnType, ExtendedKeyUsagePurpose, KeyPair};

use crate::{
    config::{Certificate, Config},
    files,
};

/// A certificate with its chain, and its private key.
pub(crate) struct Pem {
    pub(crate) cert: Vec<u8>,
    pub(crate) key: Vec<u8>,
}

/// Why there is no certificate to show.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum CertificateError {
    /// A file can't be read or written.
    #[error("can't {action} {}: {source}", path.display())]
    Io {
        /// `read` or `write`.
        action: &'static str,
        /// Which file.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// The data folder has a certificate without its key, so it was there once and clients know it.
    #[error(
        "{} is there without {}: put the key back, or remove the certificate to have a new one, which clients will not know",
        cert.display(), key.display()
    )]
    KeyIsGone {
        /// The certificate.
        cert: PathBuf,
        /// Where its key should be.
        key: PathBuf,
    },
    /// A new certificate can't be made.
    #[error("can't make a certificate: {0}")]
    Generate(String),
}

impl Pem {
    /// Reads what the configuration names; makes the registry's own at the first start.
    pub(crate) fn load(config: &Config) -> Result<Self, CertificateError> {
        match &config.certificate {
            Certificate::Files { cert, key } => {
                let pem = Self::read(cert, key)?;
                if files::is_open_to_others(key).map_err(failed("read", key))? {
                    tracing::warn!(path = ?key, "others have rights to the private key: chmod 600");
                }
                Ok(pem)
            }
            Certificate::Own => Self::own(config),
        }
    }

    /// Reads both files.
    pub(crate) fn read(cert: &Path, key: &Path) -> Result<Self, CertificateError> {
        Ok(Self { cert: read(cert)?, key: read(key)? })
    }

    /// Ready for use, if they belong together.
    pub(crate) fn tls(&self, oldest: TlsVersion) -> Result<ServerTls, TlsError> {
        ServerTls::from_pem(&self.cert, &self.key, oldest)
    }

    fn own(config: &Config) -> Result<Self, CertificateError> {
        let (cert, key) = own_paths(&config.data_dir);
        // The certificate is written last: without it, a key is what is left of a first start that was cut short.
        if !cert.exists() {
            let pem = Self::generate(&[config.listen.ip(), config.udp_listen.ip()])?;
            files::write_private(&key, &pem.key).map_err(failed("write", &key))?;
            files::write_private(&cert, &pem.cert).map_err(failed("write", &cert))?;
            tracing::info!(path = ?cert, "made a self-signed certificate");
            return Ok(pem);
        }
        if !key.exists() {
            return Err(CertificateError::KeyIsGone { cert, key });
        }
        for path in [&cert, &key] {
            files::make_private(path).map_err(failed("read", path))?;
        }
        Self::read(&cert, &key)
    }

    fn generate(addresses: &[IpAddr]) -> Result<Self, CertificateError> {
        let failed = |error: rcgen::Error| CertificateError::Generate(error.to_string());
        let key = KeyPair::generate().map_err(failed)?;
        let mut params = CertificateParams::new(names(addresses)).map_err(failed)?;
        params.distinguished_name.push(DnType::CommonName, "p2pchat registry");
        params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
        // Clients know this certificate by its fingerprint. One that runs out would only teach them to pass over the
        // warning of a changed one, so it keeps rcgen's dates, which never come.
        let cert = params.self_signed(&key).map_err(failed)?;
        Ok(Self { cert: cert.pem().into_bytes(), key: key.serialize_pem().into_bytes() })
    }
}

/// Where the registry's own certificate and its key are.
pub(crate) fn own_paths(data_dir: &Path) -> (PathBuf, PathBuf) {
    (data_dir.join(files::CERTIFICATE), data_dir.join(files::KEY))
}

/// By what names clients may call this registry.
fn names(addresses: &[IpAddr]) -> Vec<String> {
    let mut names = vec!["localhost".to_owned()];
    let host = gethostname::gethostname().into_string().unwrap_or_default();
    let is_dns = |c: char| c.is_ascii_alphanumeric() || c == '-' || c == '.';
    if !host.is_empty() && host.chars().all(is_dns) {
        names.push(host);
    }
    let loopback = [Ipv4Addr::LOCALHOST.into(), Ipv6Addr::LOCALHOST.into()];
    names.extend(
        loopback
            .iter()
            .chain(addresses)
            .filter(|ip| !ip.is_unspecified())
            .map(|ip| ip.to_canonical().to_string()),
    );
    names.sort_unstable();
    names.dedup();
    names
}

fn read(path: &Path) -> Result<Vec<u8>, CertificateError> {
    fs::read(path).map_err(failed("read", path))
}

fn failed(action: &'static str, path: &Path) -> impl FnOnce(io::Error) -> CertificateError {
    move |source| CertificateError::Io { action, path: path.into(), source }
}
