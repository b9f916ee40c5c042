//! Connections that make no sense: what is no TLS, no message, or never comes to an end.

use std::{fs, sync::Arc, time::Duration};

use rustls::{
    ClientConfig, RootCertStore,
    crypto::ring,
    pki_types::{CertificateDer, ServerName, pem::PemObject},
};
use tokio::{
    io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader},
    net::TcpStream,
    time::timeout,
};
use tokio_rustls::{TlsConnector, client::TlsStream};

use crate::registry::Address;

/// Longer than any answer takes, also on a busy machine, and than the registry's time limits for a first message.
const PATIENCE: Duration = Duration::from_secs(30);

type Outcome = Result<(), String>;

pub(crate) struct Stranger {
    registry: Address,
    tls: TlsConnector,
}

impl Stranger {
    pub(crate) fn new(registry: &Address) -> Result<Self, String> {
        let failed = |error: &dyn std::fmt::Display| format!("the registry's certificate: {error}");
        let pem = fs::read(&registry.certificate).map_err(|error| failed(&error))?;
        let mut roots = RootCertStore::empty();
        let certificate = CertificateDer::from_pem_slice(&pem).map_err(|error| failed(&error))?;
        roots.add(certificate).map_err(|error| failed(&error))?;
        let config = ClientConfig::builder_with_provider(Arc::new(ring::default_provider()))
            .with_safe_default_protocol_versions()
            .map_err(|error| failed(&error))?
            .with_root_certificates(roots)
            .with_no_client_auth();
        Ok(Self { registry: registry.clone(), tls: Arc::new(config).into() })
    }

    /// One of them.
    pub(crate) async fn bother(&self, rng: &mut fastrand::Rng) -> Outcome {
        match rng.u32(..7) {
            0 => self.wrong_fields().await,
            1 => self.refused(b"FLY_TO <the moon>\n").await,
            2 => self.refused(b"SEARCH_USER <\xff\xfe>\n").await,
            3 => self.refused(&[b'x'; 70_000]).await,
            4 => self.half_a_message().await,
            5 => self.no_tls().await,
            _ => self.nothing_at_all().await,
        }
    }

    /// A known verb with fields that can't be is refused, and the stream goes on.
    async fn wrong_fields(&self) -> Outcome {
        let mut stream = self.greet().await?;
        ask(&mut stream, b"JOIN_CHAT_ROOM <den> <no digest> <increment>\n", "JOIN <FAILURE> <404>").await?;
        ask(&mut stream, b"LOGIN <alice>\n", "AUTH <FAILURE> <404>").await?;
        ask(&mut stream, b"HELLO_P2P\n", "HELLO_BACK <SUCCESS> <200>").await
    }

    /// What is no message is refused, and the stream ends.
    async fn refused(&self, line: &[u8]) -> Outcome {
        let mut stream = self.greet().await?;
        ask(&mut stream, line, "HELLO_BACK <FAILURE> <404>").await?;
        ends(&mut stream).await
    }

    async fn half_a_message(&self) -> Outcome {
        let mut stream = self.greet().await?;
        stream.write_all(b"REGISTER <nobody> <0123").await.map_err(|error| error.to_string())?;
        stream.flush().await.map_err(|error| error.to_string())
        // Dropped here, without a word of TLS.
    }

    async fn no_tls(&self) -> Outcome {
        let mut stream = self.dial().await?;
        stream.write_all(b"GET / HTTP/1.1\r\n\r\n").await.map_err(|error| error.to_string())?;
        ends(&mut stream).await
    }

    /// Who says nothing is not waited for for ever.
    async fn nothing_at_all(&self) -> Outcome {
        let mut stream = self.dial().await?;
        ends(&mut stream).await
    }

    async fn dial(&self) -> Result<TcpStream, String> {
        TcpStream::connect(self.registry.tcp).await.map_err(|error| format!("connecting: {error}"))
    }

    async fn greet(&self) -> Result<BufReader<TlsStream<TcpStream>>, String> {
        let name = ServerName::from(self.registry.tcp.ip());
        let stream = self.tls.connect(name, self.dial().await?).await;
        let mut stream = BufReader::new(stream.map_err(|error| format!("the TLS handshake: {error}"))?);
        ask(&mut stream, b"HELLO_P2P\n", "HELLO_BACK <SUCCESS> <200>").await?;
        Ok(stream)
    }
}

async fn ask(stream: &mut BufReader<TlsStream<TcpStream>>, line: &[u8], expected: &str) -> Outcome {
    let shown = String::from_utf8_lossy(&line[..line.len().min(40)]).into_owned();
    let asking = async {
        let mut answer = String::new();
        // The registry stops reading what is no message, so not all of it need get through.
        let written = async { stream.write_all(line).await.and(stream.flush().await) }.await;
        stream.read_line(&mut answer).await?;
        if answer.is_empty() {
            written?;
        }
        std::io::Result::Ok(answer)
    };
    match timeout(PATIENCE, asking).await {
        Ok(Ok(answer)) if answer.trim_end() == expected => Ok(()),
        other => Err(format!("{shown}: {other:?} instead of {expected}")),
    }
}

/// However it ends: by a closing word, or by being cut.
async fn ends(stream: &mut (impl AsyncReadExt + Unpin)) -> Outcome {
    let mut rest = Vec::new();
    match timeout(PATIENCE, stream.read_to_end(&mut rest)).await {
        Ok(_) => Ok(()),
        Err(_) => Err("the registry did not close the stream".into()),
    }
}
