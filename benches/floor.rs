//! The floor: a line echo over TLS and a datagram echo, on the daemon's runtime and TLS settings, with no chat in it.
//!
//! ```sh
//! floor --cert cert.pem --key key.pem      # prints: ready tcp=ADDR:PORT udp=ADDR:PORT
//! ```
//!
//! A line comes back as it was sent. The line `BYTES n` brings a line of `n` bytes and its LF instead, which is what a long
//! reply costs that is only copied through TLS. A datagram comes back as it was sent, one system call for each of both.
#![allow(clippy::print_stdout)] // the line that says it is ready

use std::{error::Error, net::SocketAddr, path::PathBuf, sync::Arc};

use bytes::{Buf, BufMut, Bytes, BytesMut};
use clap::Parser;
use rustls::{
    ServerConfig,
    crypto::ring,
    pki_types::{CertificateDer, PrivateKeyDer, pem::PemObject},
    version::TLS13,
};
use tokio::{
    io::{AsyncBufReadExt, AsyncWriteExt},
    net::{TcpListener, TcpStream, UdpSocket},
};
use tokio_rustls::TlsAcceptor;

/// Echoes lines and datagrams.
#[derive(Debug, Parser)]
struct Arguments {
    /// Certificate with its chain, in PEM: the registry's own, so that both sign with the same kind of key.
    #[arg(long)]
    cert: PathBuf,
    /// Its private key, in PEM.
    #[arg(long)]
    key: PathBuf,
}

/// The longest line that is asked for: a list reply's limit.
const LONGEST: usize = 1024 * 1024;

type Failure = Box<dyn Error + Send + Sync>;

fn main() -> Result<(), Failure> {
    let arguments = Arguments::parse();
    rlimit::increase_nofile_limit(u64::MAX)?;
    // As the daemon does.
    tokio::runtime::Builder::new_multi_thread().enable_all().build()?.block_on(serve(&arguments))
}

async fn serve(arguments: &Arguments) -> Result<(), Failure> {
    let acceptor = TlsAcceptor::from(Arc::new(tls(arguments)?));
    let free = SocketAddr::from(([127, 0, 0, 1], 0));
    let (listener, datagrams) = (TcpListener::bind(free).await?, UdpSocket::bind(free).await?);
    println!("ready tcp={} udp={}", listener.local_addr()?, datagrams.local_addr()?);
    tokio::spawn(echo_datagrams(datagrams));
    let long: Bytes = vec![b'x'; LONGEST].into();
    loop {
        let (stream, _) = listener.accept().await?;
        let (acceptor, long) = (acceptor.clone(), long.clone());
        // A stream that breaks is nobody's concern: whoever drives it sees it.
        tokio::spawn(async move { echo_lines(acceptor, stream, long).await.ok() });
    }
}

/// The registry's settings, said once more, as the library keeps its own to itself.
fn tls(arguments: &Arguments) -> Result<ServerConfig, Failure> {
    let chain = CertificateDer::pem_file_iter(&arguments.cert)?.collect::<Result<_, _>>()?;
    let key = PrivateKeyDer::from_pem_file(&arguments.key)?;
    let mut config = ServerConfig::builder_with_provider(Arc::new(ring::default_provider()))
        .with_protocol_versions(&[&TLS13])?
        .with_no_client_auth()
        .with_single_cert(chain, key)?;
    config.alpn_protocols = vec![b"p2pchat/1".to_vec()];
    config.send_tls13_tickets = 0;
    Ok(config)
}

async fn echo_lines(acceptor: TlsAcceptor, stream: TcpStream, long: Bytes) -> Result<(), Failure> {
    let mut stream = acceptor.accept(stream).await?;
    let (mut inbox, mut outbox) = (BytesMut::new(), BytesMut::new());
    loop {
        let chunk = stream.fill_buf().await?;
        let count = chunk.len();
        if count == 0 {
            stream.shutdown().await?;
            return Ok(());
        }
        inbox.put(chunk);
        stream.consume(count);
        let mut rest: &[u8] = &inbox;
        while let Some((line, after)) =
            memchr::memchr(b'\n', rest).and_then(|end| rest.split_at_checked(end + 1))
        {
            rest = after;
            match line.strip_prefix(b"BYTES ") {
                None => outbox.put(line),
                Some(count) => {
                    let count: usize = str::from_utf8(count)?.trim_end().parse()?;
                    outbox.put(long.get(..count).ok_or("too long")?);
                    outbox.put_u8(b'\n');
                }
            }
        }
        let echoed = inbox.len() - rest.len();
        inbox.advance(echoed);
        stream.write_all(&outbox).await?;
        stream.flush().await?;
        outbox.clear();
        // Nobody keeps a long line for a stream that may be idle from now on.
        if outbox.capacity() > 64 * 1024 {
            outbox = BytesMut::new();
        }
    }
}

async fn echo_datagrams(socket: UdpSocket) {
    let mut buffer = vec![0; 65_536];
    while let Ok((size, from)) = socket.recv_from(&mut buffer).await {
        _ = socket.send_to(buffer.get(..size).unwrap_or_default(), from).await;
    }
}
