//! One stream to the server, and one socket for datagrams.

use std::{
    net::{IpAddr, SocketAddr},
    sync::Arc,
    time::Duration,
};

use rustls::{
    ClientConfig, DigitallySignedStruct, SignatureScheme,
    client::{
        Resumption,
        danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier},
    },
    crypto::ring,
    pki_types::{CertificateDer, ServerName, UnixTime},
    version::TLS13,
};
use tokio::{
    io::{AsyncBufReadExt, AsyncWriteExt},
    net::{TcpStream, UdpSocket},
    time::timeout,
};
use tokio_rustls::{TlsConnector, client::TlsStream};

use crate::{Arguments, Outcome, words};

/// Longer than anything takes that isn't lost.
const PATIENCE: Duration = Duration::from_secs(60);

/// What is driven.
#[derive(Clone)]
pub(crate) struct Target {
    pub(crate) tcp: SocketAddr,
    pub(crate) udp: SocketAddr,
    pub(crate) floor: bool,
    tls: TlsConnector,
}

impl Target {
    pub(crate) fn new(arguments: &Arguments) -> Outcome<Self> {
        let mut config = ClientConfig::builder_with_provider(Arc::new(ring::default_provider()))
            .with_protocol_versions(&[&TLS13])?
            .dangerous()
            .with_custom_certificate_verifier(Arc::new(Anybody))
            .with_no_client_auth();
        config.alpn_protocols = vec![b"p2pchat/1".to_vec()];
        config.resumption = Resumption::disabled();
        let (tcp, udp, floor) = (arguments.tcp, arguments.udp, arguments.floor);
        Ok(Self { tcp, udp, floor, tls: Arc::new(config).into() })
    }

    /// Where the server sees this program.
    pub(crate) fn own_ip(&self) -> IpAddr {
        self.tcp.ip()
    }

    pub(crate) async fn connect(&self) -> Outcome<Line> {
        let connect = async {
            let stream = TcpStream::connect(self.tcp).await?;
            stream.set_nodelay(true)?;
            self.tls.connect(ServerName::IpAddress(self.tcp.ip().into()), stream).await
        };
        Ok(Line { stream: timeout(PATIENCE, connect).await??, inbox: Vec::new() })
    }

    pub(crate) async fn datagrams(&self) -> Outcome<UdpSocket> {
        let socket = UdpSocket::bind((self.own_ip(), 0)).await?;
        socket.connect(self.udp).await?;
        Ok(socket)
    }
}

/// A stream of lines.
pub(crate) struct Line {
    stream: TlsStream<TcpStream>,
    /// What has come and was not asked for yet.
    inbox: Vec<u8>,
}

impl Line {
    pub(crate) async fn send(&mut self, bytes: &[u8]) -> Outcome {
        self.stream.write_all(bytes).await?;
        Ok(self.stream.flush().await?)
    }

    /// Reads as many bytes as `wanted` has, which have to be these.
    pub(crate) async fn expect(&mut self, wanted: &[u8]) -> Outcome {
        while self.inbox.len() < wanted.len() {
            self.read_more().await?;
        }
        match self.inbox.strip_prefix(wanted).map(<[u8]>::len) {
            Some(0) => self.inbox.clear(),
            Some(left) => _ = self.inbox.drain(..self.inbox.len() - left),
            None => {
                let (came, wanted) = (String::from_utf8_lossy(&self.inbox), String::from_utf8_lossy(wanted));
                return Err(format!("{came:?} instead of {wanted:?}").into());
            }
        }
        Ok(())
    }

    pub(crate) async fn ask(&mut self, question: &[u8], answer: &[u8]) -> Outcome {
        self.send(question).await?;
        self.expect(answer).await
    }

    /// The next line, with its LF.
    pub(crate) async fn line(&mut self) -> Outcome<Vec<u8>> {
        let mut searched = 0;
        loop {
            let unsearched = self.inbox.get(searched..).unwrap_or_default();
            if let Some(end) = memchr::memchr(b'\n', unsearched) {
                let rest = self.inbox.split_off(searched + end + 1);
                return Ok(std::mem::replace(&mut self.inbox, rest));
            }
            searched = self.inbox.len();
            self.read_more().await?;
        }
    }

    pub(crate) async fn text_line(&mut self) -> Outcome<String> {
        Ok(String::from_utf8(self.line().await?)?)
    }

    async fn read_more(&mut self) -> Outcome {
        let read = timeout(PATIENCE, self.stream.fill_buf()).await??;
        if read.is_empty() {
            return Err("the server closed the stream".into());
        }
        self.inbox.extend_from_slice(read);
        let count = read.len();
        self.stream.consume(count);
        Ok(())
    }

    /// Ends TLS and the connection, without a word of the protocol's.
    pub(crate) async fn close(mut self) {
        // It may be gone already, which is as good.
        _ = self.stream.shutdown().await;
    }
}

/// Says something until there is an answer, since a datagram may be lost and so may its answer.
pub(crate) async fn insist(socket: &UdpSocket, datagram: &str) -> Outcome {
    let mut buffer = [0; 256];
    for _ in 0..20 {
        socket.send(datagram.as_bytes()).await?;
        // Longer than a second: sooner, a registry that has answered doesn't answer again.
        if let Ok(size) = timeout(Duration::from_millis(1_200), socket.recv(&mut buffer)).await {
            let answer = buffer.get(..size?).unwrap_or_default();
            if answer != words::KEPT_ALIVE {
                return Err(format!("{:?} answers a keep-alive", String::from_utf8_lossy(answer)).into());
            }
            return Ok(());
        }
    }
    Err(format!("no answer to {datagram}").into())
}

/// Takes every certificate: the server is this machine's own, and the time to judge it would be the generator's.
#[derive(Debug)]
struct Anybody;

impl ServerCertVerifier for Anybody {
    fn verify_server_cert(
        &self,
        _: &CertificateDer<'_>,
        _: &[CertificateDer<'_>],
        _: &ServerName<'_>,
        _: &[u8],
        _: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        _: &[u8],
        _: &CertificateDer<'_>,
        _: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        Ok(HandshakeSignatureValid::assertion())
    }

    fn verify_tls13_signature(
        &self,
        _: &[u8],
        _: &CertificateDer<'_>,
        _: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        Ok(HandshakeSignatureValid::assertion())
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        ring::default_provider().signature_verification_algorithms.supported_schemes()
    }
}
