//! What opens sockets, so that a simulator or another transport can take its place.

use std::{
    fmt,
    future::Future,
    io,
    net::{IpAddr, SocketAddr},
    pin::Pin,
};

use tokio::{
    io::{AsyncRead, AsyncWrite},
    net::{TcpListener, TcpStream, UdpSocket, lookup_host},
};

/// A boxed future, as the methods of a trait object return it.
pub type BoxFuture<'a, T> = Pin<Box<dyn Future<Output = T> + Send + 'a>>;

/// A stream of bytes in both directions. Implemented by whatever can be one.
pub trait Duplex: AsyncRead + AsyncWrite + Send + Unpin {}

impl<T: AsyncRead + AsyncWrite + Send + Unpin> Duplex for T {}

/// A stream of a [`Network`].
pub type BoxStream = Box<dyn Duplex>;

/// Opens streams and datagram sockets. Remote addresses are told in canonical form: IPv4 never mapped into IPv6.
pub trait Network: fmt::Debug + Send + Sync {
    /// The addresses of a host, best first. `host` may be an address.
    fn resolve<'a>(&'a self, host: &'a str, port: u16) -> BoxFuture<'a, io::Result<Vec<SocketAddr>>>;

    /// Opens a stream.
    fn dial(&self, addr: SocketAddr) -> BoxFuture<'_, io::Result<BoxStream>>;

    /// Accepts streams; port 0 takes a free one.
    fn listen(&self, addr: SocketAddr) -> BoxFuture<'_, io::Result<Box<dyn Listener>>>;

    /// Opens a datagram socket; port 0 takes a free one.
    fn bind(&self, addr: SocketAddr) -> BoxFuture<'_, io::Result<Box<dyn Datagrams>>>;
}

/// Accepts streams.
pub trait Listener: Send + Sync {
    /// Where.
    fn local_addr(&self) -> io::Result<SocketAddr>;

    /// The next stream and where it comes from. Dropping the future loses no stream.
    fn accept(&self) -> BoxFuture<'_, io::Result<(BoxStream, SocketAddr)>>;
}

/// Sends and receives datagrams.
pub trait Datagrams: Send + Sync {
    /// Where.
    fn local_addr(&self) -> io::Result<SocketAddr>;

    /// Receives into `buffer`: how many bytes, and where from. Dropping the future loses no datagram.
    fn receive<'a>(&'a self, buffer: &'a mut [u8]) -> BoxFuture<'a, io::Result<(usize, SocketAddr)>>;

    /// Sends at once or fails: datagrams may be lost anyway.
    fn try_send(&self, datagram: &[u8], to: SocketAddr) -> io::Result<()>;

    /// The system's socket, if this is one and nothing else has to see the datagrams: then the server receives and sends many
    /// of them a call, where the system can.
    fn socket(&self) -> Option<&UdpSocket> {
        None
    }
}

/// The operating system's network.
#[derive(Debug, Clone, Copy, Default)]
pub struct TcpNetwork;

impl Network for TcpNetwork {
    fn resolve<'a>(&'a self, host: &'a str, port: u16) -> BoxFuture<'a, io::Result<Vec<SocketAddr>>> {
        Box::pin(async move { Ok(lookup_host((host, port)).await?.collect()) })
    }

    fn dial(&self, addr: SocketAddr) -> BoxFuture<'_, io::Result<BoxStream>> {
        Box::pin(async move {
            let stream = TcpStream::connect(addr).await?;
            stream.set_nodelay(true)?;
            Ok(Box::new(stream) as BoxStream)
        })
    }

    fn listen(&self, addr: SocketAddr) -> BoxFuture<'_, io::Result<Box<dyn Listener>>> {
        Box::pin(async move { Ok(Box::new(TcpListener::bind(addr).await?) as Box<dyn Listener>) })
    }

    fn bind(&self, addr: SocketAddr) -> BoxFuture<'_, io::Result<Box<dyn Datagrams>>> {
        Box::pin(async move { Ok(Box::new(UdpSocket::bind(addr).await?) as Box<dyn Datagrams>) })
    }
}

impl Listener for TcpListener {
    fn local_addr(&self) -> io::Result<SocketAddr> {
        Self::local_addr(self)
    }

    fn accept(&self) -> BoxFuture<'_, io::Result<(BoxStream, SocketAddr)>> {
        Box::pin(async move {
            let (stream, addr) = Self::accept(self).await?;
            // Some systems refuse this for a stream that was reset meanwhile, which shows by itself and is no fault of
            // the listener.
            _ = stream.set_nodelay(true);
            Ok((Box::new(stream) as BoxStream, canonical(addr)))
        })
    }
}

impl Datagrams for UdpSocket {
    fn local_addr(&self) -> io::Result<SocketAddr> {
        Self::local_addr(self)
    }

    fn receive<'a>(&'a self, buffer: &'a mut [u8]) -> BoxFuture<'a, io::Result<(usize, SocketAddr)>> {
        Box::pin(async move {
            let (size, from) = self.recv_from(buffer).await?;
            Ok((size, canonical(from)))
        })
    }

    fn try_send(&self, datagram: &[u8], to: SocketAddr) -> io::Result<()> {
        self.try_send_to(datagram, on_socket(Self::local_addr(self)?, to)).map(drop)
    }

    fn socket(&self) -> Option<&UdpSocket> {
        Some(self)
    }
}

/// An address as the socket that is bound to `local` wants it: one for both kinds of addresses has IPv4's in a form of its own.
pub(super) fn on_socket(local: SocketAddr, to: SocketAddr) -> SocketAddr {
    match (local, to.ip()) {
        (SocketAddr::V6(_), IpAddr::V4(ip)) => SocketAddr::new(ip.to_ipv6_mapped().into(), to.port()),
        _ => to,
    }
}

pub(super) fn canonical(addr: SocketAddr) -> SocketAddr {
    match addr.ip().to_canonical() {
        ip @ IpAddr::V4(_) => SocketAddr::new(ip, addr.port()),
        IpAddr::V6(_) => addr,
    }
}
