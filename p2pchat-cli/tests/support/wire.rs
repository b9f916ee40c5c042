//! A peer made of nothing but a TLS connection: what it writes and reads is what is on the wire.

use std::{
    io::{self, BufRead, ErrorKind, Read, Write},
    net::{SocketAddr, TcpStream, UdpSocket},
    sync::Arc,
    time::Duration,
};

use rustls::{
    ClientConfig, ClientConnection, DigitallySignedStruct, SignatureScheme, StreamOwned,
    SupportedProtocolVersion,
    client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier},
    crypto::{CryptoProvider, ring},
    pki_types::{CertificateDer, ServerName, UnixTime},
    version::{TLS12, TLS13},
};

use super::{DIGEST, PATIENCE, daemon::Daemon};

/// A registry stream.
pub(crate) struct Wire {
    tls: StreamOwned<ClientConnection, TcpStream>,
    buffer: Vec<u8>,
    /// The same peer's end of the registry's datagrams.
    pub(crate) datagrams: Datagrams,
}

impl Wire {
    /// Connected, and nothing said.
    pub(crate) fn open(daemon: &Daemon) -> Self {
        Self::open_by(daemon, &[&TLS13]).unwrap()
    }

    /// Connected, if the registry is there and shakes hands.
    pub(crate) fn try_open(daemon: &Daemon) -> io::Result<Self> {
        Self::open_by(daemon, &[&TLS13])
    }

    /// Connected by TLS 1.2, if the registry speaks that.
    pub(crate) fn open_by_tls12(daemon: &Daemon) -> io::Result<Self> {
        Self::open_by(daemon, &[&TLS12])
    }

    fn open_by(daemon: &Daemon, versions: &[&'static SupportedProtocolVersion]) -> io::Result<Self> {
        let stream = TcpStream::connect(daemon.tcp)?;
        stream.set_read_timeout(Some(PATIENCE)).unwrap();
        stream.set_write_timeout(Some(PATIENCE)).unwrap();
        stream.set_nodelay(true).unwrap();
        let name = ServerName::from(daemon.tcp.ip());
        let connection = ClientConnection::new(Arc::new(credulous(versions)), name).unwrap();
        let mut tls = StreamOwned::new(connection, stream);
        while tls.conn.is_handshaking() {
            tls.conn.complete_io(&mut tls.sock)?;
        }
        Ok(Self { tls, buffer: Vec::new(), datagrams: Datagrams::open(daemon) })
    }

    /// Has said a bare hello.
    pub(crate) fn greeted(daemon: &Daemon) -> Self {
        let mut wire = Self::open(daemon);
        assert_eq!(wire.ask("HELLO_P2P"), "HELLO_BACK <SUCCESS> <200>");
        wire
    }

    /// Has agreed on capabilities.
    pub(crate) fn extended(daemon: &Daemon, capabilities: &str) -> Self {
        let mut wire = Self::open(daemon);
        let hello = format!("<1> <{capabilities}>");
        assert_eq!(wire.ask(&format!("HELLO_P2P {hello}")), format!("HELLO_BACK <SUCCESS> <200> {hello}"));
        wire
    }

    /// Registered and logged in with a bare hello, for as long as a lease may be.
    pub(crate) fn online(daemon: &Daemon, user: &str) -> Self {
        let mut wire = Self::greeted(daemon);
        wire.sign_up(user);
        wire.log_in(user);
        wire
    }

    /// The same with capabilities.
    pub(crate) fn online_with(daemon: &Daemon, user: &str, capabilities: &str) -> Self {
        let mut wire = Self::extended(daemon, capabilities);
        wire.sign_up(user);
        wire.log_in(user);
        wire
    }

    /// Makes an account.
    pub(crate) fn sign_up(&mut self, user: &str) {
        assert_eq!(self.ask(&format!("REGISTER <{user}> <{DIGEST}>")), "REGISTER <SUCCESS> <200>");
    }

    /// Logs in, and extends the lease to its longest.
    pub(crate) fn log_in(&mut self, user: &str) {
        self.log_in_on(user, 4000);
    }

    /// The same, announcing a port of its own.
    pub(crate) fn log_in_on(&mut self, user: &str, port: u16) {
        assert_eq!(self.ask(&format!("LOGIN <{user}> <{DIGEST}> <{port}>")), "AUTH <SUCCESS> <200>");
        assert_eq!(self.datagrams.keep_alive(user, 120), "KEEP_ALIVE_RESPONSE <SUCCESS> <200>");
    }

    /// Opens a room for `capacity` without a password.
    pub(crate) fn create(&mut self, room: &str, capacity: u32) {
        let create = format!("CREATE_CHAT_ROOM <{room}> <> <{capacity}> <>");
        assert_eq!(self.ask(&create), "CREATION <SUCCESS> <200>");
    }

    /// Joins a room without a password.
    pub(crate) fn join(&mut self, room: &str) {
        assert_eq!(self.ask(&format!("JOIN_CHAT_ROOM <{room}> <> <increment>")), "JOIN <SUCCESS> <200>");
    }

    /// Writes a line in one TLS record.
    pub(crate) fn say(&mut self, line: &str) {
        self.write(format!("{line}\n").as_bytes()).unwrap();
    }

    /// Writes a line and reads the next one.
    pub(crate) fn ask(&mut self, line: &str) -> String {
        self.say(line);
        self.hear()
    }

    /// Writes a line and reads the next one; `None` if the stream ends before.
    pub(crate) fn try_ask(&mut self, line: &str) -> Option<String> {
        self.write(format!("{line}\n").as_bytes()).ok()?;
        self.next_line()
    }

    /// Writes bytes in one TLS record, as far as one holds them.
    pub(crate) fn write(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.tls.write_all(bytes)?;
        self.tls.flush()
    }

    /// Writes the same again and again until the other side takes no more for a while; how often. A part of it goes out
    /// only when reading has made room.
    pub(crate) fn write_until_stuck(&mut self, bytes: &[u8]) -> usize {
        self.tls.sock.set_write_timeout(Some(Duration::from_millis(500))).unwrap();
        let mut written = 0;
        while let Ok(size) = self.tls.write(bytes) {
            assert_eq!(size, bytes.len());
            written += 1;
        }
        self.tls.sock.set_write_timeout(Some(Duration::from_millis(5))).unwrap();
        written
    }

    /// The next line.
    pub(crate) fn hear(&mut self) -> String {
        self.next_line().unwrap_or_else(|| panic!("the stream has ended, after {:?}", self.rest()))
    }

    /// What one record brings, which has no line ending: the prototype's way.
    pub(crate) fn receive(&mut self) -> String {
        assert!(self.buffer.is_empty(), "unread: {:?}", self.rest());
        assert!(self.fill(), "the stream has ended");
        assert!(self.buffer.len() <= 1024, "more than the prototype reads at once: {:?}", self.rest());
        String::from_utf8(std::mem::take(&mut self.buffer)).unwrap()
    }

    /// Nothing but the end of the stream comes.
    pub(crate) fn expect_end(&mut self) {
        if let Some(line) = self.next_line() {
            panic!("instead of the end came {line:?}");
        }
        assert_eq!(self.rest(), "", "half a line before the end");
    }

    /// A new request is the next thing that is answered: nothing unasked has come before.
    pub(crate) fn expect_nothing_unasked(&mut self) {
        assert_eq!(self.ask("SEARCH_USER <nobody>"), "SEARCH_USER_RESPONSE <NOT_FOUND> <404>");
    }

    /// Says that nothing more will be written.
    pub(crate) fn close(mut self) {
        self.tls.conn.send_close_notify();
        // The other side may be gone first.
        drop(self.tls.flush());
    }

    fn next_line(&mut self) -> Option<String> {
        loop {
            if let Some(end) = self.buffer.iter().position(|&byte| byte == b'\n') {
                let line: Vec<_> = self.buffer.drain(..=end).collect();
                return Some(String::from_utf8(line[..end].to_vec()).unwrap());
            }
            if !self.fill() {
                return None;
            }
        }
    }

    /// Reads what one TLS record holds; false at the end.
    fn fill(&mut self) -> bool {
        let StreamOwned { conn, sock } = &mut self.tls;
        loop {
            match conn.reader().fill_buf().map(<[u8]>::len) {
                Ok(size) => {
                    let mut record = vec![0; size];
                    conn.reader().read_exact(&mut record).unwrap();
                    self.buffer.extend(record);
                    return size > 0;
                }
                Err(error) if error.kind() == ErrorKind::WouldBlock => {}
                Err(_) => return false,
            }
            // What couldn't be written may find room now; if not, reading goes on, as that is what makes room.
            if conn.wants_write() {
                drop(conn.write_tls(sock));
            }
            match conn.read_tls(sock) {
                Ok(_) => drop(conn.process_new_packets().unwrap()),
                Err(error) if error.kind() == ErrorKind::ConnectionReset => return false,
                Err(error) => panic!("reading: {error}; so far {:?}", self.buffer),
            }
        }
    }

    fn rest(&self) -> String {
        String::from_utf8_lossy(&self.buffer).into_owned()
    }
}

/// A peer's end of the registry's datagrams.
pub(crate) struct Datagrams {
    socket: UdpSocket,
    registry: SocketAddr,
}

impl Datagrams {
    /// A socket of its own.
    pub(crate) fn open(daemon: &Daemon) -> Self {
        Self::open_at(daemon, "127.0.0.1:0")
    }

    /// One that sends from this address.
    pub(crate) fn open_at(daemon: &Daemon, address: &str) -> Self {
        let socket = UdpSocket::bind(address).unwrap();
        socket.set_read_timeout(Some(PATIENCE)).unwrap();
        Self { socket, registry: daemon.udp }
    }

    /// Sends a datagram.
    pub(crate) fn send(&self, datagram: &[u8]) {
        self.socket.send_to(datagram, self.registry).unwrap();
    }

    /// The next datagram from the registry.
    pub(crate) fn receive(&self) -> String {
        self.try_receive().expect("no datagram came")
    }

    /// A datagram, if one comes within `time`.
    pub(crate) fn receive_within(&self, time: Duration) -> Option<String> {
        self.socket.set_read_timeout(Some(time)).unwrap();
        let received = self.try_receive();
        self.socket.set_read_timeout(Some(PATIENCE)).unwrap();
        received
    }

    /// Keeps a session alive; the answer.
    pub(crate) fn keep_alive(&self, user: &str, seconds: u32) -> String {
        self.send(format!("KEEP_ALIVE <{user}> <{seconds}>").as_bytes());
        self.receive()
    }

    fn try_receive(&self) -> Option<String> {
        let mut datagram = [0; 2048];
        let (size, from) = self.socket.recv_from(&mut datagram).ok()?;
        assert_eq!(from, self.registry);
        Some(String::from_utf8(datagram[..size].to_vec()).unwrap())
    }
}

/// Takes any certificate, and offers no ALPN: what an old peer does.
fn credulous(versions: &[&'static SupportedProtocolVersion]) -> ClientConfig {
    let provider = Arc::new(ring::default_provider());
    ClientConfig::builder_with_provider(provider.clone())
        .with_protocol_versions(versions)
        .unwrap()
        .dangerous()
        .with_custom_certificate_verifier(Arc::new(Credulous(provider)))
        .with_no_client_auth()
}

#[derive(Debug)]
struct Credulous(Arc<CryptoProvider>);

impl ServerCertVerifier for Credulous {
    fn verify_server_cert(
        &self,
        _end_entity: &CertificateDer<'_>,
        _intermediates: &[CertificateDer<'_>],
        _server_name: &ServerName<'_>,
        _ocsp_response: &[u8],
        _now: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        rustls::crypto::verify_tls12_signature(
            message,
            certificate,
            signed,
            &self.0.signature_verification_algorithms,
        )
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        rustls::crypto::verify_tls13_signature(
            message,
            certificate,
            signed,
            &self.0.signature_verification_algorithms,
        )
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.0.signature_verification_algorithms.supported_schemes()
    }
}
