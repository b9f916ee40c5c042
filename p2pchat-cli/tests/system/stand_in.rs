//! The other ends that clients meet, played by the test itself: a registry, and a peer.

use std::{
    io::{BufRead, ErrorKind, Read, Write},
    net::{SocketAddr, TcpListener, TcpStream, UdpSocket},
    sync::Arc,
    thread,
    time::{Duration, Instant},
};

use rustls::{
    ServerConfig, ServerConnection, StreamOwned, SupportedProtocolVersion,
    crypto::ring,
    pki_types::{PrivateKeyDer, PrivatePkcs8KeyDer},
    version::{TLS12, TLS13},
};

use crate::PATIENCE;

/// A registry's listening sockets, with a self-signed certificate and no ALPN.
pub(crate) struct StandIn {
    listener: TcpListener,
    config: Arc<ServerConfig>,
    /// Where keep-alives arrive.
    pub(crate) datagrams: UdpSocket,
}

impl StandIn {
    /// On free ports.
    pub(crate) fn start() -> Self {
        Self::start_with(&[&TLS13, &TLS12])
    }

    /// As old as its TLS library.
    pub(crate) fn start_with_tls12() -> Self {
        Self::start_with(&[&TLS12])
    }

    fn start_with(versions: &[&'static SupportedProtocolVersion]) -> Self {
        let key = rcgen::generate_simple_self_signed(["registry.example".to_owned()]).unwrap();
        let secret = PrivateKeyDer::from(PrivatePkcs8KeyDer::from(key.signing_key.serialize_der()));
        let config = ServerConfig::builder_with_provider(Arc::new(ring::default_provider()))
            .with_protocol_versions(versions)
            .unwrap()
            .with_no_client_auth()
            .with_single_cert(vec![key.cert.der().clone()], secret)
            .unwrap();
        let datagrams = UdpSocket::bind("127.0.0.1:0").unwrap();
        datagrams.set_read_timeout(Some(PATIENCE)).unwrap();
        Self { listener: listen(), config: Arc::new(config), datagrams }
    }

    /// Where it takes peers.
    pub(crate) fn tcp(&self) -> SocketAddr {
        self.listener.local_addr().unwrap()
    }

    /// Where it takes keep-alives.
    pub(crate) fn udp(&self) -> SocketAddr {
        self.datagrams.local_addr().unwrap()
    }

    /// The next peer, once it has shaken hands.
    pub(crate) fn accept(&self) -> Link {
        self.try_accept().expect("the TLS handshake has failed")
    }

    /// The next peer, if it can shake hands.
    pub(crate) fn try_accept(&self) -> Option<Link> {
        let stream = accept(&self.listener);
        let mut tls = StreamOwned::new(ServerConnection::new(self.config.clone()).unwrap(), stream);
        while tls.conn.is_handshaking() {
            tls.conn.complete_io(&mut tls.sock).ok()?;
        }
        Some(Link { tls })
    }

    /// The next datagram.
    pub(crate) fn datagram(&self) -> String {
        let mut datagram = [0; 2048];
        let (size, _) = self.datagrams.recv_from(&mut datagram).unwrap();
        String::from_utf8(datagram[..size].to_vec()).unwrap()
    }
}

/// A registry stream, from the registry's side.
pub(crate) struct Link {
    tls: StreamOwned<ServerConnection, TcpStream>,
}

impl Link {
    /// Writes one TLS record.
    pub(crate) fn send(&mut self, record: &str) {
        self.tls.write_all(record.as_bytes()).unwrap();
        self.tls.flush().unwrap();
    }

    /// What one TLS record holds; nothing at the end.
    pub(crate) fn receive(&mut self) -> Option<String> {
        let record = match self.tls.fill_buf() {
            Ok(record) => String::from_utf8(record.to_vec()).unwrap(),
            Err(error) if matches!(error.kind(), ErrorKind::ConnectionReset | ErrorKind::UnexpectedEof) => {
                return None;
            }
            Err(error) => panic!("{error}"),
        };
        self.tls.consume(record.len());
        (!record.is_empty()).then_some(record)
    }

    /// The next record is this.
    pub(crate) fn expect(&mut self, record: &str) {
        assert_eq!(self.receive().as_deref(), Some(record));
    }

    /// A hello with whatever capabilities the client has.
    pub(crate) fn expect_hello(&mut self) {
        let hello = self.receive().unwrap_or_default();
        assert!(hello.starts_with("HELLO_P2P <1> <reason,") && hello.ends_with(">\n"), "{hello}");
    }

    /// The peer has closed the stream.
    pub(crate) fn expect_end(&mut self) {
        assert_eq!(self.receive(), None);
    }

    /// Says properly that nothing more comes.
    pub(crate) fn close(mut self) {
        self.tls.conn.send_close_notify();
        // The peer may be gone.
        drop(self.tls.flush());
    }
}

/// Listens on a free port, for a peer stream.
pub(crate) fn listen() -> TcpListener {
    TcpListener::bind("127.0.0.1:0").unwrap()
}

/// Who connects next.
pub(crate) fn accept(listener: &TcpListener) -> TcpStream {
    listener.set_nonblocking(true).unwrap();
    let deadline = Instant::now() + PATIENCE;
    while Instant::now() < deadline {
        match listener.accept() {
            Ok((stream, _)) => {
                stream.set_nonblocking(false).unwrap();
                stream.set_nodelay(true).unwrap();
                stream.set_read_timeout(Some(PATIENCE)).unwrap();
                return stream;
            }
            Err(error) if error.kind() == ErrorKind::WouldBlock => thread::sleep(Duration::from_millis(5)),
            Err(error) => panic!("{error}"),
        }
    }
    panic!("nobody has connected");
}

/// The next line of a peer stream.
pub(crate) fn read_line(stream: &mut TcpStream) -> String {
    let mut line = Vec::new();
    let mut byte = [0];
    while stream.read(&mut byte).unwrap() == 1 && byte != *b"\n" {
        line.extend(byte);
    }
    String::from_utf8(line).unwrap()
}
