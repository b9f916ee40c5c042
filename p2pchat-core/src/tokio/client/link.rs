//! The registry link: resolving, dialling, judging the certificate, then carrying messages and datagrams.

use std::{
    collections::VecDeque,
    io,
    net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr},
    path::{Path, PathBuf},
    sync::Arc,
    time::Duration,
};

use bytes::{Bytes, BytesMut};
use p2pchat_proto::{
    Dialect, FromRegistry, FromRegistryDatagram, Malformed, Message, ToRegistry, ToRegistryDatagram,
    codec::ClientCodec,
};
use rustls::{ProtocolVersion, RootCertStore, pki_types::ServerName};
use tokio::{sync::mpsc, task::spawn_blocking, time::timeout};
use tokio_rustls::{TlsConnector, client::TlsStream};
use tokio_util::codec::{Decoder, Encoder};

use super::{ClientConfig, SeenCertificate, Trust, core::Client};
use crate::tokio::{
    CertificateError, Error, Fingerprint, TlsVersion,
    known::{self, Entry},
    network::{BoxStream, Datagrams},
    pump::{self, Progress},
    tls::{self, ClientTls, Judge},
};

/// What was sent last has so long to leave when a link is closed.
const FLUSH: Duration = Duration::from_secs(2);
/// A datagram of the registry's fits easily.
const DATAGRAM_BYTES: usize = 2 * 1024;

/// What happens on a link.
pub(super) enum LinkFact {
    Connected {
        dialect: Option<Dialect>,
        certificate: SeenCertificate,
        /// The certificate itself, in DER form.
        der: Arc<[u8]>,
    },
    Dialect(Dialect),
    Message(FromRegistry),
    Malformed(Malformed),
    Datagram(FromRegistryDatagram),
    /// The last fact. `error` says it to a caller who waits for the link to come up.
    Closed {
        reason: String,
        error: Option<Error>,
    },
}

/// What is to be sent. Dropping its sender closes the link, once everything is written.
pub(super) enum Outgoing {
    Message(ToRegistry),
    Datagram(ToRegistryDatagram),
    /// The stream is to be closed; datagrams go on.
    Park,
}

/// [`Trust`], ready for use.
#[derive(Debug, Clone)]
pub(super) enum Vouching {
    Authorities(Arc<RootCertStore>),
    Pinned(Fingerprint),
    Known(PathBuf),
}

impl Vouching {
    pub(super) fn new(trust: &Trust) -> Result<Self, Error> {
        Ok(match trust {
            Trust::Pinned(fingerprint) => Self::Pinned(*fingerprint),
            Trust::KnownRegistries(file) => Self::Known(file.clone()),
            Trust::Authorities(pem) => Self::Authorities(
                tls::authorities(pem)
                    .map_err(|reason| Error::Setup { what: "the given authorities", reason })?,
            ),
        })
    }
}

/// One attempt at a link, and the link that comes of it.
pub(super) struct LinkTask {
    pub(super) config: Arc<ClientConfig>,
    pub(super) vouching: Vouching,
    /// Tells this link's facts from those of the one before.
    pub(super) generation: u64,
    pub(super) client: Arc<Client>,
    pub(super) outgoing: mpsc::Receiver<Outgoing>,
}

struct OpenLink {
    stream: TlsStream<BoxStream>,
    datagrams: Box<dyn Datagrams>,
    /// Where keep-alives go, and the only place whose datagrams count.
    registry: SocketAddr,
    certificate: SeenCertificate,
    der: Arc<[u8]>,
}

impl LinkTask {
    pub(super) async fn run(mut self) {
        let opened = tokio::select! {
            biased;
            opened = open(&self.config, &self.vouching) => opened,
            () = hung_up(&mut self.outgoing) => return,
        };
        let closed = match opened {
            Ok(OpenLink { stream, datagrams, registry, certificate, der }) => {
                let reason = self.carry(stream, (&*datagrams, registry), (certificate, der)).await;
                self.tell(LinkFact::Closed { reason, error: None });
                return self.carry_datagrams(&*datagrams, registry).await;
            }
            Err(error) => LinkFact::Closed { reason: error.to_string(), error: Some(error) },
        };
        self.tell(closed);
    }

    /// Without the stream, until nobody wants that any more: at once, unless the session is parked.
    async fn carry_datagrams(&mut self, datagrams: &dyn Datagrams, registry: SocketAddr) {
        let mut datagram = vec![0; DATAGRAM_BYTES];
        loop {
            tokio::select! {
                biased;
                outgoing = self.outgoing.recv() => match outgoing {
                    Some(Outgoing::Datagram(message)) => send(datagrams, registry, &message, Dialect::Canonical),
                    Some(Outgoing::Message(_) | Outgoing::Park) => {}
                    None => return,
                },
                received = datagrams.receive(&mut datagram) => {
                    self.take_datagram(received, &datagram, registry, Dialect::Canonical).await;
                }
            }
        }
    }

    async fn take_datagram(
        &self,
        received: io::Result<(usize, SocketAddr)>,
        datagram: &[u8],
        registry: SocketAddr,
        dialect: Dialect,
    ) {
        match received {
            Ok((size, from)) if same(from, registry) => {
                let frame = Bytes::copy_from_slice(datagram.get(..size).unwrap_or_default());
                match FromRegistryDatagram::parse(&frame, dialect, &self.config.machine.limits) {
                    Ok(message) => self.tell(LinkFact::Datagram(message)),
                    Err(error) => tracing::debug!(%error, "malformed datagram"),
                }
            }
            Ok((_, from)) => tracing::debug!(%from, "a datagram from somebody else"),
            Err(error) => {
                // Such as a report that an earlier keep-alive didn't arrive.
                tracing::debug!(%error, "can't receive a datagram");
                tokio::task::yield_now().await;
            }
        }
    }

    fn tell(&self, fact: LinkFact) {
        self.client.with(|core| core.link_fact(self.generation, fact));
    }

    /// Carries messages until either end has enough; says why it ended.
    async fn carry(
        &mut self,
        mut stream: TlsStream<BoxStream>,
        (datagrams, registry): (&dyn Datagrams, SocketAddr),
        (certificate, der): (SeenCertificate, Arc<[u8]>),
    ) -> String {
        let mut codec = ClientCodec::new(self.config.machine.limits);
        if tls::is_ours(stream.get_ref().1.alpn_protocol()) {
            codec.set_dialect(Dialect::Canonical);
        }
        let mut dialect = codec.dialect();
        self.tell(LinkFact::Connected { dialect, certificate, der });

        let mut inbox = BytesMut::new();
        let mut datagram = vec![0; DATAGRAM_BYTES];
        let mut chunk: Option<Bytes> = None;
        // Bounded by how many requests the machine sends ahead of their replies.
        let mut chunks = VecDeque::new();
        loop {
            if chunk.is_none() {
                chunk = chunks.pop_front();
            }
            tokio::select! {
                // Datagrams come last: anybody can send them.
                biased;
                outgoing = self.outgoing.recv() => match outgoing {
                    Some(Outgoing::Message(message)) => {
                        let mut bytes = BytesMut::new();
                        // As with the decoder: it has no error of its own.
                        if codec.encode(&message, &mut bytes).is_ok() {
                            chunks.push_back(bytes.freeze());
                        }
                    }
                    Some(Outgoing::Datagram(message)) => {
                        send(datagrams, registry, &message, dialect.unwrap_or_default());
                    }
                    // The registry has said its last word, and nothing waits to be written.
                    Some(Outgoing::Park) => {
                        let _ = timeout(FLUSH, pump::close(&mut stream)).await;
                        return "parked".to_owned();
                    }
                    None => {
                        let flushed = async {
                            while chunk.is_some() || !chunks.is_empty() {
                                if chunk.is_none() {
                                    chunk = chunks.pop_front();
                                }
                                pump::step(&mut stream, &mut chunk, &mut inbox, false).await?;
                            }
                            pump::close(&mut stream).await;
                            io::Result::Ok(())
                        };
                        // Whatever goes wrong, the stream is dropped next.
                        let _ = timeout(FLUSH, flushed).await;
                        return "closed".to_owned();
                    }
                },
                progress = pump::step(&mut stream, &mut chunk, &mut inbox, true) => {
                    let ended = match progress {
                        Ok(Progress::Written) => continue,
                        Ok(Progress::Read) => false,
                        Ok(Progress::End) => true,
                        Err(error) => return error.to_string(),
                    };
                    // The decoder's error type is what its trait asks for; it has none of its own.
                    while let Ok(Some(item)) =
                        if ended { codec.decode_eof(&mut inbox) } else { codec.decode(&mut inbox) }
                    {
                        if let Some(found) = codec.dialect().filter(|_| dialect.is_none()) {
                            dialect = Some(found);
                            self.tell(LinkFact::Dialect(found));
                        }
                        self.tell(item.map_or_else(LinkFact::Malformed, LinkFact::Message));
                    }
                    if ended {
                        return "the registry closed the connection".to_owned();
                    }
                }
                received = datagrams.receive(&mut datagram) => {
                    self.take_datagram(received, &datagram, registry, dialect.unwrap_or_default()).await;
                }
            }
        }
    }
}

fn send(datagrams: &dyn Datagrams, registry: SocketAddr, message: &ToRegistryDatagram, dialect: Dialect) {
    if let Err(error) = datagrams.try_send(&message.to_bytes(dialect), registry) {
        tracing::debug!(%error, "can't send a datagram");
    }
}

async fn hung_up(outgoing: &mut mpsc::Receiver<Outgoing>) {
    while outgoing.recv().await.is_some() {}
}

fn same(one: SocketAddr, other: SocketAddr) -> bool {
    (one.ip(), one.port()) == (other.ip(), other.port())
}

async fn open(config: &ClientConfig, vouching: &Vouching) -> Result<OpenLink, Error> {
    let failed = |error: &dyn std::fmt::Display| Error::Connect {
        registry: config.registry(),
        reason: error.to_string(),
    };
    let late = |_| failed(&"it took too long");
    let known = match vouching {
        Vouching::Known(file) => look_up(file.clone(), config.registry()).await?,
        Vouching::Authorities(_) | Vouching::Pinned(_) => None,
    };
    let judge = match vouching {
        Vouching::Authorities(roots) => Judge::Authorities(roots.clone()),
        Vouching::Pinned(fingerprint) => Judge::Exactly(*fingerprint),
        Vouching::Known(_) => known.map_or(Judge::FirstUse, |entry: Entry| Judge::Exactly(entry.fingerprint)),
    };
    let tls = ClientTls::new(judge, config.oldest_tls).map_err(|reason| failed(&reason))?;
    let name = ServerName::try_from(config.host.clone()).map_err(|error| failed(&error))?;

    let (stream, remote) =
        timeout(config.connect_timeout, dial(config)).await.map_err(late)?.map_err(|error| failed(&error))?;
    let handshake = TlsConnector::from(tls.config.clone()).connect(name, stream);
    let stream = match timeout(config.connect_timeout, handshake).await.map_err(late)? {
        Ok(stream) => stream,
        Err(error) => {
            return Err(match (tls::certificate_refused(&error), tls.seen()) {
                (Some(reason), Some(found)) => {
                    refused(config, vouching, known, Fingerprint::of_certificate(&found), reason).into()
                }
                _ => failed(&error),
            });
        }
    };
    let shown = tls.seen().ok_or_else(|| failed(&"it showed no certificate"))?;
    let fingerprint = Fingerprint::of_certificate(&shown);
    let tls = match stream.get_ref().1.protocol_version() {
        Some(ProtocolVersion::TLSv1_2) => TlsVersion::Tls12,
        _ => TlsVersion::Tls13,
    };
    let first_use = matches!(vouching, Vouching::Known(_)) && known.is_none();
    if let Vouching::Known(file) = vouching
        && first_use
    {
        remember(file.clone(), config.registry(), fingerprint).await?;
    }
    let (datagrams, registry) = bind(config, remote.ip()).await.map_err(|error| failed(&error))?;
    let certificate = SeenCertificate { fingerprint, first_use, tls };
    Ok(OpenLink { stream, datagrams, registry, certificate, der: Arc::from(shown.as_ref()) })
}

/// Tries the registry's addresses one after the other, giving each its share of the time.
async fn dial(config: &ClientConfig) -> io::Result<(BoxStream, SocketAddr)> {
    let addrs = config.network.resolve(&config.host, config.port).await?;
    let share = config.connect_timeout / u32::try_from(addrs.len().max(1)).unwrap_or(u32::MAX);
    let mut failure = io::Error::new(io::ErrorKind::NotFound, "it has no address");
    for addr in addrs {
        match timeout(share, config.network.dial(addr)).await {
            Ok(Ok(stream)) => return Ok((stream, addr)),
            Ok(Err(error)) => failure = error,
            Err(_) => failure = io::ErrorKind::TimedOut.into(),
        }
    }
    Err(failure)
}

/// Opens the socket for keep-alives. They have to come from the address that the stream comes from, so they go to the
/// address that the stream goes to, or at least to one of its kind.
async fn bind(config: &ClientConfig, stream: IpAddr) -> io::Result<(Box<dyn Datagrams>, SocketAddr)> {
    let registry = match &config.udp {
        None => SocketAddr::new(stream, config.udp_port()),
        Some((host, port)) => {
            let addrs = config.network.resolve(host, *port).await?;
            let fitting = addrs.iter().find(|addr| addr.is_ipv4() == stream.is_ipv4()).or(addrs.first());
            *fitting.ok_or_else(|| io::Error::new(io::ErrorKind::NotFound, "its UDP host has no address"))?
        }
    };
    let any =
        if registry.is_ipv4() { IpAddr::from(Ipv4Addr::UNSPECIFIED) } else { Ipv6Addr::UNSPECIFIED.into() };
    Ok((config.network.bind(SocketAddr::new(any, 0)).await?, registry))
}

fn refused(
    config: &ClientConfig,
    vouching: &Vouching,
    known: Option<Entry>,
    found: Fingerprint,
    reason: String,
) -> CertificateError {
    match (vouching, known) {
        (Vouching::Pinned(expected), _) if *expected != found => {
            CertificateError::WrongFingerprint { expected: *expected, found }
        }
        (Vouching::Known(file), Some(entry)) if entry.fingerprint != found => CertificateError::Changed {
            registry: config.registry(),
            expected: entry.fingerprint,
            found,
            file: file.clone(),
            line: entry.line,
        },
        _ => CertificateError::Untrusted { reason },
    }
}

async fn look_up(file: PathBuf, registry: String) -> Result<Option<Entry>, Error> {
    on_disk(file, move |file| known::look_up(file, &registry)).await
}

async fn remember(file: PathBuf, registry: String, fingerprint: Fingerprint) -> Result<(), Error> {
    on_disk(file, move |file| known::remember(file, &registry, fingerprint)).await
}

async fn on_disk<T: Send + 'static>(
    file: PathBuf,
    work: impl FnOnce(&Path) -> Result<T, Error> + Send + 'static,
) -> Result<T, Error> {
    let path = file.clone();
    let failed = |reason: String| Error::KnownRegistries { file, line: None, reason };
    spawn_blocking(move || work(&path)).await.map_err(|error| failed(error.to_string()))?
}
