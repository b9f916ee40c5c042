//! The client against a stand-in for the prototype's registry: it greets unasked, in bare words, and takes what one read
//! brings for one message.

use std::sync::Arc;

use p2pchat_core::{
    peer::RequestError,
    proto::PasswordDigest,
    tokio::{ClientConfig, Error, Peer, Trust},
};
use rustls::{
    ServerConfig,
    pki_types::{PrivateKeyDer, pem::PemObject},
};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, TcpStream, UdpSocket},
    time::timeout,
};
use tokio_rustls::{TlsAcceptor, server::TlsStream};

use crate::support::{Identity, PATIENCE};

struct StandIn {
    listener: TcpListener,
    udp: UdpSocket,
    acceptor: TlsAcceptor,
    identity: Identity,
}

impl StandIn {
    async fn start() -> Self {
        let identity = Identity::new();
        let key = PrivateKeyDer::from_pem_slice(identity.key.as_bytes()).unwrap();
        let config = ServerConfig::builder_with_provider(Arc::new(rustls::crypto::ring::default_provider()))
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_no_client_auth()
            .with_single_cert(vec![identity.der.clone()], key)
            .unwrap();
        Self {
            listener: TcpListener::bind("127.0.0.1:0").await.unwrap(),
            udp: UdpSocket::bind("127.0.0.1:0").await.unwrap(),
            acceptor: TlsAcceptor::from(Arc::new(config)),
            identity,
        }
    }

    fn client(&self) -> ClientConfig {
        let (tcp, udp) = (self.listener.local_addr().unwrap(), self.udp.local_addr().unwrap());
        ClientConfig::new("127.0.0.1", tcp.port(), Trust::Pinned(self.identity.tls.fingerprint()))
            .registry_udp("127.0.0.1", udp.port())
            .listen("127.0.0.1:0".parse().unwrap())
    }

    async fn accept(&self) -> TlsStream<TcpStream> {
        let (stream, _) = self.listener.accept().await.unwrap();
        let mut stream = self.acceptor.accept(stream).await.unwrap();
        answer(&mut stream, "HELLO_BACK SUCCESS 200 ").await;
        stream
    }
}

async fn hear(stream: &mut TlsStream<TcpStream>) -> String {
    let mut buffer = [0; 1024];
    let count = timeout(PATIENCE, stream.read(&mut buffer)).await.expect("heard nothing").unwrap();
    String::from_utf8(buffer[..count].to_vec()).unwrap()
}

async fn answer(stream: &mut TlsStream<TcpStream>, text: &str) {
    stream.write_all(text.as_bytes()).await.unwrap();
    stream.flush().await.unwrap();
}

#[tokio::test]
async fn the_client_speaks_the_prototypes_words_to_its_registry() {
    let registry = StandIn::start().await;
    let digest = PasswordDigest::of_password("secret");
    let serve = async {
        let mut stream = registry.accept().await;
        assert_eq!(hear(&mut stream).await, "HELLO_P2P");
        assert_eq!(hear(&mut stream).await, format!("REGISTER alice {}", digest.expose()));
        answer(&mut stream, "REGISTER <SUCCESS> <200>").await;
        let login = hear(&mut stream).await;
        let port = login.strip_prefix(&format!("LOGIN alice {} ", digest.expose())).unwrap().parse::<u16>();
        answer(&mut stream, "AUTH <SUCCESS> <200>").await;

        let mut datagram = [0; 1024];
        let (size, _) = timeout(PATIENCE, registry.udp.recv_from(&mut datagram)).await.unwrap().unwrap();
        assert_eq!(&datagram[..size], b"KEEP_ALIVE alice");

        assert_eq!(hear(&mut stream).await, "SEARCH_USER bob");
        answer(&mut stream, "SEARCH_USER_RESPONSE <SUCCESS> <200> 192.168.1.2:63142").await;
        assert_eq!(hear(&mut stream).await, "DISCOVER_PEERS DETAILED alice");
        answer(&mut stream, "PEER_LIST <SUCCESS> <200> bob (192.168.1.2:63142) carol (192.168.1.2:63158)")
            .await;
        assert_eq!(hear(&mut stream).await, "DISCOVER_PEERS SIMPLE alice");
        answer(&mut stream, "PEER_LIST <FAILURE> <404>").await;
        assert!(hear(&mut stream).await.starts_with("LOGOUT"));
        assert_eq!(hear(&mut stream).await, "", "closed after it");
        port.unwrap()
    };
    let talk = async {
        let (alice, _events) = Peer::connect(registry.client()).await.unwrap();
        alice.register("alice", "secret").await.unwrap();
        alice.login("alice", "secret").await.unwrap();
        let found = alice.search("bob").await.unwrap();
        assert_eq!((found.ip.to_string().as_str(), found.port), ("192.168.1.2", 63142));
        let peers = alice.peers().await.unwrap();
        assert_eq!((peers[1].username.as_str(), peers[1].port), ("carol", 63158));
        assert_eq!(alice.names().await, Ok(vec![]));
        assert_eq!(alice.create("tea", None, 2, "").await, Err(Error::Request(RequestError::Unsupported)));
        alice.logout().await.unwrap();
        alice.port()
    };
    let (announced, port) = tokio::join!(serve, talk);
    assert_eq!(announced, port);
}
